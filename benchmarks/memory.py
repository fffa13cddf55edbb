"""A server's memory while visitors come, train, sweep and go, beside the budget that it is given.

`python -m benchmarks.memory --minutes 5 --budget 900` starts a server with SAMENET_MEMORY=900 on a
free loopback port. Its visitors speak Streamlit's own protocol; each opens a page at random, and on
the trainer starts, changes and abandons runs of networks of several shapes.

    budget_mb, sessions, minutes, seed
    resident_mb         the server's resident memory at the end of each minute, without that of the
                        processes in which it trains long runs
    end_over_tenth      mean of the last five minutes over that of the five after the tenth; null
                        for less than 20 minutes
    largest_mb          the largest of the samples, of which there is one a second
    over_s              seconds in which it was above the budget
    state               the same moments, as /status tells them: runs that are kept, programs and
                        their MB, things let go so far to keep to the budget, and whether it is full
    refused             visits that were told that the server is full
    visits              how many visitors have opened each page
    errors              complaints of pages and connections; server_errors: tracebacks in the log
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from collections import Counter
from typing import Any
from urllib.request import urlopen

from benchmarks._server import Server, say, serving
from benchmarks.load import START_SWEEP, act, resources, together
from core.run.budget import FULL, MB
from tests.kit.visitor import PAGE, Session, visit
from ui.pages import PAGES

WIDTHS = ("32", "100", "256", "512", "1024", "256-256", "300-100")
OTHERS = [key for key in PAGES if key != PAGE]
EVERY, A_MINUTE = 1.0, 60  # seconds between two samples; samples


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--budget", type=float, default=900.0, help="MB (default 900)")
    parser.add_argument("--sessions", type=int, default=6, help="at a time (default 6)")
    parser.add_argument("--seed", type=int, default=0, help="of the visitors' choices")
    arguments = parser.parse_args()
    with serving(SAMENET_MEMORY=str(arguments.budget)) as server:
        figures = asyncio.run(measure(server, arguments))
        errors = resources(server)["server_errors"]
    print(json.dumps({**figures, "server_errors": errors}, indent=2))


async def measure(server: Server, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let visitors come and go, and sample the memory."""
    end = time.monotonic() + 60 * arguments.minutes
    seen: dict[str, Counter[str]] = {"visits": Counter(), "refused": Counter()}
    errors: list[str] = []
    sampling = asyncio.create_task(sample(server, end))
    await together(
        wander(server, random.Random(arguments.seed * 1000 + i), end, seen, errors)
        for i in range(arguments.sessions)
    )
    samples, minutes = await sampling
    return {
        "budget_mb": arguments.budget,
        "sessions": arguments.sessions,
        "minutes": arguments.minutes,
        "seed": arguments.seed,
        "resident_mb": [round(each) for each in samples[A_MINUTE - 1 :: A_MINUTE]],
        "state": minutes,
        "end_over_tenth": flatness(samples),
        "largest_mb": round(max(samples)),
        "over_s": EVERY * sum(each > arguments.budget for each in samples),
        "refused": seen["refused"].total(),
        "visits": dict(sorted(seen["visits"].items())),
        "errors": errors,
    }


def flatness(samples: list[float]) -> float | None:
    """The mean of the last five minutes over that of the five after the tenth."""
    if len(samples) < 20 * A_MINUTE:
        return None
    settled = samples[10 * A_MINUTE : 15 * A_MINUTE]
    return statistics.mean(samples[-5 * A_MINUTE :]) / statistics.mean(settled)


async def sample(server: Server, end: float) -> tuple[list[float], list[dict[str, Any]]]:
    """Resident memory in MB, every second until the end, and the state after every minute."""
    samples, minutes = [], []
    while time.monotonic() < end:
        await asyncio.sleep(EVERY)
        samples.append(server.memory() / MB)
        if len(samples) % A_MINUTE == 0:
            minutes.append(await asyncio.to_thread(state, server))
            say(f"{samples[-1]:.0f} MB, {minutes[-1]}")
    return samples, minutes


def state(server: Server) -> dict[str, Any]:
    """What the server says of itself."""
    with urlopen(f"{server.url}/status", timeout=60) as answer:
        told = json.load(answer)
    return {
        "tabs": told["sessions"],
        "runs": {status: count for status, count in told["runs"].items() if count},
        "programs": told["programs"]["count"],
        "programs_mb": round(told["programs"]["bytes"] / MB),
        "let_go": told["memory"]["let_go"],
        "full": told["memory"]["full"],
    }


async def wander(
    server: Server,
    chance: random.Random,
    end: float,
    seen: dict[str, Counter[str]],
    errors: list[str],
) -> None:
    """Send one visitor after another until the end; each abandons what it started."""
    while time.monotonic() < end:
        page = chance.choice([PAGE, PAGE, chance.choice(OTHERS)])
        query = f"widths={chance.choice(WIDTHS)}&seed={chance.randrange(1000)}&epochs=200"
        visitor = Session(server.url, query if page == PAGE else "", page=page)
        try:
            await visit(visitor)
            seen["visits"][page] += 1
            if page == "sweep" and visitor.has("button", START_SWEEP):
                await visitor.press(START_SWEEP)
            for _ in range(chance.randrange(2, 8)):
                if page == PAGE:
                    await act(visitor, chance)
                await asyncio.sleep(chance.uniform(0.5, 4.0))
                if time.monotonic() > end:
                    break
            seen["refused"][page] += visitor.tells(FULL[:24])
        except (TimeoutError, ConnectionError, OSError) as error:
            errors.append(f"{type(error).__name__}: {error}")
        await visitor.close()
        errors += visitor.errors
        await asyncio.sleep(chance.uniform(0.0, 2.0))


if __name__ == "__main__":
    main()
