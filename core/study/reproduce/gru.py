"""The GRU of Getting started with JAX: its own loss, the aligned one, and its reused key.

The post's generator is not published, and it draws new series for every batch. Here 32,000 series
are drawn once; errors are on 4,000 held-out series, after 5,000 batches of 64.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from core.config import RunConfig
from core.data import load
from core.run import train
from core.study.reproduce.finding import Finding, Kind, near
from core.study.series import ALIGNED, KEYS, POST, ends

SEEDS = range(3)


@cache
def _data(config: RunConfig) -> train.DeviceData:
    return train.on_device(
        config.task, load(config.source, config.train_size, process=config.process)
    )


@cache
def _ends(config: RunConfig) -> dict[str, list[float]]:
    """The errors at the end for each of KEYS, one for each seed."""
    ended = [end for end in ends(config, _data(POST), SEEDS) if end is not None]
    return {keys: [end.error for end in ended if end.keys == keys] for keys in KEYS}


def gru() -> Iterator[Finding]:
    """The errors of both losses and of copying the input, and what split keys change."""
    data = _data(POST)
    copied = float(np.mean((np.asarray(data.test_images) - np.asarray(data.test_labels)) ** 2))
    yield near("copying the noisy input: squared error", Kind.FACT, 0.036, copied, 0.001)
    one, split = (_ends(ALIGNED)[keys] for keys in KEYS)
    posts = _ends(POST)["one key"]
    mean = f"mean of seeds 0-{len(SEEDS) - 1}"
    for name, stated, errors, tolerance in [
        ("the post's loss", 0.045, posts, 0.004), ("the aligned loss", 0.031, one, 0.0015),
    ]:  # fmt: skip
        quantity = f"{name}: squared error, each by its own target, {mean}"
        yield near(quantity, Kind.FACT, stated, float(np.mean(errors)), tolerance)
    beaten = [
        ("copying, less the worst aligned run", copied - max(one + split)),
        (
            "the best run of the post's loss, less copying",
            min(map(min, _ends(POST).values())) - copied,
        ),
    ]
    for quantity, gap in beaten:
        yield Finding(quantity, Kind.REGRESSION, None, gap, 0.003, 0.03)
    gap = float(np.mean(one) - np.mean(split))
    quantity = f"aligned: one key, less split keys, {mean}"
    yield Finding(quantity, Kind.REGRESSION, None, gap, -0.0005, 0.0005)
