"""`python -m benchmarks._peers MODULE NETWORK FILE`: trains an epoch for each line of stdin.

Prints {"version": ...} when it is ready, and then the wall seconds of each epoch.
"""

import importlib
import json
import sys
import time

import numpy as np

from benchmarks._peers import Data


def main(module: str, network: str, file: str) -> None:
    peer = importlib.import_module(f"benchmarks._peers.{module}")
    with np.load(file) as arrays:
        data = Data(arrays["images"], arrays["labels"])
    epoch = peer.epochs(network, data)
    print(json.dumps({"version": peer.VERSION}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
