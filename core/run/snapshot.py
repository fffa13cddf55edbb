"""What a run says of itself at one step, in arrays and in words."""

import math
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a jax Array inside the compiled program, a numpy array outside

PROBE = 1000  # images a snapshot looks at, of either set; all of the question's
DROPPED = 250  # of them are looked at with units dropped, too: more would cost 2% of an epoch
SHOWN = 4  # series whose predictions a look keeps
BINS = 20  # equal bins over the open interval (0, 1), between "exactly 0" and "exactly 1"


class Saturation(NamedTuple):
    """How far the predictions have run into the ends of [0, 1]. Shares are of all examples."""

    # int32 [len(Gradient), BINS + 5], by each example's Gradient: exactly 0, clipped at the low
    # end, the bins, clipped at the high end, exactly 1, NaN
    histogram: Array
    zero: Array  # share with p exactly 0
    one: Array  # share with p exactly 1
    clipped: Array  # share with p outside the interval the loss clips to
    nonfinite: Array  # share with p NaN


class Gradient(IntEnum):
    """What a sample's own dloss/dlogits is, in the mean or sum that the weights follow."""

    SOME = 0
    ZERO = 1  # exactly, in every logit
    NONFINITE = 2  # NaN or inf in some logit


class Health(IntEnum):
    """What a number of a gradient is."""

    NAN = 0
    INF = 1
    ZERO = 2  # exactly
    FINE = 3


class Largest(NamedTuple):
    """The largest magnitudes, in float32 arithmetic at least; NaN where a number is NaN.

    In a 16-bit run they are what float32 makes of the same weights and slopes, so that a number
    beyond the format is seen as what it would be.
    """

    activation: Array  # of the probe images' hidden units and logits
    gradient: Array  # by a weight, times the loss scale: as it stands in the backward pass
    weight: Array


class Census(NamedTuple):
    """Who has a say. Shares are of all examples; NaN where no prediction is right or wrong."""

    wrong: Array  # predicted class is not the label
    zero_gradient: Array  # dloss/dlogits exactly 0 in every logit
    stuck: Array  # wrong and zero gradient: nothing in the step comes from them


class Fit(NamedTuple):
    """How a network follows held-out series, whatever its loss: errors are mean squared ones."""

    error: Array  # each prediction against its own target
    copied: Array  # of answering each value as it was seen in the place of the next true one
    inputs: Array  # float32 [SHOWN, time], of the first series
    targets: Array  # float32 [SHOWN, time]
    predictions: Array  # float32 [SHOWN, time]


class Snapshot(NamedTuple):
    """A run after `step` updates. Losses and shares are over the first PROBE images.

    A regression has series in the place of images and predictions that are neither right nor wrong:
    its accuracies and shares of answers are NaN, and margins, labels and correct are empty.
    """

    step: int
    epoch: float
    loss: float  # mean of each image's, in nats, as the chosen loss computes it: may be NaN or inf
    train_accuracy: float
    test_accuracy: float
    test_examples: int  # how many held-out images that accuracy is over
    # Euclidean norms of each layer with weights, weights and biases together: float32 [layers].
    gradient_norms: np.ndarray  # of the batch that the next step will use, its mean or summed loss
    weight_norms: np.ndarray
    update_norms: np.ndarray  # of what the next step really changes, rounding included
    # float32 [hidden layers], share of units that are 0 for every image; a filter is one unit.
    dead_units: np.ndarray
    one_answer: float  # share of the images that get the most frequent answer
    # Of the first DROPPED images, with units dropped as in training; NaN where none is dropped.
    dropped_accuracy: float
    flipped: float  # share that then get another answer than with all units
    next_finite: bool  # whether all weights are finite after the next step
    fixed: bool  # whether the next step changes neither a weight nor the optimizer's memory
    saturation: Saturation
    census: Census
    margins: np.ndarray  # float32 [probe], the logit of p of each probe image
    labels: np.ndarray  # uint8 [probe]
    correct: np.ndarray  # bool [probe]
    gradients: np.ndarray  # uint8 [probe], each image's Gradient
    # The shares of each Health: of the gradient's entries, by each layer's weights and biases as
    # train.parameters names them, float32 [parameters, len(Health)]; and of the probe images by
    # their own gradient, float32 [len(Health)].
    health: np.ndarray
    sample_health: np.ndarray
    largest: Largest
    vanished: (
        float  # share of the gradient that is 0 in 16 bits, not in float32; NaN for no 16 bits
    )
    loss_scale: float  # by which the loss is multiplied on its way back; 1 where it is not scaled
    fit: Fit | None = None  # of a regression

    @property
    def score(self) -> float:
        """What a run is judged by: its accuracy on the training images, NaN with predictions NaN.

        Of a regression, the error on held-out series.
        """
        if self.fit is not None:
            return self.fit.error
        return math.nan if self.saturation.nonfinite > 0 else self.train_accuracy


class Answers(NamedTuple):
    """Of a Snapshot what it tells of each image; see there."""

    step: int
    margins: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    gradients: np.ndarray


def silent_and_wrong(snapshot: Snapshot) -> np.ndarray:
    """The probe images that are wrong and have no gradient, the surest first: int [k]."""
    if not len(snapshot.correct):
        return np.zeros(0, int)
    found = np.flatnonzero(~snapshot.correct & (snapshot.gradients == Gradient.ZERO))
    return found[np.argsort(-np.abs(snapshot.margins[found]), kind="stable")]
