"""The stories in few steps: what tests of their pages look at does not hang on how far runs are.

The programs of the CNN are those that tests/core/run/test_cnn.py compiles, too.
"""

from core.presets import PRESETS

SMALL = {
    "jax_cnn_28_channels": {
        "train_size": 250, "batch_size": 50, "epochs": 4, "optimizer": "adam",
    },
    "jax_mlp": {"train_size": 1000, "epochs": 3},
    "keep_or_drop": {"train_size": 1000, "epochs": 4},
    "epsilon": {"train_size": 1024},
    "gru": {"train_size": 640},
}  # fmt: skip


def few_steps() -> None:
    """In this process, from now on."""
    for preset, overrides in SMALL.items():
        PRESETS[preset].overrides.update(overrides)
