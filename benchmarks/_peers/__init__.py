"""Epochs of the same two networks in several libraries; see benchmarks/peers.py.

Each module has `epochs(network, data) -> function`; calling that trains for one epoch and returns
once it has ended. A module imports its own library and NumPy alone, so that it runs in an
environment of its own. All do the same: batches of 100 in a new order every epoch, the sum of each
batch's softmax cross-entropies, Adam at 1e-3, standardised pixels.

mlp  784-512-512-10 with ReLU
cnn  32 filters 5x5, 32 of 5x5, 10 of 3x3 and 10 of 3x3, stride 2 throughout, BatchNorm after the
     first three, ReLU after each, then Dense(10); pictures of 28x28 with one channel
"""

from typing import NamedTuple

import numpy as np

BATCH, RATE = 100, 1e-3
MEAN, DEVIATION = 0.1307, 0.3081
WIDTHS = (784, 512, 512, 10)
CONVOLUTIONS = ((32, 5), (32, 5), (10, 3), (10, 3))  # filters, size of the kernel
NORMALISED = 3  # of them, the first ones


class Data(NamedTuple):
    """Training images."""

    images: np.ndarray  # uint8 [n, 784]
    labels: np.ndarray  # uint8 [n]

    def standardised(self) -> np.ndarray:
        """float32 [n, 784], made once and before the clock runs."""
        return ((self.images / np.float32(255) - MEAN) / DEVIATION).astype(np.float32)
