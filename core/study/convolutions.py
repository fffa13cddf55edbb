"""What a convolutional network does to its pictures (shapes, filters, maps), and how fast.

stax reads a picture as (height, width, channels). Given (1, 28, 28), it takes every column of
pixels for a channel.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, grad, jit, lax, random

from core.config import RunConfig
from core.parts.choices import TASKS
from core.parts.convolution import convolve, reach, xla
from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS, STRIDE, layers
from core.run import train
from core.study import batch_norm
from core.study.basics import median
from core.study.batch_norm import Evaluated
from core.study.states import compiled_for, states

LOOKED_AT = 100  # training images in one batch, over which BatchNorm takes its mean


class Stage(NamedTuple):
    """A layer with weights: their sizes, and the shape of its output for one image."""

    kernel: tuple[int, ...]  # (rows, columns, channels, filters), or (in, out) if dense
    numbers: int  # weights and biases, BatchNorm's included
    gives: tuple[int, ...]  # (height, width, filters), or (logits,)


def stages(config: RunConfig) -> list[Stage]:
    """The layers of a run's model; JAX finds their shapes without computing anything."""
    functions = MODELS[config.model].build(
        config.widths, TASKS[config.task].outputs, INITIALIZERS[config.initializer]
    )
    key = jax.eval_shape(lambda: random.PRNGKey(0))
    params = jax.eval_shape(lambda key: functions.init(key, (1, 784))[1], key)
    x = jax.ShapeDtypeStruct((1, 784), jnp.float32)
    hidden = jax.eval_shape(functions.hidden, params, x)
    logits = jax.eval_shape(functions.apply, params, x)
    gives = [layer.units.shape[1:] for layer in hidden] + [logits.shape[1:]]
    return [
        Stage(layer[0].shape, sum(math.prod(leaf.shape) for leaf in layer), shape)
        for layer, shape in zip(layers(params), gives, strict=True)
    ]


class Window(NamedTuple):
    """The part of a digit that one pixel of a map is computed from.

    Both ranges go beyond the digit where the kernel meets padding.
    """

    rows: range
    columns: range


def window(axes: tuple[int, ...], kernel: tuple[int, ...], row: int, column: int) -> Window:
    """The window of a pixel of the first layer's map.

    Of a picture one pixel high the digit's rows lie along the line and its columns are channels,
    so that its map has a row for each place along the line, and one column.

    Args:
      axes: of the picture as the model reads it: height, width, channels.
      kernel: the shape of the first kernel: rows, columns, channels, filters.
      row: of the map as it lies on the digit.
      column: of the same.
    """
    (height, width, channels), (high, wide, *_) = axes, kernel
    if height == 1:
        return Window(reach(row, width, wide, STRIDE), range(channels))
    return Window(reach(row, height, high, STRIDE), reach(column, width, wide, STRIDE))


class FirstLayer(NamedTuple):
    """A trained network's first layer."""

    kernel: np.ndarray  # float32 [rows, columns, channels, filters]
    moved: float  # share of the kernel's entries that training has changed
    maps: np.ndarray  # float32 [LOOKED_AT, height, width, filters], after ReLU


def trained(config: RunConfig, data: train.DeviceData) -> Iterator[FirstLayer | Evaluated | None]:
    """Train a run, then yield its first layer, then its results on the test images in batches.

    Yields None between pieces of work. The batches are those of `batch_norm.evaluated`.
    """
    for at in states(config, data):
        params = at.state.params
        if at.state.step == 0:
            first = np.asarray(layers(params)[0][0])
        yield None
    yield _first_layer(config, data, params, first)
    images, labels = np.asarray(data.test_images), np.asarray(data.test_labels)
    for size in batch_norm.SIZES:
        for by_class in (False, True):
            yield batch_norm.evaluated(config, params, images, labels, size, by_class)


def _first_layer(
    config: RunConfig, data: train.DeviceData, params: Any, first: np.ndarray
) -> FirstLayer:
    images, kernel = data.train_images[:LOOKED_AT], np.asarray(layers(params)[0][0])
    maps = _feature_maps(train.shape(config))(params, images, train.knobs(config))
    return FirstLayer(kernel, float(np.mean(kernel != first)), np.asarray(maps))


@lru_cache(maxsize=8)
def _feature_maps(shape: train.Shape) -> Callable[..., Array]:
    hidden = train.Step(shape).hidden

    def units(params: Any, images: Array, knobs: train.Knobs) -> Array:
        return hidden(params, train.pixels(images, knobs), drop=train.dropping(knobs))[0].units

    return compiled_for(shape, units)


# --- a cell: its text is what the page shows ------------------------------------------------------


def driven(
    name: str, convolve: Callable[[Array, Array, int], Array], steps: int = 10
) -> Iterator[tuple[str, float]]:
    """Seconds for `steps` steps of one convolution, in a Python loop and inside lax.scan."""
    x = random.normal(random.PRNGKey(0), (100, 28, 28, 1))
    first = random.normal(random.PRNGKey(1), (5, 5, 1, 32))

    def loss(kernel: Array, x: Array) -> Array:
        return jnp.sum(convolve(x, kernel, 2) ** 2)

    def step(kernel: Array, x: Array) -> Array:
        return kernel - 1e-6 * grad(loss)(kernel, x)

    step_jit = jit(step)

    def loop() -> Array:
        kernel = first
        for _ in range(steps):
            kernel = step_jit(kernel, x)
        return kernel.block_until_ready()

    @jit
    def scan(kernel: Array, x: Array) -> Array:
        return lax.scan(lambda kernel, _: (step(kernel, x), None), kernel, length=steps)[0]

    loop(), scan(first, x).block_until_ready()  # compiles, untimed
    yield f"{name}, in a Python loop", median(loop)
    yield f"{name}, inside lax.scan", median(lambda: scan(first, x).block_until_ready())


def conv_times() -> Iterator[tuple[str, float]]:
    """Seconds for ten steps with the gradients JAX derives, and with their axes put in order."""
    yield from driven("as JAX derives it", xla)
    yield from driven("axes in order", convolve)
