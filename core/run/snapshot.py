"""What is measured of a run at one step."""

import math
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a jax Array inside the compiled program, a numpy array outside

PROBE = 1000  # images of each set that a snapshot measures, at most; the question has no more
DROPPED = 250  # of them are also measured with units dropped; more would cost 2% of an epoch
SHOWN = 4  # series whose predictions a look keeps
BINS = 20  # equal bins over the open interval (0, 1), between "exactly 0" and "exactly 1"


class Saturation(NamedTuple):
    """How many predictions are at the ends of [0, 1]. Shares are of all examples."""

    # int32 [len(Gradient), BINS + 5], by each example's Gradient: exactly 0, clipped at the low
    # end, the bins, clipped at the high end, exactly 1, NaN
    histogram: Array
    zero: Array  # share with p exactly 0
    one: Array  # share with p exactly 1
    clipped: Array  # share with p outside the interval the loss clips to
    nonfinite: Array  # share with p NaN


class Gradient(IntEnum):
    """What a sample's own dloss/dlogits is, as its part of the batch's mean or summed loss."""

    SOME = 0
    ZERO = 1  # exactly, in every logit
    NONFINITE = 2  # NaN or inf in some logit


class Health(IntEnum):
    """What one entry of a gradient is."""

    NAN = 0
    INF = 1
    ZERO = 2  # exactly
    FINE = 3


class Largest(NamedTuple):
    """The largest magnitudes, computed in at least float32; NaN if any number is NaN.

    In a 16-bit run they are computed in float32 from the same weights and slopes, so that a number
    too large for the format is shown as large as it would be.
    """

    activation: Array  # of the probe images' hidden units and logits
    gradient: Array  # by a weight, times the loss scale, as in the backward pass
    weight: Array


class Census(NamedTuple):
    """The shares of all examples that are wrong or silent; NaN if nothing can be right or wrong."""

    wrong: Array  # predicted class is not the label
    zero_gradient: Array  # dloss/dlogits exactly 0 in every logit
    stuck: Array  # wrong, with a zero gradient: they do not contribute to the step


class Fit(NamedTuple):
    """How well a network predicts held-out series: mean squared errors, whatever its loss."""

    error: Array  # each prediction against its own target
    copied: Array  # the error of copying the input
    inputs: Array  # float32 [SHOWN, time], of the first series
    targets: Array  # float32 [SHOWN, time]
    predictions: Array  # float32 [SHOWN, time]


class Ahead(NamedTuple):
    """The labels of training images that follow each other, the next step's among them."""

    images: int  # how many follow each other: the next batch, or some more
    label: int  # the most frequent one
    share: float  # of these images that have it
    overall: float  # the same share of all training images


class Trial(NamedTuple):
    """What the next steps come to on two copies of a run: the losses after them."""

    steps: int
    times: int  # as large as the run's own is the other copy's learning rate
    own: float
    larger: float


class Snapshot(NamedTuple):
    """A run after `step` updates. Losses and shares are over the first PROBE images.

    A regression has series instead of images, and its predictions are neither right nor wrong:
    accuracies and shares of answers are NaN, and margins, labels and correct are empty.
    """

    step: int
    epoch: float
    loss: float  # mean over the images, in nats, as the chosen loss computes it; may be NaN or inf
    train_accuracy: float
    test_accuracy: float
    test_examples: int  # how many held-out images that accuracy is over
    # Euclidean norms of each layer with weights, weights and biases together: float32 [layers].
    gradient_norms: np.ndarray  # of the mean or summed loss of the next step's batch
    weight_norms: np.ndarray
    update_norms: np.ndarray  # of what the next step really changes, rounding included
    # float32 [layers], of the weights that have a gradient (neither 0 nor NaN nor inf) the share
    # that the next step leaves exactly where they are; NaN where none has one.
    rounded_away: np.ndarray
    # float32 [hidden layers], share of units that are 0 for every image; a filter is one unit.
    dead_units: np.ndarray
    one_answer: float  # share of the images that get the most frequent answer
    # Share of the images whose answer is the label after theirs, or the first after the last.
    next_label: float
    # On the first DROPPED images, with units dropped as in training; NaN if dropout is off.
    dropped_accuracy: float
    flipped: float  # share of them that get another answer than with all units
    next_finite: bool  # whether all weights are finite after the next step
    fixed: bool  # whether the next step changes neither a weight nor the optimizer's state
    saturation: Saturation
    census: Census
    margins: np.ndarray  # float32 [probe], the logit of p of each probe image
    labels: np.ndarray  # uint8 [probe]
    correct: np.ndarray  # bool [probe]
    gradients: np.ndarray  # uint8 [probe], each image's Gradient
    # The share of each Health among the entries of the gradient, for each of the arrays that
    # train.parameters names, float32 [parameters, len(Health)]; and among the probe images, by
    # their own gradients, float32 [len(Health)].
    health: np.ndarray
    sample_health: np.ndarray
    largest: Largest
    vanished: float  # share of the gradient that is 0 in 16 bits but not in float32; NaN otherwise
    loss_scale: float  # what the loss is multiplied by for the backward pass; 1 if it is not scaled
    fit: Fit | None = None  # for a regression only
    ahead: Ahead | None = None  # for a classification only
    trial: Trial | None = None  # at few looks, where a run has come to little; see train.trial
    # The accuracy on the held-out images as the program reports it; NaN if that is `test_accuracy`.
    reported: float = math.nan
    # Where it reports another than the true one: its mean loss on the held-out images, and the
    # true one. NaN otherwise.
    reported_loss: float = math.nan
    held_out_loss: float = math.nan
    # The share of the next step's batch that is right as the step sees it, normalised by itself;
    # NaN where no layer is normalised by running averages.
    batch_accuracy: float = math.nan

    @property
    def score(self) -> float:
        """What a run is judged by: its training accuracy, or NaN if any prediction is NaN.

        For a regression it is the error on held-out series.
        """
        if self.fit is not None:
            return self.fit.error
        return math.nan if self.saturation.nonfinite > 0 else self.train_accuracy


class Answers(NamedTuple):
    """The part of a Snapshot that is about single images; see there."""

    step: int
    margins: np.ndarray
    labels: np.ndarray
    correct: np.ndarray
    gradients: np.ndarray


def silent_and_wrong(snapshot: Snapshot) -> np.ndarray:
    """Indices of the probe images that are wrong and silent, the most confident first: int [k]."""
    if not len(snapshot.correct):
        return np.zeros(0, int)
    silent = np.flatnonzero(~snapshot.correct & (snapshot.gradients == Gradient.ZERO))
    return silent[np.argsort(-np.abs(snapshot.margins[silent]), kind="stable")]
