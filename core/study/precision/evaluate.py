"""Evaluate a row of LOSSES on a format's own numbers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.parts.dtypes import Floats, Numbers
from core.parts.losses import Form, loss_and_grad, losses_for
from core.run import memory
from core.study.precision.exact import LINE

POINTS = 8192  # logits evaluated at once


@partial(jax.jit, static_argnames="form")
def _evaluate(
    form: Form, index: Array, z: Array, label: Array, epsilon: Array
) -> tuple[Array, Array]:
    labels = jnp.broadcast_to(label, z.shape)
    if form == "binary":
        return loss_and_grad(form, index, z, labels, epsilon)
    logits = jnp.stack([z, *(jnp.full_like(z, other) for other in LINE)], axis=-1)
    loss, gradient = loss_and_grad(form, index, logits, labels, epsilon)
    return loss, gradient[..., 0]


_compiled: set[tuple[Form, str]] = set()


def ready(form: Form, dtype: np.dtype[Any]) -> bool:
    """Whether the rows of a form can be evaluated in a format without compiling anything."""
    return (form, dtype.name) in _compiled


def compiled(form: Form, dtype: np.dtype[Any]) -> None:
    """Compile the program that evaluates the rows of a form in a format."""
    evaluate(form, losses_for(form)[0], np.zeros(1, dtype), 0, 0.0)


def evaluate(form: Form, key: str, z: Numbers, label: int, epsilon: float) -> tuple[Floats, Floats]:
    """A row's loss and derivative by z at each z, computed in the dtype of z, returned as float64.

    One program serves every row, label and epsilon and up to POINTS logits; each dtype needs its
    own.
    """
    n = len(z)
    z = np.resize(z, -(-n // POINTS) * POINTS)  # filled up by repeating it
    with jax.enable_x64(z.dtype == np.float64):
        loss, gradient = _evaluate(
            form,
            np.int32(losses_for(form).index(key)),
            z,
            np.int32(label),
            np.asarray(epsilon, np.float64 if z.dtype == np.float64 else np.float32),
        )
        if (form, z.dtype.name) not in _compiled:
            _compiled.add((form, z.dtype.name))
            memory.give_back()  # compiling left 50 MB
        return np.asarray(loss, np.float64)[:n], np.asarray(gradient, np.float64)[:n]
