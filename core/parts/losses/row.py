"""The row of a loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from jax import Array

from core.registry import Row

Form = Literal["binary", "softmax", "regression"]
LossFunction = Callable[[Array, Array, Array], Array]

# What a loss works on, in the order of the table, and as it is shown. What counts is the gradient,
# for the network learns from nothing else. "clipped": p itself is held inside an interval.
WorksOn = Literal["probability", "clipped probability", "logits", "predictions"]
WORKS_ON: dict[WorksOn, str] = {
    "probability": "the probability as it is",
    "clipped probability": "the clipped probability",
    "logits": "the logits",
    "predictions": "the predictions",
}


@dataclass(frozen=True, kw_only=True)
class Loss(Row):
    """A loss as somebody computes it; functions as the package's docstring describes them."""

    failure: str  # how it fails; where, core.study.precision measures
    works_on: WorksOn
    binary: LossFunction | None
    softmax: LossFunction | None
    regression: LossFunction | None = None
    epsilon: float | None = None  # the source's own; None where the row ignores epsilon
    clip_range: Callable[[float], tuple[float, float]] | None = None  # where p is clipped to
    kills: str | None = None  # what the line that loses the gradient says; None where none does
    reproduces: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
