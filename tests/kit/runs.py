"""Small runs, looks made by hand, and random valid configurations."""

import math
import threading
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any

import hypothesis.strategies as st
import jax
import numpy as np
from jax.example_libraries import stax

from core.config import FIELDS, RunConfig, agree
from core.data import load
from core.fields import Choice, Range
from core.parts.precisions import PRECISIONS
from core.presets import PRESETS
from core.run import train
from core.run.prepare import device_data
from core.run.snapshot import BINS, Census, Gradient, Largest, Saturation, Snapshot
from core.run.train.options import ONCE
from core.study.lasagne import CONFIG
from tests.kit.small import SMALL


def tiny(**overrides: Any) -> RunConfig:
    """A run of 10 steps that compiles and ends quickly."""
    small = {"train_size": 100, "batch_size": 20, "widths": (8,), "scaling": "unit", "epochs": 2}
    return RunConfig(**{**small, "loss": "from_logits", **overrides})


# For functions that a test calls only a few times: hardly optimized, so soon compiled.
quick = partial(jax.jit, compiler_options={**ONCE, "xla_backend_optimization_level": "0"})


@contextmanager
def compiling(others: Container[int | None] = ()) -> Iterator[list[float]]:
    """A list that grows by one with every program that XLA compiles, but not for these threads."""
    seen: list[float] = []

    def listen(event: str, seconds: float, **_: object) -> None:
        compiled = event == "/jax/core/compile/backend_compile_duration"
        if compiled and threading.get_ident() not in others:
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def filled(init: Any, inputs: tuple[int, ...], seed: int = 0, spread: float = 0.03) -> Any:
    """Weights in the shapes that `init` gives, but drawn by NumPy, so nothing is compiled."""
    random, key = np.random.default_rng(seed), jax.ShapeDtypeStruct((2,), np.uint32)
    types = jax.eval_shape(lambda key: init(key, inputs)[1], key)
    return jax.tree.map(lambda t: random.normal(0, spread, t.shape).astype(t.dtype), types)


# The runs that many tests share, because each shape takes about nine seconds to compile.
# Of the digits, 5 images are left over in each epoch.
DIGITS = tiny(task="digits", train_size=105, learning_rate=0.02)
KEEPING = replace(DIGITS, last_batch="kept")  # those five make a batch
# The other optimizers' rules are tested without a network.
TRAINED = ("sgd", "momentum", "adam", "adam_step_0")
DECAYING = replace(
    DIGITS, optimizer="lion", learning_rate=1e-3, momentum=0.8, decay_form="decoupled",
    weight_decay=0.1, clip_form="global_norm", clip_norm=0.5,
)  # fmt: skip
NORMED = replace(
    DIGITS, normalisation="batch_norm", widths=(16, 8), scaling="standardised", learning_rate=0.3
)
OWN = tiny(loss="-(y*log(p + eps) + (1 - y)*log(1 - p + eps))", epsilon=1e-3)  # as MXNet
DROPPING = tiny(
    task="digits", train_size=250, dropout="rate", dropout_value=0.4, widths=(32, 16, 8),
    optimizer="adam", learning_rate=3e-3, epochs=3,
)  # fmt: skip
# The keep_prob question on so few images that its story, which has this shape, takes few steps.
KEEP_OR_DROP = RunConfig(**{**PRESETS["keep_or_drop"].overrides, "train_size": 1000})
POST_CNN = tiny(
    model="cnn_28_channels", task="digits", train_size=250, batch_size=50, epochs=1,
    scaling="standardised", stream="partitionable", seed=1, reduction="sum", optimizer="adam",
    learning_rate=1e-3,
)  # fmt: skip
SERIES = RunConfig(
    source="ou", task="next_value", model="gru_reused", loss="mse_broadcast", widths=(6, 6),
    optimizer="adam", learning_rate=1e-2, train_size=96, batch_size=32, epochs=4,
)  # fmt: skip


def _shapes() -> Iterator[RunConfig]:
    """The runs whose shapes may be compiled by tests that are not slow, and the reason for each."""
    yield RunConfig()  # the question: most figures are about it
    yield RunConfig(optimizer="adam")  # how it ends with another optimizer
    yield tiny()
    yield tiny(batch_size=100)  # a full batch, in the data's own order
    yield tiny(optimizer="adam")  # slots
    yield from (tiny(precision=key) for key in PRECISIONS)
    yield tiny(precision="mixed_float16", optimizer="adam")  # mapped runs with slots and a scale
    yield from (replace(DIGITS, optimizer=key) for key in TRAINED)
    yield DECAYING
    yield NORMED  # running averages beside the weights
    yield KEEPING
    yield OWN
    yield DROPPING
    yield POST_CNN
    yield replace(POST_CNN, model="cnn")
    yield SERIES
    yield replace(SERIES, model="gru")  # with split keys
    yield replace(SERIES, precision="mixed_float16")
    yield CONFIG  # the Lasagne issue, whose figures depend on its width
    for preset, few in SMALL.items():  # what the pages of the stories train
        yield RunConfig(**{**PRESETS[preset].overrides, **few})
    yield RunConfig(**{**PRESETS["jax_mlp"].overrides, **SMALL["jax_mlp"], "optimizer": "sgd"})


SHAPES = tuple(dict.fromkeys(train.shape(config) for config in _shapes()))


@cache
def trained(config: RunConfig) -> list[Snapshot]:
    """The snapshots of a run, which is trained once however many tests look at it."""
    return list(train.run(config, load(config.source, config.train_size)))


def righted(snapshots: Sequence[Snapshot]) -> int:
    """How many of the images that were wrong and silent at the start are right at the end."""
    start, end = snapshots[0], snapshots[-1]
    silent = ~start.correct & (start.gradients == Gradient.ZERO)
    return int(np.count_nonzero(silent & end.correct))


def order_of(config: RunConfig, epoch: int = 0) -> jax.Array:
    """The order in which an epoch takes the training examples."""
    arranged, knobs = device_data(config).arranged, train.knobs(config)
    return train.program(train.shape(config)).order(arranged, knobs, np.int32(epoch))


def post_cnn(*last: Any) -> tuple[Any, Any]:
    """The post's own stack in stax, up to its logits, followed by the layers `last`."""
    conv, norm, relu = partial(stax.Conv, padding="SAME"), stax.BatchNorm, stax.Relu
    return stax.serial(
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(32, (5, 5), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), norm(), relu,
        conv(10, (3, 3), (2, 2)), relu,
        stax.Flatten, stax.Dense(10), *last,
    )  # fmt: skip


def _values(allowed: Any) -> st.SearchStrategy[Any]:
    match allowed:
        case Choice():
            return st.sampled_from(list(allowed.registry))
        case Range(whole=True):
            return st.integers(int(allowed.low), int(allowed.high))
        case Range():
            return st.floats(allowed.low, allowed.high)
    return st.lists(_values(allowed.each), min_size=1, max_size=allowed.most).map(tuple)


parts = st.fixed_dictionaries({}, optional={name: _values(FIELDS[name]) for name in FIELDS})
configs = parts.map(lambda values: agree(values)[0])


def look(step: int = 1, n: int = 100, **overrides: Any) -> Snapshot:
    """A healthy look at n images of a network with one hidden layer, with the given changes."""
    healthy: dict[str, Any] = {
        "epoch": step / 10, "loss": 0.5, "train_accuracy": 0.9, "test_accuracy": 0.9,
        "test_examples": 10, "gradient_norms": np.ones(2, np.float32),
        "weight_norms": np.full(2, 10, np.float32), "update_norms": np.full(2, 0.01, np.float32),
        "rounded_away": np.zeros(2, np.float32),
        "dead_units": np.zeros(1, np.float32), "one_answer": 0.5, "next_label": 0.02,
        "dropped_accuracy": math.nan, "flipped": math.nan, "next_finite": True, "fixed": False,
        "saturation": Saturation(np.zeros((len(Gradient), BINS + 5), int), 0, 0, 0, 0),
        "census": Census(0.1, 0, 0), "margins": np.zeros(n, np.float32),
        "labels": np.zeros(n, np.uint8), "correct": np.arange(n) >= n // 10,
        "gradients": np.zeros(n, np.uint8), "health": np.tile(np.float32([0, 0, 0, 1]), (4, 1)),
        "sample_health": np.float32([0, 0, 0, 1]), "largest": Largest(1.0, 1.0, 1.0),
        "vanished": math.nan, "loss_scale": 1.0,
    }  # fmt: skip
    return Snapshot(step=step, **{**healthy, **overrides})
