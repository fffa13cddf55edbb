"""Probes of data, arithmetic and random numbers."""

import sys
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

from core.parts.choices import SCALINGS
from core.study.atlas.pieces import PIECES
from tests.frameworks.layers import seed
from tests.frameworks.probe import Observed, Probe, array, installed, run

COUNT = 1200  # examples, more than a buffer holds


def _batches(framework: str, code: str, count: int, epochs: int = 2) -> list[list[np.ndarray]]:
    """The batches of examples 0, 1, 2, ... in each epoch."""
    seed(framework)
    x = np.arange(count, dtype=np.float32)
    if framework == "keras":
        return _fitted(code, x)
    names = {"x": x, "data": list(x), "np": np}
    batches = run(code, **names)["batches"]
    return [[array(batch).ravel() for batch in batches] for _ in range(epochs)]


def _fitted(code: str, x: np.ndarray) -> list[list[np.ndarray]]:
    """What a model is given in `fit`, which is run without training anything."""
    keras = installed("keras")
    epochs: list[list[np.ndarray]] = []

    class Model(keras.Model):  # type: ignore[misc, name-defined]
        """Notes down its inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            if not isinstance(inputs, jax.core.Tracer):  # which it is given to find its shapes
                epochs[-1].append(array(inputs).ravel())
            return self.dense(inputs)

    class Begin(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Begins a list for each epoch."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            epochs.append([])

    model = Model()
    epochs.append([])
    model.compile(loss="mse", run_eagerly=True)
    fit, begin = model.fit, Begin()
    model.fit = lambda *args, **names: fit(*args, callbacks=[begin], **names)
    run(code, model=model, x=x[:, None], labels=x[:, None], np=np)
    return epochs[1:]


def _order(framework: str, code: str) -> Observed:
    """Whether epochs are in order, alike, and whether any comes early by less than 1000."""
    one, two = (np.concatenate(epoch) for epoch in _batches(framework, code, COUNT))
    in_order = np.arange(COUNT)
    return [
        np.array([
            np.array_equal(one, in_order), np.array_equal(one, two), np.max(one - in_order) < 1000
        ], float)
    ]  # fmt: skip


def _sizes(framework: str, code: str) -> Observed:
    """The size of the first batch of 40 examples."""
    return [np.float64(len(_batches(framework, code, 40, epochs=1)[0][0]))]


def _last(framework: str, code: str) -> Observed:
    return [np.float64(len(_batches(framework, code, 250, epochs=1)[0][-1]))]


BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def _scaled(framework: str, code: str) -> Observed:
    """What becomes of bytes; a loader's own code is run on a stand-in for its download."""
    names: dict[str, Any] = {"x": BYTES, "np": np}
    if framework == "torch":
        names["torchvision"] = pytest.importorskip("torchvision")
        names["picture"] = pytest.importorskip("PIL.Image").fromarray(BYTES)
    if "tfds" in code:
        installed("tensorflow")
    with pytest.MonkeyPatch.context() as patch:
        if framework == "keras":
            installed("keras")
            module = sys.modules["keras.src.datasets.mnist"]
            stored = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), BYTES)
            patch.setattr(module, "get_file", lambda *_, **__: __file__)
            patch.setattr(module, "np", SimpleNamespace(load=lambda *_, **__: _Opened(stored)))
        return [array(run(code, **names)["x"]).squeeze()]


class _Opened(dict[str, Any]):
    """An archive that is open."""

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _scaling(value: str, framework: str) -> Observed:
    row = SCALINGS[(PIECES["pixels"].values[value].settings or {})["scaling"]]
    return [(BYTES - row.shift) * row.scale]


_LOADED = "(x, _), _ = keras.datasets.mnist.load_data()"
_TFDS = """\
import tensorflow_datasets as tfds
image = tfds.features.Image(shape=(16, 16, 1))  # as in its MNIST
x = image.decode_example_np(image.encode_example(x[..., None]))"""


def _precision(framework: str, code: str) -> Observed:
    """The flag for products of matrices: 0 is off, 1 on, 2 the device's."""
    if framework == "torch":
        torch = installed("torch")
        before = torch.get_float32_matmul_precision()
        run(code)
        after = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(before)
        return [np.float64(after != "highest")]
    if framework == "tf1":
        config = installed("tensorflow").config.experimental
        before = config.tensor_float_32_execution_enabled()
        run(code)
        after = config.tensor_float_32_execution_enabled()
        config.enable_tensor_float_32_execution(before)
        return [np.float64(after)]
    before = jax.config.jax_default_matmul_precision
    run(code)
    after = jax.config.jax_default_matmul_precision
    jax.config.update("jax_default_matmul_precision", before)
    return [np.float64({"highest": 0, "tensorfloat32": 1, None: 2}[after])]


def _bits(framework: str, code: str) -> Observed:
    """The size of a number of y, in bytes."""
    wide = jax.config.jax_enable_x64
    try:
        y = run(code, x=np.ones(3))["y"]
        return [np.float64(np.asarray(y).itemsize)]
    finally:
        jax.config.update("jax_enable_x64", wide)


PROBES = {
    "shuffling": Probe(
        bare={
            "keras": "model.fit(x, labels, batch_size=100, epochs=2, verbose=0)",
            "torch": "batches = torch.utils.data.DataLoader(data, batch_size=100)",
            "tf1": "batches = tf.data.Dataset.from_tensor_slices(x).batch(100)",
        },
        observe=_order,
        expect=lambda value, framework: [
            np.array({"every_epoch": [0, 0, 0], "once": [0, 1, 0], "never": [1, 1, 1],
                      "buffer": [0, 0, 1]}[value], float)
        ],
    ),
    "batch_size": Probe(
        bare={
            "keras": "model.fit(x, labels, verbose=0)",
            "torch": "batches = torch.utils.data.DataLoader(data)",
        },
        observe=_sizes,
        expect=lambda value, framework: [np.float64(min(int(value), 40))],
    ),
    "last_batch": Probe(
        bare={
            "keras": "model.fit(x, labels, batch_size=100, epochs=2, verbose=0)",
            "torch": "batches = torch.utils.data.DataLoader(data, batch_size=100)",
            "tf1": "batches = tf.data.Dataset.from_tensor_slices(x).batch(100)",
        },
        observe=_last,
        expect=lambda value, framework: [np.float64(50 if value == "kept" else 100)],
    ),
    "pixels": Probe(
        bare={
            "keras": _LOADED,
            "torch": "x = torchvision.transforms.ToTensor()(picture)",
            "flax": _TFDS,
            "tf1": _TFDS,
        },
        observe=_scaled,
        expect=_scaling,
        rtol=1e-6,
    ),
    "tf32": Probe(
        bare={"torch": "torch.backends", "flax": "jax.config", "equinox": "jax.config",
              "stax": "jax.config", "tf1": "tf.config"},
        observe=_precision,
        expect=lambda value, framework: [np.float64({"off": 0, "on": 1, "device": 2}[value])],
    ),
    "float64": Probe(
        bare={
            "keras": "y = keras.layers.Dense(3)(x[None])",
            "torch": "y = torch.tensor(x)",
            **dict.fromkeys(("flax", "equinox", "stax"), "y = jnp.asarray(x)"),
            "tf1": "y = tf.constant(x)",
        },
        observe=_bits,
        expect=lambda value, framework: [np.float64({"float32": 4, "float64": 8}[value])],
    ),
    "seeds": Probe(
        bare={
            **dict.fromkeys(
                ("flax", "equinox", "stax"), "y = jax.random.uniform(jax.random.key(0), 3)"
            ),
            "torch": "torch.manual_seed(0)\ny = torch.rand(3)",
            "tf1": "tf.random.set_seed(0)\ny = tf.random.uniform([3])",
        },
        observe=lambda framework, code: [array(run(code)["y"])[:1]],
        expect=lambda value, framework: [
            np.array([{"threefry": 0.947667, "mersenne": 0.496257, "philox": 0.291975}[value]])
        ],
    ),
}  # fmt: skip
