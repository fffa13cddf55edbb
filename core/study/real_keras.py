"""The question's Keras code, run by the real Keras if it is installed.

Keras chooses its backend when it is imported, so each run is a process of its own, which runs this
module. It is given only numbers and arrays, in files.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from core.run import entry

if TYPE_CHECKING:  # the Keras process imports this module, but must not need JAX
    from core.config import RunConfig
    from core.data import Dataset

BACKENDS = ("jax", "tensorflow", "torch")
TIMEOUT = 180.0  # seconds; importing TensorFlow and Keras alone can take ten

# What the question's code fixes.
REQUIRED = {
    "task": "binary", "model": "mlp", "activation": "relu", "normalisation": "none",
    "loss_input": "logits", "reduction": "mean", "loss_weight": 1.0, "precision": "float32",
    "optimizer": "sgd", "decay_form": "off", "clip_form": "off", "dropout": "off",
    "label_smoothing": 0.0, "label_shift": 0,
}  # fmt: skip


class KerasError(Exception):
    """Keras is not installed, failed or took too long; the message says which, with its error."""


@dataclass(frozen=True)
class KerasRun:
    """A run of the question's Keras code; accuracies and losses are Keras's own."""

    backend: str
    version: str  # of Keras
    accuracy: np.ndarray  # float64 [steps + 1], on all training images, before each step
    loss: np.ndarray  # float64 [steps + 1], mean, in nats

    @property
    def final_accuracy(self) -> float:
        """The accuracy after the last step, which is what the question prints."""
        return float(self.accuracy[-1])


def available_backends() -> tuple[str, ...]:
    """The backends that Keras could run on here; imports nothing."""
    if importlib.util.find_spec("keras") is None:
        return ()
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)


def run(config: "RunConfig", data: "Dataset", backend: str, timeout: float = TIMEOUT) -> KerasRun:
    """Train as the question does, from the same weights with which core.run.train starts `config`.

    Dense layers with ReLU, one sigmoid, SGD and keras.losses.binary_crossentropy on the sigmoid's
    output. The configuration's loss and epsilon are not used, because Keras has its own.

    Args:
      timeout: seconds until the process is stopped.

    Raises:
      ValueError: the configuration is not what the question's code trains; names the field.
      KerasError: the backend is not installed, or the process failed or took too long.
    """
    _check(config, data)
    if backend not in available_backends():
        raise KerasError(f"Keras with {backend!r} is not installed here; try pip install keras.")
    with TemporaryDirectory(prefix="samenet-keras-") as folder:
        _write(Path(folder), config, data)
        _call(folder, backend, timeout)
        results = json.loads((Path(folder) / "found.json").read_text())
    accuracy, loss = np.array(results["accuracy"]), np.array(results["loss"])
    return KerasRun(backend, results["version"], accuracy, loss)


def _check(config: "RunConfig", data: "Dataset") -> None:
    for name, value in REQUIRED.items():
        if getattr(config, name) != value:
            raise ValueError(f"{name} is {getattr(config, name)!r}; the question's has {value!r}")
    if not config.full_batch:
        raise ValueError(f"batch_size is {config.batch_size}; the question's is the whole data")
    if len(data.train_images) != config.train_size:
        raise ValueError(
            f"the data has {len(data.train_images)} images, the run {config.train_size}"
        )


def _write(folder: Path, config: "RunConfig", data: "Dataset") -> None:
    """Write what Keras is given: inputs, labels and weights as arrays, settings as numbers."""
    import jax.numpy as jnp

    from core.parts.models import layers
    from core.run import train

    knobs = train.knobs(config)
    params = train.program(train.shape(config)).init(knobs).params
    weights = [np.asarray(leaf) for layer in layers(params) for leaf in layer]
    arrays: dict[str, Any] = {f"weights_{i}": array for i, array in enumerate(weights)}
    arrays["x"] = np.asarray(train.pixels(jnp.asarray(data.train_images), knobs))
    arrays["y"] = train.labels_of(config.task, data.train_labels).astype(np.float32)[:, None]
    np.savez(folder / "arrays.npz", **arrays)
    settings = {"learning_rate": config.learning_rate, "steps": config.steps, "seed": config.seed}
    (folder / "settings.json").write_text(json.dumps(settings))


def _call(folder: str, backend: str, timeout: float) -> None:
    """Run `main` in a process of its own; raise KerasError if it fails or takes too long."""
    environment = {**entry.plain(os.environ), "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        subprocess.run(
            [sys.executable, "-m", "core.study.real_keras", folder],
            cwd=Path(__file__).parents[2],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise KerasError(f"Keras on {backend} took more than {timeout:g} s.") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise KerasError(f"Keras on {backend} failed: {last}") from error


def main(folder: Path) -> None:
    """Run the question's Keras code on what `_write` left in `folder`."""
    settings = json.loads((folder / "settings.json").read_text())
    with np.load(folder / "arrays.npz") as arrays:
        x, y = arrays["x"], arrays["y"]
        weights = [arrays[f"weights_{i}"] for i in range(len(arrays.files) - 2)]

    import keras

    keras.utils.set_random_seed(settings["seed"])  # fit shuffles, which changes the rounding

    hidden = [keras.layers.Dense(len(b), activation="relu") for b in weights[1:-2:2]]
    model = keras.Sequential([*hidden, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=settings["learning_rate"]),
        loss=keras.losses.binary_crossentropy,
        metrics=["accuracy"],
    )
    model.build(input_shape=(1, x.shape[1]))
    model.set_weights(weights)

    scores = [model.evaluate(x, y, batch_size=len(x), verbose=0)]
    for _ in range(settings["steps"]):
        model.fit(x, y, epochs=1, batch_size=len(x), verbose=0)
        scores.append(model.evaluate(x, y, batch_size=len(x), verbose=0))
    results: dict[str, Any] = {
        "version": keras.__version__,
        "loss": [float(loss) for loss, _ in scores],
        "accuracy": [float(accuracy) for _, accuracy in scores],
    }
    (folder / "found.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
