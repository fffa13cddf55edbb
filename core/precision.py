"""What a loss does in a floating-point format: its curve, its error, its edges, its epsilon.

Everything is found by evaluating the rows of LOSSES, or NumPy, on the format's own numbers; no
threshold here comes from a formula. Logits have no unit, losses are in nats, errors in ulp (units
in the last place of the exact value, in the format at hand).

A softmax row is looked at along one line: three classes with logits (z, 0, 1), and the derivative
is by z.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jax import Array
from numpy.typing import NDArray

from core.losses import Form, loss_and_grad, losses_for
from core.registry import Registry, Row

Numbers = NDArray[Any]  # of one of DTYPES
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Dtype(Row):
    """A floating-point format; `dtype` is NumPy's (or ml_dtypes')."""

    dtype: np.dtype[Any]


_IEEE = "IEEE 754-2019"

DTYPES: Registry[Dtype] = Registry(
    "dtypes",
    [
        Dtype(
            key="float32",
            label="float32",
            latex=r"1.f\times 2^e,\ 23\text{ bits of }f,\ -126\le e\le 127",
            summary="24 significant bits, about 7 digits: what most networks are trained in.",
            reference=_IEEE + " binary32",
            dtype=np.dtype(np.float32),
        ),
        Dtype(
            key="float16",
            label="float16",
            latex=r"1.f\times 2^e,\ 10\text{ bits of }f,\ -14\le e\le 15",
            summary="11 significant bits, and nothing above 65504.",
            reference=_IEEE + " binary16",
            dtype=np.dtype(np.float16),
        ),
        Dtype(
            key="bfloat16",
            label="bfloat16",
            latex=r"1.f\times 2^e,\ 7\text{ bits of }f,\ -126\le e\le 127",
            summary="The range of float32 with 8 significant bits, between 2 and 3 digits.",
            reference="float32 with its last 16 bits left off; ml_dtypes",
            dtype=np.dtype(ml_dtypes.bfloat16),
        ),
        Dtype(
            key="float64",
            label="float64",
            latex=r"1.f\times 2^e,\ 52\text{ bits of }f,\ -1022\le e\le 1023",
            summary="53 significant bits, about 16 digits: slow on accelerators, kind to formulas.",
            reference=_IEEE + " binary64",
            dtype=np.dtype(np.float64),
        ),
    ],
)


# --- the format's own numbers, in order -----------------------------------------------------------


def _bits(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"int{8 * dtype.itemsize}")


def to_ordinal(x: Numbers) -> NDArray[np.int64]:
    """The position of each number among all of its format: neighbours differ by 1, zero is 0."""
    bits = x.view(_bits(x.dtype)).astype(np.int64)
    return np.where(bits < 0, np.iinfo(_bits(x.dtype)).min - bits, bits)


def from_ordinal(ordinal: NDArray[np.int64], dtype: np.dtype[Any]) -> Numbers:
    """The inverse of `to_ordinal`."""
    lowest = np.int64(np.iinfo(_bits(dtype)).min)
    bits = np.where(ordinal < 0, lowest - ordinal, ordinal)
    return bits.astype(_bits(dtype)).view(dtype)


def ulp(x: Floats, dtype: np.dtype[Any]) -> Floats:
    """The distance between neighbours of the format at |x|."""
    info = ml_dtypes.finfo(dtype)
    _, exponent = np.frexp(np.abs(x))
    return np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)


_POINTS = 8192  # logits evaluated at once


# --- evaluating a row -----------------------------------------------------------------------------


@partial(jax.jit, static_argnames="form")
def _evaluate(
    form: Form, index: Array, z: Array, label: Array, epsilon: Array
) -> tuple[Array, Array]:
    labels = jnp.broadcast_to(label, z.shape)
    if form == "binary":
        return loss_and_grad(form, index, z, labels, epsilon)
    logits = jnp.stack([z, jnp.zeros_like(z), jnp.ones_like(z)], axis=-1)
    loss, gradient = loss_and_grad(form, index, logits, labels, epsilon)
    return loss, gradient[..., 0]


def evaluate(form: Form, key: str, z: Numbers, label: int, epsilon: float) -> tuple[Floats, Floats]:
    """Loss and derivative by z of a row at each z, computed in the dtype of z, given as float64.

    One program serves every row, label, epsilon and up to _POINTS logits; a new dtype compiles.
    """
    n = len(z)
    z = np.resize(z, -(-n // _POINTS) * _POINTS)  # filled up with itself
    with jax.enable_x64(z.dtype == np.float64):
        loss, gradient = _evaluate(
            form,
            np.int32(losses_for(form).index(key)),
            z,
            np.int32(label),
            np.asarray(epsilon, np.float64 if z.dtype == np.float64 else np.float32),
        )
        return np.asarray(loss, np.float64)[:n], np.asarray(gradient, np.float64)[:n]


# --- the exact values -----------------------------------------------------------------------------


# The label whose own logit z is.
_OWN: dict[Form, int] = {"binary": 1, "softmax": 0}


class Exact(NamedTuple):
    """Exact loss and derivative [n]: value + rest, where rest is what float64 cannot hold."""

    loss: Floats
    gradient: Floats
    loss_rest: Floats
    gradient_rest: Floats


def _margins(form: Form, z: Floats, label: int) -> Floats:
    """z_j - z_label of the other classes, [n, classes - 1]: all that a cross-entropy depends on."""
    if form == "binary":
        return (-z if label else z)[:, None]
    logits = np.stack([z, np.zeros_like(z), np.ones_like(z)], axis=-1)
    return np.delete(logits - logits[:, label, None], label, axis=-1)


def _exact_float64(form: Form, z: Floats, label: int) -> Exact:
    """Good to about |z| ulp of float64: 2^-20 ulp of float32 and less of the 16-bit formats."""
    margins = _margins(form, z, label)
    loss = np.logaddexp(0, np.logaddexp.reduce(margins, axis=-1))
    wrong = np.exp(margins - loss[:, None])  # p of each other class
    own = label == _OWN[form]
    gradient = -wrong.sum(axis=-1) if own else wrong[:, 0]
    return Exact(loss, gradient, np.zeros_like(z), np.zeros_like(z))


_DECIMAL = Context(prec=50)


@lru_cache(maxsize=1 << 16)
def _exact_decimal(form: Form, z: float, label: int) -> tuple[float, float, float, float]:
    """The same in 50 digits (the standard library's decimal rounds exp and ln correctly)."""
    c = _DECIMAL
    if form == "binary":
        margins = [Decimal(-z if label else z)]
    else:
        logits = [Decimal(z), Decimal(0), Decimal(1)]
        margins = [c.subtract(x, logits[label]) for j, x in enumerate(logits) if j != label]
    odds = [c.exp(m) for m in margins]
    total = odds[0] if len(odds) == 1 else c.add(*odds)
    if total > Decimal("1e-20"):
        loss = c.ln(c.add(1, total))
    else:  # ln(1 + s) = s - s^2/2 to 40 digits, where 1 + s would lose digits of s
        half_square = c.divide(c.multiply(total, total), Decimal(2))
        loss = c.subtract(total, half_square)
    own = label == _OWN[form]
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
    50 decimal digits are used for float64.
    """
    if z.dtype != np.float64:
        return _exact_float64(form, z.astype(np.float64), label)
    values = [_exact_decimal(form, x, label) for x in z.tolist()]
    return Exact(*np.array(values, np.float64).reshape(-1, 4).T)


class Curve(NamedTuple):
    """A row along a grid of logits, all [n] in float64; errors are signed, in ulp of the dtype."""

    loss: Floats
    gradient: Floats
    loss_error: Floats
    gradient_error: Floats


def curve(form: Form, key: str, z: Numbers, label: int, epsilon: float) -> Curve:
    """Loss and derivative of a row in the dtype of z, with their distance from the exact ones."""
    loss, gradient = evaluate(form, key, z, label, epsilon)
    true = exact(form, z, label)
    return Curve(
        loss,
        gradient,
        (loss - true.loss - true.loss_rest) / ulp(true.loss, z.dtype),
        (gradient - true.gradient - true.gradient_rest) / ulp(true.gradient, z.dtype),
    )


# --- edges ----------------------------------------------------------------------------------------

Fault = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


class Edges(NamedTuple):
    """Where a row goes wrong on one side, as logits of the dtype; None where it never does."""

    dead: float | None  # the gradient is exactly 0 here and everywhere further out
    half_from: float | None  # the gradient is half of what it should be from here ...
    half_to: float | None  # ... to here
    nan: float | None  # the first NaN, in loss or gradient
    inf: float | None  # the first infinity, in loss or gradient


def _scan(dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """Ordinals of the positive numbers to look at first, increasing.

    Evenly spaced, by 1/64 (in float64 by 1/8), as far as exp does anything but overflow or vanish;
    then a few up to the largest number. An event that fits between two of them is not seen.
    """
    limit = 1024.0 if dtype == np.float64 else 128.0
    near = np.linspace(0, limit, _POINTS - 15)[1:]
    far = np.exp(np.linspace(np.log(limit), np.log(float(ml_dtypes.finfo(dtype).max)), 18)[1:-1])
    return to_ordinal(np.concatenate([near, far]).astype(dtype))


def _between(low: int, high: int) -> NDArray[np.int64]:
    """At most _POINTS different ordinals after `low`, up to and including `high`."""
    steps = np.linspace(0, high - low, _POINTS + 1)[1:].astype(np.int64)
    return np.clip(low + steps, low + 1, high)


def _first(fault: Fault, ordinals: NDArray[np.int64]) -> int | None:
    """The first ordinal with the fault, in the first gap of the scan where it appears."""
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
    """The first ordinal from which every one that is looked at has the fault."""
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
    """The first and last ordinal of the first stretch of at least three with the fault."""
    first = _first(fault, ordinals)
    if first is None:
        return None
    after = _first(lambda o: ~fault(o) & (o > first), ordinals)
    last = int(ordinals[-1]) if after is None else after - 1
    return (first, last) if last - first >= 2 else None


def edges(
    form: Form, key: str, label: int, epsilon: float, dtype: np.dtype[Any], *, right: bool = False
) -> Edges:
    """The edges of a row on the wrong side of its decision (or on the right side).

    The wrong side is where the label's own probability goes to 0: z -> -inf where z is the logit of
    the label (binary label 1, softmax label 0), z -> +inf otherwise. On the right side a gradient
    of 0 is no fault, and `dead` is None.

    A scan away from 0 brackets each edge between two numbers of the dtype; the bracket is then
    narrowed by evaluating the dtype's own numbers inside it, down to two neighbours. The loss need
    not be monotone: a first fault stays the first one seen, and a gradient that is 0 for a while
    and comes back is not dead there. A half-gradient band holds at least three neighbouring
    numbers, or else a gradient that decays to 0 would show one on its way.
    """
    own = label == _OWN[form]
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
        true = _exact_float64(form, z.astype(np.float64), label).gradient
        return np.abs(gradient - true / 2) < tolerance * np.abs(true)

    def logit(ordinal: int | None) -> float | None:
        if ordinal is None:
            return None
        return float(from_ordinal(np.array([sign * ordinal]), dtype)[0])

    scan = _scan(dtype)
    band = _band(half, scan)
    return Edges(
        dead=None if right else logit(_from_here_on(dead, scan)),
        half_from=logit(band and band[0]),
        half_to=logit(band and band[1]),
        nan=logit(_first(nan, scan)),
        inf=logit(_first(inf, scan)),
    )


# --- epsilon --------------------------------------------------------------------------------------


class EpsilonLimits(NamedTuple):
    """What an epsilon must be, in a format, to do its work."""

    upper: float  # must be larger than this, or 1 - epsilon is 1 and nothing is clipped there
    lower: float  # must be at least this, or it is 0 and log(epsilon) is -inf
    reciprocal: float  # must be at least this, or 1 / epsilon is inf and the gradient may be NaN


def _smallest_positive(holds: Callable[[Numbers], bool], dtype: np.dtype[Any]) -> int:
    """The ordinal of the smallest positive number that has a property all larger ones have."""
    low, high = 0, int(to_ordinal(np.ones(1, dtype))[0])
    while high - low > 1:
        middle = (low + high) // 2
        if holds(from_ordinal(np.array([middle]), dtype)):
            high = middle
        else:
            low = middle
    return high


@cache
def epsilon_limits(dtype: np.dtype[Any]) -> EpsilonLimits:
    """The limits by bisection over the format's numbers.

    `upper` and `reciprocal` are IEEE arithmetic (NumPy). `lower` is what XLA does on this machine:
    on the CPU it flushes subnormal numbers to 0, except in float16.
    """
    one = np.ones(1, dtype)

    def value(ordinal: int) -> float:
        return float(from_ordinal(np.array([ordinal]), dtype)[0])

    def survives(x: Numbers) -> bool:
        with jax.enable_x64(dtype == np.float64):
            return bool(jnp.isfinite(jnp.log(x))[0])

    with np.errstate(over="ignore", divide="ignore"):
        return EpsilonLimits(
            upper=value(_smallest_positive(lambda x: bool((one - x < one)[0]), dtype) - 1),
            lower=value(_smallest_positive(survives, dtype)),
            reciprocal=value(_smallest_positive(lambda x: bool(np.isfinite(one / x)[0]), dtype)),
        )
