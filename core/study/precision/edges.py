"""Where a row goes wrong: dead, half-gradient, NaN and infinite zones, found by bisection."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from core.parts.dtypes import Floats, Numbers, from_ordinal, to_ordinal
from core.parts.losses import LOSSES, Form
from core.study.precision.evaluate import POINTS, evaluate
from core.study.precision.exact import OWN, exact_float64

Fault = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


class Edges(NamedTuple):
    """Where a row goes wrong on one side, as logits of the dtype; None if it never does."""

    dead: float | None  # the gradient is exactly 0 here and everywhere further out
    half_from: float | None  # the gradient is half of what it should be from here ...
    half_to: float | None  # ... to here
    nan: float | None  # the first NaN, in loss or gradient
    inf: float | None  # the first infinity, in loss or gradient


def _scan(dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Ordinals of 0 and of the positive numbers to evaluate first, increasing.

    They are 1/64 apart (1/8 in float64) as far as exp neither overflows nor vanishes; then come a
    few up to the largest number. What happens only between two of them is not seen.
    """
    limit = 1024.0 if dtype == np.float64 else 128.0
    near = np.linspace(0, limit, POINTS - 16)
    far = np.exp(np.linspace(np.log(limit), np.log(float(ml_dtypes.finfo(dtype).max)), 18)[1:-1])
    return to_ordinal(np.concatenate([near, far]).astype(dtype))


def _between(low: int, high: int) -> NDArray[np.int64]:
    """At most POINTS different ordinals after `low`, up to and including `high`."""
    steps = np.linspace(0, high - low, POINTS + 1)[1:].astype(np.int64)
    return np.clip(low + steps, low + 1, high)


def _first(fault: Fault, ordinals: NDArray[np.int64]) -> int | None:
    """The first ordinal with the fault, found by narrowing the gap before the scan's first hit."""
    hit = fault(ordinals)
    if not hit.any():
        return None
    while True:
        i = int(hit.argmax())
        low, high = int(ordinals[i - 1]) if i else int(ordinals[0]) - 1, int(ordinals[i])
        if high - low <= 1:
            return high
        ordinals = _between(low, high)
        hit = fault(ordinals)


def _from_here_on(fault: Fault, ordinals: NDArray[np.int64]) -> int | None:
    """The first ordinal from which on every evaluated one has the fault."""
    hit = fault(ordinals)
    if not hit[-1]:
        return None
    while True:
        start = len(hit) - int((~hit[::-1]).argmax()) if not hit.all() else 0
        low, high = int(ordinals[max(start - 1, 0)]), int(ordinals[start])
        if high - low <= 1:
            return high
        ordinals = np.concatenate([[low], _between(low, high)[1:]])
        hit = fault(ordinals)


def _band(fault: Fault, ordinals: NDArray[np.int64]) -> tuple[int, int] | None:
    """The ends of the first stretch of ordinals with the fault; None if it is under three long."""
    first = _first(fault, ordinals)
    if first is None:
        return None
    after = _first(lambda o: ~fault(o) & (o > first), ordinals)
    last = int(ordinals[-1]) if after is None else after - 1
    return (first, last) if last - first >= 2 else None


@lru_cache(maxsize=4096)  # the largest table needs 56, which take 2 to 20 ms each
def edges(
    form: Form, key: str, label: int, epsilon: float, dtype: np.dtype[Any], *, right: bool = False
) -> Edges:
    """Find the edges of a row on the wrong side of its decision, or if `right` on the right side.

    The wrong side is where the label's own probability goes to 0: z -> -inf if z is the logit of
    the label (binary label 1, softmax label 0), z -> +inf otherwise. On the right side a gradient
    of 0 is no fault, so `dead` is None.

    A scan away from 0 brackets each edge between two numbers of the dtype; the bracket is then
    narrowed by evaluating the dtype's own numbers inside it, down to two neighbours. The loss need
    not be monotone: the first fault is the first that the scan sees, and a gradient that is 0 for a
    while and comes back is not dead there. A half-gradient band must have at least three
    neighbouring numbers, or a gradient that decays to 0 would show one on its way. None is looked
    for in a formula that is no cross-entropy on paper: half of p - y means nothing there.
    """
    own = label == OWN[form]
    sign = 1 if own == right else -1
    tolerance = 4 * float(ml_dtypes.finfo(dtype).eps)

    def at(ordinals: NDArray[np.int64]) -> tuple[Numbers, Floats, Floats]:
        z = from_ordinal(sign * ordinals, dtype)
        return z, *evaluate(form, key, z, label, epsilon)

    def dead(ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
        return at(ordinals)[2] == 0

    def nan(ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
        _, loss, gradient = at(ordinals)
        return np.isnan(loss) | np.isnan(gradient)

    def inf(ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
        _, loss, gradient = at(ordinals)
        return np.isinf(loss) | np.isinf(gradient)

    def half(ordinals: NDArray[np.int64]) -> NDArray[np.bool_]:
        z, _, gradient = at(ordinals)
        true = exact_float64(form, z.astype(np.float64), label).gradient
        return np.abs(gradient - true / 2) < tolerance * np.abs(true)

    def logit(ordinal: int | None) -> float | None:
        if ordinal is None:
            return None
        return float(from_ordinal(np.array([sign * ordinal]), dtype)[0])

    scan = _scan(dtype)
    band = _band(half, scan) if LOSSES[key].cross_entropy else None
    return Edges(
        dead=None if right else logit(_from_here_on(dead, scan)),
        half_from=logit(band and band[0]),
        half_to=logit(band and band[1]),
        nan=logit(_first(nan, scan)),
        inf=logit(_first(inf, scan)),
    )
