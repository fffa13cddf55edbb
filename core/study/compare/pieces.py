"""A candidate is one explanation of a stage, told by its facets; a fit is all that were tried.

Two recordings differ in those facets in which no explanation of one is an explanation of the other.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from core.study.compare.schedules import Schedule

Facets = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """An explanation: `residual` is what it leaves, and up to `tolerance` that is rounding."""

    facets: Facets
    residual: float
    tolerance: float
    complexity: int = 0  # how many pieces it has beyond the plainest

    @property
    def fits(self) -> bool:
        """Whether only rounding is left."""
        return self.residual <= self.tolerance


@dataclass(frozen=True)
class Fit:
    """What was tried on one side of a stage.

    `judge` returns the candidate with given facets, for what the other side's would leave here.
    """

    tried: tuple[Candidate, ...] = ()
    judge: Callable[[Facets], Candidate | None] = field(default=lambda facets: None)

    @property
    def found(self) -> tuple[Candidate, ...]:
        """The plainest explanations that leave only rounding, best first."""
        fits = [c for c in self.tried if c.fits]
        least = min((c.complexity for c in fits), default=0)
        plain = sorted((c for c in fits if c.complexity == least), key=lambda c: c.residual)
        return tuple({tuple(c.facets.items()): c for c in reversed(plain)}.values())[::-1]

    @property
    def best(self) -> Candidate | None:
        """The first explanation found, or what comes closest to one."""
        return next(iter(self.found), None) or min(self.tried, key=_left, default=None)


@dataclass(frozen=True)
class Parting:
    """The facets in which two sides differ, with the explanation of each that is closest."""

    facets: tuple[str, ...]
    a: Candidate
    b: Candidate
    instead: tuple[tuple[str, ...], ...] = ()  # other facets that would explain it as well


def parted(a: Fit, b: Fit) -> Parting | None:
    """Return in what two fits differ, by as few facets as possible; None if in nothing for sure."""
    if not a.found or not b.found:
        return None
    pairs: dict[tuple[str, ...], tuple[Candidate, Candidate]] = {}
    for x in a.found:
        for y in b.found:
            pairs.setdefault(_unlike(x.facets, y.facets), (x, y))
    if () in pairs or serves(a, b) or serves(b, a):
        return None
    for facets, (x, y) in sorted(pairs.items(), key=lambda item: len(item[0]))[:4]:
        fewer = _fewer(x, y, facets, b)
        if fewer is not None:
            pairs = {fewer[0]: (x, fewer[1]), **pairs}
    fewest = min(len(facets) for facets in pairs)
    first, *others = [facets for facets in pairs if len(facets) == fewest]
    return Parting(first, *pairs[first], tuple(others))


def _fewer(
    x: Candidate, y: Candidate, facets: tuple[str, ...], b: Fit
) -> tuple[tuple[str, ...], Candidate] | None:
    """Fewer facets of y that, put into x, explain b too."""
    for count in range(1, min(len(facets), 3)):
        for some in combinations(facets, count):
            if all(facet in y.facets for facet in some):
                hybrid = b.judge({**x.facets, **{facet: y.facets[facet] for facet in some}})
                if hybrid is not None and hybrid.fits:
                    return some, hybrid
    return None


def serves(a: Fit, b: Fit) -> bool:
    """Whether an explanation of one explains the other, too."""
    judged = [b.judge(c.facets) for c in a.found[:3]]
    return any(c is not None and c.fits for c in judged)


def _unlike(x: Facets, y: Facets) -> tuple[str, ...]:
    return tuple(key for key in {**x, **y} if not alike(x.get(key), y.get(key)))


def alike(x: Any, y: Any) -> bool:
    """Whether two values of a facet are the same, numbers to within three thousandths."""
    if isinstance(x, Schedule) and isinstance(y, Schedule):
        return x.alike(y)
    if isinstance(x, float | int) and isinstance(y, float | int):
        return bool(x == y or math.isclose(x, y, rel_tol=0.003))
    return bool(x == y)


def _left(candidate: Candidate) -> float:
    left = candidate.residual / max(candidate.tolerance, 1e-300)
    return math.inf if math.isnan(left) else left


def plainest(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return candidates by how well they fit, NaN last."""
    return tuple(sorted(candidates, key=_left))
