"""A browser tab without a screen: Streamlit's own websocket protocol, loopback only.

It does exactly what Streamlit's page does: it sends every widget's value with each request, adopts
the values and the query string that the server sets, and reruns a fragment at the interval that the
server asks for. It keeps no message cache, so that every chart arrives in full.

Everything that depends on the wording of the page is in the constants below.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PAGE = "train"
TRAIN, PAUSE, STEP, RESET = "Train", "Pause", "Step", "Reset"
LEARNING_RATE = "learning rate"
PROGRESS = re.compile(r"step ([\d,]+) of ([\d,]+)\W+(\w+)")
DONE, RUNNING = "done", "running"
FIRST_LOOK = "After step"  # how the diagnosis begins, as soon as a run has a snapshot
ALERT_ERROR = 1  # Alert.Format of st.error

CHART = "vega_lite_chart"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
OPEN_SECONDS = 120.0
PATIENCE = 240.0  # seconds that many visitors at once may take on a slow machine
LARGEST_MESSAGE = 50 * 2**20  # bytes


def percentile(values: list[float], share: float) -> float:
    """The value that this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


@dataclass(frozen=True)
class Progress:
    """What the progress bar says about a run."""

    step: int = 0
    steps: int = 0
    status: str = ""


@dataclass
class Session:
    """One visitor's tab, on the trainer page unless `page` names another.

    Args:
      url: the server's; loopback only.
      query: of the page's address, such as seed=3&epochs=20.
      page: the page's address; "" is the home page.
    """

    url: str
    query: str = ""
    page: str = PAGE
    id: str = ""
    progress: Progress = field(default_factory=Progress)
    history: list[tuple[float, Progress]] = field(
        default_factory=list, repr=False
    )  # (perf_counter, the new progress)
    errors: list[str] = field(default_factory=list)
    frames: int = 0  # fragment runs that have finished
    # The answer to an action belongs to a full run that began after it, because a frame of the run
    # before may still arrive later.
    full_runs: int = 0  # runs of the whole page that have begun
    finished: int = 0  # runs of the whole page that have finished
    chart_changed_in: int = -1  # the full run whose charts changed last
    looked_in: int = -1  # the full run in which the network was last described
    fragment: str = ""  # the polling fragment that the server last asked for

    def __post_init__(self) -> None:
        host = urlsplit(self.url).hostname
        if host not in LOOPBACK:
            raise ValueError(f"url is {self.url!r}; allowed are the hosts {', '.join(LOOPBACK)}")
        self._page_hash = ""
        self._elements: dict[tuple[int, ...], tuple[int, Any]] = {}  # path -> (full run, element)
        self._values: dict[str, WidgetState] = {}
        self._charts: dict[tuple[int, ...], str] = {}  # path -> hash of what is shown
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._news = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the page and wait until it describes the network before its first step."""
        await self.connect()
        await self.until(lambda: self.looked_in > 0, OPEN_SECONDS)

    async def connect(self) -> None:
        """Connect, with the same session if there was one, and ask for a run of the page."""
        again = [self.id] if self.id else []
        protocols: list[Any] = ["streamlit", "PLACEHOLDER_AUTH_TOKEN", *again]
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket = await connect(
            address,
            subprotocols=protocols,
            origin=self.url,  # type: ignore[arg-type]
            compression=None,
            max_size=LARGEST_MESSAGE,
            open_timeout=OPEN_SECONDS,
            ping_timeout=OPEN_SECONDS,  # a busy server answers late
        )
        self._reader = asyncio.create_task(self._read(self._socket))
        await self._rerun()

    async def close(self) -> None:
        """Close the tab, or drop its connection; to the server these look the same."""
        for fragment in list(self._timers):
            self._stop_timer(fragment)
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._socket is not None:
            await self._socket.close()

    async def press(self, label: str) -> None:
        """Press a button."""
        button = self._find("button", label)
        await self._rerun(WidgetState(id=button.id, trigger_value=True))

    async def move(self, label: str, by: int) -> None:
        """Move a select slider by so many places, or back if there are not so many left."""
        slider = self._find("slider", label)
        options = list(slider.options)
        shown = self._values[slider.id].string_array_value.data
        place = options.index(shown[0]) + by
        if not 0 <= place < len(options):
            place -= 2 * by
        state = WidgetState(id=slider.id)
        state.string_array_value.data.append(options[place])
        self._values[slider.id] = state
        await self._rerun()

    def slider(self) -> str:
        """The label of the page's first select slider, "" without one."""
        shown = [self._elements[path][1] for path in sorted(self._elements)]
        found = (e.slider.label for e in shown if _kind(e) == "slider" and e.slider.options)
        return next(found, "")

    async def reload(self) -> None:
        """Ask for the page again, as it is."""
        await self._rerun()

    async def go(self, query: str) -> None:
        """Open the page by a link with this query; do not wait for it."""
        self._values, self.query = {}, query
        await self._rerun()

    async def guess(self, place: int) -> None:
        """Choose the option at this place of the page's first radio buttons."""
        radios = [path for path, (_, e) in self._elements.items() if _kind(e) == "radio"]
        radio = self._elements[min(radios)][1].radio
        state = WidgetState(id=radio.id, string_value=radio.options[place])
        self._values[radio.id] = state
        await self._rerun()

    async def poll(self) -> None:
        """Ask for a frame of the live panel; wait for it, or for the page if it asks for one."""
        runs = self.frames + self.finished
        await self._rerun(fragment=self.fragment)
        await self.until(lambda: self.frames + self.finished > runs, OPEN_SECONDS)

    async def until(self, condition: Callable[[], bool], timeout: float | None) -> None:
        """Wait until a condition on what the server has sent is true. Raises TimeoutError."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    if self._reader is not None and self._reader.done():
                        self._reader.result()  # raises what has ended it
                        raise ConnectionError("; ".join(self.errors) or "the connection is closed")
                    self._news.clear()
                    await self._news.wait()
        except (TimeoutError, asyncio.CancelledError) as late:
            late.add_note(f"It waited as {self}.")
            raise

    def points(self) -> int:
        """The number of rows in the tables of all charts on the page."""
        charts = [e.vega_lite_chart for _, e in self._elements.values() if _kind(e) == CHART]
        tables = [data.data.data for chart in charts for data in chart.datasets]
        return sum(pa.ipc.open_stream(table).read_all().num_rows for table in tables)

    def tells(self, words: str) -> bool:
        """Whether any element contains these words, which must be ASCII."""
        return any(words in str(element) for _, element in list(self._elements.values()))

    def shows(self, key: str) -> bool:
        """Whether there is a chart whose clicks are reported under this key."""
        charts = [e.vega_lite_chart for _, e in self._elements.values() if _kind(e) == CHART]
        return any(chart.id.endswith(key) for chart in charts)

    def has(self, kind: str, label: str) -> bool:
        """Whether the page has this widget and it is enabled."""
        return any(
            _kind(element) == kind
            and getattr(element, kind).label == label
            and not getattr(element, kind).disabled
            for _, element in self._elements.values()
        )

    def _find(self, kind: str, label: str) -> Any:
        for _, element in self._elements.values():
            if _kind(element) == kind and getattr(element, kind).label == label:
                return getattr(element, kind)
        raise LookupError(f"the page has no {kind} called {label!r}")

    async def _rerun(self, pressed: WidgetState | None = None, fragment: str = "") -> None:
        message = BackMsg()
        client = message.rerun_script
        client.query_string = self.query
        client.page_script_hash = self._page_hash
        client.page_name = "" if self._page_hash else self.page
        client.fragment_id = fragment
        client.is_auto_rerun = bool(fragment)
        client.widget_states.widgets.extend(self._values.values())
        if pressed is not None:
            client.widget_states.widgets.append(pressed)
        assert self._socket is not None
        await self._socket.send(message.SerializeToString())

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for data in socket:
                message = ForwardMsg()
                message.ParseFromString(data)  # type: ignore[arg-type]
                self._take(message)
                self._news.set()
        except ConnectionClosed as closed:
            self.errors.append(f"connection closed: {closed}")
        finally:
            self._news.set()

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._begin(message)
        elif kind == "delta" and message.delta.HasField("new_element"):
            self._show(tuple(message.metadata.delta_path), message)
        elif kind == "navigation":
            self._page_hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                self._stop_timer(fragment)
        elif kind == "script_finished":
            self._finish(message)
        elif kind in ("page_not_found", "ref_hash"):
            self.errors.append(f"unexpected message: {kind}")

    def _begin(self, message: ForwardMsg) -> None:
        self.id = message.new_session.initialize.session_id
        if not message.metadata.run.fragment_ids:
            self.full_runs += 1
            for fragment in list(self._timers):
                self._stop_timer(fragment)

    def _finish(self, message: ForwardMsg) -> None:
        status = ForwardMsg.ScriptFinishedStatus.Name(message.script_finished)
        if status == "FINISHED_FRAGMENT_RUN_SUCCESSFULLY":
            self.frames += 1
        elif status == "FINISHED_SUCCESSFULLY":
            self.finished += 1
            self._elements = {p: e for p, e in self._elements.items() if e[0] == self.full_runs}
            shown = {
                getattr(getattr(element, _kind(element)), "id", "")
                for _, element in self._elements.values()
            }
            self._values = {i: state for i, state in self._values.items() if i in shown}
        elif status == "FINISHED_WITH_COMPILE_ERROR":
            self.errors.append("the page did not compile")

    def _show(self, path: tuple[int, ...], message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = _kind(element)
        self._elements[path] = self.full_runs, element
        if kind == CHART:
            if self._charts.get(path) != message.hash:
                self._charts[path] = message.hash
                self.chart_changed_in = self.full_runs
        elif kind == "progress" and (found := PROGRESS.search(element.progress.text)):
            step, steps, status = found.groups()
            now = Progress(int(step.replace(",", "")), int(steps.replace(",", "")), status)
            if now != self.progress:
                self.progress = now
                self.history.append((time.perf_counter(), now))
        elif kind == "alert" and element.alert.body.startswith(FIRST_LOOK):
            self.looked_in = self.full_runs
        elif kind == "alert" and element.alert.format == ALERT_ERROR:
            self.errors.append(element.alert.body)
        elif kind == "exception":
            self.errors.append(f"{element.exception.type}: {element.exception.message}")
        elif kind == "slider":
            self._take_over(element.slider)

    def _take_over(self, slider: Any) -> None:
        """Adopt the server's value of a select slider; the other sliders' values are not sent."""
        if (slider.id in self._values and not slider.set_value) or not slider.options:
            return
        state = WidgetState(id=slider.id)
        chosen = list(slider.raw_value) if slider.set_value else []
        places = chosen or [slider.options[int(place)] for place in slider.default]
        state.string_array_value.data.extend(places)
        self._values[slider.id] = state

    def _start_timer(self, fragment: str, interval: float) -> None:
        self.fragment = fragment
        if fragment in self._timers and self._timers[fragment][0] == interval:
            return
        self._stop_timer(fragment)
        self._timers[fragment] = interval, asyncio.create_task(self._tick(fragment, interval))

    def _stop_timer(self, fragment: str) -> None:
        if fragment in self._timers:
            self._timers.pop(fragment)[1].cancel()

    async def _tick(self, fragment: str, interval: float) -> None:
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(interval)
                await self._rerun(fragment=fragment)


def _kind(element: Any) -> str:
    return element.WhichOneof("type")


def together(work: Callable[[], Awaitable[None]], seconds: float = PATIENCE) -> None:
    """Run a coroutine in another thread, because a browser may occupy this thread's event loop.

    Raises TimeoutError if it takes longer than these seconds.
    """

    async def run() -> None:
        async with asyncio.timeout(seconds):
            await work()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()


async def visit(visitor: Session) -> None:
    """Open a page and wait until it is drawn."""
    await visitor.connect()
    await visitor.until(lambda: visitor.finished > 0, None)


async def read_through(visitor: Session) -> None:
    """Read a story until all its measurements are there for everybody who comes later.

    A browser that waited for them would take as much CPU time as the server, to draw their
    progress.
    """
    runs = 0

    def ended() -> bool:
        nonlocal runs
        if runs == (runs := visitor.finished + visitor.frames):
            return False
        return visitor.tells("Go on from here") and not visitor.tells("runs go first")

    with suppress(TimeoutError):  # the next visitor waits for the rest
        async with asyncio.timeout(0.75 * PATIENCE):
            await visit(visitor)
            await visitor.guess(1)
            await visitor.until(ended, None)
    await visitor.close()
    assert visitor.errors == []


async def everybody(visitors: Sequence[Session], astray: bool = False) -> None:
    """Let all visit at the same moment, then leave; `astray` allows them to be told "not found"."""
    try:
        await asyncio.gather(*map(visit, visitors))
    finally:
        await asyncio.gather(*(visitor.close() for visitor in visitors))
    errors = {error for visitor in visitors for error in visitor.errors}
    assert errors <= ({"unexpected message: page_not_found"} if astray else set())
