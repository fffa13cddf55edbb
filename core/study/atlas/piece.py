"""Piece: one thing that frameworks do differently by default, and how to write it in each.

Facts are what was read in a framework's sources, in the version that FRAMEWORKS names, or what it
did when it was run. tests/frameworks runs each against the framework where that is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.registry import Registry, Row

Settings = Mapping[str, Any]  # fields of a RunConfig, with their values


@dataclass(frozen=True, kw_only=True)
class Framework(Row):
    """A framework, or libraries that are used as one."""

    versions: Mapping[str, str]  # package -> the version that the facts were read in


FRAMEWORKS = Registry(
    "framework",
    [
        Framework(
            key="keras",
            label="Keras",
            summary="Keras 3 on any of its backends; tf.keras is the same since TensorFlow 2.16.",
            versions={"keras": "3.15.1"},
        ),
        Framework(key="torch", label="PyTorch", versions={"torch": "2.13.0"}),
        Framework(
            key="flax",
            label="Flax and optax",
            summary="flax.linen for layers, optax for losses and optimizers.",
            versions={"flax": "0.12.8", "optax": "0.2.8", "jax": "0.10.2"},
        ),
        Framework(
            key="equinox",
            label="Equinox and optax",
            versions={"equinox": "0.13.8", "optax": "0.2.8"},
        ),
        Framework(
            key="stax",
            label="stax",
            summary="jax.example_libraries: stax for layers, optimizers for optimizers.",
            versions={"jax": "0.10.2"},
        ),
        Framework(
            key="tf1",
            label="TensorFlow 1",
            summary="The rules of TensorFlow 1, as tf.compat.v1 still has them.",
            versions={"tensorflow": "2.21.0"},
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Topic(Row):
    """What pieces are about; a checklist leaves out what a program does not use."""

    always: bool = False  # whether every program has it


TOPICS = Registry(
    "topic",
    [
        Topic(key="loss", label="loss", always=True),
        Topic(key="data", label="data", always=True),
        Topic(key="weights", label="initial weights", always=True),
        Topic(key="numbers", label="number formats and seeds", always=True),
        Topic(key="sgd", label="SGD and momentum"),
        Topic(key="adam", label="Adam"),
        Topic(key="rmsprop", label="RMSprop"),
        Topic(key="adagrad", label="Adagrad and Adadelta"),
        Topic(key="decay", label="weight decay"),
        Topic(key="clipping", label="gradient clipping"),
        Topic(key="dropout", label="dropout"),
        Topic(key="batch_norm", label="BatchNorm"),
        Topic(key="layer_norm", label="LayerNorm"),
        Topic(key="activations", label="leaky ReLU, GELU"),
        Topic(key="convolution", label="convolution and pooling"),
        Topic(key="recurrent", label="GRU and embedding"),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Context(Row):
    """A run in which a piece is compared: what differs from the base of all comparisons."""

    settings: Settings
    usual: bool = True  # whether what happens here counts for a piece's place in a checklist
    of: str = ""  # what is measured in percent, where that is not the right answers


def _context(key: str, label: str, usual: bool = True, of: str = "", **settings: Any) -> Context:
    return Context(key=key, label=label, usual=usual, of=of, settings=settings)


_MOMENTUM: dict[str, Any] = {"optimizer": "momentum_keras", "momentum": 0.9}

CONTEXTS = Registry(
    "context",
    [
        _context("adam", "Adam, 0.001"),
        _context("sgd", "SGD, 0.1", optimizer="sgd", learning_rate=0.1),
        _context("slow_sgd", "SGD, 0.01", optimizer="sgd", learning_rate=0.01),
        # Where the piece is about an optimizer's own numbers.
        _context("plain_sgd", "SGD", optimizer="sgd"),
        _context("momentum", "momentum 0.9, SGD, 0.01", learning_rate=0.01, **_MOMENTUM),
        _context("fast_momentum", "momentum 0.9, SGD, 0.1", learning_rate=0.1, **_MOMENTUM),
        _context("rmsprop", "RMSprop, 0.001", optimizer="rmsprop_keras"),
        _context("adagrad", "Adagrad, 0.001", optimizer="adagrad_keras"),
        _context("fast_adagrad", "Adagrad, 0.01", optimizer="adagrad_keras", learning_rate=0.01),
        _context("adadelta", "Adadelta, 1.0", optimizer="adadelta", learning_rate=1.0),
        # Where gradients are small, decay or are clipped.
        _context("small", "Adam, 0.001, loss times 0.0001", usual=False, loss_weight=1e-4),
        _context("tiny", "Adam, 0.001, loss times 0.000001", usual=False, loss_weight=1e-6),
        _context("decay", "Adam, 0.001, decay 0.01", weight_decay=0.01),
        _context("weak_decay", "Adam, 0.001, decay 0.0001", weight_decay=1e-4),
        _context(
            "momentum_decay",
            "momentum 0.9, SGD, 0.01, decay 0.01",
            learning_rate=0.01,
            weight_decay=0.01,
            **_MOMENTUM,
        ),
        _context(
            "clipped", "SGD, 0.1, clipped at 0.1", optimizer="sgd", learning_rate=0.1, clip_norm=0.1
        ),
        _context(
            "loosely_clipped",
            "SGD, 0.1, clipped at 1",
            optimizer="sgd",
            learning_rate=0.1,
            clip_norm=1.0,
        ),
        _context("cnn", "a CNN, Adam, 0.001", model="cnn"),
        # A GRU of 32 units that predicts the next value of a series.
        _context(
            "gru",
            "a GRU, Adam, 0.001",
            of="of the variance",
            source="ou",
            task="next_value",
            model="gru",
            loss="mse_aligned",
            widths=(32,),
        ),
        # Where hidden layers are normalised; running averages matter most after few updates.
        _context("batch_norm", "Adam, 0.001, BatchNorm", normalisation="batch_norm"),
        _context(
            "early_batch_norm",
            "Adam, 0.001, BatchNorm, 100 steps",
            normalisation="batch_norm",
            epochs=1,
        ),
        _context("layer_norm", "Adam, 0.001, LayerNorm", normalisation="layer_norm"),
        # Where units are dropped, the data lie in another order, or a batch is left over.
        _context("dropout", "Adam, 0.001, dropout 0.5", dropout="rate", dropout_value=0.5),
        _context("sorted", "Adam, 0.001, data sorted by label", data_order="sorted"),
        _context("batch_128", "Adam, 0.001, batch 128", batch_size=128),
        _context(
            "sorted_sgd",
            "SGD, 0.1, data sorted by label",
            optimizer="sgd",
            learning_rate=0.1,
            data_order="sorted",
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """One of the things that a piece can be."""

    label: str  # in few words, as in a cell of a table
    latex: str = ""  # the formula, where there is one
    settings: Settings | None = None  # what makes a run so; None if no run can be set to it
    # Framework -> the code that makes it so there, one line where one is enough.
    write: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Default:
    """What a framework does where nothing is said."""

    value: str  # a key of the piece's values
    source: str  # the file and the function or class where it was read
    note: str = ""  # what else one should know, one sentence


@dataclass(frozen=True, kw_only=True)
class Piece(Row):
    """One thing that frameworks may do differently."""

    topic: str  # a key of TOPICS
    values: Mapping[str, Value]
    defaults: Mapping[str, Default]  # by framework; one that has no such thing is left out
    contexts: tuple[str, ...] = ("adam",)  # in which its values are compared
    # (value there, value here) -> what a port does that changes nothing else, where that is not
    # simply what its own value says: a network that ends in softmax, before a loss of logits.
    unchanged: Mapping[tuple[str, str], Settings] = field(default_factory=dict)

    def port(self, there: str, here: str) -> tuple[Settings, Settings] | None:
        """The settings of a program with value `there`, and of its port to a default of `here`.

        None if no run can be set to one of them.
        """
        original, ported = self.values[there].settings, self.values[here].settings
        ported = self.unchanged.get((there, here), ported)
        return None if original is None or ported is None else (original, ported)
