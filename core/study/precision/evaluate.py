"""Evaluate a row of LOSSES on a format's own numbers."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.parts.dtypes import Floats, Numbers
from core.parts.losses import LOSSES, Form, loss_and_grad, losses_for, with_grad
from core.run import memory
from core.study.precision.exact import LINE

POINTS = 8192  # logits evaluated at once


@partial(jax.jit, static_argnames="form")
def _evaluate(
    form: Form, index: Array, z: Array, label: Array, epsilon: Array
) -> tuple[Array, Array]:
    return _along(form, partial(loss_and_grad, form, index), z, label, epsilon)


def _along(
    form: Form, row: Callable[..., tuple[Array, Array]], z: Array, label: Array, epsilon: Array
) -> tuple[Array, Array]:
    """Loss and derivative by z of one label, with classes on the line (z, 0, 1)."""
    labels = jnp.broadcast_to(label, z.shape)
    if form == "binary":
        return row(z, labels, epsilon)
    logits = jnp.stack([z, *(jnp.full_like(z, other) for other in LINE)], axis=-1)
    loss, gradient = row(logits, labels, epsilon)
    return loss, gradient[..., 0]


_compiled: set[tuple[Form, str]] = set()
_own: OrderedDict[tuple[str, str], Any] = OrderedDict()  # programs of formulas, the newest last
MOST_OWN = 16


def ready(form: Form, dtype: np.dtype[Any], key: str = "") -> bool:
    """Whether the rows of a form, or a formula, can be evaluated in a format without compiling."""
    if _is_formula(key):
        return (key, dtype.name) in _own
    return (form, dtype.name) in _compiled


def compiled(form: Form, dtype: np.dtype[Any], key: str = "") -> None:
    """Compile the program that evaluates the rows of a form, or a formula, in a format."""
    evaluate(form, key or losses_for(form)[0], np.zeros(1, dtype), 0, 0.0)


def _is_formula(key: str) -> bool:
    return bool(key) and LOSSES[key].formula is not None


def _of_formula(form: Form, key: str, *arguments: Any) -> tuple[Array, Array]:
    """The same as `_evaluate` for a formula, whose program is kept for a while."""
    at = key, arguments[0].dtype.name
    if (program := _own.pop(at, None)) is None:
        row = with_grad(getattr(LOSSES[key], form))
        program = jax.jit(partial(_along, form, row)).lower(*arguments).compile()
        memory.give_back()
    _own[at] = program
    while len(_own) > MOST_OWN:
        _own.popitem(last=False)
    loss, gradient = program(*arguments)
    return loss, gradient


def evaluate(form: Form, key: str, z: Numbers, label: int, epsilon: float) -> tuple[Floats, Floats]:
    """A row's loss and derivative by z at each z, computed in the dtype of z, returned as float64.

    One program serves every row, label and epsilon and up to POINTS logits; each dtype, and each
    formula, needs its own.
    """
    n = len(z)
    z = np.resize(z, -(-n // POINTS) * POINTS)  # filled up by repeating it
    with jax.enable_x64(z.dtype == np.float64):
        own_epsilon = np.asarray(epsilon, np.float64 if z.dtype == np.float64 else np.float32)
        if _is_formula(key):
            loss, gradient = _of_formula(form, key, z, np.int32(label), own_epsilon)
            return np.asarray(loss, np.float64)[:n], np.asarray(gradient, np.float64)[:n]
        index = np.int32(losses_for(form).index(key))
        loss, gradient = _evaluate(form, index, z, np.int32(label), own_epsilon)
        if (form, z.dtype.name) not in _compiled:
            _compiled.add((form, z.dtype.name))
            memory.give_back()  # compiling left 50 MB
        return np.asarray(loss, np.float64)[:n], np.asarray(gradient, np.float64)[:n]
