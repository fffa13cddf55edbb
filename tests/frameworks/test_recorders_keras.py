"""What the recorder of Keras sees, with the backend that KERAS_BACKEND names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frameworks.probe import installed
from tests.frameworks.test_recorders import assert_sgd, names, read, recorder

# Keras' own get_config says this to NumPy 2 where it asks a variable for its number.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept")

X = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
Y = np.arange(24) % 3


@pytest.fixture(scope="module")
def keras() -> Any:
    return installed("keras")


def network(keras: Any, eager: bool = True, **optimizer: Any) -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, name="same"),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    sgd = keras.optimizers.SGD(**{"learning_rate": 0.1, **optimizer})
    model.compile(sgd, loss, run_eagerly=eager)
    return model


def fit(model: Any, callbacks: list[Any], **how: Any) -> list[float]:
    kept = model.fit(X, Y, batch_size=6, verbose=0, shuffle=False, callbacks=callbacks, **how)
    return kept.history["loss"]


@pytest.mark.slow
def test_an_eager_fit(keras: Any, tmp_path: Path) -> None:
    plain, model, path = network(keras), network(keras), tmp_path / "a"
    expected = fit(plain, [], epochs=2, validation_data=(X, Y))
    model.set_weights(network(keras).get_weights())
    seen = recorder("keras")(path, steps=6, mine=1)
    losses = fit(model, [seen], epochs=2, validation_data=(X, Y))
    told, tensors = read(path)
    assert_sgd(tensors, 6, 0.1)
    assert losses == expected  # recording changes nothing
    assert np.mean([tensors[f"step/{k}/loss"] for k in range(4)]) == pytest.approx(losses[0])
    np.testing.assert_array_equal(tensors["step/5/inputs"], X[6:12])
    np.testing.assert_array_equal(tensors["step/5/labels"], Y[6:12])
    logits = tensors["step/5/outputs"].astype(float)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(p[np.arange(6), Y[6:12]]).mean()
    assert tensors["step/5/loss"] == pytest.approx(loss, rel=1e-5)
    means = [key for key in tensors if key.startswith("step/0/state/") and key.endswith("_mean")]
    assert len(means) == 1 and np.all(tensors[means[0]] == 0)  # before the step
    assert "compute_loss" not in vars(model) and not {"apply", "stateless_apply"} & {
        *vars(model.optimizer)
    }
    settings = told["settings"]
    assert told["backend"] == keras.backend.backend() and settings["mine"] == 1
    assert settings["optimizer"]["class"] == "SGD" and settings["optimizer"]["momentum"] == 0
    assert settings["loss"]["from_logits"] is True
    assert settings["loss"]["reduction"] == "sum_over_batch_size"
    assert settings["dtype_policy"] == "float32"
    assert [each["class"] for each in settings["layers"]][-2:] == ["Dropout", "Dense"]
    assert settings["learning_rates"] == pytest.approx([0.1] * 6)


def test_a_compiled_fit_says_what_it_cannot_record(
    keras: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras compiles nothing with PyTorch unless it is asked to")
    model = network(keras, eager=False)
    fit(model, [recorder("keras")(tmp_path / "a", steps=2)])
    assert "compile(run_eagerly=True)" in capsys.readouterr().out
    told, tensors = read(tmp_path / "a")
    assert told["steps"] == "2"
    assert names(tensors, "step/0/params/") == names(tensors, "step/2/params/")
    assert not names(tensors, "step/0/grads/")
    kernel = next(key for key in names(tensors, "step/0/params/") if key.endswith("kernel"))
    assert np.any(tensors[f"step/0/params/{kernel}"] != tensors[f"step/1/params/{kernel}"])


def test_several_steps_at_once_are_not_recorded(
    keras: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if keras.backend.backend() == "torch":
        pytest.skip("Keras takes no several steps at once with PyTorch")
    model = network(keras)
    model.compile(model.optimizer, model.loss, run_eagerly=True, steps_per_execution=2)
    fit(model, [recorder("keras")(tmp_path / "a", steps=2)])
    assert "steps_per_execution" in capsys.readouterr().out
    assert not (tmp_path / "a").exists()


def test_gradients_are_those_before_the_optimizer_clips_and_accumulates(
    keras: Any, tmp_path: Path
) -> None:
    model = network(keras, global_clipnorm=0.01)
    fit(model, [recorder("keras")(tmp_path / "a", steps=1)])
    told, tensors = read(tmp_path / "a")
    grads = {n: tensors[f"step/0/grads/{n}"] for n in names(tensors, "step/0/grads/")}
    norm = sum(float(np.sum(np.square(g))) for g in grads.values()) ** 0.5
    assert told["settings"]["optimizer"]["global_clipnorm"] == 0.01 < norm
    for name, grad in grads.items():
        moved = tensors[f"step/1/params/{name}"] - tensors[f"step/0/params/{name}"]
        np.testing.assert_allclose(moved, -0.1 * grad * 0.01 / norm, atol=1e-6)

    model = network(keras, gradient_accumulation_steps=2)
    fit(model, [recorder("keras")(tmp_path / "b", steps=2)])
    _, tensors = read(tmp_path / "b")
    for name in names(tensors, "step/0/grads/"):
        first, second, third = (tensors[f"step/{k}/params/{name}"] for k in range(3))
        mean = (tensors[f"step/0/grads/{name}"] + tensors[f"step/1/grads/{name}"]) / 2
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(third - second, -0.1 * mean, atol=1e-6)


def test_names_that_two_variables_share_and_inputs_by_name(keras: Any, tmp_path: Path) -> None:
    class Twice(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.both = [keras.Variable(np.ones((4, 3), "float32"), name="w") for _ in range(2)]

        def call(self, x: Any) -> Any:
            one, two = (
                keras.ops.matmul(x[key], w)
                for key, w in zip(("one", "two"), self.both, strict=True)
            )
            return one + two

    model = Twice()
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    x, y = {"one": X, "two": 2 * X}, np.zeros((24, 3), np.float32)
    seen = recorder("keras")(tmp_path / "a", steps=5)
    model.fit(x, y, batch_size=12, sample_weight=np.full(24, 0.5), verbose=0, callbacks=[seen])
    told, tensors = read(tmp_path / "a")
    assert told["steps"] == "2"  # the fit was shorter
    assert_sgd(tensors, 2, 0.1)
    assert len(names(tensors, "step/0/params/")) == 2
    assert names(tensors, "step/0/inputs/") == {"one", "two"}
    assert np.all(tensors["step/1/weights"] == 0.5)
    seen.evaluation(x, y, model.predict(x, verbose=0), accuracy=0.3)
    _, tensors = read(tmp_path / "a")
    assert tensors["eval/outputs"].shape == (24, 3) and tensors["eval/metrics/accuracy"] == 0.3
