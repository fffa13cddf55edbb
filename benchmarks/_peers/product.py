"""Samenet itself, with everything that a visitor gets: five looks and one test an epoch."""

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np

from benchmarks._peers import Data
from core.data import SOURCES, Dataset
from core.presets import PRESETS
from core.run import entry, train

VERSION = f"Samenet on JAX {jax.__version__}"
PRESET = {"mlp": "jax_mlp_full", "cnn": "jax_cnn_full"}
EPOCHS = 80  # the longest run that has five looks an epoch


def epochs(network: str, data: Data) -> Callable[[], None]:
    entry.begin()
    config = PRESETS[PRESET[network]].config
    config = replace(config, train_size=len(data.labels), epochs=EPOCHS)
    random, held_out = np.random.default_rng(0), SOURCES[config.source].test_size
    test = random.integers(0, 256, (held_out, 784), np.uint8), np.zeros(held_out, np.uint8)
    looks = train.run(config, Dataset(*data, *test))
    next(looks)

    def epoch() -> None:
        while next(looks).step % config.steps_per_epoch:
            pass

    return epoch
