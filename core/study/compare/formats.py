"""How large a difference rounding can make, in each number format and at each stage."""

from typing import Any

import ml_dtypes
import numpy as np

from core.study.compare.recording import Array
from core.study.compare.report import Numbers

# bfloat16 first: its numbers near 1 are numbers of float16, too.
HALF_FORMATS: dict[str, Any] = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def epsilon(*arrays: Array) -> float:
    """Return the distance from 1 to the next number, in the finest format among the arrays."""
    found = [float(ml_dtypes.finfo(v.dtype).eps) for v in arrays if is_float(v)]
    return min(found, default=2.0**-52)


def is_float(v: Array) -> bool:
    """Whether an array holds floating-point numbers, of ml_dtypes too."""
    return np.issubdtype(v.dtype, np.floating) or v.dtype == HALF_FORMATS["bfloat16"]


def wide(v: Array) -> Array:
    """Return an array in float64."""
    return np.asarray(v, np.float64)


def tolerance(eps: float, factor: float) -> float:
    """Return the relative difference that rounding may make after some operations.

    Frameworks sum 16 bits in 32, so there only the last rounding counts.
    """
    return eps * (4 if eps > 1e-4 else factor)


def difference(tensor: str, step: int, a: Array, b: Array, allowed: float,
               scale: float = 0.0) -> Numbers:  # fmt: skip
    """Return the largest difference of two arrays of one shape.

    NaN in the same places is the same; NaN in one only is an infinite difference.
    """
    x, y = wide(a), wide(b)
    both = np.isnan(x) & np.isnan(y) | (x == y)
    with np.errstate(all="ignore"):
        gap = np.where(both, 0.0, np.abs(x - y))
        gap = np.where(np.isnan(gap), np.inf, gap)
        finite = np.concatenate([np.abs(v[np.isfinite(v)]).ravel() for v in (x, y)])
    largest = max(float(np.max(finite, initial=0.0)), scale)
    most = float(np.max(gap, initial=0.0))
    eps = epsilon(a, b)
    if most == 0:
        return Numbers(tensor, step, 0.0, 0.0, allowed)
    relative = most / largest if largest > 0 else float("inf")
    return Numbers(tensor, step, relative, relative / eps * 2, allowed)


def representable(v: Array, name: str) -> bool:
    """Whether all numbers of an array of more bits are numbers of a 16-bit format."""
    with np.errstate(all="ignore"):
        x = wide(v)
        return bool(np.all((x.astype(HALF_FORMATS[name]).astype(np.float64) == x) | np.isnan(x)))


def rounded(v: Array, name: str) -> Array:
    """Return float64 rounded to a 16-bit format, or to the 11 bits of TF32."""
    with np.errstate(all="ignore"):
        if name == "tf32":
            bits = np.asarray(v, np.float32).view(np.uint32).astype(np.uint64)
            kept = (bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000
            return kept.astype(np.uint32).view(np.float32).astype(np.float64)
        return wide(v).astype(HALF_FORMATS[name]).astype(np.float64)


def snapped(value: float, digits: int) -> float:
    """Return a number rounded to some significant digits."""
    return float(f"{value:.{digits - 1}e}") if np.isfinite(value) else value
