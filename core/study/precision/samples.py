"""Samples of a run under the microscope: where each sits, and what gradient it gets there.

A sample's margin is the logit of its label's probability: the label's own logit minus log-sum-exp
of the others. For one logit that is z (label 1) or -z (label 0). Any number of classes comes down
to it, for p of the label is sigmoid(margin).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.parts.dtypes import Floats
from core.parts.losses import Form
from core.run.snapshot import Gradient
from core.study.precision.evaluate import evaluate
from core.study.precision.exact import LINE, OWN


def position(form: Form, margins: Floats, label: int) -> Floats:
    """The z at which the form's line gives the label these margins, [n].

    Binary, every margin has one. On the softmax line (z, 0, 1) the label's probability cannot
    exceed what the other two leave it, unless z is its own: beyond that there is none, and -inf
    stands for it.
    """
    if form == "binary":
        return margins if label == OWN[form] else -margins
    if label == OWN[form]:
        return margins + np.logaddexp(*LINE)
    own, other = LINE[label - 1], LINE[2 - label]
    # e^own = e^margin (e^z + e^other), solved for z.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        left = -np.expm1(other - own + margins)  # the share of e^(own - margin) that is e^z
        return np.where(left <= 0, -np.inf, own - margins + np.log(left))


def losses_and_slopes(
    form: Form, key: str, margins: Floats, label: int, epsilon: float, dtype: np.dtype[Any]
) -> tuple[Floats, Floats]:
    """What a row's loss is for samples with these margins, and its derivative, each [n].

    Binary, the derivative is by z; with classes it is by the label's own logit. There the row is
    evaluated on the line, which has the same p of the label, and `label` makes no difference. That
    tells what p of the label decides: a gradient of 0 while wrong is decided by it, but NaN can
    come from any other class.
    """
    label = label if form == "binary" else OWN[form]
    with np.errstate(over="ignore"):  # beyond the format is inf
        z = position(form, margins, label).astype(dtype)
    return evaluate(form, key, z, label, epsilon)


def slopes(
    form: Form, key: str, margins: Floats, label: int, epsilon: float, dtype: np.dtype[Any]
) -> Floats:
    """The derivatives alone."""
    return losses_and_slopes(form, key, margins, label, epsilon, dtype)[1]


def kinds(slopes: Floats) -> NDArray[np.int64]:
    """The Gradient of each slope."""
    zero = np.where(slopes == 0, Gradient.ZERO, Gradient.SOME)
    return np.where(np.isfinite(slopes), zero, Gradient.NONFINITE)
