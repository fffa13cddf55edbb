"""DROPOUTS: what the number given to dropout means.

Every form drops units at random during training. They disagree on whether the number a user writes
is the probability to *keep* or to *drop* a unit, and on where the missing units are compensated
for: by dividing the survivors in training ("inverted" dropout), by multiplying all units at test
time, or nowhere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from core.registry import Registry, Row


class Drop(NamedTuple):
    """What dropout does to a layer's units x, with m ~ Bernoulli(keep_prob) for each.

    In training y = m/divisor · x, at test time y = factor · x: the expectation is the same if
    keep_prob/divisor = factor.
    """

    keep_prob: Any
    divisor: Any
    factor: Any


NOTHING = Drop(1.0, 1.0, 1.0)  # every unit stays what it is


@dataclass(frozen=True, kw_only=True)
class Dropout(Row):
    """One meaning of the number given to dropout."""

    means: Callable[[Any], Drop]  # takes the user's number, which may be traced


def _inverted(keep_prob: Any) -> Drop:
    return Drop(keep_prob, divisor=keep_prob, factor=jnp.ones_like(keep_prob))


def _scaled_at_test(keep_prob: Any) -> Drop:
    return Drop(keep_prob, divisor=jnp.ones_like(keep_prob), factor=keep_prob)


def _unscaled(keep_prob: Any) -> Drop:
    return Drop(keep_prob, divisor=jnp.ones_like(keep_prob), factor=jnp.ones_like(keep_prob))


DROPOUTS = Registry(
    "dropout",
    [
        Dropout(
            key="off",
            label="off",
            latex="y = x",
            summary="No unit is dropped; the number is ignored.",
            means=lambda value: _inverted(jnp.ones_like(value)),
        ),
        Dropout(
            key="keep_prob",
            label="keep_prob",
            latex=r"y = \frac{m}{v}\,x,\quad m \sim \mathrm{Bernoulli}(v)",
            summary="The number is the probability to keep a unit.",
            reference="tf.nn.dropout(x, keep_prob) in TensorFlow 1; "
            "jax.example_libraries.stax.Dropout (still so in JAX 0.10.2)",
            means=_inverted,
        ),
        Dropout(
            key="rate",
            label="rate",
            latex=r"y = \frac{m}{1-v}\,x,\quad m \sim \mathrm{Bernoulli}(1-v)",
            summary="The number is the probability to drop a unit.",
            reference="Keras, tf.layers, TensorFlow 2 `rate`, torch `p`, Lasagne, Flax, Equinox",
            means=lambda value: _inverted(1 - value),
        ),
        Dropout(
            key="older",
            label="older form",
            latex=r"y_{\mathrm{train}} = m\,x,\quad y_{\mathrm{test}} = v\,x,\quad "
            r"m \sim \mathrm{Bernoulli}(v)",
            summary="The number is the probability to keep a unit. Training rescales nothing; "
            "at test time every unit is multiplied by the number.",
            reference="Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout, "
            "JMLR 15, 2014",
            means=_scaled_at_test,
        ),
        Dropout(
            key="unscaled",
            label="unscaled",
            latex=r"y_{\mathrm{train}} = m\,x,\quad y_{\mathrm{test}} = x,\quad "
            r"m \sim \mathrm{Bernoulli}(1-v)",
            summary="The number is the probability to drop a unit, and nothing is ever rescaled: "
            "at test time the next layer gets more than it was trained on.",
            reference="lasagne.layers.DropoutLayer(incoming, p, rescale=False), Lasagne 0.1",
            means=lambda value: _unscaled(1 - value),
        ),
    ],
)


def meaning(index: Array, value: Array) -> Drop:
    """Return what the user's number means in row `index` of DROPOUTS; both may be traced."""
    return lax.switch(index, [row.means for row in DROPOUTS.values()], value)


def dropout(x: Array, drop: Drop, key: Array | None = None) -> Array:
    """Drop some of a layer's units; without a key, return them as at test time. See Drop.

    If keep_prob is 1, no random bits are drawn.
    """
    if key is None:
        return x * jnp.asarray(drop.factor, x.dtype)

    def dropped(x: Array) -> Array:
        kept = jax.random.bernoulli(key, drop.keep_prob, x.shape)
        return jnp.where(kept, x / jnp.asarray(drop.divisor, x.dtype), 0)

    return lax.cond(drop.keep_prob < 1, dropped, lambda x: x, x)
