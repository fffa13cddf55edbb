"""The first step where two runs' gradients differ by more than rounding, and which samples do."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from core.config import RunConfig
from core.data import Dataset
from core.parts.models import Params, layers
from core.parts.precisions import PRECISIONS
from core.run import train
from core.study.states import At, compiled_for, states
from core.study.twins.differences import twin_differences

# Losses that are the same function rounded in different places (from_logits, optax, PyTorch) gave
# gradients that differed by 2 roundings (2^-24 each) at the question's first step and by 17 after
# ten steps, the most that rounding grew to. Clipping elsewhere made a difference of a million.
ROUNDINGS = 64
NOTICEABLE = 1e-4  # smaller differences of slopes (at most 1 in size) are not counted
MOST = 24  # samples listed

Array = Any  # a numpy array


@dataclass(frozen=True)
class Samples:
    """k training images, at most MOST, and what each run's network says about them."""

    index: Array  # int [k], position in the training images
    images: Array  # uint8 [k, 784]
    labels: Array  # uint8 [k], the task's
    logits: tuple[Array, ...]  # float32 [k, outputs] of each run
    slopes: tuple[Array, ...]  # dloss/dlogits, float32 [k, outputs] of each run


class Divergence(NamedTuple):
    """The first step whose gradients differ by more than rounding."""

    step: int
    layer: int  # the one that differs most, counted from 0 among the layers with weights
    relative: Array  # float64 [layers]: see `relative_differences`
    images: int  # in that step's batch
    differing: int  # of them, those whose slopes differ by more than NOTICEABLE
    samples: Samples  # those that differ most, largest |slope_a - slope_b| first


def first_divergence(a: RunConfig, b: RunConfig, data: Dataset) -> Iterator[Divergence | None]:
    """Step both until their gradients differ: yield None while they agree, then a Divergence.

    There is no Divergence if they agree to the last step that both take. A layer's gradients differ
    if |g_a - g_b| > ROUNDINGS u max(|g_a|, |g_b|) in the Euclidean norm, where u is the largest
    relative error of one rounding in the passes.

    Raises ValueError as `twin_differences` does.
    """
    twin_differences(a, b)
    on_device, compiled = train.on_device(a.task, data), backprop_of(train.shape(a))

    def backprop(config: RunConfig, at: At) -> train.Backprop:
        state, inputs = at.state._replace(slots=()), (*on_device[:2], at.order)
        result: train.Backprop = jax.device_get(compiled(state, *inputs, train.knobs(config)))
        return result

    tolerance = ROUNDINGS * PRECISIONS[a.precision].compute.roundoff
    both = zip(states(a, on_device), states(b, on_device), strict=False)  # to the end of either
    for step, (at_a, at_b) in enumerate(both):
        results = backprop(a, at_a), backprop(b, at_b)
        relative = relative_differences(*(result.gradients for result in results))
        if relative.max() > tolerance:
            yield _divergence(step, relative, batch_of(a, step, at_a.order), results, data, a.task)
            return
        yield None


def relative_differences(a: Params, b: Params) -> Array:
    """|g_a - g_b| / max(|g_a|, |g_b|) of each layer with weights: float64 [layers].

    0 if they are equal, NaN in the same places included; inf if somewhere only one is not finite.
    """
    pairs = zip(layers(a), layers(b), strict=True)
    return np.array([relative_difference(x, y) for x, y in pairs])


def relative_difference(a: Any, b: Any) -> float:
    """|a - b| / max(|a|, |b|) of two pytrees of the same sizes, with the same care for NaN."""
    a, b = flat(a), flat(b)
    gap = np.linalg.norm(_gap(a, b))
    if gap == 0 or not np.isfinite(gap):
        return float(gap)
    size = max(np.linalg.norm(x[np.isfinite(x)]) for x in (a, b))
    return float(gap / size)


def flat(tree: Any) -> Array:
    """All numbers of a pytree, float64 [n]."""
    return np.concatenate([np.ravel(leaf).astype(np.float64) for leaf in jax.tree.leaves(tree)])


def _gap(a: Array, b: Array) -> Array:
    """|a - b|; 0 if both are the same infinity or NaN, inf if only one is not finite."""
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - b)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.where(np.isnan(gap), np.inf, gap))


def batch_of(config: RunConfig, step: int, order: Any) -> Array:
    """Which training images the step uses: int [batch]."""
    if config.full_batch:
        return np.arange(config.train_size)
    start = step % config.steps_per_epoch * config.batch_size
    return np.asarray(order)[start : start + config.batch_size]


def _divergence(
    step: int,
    relative: Array,
    batch: Array,  # which images it uses
    results: tuple[train.Backprop, train.Backprop],
    data: Dataset,
    task: str,
) -> Divergence:
    slopes = [np.asarray(result.slope[: len(batch)], np.float64) for result in results]
    contribution = np.max(_gap(*slopes), axis=-1)
    differing = int(np.count_nonzero(contribution > NOTICEABLE))
    worst = np.argsort(-contribution, kind="stable")[: min(MOST, differing)]
    index = batch[worst]
    return Divergence(
        step=step,
        layer=int(relative.argmax()),
        relative=relative,
        images=len(batch),
        differing=differing,
        samples=Samples(
            index=index,
            images=data.train_images[index],
            labels=train.labels_of(task, data.train_labels[index]),
            logits=tuple(result.logits[worst] for result in results),
            slopes=tuple(result.slope[worst] for result in results),
        ),
    )


@lru_cache(maxsize=8)
def backprop_of(shape: train.Shape) -> Any:
    """(state without slots, images, labels, order, knobs) -> train.Backprop."""
    return compiled_for(shape, train.Step(shape).backprop)
