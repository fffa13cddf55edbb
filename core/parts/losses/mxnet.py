"""What MXNet Gluon computes."""

import jax.numpy as jnp
from jax import Array

from core.parts.losses.shared import log_loss, sigmoid


def from_sigmoid(logits: Array, labels: Array, epsilon: Array) -> Array:
    """SigmoidBinaryCrossEntropyLoss(from_sigmoid=True): log(p + epsilon) without a clip."""
    p = sigmoid(logits)
    e = jnp.asarray(epsilon).astype(p.dtype)
    return log_loss(p, labels, lambda x: jnp.log(x + e))
