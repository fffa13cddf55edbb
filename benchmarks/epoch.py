"""Seconds an epoch: the product beside a bare loop, taking turns, each in a process of its own.

By default the network is the MLP 784-512-512-10 with Adam 1e-3 and batches of 100 over 60,000
images (600 steps). --network chooses another: keep_or_drop is that of the keep_prob question,
784-256-256-256-256-10 with dropout at rate 0.7 after each hidden layer and 55,000 images (550
steps); cnn and cnn_28_channels are the CNN of the post Getting started with JAX (600 steps).

`bare` is the loop that a good engineer writes by hand, in a process that imports nothing of this
project; see benchmarks/_bare.py. `product` is core.run.train.run with everything it shows: its
looks at the network and one test over all held-out images. `steps` is the same run with no look
between its first and its last, so that product less steps is what looks cost. `engine` (with
--engine) is the product's run through core.run.engine.Engine while a viewer polls it every 0.3 s.
The first epoch of each includes compilation and is not counted. SAMENET_CONVOLUTIONS fixes the form
of a convolution's gradient, see docs/hosting.md.

JSON:
  network      the one that was trained
  data         "mnist", or "random bytes" of the same shape where the full set is not available
  device       what JAX computes on
  rounds       epochs counted for each
  load         the machine's load average over a minute, before each round
  bare, product, steps, engine
               seconds: wall seconds of each epoch; median: their median; cpu_median: median CPU
               seconds of its process, which depend less on other programs on the machine
  looks        seconds, cpu: the product's medians less those of the steps;
               share, share_cpu: the same as a share of the product's epoch
  product_over_bare, steps_over_bare, engine_over_bare
               ratio of the medians; with _cpu, ratio of the CPU medians
  product_over_bare_rounds, ...
               the ratio in each round, which does not suffer if the machine slows down
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks._server import say, use_local_mnist
from benchmarks._workers import Measured, Worker, alternate, summary
from core.config import RunConfig, to_query
from core.data import SOURCES, Dataset, DataUnavailable, load
from core.presets import PRESETS

CONFIG = RunConfig(
    source="full", task="digits", train_size=60_000, scaling="unit", widths=(512, 512),
    loss="from_logits", optimizer="adam", learning_rate=1e-3, batch_size=100, epochs=1,
)  # fmt: skip
NETWORKS = {
    "mlp": CONFIG,
    "keep_or_drop": RunConfig(**{**PRESETS["keep_or_drop_full"].overrides, "epochs": 1}),
    "cnn": RunConfig(**{**PRESETS["jax_cnn_full"].overrides, "epochs": 1}),
    "cnn_28_channels": RunConfig(**{**PRESETS["jax_cnn_28_channels_full"].overrides, "epochs": 1}),
}
PICTURES = {"cnn": (28, 28, 1), "cnn_28_channels": (1, 28, 28)}
STANDARD = {"unit": (0.0, 1.0), "standardised": (0.1307, 0.3081)}  # scaling -> mean, deviation


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each (default 7)")
    parser.add_argument("--engine", action="store_true", help="also through the engine")
    parser.add_argument("--bare", action="store_true", help="only the bare loop")
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--images", type=int, help="for a short test; a multiple of 100")
    arguments = parser.parse_args()
    use_local_mnist()
    config = NETWORKS[arguments.network]
    config = replace(config, train_size=arguments.images or config.train_size)
    name, data = full_data(config)
    products = [] if arguments.bare else ["product", "steps"]
    with tempfile.TemporaryDirectory(prefix="samenet-epoch-") as folder:
        file = Path(folder) / "data.npz"
        np.savez(file, images=data.train_images, labels=data.train_labels, **data._asdict())
        peers = {"bare": Worker([*module("_bare"), json.dumps(by_hand(config)), str(file)])}
        for how in [*products, *(["engine"] if arguments.engine else [])]:
            query = urlencode(to_query(config))
            peers[how] = Worker([*module("_product"), how, query, str(file)])
        measured = alternate(peers, arguments.rounds, say)
    print(json.dumps({"network": arguments.network, "data": name, **report(measured)}, indent=2))


def module(name: str) -> list[str]:
    """The command that starts a module of this folder."""
    return [sys.executable, "-m", f"benchmarks.{name}"]


def by_hand(config: RunConfig) -> dict[str, Any]:
    """What benchmarks/_bare.py is told of a configuration."""
    mean, deviation = STANDARD[config.scaling]
    return {
        "widths": config.widths,
        "picture": PICTURES.get(config.model, ()),
        "keep_prob": {"off": 1.0, "rate": 1 - config.dropout_value}[config.dropout],
        "mean": mean,
        "deviation": deviation,
        "reduction": config.reduction,
        "learning_rate": config.learning_rate,
        "batch": config.batch_size,
    }


def full_data(config: RunConfig) -> tuple[str, Dataset]:
    """Full MNIST, or random bytes of the same shape."""
    try:
        return "mnist", load(config.source, config.train_size)
    except DataUnavailable as why:
        say(f"random bytes, because the full data is not available: {why}")
    random = np.random.default_rng(0)

    def some(n: int) -> tuple[np.ndarray, np.ndarray]:
        bytes_ = random.integers(0, 256, (n, 784), np.uint8)
        return bytes_, random.integers(0, 10, n, np.uint8)

    return "random bytes", Dataset(
        *some(config.train_size), *some(SOURCES[config.source].test_size)
    )


def report(measured: Measured) -> dict[str, Any]:
    """The figures of the JSON."""
    seconds = measured.seconds
    peers = {name: summary(each) for name, each in seconds.items()}
    told: dict[str, Any] = {
        "device": measured.greetings["bare"]["device"],
        "rounds": len(seconds["bare"]),
        "load": measured.load,
        **peers,
    }
    bare = peers["bare"]
    for name in list(seconds)[1:]:
        told[f"{name}_over_bare"] = peers[name]["median"] / bare["median"]
        told[f"{name}_over_bare_cpu"] = peers[name]["cpu_median"] / bare["cpu_median"]
        told[f"{name}_over_bare_rounds"] = [
            one.wall / other.wall for one, other in zip(seconds[name], seconds["bare"], strict=True)
        ]
    if "steps" in peers:
        told["looks"] = looks(peers["product"], peers["steps"])
    return told


def looks(product: dict[str, Any], steps: dict[str, Any]) -> dict[str, float]:
    """What an epoch's looks cost."""
    wall, cpu = (product[name] - steps[name] for name in ("median", "cpu_median"))
    return {
        "seconds": wall,
        "cpu": cpu,
        "share": wall / product["median"],
        "share_cpu": cpu / product["cpu_median"],
    }


if __name__ == "__main__":
    main()
