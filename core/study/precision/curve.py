"""A loss along a grid of logits, and its errors."""

from typing import NamedTuple

from core.parts.dtypes import Floats, Numbers, ulp
from core.parts.losses import Form
from core.study.precision.evaluate import evaluate
from core.study.precision.exact import exact


class Curve(NamedTuple):
    """A row along a grid of logits, all [n] in float64; errors are signed, in ulp of the dtype."""

    loss: Floats
    gradient: Floats
    loss_error: Floats
    gradient_error: Floats


def curve(form: Form, key: str, z: Numbers, label: int, epsilon: float) -> Curve:
    """Loss and derivative of a row in the dtype of z, and their errors."""
    loss, gradient = evaluate(form, key, z, label, epsilon)
    true = exact(form, z, label)
    return Curve(
        loss,
        gradient,
        (loss - true.loss - true.loss_rest) / ulp(true.loss, z.dtype),
        (gradient - true.gradient - true.gradient_rest) / ulp(true.gradient, z.dtype),
    )
