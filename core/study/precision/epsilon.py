"""How small an epsilon may be in a format and still work."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from core.parts.dtypes import Numbers, from_ordinal, to_ordinal


class EpsilonLimits(NamedTuple):
    """How small an epsilon may be in a format and still work, in three respects."""

    upper: float  # must be larger than this, or 1 - epsilon is 1 and nothing is clipped there
    lower: float  # must be at least this, or it is 0 and log(epsilon) is -inf
    reciprocal: float  # must be at least this, or 1 / epsilon is inf and the gradient may be NaN


def _smallest_positive(holds: Callable[[Numbers], bool], dtype: np.dtype[Any]) -> int:
    """The ordinal of the smallest positive number with a property that all larger ones have too."""
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
    """Find the limits by bisection over the format's numbers.

    `upper` and `reciprocal` hold for IEEE arithmetic (NumPy), `lower` for XLA on this machine: on a
    CPU it flushes subnormal numbers to 0, except in float16.
    """
    one = np.ones(1, dtype)

    def value(ordinal: int) -> float:
        return float(from_ordinal(np.array([ordinal]), dtype)[0])

    def survives(x: Numbers) -> bool:
        with jax.enable_x64(dtype == np.float64):
            return bool(np.isfinite(np.asarray(jnp.log(x), np.float64)).item())

    with np.errstate(over="ignore", divide="ignore"):
        return EpsilonLimits(
            upper=value(_smallest_positive(lambda x: bool((one - x < one)[0]), dtype) - 1),
            lower=value(_smallest_positive(survives, dtype)),
            reciprocal=value(_smallest_positive(lambda x: bool(np.isfinite(one / x)[0]), dtype)),
        )
