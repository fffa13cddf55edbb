"""The first visitor of a server that has just started, in a real Chromium.

`python -m benchmarks.cold --beside FOLDER` measures another checkout in the same run, taking turns
round by round. The peers are `here`, `small` (here with SAMENET_WARM_UP=0) and `beside`. Each
server starts with no compiled program on disk, and each visitor with an empty browser cache.

JSON, by peer; each figure has the values of all rounds, in seconds or MB, and their median:
  listens_s     from the start of the process to its first answer
  at_once_s     for a visitor who comes at that moment: to the trainer's first chart
  total_s       from the start of the process to that visitor's first chart
  idle_mb       resident memory before anybody came, --settle seconds after the server answered
  later_s       for a visitor who comes then: to the trainer's first chart
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks._server import ROOT, Server, say, serving
from benchmarks.live import CHART, READY_SECONDS
from tests.kit.browser import FLAGS, chromium

FIGURES = ("listens_s", "at_once_s", "total_s", "idle_mb", "later_s")


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--settle", type=float, default=10.0, help="idle seconds (default 10)")
    parser.add_argument("--beside", type=Path, help="another checkout to measure in turn")
    arguments = parser.parse_args()
    peers: dict[str, tuple[Path, dict[str, str]]] = {
        "here": (ROOT, {}),
        "small": (ROOT, {"SAMENET_WARM_UP": "0"}),
    }
    if arguments.beside:
        peers["beside"] = (arguments.beside.resolve(), {})
    found: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        for number in range(arguments.rounds):
            for name, (root, variables) in peers.items():
                found[name].append(measure(browser, root, variables, arguments.settle))
                say(f"round {number + 1}, {name}: {found[name][-1]}")
        browser.close()
    print(json.dumps({name: summary(rounds) for name, rounds in found.items()}, indent=2))


def measure(
    browser: Browser, root: Path, variables: dict[str, str], settle: float
) -> dict[str, float]:
    """One round: one server that is visited at once, and another that is visited later."""
    figures = {}
    with fresh(root, variables) as server:
        figures["listens_s"] = server.listens_s
        figures["at_once_s"] = first_chart(browser, server.url)
        figures["total_s"] = figures["listens_s"] + figures["at_once_s"]
    with fresh(root, variables) as server:
        time.sleep(settle)
        figures["idle_mb"] = server.memory() / 1e6
        figures["later_s"] = first_chart(browser, server.url)
    return figures


@contextmanager
def fresh(root: Path, variables: dict[str, str]) -> Iterator[Server]:
    """A server that finds no compiled programs on disk."""
    with (
        TemporaryDirectory() as programs,
        serving(root, JAX_COMPILATION_CACHE_DIR=programs, **variables) as server,
    ):
        yield server


def first_chart(browser: Browser, url: str) -> float:
    """Seconds until the trainer shows a curve."""
    context = browser.new_context(viewport={"width": 1400, "height": 1300})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(f"{url}/train", wait_until="commit")
    page.wait_for_selector(
        f"{CHART} svg.marks path", state="attached", timeout=READY_SECONDS * 1000
    )
    seconds = time.perf_counter() - start
    context.close()
    return seconds


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The values of each figure and their median."""
    values = {name: [round(one[name], 3) for one in rounds] for name in FIGURES}
    return {
        name: {"median": statistics.median(each), "values": each} for name, each in values.items()
    }


if __name__ == "__main__":
    main()
