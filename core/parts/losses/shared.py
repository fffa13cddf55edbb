"""Functions that several families of losses share.

optimization_barrier is used where the compiler would otherwise "simplify" the very thing shown.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def one_hot(labels: Array, logits: Array) -> Array:
    """Labels as rows of 0 and 1, in the dtype of the logits."""
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    # Without the barrier the compiler replaces the product with 0 or 1 by a select, and 0 * inf is
    # then 0 instead of NaN.
    return jax.lax.optimization_barrier(one_hot)


def pick(values: Array, labels: Array) -> Array:
    """values[..., label]: what a framework with integer labels does instead of a one-hot sum."""
    index = jnp.expand_dims(labels.astype(jnp.int32), -1)
    return jnp.squeeze(jnp.take_along_axis(values, index, axis=-1), -1)


def upcast(z: Array) -> Array:
    """Convert 16 bits to float32, as many 16-bit kernels of TensorFlow and PyTorch do."""
    return z.astype(jnp.float32) if z.dtype.itemsize < 4 else z


def log_loss(p: Array, labels: Array, log: Callable[[Array], Array] = jnp.log) -> Array:
    """-(y log p + (1 - y) log(1 - p)), as written: 0 times infinity is NaN."""
    y = labels.astype(p.dtype)
    return -(y * log(p) + (1 - y) * log(1 - p))


def one_hot_log_loss(p: Array, labels: Array, log: Callable[[Array], Array] = jnp.log) -> Array:
    """-sum_j [j = y] log p_j, as written: 0 times infinity is NaN."""
    return -jnp.sum(one_hot(labels, p) * log(p), axis=-1)


def clip_inclusive(p: Array, low: Array, high: Array) -> Array:
    """Clip as TensorFlow and PyTorch do: exactly at a limit, the gradient passes in full.

    jnp.clip halves it there.
    """
    return jnp.where(p < low, low, jnp.where(p > high, high, p))


def clip_limits(epsilon: Array, like: Array) -> tuple[Array, Array]:
    """(epsilon, 1 - epsilon) in the dtype of `like`, where 1 - epsilon may round to 1."""
    low = jnp.asarray(epsilon).astype(like.dtype)
    return low, 1 - low


def from_sigmoid(z: Array, labels: Array) -> Array:
    """max(z, 0) - z y + log1p(exp(-|z|)): the binary loss without forming p.

    [z >= 0] - y is formed first, so that the gradient never subtracts p from 1.
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
