"""The story of the CNN in 20 steps, of programs that tests/core/run/test_cnn.py compiles, too.

What it shows does not hang on how far the networks are.
"""

from core.presets import PRESETS

SMALL = {"train_size": 250, "batch_size": 50, "epochs": 4, "optimizer": "adam"}


def few_steps_of_the_cnn() -> None:
    """In this process, from now on."""
    PRESETS["jax_cnn_28_channels"].overrides.update(SMALL)
