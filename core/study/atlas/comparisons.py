"""Which runs the atlas compares: one small network, with one thing changed at a time."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import NamedTuple

from core.config import FIELDS, RunConfig
from core.fields import to_text
from core.study.atlas.piece import CONTEXTS, Piece, Settings

# 784-512-512-10 on the first 10,000 images of MNIST: 300 steps of 100 images.
BASE = RunConfig(
    source="full",
    train_size=10_000,
    task="digits",
    scaling="unit",
    widths=(512, 512),
    initializer="keras",
    loss="from_logits",
    optimizer="adam_keras",
    learning_rate=1e-3,
    batch_size=100,
    epochs=3,
)
# The same on the images that come with the project, with about as many steps.
LIVE = replace(BASE, source="sample", train_size=4000, epochs=8)
SEEDS = tuple(range(5))
LONGER = 3  # how many times as many steps show whether a gap is only a delay


class Comparison(NamedTuple):
    """Two runs that differ in one piece: a program with value `there`, and its port to `here`."""

    piece: str
    context: str
    there: str
    here: str
    original: RunConfig
    ported: RunConfig


def compared(piece: Piece, there: str, here: str, base: RunConfig = BASE) -> list[Comparison]:
    """The comparisons of two values, one in each context of the piece.

    There is none if a value has no settings, or both have the same: then they differ in code only.
    """
    settings = piece.port(there, here)
    if settings is None or settings[0] == settings[1]:
        return []
    return [
        Comparison(
            piece.key, key, there, here, *(_with(base, CONTEXTS[key].settings, s) for s in settings)
        )
        for key in piece.contexts
    ]


def comparisons(pieces: Iterable[Piece]) -> Iterator[Comparison]:
    """Every two values of every piece, each pair once, and twice where a port has settings."""
    for piece in pieces:
        for there, here in combinations(piece.values, 2):
            yield from compared(piece, there, here)
            if (here, there) in piece.unchanged:
                yield from compared(piece, here, there)


@cache
def controls() -> dict[str, RunConfig]:
    """The run of each context in which nothing is changed."""
    return {key: _with(BASE, row.settings) for key, row in CONTEXTS.items()}


def longer(config: RunConfig) -> RunConfig:
    """The same run with LONGER times as many steps."""
    return replace(config, epochs=LONGER * config.epochs)


def name(config: RunConfig) -> str:
    """What differs from BASE but the seed, as text: the name of a run in the recorded table."""
    differing = {
        field: to_text(getattr(config, field))
        for field in FIELDS
        if field != "seed" and getattr(config, field) != getattr(BASE, field)
    }
    return json.dumps(differing, sort_keys=True)


def _with(base: RunConfig, *settings: Settings) -> RunConfig:
    """The base with these settings; those of another optimizer come with its own defaults."""
    changes = {field: value for each in settings for field, value in each.items()}
    return RunConfig(**{**base.differences(), **changes})
