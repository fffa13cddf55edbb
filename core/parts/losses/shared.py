"""What several families share.

optimization_barrier appears where the compiler would otherwise "simplify" the very thing shown.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def one_hot(labels: Array, logits: Array) -> Array:
    """Labels as rows of 0 and 1, in the dtype of the logits."""
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    # Without the barrier a product with 0 and 1 becomes a choice, and 0 * inf = NaN becomes 0.
    return jax.lax.optimization_barrier(one_hot)


def pick(values: Array, labels: Array) -> Array:
    """values[..., label]: what frameworks with integer labels do instead of a one-hot sum."""
    index = jnp.expand_dims(labels.astype(jnp.int32), -1)
    return jnp.squeeze(jnp.take_along_axis(values, index, axis=-1), -1)


def upcast(z: Array) -> Array:
    """To float32, in which TensorFlow and PyTorch compute inside many a 16-bit kernel."""
    return z.astype(jnp.float32) if z.dtype.itemsize < 4 else z


def log_loss(p: Array, labels: Array, log: Callable[[Array], Array] = jnp.log) -> Array:
    """-(y log p + (1 - y) log(1 - p)), as written: 0 times infinity is NaN."""
    y = labels.astype(p.dtype)
    return -(y * log(p) + (1 - y) * log(1 - p))


def one_hot_log_loss(p: Array, labels: Array, log: Callable[[Array], Array] = jnp.log) -> Array:
    """-sum_j [j = y] log p_j, as written: 0 times infinity is NaN."""
    return -jnp.sum(one_hot(labels, p) * log(p), axis=-1)


def clip_inclusive(p: Array, low: Array, high: Array) -> Array:
    """Clip as TensorFlow and PyTorch do: at an edge the gradient passes whole.

    jnp.clip halves it there.
    """
    return jnp.where(p < low, low, jnp.where(p > high, high, p))


def edges(epsilon: Array, like: Array) -> tuple[Array, Array]:
    """(epsilon, 1 - epsilon) in the dtype of `like`, where 1 - epsilon may round to 1."""
    low = jnp.asarray(epsilon).astype(like.dtype)
    return low, 1 - low


def from_sigmoid(z: Array, labels: Array) -> Array:
    """max(z, 0) - z y + log1p(exp(-|z|)): the binary loss with no p in it.

    [z >= 0] - y is formed first, so that the gradient never takes p from 1.
    """
    positive = z >= 0
    slope = positive.astype(z.dtype) - labels.astype(z.dtype)
    return z * slope + jnp.log1p(jnp.exp(jnp.where(positive, -z, z)))


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), rounded before anything else is done with it."""
    # Without the barrier the compiler turns 1 / p into 1 + exp(-z), which is finite where p is 0.
    return jax.lax.optimization_barrier(jax.nn.sigmoid(z))


def softmax(z: Array) -> Array:
    """exp(z) over its sum, rounded before anything else is done with it."""
    return jax.lax.optimization_barrier(jax.nn.softmax(z))
