"""The headers of our own responses, tested in this process."""

from contextlib import suppress
from typing import Any

import pytest

from ui import server


def headers(**scope: str) -> dict[str, str]:
    """The headers, after our middleware, of a response that had one of its own."""
    sent: list[Any] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": f"{scope['type']}.response.start", "headers": [(b"own", b"1")]}
        await send(start)

    async def send(message: Any) -> None:
        sent.append(message)

    one, _gate = server.middleware()
    answer = one.cls(page, *one.args, **one.kwargs)
    with suppress(StopIteration):  # it waits for nothing, so a single step runs all of it
        answer({"type": "http", **scope}, None, send).send(None)  # type: ignore[attr-defined]
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_every_response_has_our_headers_beside_its_own() -> None:
    assert headers() == {
        "own": "1", "x-content-type-options": "nosniff", "referrer-policy": "same-origin"
    }  # fmt: skip


def test_a_host_may_say_who_may_embed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.FRAME_ANCESTORS, "'self' https://school.example")
    policy = headers()["content-security-policy"]
    assert policy == "frame-ancestors 'self' https://school.example"


def test_a_socket_is_left_alone() -> None:
    assert headers(type="websocket") == {"own": "1"}
