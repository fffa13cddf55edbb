"""What one rounding, or another seed, makes of a run.

Where a run ends elsewhere after its weights moved by one rounding, its result is chance and not a
fact: the rounding band tells the two apart. Runs are mapped as in any sweep, by `core.study.lanes`.
Yields None between pieces of work, so that whoever drives it can stop.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from core.config import RunConfig
from core.data import Dataset
from core.parts.models import Params
from core.parts.precisions import PRECISIONS
from core.run import train
from core.study import lanes
from core.study.states import compiled_for

ROUNDING = 6e-8  # 2^-24, the largest relative error of one float32 rounding, rounded up

Array = Any  # a numpy array


class Outcomes(NamedTuple):
    """Runs of one configuration, row by row: one a perturbation or one a seed."""

    accuracy: Array  # float32 [runs, steps + 1], of the first PROBE images, before each step
    loss: Array  # float32 [runs, steps + 1], mean, in nats
    gradient_norm: Array  # float32 [runs, steps + 1], Euclidean, of what the next step follows


def rounding_band(
    config: RunConfig, data: Dataset, perturbations: int = 100, magnitude: float | None = None
) -> Iterator[Outcomes | None]:
    """The same run from weights moved by at most one rounding, `perturbations` times.

    Each weight w becomes w + w magnitude u with u uniform on (-1, 1), rounded to the weights' own
    format, whose rounding error the magnitude is by default. The first row of the first piece is
    the run from the weights as they are; `perturbations` rows follow. Yields the rows of a batch of
    `lanes.runs` at a time and None after every step of them.

    Raises:
      ValueError: the run draws batches or drops units, which would move it more than a rounding.
    """
    index = np.arange(1 + perturbations, dtype=np.int32)
    moved = rounding(config) if magnitude is None else magnitude
    return _outcomes(config, data, np.full_like(index, config.seed), index, moved)


def rounding(config: RunConfig) -> float:
    """The largest relative error of one rounding of a weight."""
    weights = PRECISIONS[config.precision].weights
    return ROUNDING if weights.key == "float32" else weights.roundoff


class Copy(NamedTuple):
    """A run from weights moved by one rounding, at the steps that the run itself is looked at."""

    steps: Array  # int [looks]
    score: Array  # float [looks], each Snapshot's score


Copies = Iterator[Copy | None]


def copies(config: RunConfig, data: train.DeviceData, count: int) -> Copies:
    """The same run `count` times from weights moved by one rounding, one after the other.

    By the run's own program, so that nothing is compiled but the moving, and any run has copies:
    one that draws batches or drops units draws and drops the same ones. Yields a Copy after each
    and None between pieces of work.
    """
    shape, knobs = train.shape(config), train.knobs(config)
    program, move = train.program(shape), _move(shape)
    for i in range(1, 1 + count):
        state = program.init(knobs)
        moved = move(state.params, np.int32(i), np.float32(rounding(config)))
        looks = []
        for look in train.ticks(config, program, data, state._replace(params=moved)):
            if look is not None:
                looks.append((look.step, look.score))
            yield None
        steps, scores = zip(*looks, strict=True)
        yield Copy(np.array(steps), np.array(scores))


@lru_cache(maxsize=32)
def _move(shape: train.Shape) -> Callable[..., Params]:
    return compiled_for(shape, lanes.perturb)


def seed_strip(
    config: RunConfig, data: Dataset, seeds: Sequence[int] = range(10)
) -> Iterator[Outcomes | None]:
    """The same run from the weights of each seed, in order; yields as `rounding_band` does.

    Raises ValueError as `rounding_band` does.
    """
    each = np.asarray(seeds, np.int32)
    return _outcomes(config, data, each, np.zeros_like(each), 0.0)


def collect(pieces: Iterable[Outcomes | None]) -> Outcomes:
    """All rows of a band or a strip as one table."""
    rows = [piece for piece in pieces if piece is not None]
    return Outcomes(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _outcomes(
    config: RunConfig, data: Dataset, seeds: Array, perturbations: Array, magnitude: float
) -> Iterator[Outcomes | None]:
    if not config.full_batch:
        raise ValueError(
            f"batch_size is {config.batch_size}; allowed here is {config.train_size}, "
            "the whole training set"
        )
    if config.dropout != "off":
        raise ValueError(f"dropout is {config.dropout!r}; allowed here is off")
    found = lanes.runs(
        [replace(config, seed=int(seed)) for seed in seeds],
        train.on_device(config.task, data),
        perturbations=perturbations,
        magnitude=magnitude,
        every_step=True,
    )
    return (None if each is None else _told(each.seen) for each in found)


def _told(seen: lanes.Seen) -> Outcomes:
    return Outcomes(seen.train_accuracy, seen.loss, seen.gradient_norm)
