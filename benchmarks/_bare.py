"""`python -m benchmarks._bare NETWORK FILE`: the loop that a good engineer writes by hand in JAX.

One jitted step, weights donated, images as bytes on the device, a new shuffle every epoch, and no
looks. It shares no code with the product and imports none, so that nothing which the product sets
for its process helps or hurts it. NETWORK is JSON, see `Network`.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jax.example_libraries import stax

from benchmarks._workers import Epoch, serve, timed


class Network(NamedTuple):
    """What is trained, and how."""

    widths: list[int]  # of the hidden layers
    picture: list[int]  # height, width and channels of a CNN's input; empty for an MLP
    keep_prob: float
    mean: float  # of the pixels, and what they are divided by after that
    deviation: float
    reduction: str  # "mean" or "sum" of the batch's losses
    learning_rate: float  # Adam's
    batch: int


Logits = Callable[[Any, Array, Array], Array]  # (params, x, key) -> [batch, 10]


def epochs(network: Network, images: np.ndarray, labels: np.ndarray) -> Epoch:
    """Return the epoch of this network on images [n, 784], uint8, and labels [n]."""
    on_device = jnp.asarray(images), jnp.asarray(labels)
    optimizer = optax.adam(network.learning_rate)
    reduced = {"mean": jnp.mean, "sum": jnp.sum}[network.reduction]
    params, logits = (convolutional if network.picture else dense)(network)

    def loss(params: Any, x: Array, y: Array, key: Array) -> Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits(params, x, key), y)
        return reduced(losses)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(
        params: Any, slots: Any, images: Array, labels: Array, order: Array, key: Array, i: Any
    ) -> Any:
        chosen = lax.dynamic_slice_in_dim(order, i * network.batch, network.batch)
        x = (images[chosen].astype(jnp.float32) / 255 - network.mean) / network.deviation
        y = labels[chosen].astype(jnp.int32)
        gradients = jax.grad(loss)(params, x, y, jax.random.fold_in(key, i))
        updates, slots = optimizer.update(gradients, slots)
        return optax.apply_updates(params, updates), slots

    @jax.jit
    def shuffled(key: Array) -> Array:
        return jax.random.permutation(key, len(labels))

    def epoch() -> None:
        nonlocal params, slots
        key = next(keys)
        order = shuffled(key)
        for i in range(len(labels) // network.batch):
            params, slots = step(params, slots, *on_device, order, key, i)
        jax.block_until_ready(params)

    keys = (jax.random.key(i) for i in count())
    slots = optimizer.init(params)
    return timed(epoch)


def dense(network: Network) -> tuple[Any, Logits]:
    """Dense layers with ReLU and dropout: normal weights by the number of inputs, zero biases."""
    sizes, keep = [784, *network.widths, 10], network.keep_prob
    keys = jax.random.split(jax.random.key(1), len(sizes) - 1)

    def logits(params: Any, x: Array, key: Array) -> Array:
        for layer, (weights, bias) in enumerate(params[:-1]):
            x = jax.nn.relu(x @ weights + bias)
            if keep < 1:
                kept = jax.random.bernoulli(jax.random.fold_in(key, layer), keep, x.shape)
                x = jnp.where(kept, x / keep, 0)
        weights, bias = params[-1]
        return x @ weights + bias

    return [
        (jax.random.normal(key, (fan_in, out)) / fan_in**0.5, jnp.zeros(out))
        for key, fan_in, out in zip(keys, sizes, sizes[1:], strict=False)
    ], logits


def convolutional(network: Network) -> tuple[Any, Logits]:
    """The post's CNN, written in stax."""
    conv, norm, relu = partial(stax.Conv, padding="SAME"), stax.BatchNorm, stax.Relu
    init, apply = stax.serial(
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), relu,
        stax.Flatten, stax.Dense(10),
    )  # fmt: skip
    _, params = init(jax.random.key(1), (network.batch, *network.picture))
    return params, lambda params, x, key: apply(params, x.reshape(-1, *network.picture))


if __name__ == "__main__":
    with np.load(sys.argv[2]) as arrays:
        epoch = epochs(Network(**json.loads(sys.argv[1])), arrays["images"], arrays["labels"])
    serve(epoch, version=f"JAX {jax.__version__}", device=str(jax.devices()[0]))
