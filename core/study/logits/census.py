"""What every loss makes of a visitor's samples, in every number format, with every epsilon."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import ml_dtypes
import numpy as np

from core.parts.dtypes import DTYPES, Floats
from core.parts.losses import LOSSES, Form, losses_for
from core.study.compare.recording import Array
from core.study.logits.evaluate import Evaluated, evaluate, exact_slope
from core.study.logits.samples import Samples

EPSILONS = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 1e-15)
DUE = 0.01  # a slope that should be smaller is small whatever a loss does to it
NEARLY_ALL = 0.98  # of the gradient: what a rounding to 8 bits leaves of it

Verdict = Literal["whole", "silent", "weaker", "breaks"]


class Tally(NamedTuple):
    """What a loss makes of the samples in a format: shares of all that are examined.

    No sample counts in two of the shares from `broken` to `weak`.
    """

    loss: str  # a key of LOSSES
    dtype: str  # a key of DTYPES
    epsilon: float | None  # None for a loss that has none
    broken: float  # the loss, or the gradient by some logit, is NaN or infinite
    silent_wrong: float  # the gradient is exactly 0, although the answer is wrong
    silent_right: float  # the gradient is exactly 0, and the answer is right
    against: float  # the gradient points away from the exact one
    half: float  # the gradient is half of the exact one
    weak: float  # it is less than half, and not 0
    # The sum of |slope| over the wrong samples, divided by that of the exact slopes; NaN if no
    # sample is wrong, or one is broken.
    kept: float
    value: float  # the mean loss in nats

    @property
    def verdict(self) -> Verdict:
        """What these samples get of their gradient with this loss.

        "breaks": one NaN or infinity is in the mean of its batch. "silent" and "weaker": the wrong
        samples get less than NEARLY_ALL of their gradient, some of them none.
        """
        if self.broken:
            return "breaks"
        if not self.against and not self.kept < NEARLY_ALL:
            return "whole"
        return "silent" if self.silent_wrong else "weaker"


def tried(key: str) -> tuple[float | None, ...]:
    """The epsilons that a loss is tried with: None for one that has none."""
    return (None,) if LOSSES[key].epsilon is None else EPSILONS


def census(samples: Samples) -> Iterator[list[Tally]]:
    """Try all losses that the samples allow, one by one, in one number format after the other."""
    for name, row in DTYPES.items():
        exact = exact_slope(samples, row.dtype)
        for key in losses_for(samples.form):
            yield [tally(samples, exact, key, name, epsilon) for epsilon in tried(key)]


def rounds(form: Form) -> int:
    """Return how many lists `census` yields."""
    return len(DTYPES) * len(losses_for(form))


def tally(samples: Samples, exact: Floats, key: str, dtype: str, epsilon: float | None) -> Tally:
    """Count what a loss does to samples whose exact slopes are `exact`, [n]."""
    given = evaluate(samples, key, DTYPES[dtype].dtype, epsilon or 0.0)
    wrong = samples.wrong
    those = _parts(given, exact, wrong, 4 * float(ml_dtypes.finfo(DTYPES[dtype].dtype).eps))
    with np.errstate(all="ignore"):
        kept = np.abs(given.slope[wrong]).sum() / np.abs(exact[wrong]).sum()
        value = np.mean(given.loss)
    return Tally(
        key,
        dtype,
        epsilon,
        **{name: float(np.mean(part)) for name, part in those.items()},
        kept=np.nan if given.broken.any() else float(kept),
        value=float(value),
    )


def _parts(given: Evaluated, exact: Floats, wrong: Array, tolerance: float) -> dict[str, Array]:
    """Which samples are in each share of a Tally, bool [n] each."""
    size, due = np.abs(given.slope), np.abs(exact)
    rest = ~(given.broken | given.silent) & (due >= DUE)
    against = rest & given.against
    half = rest & ~against & (np.abs(size - due / 2) < tolerance * due)
    weak = rest & ~against & ~half & (size < due / 2)
    silent = given.silent & ~given.broken
    return {
        "broken": given.broken,
        "silent_wrong": silent & wrong,
        "silent_right": silent & ~wrong,
        "against": against,
        "half": half,
        "weak": weak,
    }
