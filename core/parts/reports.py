"""REPORTS: how a program measures the accuracy that it reports on held-out images.

A network can be right more or less often than its program says. Each row but the first has one
fault, and is true in all else: where a prediction is NaN there is no accuracy, except in the row
whose fault is to count NaN.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Report(Row):
    """A way to measure an accuracy: the mean of `right` over all images."""

    right: Callable[[Array, Array], Array]  # logits [n, outputs], labels [n] -> float32 [n]
    fault: str = ""  # what is wrong with it, as a clause
    drops: bool = False  # whether units are dropped, as in training
    scales: bool = True  # whether pixels are scaled, as in training
    takes_nan: bool = False  # whether NaN counts as an answer
    same: tuple[str, str] | None = None  # a field, and the value with which nothing is wrong

    @property
    def other_logits(self) -> bool:
        """Whether the network gives other logits than the true ones, so that the loss differs."""
        return self.drops or not self.scales


def answers(logits: Array) -> Array:
    """The predicted class of each example; for logits [batch, 1] p >= 1/2, so NaN predicts 0."""
    if logits.shape[-1] == 1:
        return (jax.nn.sigmoid(logits[:, 0]) >= 0.5).astype(int)
    return jnp.argmax(logits, axis=-1)


def _answer(logits: Array, labels: Array) -> Array:
    return (answers(logits) == labels).astype(jnp.float32)


def _logit_above_half(logits: Array, labels: Array) -> Array:
    if logits.shape[-1] > 1:
        return _answer(logits, labels)
    return ((logits[:, 0] > 0.5) == labels).astype(jnp.float32)


def _each_output(logits: Array, labels: Array) -> Array:
    outputs = logits.shape[-1]
    if outputs == 1:
        return _answer(logits, labels)
    rounded = jax.nn.softmax(logits) > 0.5
    return jnp.mean(
        rounded == jax.nn.one_hot(labels, outputs, dtype=bool), axis=-1, dtype="float32"
    )


REPORTS = Registry(
    "report",
    [
        Report(
            key="true",
            label="as it is",
            latex=r"\hat y = \mathrm{argmax}_k\, z_k",
            summary="The share of the images whose largest logit is that of their label, with all "
            "units and pixels scaled as in training. With one logit, the answer is whether z ≥ 0.",
            right=_answer,
        ),
        Report(
            key="threshold",
            label="logit over 0.5",
            latex=r"\hat y = [\,z > 0.5\,]",
            summary="The logit is compared with 0.5, as if it were a probability: an image gets "
            "the label 1 only if its probability is above 0.62.",
            reference="a network without a last sigmoid in Keras 3.15, whose accuracy compares "
            "outputs with 0.5",
            right=_logit_above_half,
            fault="it compares the logit with 0.5, as if it were a probability",
            same=("task", "digits"),
        ),
        Report(
            key="rounded",
            label="each output by itself",
            latex=r"\frac{1}{K} \sum_k [\,[\,p_k > 0.5\,] = y_k\,]",
            summary="Each of the ten probabilities is rounded and compared with its own 0 or 1: a "
            "network whose probabilities are all below a half scores 90%.",
            reference="binary_accuracy with one-hot labels, Keras 3.15",
            right=_each_output,
            fault="it rounds each of the ten outputs and compares it by itself, and nine of ten "
            "should be 0",
            same=("task", "binary"),
        ),
        Report(
            key="dropout_on",
            label="with units dropped",
            summary="Units are dropped as in training.",
            reference="model.eval() is never called, PyTorch 2.13",
            right=_answer,
            fault="it drops units, as in training",
            drops=True,
            same=("dropout", "off"),
        ),
        Report(
            key="unscaled",
            label="pixels not scaled",
            summary="The held-out images keep their bytes from 0 to 255, whatever the network was "
            "trained on.",
            reference="training images divided by 255, and test images not",
            right=_answer,
            fault="it gives the network held-out pixels from 0 to 255, where training scales them",
            scales=False,
            same=("scaling", "raw"),
        ),
        Report(
            key="nan_as_0",
            label="NaN counted",
            latex=r"\mathrm{argmax}(\mathrm{NaN}, \dots, \mathrm{NaN}) = 0",
            summary="Predictions of NaN count as an answer, the first class: with ten classes such "
            "a network scores 9.8% on MNIST, the share of zeros among the test images.",
            reference="numpy.argmax, which returns the first NaN's place, NumPy 2.4",
            right=_answer,
            fault="it counts NaN as the answer 0",
            takes_nan=True,
        ),
    ],
)
