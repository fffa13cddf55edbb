"""Seconds an epoch: the product's own path beside a bare loop, taking turns in one process.

By default the network is the MLP 784-512-512-10 with Adam 1e-3 and batches of 100 over 60,000
images (600 steps). --network chooses another: keep_or_drop is that of the keep_prob question,
784-256-256-256-256-10 with dropout at rate 0.7 after each hidden layer and 55,000 images (550
steps); cnn and cnn_28_channels are the CNN of the post Getting started with JAX (600 steps).

`product` is core.run.train.run with everything it shows: ten looks at the network and one test over
all held-out images. `bare` is the loop that a good engineer writes by hand: one jitted step,
weights donated, images as bytes on the device, a new shuffle every epoch, and no looks. `engine`
(with --engine) is the product's run through core.run.engine.Engine while a viewer polls it every
0.3 s. The first epoch of each includes compilation and is not counted.

JSON:
  network      the one that was trained
  data         "mnist", or "random bytes" of the same shape where the full set is not available
  device       what JAX computes on
  rounds       epochs counted for each
  bare, product, engine
               seconds: wall seconds of each epoch; median: their median; cpu_median: median CPU
               seconds of the whole process, which depend less on other programs on the machine
  product_over_bare, engine_over_bare
               ratio of the medians; with _cpu, ratio of the CPU medians
  product_over_bare_rounds, engine_over_bare_rounds
               the ratio in each round, which does not suffer if the machine slows down
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jax.example_libraries import stax

from benchmarks._server import say, use_local_mnist
from core.config import RunConfig
from core.data import SOURCES, Dataset, DataUnavailable, load
from core.presets import PRESETS
from core.run import memory, train
from core.run.engine import Engine
from core.run.job import Ready, ReportStatus, Status, Viewer
from core.run.snapshot import Snapshot

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
POLL_SECONDS = 0.3  # as the live panel does
LONGEST_RUN = 600.0  # seconds


class Seconds(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float  # of the whole process, all threads


Epoch = Callable[[], Seconds]  # trains for one epoch and returns the seconds that took


def now() -> Seconds:
    """The seconds that the process has taken so far."""
    return Seconds(time.perf_counter(), time.process_time())


def since(start: Seconds) -> Seconds:
    """The seconds since `start`."""
    return Seconds(*(after - before for after, before in zip(now(), start, strict=True)))


def main() -> None:
    """Print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each (default 7)")
    parser.add_argument("--engine", action="store_true", help="also through the engine")
    parser.add_argument("--bare", action="store_true", help="only the bare loop")
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--images", type=int, help="for a short test; a multiple of 100")
    arguments = parser.parse_args()
    memory.keep_buffers()
    use_local_mnist()
    config = NETWORKS[arguments.network]
    config = replace(config, train_size=arguments.images or config.train_size)
    name, data = full_data(config)
    peers: dict[str, Epoch] = {"bare": bare_epochs(data, config)}
    if not arguments.bare:
        peers["product"] = product_epochs(data, config)
    if arguments.engine:
        peers["engine"] = engine_epochs(data, config)
    seconds = alternate(peers, arguments.rounds)
    print(json.dumps({"network": arguments.network, "data": name, **report(seconds)}, indent=2))


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


def alternate(peers: dict[str, Epoch], rounds: int) -> dict[str, list[Seconds]]:
    """Train one epoch of each in turn, and drop the first epoch of each."""
    seconds: dict[str, list[Seconds]] = {name: [] for name in peers}
    for round_ in range(rounds + 1):
        for name, epoch in peers.items():
            took = epoch()
            say(f"round {round_ or '(warm-up)'} {name}: {took.wall:.3f} s, CPU {took.cpu:.3f} s")
            if round_:
                seconds[name].append(took)
    return seconds


def report(seconds: dict[str, list[Seconds]]) -> dict[str, Any]:
    """The figures of the JSON."""
    figures: dict[str, Any] = {"device": str(jax.devices()[0]), "rounds": len(seconds["bare"])}
    for name, each in seconds.items():
        figures[name] = {
            "seconds": [took.wall for took in each],
            "median": statistics.median(took.wall for took in each),
            "cpu_median": statistics.median(took.cpu for took in each),
        }
    for name in list(seconds)[1:]:
        mine, bare = figures[name], figures["bare"]
        figures[f"{name}_over_bare"] = mine["median"] / bare["median"]
        figures[f"{name}_over_bare_cpu"] = mine["cpu_median"] / bare["cpu_median"]
        figures[f"{name}_over_bare_rounds"] = [
            one.wall / other.wall for one, other in zip(seconds[name], seconds["bare"], strict=True)
        ]
    return figures


def bare_epochs(data: Dataset, config: RunConfig) -> Epoch:
    """The hand-written loop, which shares no code with the product."""
    batch, steps = config.batch_size, config.train_size // config.batch_size
    mean, deviation = STANDARD[config.scaling]
    reduced = {"mean": jnp.mean, "sum": jnp.sum}[config.reduction]
    optimizer = optax.adam(config.learning_rate)
    images, labels = jnp.asarray(data.train_images), jnp.asarray(data.train_labels)
    params, logits = (dense if config.model == "mlp" else convolutional)(config)

    def loss(params: Any, x: Array, y: Array, key: Array) -> Array:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits(params, x, key), y)
        return reduced(losses)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(
        params: Any, slots: Any, images: Array, labels: Array, order: Array, key: Array, i: Any
    ) -> Any:
        chosen = lax.dynamic_slice_in_dim(order, i * batch, batch)
        x = (images[chosen].astype(jnp.float32) / 255 - mean) / deviation
        y = labels[chosen].astype(jnp.int32)
        gradients = jax.grad(loss)(params, x, y, jax.random.fold_in(key, i))
        updates, slots = optimizer.update(gradients, slots)
        return optax.apply_updates(params, updates), slots

    @jax.jit
    def shuffled(key: Array) -> Array:
        return jax.random.permutation(key, config.train_size)

    def epoch() -> Seconds:
        nonlocal params, slots
        start = now()
        key = next(keys)
        order = shuffled(key)
        for i in range(steps):
            params, slots = step(params, slots, images, labels, order, key, i)
        jax.block_until_ready(params)
        return since(start)

    keys = (jax.random.key(i) for i in count())
    slots = optimizer.init(params)
    return epoch


Network = tuple[Any, Callable[[Any, Array, Array], Array]]  # params, and logits(params, x, key)


def dense(config: RunConfig) -> Network:
    """Dense layers with ReLU, and dropout if the configuration has it."""
    keep = {"off": 1.0, "rate": 1 - config.dropout_value}[config.dropout]

    def logits(params: Any, x: Array, key: Array) -> Array:
        for layer, (weights, bias) in enumerate(params[:-1]):
            x = jax.nn.relu(x @ weights + bias)
            if keep < 1:
                kept = jax.random.bernoulli(jax.random.fold_in(key, layer), keep, x.shape)
                x = jnp.where(kept, x / keep, 0)
        weights, bias = params[-1]
        return x @ weights + bias

    return layers([784, *config.widths, 10]), logits


def convolutional(config: RunConfig) -> Network:
    """The post's CNN, written in stax."""
    conv, norm, relu = partial(stax.Conv, padding="SAME"), stax.BatchNorm, stax.Relu
    init, apply = stax.serial(
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), relu,
        stax.Flatten, stax.Dense(10),
    )  # fmt: skip
    axes = PICTURES[config.model]
    _, params = init(jax.random.key(1), (config.batch_size, *axes))
    return params, lambda params, x, key: apply(params, x.reshape(-1, *axes))


def layers(sizes: list[int]) -> list[tuple[Array, Array]]:
    """Normal weights, scaled by the number of inputs, and zero biases."""
    keys = jax.random.split(jax.random.key(1), len(sizes) - 1)
    return [
        (jax.random.normal(key, (fan_in, out)) / fan_in**0.5, jnp.zeros(out))
        for key, fan_in, out in zip(keys, sizes, sizes[1:], strict=False)
    ]


def product_epochs(data: Dataset, config: RunConfig) -> Epoch:
    """A run of one epoch, timed from its first look at the network to its last."""
    seeds = count()

    def epoch() -> Seconds:
        return between_looks(train.run(replace(config, seed=next(seeds)), data))

    return epoch


def between_looks(snapshots: Iterator[Snapshot]) -> Seconds:
    """The time from the first snapshot to the last."""
    next(snapshots)
    start = now()
    for _ in snapshots:
        pass
    return since(start)


def engine_epochs(data: Dataset, config: RunConfig) -> Epoch:
    """The same run through the engine, watched as by the live panel; the data is already loaded."""
    on_device = train.on_device(config.task, data)
    seeds = count()

    def ready(config: RunConfig, report: ReportStatus, next_look: train.NextLook) -> Ready:
        program = train.program(train.shape(config))
        return Ready(train.ticks(config, program, on_device, next_look=next_look))

    engine = Engine(prepare=ready)

    def epoch() -> Seconds:
        viewer = engine.submit(replace(config, seed=next(seeds)), until=0)
        engine.wait(viewer, snapshots=1, timeout=LONGEST_RUN)
        start = now()
        viewer.resume()
        finish(viewer)
        seconds = since(start)
        viewer.stop()
        return seconds

    def finish(viewer: Viewer) -> None:
        """Poll as the panel does, but return as soon as the run ends."""
        marks = len(train.snapshot_steps(viewer.config))
        for _ in range(int(LONGEST_RUN / POLL_SECONDS)):
            view = engine.wait(viewer, snapshots=marks, timeout=POLL_SECONDS)
            if view.status in (Status.DONE, Status.FAILED):
                return

    return epoch


if __name__ == "__main__":
    main()
