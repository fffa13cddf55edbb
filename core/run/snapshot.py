"""What a run says of itself at one step, in arrays and in words."""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a jax Array inside the compiled program, a numpy array outside

BINS = 20  # equal bins over the open interval (0, 1), between "exactly 0" and "exactly 1"


class Saturation(NamedTuple):
    """How far the predictions have run into the ends of [0, 1]. Shares are of all examples."""

    # int32 [BINS + 5]: exactly 0, clipped at the low end, the bins, clipped at the high end,
    # exactly 1, NaN
    histogram: Array
    zero: Array  # share with p exactly 0
    one: Array  # share with p exactly 1
    clipped: Array  # share with p outside the interval the loss clips to
    nonfinite: Array  # share with p NaN


class Gradient(IntEnum):
    """What a sample's own dloss/dlogits is, in the mean that the weights follow."""

    SOME = 0
    ZERO = 1  # exactly, in every logit
    NONFINITE = 2  # NaN or inf in some logit


class Census(NamedTuple):
    """Who still learns. Shares are of all examples."""

    wrong: Array  # predicted class is not the label
    zero_gradient: Array  # dloss/dlogits exactly 0 in every logit
    stuck: Array  # wrong and zero gradient: this loss cannot fix them


class Snapshot(NamedTuple):
    """A run after `step` updates. Losses and shares are over the first PROBE images."""

    step: int
    epoch: float
    loss: float  # mean, in nats, as the chosen loss computes it: may be NaN or inf
    train_accuracy: float
    test_accuracy: float
    test_examples: int  # how many held-out images that accuracy is over
    gradient_norms: np.ndarray  # float32 [layers], of the batch that the next step will use
    saturation: Saturation
    census: Census
    margins: np.ndarray  # float32 [probe], the logit of p of each probe image
    labels: np.ndarray  # uint8 [probe]
    correct: np.ndarray  # bool [probe]
    gradients: np.ndarray  # uint8 [probe], each image's Gradient


def silent_and_wrong(snapshot: Snapshot) -> np.ndarray:
    """The probe images that are wrong and have no gradient, the surest first: int [k]."""
    found = np.flatnonzero(~snapshot.correct & (snapshot.gradients == Gradient.ZERO))
    return found[np.argsort(-np.abs(snapshot.margins[found]), kind="stable")]


def is_chaotic(first: Snapshot) -> bool:
    """Whether rounding alone moves where a run ends.

    So it is where the loss clips most predictions at once: who is clipped next depends on the
    last bits. Measured on the question (JAX 0.10.2): 100 runs from weights moved by one rounding
    end anywhere from 0.51 to 0.83 with 84% clipped, and all at 0.909 with none.
    """
    return bool(first.saturation.clipped > 0.5)


def _percent(share: float) -> str:
    """84%, but never 0% or 100% for what is not exactly none or all."""
    if 0 < share < 0.005:
        return "under 1%"
    if 0.995 <= share < 1:
        return "over 99%"
    return f"{share:.0%}"


def diagnosis(snapshot: Snapshot) -> str:
    """One sentence on why this network learns, or does not."""
    saturated = float(
        max(snapshot.saturation.clipped, snapshot.saturation.zero + snapshot.saturation.one)
    )
    stuck = float(snapshot.census.stuck)
    if snapshot.saturation.nonfinite > 0:
        return (
            f"{_percent(float(snapshot.saturation.nonfinite))} of the predictions are NaN: "
            "the weights are gone, and no further step can bring them back."
        )
    if not np.all(np.isfinite(snapshot.gradient_norms)):
        return (
            "The predictions are still finite, but the gradient is not: "
            "the next step turns the weights into NaN."
        )
    if snapshot.census.zero_gradient == 1:
        return (
            f"The gradient is exactly zero while {_percent(float(snapshot.census.wrong))} of the "
            "samples are wrong: this network has stopped for good."
        )
    if stuck > 0:
        return (
            f"{_percent(saturated)} of the predictions are saturated and {_percent(stuck)} of the "
            "samples are wrong with zero gradient: this loss cannot fix them."
        )
    if saturated > 0.1:
        return (
            f"{_percent(saturated)} of the predictions are saturated, but every wrong sample "
            "still has a gradient: this loss can fix them."
        )
    return (
        f"{_percent(float(snapshot.census.wrong))} of the samples are wrong, and every one of "
        "them has a gradient: this loss can fix them."
    )
