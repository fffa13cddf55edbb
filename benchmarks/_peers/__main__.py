"""`python -m benchmarks._peers MODULE NETWORK FILE`: trains an epoch for each line of stdin.

See benchmarks/_workers.py for what it prints.
"""

import importlib
import sys

import numpy as np

from benchmarks._peers import Data
from benchmarks._workers import serve, timed


def main(module: str, network: str, file: str) -> None:
    peer = importlib.import_module(f"benchmarks._peers.{module}")
    with np.load(file) as arrays:
        data = Data(arrays["images"], arrays["labels"])
    serve(timed(peer.epochs(network, data)), version=peer.VERSION)


if __name__ == "__main__":
    main(*sys.argv[1:])
