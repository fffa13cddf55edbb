"""Thirty visitors spread over every page, beside as many on the trainer, on one server.

`python -m benchmarks.mixed` starts a server on a free loopback port, and reads every page once, so
that what it compiles and measures is there. In each trial, the visitors
first all have the trainer open, with runs that go on and on; then they are spread over all pages,
evenly, those on stories having guessed, so that the stories train. Each visitor moves a slider
--changes times, at random moments within --seconds; on a page without a slider it does what there
is to do, or loads the page again. `--cores 0` gives the server one core.

    sessions, trials, changes, seconds, cores
    trainer, spread     ms from a slider to the first changed chart: count, median, p95, largest,
                        and unanswered, each of which counts as the 15 s waited for it
    by_page             the same of the visitors who are spread, by page; also of what is done on
                        the pages without a slider, until the page is drawn
    p95_over_trainer    of the two p95: all sliders of the spread visitors over those of the trainer
    by_trial            the ratio in each trial
    errors, server_errors, server_cpu_s, server_memory_mb
"""

import argparse
import asyncio
import json
import random
import time
from collections import defaultdict
from typing import Any

from benchmarks._server import Server, say, seconds_to_idle, serving
from benchmarks.load import (
    CHANGE_PATIENCE,
    ENDLESS,
    close_all,
    complaints,
    first_visit,
    resources,
    spread,
    together,
)
from tests.kit.visitor import LEARNING_RATE, PAGE, TRAIN, Session, visit
from ui.pages import PAGES

QUERIES = {"compare": "pair=question"}
PRESSED = ("Swap",)  # what there is to do without a slider

Waits = dict[str, list[float | None]]  # page -> seconds of each change; None: never answered


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=30)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--warm", type=float, default=120.0, help="seconds for a page's first run")
    parser.add_argument("--cores", type=int, nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with serving(cores=arguments.cores) as server:
        figures = asyncio.run(measure(server, arguments)) | resources(server)
    print(json.dumps({**vars(arguments), **figures}, indent=2))


async def measure(server: Server, arguments: argparse.Namespace) -> dict[str, Any]:
    """Alternate the two, so that other work on the machine meets both."""
    await first_visit(server)
    for page in PAGES:
        visitor = Session(server.url, QUERIES.get(page, ""), page=page)
        await begin(visitor)
        await change(visitor)
        say(f"{page} at rest after {await seconds_to_idle(server, arguments.warm)} s")
        await close_all([visitor])
    chance, errors = random.Random(arguments.seed), list[str]()
    alone: list[float | None] = []
    pages: Waits = defaultdict(list)
    ratios = []
    for trial in range(arguments.trials):
        here = await one(server, [PAGE] * arguments.sessions, arguments, chance, errors)
        everywhere = [PAGE, *(key for key in PAGES if key != PAGE)]
        those = [everywhere[i % len(everywhere)] for i in range(arguments.sessions)]
        there = await one(server, those, arguments, chance, errors)
        alone += here[PAGE]
        for page, waits in there.items():
            pages[page] += waits
        ratios.append(spread(sliders(there))["p95"] / spread(here[PAGE])["p95"])
        say(f"trial {trial}: {ratios[-1]:.2f}")
    moved = sliders(pages)
    return {
        "trainer": {"count": len(alone), **spread(alone)},
        "spread": {"count": len(moved), **spread(moved)},
        "by_page": {page: {"count": len(waits), **spread(waits)} for page, waits in pages.items()},
        "p95_over_trainer": spread(moved)["p95"] / spread(alone)["p95"],
        "by_trial": ratios,
        "errors": errors,
    }


def sliders(pages: Waits) -> list[float | None]:
    """The waits for a chart after a slider, on all pages that have one."""
    return [wait for page, waits in pages.items() if not page.endswith(DRAWN) for wait in waits]


DRAWN = ", drawn"  # behind the name of a page whose visitors wait for the page, not for a chart


async def one(
    server: Server,
    pages: list[str],
    arguments: argparse.Namespace,
    chance: random.Random,
    errors: list[str],
) -> Waits:
    """Have one visitor on each of these pages, who changes something now and then."""
    visitors = [Session(server.url, query(page, chance), page=page) for page in pages]
    await together(begin(visitor) for visitor in visitors)
    waits: Waits = defaultdict(list)

    async def act(visitor: Session, moments: list[float]) -> None:
        started = time.monotonic()
        for moment in sorted(moments):
            await asyncio.sleep(max(0.0, moment - (time.monotonic() - started)))
            where, wait = await change(visitor)
            waits[where].append(wait)

    count, seconds = arguments.changes, arguments.seconds
    moments = [[chance.uniform(0, seconds) for _ in range(count)] for _ in visitors]
    await together(map(act, visitors, moments))
    await close_all(visitors)
    errors += complaints(visitors)
    return waits


def query(page: str, chance: random.Random) -> str:
    """The query that a visitor of this page comes with."""
    if page == PAGE:
        return f"seed={chance.randrange(10**6)}&{ENDLESS}"
    return QUERIES.get(page, "")


async def begin(visitor: Session) -> None:
    """Open the page, and have it train if it can."""
    if visitor.page == PAGE:
        await visitor.open()
        await visitor.press(TRAIN)
        return
    await visit(visitor)
    if PAGES[visitor.page].section == "Stories":
        await visitor.guess(1)


async def change(visitor: Session) -> tuple[str, float | None]:
    """Change something; where, and the seconds to what came of it, None if nothing did."""
    label = LEARNING_RATE if visitor.page == PAGE else visitor.slider()
    before, finished, since = visitor.full_runs, visitor.finished, time.perf_counter()
    try:
        if label:
            await visitor.move(label, by=1)
            await visitor.until(lambda: visitor.chart_changed_in > before, CHANGE_PATIENCE)
        else:
            pressed = next((each for each in PRESSED if visitor.has("button", each)), None)
            await (visitor.press(pressed) if pressed else visitor.reload())
            await visitor.until(lambda: visitor.finished > finished, CHANGE_PATIENCE)
    except TimeoutError:
        return visitor.page if label else visitor.page + DRAWN, None
    return visitor.page if label else visitor.page + DRAWN, time.perf_counter() - since


if __name__ == "__main__":
    main()
