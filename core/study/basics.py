"""The basics of the post as cells; the page shows the very source that runs.

Source: Getting started with JAX (a post), where `np` is `jax.numpy` and `onp` is NumPy.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, grad, jit, random, vmap

Params = list[Array]  # weights [512, 100] and biases [512]

REPEATS = 9  # of each timing; the median counts
SIZE = 1000  # rows and columns of the timed matrix


def ReLU(x: Any) -> Array:
    """The post's own ReLU: 0 below 0, and x above."""
    return jnp.maximum(0, x)


# --- three lines that ought to give the same ------------------------------------------------------


def batch_and_layer() -> tuple[Array, Params]:
    """The post's batch, 32 images of 100 features, and its layer of 512 units."""
    key = random.PRNGKey(1)
    X = random.normal(key, (32, 100))
    params = [random.normal(key, (512, 100)), random.normal(key, (512,))]
    return X, params


def relu_layer(params: Params, x: Array) -> Array:
    """A layer, for one image: [100] -> [512]."""
    return ReLU(jnp.dot(params[0], x) + params[1])


def post(x: Array) -> dict[str, Any]:
    """What `out` is after each of the post's three lines, when x is the batch [n, 100]."""
    X, params = batch_and_layer()

    def batch_version_relu_layer(params: Params, x: Array) -> Array:
        return ReLU(jnp.dot(X, params[0].T) + params[1])

    def vmap_relu_layer(params: Params, x: Array) -> Any:
        return jit(vmap(relu_layer, in_axes=(None, 0), out_axes=0))

    return {
        "a loop": jnp.stack([relu_layer(params, x[i, :]) for i in range(x.shape[0])]),
        "batched by hand": batch_version_relu_layer(params, x),
        "vmap": vmap_relu_layer(params, x),
    }


def mended(x: Array) -> dict[str, Array]:
    """The same three lines, each using the batch x that it is given: three arrays [n, 512]."""
    _, params = batch_and_layer()

    def batch_version_relu_layer(params: Params, x: Array) -> Array:
        return ReLU(jnp.dot(x, params[0].T) + params[1])

    vmap_relu_layer = jit(vmap(relu_layer, in_axes=(None, 0), out_axes=0))

    return {
        "a loop": jnp.stack([relu_layer(params, x[i, :]) for i in range(x.shape[0])]),
        "batched by hand": batch_version_relu_layer(params, x),
        "vmap": vmap_relu_layer(params, x),
    }


def key_reused() -> dict[str, bool]:
    """Show what is equal because one key was used three times."""
    X, (weights, biases) = batch_and_layer()
    return {
        "weights[:32] == X": bool(jnp.array_equal(weights[:32], X)),
        "biases == X.ravel()[:512]": bool(jnp.array_equal(biases, X.ravel()[:512])),
    }


# --- the slope of ReLU ----------------------------------------------------------------------------


def finite_difference(x: float, h: float = 1e-3) -> Array:
    """The slope between x - h and x + h, as the post takes it."""
    return (ReLU(x + h) - ReLU(x - h)) / (2 * h)


def slopes(x: float) -> dict[str, float]:
    """ReLU's slope at x: by grad, by finite differences, and by grad of JAX's own ReLU."""
    return {
        "grad(ReLU)": float(grad(ReLU)(x)),
        "finite difference": float(finite_difference(x)),
        "grad(jax.nn.relu)": float(grad(jax.nn.relu)(x)),
    }


# --- times ----------------------------------------------------------------------------------------


def seconds(function: Callable[[], Any]) -> float:
    """Seconds until a call returns; in JAX that may be before its result is there."""
    start = time.perf_counter()
    result = function()
    taken = time.perf_counter() - start
    jax.block_until_ready(result)  # not timed, but the next call starts on an idle machine
    return taken


def median(function: Callable[[], Any]) -> float:
    """The median of REPEATS calls, in seconds."""
    return statistics.median(seconds(function) for _ in range(REPEATS))


def jit_times() -> Iterator[tuple[str, float]]:
    """Seconds for ReLU over a matrix [1000, 1000]."""
    x = random.uniform(random.PRNGKey(1), (SIZE, SIZE))
    jit_ReLU = jit(lambda x: ReLU(x))  # a new function, for which nothing is compiled yet
    yield "jitted, the first call", seconds(lambda: jit_ReLU(x).block_until_ready())
    yield "jitted, a later call", median(lambda: jit_ReLU(x).block_until_ready())
    yield "the same without block_until_ready", median(lambda: jit_ReLU(x))
    yield "not jitted", median(lambda: ReLU(x).block_until_ready())


def product_times() -> Iterator[tuple[str, float]]:
    """Seconds for a product of two matrices [1000, 1000] in float32."""
    x = random.uniform(random.PRNGKey(1), (SIZE, SIZE))
    onp_x = np.asarray(x)
    jnp.dot(x, x).block_until_ready()  # compiles, untimed
    yield "NumPy", median(lambda: np.dot(onp_x, onp_x))
    yield "JAX", median(lambda: jnp.dot(x, x).block_until_ready())
    yield "JAX without block_until_ready", median(lambda: jnp.dot(x, x))


def layer_times() -> Iterator[tuple[str, float]]:
    """Seconds for the layer of 512 units over the batch of 32, in three ways."""
    X, params = batch_and_layer()
    layer = jit(vmap(relu_layer, in_axes=(None, 0), out_axes=0))
    layer(params, X).block_until_ready()  # compiles, untimed
    W, b = params

    def ready(function: Callable[[], Array]) -> float:
        return median(lambda: function().block_until_ready())

    yield "a loop", ready(lambda: jnp.stack([relu_layer(params, x) for x in X]))
    yield "batched by hand", ready(lambda: ReLU(jnp.dot(X, W.T) + b))
    yield "vmap, jitted", ready(lambda: layer(params, X))
