"""The small choices that need no file of their own: task, reduction, pixel scaling, stream."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.parts.losses import Form
from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Task(Row):
    """What the network is asked."""

    form: Form  # which form of a loss it needs
    outputs: int  # logits per image, predictions per series
    inputs: int = 784  # numbers given: the pixels of an image, the values of a series

    @property
    def series(self) -> bool:
        """Whether the task is about series rather than images."""
        return self.form == "regression"


TASKS = Registry(
    "task",
    [
        Task(
            key="binary",
            label="5 or more?",
            latex=r"y = [\,\mathrm{digit} \ge 5\,]",
            summary="One logit: is the digit five or more?",
            reference="the JAX/Keras question",
            form="binary",
            outputs=1,
        ),
        Task(
            key="digits",
            label="which digit?",
            latex=r"y \in \{0, \dots, 9\}",
            summary="Ten logits, one for each digit.",
            form="softmax",
            outputs=10,
        ),
        Task(
            key="next_value",
            label="the next value",
            latex=r"y_t = x_{t+1}",
            summary="Nine noisy values of a series, one after the other: after each, what is the "
            "next true one?",
            reference="Getting started with JAX (a post)",
            form="regression",
            outputs=9,
            inputs=9,
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Reduction(Row):
    """How the losses of a batch become one: their sum divided by `divisor`(examples, outputs).

    The number of examples may be traced.
    """

    divisor: Callable[[Any, int], Any]


REDUCTIONS = Registry(
    "reduction",
    [
        Reduction(
            key="mean",
            label="mean",
            latex=r"L = \frac{1}{B} \sum_{i=1}^{B} L_i",
            summary="The mean loss of the batch: the size of a step does not depend on that of the "
            "batch.",
            reference="the default of Keras 3.15 and PyTorch 2.13",
            divisor=lambda examples, outputs: examples,
        ),
        Reduction(
            key="sum",
            label="sum",
            latex=r"L = \sum_{i=1}^{B} L_i",
            summary="The summed loss of the batch: with B images its gradient is B times that of "
            "the mean. Plain SGD's steps grow by the same factor; Adam's hardly grow.",
            reference="Getting started with JAX (a post)",
            divisor=lambda examples, outputs: 1,
        ),
        Reduction(
            key="mean_outputs",
            label="mean over outputs, too",
            latex=r"L = \frac{1}{B K} \sum_{i=1}^{B} L_i",
            summary="The mean over images and outputs: with ten classes its gradient is a tenth of "
            "that of the mean over images, and so are the steps of plain SGD.",
            reference="torch.mean of a loss for each image and output, one-hot labels",
            divisor=lambda examples, outputs: examples * outputs,
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Scaling(Row):
    """x = (pixel - shift) · scale, pixel in 0..255."""

    shift: float
    scale: float


SCALINGS = Registry(
    "scaling",
    [
        Scaling(
            key="raw",
            label="raw, 0 to 255",
            latex=r"x = \mathrm{pixel}",
            summary="Bytes as they are. With the question's initial weights, half of the logits "
            "lie beyond ±54 and one in five beyond ±100.",
            reference="the JAX/Keras question",
            shift=0.0,
            scale=1.0,
        ),
        Scaling(
            key="unit",
            label="0 to 1",
            latex=r"x = \mathrm{pixel} / 255",
            summary="Bytes divided by 255.",
            reference="the keep_prob question",
            shift=0.0,
            scale=1 / 255,
        ),
        Scaling(
            key="standardised",
            label="standardised",
            latex=r"x = (\mathrm{pixel}/255 - 0.1307) / 0.3081",
            summary="Mean 0 and standard deviation 1 over MNIST.",
            reference="Getting started with JAX (a post)",
            shift=0.1307 * 255,
            scale=1 / (0.3081 * 255),
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Stream(Row):
    """Which random numbers a seed gives."""

    partitionable: bool  # jax.threefry_partitionable


STREAMS = Registry(
    "stream",
    [
        Stream(
            key="original",
            label="JAX before 0.5",
            summary="The random numbers that a seed gave in the question's version of JAX.",
            reference="jax.threefry_partitionable(False)",
            partitionable=False,
        ),
        Stream(
            key="partitionable",
            label="JAX since 0.5",
            summary="The random numbers that the same seed gives in JAX today, by default.",
            reference="jax.threefry_partitionable(True), the default of JAX 0.10.2",
            partitionable=True,
        ),
    ],
)
