"""Which initialiser a recording's first weights and biases look like, by spread and form.

A row fits if the spread of each kernel is within four of its standard errors, and the form (its
kurtosis, and its largest number) is that of the row's distribution.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.study.compare import formats
from core.study.compare.pieces import Candidate, Facets, Fit, plainest
from core.study.compare.recording import Array, Recording

_KURTOSIS = {"uniform": 1.8, "normal": 3.0, "truncated": 2.37}
_CUT = 0.87962566  # the spread of a standard normal cut at 2


@dataclass(frozen=True)
class Row:
    """An initialiser of kernels: its name, its distribution, its spread from fan in and fan out."""

    name: str
    form: str
    scale: float
    of: str  # in, out, both, none

    def spread(self, fan_in: int, fan_out: int) -> float:
        """Return the standard deviation."""
        if self.of == "none":
            return self.scale
        fan = {"in": fan_in, "both": (fan_in + fan_out) / 2, "out": fan_out}[self.of]
        return math.sqrt(self.scale / fan)


ROWS = (
    Row("Glorot uniform", "uniform", 1.0, "both"),
    Row("uniform 1/√inputs", "uniform", 1 / 3, "in"),
    Row("LeCun uniform", "uniform", 1.0, "in"),
    Row("He uniform", "uniform", 2.0, "in"),
    Row("Glorot normal", "truncated", 1.0, "both"),
    Row("LeCun normal", "truncated", 1.0, "in"),
    Row("He normal", "truncated", 2.0, "in"),
    Row("Glorot normal, not cut off", "normal", 1.0, "both"),
    Row("LeCun normal, not cut off", "normal", 1.0, "in"),
    Row("He normal, not cut off", "normal", 2.0, "in"),
    Row("N(0, 1)", "normal", 1.0, "none"),
    Row("N(0, 0.01²)", "normal", 0.01, "none"),
    Row("N(0, 0.02²)", "normal", 0.02, "none"),
    Row("N(0, 0.05²)", "normal", 0.05, "none"),
    Row("N(0, 0.1²)", "normal", 0.1, "none"),
    Row("uniform ±0.05", "uniform", 0.05 / math.sqrt(3), "none"),
)


def kernels(recording: Recording) -> dict[str, Array]:
    """Return the parameters with more than one axis."""
    return {n: formats.wide(v) for n, v in recording.params(0).items() if v.ndim > 1 and v.size > 7}


def vectors(recording: Recording) -> dict[str, Array]:
    """Return the parameters that are called biases."""
    return {
        n: formats.wide(v)
        for n, v in recording.params(0).items()
        if v.ndim == 1 and v.size and not np.all(v == 1)
    }


def fit_weights(recording: Recording, swapped: Mapping[str, bool]) -> Fit:
    """Fit the initialiser of all kernels; `swapped` says which are (out, in)."""
    found = kernels(recording)
    if not found:
        return Fit()
    fans = {n: _fans(v.shape, swapped.get(n, _torch(recording))) for n, v in found.items()}
    each = [Candidate({"weights": row.name}, max(_off(v, row, *fans[n]) for n, v in found.items()),
                      4.0) for row in ROWS]  # fmt: skip

    def judge(facets: Facets) -> Candidate | None:
        return next((c for c in each if c.facets["weights"] == facets.get("weights")), None)

    return Fit(plainest(each), judge)


def fit_biases(recording: Recording, kernel_of: Mapping[str, str]) -> Fit:
    """Fit how biases begin; `kernel_of` names the kernel that a bias belongs to."""
    found = vectors(recording)
    if not found:
        return Fit()
    params = recording.params(0)

    def off(kind: str) -> float:
        worst = 0.0
        for name, v in found.items():
            if kind == "0":
                worst = max(worst, 0.0 if not np.any(v) else math.inf)
            elif kind == "uniform 1/√inputs":
                kernel = kernel_of.get(name)
                if kernel is None or not np.any(v):
                    return math.inf
                width = params[kernel].size // v.size
                worst = max(worst, _off(v, Row("", "uniform", 1 / 3, "in"), width, v.size))
            else:
                spread = float(kind.removeprefix("N(0, ").removesuffix("²)"))
                worst = max(worst, _off(v, Row("", "normal", spread, "none"), 1, 1))
        return worst

    kinds = ("0", "uniform 1/√inputs", "N(0, 1²)", "N(0, 0.01²)")
    each = [Candidate({"biases": kind}, off(kind), 4.0) for kind in kinds]
    return Fit(plainest(each), lambda f: next((c for c in each if c.facets == dict(f)), None))


def _torch(recording: Recording) -> bool:
    return "torch" in recording.framework.lower()


def _fans(shape: tuple[int, ...], swapped: bool) -> tuple[int, int]:
    """Inputs and outputs of a unit: (..., in, out), or (out, in, ...) if swapped."""
    if swapped:
        shape = (*shape[2:], shape[1], shape[0])
    around = math.prod(shape[:-2])
    return around * shape[-2], around * shape[-1]


def _off(v: Array, row: Row, fan_in: int, fan_out: int) -> float:
    """How many standard errors an array's spread and form are from a row's."""
    x = v.reshape(-1)
    spread, n = row.spread(fan_in, fan_out), len(x)
    std = float(np.sqrt(np.mean(x * x)))
    if std == 0 or not math.isfinite(std):
        return math.inf
    kurtosis = _KURTOSIS[row.form]
    of_spread = abs(std / spread - 1) / math.sqrt((kurtosis - 1) / (4 * n))
    limit = {"uniform": math.sqrt(3), "truncated": 2 / _CUT, "normal": math.inf}[row.form]
    if float(np.max(np.abs(x))) > limit * spread * (1 + 1e-3):
        return math.inf
    own = float(np.mean(x**4)) / std**4
    # The standard error of a kurtosis, from the moments of each distribution.
    of_form = abs(own - kurtosis) / math.sqrt(
        {"uniform": 0.9, "truncated": 4.5, "normal": 24}[row.form] / n
    )
    return max(of_spread, of_form)


def described(v: Array) -> str:
    """Return an array's spread in words."""
    if not v.size:
        return "no number"
    with np.errstate(all="ignore"):
        return f"spread {float(np.std(v)):.3g}, largest {float(np.max(np.abs(v), initial=0)):.3g}"
