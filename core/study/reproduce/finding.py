"""A figure beside what was published, and the case it belongs to."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from core.registry import Row


class Finding(NamedTuple):
    """One figure: what was published, what came out, and the band it must lie in."""

    quantity: str
    published: float | None
    measured: float
    low: float  # NaN: the figure must be NaN
    high: float

    @property
    def ok(self) -> bool:
        """Whether the figure lies in its band."""
        if math.isnan(self.low):
            return math.isnan(self.measured)
        return self.low <= self.measured <= self.high


def near(quantity: str, published: float, measured: float, tolerance: float) -> Finding:
    """A figure that must come out as published, to `tolerance`."""
    return Finding(quantity, published, measured, published - tolerance, published + tolerance)


def is_nan(quantity: str, measured: float) -> Finding:
    """A figure published as NaN."""
    return Finding(quantity, math.nan, measured, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Case(Row):
    """What is reproduced; `run` raises DataUnavailable where its data is not on this machine."""

    run: Callable[[], Iterable[Finding]]
