"""Epochs of the same two networks in several libraries; see benchmarks/peers.py.

Each module has `epochs(network, data) -> function`; calling that function trains for one epoch and
returns when it has ended. A module imports only its own library and NumPy, so that it runs in an
environment of its own. All train in the same way: batches of 100 in a new order every epoch, the
sum of each batch's softmax cross-entropies, Adam at 1e-3, standardised pixels.

mlp  784-512-512-10 with ReLU
cnn  32 filters 5x5, 32 of 5x5, 10 of 3x3 and 10 of 3x3, stride 2 throughout, BatchNorm after the
     first three, ReLU after each, then Dense(10); images of 28x28 with one channel
"""

from typing import NamedTuple

import numpy as np

BATCH, RATE = 100, 1e-3
MEAN, DEVIATION = 0.1307, 0.3081
WIDTHS = (784, 512, 512, 10)
CONVOLUTIONS = ((32, 5), (32, 5), (10, 3), (10, 3))  # filters, kernel size
NORMALISED = 3  # how many of them, from the first, have BatchNorm


class Data(NamedTuple):
    """Training images and their labels."""

    images: np.ndarray  # uint8 [n, 784]
    labels: np.ndarray  # uint8 [n]

    def standardised(self) -> np.ndarray:
        """The images as float32 [n, 784], computed once before the clock runs."""
        return ((self.images / np.float32(255) - MEAN) / DEVIATION).astype(np.float32)
