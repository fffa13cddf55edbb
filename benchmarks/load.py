"""Many visitors on one server, by a client that speaks Streamlit's own websocket protocol.

`python -m benchmarks.load SCENARIO`: each scenario starts its own server on a free loopback port
and stops it at the end. How many trainings the server ran, paused and freed is read from its log,
which has one line for each ("run started", "run paused", "run freed").

thirty-seeds  30 sessions of the question, each with its own seed, press Train at once. Then 30
              others train without end; some of them (--changes) move the learning rate one after
              the other, and then all move it at once.
    finish_s            from the common start to the end of each run: fastest, median, slowest
    half_time           half-way through the slowest run: steps done by the slowest and the fastest
                        run, and their ratio, fastest over slowest (null if the slowest has none)
    slider_ms           ms from a change to the first chart of the page's answer: count, median,
                        p95, largest, and unanswered: how many answers never came, each of which
                        counts as the 15 s waited for it. first_look_*: the same to the first
                        snapshot of the new run
    slider_at_once_ms   the same when all move it at once
one-preset    30 sessions of one preset press Train at once.
    finish_s            as above
    trainings           how many runs of it the server's log says were started; null if it says
                        nothing
greedy        28 visitors, one after the other, open the trainer and move its learning rate: alone,
              beside two visitors whose runs take long steps (--heavy is their query), and beside a
              sweep.
    alone, heavy, sweep
        open_ms: to the first look; slider_ms: as above
    heavy_over_alone, sweep_over_alone
        ratios of the medians: open, slider (to the first look)
soak          10 sessions start, change, pause and abandon runs at random (--minutes, --seed).
    actions             how often each thing was done
    memory_mb           resident memory of the server as [seconds, MB], every 10 s
    at_quarter_mb, at_end_mb, end_over_quarter
                        mean memory in the 30 s around a quarter of the time (minute 5 of 20), mean
                        memory in the last 30 s, and the second over the first
drop          The websocket is dropped for 3 s in mid-run and comes back with its session.
    same_session, step_before, step_after, still_running, trainings
close         The tab is closed in mid-run.
    paused_after_s, freed_after_s
                        when the log said so; null if it had not within 25 s and 120 s
    idle_after_s        until the server used less than a tenth of a core for 2 s; null if never
stop          Ctrl-C is sent to the server in mid-run.
    exit_code (null if it had to be killed), seconds, orphans: processes of its own left over,
    still_listening, last_log: the end of its log
every scenario
    first_open_s: until the first page of a fresh server describes the network; open_s: until all
    of the scenario's sessions, opened together, have done so; sessions; errors: complaints of pages
    and connections; server_errors: tracebacks and errors in its log; server_cpu_s;
    server_memory_mb
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import psutil

from benchmarks._server import Server, say, seconds_to_idle, serving
from tests.kit.visitor import (
    DONE,
    LEARNING_RATE,
    PAUSE,
    RESET,
    RUNNING,
    STEP,
    TRAIN,
    Session,
    percentile,
)

START_SWEEP = "Start the sweep"
HEAVY = "widths=4096-4096&train_size=4000&batch_size=4000&epochs=1000"
ENDLESS = "epochs=1000"  # the question, in a run that outlasts the measurement
STARTED, RUN_PAUSED, FREED = "run started", "run paused", "run freed"
PATIENCE = 120.0  # seconds that anything may take
CHANGE_PATIENCE = 15.0  # seconds that a slider change may take
SAMPLE_SECONDS = 10.0

Figures = dict[str, Any]


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--sessions", type=int, help="default 30, greedy 28, soak 10")
    parser.add_argument("--changes", type=int, default=10, help="slider changes one by one")
    parser.add_argument("--minutes", type=float, default=20.0, help="of soak (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of soak's choices (default 0)")
    parser.add_argument("--heavy", default=HEAVY, help=f"of greedy (default {HEAVY})")
    arguments = parser.parse_args()
    with serving() as server:
        figures = asyncio.run(measure(server, arguments))
        figures |= figures.pop("server", None) or resources(server)
    print(json.dumps({"scenario": arguments.scenario, **figures}, indent=2))


async def measure(server: Server, arguments: argparse.Namespace) -> Figures:
    """Run a scenario, after the first visit that every scenario needs."""
    first = await first_visit(server)
    return {"first_open_s": first, **await SCENARIOS[arguments.scenario](server, arguments)}


def resources(server: Server) -> Figures:
    """What the server has used, and the errors in its log."""
    return {
        "server_errors": [line for _, line in server.log if "Traceback" in line or "Error" in line],
        "server_cpu_s": server.cpu_seconds(),
        "server_memory_mb": server.memory() / 2**20,
    }


async def thirty_seeds(server: Server, arguments: argparse.Namespace) -> Figures:
    """Start many runs at once, then move sliders while they train."""
    count = arguments.sessions or 30
    start = time.monotonic()
    visitors = await open_all(server, [f"seed={seed}" for seed in range(1, count + 1)])
    open_s = time.monotonic() - start
    figures = await race(visitors)
    await close_all(visitors)
    endless = await open_all(server, [f"seed={seed}&{ENDLESS}" for seed in range(1, count + 1)])
    await together(visitor.press(TRAIN) for visitor in endless)
    await asyncio.sleep(2.0)
    say("sliders, one after the other")
    figures["slider_ms"] = latencies([await change(v) for v in endless[: arguments.changes]])
    say("sliders, all at once")
    figures["slider_at_once_ms"] = latencies(await together(change(v) for v in endless))
    await close_all(endless)
    errors = complaints([*visitors, *endless])
    return {"sessions": count, "open_s": open_s, **figures, "errors": errors}


async def one_preset(server: Server, arguments: argparse.Namespace) -> Figures:
    """Have many visitors share one run."""
    count = arguments.sessions or 30
    start = time.monotonic()
    visitors = await open_all(server, ["loss=clip"] * count)
    open_s = time.monotonic() - start
    figures = await race(visitors)
    await close_all(visitors)
    return {
        "sessions": count,
        "open_s": open_s,
        **figures,
        "trainings": started(server, {"loss": "clip"}),
        "errors": complaints(visitors),
    }


async def greedy(server: Server, arguments: argparse.Namespace) -> Figures:
    """Compare plain visitors with plain visitors beside some who take all that they can get."""
    count = arguments.sessions or 28
    errors: list[str] = []
    figures = {"alone": await plain(server, count, 1000, errors)}
    heavy = [Session(server.url, f"{arguments.heavy}&seed={seed}") for seed in (1, 2)]
    await together(visitor.open() for visitor in heavy)
    await together(visitor.press(TRAIN) for visitor in heavy)
    await together(
        visitor.until(lambda v=visitor: v.progress.status == RUNNING, PATIENCE) for visitor in heavy
    )
    say("beside two heavy runs")
    figures["heavy"] = await plain(server, count, 2000, errors)
    await close_all(heavy)
    await seconds_to_idle(server, PATIENCE)
    sweeper = Session(server.url, page="sweep")
    await sweeper.connect()
    await sweeper.until(lambda: sweeper.has("button", START_SWEEP), PATIENCE)
    await sweeper.press(START_SWEEP)
    await sweeper.until(lambda: sweeper.points() > 0, PATIENCE)
    say("beside a sweep")
    figures["sweep"] = await plain(server, count, 3000, errors)
    await close_all([sweeper])
    errors += complaints([*heavy, sweeper])
    ratios = {f"{other}_over_alone": over(figures[other], figures["alone"])
              for other in ("heavy", "sweep")}  # fmt: skip
    return {"sessions": count, **figures, **ratios, "errors": errors}


async def plain(server: Server, count: int, seed: int, errors: list[str]) -> Figures:
    """Let `count` visitors come one by one, each with a seed that nobody else has."""
    opened, changed = [], []
    for i in range(count):
        visitor, start = Session(server.url, f"seed={seed + i}"), time.perf_counter()
        await visitor.open()
        opened.append(time.perf_counter() - start)
        changed.append(await change(visitor))
        await visitor.close()
        errors += complaints([visitor])
    return {"open_ms": spread(opened), "slider_ms": latencies(changed)}


def over(here: Figures, there: Figures) -> Figures:
    """Ratios of the medians."""
    of = {"open": ("open_ms", "median"), "slider": ("slider_ms", "first_look_median")}
    return {name: here[what][which] / there[what][which] for name, (what, which) in of.items()}


async def soak(server: Server, arguments: argparse.Namespace) -> Figures:
    """Measure memory while visitors come and go."""
    count, seconds = arguments.sessions or 10, 60 * arguments.minutes
    start = time.monotonic()
    done: Counter[str] = Counter()
    errors: list[str] = []
    sampling = asyncio.create_task(sample_memory(server, start + seconds))
    await together(
        wander(server, random.Random(arguments.seed * 1000 + i), start + seconds, done, errors)
        for i in range(count)
    )
    curve = await sampling
    quarter = around(curve, seconds / 4 - 15, seconds / 4 + 15)
    end = around(curve, seconds - 30, seconds + 30)
    return {
        "sessions": count,
        "minutes": arguments.minutes,
        "actions": dict(sorted(done.items())),
        "memory_mb": curve,
        "at_quarter_mb": quarter,
        "at_end_mb": end,
        "end_over_quarter": end / quarter,
        "errors": errors,
    }


async def drop(server: Server, arguments: argparse.Namespace) -> Figures:
    """Lose a connection for a while."""
    [visitor] = await open_all(server, ["seed=1&" + ENDLESS])
    await visitor.press(TRAIN)
    await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
    session, before = visitor.id, visitor.progress.step
    await visitor.close()
    await asyncio.sleep(3.0)
    visitor.progress = type(visitor.progress)()
    await visitor.connect()
    await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
    first = visitor.progress.step
    await visitor.until(lambda: visitor.progress.step > first, PATIENCE)
    figures = {
        "same_session": visitor.id == session,
        "step_before": before,
        "step_after": first,
        "still_running": visitor.progress.status == RUNNING,
        "trainings": started(server, {"seed": 1, "epochs": 1000}),
    }
    await visitor.close()
    return {"sessions": 1, **figures, "errors": complaints([visitor])}


async def close(server: Server, arguments: argparse.Namespace) -> Figures:
    """Close a tab."""
    [visitor] = await open_all(server, ["seed=1&" + ENDLESS])
    await visitor.press(TRAIN)
    await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
    await visitor.close()
    closed = time.monotonic()
    idle, paused = await asyncio.gather(
        seconds_to_idle(server, PATIENCE), seconds_to_line(server, RUN_PAUSED, closed, 25.0)
    )
    freed = await seconds_to_line(server, FREED, closed, PATIENCE) if paused else None
    return {
        "sessions": 1,
        "paused_after_s": paused,
        "idle_after_s": idle,
        "freed_after_s": freed,
        "errors": complaints([visitor]),
    }


async def stop(server: Server, arguments: argparse.Namespace) -> Figures:
    """Stop a server."""
    [visitor] = await open_all(server, ["seed=1&" + ENDLESS])
    await visitor.press(TRAIN)
    await visitor.until(lambda: visitor.progress.step > 0, PATIENCE)
    family, last = server.children(), resources(server)
    start = time.monotonic()
    code = await asyncio.to_thread(server.stop)
    seconds = time.monotonic() - start
    errors = [error for error in visitor.errors if "connection closed" not in error]
    await visitor.close()
    return {
        "sessions": 1,
        "exit_code": code,
        "seconds": seconds,
        "orphans": [process.pid for process in psutil.wait_procs(family, timeout=1.0)[1]],
        "still_listening": server.listening(),
        "last_log": [line for _, line in server.log[-5:]],
        "errors": errors,
        "server": last,
    }


SCENARIOS: dict[str, Callable[[Server, argparse.Namespace], Awaitable[Figures]]] = {
    "thirty-seeds": thirty_seeds,
    "one-preset": one_preset,
    "greedy": greedy,
    "soak": soak,
    "drop": drop,
    "close": close,
    "stop": stop,
}


async def open_all(server: Server, queries: Sequence[str]) -> list[Session]:
    """A session for each query, all of them open and ready to train."""
    visitors = [Session(server.url, query) for query in queries]
    start = time.monotonic()
    await together(visitor.open() for visitor in visitors)
    say(f"{len(visitors)} open after {time.monotonic() - start:.1f} s")
    return visitors


async def first_visit(server: Server) -> float:
    """Seconds until a fresh server's first visitor sees the network; then the visitor leaves."""
    start = time.monotonic()
    await close_all(await open_all(server, [ENDLESS]))
    return time.monotonic() - start


def started(server: Server, differences: Figures) -> int | None:
    """How many runs with these differences from the default the log says were started.

    None if the log mentions no start at all. Do not count the question's own runs: the server also
    starts those by itself when nobody is waiting for it.
    """
    return len(server.lines(f"{STARTED}: {differences}")) if server.lines(STARTED) else None


async def close_all(visitors: Sequence[Session]) -> None:
    """Close every tab."""
    await together(visitor.close() for visitor in visitors)


async def together(work: Any) -> list[Any]:
    """The results of several coroutines run side by side."""
    return list(await asyncio.gather(*work))


async def race(visitors: Sequence[Session]) -> Figures:
    """Have all press Train at once; when each is done, and how far they were at half-time."""
    start = time.perf_counter()
    await together(visitor.press(TRAIN) for visitor in visitors)
    await together(visitor.until(lambda v=visitor: v.progress.status == DONE, PATIENCE)
                   for visitor in visitors)  # fmt: skip
    finish = [visitor.history[-1][0] - start for visitor in visitors]
    steps = [step_at(visitor, start + max(finish) / 2) for visitor in visitors]
    slowest, fastest = min(steps), max(steps)
    return {
        "finish_s": {
            "fastest": min(finish),
            "median": statistics.median(finish),
            "slowest": max(finish),
        },
        "half_time": {
            "slowest_step": slowest,
            "fastest_step": fastest,
            "ratio": fastest / slowest if slowest else None,
        },
    }


def step_at(visitor: Session, moment: float) -> int:
    """The step that the visitor's page showed at this moment."""
    return max((shown.step for at, shown in visitor.history if at <= moment), default=0)


async def change(visitor: Session) -> tuple[float | None, float | None]:
    """Seconds to the first chart and to the first look; None, and an error, for a missing one."""
    before, start = visitor.full_runs, time.perf_counter()
    seconds: list[float | None] = [None, None]
    try:
        await visitor.move(LEARNING_RATE, by=1)
        await visitor.until(lambda: visitor.chart_changed_in > before, CHANGE_PATIENCE)
        seconds[0] = time.perf_counter() - start
        await visitor.until(lambda: visitor.looked_in > before, CHANGE_PATIENCE)
        seconds[1] = time.perf_counter() - start
    except TimeoutError:
        visitor.errors.append(f"a slider was not answered in full: {visitor}")
    return seconds[0], seconds[1]


def latencies(changes: Sequence[tuple[float | None, float | None]]) -> Figures:
    """The figures of several changes, for the first chart and for the first look."""
    charts, looks = zip(*changes, strict=True)
    return {
        "count": len(changes),
        **spread(charts),
        **{f"first_look_{name}": figure for name, figure in spread(looks).items()},
    }


def spread(seconds: Sequence[float | None]) -> Figures:
    """Figures in ms. An answer that never came counts as the time waited for it."""
    waited = [1000 * (CHANGE_PATIENCE if each is None else each) for each in seconds]
    return {
        "median": statistics.median(waited),
        "p95": percentile(waited, 0.95),
        "largest": max(waited),
        "unanswered": sum(each is None for each in seconds),
    }


def complaints(visitors: Sequence[Session]) -> list[str]:
    """The errors of all these visitors."""
    return [error for visitor in visitors for error in visitor.errors]


async def wander(
    server: Server, chance: random.Random, end: float, done: Counter[str], errors: list[str]
) -> None:
    """Send one visitor after another until the end; each abandons what it started."""
    while time.monotonic() < end:
        query = chance.choice(
            [
                f"seed={chance.randrange(1000)}&epochs={chance.choice([10, 50, 400])}",
                f"task=digits&loss=from_logits&scaling=unit&optimizer=adam&learning_rate=0.001"
                f"&train_size=4000&batch_size=100&epochs=20&seed={chance.randrange(1000)}",
                f"widths={chance.choice(['32', '256', '256-256'])}&epochs=100",
            ]
        )
        visitor = Session(server.url, query)
        try:
            await visitor.open()
            done["open"] += 1
            for _ in range(chance.randrange(3, 12)):
                done[await act(visitor, chance)] += 1
                await asyncio.sleep(chance.uniform(0.2, 4.0))
                if time.monotonic() > end:
                    break
        except (TimeoutError, ConnectionError, OSError) as error:
            errors.append(f"{type(error).__name__}: {error}")
        await visitor.close()
        errors += visitor.errors
        await asyncio.sleep(chance.uniform(0.0, 2.0))


async def act(visitor: Session, chance: random.Random) -> str:
    """Do one thing that the page offers."""
    presses = [label for label in (TRAIN, PAUSE, STEP, RESET) if visitor.has("button", label)]
    weighted = [*presses, *(TRAIN,) * (TRAIN in presses), LEARNING_RATE, LEARNING_RATE]
    choice = chance.choice(weighted)
    if choice == LEARNING_RATE:
        await visitor.move(LEARNING_RATE, by=chance.choice([-1, 1]))
    else:
        await visitor.press(choice)
    return choice


async def sample_memory(server: Server, end: float) -> list[tuple[float, float]]:
    """Memory as (seconds, MB), every SAMPLE_SECONDS until the end."""
    start, curve = time.monotonic(), []
    while time.monotonic() < end:
        await asyncio.sleep(min(SAMPLE_SECONDS, max(0.1, end - time.monotonic())))
        curve.append((round(time.monotonic() - start, 1), round(server.memory() / 2**20, 1)))
        say(f"{curve[-1][0]:.0f} s: {curve[-1][1]:.0f} MB")
    return curve


def around(curve: Sequence[tuple[float, float]], low: float, high: float) -> float:
    """The mean of the samples between two times, or else the sample nearest to their middle."""
    inside = [mb for at, mb in curve if low <= at <= high]
    middle = (low + high) / 2
    return statistics.mean(inside or [min(curve, key=lambda sample: abs(sample[0] - middle))[1]])


async def seconds_to_line(server: Server, text: str, since: float, timeout: float) -> float | None:
    """Seconds from `since` to the first such line of the server's log; None if none comes."""
    for _ in range(int(timeout / 0.1)):
        if found := server.lines(text, since):
            return found[0][0] - since
        if time.monotonic() > since + timeout:
            return None
        await asyncio.sleep(0.1)
    return None


if __name__ == "__main__":
    main()
