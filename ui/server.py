"""What the server does before its first visitor and after its last.

For a plain script, Streamlit itself exits with 0; an App has to see to that.
"""

import atexit
import math
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.run import entry
from ui import gate, imports, logs, streamlit_privates

WARM_UP = "SAMENET_WARM_UP"  # 0: start small; the first visitor waits for the imports
FRAME_ANCESTORS = "SAMENET_FRAME_ANCESTORS"  # who may embed the pages; everybody if unset
GRACE_SECONDS = 1.0
SCRIPT_SECONDS = 300.0  # the longest that a page may take to end; what it compiles must end


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """Set the process up, open a browser and warm up; at the end, stop the engine."""
    logs.guard()
    streamlit_privates.mend()
    entry.begin()
    _exit_with_zero()
    streamlit_privates.open_browser()
    imports.load(imports.SWAPPING)
    _read_limits()
    if os.environ.get(WARM_UP) != "0":
        warm_up()
    try:
        yield
    finally:
        if engine := sys.modules.get("ui.engine"):  # otherwise nobody has used it
            engine.engine().close()


def _read_limits() -> None:
    """Read the host's limits; a server whose host has mistyped one does not start."""
    from core.limits import limits  # numpy, which the socket has not waited for

    if (megabytes := limits().upload_mb) < math.inf:
        streamlit_privates.limit_uploads(int(megabytes))


def warm_up() -> None:
    """Import what is needed, then compile what the default settings need.

    The second begins a little later: a visitor who comes at once may need something else first.
    """
    imports.load()
    from ui.engine import warm_up

    later = threading.Timer(GRACE_SECONDS, warm_up)
    later.daemon = True
    later.start()


def _exit_with_zero() -> None:
    """Let uvicorn's own signals end the server without being raised again at its end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, uvicorn.Server):
            signal.signal(number, partial(_stop, server))


def _stop(server: uvicorn.Server, _number: int, _frame: FrameType | None) -> None:
    server.force_exit = server.should_exit  # a second signal waits for nobody
    server.should_exit = True


@atexit.register
def wait_for_scripts() -> None:
    """Wait for visitors' threads: a process that ends while one is inside JAX crashes."""
    deadline = time.monotonic() + SCRIPT_SECONDS
    for thread in streamlit_privates.script_threads():
        thread.join(max(0.0, deadline - time.monotonic()))


def middleware() -> list[Middleware]:
    """Return what is in front of Streamlit: the headers of every response, and the gate."""
    headers = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
    if ancestors := os.environ.get(FRAME_ANCESTORS):
        headers["Content-Security-Policy"] = f"frame-ancestors {ancestors}"
    return [Middleware(Headers, headers=headers), Middleware(gate.Gate, room=gate.room)]


class Headers:
    """ASGI middleware that sets headers on every response."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self.app, self.headers = app, headers

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request, adding no frame to the traceback of an error inside."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        answers = scope["type"] == "http"
        return self.app(scope, receive, send_with_headers if answers else send)
