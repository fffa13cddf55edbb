"""Probes of losses: what they give on a table of inputs, against formulas in NumPy."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from core.parts.losses import exact, with_grad
from core.parts.losses.table import LOSSES
from core.run.train.gradient import smoothed
from core.study.atlas.pieces import PIECES
from core.study.atlas.shared import optax
from tests.frameworks.paths import double
from tests.frameworks.probe import Observed, Probe, array, installed, run

_RNG = np.random.default_rng(1)
CLASSES = 3
LABELS = np.array([0, 2, 1, 1, 0])
# One is so sure of another class that its loss is clipped.
LOGITS = np.vstack([3 * _RNG.normal(size=(4, CLASSES)), [[-40.0, 0.0, 3.0]]])
CLASS_WEIGHTS = np.array([0.2, 1.0, 2.0])
_KERAS = "loss = keras.losses.SparseCategoricalCrossentropy"
_TORCH = "loss = torch.nn.functional.cross_entropy"
_OPTAX = "loss = optax.softmax_cross_entropy_with_integer_labels"
_TF1 = "loss = tf.compat.v1.losses.sparse_softmax_cross_entropy"


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def each(z: np.ndarray, labels: np.ndarray = LABELS) -> np.ndarray:
    """The cross-entropy of each example."""
    return -np.take_along_axis(np.log(_softmax(z)), labels[..., None], -1)[..., 0]


def seen(z: np.ndarray, labels: np.ndarray = LABELS) -> Callable[[str, str], Observed]:
    """Return a probe's `observe` for losses of z, whatever they take it for."""
    one_hot = np.eye(CLASSES)[labels]
    names = {
        **dict.fromkeys(("logits", "probabilities", "z"), z),
        "one_hot": one_hot,
        "example_weights": CLASS_WEIGHTS[labels],
        "class_weights": CLASS_WEIGHTS,
    }

    def observe(framework: str, code: str) -> Observed:
        with double():
            made, integers = _makers(framework)
            arrays = {name: made(value) for name, value in names.items()}
            return [array(run(code, labels=integers(labels), **arrays)["loss"])]

    return observe


def _makers(framework: str) -> tuple[Any, Any]:
    """What makes a framework's array of numbers, and of labels."""
    if framework == "torch":
        torch = installed("torch")
        return torch.tensor, torch.tensor
    if framework == "tf1":
        tf = installed("tensorflow")
        return tf.constant, tf.constant
    return jnp.asarray, jnp.asarray


def _probe(
    observe: Callable[[str, str], Observed],
    expected: dict[str, np.ndarray] | Callable[[str], np.ndarray],
    *,
    keras: str = "(from_logits=True)(labels, z)",
    torch: str = "(z, labels)",
    jax: str = "(z, labels).mean()",
    tf1: str = "(labels, z)",
) -> Probe:
    of = expected if callable(expected) else expected.__getitem__
    return Probe(
        bare={"keras": _KERAS + keras, "torch": _TORCH + torch, **optax(_OPTAX + jax),
              "tf1": _TF1 + tf1},
        observe=observe,
        expect=lambda value, framework: [of(value)],
        rtol=2e-6,
    )  # fmt: skip


def _of_logarithm(value: str) -> np.ndarray:
    """The mean of the loss of core that takes the logarithm this way."""
    key = (PIECES["log_of_probabilities"].values[value].settings or {})["loss"]
    function = LOSSES[key].softmax
    assert function is not None
    with double():
        return array(function(jnp.asarray(LOGITS), jnp.asarray(LABELS), jnp.asarray(1e-7)).mean())


def _smoothed(smoothing: float) -> np.ndarray:
    """The mean loss that the trainer computes of smoothed labels."""
    with double():
        z, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)

        def of_labels(labels: Any) -> Any:
            return with_grad(exact.log_softmax_one_hot)(z, labels, jnp.asarray(0.0))

        return array(smoothed(of_labels, z, labels, CLASSES, jnp.asarray(smoothing))[0].mean())


_GIVEN = _softmax(_RNG.normal(size=(5, CLASSES)))  # may be taken for logits, too
_OF_LOGITS = each(LOGITS)
_WEIGHTS = CLASS_WEIGHTS[LABELS]
# [3, 3, 3]: the classes may be on either axis
_SQUARE = _RNG.normal(size=(CLASSES, CLASSES, CLASSES))
_SQUARE_LABELS = _RNG.integers(0, CLASSES, (CLASSES, CLASSES))

PROBES = {
    "loss_expects": _probe(
        seen(_GIVEN),
        {
            "probabilities": -np.log(_GIVEN[np.arange(5), LABELS]).mean(),
            "logits": each(_GIVEN).mean(),
        },
        keras="()(labels, z)",
    ),
    "log_of_probabilities": _probe(
        seen(LOGITS),
        _of_logarithm,  # when it is asked for, because it compiles
        keras="()(labels, keras.ops.softmax(z))",
    ),
    "reduction": _probe(
        seen(LOGITS),
        {
            "mean": _OF_LOGITS.mean(),
            "sum": _OF_LOGITS.sum(),
            "none": _OF_LOGITS,
            "mean_outputs": _OF_LOGITS.mean() / CLASSES,
        },
        jax="(z, labels)",
    ),
    "label_smoothing": Probe(
        bare={
            "keras": "loss = keras.losses.CategoricalCrossentropy(from_logits=True)(one_hot, z)",
            "torch": "loss = torch.nn.functional.cross_entropy(z, one_hot)",
            **optax("loss = optax.softmax_cross_entropy(z, one_hot).mean()"),
            "tf1": "loss = tf.compat.v1.losses.softmax_cross_entropy(one_hot, z)",
        },
        observe=seen(LOGITS),
        expect=lambda value, framework: [
            _smoothed((PIECES["label_smoothing"].values[value].settings or {})["label_smoothing"])
        ],
        rtol=2e-6,
    ),
    "weighted_mean": _probe(
        seen(LOGITS),
        {
            "by_count": (_WEIGHTS * _OF_LOGITS).mean(),
            "by_weights": (_WEIGHTS * _OF_LOGITS).sum() / _WEIGHTS.sum(),
        },
        keras="(from_logits=True)(labels, z, example_weights)",
        torch="(z, labels, weight=class_weights)",
        tf1="(labels, z, example_weights)",
    ),
    "class_axis": _probe(
        seen(_SQUARE, _SQUARE_LABELS),
        {
            "last": each(_SQUARE, _SQUARE_LABELS).mean(),
            "second": each(np.moveaxis(_SQUARE, 1, -1), _SQUARE_LABELS).mean(),
        },
    ),
}
