"""What Lasagne 0.1 on Theano 0.8.2 computes (FAST_RUN; Lasagne issue 567)."""

import jax
import jax.numpy as jnp
from jax import Array

from core.parts.losses.shared import one_hot, pick, softmax


@jax.custom_jvp
def _theano_one_hot_loss(logits: Array, labels: Array) -> Array:
    return -pick(jax.nn.log_softmax(logits), labels)


@_theano_one_hot_loss.defjvp
def _theano_one_hot_loss_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """SoftmaxGrad applied to -y / p: 0 / 0 once p of any class rounds to 0."""
    logits, labels = primals
    p = softmax(logits)
    dp = -one_hot(labels, logits) / p
    gradient = dp * p - jnp.sum(dp * p, axis=-1, keepdims=True) * p
    return _theano_one_hot_loss(logits, labels), jnp.sum(gradient * tangents[0], axis=-1)


def one_hot_labels(logits: Array, labels: Array, epsilon: Array) -> Array:
    """A stable forward pass, but SoftmaxGrad in the backward pass: 0/0 once any p rounds to 0."""
    return _theano_one_hot_loss(logits, labels)


def integer_labels(logits: Array, labels: Array, epsilon: Array) -> Array:
    """log sum_j exp(z_j) - z_y, forward and backward."""
    return jax.nn.logsumexp(logits, axis=-1) - pick(logits, labels)
