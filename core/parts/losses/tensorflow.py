"""What TensorFlow 2.21 computes: its kernels and its loss on logits."""

import jax
import jax.numpy as jnp
from jax import Array

from core.parts.losses.shared import pick, softmax, upcast


@jax.custom_jvp
def tf_sigmoid(z: Array) -> Array:
    """e / (1 + e) with e = exp(z), as TensorFlow's CPU kernel computes it.

    It is 1 if e overflows; in float32 already if e > 2^24, where 1 + e starts to round.
    """
    e = jnp.exp(z)
    last = 2**24 if z.dtype == jnp.float32 else jnp.finfo(z.dtype).max
    return jnp.where(e > last, 1, e / (1 + e))


@tf_sigmoid.defjvp
def _tf_sigmoid_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    p = tf_sigmoid(*primals)
    return p, tangents[0] * p * (1 - p)


@jax.custom_jvp
def tf_log(x: Array) -> Array:
    """log x, with TensorFlow's derivative."""
    return jnp.log(x)


@tf_log.defjvp
def _tf_log_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Multiply by 1/x, as TensorFlow does: in float16 it is inf below 1.53e-5; 0 * inf is NaN."""
    return tf_log(*primals), tangents[0] * (1 / primals[0])


def tf_softmax(logits: Array) -> Array:
    """softmax, computed in float32 if the logits have fewer bits."""
    return softmax(upcast(logits)).astype(logits.dtype)


def softmax_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    """tf.nn.sparse_softmax_cross_entropy_with_logits, in float32 at least."""
    return -pick(jax.nn.log_softmax(upcast(logits)), labels).astype(logits.dtype)
