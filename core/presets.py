"""PRESETS: starting points, each as what differs from RunConfig's defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Preset(Row):
    """A starting point."""

    overrides: Mapping[str, Any]


_KEEP_OR_DROP = {
    "task": "digits", "scaling": "unit", "widths": (256, 256, 256, 256),
    "initializer": "glorot_uniform", "loss": "from_logits", "optimizer": "adam",
    "learning_rate": 1e-3, "dropout": "rate", "dropout_value": 0.7, "batch_size": 100,
}  # fmt: skip

PRESETS = Registry(
    "preset",
    [
        Preset(
            key="question",
            label="The question: 79% or 91%?",
            latex="",
            summary="1,000 raw images, one hidden layer, ten full-batch steps. Move the loss "
            "slider to the right end and watch the gap close.",
            reference="the JAX/Keras question",
            overrides={},
        ),
        Preset(
            key="digits",
            label="Digits on the sample",
            latex="",
            summary="A healthy network: pixels 0 to 1, Adam, 4,000 images, ten epochs.",
            reference="",
            overrides={
                "task": "digits", "train_size": 4000, "scaling": "unit", "widths": (256,),
                "loss": "from_logits", "optimizer": "adam", "learning_rate": 1e-3,
                "batch_size": 100,
            },
        ),
        Preset(
            key="full_mnist",
            label="Full MNIST, 784-512-512-10",
            latex="",
            summary="60,000 images, Adam, batches of 100, three epochs.",
            reference="Getting started with JAX (a post), with a mean loss",
            overrides={
                "source": "full", "task": "digits", "train_size": 60_000, "scaling": "unit",
                "widths": (512, 512), "initializer": "keras", "loss": "from_logits",
                "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 100, "epochs": 3,
            },
        ),
        Preset(
            key="keep_or_drop",
            label="keep_prob 0.7 or rate 0.7?",
            latex="",
            summary="Four hidden layers with dropout. The same 0.7 keeps 70% of the units or "
            "drops them, depending on the framework.",
            reference="the keep_prob question, on the sample",
            overrides={**_KEEP_OR_DROP, "train_size": 4000, "epochs": 20},
        ),
        Preset(
            key="keep_or_drop_full",
            label="keep_prob or rate, full MNIST",
            latex="",
            summary="The keep_prob question as it was asked: 55,000 images, thirty epochs.",
            reference="the keep_prob question",
            overrides={
                **_KEEP_OR_DROP, "source": "full_55000", "train_size": 55_000, "epochs": 30,
            },
        ),
        Preset(
            key="epsilon",
            label="Ten digits, raw pixels, clipped",
            latex="",
            summary="The network of Lasagne issue 567 in its batches of 512: raw pixels, softmax, "
            "clipped at 1e-7.",
            reference="Lasagne issue 567",
            overrides={
                "task": "digits", "train_size": 4000, "widths": (1024,), "initializer": "keras",
                "loss": "clip", "epsilon": 1e-7, "learning_rate": 0.1, "batch_size": 512,
            },
        ),
    ],
)  # fmt: skip
