"""A visitor who looks at all that a server sends him, and those who must not notice him."""

import asyncio
import http.client
import itertools
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks._server import Server
from tests.kit.hostile import MARKDOWN, TAG
from tests.kit.visitor import CHART, DONE, RUNNING, TRAIN, Session
from ui.main import FAILED

ANSWER = 60.0  # seconds after which a question counts as not answered
QUOTED = ("text_input", "text_area", "code")  # they show what was typed, as text
COOKIE = "_streamlit_xsrf"
TRAINING = ("queued", RUNNING, DONE)


@dataclass
class Tally:
    """What came of one attack."""

    sent: int = 0
    answered: int = 0
    slowest_s: float = 0.0
    boxes: int = 0  # "something went wrong", without what
    tracebacks: list[str] = field(default_factory=list)  # shown
    markup: list[str] = field(default_factory=list)  # a visitor's text as a tag, link or formula
    notes: list[str] = field(default_factory=list)

    def answer(self, since: float) -> None:
        """Count an answer to what was asked then (perf_counter)."""
        self.answered += 1
        self.slowest_s = max(self.slowest_s, time.perf_counter() - since)


class Attacker(Session):
    """A tab that counts what it is shown; its page's timers tick only when it is told to wait."""

    tally: Tally

    @classmethod
    def at(cls, url: str, tally: Tally, page: str, query: str = "") -> "Attacker":
        """A tab that is not connected yet."""
        made = cls(url, query, page)
        made.tally, made.urls = tally, []
        return made

    urls: list[Any]

    async def ask(self, query: str | None = None, page: str = "", **states: WidgetState) -> bool:
        """Load a page with this query, or this one with these widgets' values; was it answered?"""
        if query is not None:
            self.query, self.page = query, page or self.page
            self._page_hash, self._values = "", {}
        before, since = self.finished, time.perf_counter()
        self.tally.sent += 1
        self._values.update({state.id: state for state in states.values()})
        try:
            await self._rerun()
            await self.until(lambda: self.finished > before, ANSWER)
        except (TimeoutError, ConnectionError, OSError) as error:
            self.tally.notes.append(
                f"{type(error).__name__} {str(error)[:80]}: {self.query[:80]!r}"
            )
            return False
        self.tally.answer(since)
        return True

    async def send(self, data: bytes | str) -> None:
        """Send anything."""
        assert self._socket is not None
        await self._socket.send(data)

    def lost(self) -> bool:
        """Whether the server has ended the connection."""
        return self._reader is None or self._reader.done()

    def widgets(self) -> list[str]:
        """The ids of all widgets on the page, those of charts that are clicked included."""
        shown = (getattr(e, str(e.WhichOneof("type"))) for _, e in self._elements.values())
        return [each.id for each in shown if getattr(each, "id", "")]

    async def upload(self, place: int, name: str, data: bytes) -> WidgetState:
        """Send a file as the page's uploader at this place does; return the uploader's value."""
        shown = [self._elements[path][1] for path in sorted(self._elements)]
        boxes = [e.file_uploader for e in shown if e.WhichOneof("type") == "file_uploader"]
        message = BackMsg()
        message.file_urls_request.request_id = name
        message.file_urls_request.file_names.append(name)
        self.urls = []
        await self.send(message.SerializeToString())
        await self.until(lambda: bool(self.urls), ANSWER)
        await asyncio.to_thread(put, self.url, self.urls[0].upload_url, data)
        state = WidgetState(id=boxes[place].id)
        file = state.file_uploader_state_value.uploaded_file_info.add()
        file.file_id, file.name, file.size = self.urls[0].file_id, name, len(data)
        file.file_urls.CopyFrom(self.urls[0])
        return state

    def _take(self, message: Any) -> None:
        if message.WhichOneof("type") == "file_urls_response":
            self.urls = list(message.file_urls_response.file_urls)
        super()._take(message)

    def _show(self, path: tuple[int, ...], message: Any) -> None:
        super()._show(path, message)
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.tally.boxes += 1
            if element.exception.stack_trace:
                self.tally.tracebacks.append("\n".join(element.exception.stack_trace)[:300])
        self.tally.boxes += kind == "alert" and element.alert.body == FAILED
        if kind == CHART or kind in QUOTED:
            return
        told = str(element)
        if "Traceback (most recent" in told:
            self.tally.tracebacks.append(told[:300])
        if found := TAG.search(told) or (kind != "html" and MARKDOWN.search(told)):
            self.tally.markup.append(f"{kind}: {told[max(0, found.start() - 60) :][:160]}")

    def _start_timer(self, fragment: str, interval: float) -> None:
        self.fragment = fragment


def put(url: str, path: str, data: bytes) -> int:
    """Send a file to the address that the server gave; the status of its answer."""
    at = urlsplit(url)
    line = http.client.HTTPConnection(str(at.hostname), at.port or 80, timeout=ANSWER)
    line.request("GET", "/_stcore/host-config")
    answer = line.getresponse()
    answer.read()
    found = re.search(rf"{COOKIE}=([^;]+)", answer.getheader("Set-Cookie") or "")
    token = found[1] if found else ""
    edge = "samenet-attack"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
    line.request("PUT", path, body, {
        "Content-Type": f"multipart/form-data; boundary={edge}",
        "X-Xsrftoken": token,
        "Cookie": f"{COOKIE}={token}",
    })  # fmt: skip
    status = line.getresponse().status
    line.close()
    return status


class Victims:
    """Visitors who train while the server is attacked."""

    def __init__(self, server: Server, count: int) -> None:
        self.server = server
        self.sessions: list[Session] = []
        self.errors: list[str] = []
        self.uptime = 0.0
        self.restarts = 0
        self._steps, self._seeds = [0] * count, itertools.count(1)

    async def begin(self) -> None:
        """Open their pages and press Train."""
        self.sessions = [await self._new() for _ in self._steps]

    async def _new(self) -> Session:
        # Ten images a step: 100,000 steps, in a program of its own.
        made = Session(self.server.url, f"batch_size=10&epochs=1000&seed={next(self._seeds)}")
        await made.open()
        await made.press(TRAIN)
        await made.until(lambda: made.progress.step > 0, 2 * ANSWER)
        return made

    async def check(self) -> dict[str, Any]:
        """How many runs are lost since the last check, and how far the others came."""
        told = await asyncio.to_thread(status, self.server.url)
        gone = self.server.process.poll() is not None or told.get("uptime_s", 0.0) < self.uptime
        self.restarts += gone
        self.uptime = told.get("uptime_s", 0.0)
        before, lost = list(self._steps), 0
        for i, session in enumerate(self.sessions):
            self.errors += session.errors
            with_trouble = session.errors or session.progress.status not in TRAINING
            lost += bool(with_trouble) or session.progress.step < before[i]
            self._steps[i] = session.progress.step
            if session.progress.status == DONE:
                await session.close()
                self.sessions[i], self._steps[i] = await self._new(), 0
        gained = [now - then for now, then in zip(self._steps, before, strict=True)]
        memory = round(told.get("memory", {}).get("used_bytes", 0) / 1e6)
        return {"restarts": int(gone), "runs_lost": lost, "victims_steps": gained, "mb": memory}

    async def end(self) -> list[str]:
        """Close their tabs; what they complain of."""
        for session in self.sessions:
            await session.close()
        return self.errors + [error for session in self.sessions for error in session.errors]


def status(url: str) -> dict[str, Any]:
    """What the server says of itself; nothing if it does not answer."""
    try:
        with urlopen(f"{url}/status", timeout=ANSWER) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except OSError:
        return {}
