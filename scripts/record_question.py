"""Record the example of the comparison's page: `.venv/bin/python scripts/record_question.py`.

The question's code in JAX, with its clipped loss, and in Keras on TensorFlow, which looks for the
logits behind the sigmoid: the same weights, the same raw pixels, three steps of SGD. A network of
16 hidden units and 48 images keeps the files small. It needs tensorflow-cpu
(requirements-frameworks.txt), and writes to assets/recordings/.
"""

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "recorders")]

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import samenet_jax  # noqa: E402
import samenet_keras  # noqa: E402

from core.data import load  # noqa: E402
from core.study.compare.examples import FOLDER, PAIRS  # noqa: E402

IMAGES, UNITS, STEPS, RATE = 48, 16, 3, 0.01
JAX, KERAS = PAIRS["question"].paths


def main() -> None:
    """Write both recordings."""
    FOLDER.mkdir(exist_ok=True)
    data = load("sample", IMAGES)
    x = data.train_images[:IMAGES].astype(np.float32)
    y = (data.train_labels[:IMAGES] >= 5).astype(np.float32)[:, None]
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(UNITS, "relu"), keras.layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((x.shape[1],)), *layers])
    weights = [np.array(each) for each in model.get_weights()]
    record_jax(x, y, weights)
    model.compile(keras.optimizers.SGD(RATE), "binary_crossentropy", run_eagerly=True)
    recorder = samenet_keras.Recorder(KERAS, steps=STEPS)
    batch = {"batch_size": IMAGES, "shuffle": False}
    model.fit(x, y, epochs=STEPS, verbose=0, callbacks=[recorder], **batch)


def record_jax(x: np.ndarray, y: np.ndarray, weights: list[np.ndarray]) -> None:
    """Train the question's network with its loss."""

    def loss_fn(params: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
        w1, b1, w2, b2 = params
        p = jax.nn.sigmoid(jax.nn.relu(x @ w1 + b1) @ w2 + b2)
        q = jnp.clip(p, 1e-6, 1 - 1e-6)
        return -jnp.mean(y * jnp.log(q) + (1 - y) * jnp.log(1 - q)), p

    params = [jnp.asarray(each) for each in weights]
    recorder = samenet_jax.Recorder(JAX, steps=STEPS, optimizer="sgd", learning_rate=RATE)
    for _ in range(STEPS):
        recorder.before(params, inputs=x, labels=y)
        (loss, p), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        params = [w - RATE * g for w, g in zip(params, grads, strict=True)]
        recorder.after(params, grads=grads, outputs=p, loss=loss)


if __name__ == "__main__":
    main()
