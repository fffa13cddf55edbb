"""Seconds an epoch of two networks: the product beside other libraries, taking turns in one run.

The networks are the MLP and the CNN (with the axes in the right order) of the post Getting started
with JAX. They train on the 60,000 training images of MNIST, or on random bytes of the same shape
where MNIST is not available; see benchmarks/_peers. Each peer is a process of its own and trains
for one epoch whenever its turn comes. The product also takes all its looks and runs its tests; the
others only train. The first epoch of each includes compilation and is not counted. A peer whose
library is missing is left out, and the reason is given. PyTorch may be installed in an environment
of its own: --torch names the Python of that environment.

JSON:
  data                   "mnist" or "random bytes"
  images, rounds         images in an epoch; epochs counted for each peer
  matrix_product_gflops  what the machine can do: the best of NumPy's and JAX's 2048x2048 float32
                         products before, between and after the epochs
  networks               by name:
    gflop                the work of an epoch in matrix products and convolutions, forwards and
                         backwards
    peers                by name: version; wall seconds of each epoch; median; cpu_median, of all
                         threads; and share, which is gflop / median / matrix_product_gflops
    product_over         by peer: the product's median over that peer's; with _cpu, of CPU seconds
    load                 the machine's load average over a minute, before each round
    left_out             by name: the reason
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._peers import BATCH, CONVOLUTIONS, WIDTHS
from benchmarks._server import say, use_local_mnist
from benchmarks._workers import Worker, alternate, summary
from core.data import DataUnavailable, load


class Peer(NamedTuple):
    module: str  # in benchmarks/_peers
    needs: tuple[str, ...] = ()  # modules that its Python must be able to import
    backend: str = ""  # Keras's
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
        say(f"random bytes, because the full data is not available: {why}")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, 784), np.uint8)
    return "random bytes", images, random.integers(0, 10, n, np.uint8)


def measured(network: str, file: Path, rounds: int, torch_python: str) -> dict[str, Any]:
    """Every peer's seconds, measured by training one epoch of each in turn."""
    workers, left_out = {}, {}
    for name, peer in PEERS.items():
        if network not in peer.networks:
            continue
        python = torch_python if "torch" in peer.needs else sys.executable
        if missing := lacks(python, peer.needs):
            left_out[name] = f"{missing} is not installed"
            continue
        command = [python, "-m", "benchmarks._peers", peer.module, network, str(file)]
        workers[name] = Worker(command, KERAS_BACKEND=peer.backend or "jax")
    took = alternate(workers, rounds, lambda line: say(f"{network}, {line}"))
    peers = {name: {**took.greetings[name], **summary(each)} for name, each in took.seconds.items()}
    others = [name for name in peers if name != "product"]
    return {
        "peers": peers,
        **{
            f"product_over{suffix}": {
                name: peers["product"][key] / peers[name][key] for name in others
            }
            for suffix, key in (("", "median"), ("_cpu", "cpu_median"))
        },
        "load": took.load,
        "left_out": left_out,
    }


def lacks(python: str, modules: tuple[str, ...]) -> str | None:
    """The first of these modules that this Python cannot find."""
    find = "import importlib.util as u, sys; print(u.find_spec(sys.argv[1]) is not None)"
    for module in modules:
        found = subprocess.run([python, "-c", find, module], capture_output=True, text=True)
        if found.stdout.strip() != "True":
            return module
    return None


def flop_per_image(network: str) -> float:
    """Operations forwards, and backwards to all weights and all layers' inputs but the first's."""
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
    """The best of a few products, by NumPy or by JAX, whichever is faster."""
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
