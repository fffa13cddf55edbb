"""MODELS: what is trained, as stax-style (init, apply) pairs that return logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.example_libraries import stax
from jax.nn import initializers

from core.parts.dropout import NOTHING, Drop, dropout
from core.registry import Registry, Row

Params = Any  # a pytree: one entry a layer, () for layers without weights


@dataclass(frozen=True, kw_only=True)
class Initializer(Row):
    """How weights and biases are drawn."""

    weights: initializers.Initializer
    biases: initializers.Initializer


INITIALIZERS = Registry(
    "initializer",
    [
        Initializer(
            key="glorot_normal",
            label="Glorot normal",
            latex=r"W \sim N(0, 2/(n_{in} + n_{out})),\quad b \sim N(0, 10^{-4})",
            summary="The spread shrinks as layers widen; stax's default.",
            reference="jax.example_libraries.stax, JAX 0.10.2; Glorot and Bengio, 2010",
            weights=initializers.glorot_normal(),
            biases=initializers.normal(1e-2),
        ),
        Initializer(
            key="normal_0.01",
            label="normal, 0.01",
            latex=r"W, b \sim N(0, 10^{-4})",
            summary="A hundredth of a standard normal, whatever the width.",
            reference="Getting started with JAX (a post)",
            weights=initializers.normal(1e-2),
            biases=initializers.normal(1e-2),
        ),
        Initializer(
            key="keras",
            label="Glorot uniform, biases 0",
            latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b = 0",
            summary="What a Dense layer of Keras starts with.",
            reference="keras.layers.Dense, Keras 3.15",
            weights=initializers.glorot_uniform(),
            biases=initializers.zeros,
        ),
        Initializer(
            key="glorot_uniform",
            label="Glorot uniform, biases N(0, 1)",
            latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b \sim N(0, 1)",
            summary="Keras's weights with standard normal biases.",
            reference="the keep_prob question (TensorFlow 1)",
            weights=initializers.glorot_uniform(),
            biases=initializers.normal(1.0),
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Model(Row):
    """`build(widths, outputs, initializer)` gives the model's functions."""

    build: Callable[[tuple[int, ...], int, Initializer], "Functions"]


class Functions(NamedTuple):
    """A model; x is [batch, 784], without `rng` units are as at test time."""

    init: Callable[..., Any]  # rng, input shape -> output shape, params
    apply: Callable[..., Array]  # params, x, rng=None, drop=NOTHING -> logits [batch, outputs]
    hidden: Callable[..., list["Hidden"]]  # params, x, rng=None, drop=NOTHING -> each hidden layer


class Hidden(NamedTuple):
    """A hidden layer; the next one gets units · multipliers."""

    units: Array  # [batch, width], after ReLU
    multipliers: Array  # [batch, width], what dropout makes of each; 0: dropped


def _relu_dropout() -> tuple[Callable[..., Any], Callable[..., Array]]:
    """ReLU and then dropout, as one layer.

    One layer and not two, because stax hands every layer its own random key:
    a layer more would give the following Dense other weights than the sources have.
    """

    def init(rng: Array, input_shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[()]]:
        return input_shape, ()

    def apply(params: tuple[()], x: Array, *, rng: Array | None, drop: Drop) -> Array:
        return dropout(jax.nn.relu(x), drop, rng)

    return init, apply


def mlp(widths: tuple[int, ...], outputs: int, initializer: Initializer) -> Functions:
    """Dense layers of the given widths, ReLU and dropout after each, then Dense(outputs)."""

    def dense(width: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return stax.Dense(width, W_init=initializer.weights, b_init=initializer.biases)

    hidden = [layer for width in widths for layer in (dense(width), _relu_dropout())]
    init, serial = stax.serial(*hidden, dense(outputs))

    def apply(params: Params, x: Array, *, rng: Array | None = None, drop: Drop = NOTHING) -> Array:
        return serial(params, x, rng=rng, drop=drop)

    def units(
        params: Params, x: Array, *, rng: Array | None = None, drop: Drop = NOTHING
    ) -> list[Hidden]:
        # stax.serial's own keys, one for each layer
        keys = [None] * len(params) if rng is None else jax.random.split(rng, len(params))
        each = []
        for (_, layer), weights, key in zip(hidden[::2], params[::2], keys[1::2], strict=False):
            x = jax.nn.relu(layer(weights, x))
            each.append(Hidden(x, dropout(jnp.ones_like(x), drop, key)))
            x = dropout(x, drop, key)
        return each

    return Functions(init, apply, units)


MODELS = Registry(
    "model",
    [
        Model(
            key="mlp",
            label="MLP",
            latex=r"z = W_L\,\mathrm{relu}(\cdots\mathrm{relu}(W_1 x + b_1)\cdots) + b_L",
            summary="Dense layers with ReLU between them.",
            reference="jax.example_libraries.stax, JAX 0.10.2",
            build=mlp,
        ),
    ],
)


def layers(params: Params) -> list[Any]:
    """The layers that have weights, in order."""
    return [layer for layer in params if layer]


def parameter_names(params: Params) -> list[str]:
    """A name for each leaf in order, as in: layer 1 weights, layer 1 biases."""
    return [
        f"layer {i} {'weights' if leaf.ndim > 1 else 'biases'}"
        for i, layer in enumerate(layers(params), 1)
        for leaf in jax.tree.leaves(layer)
    ]
