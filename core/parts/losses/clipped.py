"""Losses from a probability that is clipped to an interval; the question's is one of them."""

import jax.numpy as jnp
from jax import Array

from core.parts.losses.shared import clip_limits, log_loss, one_hot_log_loss, sigmoid, softmax


def clip(logits: Array, labels: Array, epsilon: Array) -> Array:
    """-y log q - (1 - y) log(1 - q) with q = clip(p, epsilon, 1 - epsilon)."""
    return log_loss(jnp.clip(sigmoid(logits), *clip_limits(epsilon, logits)), labels)


def clip_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """-log q_y with q = clip(softmax(z), epsilon, 1 - epsilon)."""
    return one_hot_log_loss(jnp.clip(softmax(logits), *clip_limits(epsilon, logits)), labels)


def question_stable(logits: Array, labels: Array, epsilon: Array) -> Array:
    """Clip p to [epsilon, 1 - epsilon/10], turn it back into a logit, then use a stable formula."""
    low = jnp.asarray(epsilon).astype(logits.dtype)
    p = jnp.clip(sigmoid(logits), low, 1 - low / 10)
    y = labels.astype(p.dtype)
    z = jnp.log(p / (1 - p))
    m = jnp.clip(z, 0, None)
    return z - z * y + m + jnp.log(jnp.exp(-m) + jnp.exp(-z - m))
