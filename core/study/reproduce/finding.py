"""A measured figure, what it should be and who says so; and the case it belongs to."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from core.registry import Row


class Kind(StrEnum):
    """Who says what a figure should be."""

    PUBLISHED = "published"  # the source printed it
    FACT = "fact"  # measured by running the frameworks that the case names; nobody published it
    REGRESSION = "regression"  # nobody stated it: the band is where this project found it


class Finding(NamedTuple):
    """One figure: what it should be, what came out, and the band it must lie in."""

    quantity: str
    kind: Kind
    stated: float | None  # as published, or as measured elsewhere; None: a REGRESSION
    measured: float
    low: float  # NaN: the figure must be NaN
    high: float

    @property
    def ok(self) -> bool:
        """Whether the figure lies in its band."""
        if math.isnan(self.low):
            return math.isnan(self.measured)
        return self.low <= self.measured <= self.high

    @property
    def published(self) -> float | None:
        """What the source printed; None if it printed nothing."""
        return self.stated if self.kind is Kind.PUBLISHED else None

    @property
    def expected(self) -> float | None:
        """What was measured with named versions; None unless the row is a FACT."""
        return self.stated if self.kind is Kind.FACT else None


def near(quantity: str, kind: Kind, stated: float, measured: float, tolerance: float) -> Finding:
    """A figure that must be as stated, within `tolerance`."""
    return Finding(quantity, kind, stated, measured, stated - tolerance, stated + tolerance)


def is_nan(quantity: str, kind: Kind, measured: float) -> Finding:
    """A figure stated to be NaN."""
    return Finding(quantity, kind, math.nan, measured, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Case(Row):
    """What is reproduced; `run` raises DataUnavailable if its data is not on this machine."""

    run: Callable[[], Iterable[Finding]]
    long: bool = False  # run only when asked for
