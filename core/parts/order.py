"""DATA_ORDERS, SHUFFLES and LAST_BATCHES: in which order a run takes its examples.

A data order says how the data lie before a run begins, a shuffle in which order an epoch takes
them from there, a last batch whether it takes those that are left over.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class DataOrder(Row):
    """How the data lie: labels [n] -> positions in the data set, [n]."""

    arrange: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Shuffle(Row):
    """How an epoch's order is drawn: (random permutation [n], key, buffer size) -> int32 [n]."""

    draw: Callable[[Array, Array, Array], Array]
    repeats: bool = False  # whether every epoch has the first one's order


@dataclass(frozen=True, kw_only=True)
class LastBatch(Row):
    """What becomes of the examples at the end of an epoch that fill no batch."""

    kept: bool  # whether they make a batch, whose loss is over them alone


def _buffered(permutation: Array, key: Array, buffer: Array) -> Array:
    """The order in which a shuffle buffer gives its examples, and at the end its slots."""
    n = len(permutation)
    size = jnp.minimum(buffer, n)
    at_random = jax.random.randint(key, (n,), 0, size, jnp.int32)
    # At the end each slot once, in the order in which the permutation has them.
    each_once = permutation[jnp.argsort(permutation < size, stable=True)]
    return through_slots(jnp.where(jnp.arange(n) < n - size, at_random, each_once), size)


def through_slots(slots: Array, size: Array) -> Array:
    """The examples that come out of a buffer of `size` slots, opened in the order `slots`.

    The buffer is filled with the first examples, and the next one takes the place of each that
    comes out: the t-th, counted from 0, is replaced by example size + t. So no walk is needed: what
    comes out of a slot is what went in when the slot was last opened.
    """
    by_slot = jnp.argsort(slots, stable=True).astype(jnp.int32)
    opened = slots[by_slot]
    again = jnp.concatenate([jnp.zeros(1, bool), opened[1:] == opened[:-1]])
    examples = jnp.where(again, size + jnp.roll(by_slot, 1), opened)
    return jnp.zeros_like(slots).at[by_slot].set(examples)


DATA_ORDERS = Registry(
    "data order",
    [
        DataOrder(
            key="as_is",
            label="as they come",
            summary="The order of the files, in which the digits of MNIST are mixed.",
            arrange=lambda labels: np.arange(len(labels)),
        ),
        DataOrder(
            key="sorted",
            label="sorted by label",
            summary="All images with the first label, then all with the next one, as in a folder "
            "for each class.",
            reference="keras.utils.image_dataset_from_directory with shuffle=False, Keras 3.15",
            arrange=lambda labels: np.argsort(labels, kind="stable"),
        ),
    ],
)

SHUFFLES = Registry(
    "shuffle",
    [
        Shuffle(
            key="every_epoch",
            label="every epoch",
            summary="A new order of all images for each epoch.",
            reference="fit in Keras 3.15, for arrays, by default; torch.utils.data.DataLoader with "
            "shuffle=True, PyTorch 2.13",
            draw=lambda permutation, key, buffer: permutation,
        ),
        Shuffle(
            key="once",
            label="once",
            summary="The first epoch's order, again and again.",
            reference="a permutation of the arrays before the loop",
            draw=lambda permutation, key, buffer: permutation,
            repeats=True,
        ),
        Shuffle(
            key="never",
            label="never",
            summary="The order in which the data lie, in every epoch.",
            reference="torch.utils.data.DataLoader, PyTorch 2.13, by default; fit with "
            "shuffle=False, Keras 3.15",
            draw=lambda permutation, key, buffer: jnp.arange(len(permutation), dtype=jnp.int32),
        ),
        Shuffle(
            key="buffer",
            label="through a buffer",
            summary="Each image is drawn at random from a buffer, and the next one in order takes "
            "its place; every epoch has a new order. An image may come out much later than its "
            "place in the data, but earlier only by less than the buffer's size.",
            reference="tf.data.Dataset.shuffle(buffer_size), TensorFlow 2.21",
            draw=_buffered,
        ),
    ],
)

LAST_BATCHES = Registry(
    "last batch",
    [
        LastBatch(
            key="dropped",
            label="left out",
            summary="Images that are left over at the end of an epoch are not used in it.",
            reference="torch.utils.data.DataLoader with drop_last=True, PyTorch 2.13",
            kept=False,
        ),
        LastBatch(
            key="kept",
            label="kept",
            summary="They make a smaller batch. With the mean of its own losses, each of them "
            "counts for more than the others.",
            reference="fit in Keras 3.15 and torch.utils.data.DataLoader, PyTorch 2.13, by default",
            kept=True,
        ),
    ],
)
