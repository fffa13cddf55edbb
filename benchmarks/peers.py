"""Seconds an epoch of two networks: the product beside other libraries, in turn, in one run.

The networks are the MLP and the CNN (axes right) of the post Getting started with JAX on the
60,000 training images of MNIST, or random bytes of that shape where they cannot be had; see
benchmarks/_peers. Each peer is a process of its own and trains an epoch when it is its turn. The
product trains with all its looks and tests; the others only train. A first epoch of each,
compilation included, is not counted. A peer whose library is missing is left out, with the reason.
PyTorch may live in an environment of its own: --torch names its Python.

JSON:
  data                   "mnist" or "random bytes"
  images, rounds         in an epoch; epochs counted of each peer
  matrix_product_gflops  the machine's, the best of NumPy's and JAX's 2048x2048 float32 products
                         before, between and after the epochs
  networks               by name:
    gflop                matrix products and convolutions of an epoch, forwards and backwards
    peers                by name: version, seconds of each epoch, median, and share: gflop over
                         median over matrix_product_gflops
    product_over         the product's median over each other's
    left_out             by name: why
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._peers import BATCH, CONVOLUTIONS, WIDTHS
from benchmarks._server import ROOT, say, use_local_mnist
from core.data import DataUnavailable, load


class Peer(NamedTuple):
    module: str  # in benchmarks/_peers
    needs: tuple[str, ...] = ()  # what its Python must be able to import
    backend: str = ""  # of Keras
    networks: tuple[str, ...] = ("mlp", "cnn")


PEERS = {
    "product": Peer("product"),
    "keras_jax": Peer("keras_fit", ("keras", "jax"), "jax"),
    "keras_tensorflow": Peer("keras_fit", ("keras", "tensorflow"), "tensorflow"),
    "torch": Peer("torch_eager", ("torch",)),
    "torch_channels_last": Peer("torch_channels_last", ("torch",), networks=("cnn",)),
    "numpy": Peer("numpy_loop"),
}
SIDE, PRODUCTS = 2048, 5


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each (default 5)")
    parser.add_argument("--network", choices=("mlp", "cnn"), help="only this one")
    parser.add_argument("--images", type=int, default=60_000, help="for a short test")
    parser.add_argument("--torch", default=sys.executable, help="a Python that has PyTorch")
    arguments = parser.parse_args()
    use_local_mnist()
    name, images, labels = training_images(arguments.images)
    networks, speeds = {}, [matrix_product_gflops()]
    with tempfile.TemporaryDirectory(prefix="samenet-peers-") as folder:
        file = Path(folder) / "data.npz"
        np.savez(file, images=images, labels=labels)
        for network in [arguments.network] if arguments.network else ["mlp", "cnn"]:
            networks[network] = measured(network, file, arguments.rounds, arguments.torch)
            speeds.append(matrix_product_gflops())
    steps = len(labels) // BATCH
    for network, figures in networks.items():
        figures["gflop"] = 1e-9 * flop_per_image(network) * BATCH * steps
        for peer in figures["peers"].values():
            peer["share"] = figures["gflop"] / peer["median"] / max(speeds)
    figures = {"matrix_product_gflops": max(speeds), "networks": networks}
    counted = {"data": name, "images": len(labels), "rounds": arguments.rounds}
    print(json.dumps({**counted, **figures}, indent=2))


def training_images(n: int) -> tuple[str, np.ndarray, np.ndarray]:
    """The first images and labels of full MNIST, or random ones."""
    try:
        return "mnist", *load("full", n)[:2]
    except DataUnavailable as why:
        say(f"random bytes, for the full data cannot be had: {why}")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, 784), np.uint8)
    return "random bytes", images, random.integers(0, 10, n, np.uint8)


def measured(network: str, file: Path, rounds: int, torch_python: str) -> dict[str, Any]:
    """Every peer's seconds, an epoch of each in turn."""
    ready: dict[str, Worker] = {}
    left_out = {}
    with ExitStack() as workers:
        for name, peer in PEERS.items():
            if network not in peer.networks:
                continue
            python = torch_python if "torch" in peer.needs else sys.executable
            if missing := lacks(python, peer.needs):
                left_out[name] = f"{missing} is not installed"
                continue
            ready[name] = workers.enter_context(Worker(python, peer, network, file))
        seconds: dict[str, list[float]] = {name: [] for name in ready}
        for round_ in range(rounds + 1):
            for name, worker in ready.items():
                took = worker.epoch()
                say(f"{network}, round {round_ or '(warm-up)'}, {name}: {took:.2f} s")
                if round_:
                    seconds[name].append(took)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return {
        "peers": {
            name: {"version": ready[name].version, "seconds": each, "median": medians[name]}
            for name, each in seconds.items()
        },
        "product_over": {
            name: medians["product"] / median
            for name, median in medians.items()
            if name != "product"
        },
        "left_out": left_out,
    }


def lacks(python: str, modules: tuple[str, ...]) -> str | None:
    """The first of these modules that a Python cannot find."""
    find = "import importlib.util as u, sys; print(u.find_spec(sys.argv[1]) is not None)"
    for module in modules:
        found = subprocess.run([python, "-c", find, module], capture_output=True, text=True)
        if found.stdout.strip() != "True":
            return module
    return None


class Worker:
    """A peer's process: it trains an epoch when told to."""

    def __init__(self, python: str, peer: Peer, network: str, file: Path) -> None:
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks._peers", peer.module, network, str(file)],
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": peer.backend or "jax"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = ""

    def __enter__(self) -> "Worker":
        self.version = self._answer()["version"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def epoch(self) -> float:
        """Train for one epoch; wall seconds, as the process itself has them."""
        assert self.process.stdin is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended: {self.process.wait()}")
        return json.loads(line)


def flop_per_image(network: str) -> float:
    """Forwards, and backwards to every weight and to every layer's input but the first's."""
    if network == "mlp":
        products = [a * b for a, b in pairwise(WIDTHS)]
    else:
        products, side, channels = [], 28, 1
        for filters, size in CONVOLUTIONS:
            side = -(-side // 2)
            products.append(side**2 * size**2 * channels * filters)
            channels = filters
        products.append(side**2 * channels * 10)
    return 2.0 * (3 * sum(products) - products[0])


def matrix_product_gflops() -> float:
    """The faster of NumPy's and JAX's, the best of a few."""
    a = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    on_device, product = jnp.asarray(a), jax.jit(jnp.matmul)
    best = float("inf")
    for _ in range(1 + PRODUCTS):
        for multiply in (lambda: a @ a, lambda: product(on_device, on_device).block_until_ready()):
            start = time.perf_counter()
            multiply()
            best = min(best, time.perf_counter() - start)
    return 2e-9 * SIDE**3 / best


if __name__ == "__main__":
    main()
