"""The trainer in a real Chromium: how fast it answers, and what watching costs.

Each figure comes from a real server on a free loopback port:

slider   While the network trains, ArrowRight is pressed on the learning-rate slider. The page's
         own clock runs from the keydown to the first change of a chart that the key caused. That
         change is in the grey curves, which show the previous run: they are redrawn only when a
         control changes. `any` is the time to the first change of any chart, which may be just
         one more frame of the old run.
frame    The server's CPU time for one frame of the four charts. A run of 400 steps (401 points a
         series) has finished, so nothing trains. A client without a screen asks for frames one
         after the other. The figure is the server's CPU time meanwhile, less what it uses when
         idle for as long, divided by the number of frames. It is measured once for a run alone
         and once for a run with a grey run of the same length behind it.
epoch    Full MNIST (the sample where that is not available), MLP 784-512-512-10, Adam, batch 100,
         with the panel open, timed in the page: the time between its first and last frame of the
         run is divided by the steps between them and turned into seconds an epoch. The bare loop
         of benchmarks.epoch runs in its own process just before and just after.
frames   Frames a second that the browser drew during that run, counted as changes of the progress
         text.

JSON:
  slider   count; median_ms, p95_ms, largest_ms of the answers; any_median_ms, any_p95_ms
  frame    run and run_and_grey, each with count; points: rows in the four charts' tables for a
           frame; cpu_ms: CPU time for a frame; idle_cpu_share: cores that the idle server uses;
           wall_ms: time for a frame
  epoch    data; seconds: with the panel open; steps: over how many steps that was measured;
           bare_seconds: the loop's medians before and after; ratio: seconds over the mean of these
  frames   per_second; largest_gap_ms
  errors   complaints of the browser's console and of the page
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from benchmarks._server import ROOT, Server, say, seconds_to_idle, serving, use_local_mnist
from benchmarks.epoch import CONFIG, full_data
from core.config import RunConfig, to_query
from tests.kit.browser import CHROMIUMS, FLAGS, chromium
from tests.kit.visitor import DONE, LEARNING_RATE, PROGRESS, TRAIN, Session, percentile
from ui.charts import palette

CHART = '[class*="st-key-chart_"]'
# The grey curves, found by their colour: nothing inside a chart has a class of its own.
BEFORE = f'.st-key-chart_accuracy .mark-line path[stroke="{palette.BEFORE}"]'
PROGRESS_BAR = '[data-testid="stProgress"]'
EXCEPTION = '[data-testid="stException"]'
FRAME_QUERY = "train_size=100&batch_size=100&widths=32&epochs=400"  # 400 quick steps, 401 looks
# Long enough for a run not to end between two changes, and short enough for a look every 60 steps.
# With one seed, two runs have the same first look, so the next look must come soon to show a
# difference in a chart.
SLIDER_EPOCHS = 40
READY_SECONDS = 120.0

# Watch the page: window.watched = {chart, before: times of changes, progress: [time, text]}.
WATCH = f"""() => {{
  const paths = (selector) => [...document.querySelectorAll(selector)]
    .map((path) => path.getAttribute('d')).join('|');
  const seen = {{}};
  const watched = window.watched = {{chart: [], before: [], progress: []}};
  const look = () => {{
    const now = performance.now();
    const shown = {{
      chart: paths('{CHART} path'),
      before: paths('{BEFORE}'),
      progress: document.querySelector('{PROGRESS_BAR}')?.innerText ?? '',
    }};
    for (const what in shown) {{
      if (shown[what] === seen[what]) continue;
      seen[what] = shown[what];
      watched[what].push(what === 'progress' ? [now, shown[what]] : now);
    }}
  }};
  new MutationObserver(look).observe(document.body, {{
    subtree: true, childList: true, characterData: true, attributeFilter: ['d'],
  }});
  window.addEventListener('keydown', () => {{
    window.pressed = performance.now();
    watched.chart = []; watched.before = [];
  }}, true);
  look();
}}"""


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--changes", type=int, default=30, help="slider changes (default 30)")
    parser.add_argument("--frames", type=int, default=300, help="frames for the CPU (default 300)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the run (default 10)")
    parser.add_argument("--bare-rounds", type=int, default=5, help="epochs of the bare loop")
    parser.add_argument("--sample", action="store_true", help="the sample even if MNIST is here")
    arguments = parser.parse_args()
    use_local_mnist()
    data, config = trainer(arguments.sample)
    figures: dict[str, Any] = {}
    errors: list[str] = []
    before = bare(arguments.bare_rounds)
    with serving() as server, browser_page(errors) as page:
        open_page(page, server, replace(config, epochs=arguments.epochs))
        watched = watch_a_run(page)
        figures["epoch"] = {"data": data, **epoch(watched["progress"])}
        figures["frames"] = frames(watched["progress"])
        page.goto("about:blank")
        after = bare(arguments.bare_rounds)
        open_page(page, server, replace(config, epochs=SLIDER_EPOCHS))
        figures["slider"] = slider(page, arguments.changes)
        errors += page.locator(EXCEPTION).all_inner_texts()
    with serving() as server:
        figures["frame"] = asyncio.run(frame(server, arguments.frames))
    figures["epoch"]["bare_seconds"] = [before, after]
    if data == "mnist":
        figures["epoch"]["ratio"] = figures["epoch"]["seconds"] / statistics.mean([before, after])
    print(json.dumps({**figures, "errors": errors}, indent=2))


def trainer(sample: bool) -> tuple[str, RunConfig]:
    """The data that is available, and the configuration of the MLP on it."""
    if not sample and full_data(CONFIG)[0] == "mnist":
        return "mnist", CONFIG
    return "sample", replace(CONFIG, source="sample", train_size=4000)


def bare(rounds: int) -> float:
    """Median seconds an epoch of the bare loop, run in a process of its own."""
    if rounds == 0:
        return float("nan")
    command = [sys.executable, "-m", "benchmarks.epoch", "--bare", "--rounds", str(rounds)]
    answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout)["bare"]["median"]


@contextmanager
def browser_page(errors: list[str]) -> Iterator[Page]:
    """A page of a real Chromium; errors in the page are added to `errors`."""
    executable = chromium()
    if executable is None:
        raise RuntimeError(f"no browser found; looked for {CHROMIUMS}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1400, "height": 1300})
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()


def open_page(page: Page, server: Server, config: RunConfig) -> None:
    """Open the trainer, wait until it can train, and start watching it."""
    page.goto(f"{server.url}/train?{urlencode(to_query(config))}")
    page.wait_for_selector(
        f"{CHART} svg.marks path", state="attached", timeout=READY_SECONDS * 1000
    )
    page.get_by_text("After step 0:").wait_for(timeout=READY_SECONDS * 1000)
    page.evaluate(WATCH)


def watch_a_run(page: Page) -> dict[str, Any]:
    """Press Train and watch until the run is over."""
    page.locator(".st-key-train button").click()
    page.locator(PROGRESS_BAR).filter(has_text=DONE).wait_for(timeout=READY_SECONDS * 1000)
    return page.evaluate("window.watched")


def epoch(progress: list[tuple[float, str]]) -> dict[str, Any]:
    """Seconds for 600 steps, an epoch, from the times (ms) at which the progress text changed."""
    shown = steps(progress)
    (start, first), (end, last) = shown[0], shown[-1]
    return {"seconds": 600 * (end - start) / 1000 / (last - first), "steps": last - first}


def steps(progress: list[tuple[float, str]]) -> list[tuple[float, int]]:
    """When (ms) the page first showed each step of a run, step 0 excepted."""
    found = [(at, PROGRESS.search(text)) for at, text in progress]
    times = {int(match[1].replace(",", "")): at for at, match in reversed(found) if match}
    return sorted((at, step) for step, at in times.items() if step > 0)


def frames(progress: list[tuple[float, str]]) -> dict[str, Any]:
    """Frames a second, and the longest time without one."""
    times = [at for at, _ in steps(progress)]
    gaps = [after - before for before, after in pairwise(times)]
    return {"per_second": 1000 * len(gaps) / sum(gaps), "largest_gap_ms": max(gaps)}


def slider(page: Page, changes: int) -> dict[str, Any]:
    """Move the learning rate with the keyboard while the network trains."""
    page.locator(".st-key-train button").click()
    thumb = page.get_by_role("slider", name=LEARNING_RATE)
    answers, first = [], []
    for change in range(changes):
        page.wait_for_timeout(700 + 37 * (change % 10))  # trains on, out of step with the polls
        thumb.focus()
        page.keyboard.press("ArrowRight" if change % 12 < 6 else "ArrowLeft")
        page.wait_for_function("window.watched.before.length > 0", timeout=30_000)
        times = page.evaluate(
            "[window.watched.before[0] - window.pressed, window.watched.chart[0] - window.pressed]"
        )
        say(f"slider change {change + 1}: {times[0]:.0f} ms")
        answers.append(times[0])
        first.append(times[1])
    return {
        "count": changes,
        "median_ms": statistics.median(answers),
        "p95_ms": percentile(answers, 0.95),
        "largest_ms": max(answers),
        "any_median_ms": statistics.median(first),
        "any_p95_ms": percentile(first, 0.95),
    }


async def frame(server: Server, count: int) -> dict[str, Any]:
    """CPU time of the server for one frame while nothing trains."""
    visitor = Session(server.url, FRAME_QUERY)
    await visitor.open()
    await visitor.press(TRAIN)
    await visitor.until(lambda: visitor.progress.status == DONE, READY_SECONDS)
    alone = await frames_of(server, visitor, count)
    runs = visitor.full_runs
    await visitor.move(LEARNING_RATE, by=1)
    await visitor.until(
        lambda: visitor.looked_in > runs and visitor.progress.status == DONE, READY_SECONDS
    )
    with_grey = await frames_of(server, visitor, count)
    await visitor.close()
    return {"run": alone, "run_and_grey": with_grey}


async def frames_of(server: Server, visitor: Session, count: int) -> dict[str, Any]:
    """The figures of polling the same frame `count` times."""
    await seconds_to_idle(server, READY_SECONDS)  # until then copies of the run still train
    for _ in range(5):
        await visitor.poll()
    cpu, wall = await used(server, poll_times(visitor, count))
    idle, idle_wall = await used(server, asyncio.sleep(wall))
    return {
        "count": count,
        "points": visitor.points(),
        "cpu_ms": 1000 * (cpu - idle) / count,
        "idle_cpu_share": idle / idle_wall,
        "wall_ms": 1000 * wall / count,
    }


async def poll_times(visitor: Session, count: int) -> None:
    """Ask for `count` frames, one after the other."""
    for _ in range(count):
        await visitor.poll()


async def used(server: Server, work: Any) -> tuple[float, float]:
    """CPU seconds that the server uses, and wall seconds, while `work` is awaited."""
    cpu, wall = server.cpu_seconds(), time.perf_counter()
    await work
    return server.cpu_seconds() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
