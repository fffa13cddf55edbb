"""What a row of the table of losses holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jax import Array

from core.parts.losses.formula import Tree
from core.registry import Row

Form = Literal["binary", "softmax", "regression"]
LossFunction = Callable[[Array, Array, Array], Array]

# What a loss is computed from, in the table's order, and how that is shown. If loss and gradient
# are computed from different things, the gradient's counts, because it is all that the network
# learns from. "clipped probability": p itself is clipped to an interval.
WorksOn = Literal["probability", "clipped probability", "logits", "predictions"]
WORKS_ON: dict[WorksOn, str] = {
    "probability": "the probability as it is",
    "clipped probability": "the clipped probability",
    "logits": "the logits",
    "predictions": "the predictions",
}


@dataclass(frozen=True, kw_only=True)
class Loss(Row):
    """A loss as somebody computes it; the package's docstring describes its functions."""

    failure: str  # how it fails; core.study.precision measures where
    works_on: WorksOn
    binary: LossFunction | None
    softmax: LossFunction | None
    regression: LossFunction | None = None
    epsilon: float | None = None  # the source's own; None if the row ignores epsilon
    clip_range: Callable[[float], tuple[float, float]] | None = None  # epsilon -> limits of p
    integers: bool = False  # whether its labels of several classes can only be integers
    formula: Tree | None = None  # what a visitor has typed; None for the rows of the table
    cross_entropy: bool = (
        True  # whether it is the cross-entropy on paper; only a formula may not be
    )
    kills: str | None = None  # text in the line that loses the gradient; None if no line does
