"""Peers that train in turn, each in a process of its own that imports only what it needs."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]


class Seconds(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float  # of the whole process, all threads


Epoch = Callable[[], Seconds]  # trains for one epoch and returns the seconds that took


def now() -> Seconds:
    """The seconds that the process has taken so far."""
    return Seconds(time.perf_counter(), time.process_time())


def since(start: Seconds) -> Seconds:
    """The seconds since `start`."""
    return Seconds(*(after - before for after, before in zip(now(), start, strict=True)))


def timed(train: Callable[[], None]) -> Epoch:
    """An epoch whose every second counts."""

    def epoch() -> Seconds:
        start = now()
        train()
        return since(start)

    return epoch


def serve(epoch: Epoch, **greeting: str) -> None:
    """Be a peer: print the greeting, then train an epoch for each line of stdin."""
    print(json.dumps(greeting), flush=True)
    for _ in sys.stdin:
        print(json.dumps(epoch()), flush=True)


class Worker:
    """A peer's process, which trains an epoch when told to."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.greeting: dict[str, str] = {}

    def __enter__(self) -> "Worker":
        self.greeting = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def epoch(self) -> Seconds:
        """Train for one epoch; return the seconds that the process itself measured."""
        assert self.process.stdin is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        return Seconds(*self._answer())

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended: {self.process.wait()}")
        return json.loads(line)


class Measured(NamedTuple):
    """What peers took in turn."""

    greetings: dict[str, dict[str, str]]
    seconds: dict[str, list[Seconds]]
    load: list[float]  # the machine's load average over a minute, before each round


def alternate(
    workers: Mapping[str, Worker], rounds: int, say: Callable[[str], None] = print
) -> Measured:
    """Train one epoch of each in turn; the first epoch of each includes compilation and is dropped.

    All processes are alive together, and those whose turn it is not wait.
    """
    seconds: dict[str, list[Seconds]] = {name: [] for name in workers}
    load = []
    with ExitStack() as stack:
        for worker in workers.values():
            stack.enter_context(worker)
        for round_ in range(rounds + 1):
            if round_:
                load.append(os.getloadavg()[0])
            for name, worker in workers.items():
                took = worker.epoch()
                turn = round_ or "(warm-up)"
                say(f"round {turn} {name}: {took.wall:.3f} s, CPU {took.cpu:.3f} s")
                if round_:
                    seconds[name].append(took)
    return Measured({name: each.greeting for name, each in workers.items()}, seconds, load)


def summary(seconds: Sequence[Seconds]) -> dict[str, Any]:
    """The seconds of each epoch, and the medians of wall and CPU seconds."""
    return {
        "seconds": [took.wall for took in seconds],
        "median": statistics.median(took.wall for took in seconds),
        "cpu_median": statistics.median(took.cpu for took in seconds),
    }
