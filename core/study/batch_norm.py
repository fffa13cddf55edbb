"""How images that are evaluated together change each other's answers, in a model with BatchNorm.

stax.BatchNorm takes its mean and variance from the batch, at test time too. So an image's answer
depends on the others in its batch: on how many there are, and on how mixed they are.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from core.config import RunConfig
from core.parts.reports import answers
from core.run import train
from core.run.snapshot import PROBE
from core.study.states import compiled_for

SIZES = (1000, 100, 10, 1)


class Evaluated(NamedTuple):
    """Results on the held-out images in batches of `size`; a last, partial batch is left out."""

    size: int
    by_class: bool  # batches cut from the images sorted by label; otherwise shuffled
    accuracy: float
    one_answer: float  # share of the images that get the most frequent answer


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
    compiled, at_once = _answers(train.shape(config)), -(-PROBE // size)
    pieces = np.split(batches, range(at_once, len(batches), at_once))
    outputs = [compiled(params, piece, train.knobs(config)) for piece in pieces]
    answers = np.concatenate([np.ravel(each) for each in outputs])
    most = np.bincount(answers).max() / len(answers)
    return Evaluated(size, by_class, float(np.mean(answers == labels[order])), float(most))


@lru_cache(maxsize=8)
def _answers(shape: train.Shape) -> Callable[..., Array]:
    """Compiled for each size: (params, images uint8 [batches, size, 784], knobs) -> answers."""
    apply = train.Step(shape).apply

    def answered(params: Any, images: Array, knobs: train.Knobs) -> Array:
        def batch(images: Array) -> Array:
            x = train.pixels(images, knobs)
            return answers(apply(params, x, drop=train.dropping(knobs)))

        return jax.vmap(batch)(images)

    return compiled_for(shape, answered)
