"""PIECES: everything in the atlas, one row a piece."""

from core.registry import Registry
from core.study.atlas import (
    adadelta,
    arithmetic,
    data,
    decay_and_clipping,
    layers,
    losses,
    normalisation,
    optimizers,
    other_weights,
    squares,
    weights,
)

PIECES = Registry(
    "piece",
    [
        *losses.PIECES,
        *optimizers.PIECES,
        *squares.PIECES,
        *adadelta.PIECES,
        *decay_and_clipping.PIECES,
        *weights.PIECES,
        *other_weights.PIECES,
        *normalisation.PIECES,
        *layers.PIECES,
        *data.PIECES,
        *arithmetic.PIECES,
    ],
)
