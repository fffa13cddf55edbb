"""How images that are evaluated together change each other's answers, in a model with BatchNorm.

stax.BatchNorm takes its mean and variance from the batch, at test time too. So an image's answer
depends on the others in its batch: on how many there are, and on how mixed they are.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from core.config import RunConfig
from core.run import diagnostics, train
from core.run.snapshot import PROBE
from core.study.states import compiled_for, states

SIZES = (1000, 100, 10, 1)


class Evaluated(NamedTuple):
    """Results on the held-out images in batches of `size`; a last, partial batch is left out."""

    size: int
    by_class: bool  # batches cut from the images sorted by label; otherwise shuffled
    accuracy: float
    one_answer: float  # share of the images that get the most frequent answer


def by_test_batch(
    config: RunConfig, data: train.DeviceData, sizes: Sequence[int] = SIZES
) -> Iterator[Evaluated | None]:
    """Train `config`, then evaluate it in batches of each size, shuffled and sorted by class.

    Yields None between pieces of work, so that the caller can stop.

    Raises:
      ValueError: a size is below 1 or beyond the number of held-out images.
    """
    most = len(data.test_images)
    if not 1 <= min(sizes) <= max(sizes) <= most:
        raise ValueError(f"sizes are {tuple(sizes)}; allowed are 1 to {most}")
    return _by_test_batch(config, data, sizes)


def _by_test_batch(
    config: RunConfig, data: train.DeviceData, sizes: Sequence[int]
) -> Iterator[Evaluated | None]:
    for at in states(config, data):
        params = at.state.params
        yield None
    images, labels = np.asarray(data.test_images), np.asarray(data.test_labels)
    for size in sizes:
        for by_class in (False, True):
            yield evaluated(config, params, images, labels, size, by_class)


def evaluated(
    config: RunConfig,
    params: Any,
    images: np.ndarray,
    labels: np.ndarray,
    size: int,
    by_class: bool,
) -> Evaluated:
    """Evaluate weights on uint8 images [n, 784] with the task's labels [n], `size` at a time."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")] if by_class else shuffled
    order = order[: len(order) // size * size]
    batches = images[order].reshape(-1, size, images.shape[1])
    answer, at_once = _answers(train.shape(config)), -(-PROBE // size)
    pieces = np.split(batches, range(at_once, len(batches), at_once))
    found = [answer(params, piece, train.knobs(config)) for piece in pieces]
    answers = np.concatenate([np.ravel(each) for each in found])
    most = np.bincount(answers).max() / len(answers)
    return Evaluated(size, by_class, float(np.mean(answers == labels[order])), float(most))


@lru_cache(maxsize=8)
def _answers(shape: train.Shape) -> Callable[..., Array]:
    """Compiled for each size: (params, images uint8 [batches, size, 784], knobs) -> answers."""
    apply = train.Step(shape).apply

    def answers(params: Any, images: Array, knobs: train.Knobs) -> Array:
        def batch(images: Array) -> Array:
            x = train.pixels(images, knobs)
            return diagnostics.answers(apply(params, x, drop=train.dropping(knobs)))

        return jax.vmap(batch)(images)

    return compiled_for(shape, answers)
