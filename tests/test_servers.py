"""What of a server's log is no fault of ours: Streamlit's own race, and nothing else."""

import asyncio
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.websockets import WebSocket
from streamlit.web.server.starlette.starlette_websocket import create_websocket_handler

from tests.servers import without_closed_twice


class Runtime:
    """Has a message for whoever connects."""

    def connect_session(self, client: Any, **_: Any) -> str:
        client._send_queue.put_nowait(b"a frame")
        return "session"

    def handle_backmsg(self, *_: Any, **__: Any) -> None:
        """A message from the tab."""

    def disconnect_session(self, *_: Any, **__: Any) -> None:
        """The tab has gone."""


async def race() -> None:
    """A tab that has closed when Streamlit sends to it, and whose last message is still unread."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            raise OSError("the tab has gone")

    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "bytes": b""}]
    socket = WebSocket({"type": "websocket", "headers": []}, receive, send)
    await create_websocket_handler(Runtime())(socket)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def told() -> str:
    """What uvicorn logs of the race: real tracebacks of the Streamlit that is installed."""
    # In a thread: in this one a browser's event loop may be running.
    with ThreadPoolExecutor() as pool, pytest.raises(Exception, match="Cannot call") as caught:
        pool.submit(lambda: asyncio.run(race())).result()
    return "Exception in ASGI application\n" + "".join(traceback.format_exception(caught.value))


def fault(words: str) -> str:
    """What uvicorn logs of an error in a page."""
    try:
        raise ValueError(words)
    except ValueError:
        return f"Exception in ASGI application\n{traceback.format_exc()}"


def test_the_race_is_left_out_however_often(told: str) -> None:
    assert told.count("Traceback") == 2
    assert without_closed_twice(f"before\n{told}{told}between\nERROR:    {told}") == (
        "before\nbetween\n"
    )


def test_any_other_traceback_stays(told: str) -> None:
    real = fault("no number")
    assert without_closed_twice(real) == real
    assert without_closed_twice(real + told + real) == real + real
    own = fault('WebSocket is not connected. Need to call "accept" first.')
    assert without_closed_twice(own) == own


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ('Cannot call "send"', 'Cannot call "receive"'),
        ("WebSocket is not connected.", "No session."),
        ("starlette_websocket.py", "ours.py"),
        ("await websocket.close()", "await websocket.send()"),
    ],
)
def test_half_of_the_race_stays(told: str, what: str, other: str) -> None:
    changed = told.replace(what, other)
    assert changed != told and without_closed_twice(changed) == changed
    first, second = told.split("During handling of the above exception")
    assert without_closed_twice(first) == first and without_closed_twice(second) == second
