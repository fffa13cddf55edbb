"""The real Keras compared with our row of it; tests that run it are skipped without Keras."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import FIELDS, RunConfig
from core.data import load
from core.run import train
from core.study import real_keras
from tests.kit import ROOT

AVAILABLE = real_keras.available_backends()
needs_keras = pytest.mark.skipif(
    "jax" not in AVAILABLE, reason="keras is not installed: pip install keras"
)


@needs_keras
def test_real_keras_agrees_with_our_row() -> None:
    # Two steps only: the clipped run is chaotic, and after ten steps its digits mean nothing.
    config, data = RunConfig(loss="keras_jax", epsilon=1e-7, epochs=2), load("sample", 1000)
    keras = real_keras.run(config, data, "jax")
    ours = list(train.run(config, data))
    assert keras.backend == "jax"
    assert keras.accuracy.shape == keras.loss.shape == (3,)
    np.testing.assert_allclose(keras.accuracy, [s.train_accuracy for s in ours], atol=0.0015)
    np.testing.assert_allclose(keras.loss, [s.loss for s in ours], rtol=1e-3)
    assert keras.final_accuracy == keras.accuracy[2]


@needs_keras
def test_a_keras_that_is_too_slow_is_stopped() -> None:
    with pytest.raises(real_keras.KerasError, match=r"took more than 0\.01 s"):
        real_keras.run(RunConfig(), load("sample", 1000), "jax", timeout=0.01)


@needs_keras
def test_a_keras_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(real_keras.KerasError, match=r"failed: FileNotFoundError.*settings\.json"):
        real_keras._call(str(tmp_path), "jax", timeout=120)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "digits", "loss": "clip"}, "task is 'digits'; the question's has 'binary'"),
        ({"activation": "tanh"}, "activation is 'tanh'"),
        ({"optimizer": "adam"}, "optimizer is 'adam'"),
        ({"dropout": "rate"}, "dropout is 'rate'"),
        ({"precision": "bfloat16"}, "precision is 'bfloat16'"),
        ({"batch_size": 100}, "batch_size is 100"),
        ({"train_size": 2000, "batch_size": 2000}, "the data has 1000 images, the run 2000"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_only_runs_like_the_question_are_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        real_keras.run(replace(RunConfig(), **change), load("sample", 1000), "jax")


# The data, the weights before the first step, and the numbers that Keras is given.
FOLLOWED = {
    "source", "train_size", "scaling", "widths", "initializer", "biases", "stream", "seed",
    "learning_rate", "batch_size", "epochs",
}  # fmt: skip
KERAS_HAS_ITS_OWN = {"loss", "epsilon", "report"}


def test_keras_follows_a_setting_or_requires_its_default() -> None:
    required, question = {*real_keras.REQUIRED}, RunConfig()
    assert {name: getattr(question, name) for name in required} == real_keras.REQUIRED
    # Where what is required has its default, other settings have no effect.
    known = [FOLLOWED, KERAS_HAS_ITS_OWN, required, {*question.ignored()}]
    assert set.union(*known) == FIELDS.keys()
    assert sum(map(len, known)) == len(FIELDS), "each setting is in one of them"


def test_a_backend_that_is_not_installed_is_reported() -> None:
    with pytest.raises(real_keras.KerasError, match="'theano' is not installed"):
        real_keras.run(RunConfig(), load("sample", 1000), "theano")


def test_looking_for_backends_imports_none() -> None:
    code = (
        "import sys; from core.study.real_keras import available_backends as found; found(); "
        "print([m for m in ('keras', 'jax', 'tensorflow', 'torch') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_backends_need_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"keras": True, "torch": True}
    monkeypatch.setattr(
        real_keras.importlib.util, "find_spec", lambda name: there.get(name) or None
    )
    assert real_keras.available_backends() == ("torch",)
    there["keras"] = False
    assert real_keras.available_backends() == ()
