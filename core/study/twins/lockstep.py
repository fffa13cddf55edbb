"""Both twins, step by step."""

from collections.abc import Generator, Iterator
from typing import NamedTuple

from core.config import RunConfig
from core.data import Dataset
from core.run import train
from core.run.snapshot import Snapshot
from core.study.twins.differences import differences
from core.study.twins.parting import Divergence, first_divergence


class Pair(NamedTuple):
    """Both twins at one step."""

    a: Snapshot
    b: Snapshot
    divergence: Divergence | None  # None while they agree


def twins(a: RunConfig, b: RunConfig, data: Dataset) -> Iterator[Pair | None]:
    """Train both in lock step: yield a Pair at each snapshot step, None between chunks.

    Raises ValueError as `differences` does.
    """
    differences(a, b)
    on_device = train.on_device(a.task, data)
    runs = [train.ticks(c, train.program(train.shape(c)), on_device) for c in (a, b)]
    search = first_divergence(a, b, data)
    searched, found = -1, None
    for step in train.snapshot_steps(a):
        left = yield from _next_snapshot(runs[0])
        right = yield from _next_snapshot(runs[1])
        while found is None and searched < step:
            found = next(search)
            searched += 1
            yield None
        yield Pair(left, right, found)


def _next_snapshot(
    ticks: Iterator[Snapshot | None],
) -> Generator[None, None, Snapshot]:
    for tick in ticks:
        if tick is not None:
            return tick
        yield None
    raise RuntimeError("the run ended before its last snapshot")
