"""Data as arrays, without a screen and without JAX."""

from core.data.mnist import SOURCES, Dataset, Source, full_is_prepared, load, sample_images
from core.data.mnist_tfds import DataUnavailable, Progress

__all__ = [
    "SOURCES",
    "DataUnavailable",
    "Dataset",
    "Progress",
    "Source",
    "full_is_prepared",
    "load",
    "sample_images",
]
