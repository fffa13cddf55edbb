"""Four servers live one life each, from the first link to a signal in mid-run.

Each is started in a different way. The visitors without a browser speak Streamlit's protocol.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psutil
import pytest
from playwright.sync_api import Page

from core.parts.dropout import DROPOUTS
from core.parts.losses import LOSSES
from tests.kit import MINUTE, MNIST_VARIABLE, more, official_mnist
from tests.kit.browser import expect_page
from tests.kit.servers import APP, COLD, SCRIPT, SMALL, Server, script_elsewhere, served, started
from tests.kit.visitor import (
    LEARNING_RATE,
    PATIENCE,
    RUNNING,
    TRAIN,
    Progress,
    Session,
    everybody,
    together,
    visit,
)
from ui.pages import PAGES

pytestmark = pytest.mark.timeout(900)
KEYS = ["", *PAGES]


class Life(NamedTuple):
    """How a server is started, which page its first link opens, and which signal ends it."""

    command: Callable[[Path], tuple[str, ...]]
    first: str  # the page of the first link
    end: signal.Signals
    variables: Mapping[str, str] = MappingProxyType({})
    person: bool = False  # somebody typed `streamlit run`, so the page is opened for them
    is_app: bool = True  # not a script, whose headers are Streamlit's own
    # A script with pages/ beside it tells its first visitors that their page does not exist.
    astray: bool = False


LIVES = {
    "app": Life(lambda _: APP, "train?seed=3", signal.SIGINT, person=True),
    "cold": Life(lambda _: APP, "jax_vs_keras?seed=3", signal.SIGTERM, variables=COLD),
    "script": Life(lambda _: SCRIPT, "train?seed=3", signal.SIGTERM, is_app=False, astray=True),
    "elsewhere": Life(script_elsewhere, "microscope?label=0", signal.SIGINT, is_app=False),
}


@pytest.mark.parametrize("trial", [0, more(1), more(2)])
@pytest.mark.parametrize("way", ["app", *map(more, ("cold", "script", "elsewhere"))])
def test_a_server_lives_without_complaint(tab: Page, tmp_path: Path, way: str, trial: int) -> None:
    life, chance = LIVES[way], random.Random(trial)
    headless = str(not life.person).lower()
    variables = {**opener(tmp_path), "STREAMLIT_SERVER_HEADLESS": headless, **life.variables}
    with started(tmp_path, life.command(tmp_path), **variables) as server:
        server.wait_until_healthy()
        open_the_first_link(tab, server, life)
        pages = [(key, "") for key in chance.sample(KEYS, len(KEYS))]
        links = [random_link(chance) for _ in range(12)]
        for at_once in (pages, links):
            visitors = [Session(server.url, query, page=page) for page, query in at_once]
            together(lambda visitors=visitors: everybody(visitors, life.astray))
        if life.is_app:
            headers_are_ours(server)
            its_state_is_for_this_machine(server)
        family = server.children()
        together(lambda: end_in_mid_run(server, life.end))
    assert server.complaints() == [], server.said()
    assert psutil.wait_procs(family, MINUTE)[1] == [], "no process that it started outlives it"
    shown = tmp_path / "opened"
    assert (shown.read_text().split() if shown.exists() else []) == [server.url] * life.person


def its_state_is_for_this_machine(server: Server) -> None:
    """The host may ask how it is; what comes through a proxy may not."""
    address = f"{server.url}/status"
    with urlopen(address, timeout=MINUTE) as answer:
        told = json.load(answer)
    assert told["ready"] and 0 < told["memory"]["used_bytes"] < told["memory"]["budget_bytes"]
    with pytest.raises(HTTPError, match="403"):
        urlopen(Request(address, headers={"X-Forwarded-For": "127.0.0.1"}), timeout=MINUTE)


def opener(folder: Path) -> dict[str, str]:
    """An environment with a browser that notes the address it is told to open."""
    for name in ("xdg-open", "open"):
        stub = folder / name
        stub.write_text(f'#!/bin/sh\necho "$1" >> "{folder}/opened"\n')
        stub.chmod(0o755)
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "BROWSER": str(folder / "open"),
        "STREAMLIT_SERVER_SHOW_EMAIL_PROMPT": "false",
        "STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE": "false",
    }


def open_the_first_link(tab: Page, server: Server, life: Life) -> None:
    """Expect the page that was asked for, with its query, and no other page or error."""
    for _ in range(1 + life.astray):
        tab.goto(f"{server.url}/{life.first}")
        expect_page(tab, life.first.partition("?")[0], found=False)
    expect_page(tab, life.first.partition("?")[0])
    assert tab.url.endswith(life.first), "the query string stays"
    tab.goto("about:blank")


def random_link(chance: random.Random) -> tuple[str, str]:
    """A page, and a query for it: settings that need no compilation of their own, or junk."""
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


def headers_are_ours(server: Server) -> None:
    """Assert our headers on pages, answers and missing files; no host has allowed embedding."""
    for path in ("/", "/train", "/_stcore/health", "/static/nothing.js"):
        try:
            headers = urlopen(server.url + path, timeout=MINUTE).headers
        except HTTPError as error:
            headers = error.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Frame-Options"] is headers["Content-Security-Policy"] is None


async def end_in_mid_run(server: Server, number: signal.Signals) -> None:
    """Drop a visitor's connection and restore it; then, while their run goes on, end the server."""
    visitor = Session(server.url, "epochs=1000")
    await visitor.open()
    await visitor.press(TRAIN)
    await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
    session, before = visitor.id, visitor.progress.step
    await visitor.close()
    visitor.progress = Progress()
    await visitor.connect()
    await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
    assert (visitor.id, visitor.progress.status) == (session, RUNNING)
    assert visitor.progress.step >= before
    server.process.send_signal(number)
    await asyncio.get_running_loop().run_in_executor(None, server.wait)
    await visitor.close()


# --- one thing each -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_that_is_warming_up(tmp_path: Path, number: signal.Signals) -> None:
    """The signal comes while it imports JAX, before its lifespan begins to handle signals."""
    with started(tmp_path) as server:
        process = psutil.Process(server.process.pid)
        while not any("jaxlib" in each.path for each in process.memory_maps()):
            assert server.process.poll() is None
            time.sleep(0.01)
        server.process.send_signal(number)
        server.wait()
    assert server.complaints() == [], server.said()


@pytest.mark.parametrize("seconds", [more(0.5), 1.5, more(2.5)])
@pytest.mark.parametrize("command", [APP, more(SCRIPT)], ids=["app", "script"])
def test_a_signal_ends_a_server_while_a_page_compiles(
    tmp_path: Path, command: tuple[str, ...], seconds: float
) -> None:
    async def leave() -> None:
        visitor = Session(server.url, page="microscope")
        await visitor.connect()
        await asyncio.sleep(seconds)
        server.process.terminate()
        await asyncio.get_running_loop().run_in_executor(None, server.wait)
        await visitor.close()

    with started(tmp_path, command, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "none")) as server:
        server.wait_until_healthy()
        together(leave)
    assert server.complaints() == [], server.said()


@pytest.mark.slow
def test_a_page_that_was_replaced_leaves_its_successor_a_live_panel(tmp_path: Path) -> None:
    """While a page waits for the first look of its run, the visitor goes back to the run before."""
    link, runs = "epochs=1000&learning_rate=0.000001&until=end", tmp_path / "runs"

    async def go_back() -> None:
        visitor = Session(server.url, link)
        await visitor.open()
        await visitor.go(f"seed=1&{link}")
        while "seed=1" not in runs.read_text():
            await asyncio.sleep(0.02)
        finished = visitor.finished
        await visitor.go(link)
        await visitor.until(lambda: visitor.finished > finished, PATIENCE)
        frames = visitor.frames + 20  # in which the page before ends, too
        await visitor.until(lambda: visitor.frames > frames, PATIENCE)
        await visitor.close()
        assert visitor.errors == []

    slow = {"SAMENET_TESTS_RUNS": str(runs), "SAMENET_TESTS_WAIT": "3"}
    with served(tmp_path, SMALL, **slow) as server:
        together(go_back)


@pytest.mark.slow
@pytest.mark.parametrize("visitors", [30, 200])
def test_random_links_can_be_opened_all_at_once(tmp_path: Path, visitors: int) -> None:
    chance = random.Random(visitors)
    links = [random_link(chance) for _ in range(visitors)]
    with served(tmp_path) as server:
        each = [Session(server.url, query, page=page) for page, query in links]
        together(lambda: everybody(each), PATIENCE + visitors)
    assert server.complaints() == [], server.said()


@pytest.mark.slow
@pytest.mark.skipif(official_mnist() is None, reason="no official MNIST files here")
@pytest.mark.parametrize("variables", [{}, COLD], ids=["warm", "cold"])
def test_loading_full_mnist_breaks_no_other_visit(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    async def work() -> None:
        others = [Session(server.url) for _ in range(20)]
        full = Session(server.url, "source=full&train_size=60000&batch_size=100")
        until = time.monotonic() + 10.0
        await asyncio.gather(full.open(), *(move_until(visitor, until) for visitor in others))
        assert full.progress.steps == 600 * 10
        await asyncio.gather(*(visitor.close() for visitor in [full, *others]))
        assert [error for visitor in [full, *others] for error in visitor.errors] == []

    with served(tmp_path, **{MNIST_VARIABLE: str(official_mnist())}, **variables) as server:
        together(work)
    assert server.complaints() == [], server.said()


async def move_until(visitor: Session, deadline: float) -> None:
    """Open the trainer, and move a slider again and again until the deadline."""
    await visit(visitor)
    for moves in count(2):
        if time.monotonic() > deadline:
            return
        await visitor.move(LEARNING_RATE, by=1)
        await visitor.until(lambda moves=moves: visitor.finished >= moves, PATIENCE)
