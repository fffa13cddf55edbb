"""A server under attack, while others train on it.

`python -m benchmarks.attack` starts a server with a budget of memory on a free loopback port. Three
victims train; the attacks come one after the other. `--share 0.01` sends a hundredth of each,
`--only queries recordings` some of them. `python -m benchmarks.attack --only files` needs no
server: it reads run files as `python -m core.run` does.

queries     10,000 random and adversarial query strings, spread over all pages
recordings  2,000 files, huge, nested, of wrong types, NaN, with names that are markup, as uploads
files       2,000 run files, read by core.config.from_json
widgets     3,000 messages with values of widgets out of range and of wrong types
frames      1,000 frames of the web socket that the page never sends
requests    1,000 requests that are hardly HTTP
silent      200 connections that never speak, 100 of them without a web socket; then a visitor
abandoned   a visitor who starts and leaves 100 runs
greedy      configurations and sweeps that want all memory or time
for each
    sent, answered      what was sent, and what was answered within 60 s; slowest_s of an answer
    error_boxes         how often the attacker's own page said that something went wrong
    tracebacks_shown    in the attacker's page; tracebacks_logged: in the log, with the first ones
    markup              the visitor's text where it was sent as a tag, a link or a formula
    forged              lines of the log that his text has become, or its colours
    restarts, runs_lost, victims_steps, mb
                        of the server; of the victims; how far each came meanwhile; memory after it
    notes               of what was not answered, the first ones
"""

import argparse
import asyncio
import json
import random
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from benchmarks._attacker import ANSWER, Attacker, Tally, Victims
from benchmarks._server import Server, say, serving
from core.config import from_json
from tests.kit import hostile
from tests.kit.servers import HOST, TRACEBACK
from tests.kit.visitor import PAGE, TRAIN
from ui.compare.files import FAULT
from ui.pages import PAGES

ADDRESSES = ("", *PAGES)
AT_ONCE = 4  # attackers who send queries side by side
GREEDY_SECONDS = 8.0  # that a greedy visitor stays

Attack = Callable[[Server, int, random.Random, Tally], Awaitable[None]]


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of each attack (default all)")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=[*ATTACKS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--victims", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1500.0, help="MB (default 1500)")
    arguments = parser.parse_args()
    if arguments.only == ["files"]:
        figures: dict[str, Any] = {"attacks": {"files": run_files(arguments)}}
    else:
        with serving(SAMENET_MEMORY=str(arguments.budget)) as server:
            figures = asyncio.run(measure(server, arguments))
    print(json.dumps(figures, indent=2))


async def measure(server: Server, arguments: argparse.Namespace) -> dict[str, Any]:
    """Let the victims train, and attack."""
    victims = Victims(server, arguments.victims)
    await victims.begin()
    await victims.check()
    found: dict[str, Any] = {}
    for name in arguments.only:
        count, attack = ATTACKS[name]
        if attack is None:
            found[name] = await asyncio.to_thread(run_files, arguments)
            continue
        say(name)
        found[name] = await one(server, victims, attack, max(2, round(count * arguments.share)),
                                random.Random(arguments.seed))  # fmt: skip
        say(json.dumps(found[name]))
    errors = await victims.end()
    told = {name: getattr(arguments, name) for name in ("share", "seed", "victims", "budget")}
    return {**told, "attacks": found, "victims_errors": errors, "restarts": victims.restarts}


async def one(
    server: Server, victims: Victims, attack: Attack, count: int, chance: random.Random
) -> dict[str, Any]:
    """Attack once, and see what it did."""
    tally, since, started = Tally(), time.monotonic(), time.perf_counter()
    try:
        await attack(server, count, chance, tally)
    except (OSError, TimeoutError, WebSocketException) as error:  # the server gave in
        tally.notes.insert(0, f"ended by {type(error).__name__}: {error}")
    await asyncio.sleep(1.0)  # what the log has not told yet, and the victims' next frame
    told = "".join(f"{line}\n" for at, line in list(server.log) if at >= since)
    logged = TRACEBACK.findall(told)
    return {
        "sent": tally.sent,
        "answered": tally.answered,
        "seconds": round(time.perf_counter() - started, 1),
        "slowest_s": round(tally.slowest_s, 2),
        "error_boxes": tally.boxes,
        "tracebacks_shown": len(tally.tracebacks),
        "tracebacks_logged": len(logged),
        "first_tracebacks": [each[-400:] for each in logged[:4]],
        "markup": tally.markup[:5],
        "forged": hostile.FORGED.findall(told)[:5],
        "in_log": sum(hostile.MARK in line for line in told.splitlines()),
        **await victims.check(),
        "notes": tally.notes[:5],
    }


async def queries(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Ask for pages with query strings that nobody would write."""

    async def some(share: int, chance: random.Random) -> None:
        tab = Attacker.at(server.url, tally, PAGE)
        await tab.connect()
        for _ in range(share):
            page = chance.choice(ADDRESSES)
            if not await tab.ask(hostile.query(chance), page):
                await tab.close()
                tab = Attacker.at(server.url, tally, PAGE)
                await tab.connect()
        await tab.close()

    tabs = min(AT_ONCE, count)
    await asyncio.gather(
        *(some(count // tabs, random.Random(chance.random())) for _ in range(tabs))
    )


async def recordings(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Upload files to the comparison, one after the other, and wait for what comes of each."""
    tab = Attacker.at(server.url, tally, "compare")
    await tab.connect()
    await tab.until(lambda: tab.finished > 0, ANSWER)
    for i in range(count):
        if i % 100 == 99:  # a new tab, because the server keeps a tab's files
            await tab.close()
            tab = Attacker.at(server.url, tally, "compare")
            await tab.connect()
            await tab.until(lambda tab=tab: tab.finished > 0, ANSWER)
        name, data = hostile.recording(chance)
        state = await tab.upload(i % 2, name, data)
        if not await tab.ask(state=state):
            return
        deadline = time.monotonic() + ANSWER
        while tab.tells("Comparing, behind"):
            if time.monotonic() > deadline:
                tally.answered -= 1
                tally.notes.append(f"no report of {name[:40]!r}")
                break
            await tab.poll()
            await asyncio.sleep(0.02)
        if tab.tells(FAULT):
            tally.boxes += 1
            tally.notes.append(f"could not be compared: file {i}, {name[:40]!r}")
    await tab.close()


def run_files(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read run files in this process; what is not refused in one sentence is a traceback."""
    chance, count = random.Random(arguments.seed), round(2000 * arguments.share)
    read, refused, others = 0, 0, []
    for _ in range(count):
        text = hostile.run_file(chance)
        try:
            from_json(text)
            read += 1
        except ValueError as error:
            refused += 1
            if hostile.FORGED.search(str(error)):
                others.append(f"raw: {str(error)[:200]}")
        except Exception as error:
            others.append(f"{type(error).__name__}: {str(error)[:200]}")
    return {"sent": count, "answered": read + refused, "read": read, "others": others[:5]}


async def widgets(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Send values that no widget can have."""
    tab: Attacker | None = None
    for i in range(count):
        if tab is None or i % 25 == 0:
            if tab is not None:
                await tab.close()
            tab = Attacker.at(server.url, tally, chance.choice(ADDRESSES))
            await tab.connect()
            await tab.until(lambda tab=tab: tab.finished > 0, ANSWER)
            ids = tab.widgets()
        if not ids:
            continue
        chosen = chance.sample(ids, min(len(ids), chance.randrange(1, 4)))
        states = {str(n): hostile.widget_state(id, chance) for n, id in enumerate(chosen)}
        if not await tab.ask(**states):
            tab = None
    if tab is not None:
        await tab.close()


async def frames(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Send what the page never sends; a tab that is closed for it counts as answered."""
    tab = Attacker.at(server.url, tally, "compare")
    for i in range(count):
        try:
            if i == 0 or tab.lost():
                tab = Attacker.at(server.url, tally, "compare")
                await tab.connect()
                await tab.until(lambda tab=tab: tab.finished > 0, ANSWER)
            tally.sent += 1
            await tab.send(hostile.frame(chance, tab.id))
            await asyncio.sleep(0.01)
        except (WebSocketException, ConnectionError):
            pass  # an answer, too
        tally.answered += 1
    await tab.close()


async def requests(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Send requests by plain sockets."""

    async def ask(data: bytes) -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        since = time.perf_counter()
        tally.sent += 1
        with suppress(ConnectionError, TimeoutError):
            writer.write(data)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(100_000), ANSWER)
            tally.answer(since)
            if b"Traceback" in answer:
                tally.tracebacks.append(answer[:300].decode(errors="replace"))
            if answer[9:12] == b"500":
                tally.boxes += 1
                tally.notes.append(f"500 for {data[:120]!r}")
            if hostile.TAG.search(answer.decode(errors="replace")):
                tally.markup.append(answer[:300].decode(errors="replace"))
        writer.close()

    for _ in range(count):
        await ask(hostile.request(chance, "none"))


async def silent(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Open connections that never speak; then somebody else opens a page."""
    sockets = [await connect(server.url.replace("http", "ws", 1) + "/_stcore/stream",
                             subprotocols=["streamlit"], origin=server.url,  # type: ignore[list-item,arg-type]
                             open_timeout=ANSWER)
               for _ in range(count // 2)]  # fmt: skip
    lines = [socket.create_connection((HOST, server.port)) for _ in range(count - count // 2)]
    for line in lines[::2]:
        line.sendall(b"GET / HTTP/1.1\r\nHost: a")
    tab = Attacker.at(server.url, tally, PAGE)
    await tab.connect()
    await tab.ask("seed=7")
    await tab.close()
    await asyncio.sleep(2.0)
    for line in lines:
        line.close()
    for each in sockets:
        await each.close()


async def abandoned(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Start runs, one after the other, and leave each."""
    for seed in range(count):
        tab = Attacker.at(server.url, tally, PAGE)
        await tab.connect()
        if await tab.ask(f"seed={5000 + seed}&epochs=1000") and tab.has("button", TRAIN):
            await tab.press(TRAIN)
        await tab.close()


async def greedy(server: Server, count: int, chance: random.Random, tally: Tally) -> None:
    """Ask for what takes all memory or time, and stay a while."""
    asked = [(PAGE, query) for query in hostile.GREEDY]
    asked += [("sweep", query) for query in hostile.GREEDY_SWEEPS]
    for page, query in asked[:count]:
        tab = Attacker.at(server.url, tally, page)
        await tab.connect()
        if await tab.ask(query, page):
            for label in (TRAIN, "Start the sweep"):
                if tab.has("button", label):
                    await tab.press(label)
            end = time.monotonic() + GREEDY_SECONDS
            while time.monotonic() < end and tab.fragment:
                with suppress(TimeoutError, ConnectionError):
                    await tab.poll()
                await asyncio.sleep(0.5)
        await tab.close()


ATTACKS: dict[str, tuple[int, Attack | None]] = {
    "queries": (10_000, queries),
    "recordings": (2000, recordings),
    "files": (2000, None),
    "widgets": (3000, widgets),
    "frames": (1000, frames),
    "requests": (1000, requests),
    "silent": (200, silent),
    "abandoned": (100, abandoned),
    "greedy": (len(hostile.GREEDY) + len(hostile.GREEDY_SWEEPS), greedy),
}


if __name__ == "__main__":
    main()
