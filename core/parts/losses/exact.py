"""Losses from the logits themselves, optax's among them."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from core.parts.losses.shared import from_sigmoid, one_hot, pick


def from_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    """max(z, 0) - z y + log1p(exp(-|z|))."""
    return from_sigmoid(logits, labels)


def _softmax_parts(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The loss, and p of every class but the label's (0 there); nothing is subtracted from 1."""
    d = logits - jnp.max(logits, axis=-1, keepdims=True)
    others = jnp.where(one_hot(labels, d) == 1, 0, jnp.exp(d))
    rest, own = jnp.sum(others, axis=-1), pick(d, labels)
    loss = jnp.where(own == 0, jnp.log1p(rest), jnp.log(rest + jnp.exp(own)) - own)
    return loss, others / jnp.expand_dims(rest + jnp.exp(own), -1)


@jax.custom_jvp
def _softmax_from_logits(logits: Array, labels: Array) -> Array:
    return _softmax_parts(logits, labels)[0]


@_softmax_from_logits.defjvp
def _softmax_from_logits_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """p - y, the label's entry computed as minus the sum of the others, so that nothing cancels."""
    logits, labels = primals
    loss, others = _softmax_parts(logits, labels)
    (t, _) = tangents
    return loss, jnp.sum(others * (t - jnp.expand_dims(pick(t, labels), -1)), axis=-1)


def from_logits_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """log sum_j exp(z_j) - z_y, with a gradient free of cancellation."""
    return _softmax_from_logits(logits, labels)


def log_softmax_one_hot(logits: Array, labels: Array, epsilon: Array) -> Array:
    """optax.softmax_cross_entropy: -sum_j [j = y] log_softmax(z)_j."""
    return optax.softmax_cross_entropy(logits, one_hot(labels, logits))


def optax_binary(logits: Array, labels: Array, epsilon: Array) -> Array:
    """optax.sigmoid_binary_cross_entropy: -y log sigmoid(z) - (1 - y) log sigmoid(-z)."""
    return optax.sigmoid_binary_cross_entropy(logits, labels)


def optax_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """optax.softmax_cross_entropy_with_integer_labels: log-sum-exp minus the label's logit."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels.astype(jnp.int32))
