"""The issue's experiment: one network, one batch, the loss written in several ways.

The network is 784-1024-10 with a softmax, Glorot uniform weights and biases 0, as in the issue's
Dense(1024) of Keras 0.3.3. There are two batches: the first and the second 512 training images.
Gradients are of the batch's mean loss, in nats per unit of a weight.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from core.config import RunConfig
from core.data import Dataset
from core.presets import PRESETS
from core.run import train
from core.study.states import compiled_for
from core.study.twins.parting import relative_differences

CONFIG = PRESETS["epsilon"].config  # raw pixels, Keras's clip
ROWS = ("clip", "theano_onehot", "theano_int", "from_logits")  # keys of LOSSES
BATCHES = 2
EPSILON = CONFIG.epsilon  # the issue writes it as 10e-8

Array = Any  # a numpy array


class Parameter(NamedTuple):
    """The gradient for one layer's weights or biases."""

    name: str
    norm: float  # Euclidean; NaN if an entry is NaN
    largest: float  # magnitude; NaN if an entry is NaN
    nan: float  # share of its entries, as are the next three
    inf: float
    zero: float  # exactly
    fine: float


class Gradients(NamedTuple):
    """A loss and its gradient on one batch."""

    loss: float  # mean
    norm: float  # Euclidean, of the whole gradient
    nan: float  # share of the whole gradient
    zero: float
    unlikely: float  # share of the images whose true class has p < EPSILON
    silent: float  # share of the images that are wrong and whose own gradient is exactly 0
    parameters: tuple[Parameter, ...]


def gradients(config: RunConfig, data: Dataset, batch: int = 0) -> Gradients:
    """Measure a configuration's loss and gradient at its initial weights, on one of the batches.

    One compiled program serves every loss, epsilon, seed and pixel scaling.
    """
    start, labels = _backprop(config, data, batch), _labels(config, data, batch)
    z = np.asarray(start.logits, np.float64)
    p = np.exp(z[np.arange(len(z)), labels] - np.logaddexp.reduce(z, axis=1))
    wrong, silent = z.argmax(axis=1) != labels, np.all(start.slope == 0, axis=1)
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(start.gradients)]
    everything = np.concatenate([leaf.ravel() for leaf in leaves])
    return Gradients(
        loss=float(np.mean(np.asarray(start.loss, np.float64))),
        norm=float(np.linalg.norm(everything)),
        nan=float(np.isnan(everything).mean()),
        zero=float(np.mean(everything == 0)),
        unlikely=float(np.mean(p < EPSILON)),
        silent=float(np.mean(wrong & silent)),
        parameters=tuple(map(_parameter, train.parameters(train.shape(config)), leaves)),
    )


def _parameter(name: str, gradient: Array) -> Parameter:
    nan, inf, zero = np.isnan(gradient), np.isinf(gradient), gradient == 0
    return Parameter(
        name,
        float(np.linalg.norm(gradient)),
        float(np.abs(gradient).max()),
        *(float(kind.mean()) for kind in (nan, inf, zero, ~(nan | inf | zero))),
    )


def gradient_differences(a: RunConfig, b: RunConfig, data: Dataset, batch: int = 0) -> Array:
    """How far the gradients of two losses differ, relative to the larger: float64 [layers].

    inf if only one is not finite, as in core.study.twins.
    """
    one, other = (_backprop(config, data, batch).gradients for config in (a, b))
    return relative_differences(one, other)


def _backprop(config: RunConfig, data: Dataset, batch: int) -> train.Backprop:
    """The passes over a batch, in the data's own order, at the configuration's initial weights."""
    if not 0 <= batch < BATCHES:
        raise ValueError(f"batch is {batch}; allowed are 0 and 1")
    init, backprop = _compiled(train.shape(config))
    knobs = train.knobs(config)
    order = np.arange(config.train_size, dtype=np.int32)
    images, labels, *_ = train.on_device(config.task, data)
    state = init(knobs)._replace(slots=(), step=np.int32(batch))
    result: train.Backprop = jax.device_get(backprop(state, images, labels, order, knobs))
    return result


@lru_cache(maxsize=4)
def _compiled(shape: train.Shape) -> tuple[Any, Any]:
    step = train.Step(shape)
    return compiled_for(shape, step.init, train.ONCE), compiled_for(shape, step.backprop)


def _labels(config: RunConfig, data: Dataset, batch: int) -> Array:
    start = batch * config.batch_size
    return train.labels_of(config.task, data.train_labels)[start : start + config.batch_size]


class Ending(NamedTuple):
    """How a run ends."""

    learning_rate: float
    loss: str  # key of LOSSES
    silent_from: int | None  # step of the first look from which on every gradient is exactly 0
    norm: float  # of the last gradient
    accuracy: float  # on the first 1,000 training images, after the last step


def endings(
    config: RunConfig,
    data: Dataset,
    learning_rates: Iterable[float],
    losses: Iterable[str] = ROWS,
) -> Iterator[Ending | None]:
    """Train with each loss at each learning rate: yield an Ending after each, None between chunks.

    Runs are measured before the first step and at the end of each epoch.
    """
    on_device, program = train.on_device(config.task, data), train.program(train.shape(config))
    for learning_rate in learning_rates:
        for loss in losses:
            one = replace(config, learning_rate=learning_rate, loss=loss)
            norms: dict[int, float] = {}
            accuracy = np.nan
            for look in train.ticks(one, program, on_device, next_look=_end_of_epoch(one)):
                yield None
                if look is not None:
                    norms[look.step] = float(np.linalg.norm(look.gradient_norms))
                    accuracy = look.train_accuracy
            yield Ending(learning_rate, loss, _silent_from(norms), norms[one.steps], accuracy)


def _end_of_epoch(config: RunConfig) -> train.NextLook:
    return lambda step: (step // config.steps_per_epoch + 1) * config.steps_per_epoch


def _silent_from(norms: Mapping[int, float]) -> int | None:
    since = None
    for step, norm in norms.items():
        if norm != 0:
            since = None
        elif since is None:
            since = step
    return since
