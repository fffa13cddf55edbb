"""A learning rate that changes from step to step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_ALIKE = 0.003  # relative, as for all numbers of a fit
_SHOWN = 5


@dataclass(frozen=True)
class Schedule:
    """The rate of each recorded step.

    `inside`: a momentum sums up gradients times the rates of their own steps, as Keras does,
    rather than gradients that are multiplied by the present rate.
    """

    rates: tuple[float, ...]
    inside: bool = False

    def __str__(self) -> str:
        told = ", ".join(f"{rate:.4g}" for rate in self.rates[:_SHOWN])
        return told + ", …" * (len(self.rates) > _SHOWN)

    def alike(self, other: "Schedule") -> bool:
        """Whether two have the same rates in the steps that both recorded."""
        pairs = zip(self.rates, other.rates, strict=False)
        return self.inside == other.inside and all(
            math.isclose(x, y, rel_tol=_ALIKE, abs_tol=1e-12) for x, y in pairs
        )

    def write(self, framework: str) -> str:
        """Return the code that makes a framework's rate go the same way."""
        first, ratio, rise = self.rates[0], _ratio(self.rates), _rise(self.rates)
        framework = framework if framework in ("torch", "keras", "jax") else ""
        if ratio is not None:
            return _DECAYED[framework].format(first=f"{first:.4g}", ratio=f"{ratio:.4g}")
        last = f"{first + 1000 * rise:.4g}" if rise is not None and rise > 0 else ""
        if last:
            return _RISING[framework].format(first=f"{first:.4g}", last=last, rise=f"{rise:.4g}")
        return _LISTED[framework].format(rates=str(self))


_DECAYED = {
    "torch": "torch.optim.lr_scheduler.ExponentialLR(optimizer, {ratio})  # lr={first}; .step() "
    "after each step",
    "keras": "keras.optimizers.schedules.ExponentialDecay({first}, 1, {ratio})",
    "jax": "optax.exponential_decay({first}, 1, {ratio})",
    "": "rate = {first} * {ratio}**step",
}
_RISING = {
    "torch": "torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: {first} + {rise} * step)  "
    "# lr=1; .step() after each step",
    "keras": "keras.optimizers.schedules.PolynomialDecay({first}, 1000, {last})  # as long as it "
    "rises",
    "jax": "optax.linear_schedule({first}, {last}, 1000)  # as long as it rises",
    "": "rate = {first} + {rise} * step",
}
_LISTED = {
    "torch": "torch.optim.lr_scheduler.LambdaLR(optimizer, rate_of_step)  # lr=1; {rates}",
    "keras": "a keras.optimizers.schedules.LearningRateSchedule that gives {rates}",
    "jax": "a function of the step that gives {rates}",
    "": "rates {rates}",
}


def _ratio(rates: Sequence[float]) -> float | None:
    """The factor from each rate to the next, if it is always the same and below 1."""
    each = [y / x for x, y in pairwise(rates) if x > 0]
    if len(each) < len(rates) - 1 or not each or not 0 < each[0] < 1:
        return None
    # Rates are known to some digits, which says little of a slow decay.
    total = (rates[-1] / rates[0]) ** (1 / len(each))
    same = all(abs(r - total) <= 0.1 * (1 - total) for r in each)
    return total if same else None


def _rise(rates: Sequence[float]) -> float | None:
    """How much each rate is above the one before, if that is always the same."""
    each = [y - x for x, y in pairwise(rates)]
    mean = (rates[-1] - rates[0]) / len(each) if each else 0.0
    return mean if mean and all(abs(d - mean) <= 0.02 * abs(mean) for d in each) else None
