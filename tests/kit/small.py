"""The stories in few steps, which are enough to show what the tests of their pages look at.

What a story shows over its full length is tested by tests/compiled and core.reproduce.
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
    """Shorten the stories, from now on in this process or until `patch` is undone."""
    for preset, overrides in SMALL.items():
        for name, value in overrides.items():
            if patch is None:
                PRESETS[preset].overrides[name] = value
            else:
                patch.setitem(PRESETS[preset].overrides, name, value)
