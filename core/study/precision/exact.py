"""The cross-entropy and its derivative to more digits than any format holds."""

from decimal import Context, Decimal
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from core.parts.dtypes import Floats, Numbers
from core.parts.losses import Form

# The label whose logit is z.
OWN: dict[Form, int] = {"binary": 1, "softmax": 0}
LINE = (0, 1)  # the other two classes' logits when a softmax row is evaluated: (z, 0, 1)


class Exact(NamedTuple):
    """Exact loss and derivative [n], as value + rest, where rest is what float64 cannot hold."""

    loss: Floats
    gradient: Floats
    loss_rest: Floats
    gradient_rest: Floats


def _margins(form: Form, z: Floats, label: int) -> Floats:
    """z_j - z_label for the other classes: [n, classes - 1], all a cross-entropy depends on."""
    if form == "binary":
        return (-z if label else z)[:, None]
    logits = np.stack([z, *(np.full_like(z, other) for other in LINE)], axis=-1)
    return np.delete(logits - logits[:, label, None], label, axis=-1)


def exact_float64(form: Form, z: Floats, label: int) -> Exact:
    """The same as `exact`, to about |z| ulp of float64: 2^-20 ulp of float32, less in 16 bits.

    The gradient is -(p of all others) or p of class 0. Each is the exp of one difference, because a
    sum of exps would come to 2 where |z| is above 2^53 and every difference rounds to 0.
    """
    margins = _margins(form, z, label)
    others = np.logaddexp.reduce(margins, axis=-1)
    loss = np.logaddexp(0, others)
    own = label == OWN[form]
    gradient = -np.exp(others - loss) if own else np.exp(margins[:, 0] - loss)
    return Exact(loss, gradient, np.zeros_like(z), np.zeros_like(z))


_DECIMAL = Context(prec=60)


@lru_cache(maxsize=1 << 16)
def _exact_decimal(form: Form, z: float, label: int) -> tuple[float, float, float, float]:
    """The same as `exact`, in 60 digits (Python's decimal rounds exp and ln correctly)."""
    c = _DECIMAL
    if form == "binary":
        margins = [Decimal(-z if label else z)]
    else:
        logits = [Decimal(z), *map(Decimal, LINE)]
        margins = [c.subtract(x, logits[label]) for j, x in enumerate(logits) if j != label]
    odds = [c.exp(m) for m in margins]
    total = odds[0] if len(odds) == 1 else c.add(*odds)
    if total > Decimal("1e-20"):
        loss = c.ln(c.add(1, total))
    else:  # ln(1 + s) = s - s^2/2 to 40 digits, where 1 + s would lose digits of s
        half_square = c.divide(c.multiply(total, total), Decimal(2))
        loss = c.subtract(total, half_square)
    own = label == OWN[form]
    gradient = c.divide(c.minus(total) if own else odds[0], c.add(1, total))
    return (
        float(loss),
        float(gradient),
        float(c.subtract(loss, Decimal(float(loss)))),
        float(c.subtract(gradient, Decimal(float(gradient)))),
    )


def exact(form: Form, z: Numbers, label: int) -> Exact:
    """The cross-entropy and its derivative by z at the dtype's own rounding of z.

    Far more accurate than one ulp of the dtype: float64 is enough for the narrower formats, and
    60 decimal digits are used for float64.
    """
    if z.dtype != np.float64:
        return exact_float64(form, z.astype(np.float64), label)
    values = [_exact_decimal(form, x, label) for x in z.tolist()]
    return Exact(*np.array(values, np.float64).reshape(-1, 4).T)
