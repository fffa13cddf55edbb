"""The textbook's formulas, from a probability that has already been rounded."""

import jax
import jax.numpy as jnp
from jax import Array

from core.parts.losses.shared import log_loss, one_hot_log_loss, sigmoid, softmax


def naive(logits: Array, labels: Array, epsilon: Array) -> Array:
    """-y log p - (1 - y) log(1 - p) with p = sigmoid(z), as written."""
    return log_loss(sigmoid(logits), labels)


def naive_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """-log p_y with p = softmax(z), as written."""
    return one_hot_log_loss(softmax(logits), labels)


def naive_exp_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """-log p_y with p = exp(z) / sum exp(z), with no maximum subtracted."""
    # exp is called twice, as people write it. The barrier keeps the compiler from merging the two
    # calls, which would add the two halves of the gradient before multiplying by exp, not after.
    total = jnp.sum(jnp.exp(jax.lax.optimization_barrier(logits)), axis=-1, keepdims=True)
    return one_hot_log_loss(jax.lax.optimization_barrier(jnp.exp(logits) / total), labels)
