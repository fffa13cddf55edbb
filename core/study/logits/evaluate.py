"""A row of LOSSES on a visitor's samples, in a number format."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array as Traced

from core.parts.dtypes import Floats
from core.parts.losses import loss_and_grad, losses_for
from core.run import memory
from core.study import precision
from core.study.compare.recording import Array
from core.study.logits.samples import Samples, margins
from core.study.precision.evaluate import POINTS

_LEAST = 16  # samples in a compiled program: fewer are filled up


class Evaluated(NamedTuple):
    """What a loss makes of each sample, [n]."""

    loss: Floats
    slope: Floats  # the derivative by z, or by the label's own logit
    silent: Array  # bool: the gradient is exactly 0 by every logit
    broken: Array  # bool: the loss, or the gradient by some logit, is NaN or infinite
    against: Array  # bool: the gradient points away from the exact one


def evaluate(samples: Samples, key: str, dtype: np.dtype[Any], epsilon: float) -> Evaluated:
    """Evaluate a row on samples whose logits are rounded to a format; what is too large is inf."""
    with np.errstate(over="ignore"):
        logits = samples.logits.astype(dtype)
    if samples.form == "binary":
        return _binary(logits, samples.labels, key, epsilon)
    return _softmax(logits, samples.labels, key, epsilon)


def exact_slope(samples: Samples, dtype: np.dtype[Any]) -> Floats:
    """The exact derivative by z, or by the label's own logit, of the rounded logits: [n].

    Logits that are too large for the format are not rounded.
    """
    with np.errstate(over="ignore"):
        rounded = samples.logits.astype(dtype).astype(np.float64)
    logits = np.where(np.isfinite(rounded), rounded, samples.logits)
    towards = -np.exp(-np.logaddexp(0, margins(samples.form, logits, samples.labels)))
    return np.where(samples.labels == 0, -towards, towards) if samples.form == "binary" else towards


def _binary(z: Array, labels: Array, key: str, epsilon: float) -> Evaluated:
    loss, slope = np.empty(len(z)), np.empty(len(z))
    for label in (0, 1):
        those = np.flatnonzero(labels == label)
        for first in range(0, len(those), POINTS):  # as many as one compiled program takes
            part = those[first : first + POINTS]
            loss[part], slope[part] = precision.evaluate("binary", key, z[part], label, epsilon)
    broken = ~(np.isfinite(loss) & np.isfinite(slope))
    return Evaluated(loss, slope, slope == 0, broken, slope * np.where(labels == 1, -1, 1) < 0)


@jax.jit
def _measured(index: Traced, z: Traced, labels: Traced, epsilon: Traced) -> tuple[Traced, ...]:
    loss, gradient = loss_and_grad("softmax", index, z, labels, epsilon)
    wide = jnp.promote_types(z.dtype, jnp.float32)
    loss, gradient, z = loss.astype(wide), gradient.astype(wide), z.astype(wide)
    exact = jax.nn.softmax(z) - jax.nn.one_hot(labels, z.shape[1], dtype=wide)
    return (
        loss,
        jnp.take_along_axis(gradient, labels[:, None], axis=1)[:, 0],
        jnp.all(gradient == 0, axis=1),
        ~jnp.isfinite(loss) | jnp.any(~jnp.isfinite(gradient), axis=1),
        jnp.sum(gradient * exact, axis=1) < 0,
    )


_compiled: set[tuple[Any, ...]] = set()


def _softmax(z: Array, labels: Array, key: str, epsilon: float) -> Evaluated:
    n = len(z)
    size = max(_LEAST, 1 << (n - 1).bit_length())  # few sizes, because each is compiled
    place = np.resize(np.arange(n), size)
    with jax.enable_x64(z.dtype == np.float64):
        index = np.int32(losses_for("softmax").index(key))
        e = np.asarray(epsilon, np.float64 if z.dtype == np.float64 else np.float32)
        parts = _measured(index, z[place], labels[place].astype(np.int32), e)
        if (known := (size, z.shape[1], z.dtype.name)) not in _compiled:
            _compiled.add(known)
            memory.give_back()
        loss, slope, *masks = (np.asarray(part)[:n] for part in parts)
    return Evaluated(loss.astype(np.float64), slope.astype(np.float64), *masks)
