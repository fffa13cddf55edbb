"""`python -m benchmarks._product HOW NETWORK FILE`: the product's own run, an epoch a time.

HOW is `product`, core.run.train.run with everything it shows; `steps`, the same with no look
between the first and the last; or `engine`, the run through core.run.engine.Engine while a viewer
polls it. NETWORK is a link's query. Each epoch is a run of its own, with the next seed.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from urllib.parse import parse_qsl

import jax
import numpy as np

from benchmarks._workers import Epoch, Seconds, now, serve, since
from core.config import RunConfig, from_query
from core.data import Dataset
from core.run import entry, train
from core.run.engine import Engine
from core.run.job import Ready, ReportStatus, Status, Viewer
from core.run.snapshot import Snapshot

POLL_SECONDS = 0.3  # as the live panel does
LONGEST_RUN = 600.0  # seconds


def looking(config: RunConfig, data: Dataset, looks: bool) -> Epoch:
    """A run of one epoch, timed from its first look at the network to its last."""
    program, on_device = train.program(train.shape(config)), train.on_device(config.task, data)
    seeds = count()

    def epoch() -> Seconds:
        seeded = replace(config, seed=next(seeds))
        next_look = train.looks_of(seeded) if looks else lambda step: config.steps
        ticks = train.ticks(seeded, program, on_device, next_look=next_look)
        return between_looks(snapshot for snapshot in ticks if snapshot)

    return epoch


def between_looks(snapshots: Iterator[Snapshot]) -> Seconds:
    """The time from the first snapshot to the last."""
    next(snapshots)
    start = now()
    for _ in snapshots:
        pass
    return since(start)


def watched(config: RunConfig, data: Dataset) -> Epoch:
    """The same run through the engine, watched as by the live panel; the data is already loaded."""
    on_device = train.on_device(config.task, data)
    seeds = count()

    def ready(config: RunConfig, report: ReportStatus, next_look: train.NextLook) -> Ready:
        program = train.program(train.shape(config))
        return Ready(train.ticks(config, program, on_device, next_look=next_look))

    engine = Engine(prepare=ready)

    def epoch() -> Seconds:
        viewer = engine.submit(replace(config, seed=next(seeds)), until=0)
        engine.wait(viewer, snapshots=1, timeout=LONGEST_RUN)
        start = now()
        viewer.resume()
        finish(viewer)
        seconds = since(start)
        viewer.stop()
        return seconds

    def finish(viewer: Viewer) -> None:
        """Poll as the panel does, but return as soon as the run ends."""
        marks = len(train.snapshot_steps(viewer.config))
        for _ in range(int(LONGEST_RUN / POLL_SECONDS)):
            view = engine.wait(viewer, snapshots=marks, timeout=POLL_SECONDS)
            if view.status in (Status.DONE, Status.FAILED):
                return

    return epoch


HOW = {
    "product": partial(looking, looks=True),
    "steps": partial(looking, looks=False),
    "engine": watched,
}

if __name__ == "__main__":
    entry.begin()
    how, query, file = sys.argv[1:]
    config, _ = from_query(dict(parse_qsl(query)))
    with np.load(file) as arrays:
        epoch = HOW[how](config, Dataset(*(arrays[name] for name in Dataset._fields)))
    serve(epoch, version=f"JAX {jax.__version__}", device=str(jax.devices()[0]))
