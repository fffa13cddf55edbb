"""Squared errors of a regression: predictions [..., time] against targets [..., time].

On paper both are the mean of (prediction - target)²; they differ in which pairs are averaged.
"""

import jax.numpy as jnp
from jax import Array


def aligned(predictions: Array, targets: Array, epsilon: Array) -> Array:
    """Each prediction against its own target: the mean over t of (p_t - y_t)²."""
    return jnp.mean((predictions - targets) ** 2, axis=-1)


def broadcast(predictions: Array, targets: Array, epsilon: Array) -> Array:
    """Each prediction against all targets of its series: the mean over t and s of (p_t - y_s)².

    The post's network returns (time, batch, 1) and its targets are (batch, time), so by NumPy's
    rules their difference is (time, batch, time).
    """
    preds = jnp.moveaxis(predictions, -1, 0)[..., None]
    return jnp.mean((preds - targets) ** 2, axis=(0, -1))
