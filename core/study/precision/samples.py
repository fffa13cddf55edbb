"""Samples of a run under the microscope: where each sits, and what gradient it gets there.

A sample's margin is the logit of its label's probability: the label's own logit minus log-sum-exp
of the others. For one logit that is z (label 1) or -z (label 0). It is enough for any number of
classes, because p of the label is sigmoid(margin).
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
    """The z at which the label has these margins on the form's line, [n].

    In the binary form every margin has such a z. On the softmax line (z, 0, 1), unless z is the
    label's own logit, the fixed class keeps the label's probability below a limit; beyond it there
    is no z, and -inf is returned.
    """
    if form == "binary":
        return margins if label == OWN[form] else -margins
    if label == OWN[form]:
        return margins + np.logaddexp(*LINE)
    own, other = LINE[label - 1], LINE[2 - label]
    # Solve e^own = e^margin (e^z + e^other) for z.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        left = -np.expm1(other - own + margins)  # the share of e^(own - margin) that is e^z
        return np.where(left <= 0, -np.inf, own - margins + np.log(left))


def losses_and_slopes(
    form: Form, key: str, margins: Floats, label: int, epsilon: float, dtype: np.dtype[Any]
) -> tuple[Floats, Floats]:
    """A row's loss for samples with these margins, and its derivative, each [n].

    In the binary form the derivative is by z. With classes it is by the label's own logit: the row
    is evaluated on the line where the label has the same p, and `label` makes no difference. This
    shows only what p of the label decides: a gradient of 0 for a wrong answer depends on it alone,
    but NaN can come from any other class.
    """
    label = label if form == "binary" else OWN[form]
    with np.errstate(over="ignore"):  # what is too large for the format becomes inf
        z = position(form, margins, label).astype(dtype)
    return evaluate(form, key, z, label, epsilon)


def slopes(
    form: Form, key: str, margins: Floats, label: int, epsilon: float, dtype: np.dtype[Any]
) -> Floats:
    """The derivatives of `losses_and_slopes` alone."""
    return losses_and_slopes(form, key, margins, label, epsilon, dtype)[1]


def kinds(slopes: Floats) -> NDArray[np.int64]:
    """The Gradient of each slope."""
    zero = np.where(slopes == 0, Gradient.ZERO, Gradient.SOME)
    return np.where(np.isfinite(slopes), zero, Gradient.NONFINITE)
