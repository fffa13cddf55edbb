"""A gated recurrent unit as a stax layer, as the post Getting started with JAX writes it.

    z = sigmoid(x W_z + h U_z + b_z)            update gate
    r = sigmoid(x W_r + h U_r + b_r)            reset gate
    c = tanh(x W_c + (r h) U_c + b_c)           candidate, which the post calls the output gate
    h' = z h + (1 - z) c

or, if the reset gate acts after the product, which has biases of its own,

    c = tanh(x W_c + b_c + r (h U_c + d_c))

The state before the first value is learnt, a row for each place in the batch: series i of a batch
starts from row i. In a batch larger than the layer was made for, the rows are used again from the
first, as if it were several batches.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn import initializers, sigmoid


class Gate(NamedTuple):
    """A gate's weights."""

    inputs: Array  # W: [inputs, width]
    states: Array  # U: [width, width]
    biases: Array  # b: [width]


class LaterReset(NamedTuple):
    """The candidate's weights where the reset gate acts after the product."""

    inputs: Array  # W: [inputs, width]
    states: Array  # U: [width, width]
    biases: Array  # b: [width]
    state_biases: Array  # d: [width], reset together with the product


class Weights(NamedTuple):
    """Everything that the layer learns."""

    start: Array  # [batch, width], the state before the first value
    update: Gate
    reset: Gate
    candidate: Gate | LaterReset


def gru(
    width: int,
    weights: initializers.Initializer,
    biases: initializers.Initializer,
    split_keys: bool,
    reset_after: bool = False,
) -> tuple[Callable[..., Any], Callable[..., Array]]:
    """A stax layer: [batch, time, inputs] -> [time, batch, width], as lax.scan stacks it.

    Args:
      split_keys: whether the start and each gate draw from keys of their own. The post uses one key
        for all of them, so that its three gates begin equal.
      reset_after: whether the reset gate acts after the product. All weights that there are
        otherwise, too, begin the same.
    """

    def init(rng: Array, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Weights]:
        batch, time, inputs = shape
        keys = jax.random.split(rng, 4) if split_keys else [rng] * 4

        def gate(key: Array) -> Gate:
            k1, k2, k3 = jax.random.split(key, 3)
            return Gate(
                weights(k1, (inputs, width)), weights(k2, (width, width)), biases(k3, (width,))
            )

        start = biases(keys[0], (batch, width))
        update, reset, candidate = map(gate, keys[1:])
        if reset_after:
            more = biases(jax.random.fold_in(keys[3], 3), (width,))
            return (time, batch, width), Weights(start, update, reset, LaterReset(*candidate, more))
        return (time, batch, width), Weights(start, update, reset, candidate)

    def apply(params: Weights, x: Array, **_: Any) -> Array:
        def step(h: Array, x: Array) -> tuple[Array, Array]:
            z = sigmoid(_into(params.update, x, h))
            r = sigmoid(_into(params.reset, x, h))
            h = z * h + (1 - z) * jnp.tanh(_candidate(params.candidate, x, h, r))
            return h, h

        start = jnp.resize(params.start, (len(x), width))
        return lax.scan(step, start, jnp.moveaxis(x, 1, 0))[1]

    return init, apply


def _candidate(weights: Gate | LaterReset, x: Array, h: Array, r: Array) -> Array:
    if isinstance(weights, Gate):
        return _into(weights, x, r * h)
    return x @ weights.inputs + weights.biases + r * (h @ weights.states + weights.state_biases)


def _into(gate: Gate, x: Array, h: Array) -> Array:
    return x @ gate.inputs + h @ gate.states + gate.biases
