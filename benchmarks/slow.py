"""A slow host: the server runs on one core of the processor, its visitors on the others.

`python -m benchmarks.slow --beside FOLDER` measures another checkout in the same run, taking turns
round by round. The peers are `here` and `beside`. Each round has fresh servers with no compiled
program on disk. The visitors speak Streamlit's own websocket protocol.

JSON, by peer; each figure has the values of all rounds, in seconds, and their median:
  cold_train_s        for a visitor who comes at once: until the trainer charts its first look
  cold_microscope_s   the same for the microscope on another server, until a chart has a point
  cold_settled_s      until the microscope has finished all that it draws by itself
  slider_p95_s, slider_median_s
                      thirty visitors train runs that do not end, and move the learning rate one
                      after the other: from sending a change to the first look at the new run
  at_once_p95_s, at_once_median_s
                      the same when all thirty move it at once
`ratio` (with --beside) is the median here over the median there, for each figure. `profile` (with
--profile, which takes one more round) is CPU seconds by activity in each of these spans; it samples
every 10 ms, which slows the server down.
"""

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._server import ROOT, Server, say, serving
from benchmarks.load import ENDLESS, close_all, open_all, together
from tests.kit.visitor import LEARNING_RATE, TRAIN, Session, percentile

SERVER = 0  # the server's core
SETTLED = "microscope_who_chart"  # when the page has finished too, the microscope has drawn all
WAIT = 300.0  # seconds
SETTLE = 1.0  # seconds by which a profile may lag

Figures = dict[str, float]


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--sessions", type=int, default=30, help="visitors (default 30)")
    parser.add_argument("--profile", action="store_true", help="say where the time goes, too")
    parser.add_argument("--beside", type=Path, help="another checkout to measure in turn")
    arguments = parser.parse_args()
    others = os.sched_getaffinity(0) - {SERVER}
    if not others:
        parser.error("this needs one core for the server and another for its visitors")
    os.sched_setaffinity(0, others)
    peers = {"here": ROOT}
    if arguments.beside:
        peers["beside"] = arguments.beside.resolve()
    found: dict[str, list[Figures]] = {name: [] for name in peers}
    for number in range(arguments.rounds):
        for name, root in peers.items():
            found[name].append(one_round(root, arguments.sessions, Profile()))
            say(f"round {number + 1}, {name}: {found[name][-1]}")
    shown: dict[str, Any] = {name: summary(rounds) for name, rounds in found.items()}
    if arguments.beside:
        shown["ratio"] = {
            name: figure["median"] / max(shown["beside"][name]["median"], 1e-9)
            for name, figure in shown["here"].items()
        }
    if arguments.profile:
        shown["profile"] = {n: profiled(root, arguments.sessions) for n, root in peers.items()}
    print(json.dumps({"sessions": arguments.sessions, **shown}, indent=2))


class Profile:
    """Where a server's time goes in each span of the measurement; does nothing without a file."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.spans: dict[str, dict[str, float]] = {}

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Record under `name` what the server uses while the block runs."""
        before = self._now()
        yield
        if self.file is not None:
            spent = self._now() - before
            self.spans[name] = {what: round(s, 2) for what, s in spent.most_common()}

    def _now(self) -> Counter[str]:
        if self.file is None:
            return Counter()
        time.sleep(SETTLE)
        return Counter(json.loads(self.file.read_text())) if self.file.exists() else Counter()


def profiled(root: Path, sessions: int) -> dict[str, dict[str, float]]:
    """CPU seconds by span and by activity."""
    with TemporaryDirectory() as folder:
        profile = Profile(Path(folder) / "profile.json")
        one_round(root, sessions, profile)
    return profile.spans


def one_round(root: Path, sessions: int, profile: Profile) -> Figures:
    """All figures of one round, from fresh servers."""
    with fresh(root, profile) as server, profile.span("cold microscope"):
        figures = asyncio.run(microscope(server))
    with fresh(root, profile) as server:
        return figures | asyncio.run(trainer(server, sessions, profile))


@contextmanager
def fresh(root: Path, profile: Profile) -> Iterator[Server]:
    """A server on one core that finds no compiled programs on disk."""
    if profile.file is not None:
        profile.file.unlink(missing_ok=True)
    with (
        TemporaryDirectory() as programs,
        serving(root, {SERVER}, profile.file, JAX_COMPILATION_CACHE_DIR=programs) as server,
    ):
        yield server


async def microscope(server: Server) -> Figures:
    """Visit the microscope as its first visitor."""
    visitor, start = Session(server.url, page="microscope"), time.perf_counter()
    await visitor.connect()
    await visitor.until(lambda: visitor.points() > 0, WAIT)
    first = time.perf_counter() - start
    await visitor.until(lambda: visitor.shows(SETTLED) and visitor.finished > 0, WAIT)
    settled = time.perf_counter() - start
    await visitor.close()
    return {"cold_microscope_s": first, "cold_settled_s": settled}


async def trainer(server: Server, sessions: int, profile: Profile) -> Figures:
    """Visit the trainer as its first visitor; then let many train and move a slider."""
    with profile.span("cold trainer"):
        visitor, start = Session(server.url), time.perf_counter()
        await visitor.connect()
        await visitor.until(lambda: visitor.looked_in > 0 and visitor.points() > 0, WAIT)
        figures = {"cold_train_s": time.perf_counter() - start}
        await visitor.close()
    visitors = await open_all(server, [f"seed={seed}&{ENDLESS}" for seed in range(1, sessions + 1)])
    await together(visitor.press(TRAIN) for visitor in visitors)
    await asyncio.sleep(2.0)
    with profile.span("sliders, one after the other"):
        alone = [await change(visitor) for visitor in visitors]
    with profile.span("sliders, all at once"):
        at_once = await together(change(visitor) for visitor in visitors)
    await close_all(visitors)
    for name, seconds in (("slider", alone), ("at_once", at_once)):
        figures[f"{name}_median_s"] = statistics.median(seconds)
        figures[f"{name}_p95_s"] = percentile(seconds, 0.95)
    return figures


async def change(visitor: Session) -> float:
    """Seconds to the first look at the new run; its charts may still show the run before."""
    before, start = visitor.full_runs, time.perf_counter()
    await visitor.move(LEARNING_RATE, by=1)
    await visitor.until(lambda: visitor.looked_in > before, WAIT)
    return time.perf_counter() - start


def summary(rounds: list[Figures]) -> dict[str, Any]:
    """The values of each figure and their median."""
    return {
        name: {
            "median": statistics.median(one[name] for one in rounds),
            "values": [round(one[name], 3) for one in rounds],
        }
        for name in rounds[0]
    }


if __name__ == "__main__":
    main()
