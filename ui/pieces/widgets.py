"""The widget of each field of a RunConfig: its label, its scale, its words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import FIELDS
from core.fields import Choice, Range, number, to_text
from ui.pieces.glossary import explained


def count(value: int) -> str:
    """Return a number with its thousands apart: 60,000."""
    return f"{value:,}"


def decades(name: str) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, 20 … over the range of a field, for a slider with a log scale."""
    allowed = FIELDS[name]
    assert isinstance(allowed, Range)
    grid = [float(f"{digit}e{power}") for power in range(-12, 4) for digit in (1, 2, 5)]
    return tuple(value for value in grid if allowed.low <= value <= allowed.high)


@dataclass(frozen=True)
class Widget:
    """How a field is asked for, and where.

    Attributes:
      label: its name on pages.
      grid: the values of its slider (or of its menu, for widths); a Choice has its registry's rows.
      text: writes a value of the grid.
      help: what its (?) says.
      group: the fold in which the trainer draws it, in the order of WIDGETS; "" for above them.
      phone: whether a phone's trainer offers it.
    """

    label: str
    grid: Sequence[Any] = ()
    text: Callable[[Any], str] = number
    help: str | None = None
    group: str = ""
    phone: bool = False


# The trainer's folds.
NETWORK, OPTIMIZER, ORDER = GROUPS = (
    "Network and data",
    "Optimizer",
    "Loss of a batch, order, report",
)

WIDGETS: dict[str, Widget] = {
    "loss": Widget(
        "loss: probability … logits",
        help=explained("cross-entropy", "logit", "label", "clipped", "gradient"),
        phone=True,
    ),
    "learning_rate": Widget(
        "learning rate",
        decades("learning_rate"),
        help=explained("learning rate", "gradient"),
        phone=True,
    ),
    "epsilon": Widget(
        "epsilon", decades("epsilon"), help=explained("epsilon", "clipped"), phone=True
    ),
    "seed": Widget(
        "seed",
        help="Decides the initial weights, the order of the images and the dropped units.",
        phone=True,
    ),
    "dropout": Widget("dropout: what the number means", help=explained("dropout"), phone=True),
    "dropout_value": Widget(
        "dropout value",
        [round(0.05 * i, 2) for i in range(1, 20)],
        help="The number that dropout is given: what it means is chosen above.",
        phone=True,
    ),
    "source": Widget("data", group=NETWORK),
    "train_size": Widget(
        "training images",
        (100, 200, 500, 1000, 1024, 2000, 4000, 10_000, 30_000, 60_000),
        text=count,
        help=explained("held out"),
        group=NETWORK,
    ),
    "task": Widget("task", group=NETWORK),
    "model": Widget("model", group=NETWORK),
    "scaling": Widget("pixels", group=NETWORK, phone=True),
    "x0": Widget("start x₀", (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0), group=NETWORK),
    "mu": Widget(
        "mean μ",
        (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 5.0),
        help=explained("ornstein-uhlenbeck process"),
        group=NETWORK,
        phone=True,
    ),
    "tau": Widget(
        "time τ back to the mean",
        (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0),
        group=NETWORK,
        phone=True,
    ),
    "sigma": Widget("spread σ", (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0), group=NETWORK, phone=True),
    "noise": Widget(
        "noise of what is seen", (0.0, 0.05, 0.1, 0.2, 0.5, 1.0), group=NETWORK, phone=True
    ),
    "dt": Widget("time step dt", (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0), group=NETWORK),
    "widths": Widget(
        "hidden layers",
        ((32,), (256,), (1000,), (1024,), (256, 256), (512, 512), (256,) * 4, (512,) * 4),
        text=to_text,
        help="How many units each has. Type your own, as in 300-100.",
        group=NETWORK,
    ),
    "initializer": Widget("initial weights", group=NETWORK),
    "biases": Widget("initial biases", group=NETWORK),
    "initial_spread": Widget(
        "spread of initial weights",
        decades("initial_spread"),
        help="The standard deviation of weights that are normal with a spread to choose.",
        group=NETWORK,
    ),
    "activation": Widget("activation", group=NETWORK),
    "normalisation": Widget("normalisation", help=explained("batch normalisation"), group=NETWORK),
    "norm_momentum": Widget(
        "BatchNorm's momentum",
        (0.0, 0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999),
        help="What share of its running averages a batch leaves, as in Keras and Flax. PyTorch's "
        "number is 1 minus this.",
        group=NETWORK,
    ),
    "norm_epsilon": Widget(
        "normalisation's epsilon",
        decades("norm_epsilon"),
        help="What is added to the variance before the root is taken.",
        group=NETWORK,
    ),
    "norm_variance": Widget(
        "BatchNorm's variance",
        help="Which variance of a batch goes into the running average. Training itself always uses "
        "the variance over n.",
        group=NETWORK,
    ),
    "norm_test": Widget(
        "BatchNorm at test time",
        help="What mean and variance test images are normalised by. The charts look at training "
        "images in the same way.",
        group=NETWORK,
    ),
    "precision": Widget("number format", group=NETWORK),
    "batch_size": Widget(
        "batch",
        (1, 10, 50, 100, 200, 512, 1000, 2000, 4000, 10_000, 60_000),
        text=count,
        help=explained("batch", "epoch"),
        group=NETWORK,
    ),
    "epochs": Widget(
        "epochs",
        (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000),
        text=str,
        help=explained("epoch"),
        group=NETWORK,
        phone=True,
    ),
    "optimizer": Widget("optimizer", group=OPTIMIZER, phone=True),
    "momentum": Widget(
        "momentum",
        (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999),
        help="What share of its running sum or mean of gradients a step keeps; Adam's beta₁.",
        group=OPTIMIZER,
    ),
    "beta_2": Widget(
        "beta₂",
        (0.0, 0.5, 0.9, 0.95, 0.98, 0.99, 0.999, 0.9999),
        help="What share of its second running mean, for most that of squared gradients, a step "
        "keeps. RMSprop and Adadelta call it rho, or alpha.",
        group=OPTIMIZER,
    ),
    "optimizer_epsilon": Widget(
        "optimizer's epsilon",
        (0.0, *decades("optimizer_epsilon")),
        help="Keeps the optimizer from dividing by 0 where gradients are 0.",
        group=OPTIMIZER,
    ),
    "decay_form": Widget("weight decay", group=OPTIMIZER),
    "weight_decay": Widget(
        "decay λ",
        decades("weight_decay"),
        help="Acts on biases, too, unless it is a penalty of kernels.",
        group=OPTIMIZER,
    ),
    "clip_form": Widget("gradient clipping", group=OPTIMIZER),
    "clip_norm": Widget(
        "longest norm c",
        decades("clip_norm"),
        help="Longer gradients are shortened to this. The charts show them as they were before.",
        group=OPTIMIZER,
    ),
    "loss_input": Widget("loss input", help=explained("logit"), group=ORDER),
    "label_smoothing": Widget(
        "label smoothing",
        (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0),
        help="The target of an image's own class is lower by this share, which all classes get in "
        "equal parts: with 0.1 and ten classes, 0.91 and nine times 0.01. A loss that takes "
        "integer labels only ignores it.",
        group=ORDER,
    ),
    "label_shift": Widget(
        "labels moved by",
        help="With 1 the loss is given the label after each image's own, and the first instead of "
        "the last, as if the labels were counted from 1 or read one class off. Answers are judged "
        "by the true labels.",
        group=ORDER,
    ),
    "reduction": Widget("loss of a batch", help=explained("batch", "loss"), group=ORDER),
    "loss_weight": Widget(
        "loss weight",
        decades("loss_weight"),
        help="The loss of a batch is multiplied by this before its gradient is taken. The charts "
        "show the loss as it was before.",
        group=ORDER,
    ),
    "data_order": Widget("order of the data", group=ORDER),
    "shuffle": Widget("shuffling", help=explained("epoch"), group=ORDER),
    "shuffle_buffer": Widget(
        "shuffle buffer",
        (1, 10, 100, 1000, 10_000, 60_000),
        text=count,
        help=explained("shuffle buffer"),
        group=ORDER,
    ),
    "last_batch": Widget("last, partial batch", help=explained("batch", "epoch"), group=ORDER),
    "report": Widget("reported accuracy", help=explained("held out"), group=ORDER),
    "stream": Widget("random numbers", help=explained("random numbers"), group=ORDER),
}


# What the page calls the fields; a label's words after a colon only explain.
LABELS = {name: row.label.partition(":")[0] for name, row in WIDGETS.items()}


def value_text(name: str, value: Any) -> str:
    """Return a field's value in the page's words."""
    allowed = FIELDS[name]
    if value is None:  # a setting that the run's optimizer does not have
        return "–"
    if isinstance(allowed, Choice):
        return allowed.registry[value].label
    if isinstance(value, tuple):
        return to_text(value)
    return exact(value)


def exact(value: float) -> str:
    """Return a number with all the digits that it needs, and no more."""
    return number(value) if float(number(value)) == value else to_text(value)


def setting_text(name: str, value: Any) -> str:
    """Return a setting in the words of its widget, such as: learning rate 0.01."""
    if name == "loss":
        return f"the loss “{value_text(name, value)}”"
    return f"{LABELS[name]} {value_text(name, value)}"
