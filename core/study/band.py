"""What one rounding, or another seed, makes of a run.

Where a run ends elsewhere after its weights moved by one rounding, its result is chance and not a
fact: the rounding band tells the two apart. Yields None between pieces of work, so that whoever
drives it can stop.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from core.config import RunConfig
from core.data import Dataset
from core.parts.models import Params
from core.parts.precisions import PRECISIONS
from core.run import diagnostics, train
from core.study.states import compiled_for

ROUNDING = 6e-8  # 2^-24, the largest relative error of one float32 rounding, rounded up
LANES = 4  # runs mapped at once: a step of four takes 0.1 to 0.2 s on two cores

Array = Any  # a numpy array in what is yielded and returned, a jax Array inside the programs


class Outcomes(NamedTuple):
    """Runs of one configuration, row by row: one a perturbation or one a seed."""

    accuracy: Array  # float32 [runs, steps + 1], of all training images, before each step
    loss: Array  # float32 [runs, steps + 1], mean, in nats
    gradient_norm: Array  # float32 [runs, steps + 1], Euclidean, of what the next step follows


def rounding_band(
    config: RunConfig, data: Dataset, perturbations: int = 100, magnitude: float | None = None
) -> Iterator[Outcomes | None]:
    """The same run from weights moved by at most one rounding, `perturbations` times.

    Each weight w becomes w + w magnitude u with u uniform on (-1, 1), rounded to the weights' own
    format, whose rounding error the magnitude is by default. The first row of the first piece is
    the run from the weights as they are; `perturbations` rows follow. Yields up to LANES rows at a
    time and None after every step of them.

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
    accuracy: Array  # float [looks], of the first PROBE training images; NaN with predictions NaN


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
                is_number = look.saturation.nonfinite == 0
                looks.append((look.step, look.train_accuracy if is_number else np.nan))
            yield None
        steps, accuracy = zip(*looks, strict=True)
        yield Copy(np.array(steps), np.array(accuracy))


@lru_cache(maxsize=32)
def _move(shape: train.Shape) -> Callable[..., Params]:
    return compiled_for(shape, perturb)


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
    start, step = _lanes(train.shape(config))
    on_device, knobs = train.on_device(config.task, data), train.knobs(config)

    def pieces() -> Iterator[Outcomes | None]:
        for first in range(0, len(seeds), LANES):
            # The last piece is filled up with its last run: another shape would compile again.
            lanes = np.minimum(np.arange(first, first + LANES), len(seeds) - 1)
            each = jax.tree.map(lambda knob: np.broadcast_to(knob, (LANES,)), knobs)
            each = each._replace(seed=seeds[lanes])
            states, scores = start(each, perturbations[lanes], np.float32(magnitude)), []
            for _ in range(config.steps + 1):
                states, score = step(states, on_device.train_images, on_device.train_labels, each)
                scores.append(jax.device_get(score))
                yield None
            rows = len(seeds) - first
            yield Outcomes(
                *(np.stack(column, axis=-1)[:rows] for column in zip(*scores, strict=True))
            )

    return pieces()


@lru_cache(maxsize=8)
def _lanes(shape: train.Shape) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled for LANES full-batch runs at once, each with its own knobs:

    start: knobs, perturbations, magnitude -> states
    step: states, images, labels, knobs -> states after a step, scores [LANES] before it

    One after the other in one program: `lax.map` took 0.36 s of processor time a run of ten
    steps and `vmap` 0.47, on two cores with JAX 0.10.2.
    """
    parts = train.functions(shape)

    def start(knobs: train.Knobs, perturbation: Any, magnitude: Any) -> train.State:
        state: train.State = parts["init"](knobs)
        moved = perturb(state.params, perturbation, magnitude)
        return state._replace(params=moved)

    def step(
        state: train.State, images: Any, labels: Any, knobs: train.Knobs
    ) -> tuple[train.State, Outcomes]:
        seen: train.Look = parts["look"](state, images, labels, None, knobs)
        correct = diagnostics.correct(seen.logits, labels)
        norm = jnp.linalg.norm(diagnostics.norms(seen.gradients))
        score = Outcomes(jnp.mean(correct), jnp.mean(diagnostics.wide(seen.loss)), norm)
        return parts["update"](state, seen.gradients, knobs), score

    def all_start(knobs: train.Knobs, perturbations: Any, magnitude: Any) -> Any:
        return lax.map(lambda lane: start(lane[0], lane[1], magnitude), (knobs, perturbations))

    def all_step(states: Any, images: Any, labels: Any, knobs: train.Knobs) -> Any:
        return lax.map(lambda lane: step(lane[0], images, labels, lane[1]), (states, knobs))

    return (
        compiled_for(shape, all_start),
        compiled_for(shape, all_step, donate_argnums=0),
    )


def perturb(params: Params, perturbation: Any, magnitude: Any) -> Params:
    """w + w magnitude u, u uniform on (-1, 1) and other for each `perturbation`; none for 0."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(perturbation), len(leaves))
    size = jnp.where(perturbation > 0, magnitude, 0)

    def moved(w: Any, key: Any) -> Any:
        # Not w (1 + ...): in float32 that factor rounds to 1 or to one value below it.
        return w + w * (size.astype(w.dtype) * jax.random.uniform(key, w.shape, w.dtype, -1, 1))

    moved_leaves = [moved(w, key) for w, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved_leaves)
