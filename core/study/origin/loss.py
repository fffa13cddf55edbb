"""What a loss, or its derivative, makes of one example's logits."""

from functools import lru_cache
from typing import Any

import jax
import numpy as np

from core.parts.losses import LOSSES, Form, with_grad
from core.study.origin.tape import Made, Recorder, origin
from core.study.precision.exact import LINE

PARTS = ("in the loss", "in the derivative of the loss")  # the results of `with_grad`


def of_loss(form: Form, key: str, logits: Any, label: Any, epsilon: float) -> Made | None:
    """How a row of LOSSES comes to NaN, or else to an infinity, in the dtype of the logits.

    Args:
      form: binary (logits [], label 0/1), softmax (logits [classes], label []) or regression
        (predictions [time], targets [time]).

    Returns:
      None where the loss and its derivative are finite; `result` tells which of them is not.
    """
    logits = np.asarray(logits)
    wide = logits.dtype == np.float64
    known = np.asarray(label, np.int32 if form == "softmax" else logits.dtype)
    with jax.enable_x64(wide):
        row = with_grad(getattr(LOSSES[key], form))
        typed_epsilon = np.asarray(epsilon, np.float64 if wide else np.float32)
        return origin(Recorder().record(row, logits, known, typed_epsilon))


@lru_cache(maxsize=256)
def at_logit(
    form: Form, key: str, z: float, label: int, epsilon: float, dtype: np.dtype[Any]
) -> Made | None:
    """The same at one logit z, with classes on the line where core.study.precision looks."""
    logits = np.asarray(z if form == "binary" else (z, *LINE), dtype)
    return of_loss(form, key, logits, label, epsilon)
