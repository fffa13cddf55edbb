"""Who may ask how the server is, and what it answers; without a server."""

import json
from typing import Any, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.datastructures import Headers

from tests.kit.visitor import together
from ui import status

HERE, ELSEWHERE = "127.0.0.1", "192.0.2.7"


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(status.STATUS, raising=False)


class Answer(NamedTuple):
    code: int
    headers: Headers
    text: str


def asked(path: str, peer: str = HERE) -> Answer:
    """What our routes answer to this address."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "client": (peer, 5000), "headers": []}
    together(lambda: Starlette(routes=status.routes())(scope, receive, send))
    start, *parts = sent
    body = b"".join(part.get("body", b"") for part in parts)
    return Answer(start["status"], Headers(raw=start["headers"]), body.decode())


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_the_machine_itself_may_ask(peer: str) -> None:
    assert status.may_ask(peer, Headers())


@pytest.mark.parametrize(
    "peer", [None, "", "testclient", "10.0.0.1", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"]
)
def test_nobody_else_may(peer: str | None) -> None:
    assert not status.may_ask(peer, Headers())


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_on_the_machine_passes_on_does_not_come_from_it(name: str) -> None:
    assert not status.may_ask(HERE, Headers({name: HERE}))


def test_a_host_may_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(status.STATUS, "open")
    assert status.may_ask(ELSEWHERE, Headers({"X-Forwarded-For": ELSEWHERE}))
    monkeypatch.setenv(status.STATUS, "1")
    assert not status.may_ask(ELSEWHERE, Headers())


@pytest.mark.parametrize("path", ["/status", "/metrics"])
def test_a_stranger_learns_nothing(path: str) -> None:
    answer = asked(path, ELSEWHERE)
    assert (answer.code, answer.text) == (403, status.REFUSED)


def test_status_is_json_with_what_is_going_on() -> None:
    from ui import engine

    told = json.loads(asked("/status").text)
    assert told["ready"] and told["sessions"] == 0 and told["queue"] == 0
    assert told["versions"].keys() == {"python", *status.PACKAGES}
    assert told["device"] == engine.device()
    assert {"running", "queued", "done"} <= told["runs"].keys()
    assert 0 < told["memory"]["used_bytes"] < told["memory"]["budget_bytes"]
    assert told["memory"]["full"] is False
    assert told["limits"]["steps"] is None and told["limits"]["runs"] == 32


def test_metrics_are_prometheus_s_text() -> None:
    from ui import engine

    answer = asked("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {each.name: each for each in text_string_to_metric_families(answer.text)}
    of_status = {sample.labels["status"] for sample in families["samenet_runs"].samples}
    assert of_status == {status.value for status in engine.Status}
    (budget,) = families["samenet_memory_budget_bytes"].samples
    assert budget.value == engine.engine().budget.bytes
    assert families["samenet_let_go"].type == "counter"


def test_a_server_that_is_still_starting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(status.sys.modules, "ui.engine", raising=False)
    told = json.loads(asked("/status").text)
    assert told["ready"] is False and "memory" not in told
    assert "samenet_sessions 0.0" in asked("/metrics").text
