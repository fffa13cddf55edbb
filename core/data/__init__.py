"""Data as NumPy arrays, without JAX."""

from core.data.mnist import SOURCES, Dataset, Source, full_is_prepared, load, sample_images
from core.data.mnist_tfds import DataUnavailable, Progress
from core.data.ou import Process

__all__ = [
    "SOURCES",
    "DataUnavailable",
    "Dataset",
    "Process",
    "Progress",
    "Source",
    "full_is_prepared",
    "load",
    "sample_images",
]
