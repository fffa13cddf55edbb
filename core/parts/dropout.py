"""DROPOUTS: what the number means.

Every framework drops units and divides the survivors by the probability of
keeping them ("inverted" dropout). They disagree on whether the number a user
writes is the probability to *keep* or to *drop* a unit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array, lax

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Dropout(Row):
    """A meaning of the number."""

    keep_prob: Callable[[Array], Array]  # the user's number -> probability to keep a unit


DROPOUTS = Registry(
    "dropout",
    [
        Dropout(
            key="off",
            label="off",
            latex="y = x",
            summary="No unit is dropped; the number is ignored.",
            reference="",
            keep_prob=lambda value: jnp.ones_like(value),
        ),
        Dropout(
            key="keep_prob",
            label="keep_prob",
            latex=r"y = \frac{m}{v}\,x,\quad m \sim \mathrm{Bernoulli}(v)",
            summary="The number is the probability to keep a unit.",
            reference="tf.nn.dropout(x, keep_prob) in TensorFlow 1; "
            "jax.example_libraries.stax.Dropout (still so in JAX 0.10.2)",
            keep_prob=lambda value: value,
        ),
        Dropout(
            key="rate",
            label="rate",
            latex=r"y = \frac{m}{1-v}\,x,\quad m \sim \mathrm{Bernoulli}(1-v)",
            summary="The number is the probability to drop a unit.",
            reference="Keras, tf.layers, TensorFlow 2 `rate`, torch `p`, Lasagne, Flax, Equinox",
            keep_prob=lambda value: 1 - value,
        ),
    ],
)


def keep_prob(index: Array, value: Array) -> Array:
    """The probability to keep a unit under row `index` of DROPOUTS; both may be traced."""
    return lax.switch(index, [row.keep_prob for row in DROPOUTS.values()], value)


def dropout(x: Array, keep: Array, key: Array) -> Array:
    """Inverted dropout: y = m/keep · x with m ~ Bernoulli(keep), so that E[y] = x.

    With keep = 1 no random bits are drawn.
    """

    def drop(x: Array) -> Array:
        kept = jax.random.bernoulli(key, keep, x.shape)
        return jnp.where(kept, x / jnp.asarray(keep, x.dtype), 0)

    return lax.cond(keep < 1, drop, lambda x: x, x)
