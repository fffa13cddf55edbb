"""How a run ends if its starting weights are nudged by one rounding, or with another seed.

If a nudge of one rounding changes the result, that result is chance and not a fact; the rounding
band shows which it is. Runs are mapped as in any sweep, by `core.study.lanes`. Generators yield
None between pieces of work, so that the caller can stop.
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
    """Runs of one configuration, a row for each perturbation or for each seed."""

    accuracy: Array  # float32 [runs, steps + 1], on the first PROBE images, before each step
    loss: Array  # float32 [runs, steps + 1], mean, in nats
    gradient_norm: Array  # float32 [runs, steps + 1], Euclidean, of the next step's gradient


def rounding_band(
    config: RunConfig, data: Dataset, perturbations: int = 100, magnitude: float | None = None
) -> Iterator[Outcomes | None]:
    """Repeat a run from weights nudged by at most one rounding, `perturbations` times.

    Each weight w becomes w + w magnitude u with u uniform on (-1, 1), rounded to the weights' own
    format; `magnitude` is by default the rounding error of that format. The first row of the first
    piece is the run from the weights as they are; `perturbations` rows follow. Yields the rows of a
    batch of `lanes.runs` at a time, and None after each of its steps.

    Raises:
      ValueError: the run draws batches or drops units, which would change it by more than that.
    """
    index = np.arange(1 + perturbations, dtype=np.int32)
    moved = rounding(config) if magnitude is None else magnitude
    return _outcomes(config, data, np.full_like(index, config.seed), index, moved)


def rounding(config: RunConfig) -> float:
    """The largest relative error of one rounding of a weight."""
    weights = PRECISIONS[config.precision].weights
    return ROUNDING if weights.key == "float32" else weights.roundoff


class Copy(NamedTuple):
    """A run from nudged weights or another seed, at the steps of the run's own snapshots."""

    steps: Array  # int [looks]
    score: Array  # float [looks], each Snapshot's score
    loss: Array  # float [looks], each Snapshot's loss


Copies = Iterator[Copy | None]


def copies(config: RunConfig, data: train.DeviceData, count: int) -> Copies:
    """Repeat a run from weights nudged by one rounding, `count` times, one after the other.

    The run's own program is used, so that only the nudging is compiled. Any run can have copies: if
    it draws batches or drops units, they draw and drop the same ones. Yields a Copy after each, and
    None between pieces of work.
    """
    shape, knobs = train.shape(config), train.knobs(config)
    program, move = train.program(shape), _move(shape)
    for i in range(1, 1 + count):
        state = program.init(knobs)
        moved = move(state.params, np.int32(i), np.float32(rounding(config)))
        yield from _watched(config, data, state._replace(params=moved))


def reseeded(config: RunConfig, data: train.DeviceData, count: int) -> Copies:
    """Repeat a run with the next seeds, one after the other; yields as `copies` does."""
    for i in range(1, 1 + count):
        seed = (config.seed + i) % 2**31
        yield from _watched(replace(config, seed=seed), data)


def _watched(config: RunConfig, data: train.DeviceData, state: train.State | None = None) -> Copies:
    """Train a run to its end, by default from its own first state."""
    looks = []
    for look in train.ticks(config, train.program(train.shape(config)), data, state):
        if look is not None:
            looks.append((look.step, look.score, look.loss))
        yield None
    yield Copy(*map(np.array, zip(*looks, strict=True)))


@lru_cache(maxsize=32)
def _move(shape: train.Shape) -> Callable[..., Params]:
    return compiled_for(shape, lanes.perturb, train.ONCE)


def seed_strip(
    config: RunConfig, data: Dataset, seeds: Sequence[int] = range(10)
) -> Iterator[Outcomes | None]:
    """Repeat a run from the weights of each seed, in order; yields as `rounding_band` does.

    Raises ValueError as `rounding_band` does.
    """
    each = np.asarray(seeds, np.int32)
    return _outcomes(config, data, each, np.zeros_like(each), 0.0)


def collect(pieces: Iterable[Outcomes | None]) -> Outcomes:
    """Join all rows of a band or a strip in one table."""
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
    batches = lanes.runs(
        [replace(config, seed=int(seed)) for seed in seeds],
        train.on_device(config.task, data),
        perturbations=perturbations,
        magnitude=magnitude,
        every_step=True,
    )
    return (None if each is None else _outcomes_of(each.metrics) for each in batches)


def _outcomes_of(metrics: lanes.Metrics) -> Outcomes:
    return Outcomes(metrics.train_accuracy, metrics.loss, metrics.gradient_norm)
