"""What PyTorch 2.13 computes: the forward pass and its hand-written backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.parts.losses.shared import pick, sigmoid, upcast


@jax.custom_jvp
def torch_sigmoid(z: Array) -> Array:
    """torch.sigmoid: computed in float32 if the logits have fewer bits."""
    return sigmoid(upcast(z)).astype(z.dtype)


@torch_sigmoid.defjvp
def _torch_sigmoid_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    p = torch_sigmoid(*primals)
    return p, tangents[0] * ((1 - p) * p)


# PyTorch's 1e-12, which is rounded to float32 whatever the dtype.
_TORCH_FLOOR = float(np.float32(1e-12))


@jax.custom_jvp
def bce_of_p(p: Array, y: Array) -> Array:
    """torch.nn.functional.binary_cross_entropy: each log is kept at -100 or above."""
    return (y - 1) * jnp.maximum(jnp.log1p(-p), -100) - y * jnp.maximum(jnp.log(p), -100)


@bce_of_p.defjvp
def _torch_bce_of_p_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """PyTorch's own backward pass, which is not the derivative of its forward pass."""
    p, y = primals
    floor = jnp.asarray(_TORCH_FLOOR, p.dtype)
    return bce_of_p(p, y), tangents[0] * ((p - y) / jnp.maximum((1 - p) * p, floor))


@jax.custom_jvp
def _torch_bce_tail(z: Array) -> Array:
    """-log p where p is below 1e-12; PyTorch's gradient by z is -1e12 p there."""
    return -z


@_torch_bce_tail.defjvp
def _torch_bce_tail_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    root = jnp.exp(upcast(primals[0]) / 2)  # p itself would be flushed to 0
    return -primals[0], tangents[0] * (-root / _TORCH_FLOOR * root).astype(primals[0].dtype)


def bce(logits: Array, labels: Array, epsilon: Array) -> Array:
    """torch.nn.BCELoss on torch.sigmoid(z)."""
    p, y = torch_sigmoid(logits), labels.astype(logits.dtype)
    # From z = -88.72 to -87.34 PyTorch's float32 p is subnormal; XLA on the CPU flushes it to 0.
    flushed = (p == 0) & jnp.isfinite(jnp.exp(-logits))
    tail = y * _torch_bce_tail(jnp.where(flushed, logits, 0))
    return jnp.where(flushed, tail, bce_of_p(p, y))


@jax.custom_jvp
def _torch_bce_with_logits(z: Array, y: Array) -> Array:
    log_sigmoid = jnp.minimum(z, 0) - jnp.log1p(jnp.exp(-jnp.abs(z)))
    return (1 - y) * z - log_sigmoid


@_torch_bce_with_logits.defjvp
def _torch_bce_with_logits_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    z, y = primals
    return _torch_bce_with_logits(z, y), tangents[0] * (torch_sigmoid(z) - y)


def bce_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    """torch.nn.BCEWithLogitsLoss: (1 - y) z - log sigmoid(z), gradient sigmoid(z) - y."""
    return _torch_bce_with_logits(logits, labels.astype(logits.dtype))


@jax.custom_jvp
def _torch_log_softmax(logits: Array) -> Array:
    return jax.nn.log_softmax(logits)


@_torch_log_softmax.defjvp
def _torch_log_softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Take p as exp of the rounded log-probability, as PyTorch's backward pass does."""
    log_p = _torch_log_softmax(*primals)
    (t,) = tangents
    return log_p, t - jnp.sum(jnp.exp(log_p) * t, axis=-1, keepdims=True)


def cross_entropy(logits: Array, labels: Array, epsilon: Array) -> Array:
    """torch.nn.CrossEntropyLoss: -log_softmax(z)_y."""
    return -pick(_torch_log_softmax(logits), labels)
