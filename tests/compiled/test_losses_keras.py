"""The Keras rows, compared with Keras itself on its JAX backend, in a process of its own.

Keras chooses its backend when it is imported, and that import is slow; hence the subprocess.
"""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.parts.choices import TASKS
from core.parts.losses import LOSSES, with_grad
from core.run import train

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("keras") is None,
    reason="needs keras: pip install -r requirements-dev.txt",
)

SCRIPT = """
import json, sys
import jax, jax.numpy as jnp, keras

z = jnp.linspace(-25, 25, 401)
three = jnp.stack([z, 0 * z, 0 * z + 1], axis=-1)
k, a = keras.losses, keras.activations

def run(loss, z):
    value, pull_back = jax.vjp(loss, z)
    return value.tolist(), pull_back(jnp.ones_like(value))[0].tolist()

results = {}
for y in (0, 1):
    t = jnp.full((401, 1), y)
    for key, loss in {
        "keras_jax": lambda z: k.binary_crossentropy(t, a.sigmoid(z[:, None])),
        "keras_jax_logits": lambda z: k.binary_crossentropy(t, z[:, None], from_logits=True),
    }.items():
        results[f"binary {key} {y}"] = run(loss, z)
for y in (0, 1, 2):
    t = jnp.full(401, y)
    h = jax.nn.one_hot(t, 3)
    for key, loss in {
        "keras_jax": lambda z: k.categorical_crossentropy(h, a.softmax(z)),
        "keras_jax_logits": lambda z: k.sparse_categorical_crossentropy(t, z, from_logits=True),
    }.items():
        results[f"softmax {key} {y}"] = run(loss, three)
json.dump({"backend": keras.backend.backend(), "results": results}, sys.stdout)
"""


@pytest.mark.slow
def test_the_rows_compute_what_keras_computes_on_jax():
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["backend"] == "jax" and len(answer["results"]) == 10
    z = jnp.linspace(-25, 25, 401)
    logits = {"binary": z, "softmax": jnp.stack([z, 0 * z, 0 * z + 1], axis=-1)}
    for name, (loss, gradient) in answer["results"].items():
        form, key, label = name.split()
        function = with_grad(getattr(LOSSES[key], form))
        labels = jnp.full(401, int(label))
        with jax.numpy_rank_promotion("raise"):
            got_loss, got_gradient = function(logits[form], labels, jnp.float32(1e-7))
        # The same operations in the same order in the same library give the same bits.
        np.testing.assert_array_equal(got_loss, np.array(loss, np.float32), err_msg=name)
        np.testing.assert_array_equal(got_gradient, np.array(gradient, np.float32), err_msg=name)


SMOOTHED = """
import json, sys
import jax, jax.numpy as jnp, keras

z = jnp.linspace(-25, 25, 401)
ten = jnp.stack([z, *(0.1 * i + 0 * z for i in range(9))], axis=-1)
k, a = keras.losses, keras.activations

def run(loss, z):
    value, pull_back = jax.vjp(loss, z)
    return value.tolist(), pull_back(jnp.ones_like(value))[0].tolist()

results = {}
for y in (0, 1):
    t, h = jnp.full((401, 1), y), jax.nn.one_hot(jnp.full(401, y), 10)
    for s in (0.1, 1.0):
        for key, given, options in (
            ("keras_jax", (a.sigmoid, a.softmax), {}),
            ("keras_jax_logits", (lambda z: z, lambda z: z), {"from_logits": True}),
        ):
            both = {**options, "label_smoothing": s}
            results[f"binary {key} {y} {s}"] = run(
                lambda z: k.binary_crossentropy(t, given[0](z[:, None]), **both), z)
            results[f"digits {key} {y} {s}"] = run(
                lambda z: k.categorical_crossentropy(h, given[1](z), **both), ten)
json.dump({"backend": keras.backend.backend(), "results": results}, sys.stdout)
"""


@pytest.mark.slow
def test_smoothed_labels_give_what_keras_computes_of_them() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SMOOTHED],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["backend"] == "jax" and len(answer["results"]) == 16
    z = jnp.linspace(-25, 25, 401)
    logits = {
        "binary": z[:, None],
        "digits": jnp.stack([z, *(0.1 * i + 0 * z for i in range(9))], axis=-1),
    }
    for name, (loss, gradient) in answer["results"].items():
        task, key, label, smoothing = name.split()
        config = RunConfig(task=task, loss=key, epsilon=1e-7, label_smoothing=float(smoothing))
        labels = np.full(401, int(label), np.uint8)
        got = train.losses_and_slopes(TASKS[task].form, logits[task], labels, train.knobs(config))
        for ours, keras in zip(got, (loss, gradient), strict=True):
            expected = np.reshape(keras, ours.shape)
            np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-7, err_msg=name)
