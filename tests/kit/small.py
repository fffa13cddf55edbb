"""The stories in few steps, which is where what tests of their pages look at shows, too.

What a story comes to over its whole length is judged by tests/compiled and by core.reproduce.
"""

import pytest

from core.presets import PRESETS

CNN = {"train_size": 250, "batch_size": 50, "epochs": 2, "optimizer": "adam"}
SMALL = {
    "digits": {"train_size": 105, "batch_size": 20, "widths": (8,), "epochs": 2},
    "full_mnist": {"epochs": 1},
    "jax_cnn": CNN,
    "jax_cnn_28_channels": CNN,
    "jax_mlp": {"epochs": 2},
    "keep_or_drop": {"train_size": 1000, "epochs": 8},  # dropout is too strong from step 50 on
    "epsilon": {"epochs": 1},
    "gru": {"widths": (6, 6), "train_size": 96, "batch_size": 32, "epochs": 4},
}


def few_steps(patch: pytest.MonkeyPatch | None = None) -> None:
    """From now on in this process, or until `patch` is undone."""
    for preset, overrides in SMALL.items():
        for name, value in overrides.items():
            if patch is None:
                PRESETS[preset].overrides[name] = value
            else:
                patch.setitem(PRESETS[preset].overrides, name, value)
