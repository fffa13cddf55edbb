"""PRESETS: starting points, each as what differs from RunConfig's defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from core.config import RunConfig
from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Preset(Row):
    """A starting point."""

    overrides: Mapping[str, Any]

    @property
    def config(self) -> RunConfig:
        """The run that it starts."""
        return _config(tuple(self.overrides.items()))


@cache  # a page asks hundreds of times
def _config(overrides: tuple[tuple[str, Any], ...]) -> RunConfig:
    return RunConfig(**dict(overrides))


_KEEP_OR_DROP = {
    "task": "digits", "scaling": "unit", "widths": (256, 256, 256, 256),
    "initializer": "glorot_uniform", "loss": "from_logits", "optimizer": "adam",
    "learning_rate": 1e-3, "dropout": "rate", "dropout_value": 0.7, "batch_size": 100,
}  # fmt: skip

_JAX_POST = {
    "task": "digits", "scaling": "standardised", "stream": "partitionable", "seed": 1,
    "loss": "from_logits", "reduction": "sum", "optimizer": "adam_step_0",
    "learning_rate": 1e-3, "batch_size": 100,
}  # fmt: skip
_JAX_NETWORKS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "jax_mlp", "JAX post: MLP",
        "784-512-512-10 as in the post: weights N(0, 1)/100, Adam called as the post calls it, the "
        "losses of each batch summed",
        {"widths": (512, 512), "initializer": "normal_0.01"},
    ),
    (
        "jax_cnn_28_channels", "JAX post: CNN, axes as printed",
        "The post's CNN as printed: it reads pictures as height 1, width 28 and 28 channels",
        {"model": "cnn_28_channels"},
    ),
    (
        "jax_cnn", "JAX post: CNN, axes put right",
        "The post's CNN given pictures of 28 by 28 with one channel", {"model": "cnn"},
    ),
]  # fmt: skip
_JAX_DATA: list[tuple[str, str, str, dict[str, Any]]] = [
    ("", "", "4,000 images", {"train_size": 4000}),
    ("_full", ", full MNIST", "60,000 images", {"source": "full", "train_size": 60_000}),
]


def _jax_presets() -> list[Preset]:
    """The post's networks, each on the sample and on all of MNIST."""
    return [
        Preset(
            key=f"{key}{suffix}",
            label=f"{label}{where}",
            summary=f"{summary}; {images}, ten epochs.",
            overrides={**_JAX_POST, **network, **data},
        )
        for key, label, summary, network in _JAX_NETWORKS
        for suffix, where, images, data in _JAX_DATA
    ]


PRESETS = Registry(
    "preset",
    [
        Preset(
            key="question",
            label="The question: 79% or 91%?",
            summary="1,000 raw images, one hidden layer, ten full-batch steps. Move the loss "
            "slider to the right end and watch the gap close.",
            overrides={},
        ),
        Preset(
            key="digits",
            label="Digits on the sample",
            summary="A healthy network: pixels 0 to 1, Adam, 4,000 images, ten epochs.",
            overrides={
                "task": "digits", "train_size": 4000, "scaling": "unit", "widths": (256,),
                "loss": "from_logits", "optimizer": "adam", "learning_rate": 1e-3,
                "batch_size": 100,
            },
        ),
        Preset(
            key="full_mnist",
            label="Full MNIST, 784-512-512-10",
            summary="60,000 images, Adam, batches of 100, three epochs.",
            overrides={
                "source": "full", "task": "digits", "train_size": 60_000, "scaling": "unit",
                "widths": (512, 512), "initializer": "keras", "loss": "from_logits",
                "optimizer": "adam", "learning_rate": 1e-3, "batch_size": 100, "epochs": 3,
            },
        ),
        Preset(
            key="keep_or_drop",
            label="keep_prob 0.7 or rate 0.7?",
            summary="Four hidden layers with dropout. The same 0.7 keeps 70% of the units or "
            "drops them, depending on the framework.",
            overrides={**_KEEP_OR_DROP, "train_size": 4000, "epochs": 20},
        ),
        Preset(
            key="keep_or_drop_full",
            label="keep_prob or rate, full MNIST",
            summary="The keep_prob question as it was asked: 55,000 images, thirty epochs.",
            overrides={
                **_KEEP_OR_DROP, "source": "full_55000", "train_size": 55_000, "epochs": 30,
            },
        ),
        Preset(
            key="epsilon",
            label="Ten digits, raw pixels, clipped",
            summary="The network of Lasagne issue 567 in batches of 512: raw pixels, and a softmax "
            "clipped at 1e-7.",
            overrides={
                "task": "digits", "train_size": 4000, "widths": (1024,), "initializer": "keras",
                "loss": "clip", "epsilon": 1e-7, "learning_rate": 0.1, "batch_size": 512,
            },
        ),
        *_jax_presets(),
        Preset(
            key="gru",
            label="A GRU whose loss broadcasts",
            summary="The next value of a noisy series: 5,000 batches of 64. Move the loss slider "
            "and watch the error fall below that of copying the input.",
            overrides={
                "source": "ou", "task": "next_value", "model": "gru_reused", "widths": (12, 12),
                "loss": "mse_broadcast", "optimizer": "adam", "learning_rate": 1e-4,
                "train_size": 32_000, "batch_size": 64,
            },
        ),
    ],
)  # fmt: skip
