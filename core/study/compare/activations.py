"""Activations and their slopes in NumPy; the keys are those of ACTIVATIONS, where it has them."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from core.study.compare.recording import Array

_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _leaky(s: Array, slope: float) -> tuple[Array, Array]:
    return np.where(s > 0, s, slope * s), np.where(s > 0, 1.0, slope)


def _sigmoid(s: Array) -> tuple[Array, Array]:
    y = 1 / (1 + np.exp(-s))
    return y, y * (1 - y)


def _tanh(s: Array) -> tuple[Array, Array]:
    y = np.tanh(s)
    return y, 1 - y * y


def _gelu(s: Array) -> tuple[Array, Array]:
    phi = (1 + _ERF(s / math.sqrt(2))) / 2
    return s * phi, phi + s * np.exp(-s * s / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh(s: Array) -> tuple[Array, Array]:
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (s + 0.044715 * s**3))
    return s * (1 + t) / 2, (1 + t) / 2 + s * (1 - t * t) / 2 * c * (1 + 3 * 0.044715 * s * s)


def _silu(s: Array) -> tuple[Array, Array]:
    y = 1 / (1 + np.exp(-s))
    return s * y, y * (1 + s * (1 - y))


def _elu(s: Array) -> tuple[Array, Array]:
    e = np.exp(np.minimum(s, 0))
    return np.where(s > 0, s, e - 1), np.where(s > 0, 1.0, e)


FUNCTIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "relu": partial(_leaky, slope=0.0),
    "leaky_relu_0.01": partial(_leaky, slope=0.01),
    "leaky_relu_0.2": partial(_leaky, slope=0.2),
    "leaky_relu_0.3": partial(_leaky, slope=0.3),
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "elu": _elu,
    "linear": partial(_leaky, slope=1.0),
}
