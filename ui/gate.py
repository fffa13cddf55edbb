"""What visitors may send, beyond what Streamlit checks: messages of the page, and files that fit.

A visitor's own program can send what the page never does. Without this, one message empties the
caches of all visitors, the engine among them, and a frame that is no message leaves a traceback in
the log.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.streamlit_privates import UPLOADS, kind_of

# What our pages send: runs of the script, that they are still there, a file about to be sent, a
# download that is made when it is clicked, and the next rows of a long table.
SENT_BY_PAGES = (
    "rerun_script", "stop_script", "app_heartbeat", "file_urls_request", "deferred_file",
    "dataframe_chunk",
)  # fmt: skip
PROTOCOL_ERROR = 1002


class Gate:
    """ASGI middleware: drops messages that no page sends, and refuses files that do not fit.

    Args:
      room: whether so many more bytes fit into the server's memory.
    """

    def __init__(self, app: ASGIApp, room: Callable[[int], bool]) -> None:
        self.app, self.room = app, room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] == "websocket":
            await self.app(scope, partial(_message, receive, send), partial(_sent, send))
        elif self._is_too_much(scope):
            from core.run.budget import FULL  # numpy, which the socket has not waited for

            await PlainTextResponse(FULL, 507)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_too_much(self, scope: Scope) -> bool:
        uploads = scope["type"] == "http" and scope["method"] == "PUT" and UPLOADS in scope["path"]
        return uploads and not self.room(_length(scope))


async def _message(receive: Receive, send: Send) -> Message:
    """Return the next message that a page may send; what is no message ends the connection."""
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return message
        kind = kind_of(message.get("bytes"))
        if kind is None:
            await send({"type": "websocket.close", "code": PROTOCOL_ERROR})
            return {"type": "websocket.disconnect", "code": PROTOCOL_ERROR}
        if kind in SENT_BY_PAGES:
            return message


async def _sent(send: Send, message: Message) -> None:
    """Send a message; for a visitor who has gone it is dropped, and what is received next says so.

    Otherwise the socket counts as never accepted, which Streamlit 1.67 takes for a frame of text,
    and answers with a traceback.
    """
    with suppress(OSError):
        await send(message)


def _length(scope: Scope) -> int:
    """The length that a request tells of its body; 0 if it tells none."""
    told: Any = dict(scope["headers"]).get(b"content-length", b"")
    return int(told) if told.isdigit() and len(told) < 20 else 0


def room(size: int) -> bool:
    """Return whether so many more bytes fit into this server's budget."""
    if (module := sys.modules.get("ui.engine")) is None:  # nothing has been started yet
        return True
    budget = module.engine().budget
    return bool(budget.used() + size < budget.bytes)
