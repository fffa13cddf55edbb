"""The server from its first import to its end, without a browser: visitors speak its protocol."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import psutil
import pytest

from benchmarks._client import LEARNING_RATE, TRAIN, Session
from benchmarks._server import MNIST, MNIST_VARIABLE
from core.parts.dropout import DROPOUTS
from core.parts.losses import LOSSES
from core.presets import PRESETS
from tests.conftest import ROOT, more
from tests.servers import APP, SCRIPT, SOON, Served, script_elsewhere, served, started
from ui.imports import LIBRARIES
from ui.pages import PAGES

PATIENCE = 240.0  # seconds that many visitors at once may take on a slow machine
COLD = {"SAMENET_WARM_UP": "0"}
KEYS = ["", *PAGES]
OFFICIAL = Path(os.environ.get(MNIST_VARIABLE) or MNIST)
# Writes the names of all loaded modules when it is told to.
SITECUSTOMIZE = """
import signal, sys
signal.signal(signal.SIGUSR1, lambda *_: open({to!r}, "w").write(" ".join(sys.modules) + "\\n"))
"""


def together(work: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine in a thread: a browser of another test may hold this one's event loop."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            await work()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()


async def visit(visitor: Session) -> None:
    """Open a page and wait until it is drawn."""
    await visitor.connect()
    await visitor.until(lambda: visitor.finished > 0, PATIENCE)


async def everybody(visitors: Iterable[Session], but: str = "") -> None:
    """Visit at the same moment, then leave. `but` is the one thing that may go wrong."""
    visitors = list(visitors)
    await asyncio.gather(*map(visit, visitors))
    await asyncio.gather(*(visitor.close() for visitor in visitors))
    errors = [error for visitor in visitors for error in visitor.errors]
    assert [error for error in errors if error != but] == []


# --- imports --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trial", [0, more(1), more(2)])
@pytest.mark.parametrize("way", ["app", "cold", "script"])
def test_a_visitor_on_every_page_of_a_cold_server(tmp_path: Path, way: str, trial: int) -> None:
    command, variables = {"app": (APP, {}), "cold": (APP, COLD), "script": (SCRIPT, {})}[way]
    # A script has pages/ beside it, which leads first deep links astray; the pages are right.
    but = "unexpected message: page_not_found" if way == "script" else ""
    with served(tmp_path, command, **variables) as server:
        pages = random.Random(trial).sample(KEYS, len(KEYS))
        together(lambda: everybody((Session(server.address, page=page) for page in pages), but))
    assert server.complaints() == []


@pytest.mark.timeout(600)
@pytest.mark.skipif(not OFFICIAL.is_dir(), reason=f"no official MNIST files in {OFFICIAL}")
@pytest.mark.parametrize("variables", [more({}, id="warm"), pytest.param(COLD, id="cold")])
def test_full_mnist_breaks_nobody(tmp_path: Path, variables: dict[str, str]) -> None:
    async def work() -> None:
        others = [Session(server.address) for _ in range(20)]
        full = Session(server.address, "source=full&train_size=60000&batch_size=100")
        until = time.monotonic() + 10.0
        await asyncio.gather(full.open(), *(move_until(visitor, until) for visitor in others))
        assert full.progress.steps == 600 * 10
        await asyncio.gather(*(visitor.close() for visitor in [full, *others]))
        assert [error for visitor in [full, *others] for error in visitor.errors] == []

    with served(tmp_path, SAMENET_MNIST_DIR=str(OFFICIAL), **variables) as server:
        together(work)
    assert server.complaints() == []


async def move_until(visitor: Session, deadline: float) -> None:
    """Open the trainer and move a slider again and again."""
    await visit(visitor)
    for moves in count(2):
        if time.monotonic() > deadline:
            return
        await visitor.move(LEARNING_RATE, by=1)
        await visitor.until(lambda moves=moves: visitor.finished >= moves, PATIENCE)


def random_link(chance: random.Random) -> tuple[str, str]:
    """A page, and a query for it with settings that need no program of their own, or junk."""
    settings = {
        "seed": chance.randrange(100_000),
        "loss": chance.choice([*LOSSES, "<b>"]),
        "learning_rate": chance.choice([0.01, 0.1, 1, "1e99", "nan"]),
        "epsilon": chance.choice([1e-7, 1e-3, -1]),
        "dropout": chance.choice([*DROPOUTS, "?"]),
        "label": chance.choice([0, 1, 7]),
        chance.choice(["nope", "train_size", "widths"]): "junk",
    }
    chosen = chance.sample(sorted(settings), chance.randint(0, 4))
    return chance.choice(KEYS), urlencode({name: settings[name] for name in chosen})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("visitors", [30, more(100), more(500)])
def test_random_links_at_once(tmp_path: Path, visitors: int) -> None:
    chance = random.Random(visitors)
    links = [random_link(chance) for _ in range(visitors)]
    with served(tmp_path) as server:
        together(lambda: everybody(Session(server.address, query, page=p) for p, query in links))
    assert server.complaints() == []


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal to ask by")
def test_a_minute_of_use_imports_nothing_new(tmp_path: Path) -> None:
    names = tmp_path / "modules"
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE.format(to=str(names)))

    def loaded() -> set[str]:
        names.unlink(missing_ok=True)
        os.kill(server.process.pid, signal.SIGUSR1)
        while not names.exists() or not names.read_text().endswith("\n"):
            time.sleep(0.05)
        return set(names.read_text().split())

    async def use() -> None:
        await everybody(Session(server.address, page=page) for page in KEYS)
        trainers = [Session(server.address, query) for query in queries]
        for visitor in trainers:
            await visitor.open()
            await visitor.press(TRAIN)
            await visitor.until(lambda v=visitor: v.progress.step > 0, PATIENCE)
            await visitor.close()
            assert visitor.errors == []

    presets = (key for key in PRESETS if not key.endswith("_full"))  # the same on more images
    queries = [f"preset={key}" for key in presets if key != "full_mnist" or OFFICIAL.is_dir()]
    with served(tmp_path, PYTHONPATH=str(tmp_path), SAMENET_MNIST_DIR=str(OFFICIAL)) as server:
        before = loaded()
        together(use)
        assert loaded() - before == set()
        assert set(LIBRARIES) <= before


# --- headers and the end --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/train", "/_stcore/health", "/static/nothing.js"])
def test_headers_of_every_response(shared: Served, path: str) -> None:
    try:
        headers = urlopen(shared.address + path, timeout=SOON).headers
    except HTTPError as error:
        headers = error.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] is headers["Content-Security-Policy"] is None


def test_a_host_may_say_who_embeds(tmp_path: Path) -> None:
    with served(
        tmp_path, **COLD, SAMENET_FRAME_ANCESTORS="'self' https://school.example"
    ) as server:
        headers = urlopen(server.address, timeout=SOON).headers
    policy = headers["Content-Security-Policy"]
    assert policy == "frame-ancestors 'self' https://school.example"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Served]:
    with served(tmp_path_factory.mktemp("server"), **COLD) as server:
        yield server


@pytest.mark.parametrize(
    ("way", "number"),
    [
        ("app", signal.SIGINT),
        ("script", signal.SIGTERM),
        ("elsewhere", signal.SIGINT),
        more("app", signal.SIGTERM),
        more("script", signal.SIGINT),
        more("elsewhere", signal.SIGTERM),
        more("cold", signal.SIGINT),
        more("cold", signal.SIGTERM),
    ],
)
def test_signal_ends_it_in_mid_run(tmp_path: Path, way: str, number: signal.Signals) -> None:
    command = {"script": SCRIPT, "elsewhere": script_elsewhere(tmp_path)}.get(way, APP)

    async def train() -> None:
        visitor = Session(server.address, "epochs=1000")
        await visitor.open()
        await visitor.press(TRAIN)
        await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
        server.process.send_signal(number)
        await asyncio.get_running_loop().run_in_executor(None, server.process.wait, SOON)
        await visitor.close()

    with started(tmp_path, command, **(COLD if way == "cold" else {})) as server:
        server.wait_until_healthy()
        family = psutil.Process(server.process.pid).children(recursive=True)
        together(train)
    assert server.complaints() == []
    assert [child for child in family if child.is_running()] == []


@pytest.mark.parametrize("seconds", [more(0.5), 1.5, more(2.5)])
@pytest.mark.parametrize("command", [APP, more(SCRIPT)], ids=["app", "script"])
def test_signal_ends_it_while_a_page_compiles(
    tmp_path: Path, command: tuple[str, ...], seconds: float
) -> None:
    async def leave() -> None:
        visitor = Session(server.address, page="microscope")
        await visitor.connect()
        await asyncio.sleep(seconds)
        server.process.terminate()
        await asyncio.get_running_loop().run_in_executor(None, server.process.wait, SOON)
        await visitor.close()

    with started(tmp_path, command, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "none")) as server:
        server.wait_until_healthy()
        together(leave)
    assert server.complaints() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_it_while_it_warms_up(tmp_path: Path, number: signal.Signals) -> None:
    """While it imports JAX: before its lifespan begins, a signal is Python's own affair."""
    with started(tmp_path) as server:
        process = psutil.Process(server.process.pid)
        while not any("jaxlib" in each.path for each in process.memory_maps()):
            assert server.process.poll() is None
            time.sleep(0.01)
        server.process.send_signal(number)
        server.process.wait(SOON)
    assert server.complaints() == []


# Notes what is to be called at the end of the process, in the order of registration.
NOTE = """
import atexit
register, noted = atexit.register, []
atexit.register = lambda call, *rest: (noted.append(call.__qualname__), register(call, *rest))[1]
from ui import main, server  # as app.py does
from ui.engine import engine
engine()
print(*noted)
"""


def test_it_ends_before_jax_cleans_up() -> None:
    """What is registered last is called first: pages end, then runs, then JAX.

    Where it ends before there is an engine, pages that still import are waited for in the end.
    """
    ran = subprocess.run([sys.executable, "-c", NOTE], cwd=ROOT, capture_output=True, text=True)
    ends = ["wait_for_scripts", "clean_up", "Engine.close", "wait_for_scripts"]
    assert [name for name in ran.stdout.split() if name in ends] == ends, ran.stderr


def test_browser_opens_for_a_person(tmp_path: Path) -> None:
    with served(tmp_path, **browser_stub(tmp_path), **COLD) as server:
        opened = tmp_path / "opened"
        deadline = time.monotonic() + SOON
        while not opened.exists() or not opened.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert opened.read_text().split() == [server.address]


def test_no_browser_opens_where_headless(tmp_path: Path) -> None:
    stub = {**browser_stub(tmp_path), "STREAMLIT_SERVER_HEADLESS": "true"}
    with served(tmp_path, **stub, **COLD) as server:
        together(lambda: everybody([Session(server.address, page="")]))
    assert not (tmp_path / "opened").exists()


def browser_stub(folder: Path) -> dict[str, str]:
    """The environment in which a browser writes its address into a file."""
    for name in ("xdg-open", "open"):
        stub = folder / name
        stub.write_text(f'#!/bin/sh\necho "$1" >> "{folder}/opened"\n')
        stub.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "BROWSER": str(folder / "open"),
        "STREAMLIT_SERVER_HEADLESS": "false",
        "STREAMLIT_SERVER_SHOW_EMAIL_PROMPT": "false",
        "STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE": "false",
    }


def test_licences_are_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "title: Samenet" in (ROOT / "CITATION.cff").read_text()
