"""What Keras computes on each of its backends."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from core.parts.losses.clipped import clip
from core.parts.losses.shared import (
    clip_inclusive,
    clip_limits,
    from_sigmoid,
    log_loss,
    one_hot_log_loss,
    pick,
    sigmoid,
    softmax,
)
from core.parts.losses.tensorflow import tf_log, tf_sigmoid, tf_softmax
from core.parts.losses.torch import bce_of_p, torch_sigmoid


def _renormalise(p: Array) -> Array:
    """Divide p by its sum, as Keras does, so that each row sums to 1 (again)."""
    return p / jnp.sum(p, axis=-1, keepdims=True)


def _keras_mean(loss: Array) -> Array:
    """Round to float32, even float64: keras.losses.binary_crossentropy ends in keras.ops.mean.

    This is so on JAX and PyTorch, but not on TensorFlow.
    """
    return loss.astype(jnp.float32).astype(loss.dtype)


def on_jax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """binary_crossentropy(y, p): the same as `clip`, then a float32 mean."""
    return _keras_mean(clip(logits, labels, epsilon))


def on_jax_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """categorical_crossentropy(y, p): p is divided by its sum and clipped before the log."""
    p = _renormalise(softmax(logits))
    return one_hot_log_loss(jnp.clip(p, *clip_limits(epsilon, logits)), labels)


def on_jax_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    """binary_crossentropy(y, z, from_logits=True)."""
    return _keras_mean(optax.sigmoid_binary_cross_entropy(logits, labels))


def on_tensorflow_hidden(logits: Array, labels: Array, epsilon: Array) -> Array:
    """binary_crossentropy(y, p) if Keras cannot find the logits: TensorFlow's own clip."""
    p = clip_inclusive(tf_sigmoid(logits), *clip_limits(epsilon, logits))
    return log_loss(p, labels, tf_log)


def on_tensorflow_hidden_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """categorical_crossentropy(y, p) if Keras cannot find the logits."""
    p = _renormalise(tf_softmax(logits))
    return one_hot_log_loss(clip_inclusive(p, *clip_limits(epsilon, logits)), labels, tf_log)


def on_torch(logits: Array, labels: Array, epsilon: Array) -> Array:
    """binary_crossentropy(y, p): clip, then torch's binary_cross_entropy and a float32 mean."""
    p = clip_inclusive(torch_sigmoid(logits), *clip_limits(epsilon, logits))
    return _keras_mean(bce_of_p(p, labels.astype(p.dtype)))


def on_torch_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    """sparse_categorical_crossentropy(y, p): p is divided by its sum and clipped before the log."""
    p = _renormalise(tf_softmax(logits))
    return -pick(jnp.log(clip_inclusive(p, *clip_limits(epsilon, logits))), labels)


def keras_2_on_tensorflow(logits: Array, labels: Array, epsilon: Array) -> Array:
    """Keras 2 in TensorFlow 2, logits not found: clip p, then add epsilon again in each log."""
    low, high = clip_limits(epsilon, logits)
    p = clip_inclusive(tf_sigmoid(logits), low, high)
    y = labels.astype(p.dtype)
    # Without the barrier the compiler adds a constant epsilon to 1 first, which rounds otherwise.
    rest = jax.lax.optimization_barrier(1 - p)
    return -(y * tf_log(p + low) + (1 - y) * tf_log(rest + low))


def keras_1_on_tensorflow(logits: Array, labels: Array, epsilon: Array) -> Array:
    """Keras 1.0 to 2.2.4: clip p, turn it back into a logit, use TensorFlow's loss on that."""
    p = clip_inclusive(sigmoid(logits), *clip_limits(epsilon, logits))
    return from_sigmoid(jnp.log(p / (1 - p)), labels)
