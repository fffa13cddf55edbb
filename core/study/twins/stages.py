"""Any two runs before their first step: at which stage of it they differ first.

A step goes from the initial weights and the batch to logits, to the loss and to the gradient. Runs
that differ in one of these differ in most that follows, so the first difference is what to look at.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from core.config import RunConfig
from core.data import Dataset
from core.fields import number
from core.parts.choices import TASKS
from core.parts.models import Params, parameter_names
from core.parts.precisions import PRECISIONS
from core.run import train
from core.study.twins.parting import ROUNDINGS, backprop_of, batch_of, flat, relative_difference

Array = Any  # a numpy array


class Stage(NamedTuple):
    """What two runs have at one stage of the first step."""

    name: str
    values: tuple[str, str]  # of each run
    finding: str
    differs: bool | None  # None: they cannot be compared


class _Start(NamedTuple):
    """A run before its first step, and what that step computes."""

    config: RunConfig
    params: Params
    images: Array  # uint8 [batch, 784] as they are stored, or float32 [batch, inputs] for series
    x: Array  # float32 [batch, inputs]: what the network is given
    batches: list[Array]  # int [batch], which images each step of two epochs takes
    step: train.Backprop


def first_stages(
    a: RunConfig, b: RunConfig, data_a: Dataset, data_b: Dataset
) -> Iterator[list[Stage] | None]:
    """Compare two runs at every stage of their first step; yield None between pieces of work.

    Numbers differ if |a - b| is more than rounding makes of max(|a|, |b|), in the Euclidean norm
    and in the coarser of the two formats: one rounding for what is only stored, ROUNDINGS for what
    is computed.

    Raises:
      ValueError: they learn different tasks.
    """
    if a.task != b.task:
        raise ValueError(f"task is {a.task!r} in one run and {b.task!r} in the other")
    yield None
    one = _start(a, data_a)
    yield None
    other = _start(b, data_b)
    yield [stage(one, other) for stage in STAGES]


def _start(config: RunConfig, data: Dataset) -> _Start:
    shape, knobs = train.shape(config), train.knobs(config)
    program, on_device = train.program(shape), train.on_device(config.task, data)
    state = program.init(knobs)
    epochs = range(min(2, config.epochs))
    drawn = [program.order(on_device.arranged, knobs, np.int32(epoch)) for epoch in epochs]
    orders = jax.device_get(drawn)  # once, because there may be a batch for each image
    inputs = state._replace(slots=()), on_device.train_images, on_device.train_labels
    images = data.train_images[batch_of(config, 0, orders[0])]
    x = images if TASKS[config.task].series else train.pixels(jnp.asarray(images), knobs)
    return _Start(
        config,
        jax.device_get(state.params),
        images,
        np.asarray(x),
        [
            batch_of(config, step, orders[step // config.steps_per_epoch])
            for step in range(len(orders) * config.steps_per_epoch)
        ],
        jax.device_get(backprop_of(shape)(*inputs, orders[0], knobs)),
    )


def _weights(a: _Start, b: _Start) -> Stage:
    sizes = [[np.shape(leaf) for leaf in jax.tree.leaves(start.params)] for start in (a, b)]
    norms = [number(float(np.linalg.norm(flat(start.params))), 3) for start in (a, b)]
    values = tuple(
        f"{' and '.join(_times(size) for size in each if len(size) > 1)}, norm {norm}"
        for each, norm in zip(sizes, norms, strict=True)
    )
    one, other = (_named(start.params) for start in (a, b))
    more = [name for name in (*one, *other) if name not in one or name not in other]
    shared = [name for name in one if name in other]
    if not shared or any(np.shape(one[name]) != np.shape(other[name]) for name in shared):
        return Stage("initial weights", _pair(values), "of other sizes", True)
    mine, its = ([each[name] for name in shared] for each in (one, other))
    finding, differs = _compared(a, b, mine, its, 1)
    if more:
        finding += f", but only one has {more[0]}"
    if len(more) > 1:
        finding += f" and {len(more) - 1} more"
    return Stage("initial weights", _pair(values), finding, differs)


def _named(params: Params) -> dict[str, Array]:
    return dict(zip(parameter_names(params), jax.tree.leaves(params), strict=True))


def _batch(a: _Start, b: _Start) -> Stage:
    what = "series" if TASKS[a.config.task].series else "images"
    values = f"{len(a.images):,} {what}", f"{len(b.images):,} {what}"
    each = [{image.tobytes() for image in start.images} for start in (a, b)]
    if each[0] != each[1]:
        both = len(each[0] & each[1])
        finding = f"{both:,} {what} are in both" if both else f"no {what} are in both"
        return Stage("first batch", values, finding, True)
    later = next(
        (
            step
            for step, pair in enumerate(zip(a.batches, b.batches, strict=False))
            if set(pair[0].tolist()) != set(pair[1].tolist())
        ),
        None,
    )
    if later is not None:
        return Stage("first batch", values, f"the same, but not that of step {later}", True)
    ordered = np.array_equal(a.images, b.images)
    return Stage("first batch", values, "the same" if ordered else f"the same {what}", False)


def _given(a: _Start, b: _Start) -> Stage:
    values = _ranges(a.x, b.x)
    if _same_images(a, b):
        return Stage("input", values, *_compared(a, b, a.x, b.x, 1))
    return _of_other_images("input", values)


def _logits(a: _Start, b: _Start) -> Stage:
    values = _ranges(a.step.logits, b.step.logits)
    if not _same_images(a, b):
        return _of_other_images("logits", values)
    return Stage("logits", values, *_compared(a, b, a.step.logits, b.step.logits, ROUNDINGS))


def _loss(a: _Start, b: _Start) -> Stage:
    losses = a.step.loss, b.step.loss
    values = _pair([number(flat(each).mean(), 4) for each in losses])
    if not _same_images(a, b):
        return _of_other_images("loss", values)
    return Stage("loss", values, *_compared(a, b, *losses, ROUNDINGS))


def _gradient(a: _Start, b: _Start) -> Stage:
    gradients = a.step.gradients, b.step.gradients
    values = _pair([f"norm {number(float(np.linalg.norm(flat(each))), 3)}" for each in gradients])
    if not _same_images(a, b):
        return _of_other_images("gradient", values)
    sizes = [[np.shape(leaf) for leaf in jax.tree.leaves(each)] for each in gradients]
    if sizes[0] != sizes[1]:
        return Stage("gradient", values, "of other sizes", None)
    return Stage("gradient", values, *_compared(a, b, *gradients, ROUNDINGS))


STAGES: tuple[Callable[[_Start, _Start], Stage], ...] = (
    _weights, _batch, _given, _logits, _loss, _gradient,
)  # fmt: skip


def _compared(a: _Start, b: _Start, x: Any, y: Any, roundings: int) -> tuple[str, bool]:
    """The finding for numbers of two runs, and whether they differ by more than rounding."""
    relative = relative_difference(x, y)
    formats = [PRECISIONS[start.config.precision].compute for start in (a, b)]
    if relative == 0:
        return "the same", False
    if relative <= roundings * max(each.roundoff for each in formats):
        return "the same up to rounding", False
    if not np.isfinite(relative):
        return "NaN or infinite in one of them", True
    return f"differ by {number(100 * relative, 3)}%", True


def _same_images(a: _Start, b: _Start) -> bool:
    return np.array_equal(a.images, b.images)


def _of_other_images(name: str, values: tuple[str, str]) -> Stage:
    return Stage(name, values, "from another batch", None)


def _ranges(*arrays: Array) -> tuple[str, str]:
    """The least and the greatest number of each."""
    return _pair([f"{number(x.min(), 3)} to {number(x.max(), 3)}" for x in map(flat, arrays)])


def _times(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _pair(values: Sequence[str]) -> tuple[str, str]:
    first, second = values
    return first, second
