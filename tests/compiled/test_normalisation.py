"""BatchNorm against Keras itself and NumPy: alone, and in runs with their running averages."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig
from core.data import load
from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS
from core.parts.normalisations import (
    NORM_VARIANCES,
    NORMALISATIONS,
    Moments,
    Norm,
    averaged,
)
from core.run import train
from core.run.diagnosis import diagnose
from core.run.prepare import device_data
from core.study import lanes, real_keras, states, twins
from tests.kit.runs import DIGITS, NORMED, filled, quick, trained

BATCH_NORM = NORMALISATIONS["batch_norm"]
RNG = np.random.default_rng(5)
# Three batches of 8 with 4 units each, of which the first hardly varies; one to test.
BATCHES = np.float32(RNG.normal(size=(3, 8, 4)) * [0.03, 1, 1, 20] + [0, 1, -2, 30])
TESTED = np.float32(RNG.normal(size=(5, 4)))
BETA, GAMMA = np.float32(RNG.normal(size=4)), np.float32(RNG.uniform(0.5, 2, 4))
PULL = np.float32(RNG.normal(size=(8, 4)))  # the slope of a loss by the layer's results
MOMENTUM, EPSILON = 0.97, 0.02
TRAINING = Norm(EPSILON)

KERAS = """
import sys
import jax, keras, numpy as np

folder, momentum, epsilon = sys.argv[1], *map(float, sys.argv[2:])
given = np.load(f"{folder}/given.npz")
layer = keras.layers.BatchNormalization(momentum=momentum, epsilon=epsilon)
layer.build((None, 4))
layer.gamma.assign(given["gamma"])
layer.beta.assign(given["beta"])
found = {}
for i, x in enumerate(given["batches"]):
    found[f"y{i}"] = layer(x, training=True)
    found[f"mean{i}"], found[f"variance{i}"] = map(
        np.asarray, (layer.moving_mean.value, layer.moving_variance.value)
    )
found["tested"] = layer(given["tested"], training=False)

def loss(weights, x):
    fixed = [v.value for v in layer.non_trainable_variables]
    y, _ = layer.stateless_call(weights, fixed, x, training=True)
    return (given["pull"] * y).sum()

by_example = keras.layers.LayerNormalization(epsilon=epsilon)
by_example.build((None, 4))
by_example.gamma.assign(given["gamma"])
by_example.beta.assign(given["beta"])
found["by_example"] = by_example(given["batches"][2])

weights = [v.value for v in layer.trainable_variables]
(gamma, beta), x = jax.grad(loss, argnums=(0, 1))(weights, given["batches"][0])
np.savez(f"{folder}/found.npz", **found, by_gamma=gamma, by_beta=beta, by_x=x)
"""


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What Keras's own layer makes of the batches, of the tested numbers and of a gradient."""
    if "jax" not in real_keras.available_backends():
        pytest.skip("keras is not installed: pip install keras")
    folder: Path = tmp_path_factory.mktemp("keras")
    given = {"batches": BATCHES, "tested": TESTED, "pull": PULL, "beta": BETA, "gamma": GAMMA}
    np.savez(folder / "given.npz", **given)
    subprocess.run(
        [sys.executable, "-c", KERAS, str(folder), str(MOMENTUM), str(EPSILON)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        check=True,
    )
    with np.load(folder / "found.npz") as found:
        return dict(found)


def normalised(x: Any, weights: Any = (BETA, GAMMA), norm: Norm = TRAINING) -> Any:
    return BATCH_NORM.normalise(jnp.asarray(x), weights, norm, 0)


def over_batches(momentum: float, variance: str) -> Iterator[tuple[Any, Moments]]:
    """Yield each batch's result and the running averages after it."""
    running = (BATCH_NORM.start(4, np.float32),)
    for x in BATCHES:
        y, moments = normalised(x)
        factor = NORM_VARIANCES[variance].factor(len(x))
        running = averaged(running, (moments,), momentum, factor)
        yield y, running[0]


@pytest.mark.slow
def test_training_and_running_averages_are_those_of_keras(keras: dict[str, np.ndarray]) -> None:
    for i, (y, kept) in enumerate(over_batches(MOMENTUM, "biased")):
        np.testing.assert_allclose(y, keras[f"y{i}"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(kept.mean, keras[f"mean{i}"], rtol=1e-5)
        np.testing.assert_allclose(kept.variance, keras[f"variance{i}"], rtol=1e-5)
    tested, _ = normalised(TESTED, norm=Norm(EPSILON, (kept,), False))
    np.testing.assert_allclose(tested, keras["tested"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_gradients_are_those_of_keras(keras: dict[str, np.ndarray]) -> None:
    def loss(weights: Any, x: Any) -> Any:
        return jnp.sum(PULL * normalised(x, weights)[0])

    (beta, gamma), x = jax.grad(loss, argnums=(0, 1))((BETA, GAMMA), BATCHES[0])
    np.testing.assert_allclose(beta, keras["by_beta"], rtol=1e-5)
    np.testing.assert_allclose(gamma, keras["by_gamma"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x, keras["by_x"], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_layer_norm_is_that_of_keras(keras: dict[str, np.ndarray]) -> None:
    layer_norm = NORMALISATIONS["layer_norm"]
    x, weights = jnp.asarray(BATCHES[2]), (BETA, GAMMA)
    y, moments = layer_norm.normalise(x, weights, TRAINING, 0)
    np.testing.assert_allclose(y, keras["by_example"], rtol=1e-4, atol=1e-5)
    alone, _ = layer_norm.normalise(x[:1], weights, Norm(EPSILON, (), own=False), 0)
    np.testing.assert_allclose(alone, y[:1], rtol=1e-6)
    assert moments == () == layer_norm.start(4, np.float32)


def test_a_run_with_layer_norm_has_no_averages_and_uses_only_epsilon() -> None:
    config = replace(NORMED, normalisation="layer_norm", norm_test="batch")
    assert config.norm_test == "running" and config.norm_epsilon == NORMED.norm_epsilon
    types = train.start_types(train.shape(config))
    assert types.running == () and [leaf.shape for leaf in types.params[1]] == [(16,), (16,)]


def kept_by_numpy(momentum: float, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = np.zeros(4), np.ones(4)
    for x in np.float64(BATCHES):
        mean = momentum * mean + (1 - momentum) * x.mean(0)
        variance = momentum * variance + (1 - momentum) * x.var(0, ddof=ddof)
    return mean, variance


@pytest.mark.parametrize("momentum", [0.0, 0.01, 0.9, 0.99])
@pytest.mark.parametrize(("variance", "ddof"), [("biased", 0), ("unbiased", 1)])
def test_the_variance_that_is_kept_is_over_n_or_n_minus_1(
    variance: str, ddof: int, momentum: float
) -> None:
    *_, (_, kept) = over_batches(momentum, variance)
    mean, square = kept_by_numpy(momentum, ddof)
    np.testing.assert_allclose(kept.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(kept.variance, square, rtol=1e-5)


def test_running_averages_are_those_of_pytorch_if_it_is_installed() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layer = torch.nn.BatchNorm1d(4, momentum=1 - MOMENTUM)
    for x in BATCHES:
        layer(torch.from_numpy(x.copy()))
    *_, (_, kept) = over_batches(MOMENTUM, "unbiased")
    np.testing.assert_allclose(kept.mean, layer.running_mean.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(kept.variance, layer.running_var.numpy(), rtol=1e-4)


def test_a_batch_of_one_has_no_variance() -> None:
    assert NORM_VARIANCES["unbiased"].factor(1) == 1.0
    y, moments = normalised(BATCHES[0][:1])
    np.testing.assert_array_equal(y[0], BETA)
    np.testing.assert_array_equal(moments.variance, 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_statistics_are_computed_in_float32_at_least(dtype: str) -> None:
    """Squares of 300 overflow in float16, and their sum stops growing in bfloat16."""
    x = jnp.asarray(RNG.normal(size=(1000, 4)) * 300 + 1000, dtype)
    weights = tuple(jnp.asarray(each, dtype) for each in (BETA, GAMMA))
    y, moments = normalised(x, weights)
    exact = np.float64(x)
    assert (y.dtype, moments.mean.dtype, moments.variance.dtype) == (x.dtype, "float32", "float32")
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, exact.var(0), rtol=1e-4)
    beta, gamma = map(np.float64, weights)
    expected = gamma * (exact - exact.mean(0)) / np.sqrt(exact.var(0) + EPSILON) + beta
    np.testing.assert_allclose(np.float64(y), expected, atol=8 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_running_averages_are_in_float32_at_least(precision: str, dtype: str) -> None:
    types = train.start_types(train.shape(replace(NORMED, precision=precision)))
    assert {leaf.dtype for leaf in jax.tree.leaves(types.running)} == {np.dtype(dtype)}
    assert [m.mean.shape for m in types.running] == [(16,), (8,)]


numbers = st.floats(-100, 100, width=32)


@pytest.mark.slow
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=9), numbers)
def test_a_shift_of_all_examples_changes_nothing_but_the_mean(
    rows: list[list[float]], shift: float
) -> None:
    x = np.float32(rows)
    weights = np.zeros(3, np.float32), np.ones(3, np.float32)
    (y, here), (z, there) = (normalised(each, weights, Norm(1.0)) for each in (x, x + shift))
    np.testing.assert_allclose(y, z, atol=1e-3)
    np.testing.assert_allclose(here.mean + shift, there.mean, atol=1e-3)
    assert np.all(np.abs(np.mean(y, axis=0)) < 1e-3) and np.all(np.var(y, axis=0) < 1.001)


@given(st.floats(0, 0.9999), numbers, numbers, st.floats(0, 100), st.floats(0, 100))
def test_an_average_stays_between_the_old_one_and_the_batch_s(
    momentum: float, old: float, new: float, before: float, batch: float
) -> None:
    pair = [Moments(np.float32([m]), np.float32([v])) for m, v in ((old, before), (new, batch))]
    ((mean, variance),) = averaged(pair[:1], pair[1:], momentum, 1.0)
    for value, ends in ((mean, (old, new)), (variance, (before, batch))):
        assert min(ends) - 1e-4 <= float(value[0]) <= max(ends) + 1e-4


# Networks and runs


def test_a_network_starts_from_the_weights_that_it_has_without_batch_norm() -> None:
    def start(key: str) -> Any:
        build = MODELS["mlp"].build
        init, *_ = build((7, 5), 10, INITIALIZERS["keras"], normalisation=NORMALISATIONS[key])
        return quick(lambda seed: init(seed, (1, 784))[1])(jax.random.PRNGKey(3))

    plain, normed = start("none"), start("batch_norm")
    for i, width in ((1, 7), (3, 5)):
        beta, gamma = normed[i]
        np.testing.assert_array_equal(beta, np.zeros(width))
        np.testing.assert_array_equal(gamma, np.ones(width))
    for i in (0, 2, 4):
        jax.tree.map(np.testing.assert_array_equal, plain[i], normed[i])
    assert train.parameters(train.shape(NORMED))[:4] == (
        "layer 1 weights", "layer 1 biases", "layer 1 beta", "layer 1 gamma",
    )  # fmt: skip


def test_the_network_s_functions_agree_with_numpy_in_training_and_at_test_time() -> None:
    build, form = MODELS["mlp"].build, NORMALISATIONS["batch_norm"]
    init, apply, passed = build((7, 5), 10, INITIALIZERS["keras"], normalisation=form)
    params = filled(init, (1, 784), spread=0.3)
    x = np.float32(RNG.normal(size=(9, 784)))
    running = tuple(Moments(np.float32(RNG.normal(size=w)), np.full(w, 2, "f")) for w in (7, 5))
    for norm in (Norm(EPSILON), Norm(EPSILON, running, False), Norm(EPSILON, running, True)):
        each = quick(
            lambda params, x, norm=norm: [f(params, x, norm=norm) for f in (apply, passed)]
        )
        logits, (alike, layers) = each(params, x)
        expected, units, moments = by_numpy(params, x, norm)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(alike, logits, rtol=1e-5, atol=1e-5)
        for layer, own, batch in zip(layers, units, moments, strict=True):
            np.testing.assert_allclose(layer.units, own, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(layer.moments.mean, batch[0], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(layer.moments.variance, batch[1], rtol=1e-4)


def by_numpy(params: Any, x: np.ndarray, norm: Norm) -> tuple[np.ndarray, list[Any], list[Any]]:
    """Logits, hidden units and each batch's mean and variance, in float64."""
    y, units, moments = np.float64(x), [], []
    dense, more = params[::2], params[1::2]
    for place, ((w, b), (beta, gamma)) in enumerate(zip(dense, more, strict=False)):
        z = y @ np.float64(w) + np.float64(b)
        moments.append((z.mean(0), z.var(0)))
        own = not norm.running or norm.own
        mean, variance = moments[-1] if own else map(np.float64, norm.running[place])
        z = np.float64(gamma) * (z - mean) / np.sqrt(variance + norm.epsilon) + np.float64(beta)
        y = np.maximum(z, 0)
        units.append(y)
    w, b = dense[-1]
    return y @ np.float64(w) + np.float64(b), units, moments


@pytest.mark.slow
@pytest.mark.parametrize(("variance", "ddof"), [("biased", 0), ("unbiased", 1)])
def test_a_run_keeps_the_averages_of_its_own_batches(variance: str, ddof: int) -> None:
    config = replace(NORMED, norm_momentum=0.8, norm_variance=variance)
    data, knobs, step = device_data(config), train.knobs(config), train.Step(train.shape(config))
    kept = [(np.zeros(w), np.ones(w)) for w in config.widths]
    for at in states.states(config, data):
        for moments, (mean, square) in zip(at.state.running, kept, strict=True):
            np.testing.assert_allclose(moments.mean, mean, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(moments.variance, square, rtol=1e-3)
        if int(at.state.step) == config.steps:
            break
        x, *_ = step.batch(at.state, data.train_images, data.train_labels, at.order, knobs)
        _, _, batch = by_numpy(jax.device_get(at.state.params), np.asarray(x), Norm(1e-5))
        n = config.batch_size
        kept = [
            (0.8 * mean + 0.2 * m, 0.8 * square + 0.2 * v * n / (n - ddof))
            for (mean, square), (m, v) in zip(kept, batch, strict=True)
        ]


def ended(config: RunConfig) -> train.State:
    *_, end = states.states(config, device_data(config))
    return end.state


@pytest.mark.parametrize("test", ["running", "batch"])
def test_held_out_images_are_normalised_by_averages_or_by_batches_of_100(test: str) -> None:
    config = replace(NORMED, norm_test=test)
    data, state = load(config.source, config.train_size), jax.device_get(ended(config))
    x = np.asarray(train.pixels(jnp.asarray(data.test_images), train.knobs(config)))
    norm = Norm(1e-5, state.running, test == "batch")
    mixed = [slice(i, None, len(x) // 100) for i in range(len(x) // 100)]
    batches = mixed if test == "batch" else [slice(None)]
    right = [
        np.argmax(by_numpy(state.params, x[each], norm)[0], axis=1) == data.test_labels[each]
        for each in batches
    ]
    last = trained(config)[-1]
    assert last.test_accuracy == pytest.approx(np.mean(np.concatenate(right)), abs=0.0021)
    other = replace(config, norm_test="batch" if test == "running" else "running")
    assert trained(other)[-1].test_accuracy != last.test_accuracy, "they can be told apart"


def test_the_numbers_of_batch_norm_are_knobs_and_only_epsilon_changes_training() -> None:
    changes: dict[str, Any] = {
        "norm_momentum": 0.5, "norm_variance": "unbiased", "norm_test": "batch",
        "norm_epsilon": 0.5,
    }  # fmt: skip
    plain = ended(NORMED)
    for name, value in changes.items():
        config = replace(NORMED, **{name: value})
        assert train.shape(config) == train.shape(NORMED)
        same = jax.tree.map(np.array_equal, plain.params, ended(config).params)
        assert all(jax.tree.leaves(same)) == (name != "norm_epsilon")


def test_a_run_that_goes_on_later_keeps_its_averages() -> None:
    data, knobs = device_data(NORMED), train.knobs(NORMED)
    program = train.program(train.shape(NORMED))
    middle = next(at.state for at in states.states(NORMED, data) if at.state.step == 5)
    images = data.test_images[:1000], data.test_labels[:1000]
    held_out = program.held_out(1000)
    kept = held_out(middle.weights, *images, knobs)
    fresh = held_out(program.init(knobs).weights._replace(params=middle.params), *images, knobs)
    resumed = train.ticks(NORMED, program, data, jax.tree.map(jnp.copy, middle))
    look = next(look for look in resumed if look is not None)
    assert look.test_accuracy == float(kept) != float(fresh)


@pytest.mark.slow
def test_a_mapped_run_ends_as_alone() -> None:
    configs = [replace(NORMED, norm_momentum=m, norm_test=t)
               for m, t in ((0.9, "running"), (0.5, "running"), (0.9, "batch"))]  # fmt: skip
    found = [each for each in lanes.runs(configs, device_data(NORMED)) if each is not None]
    held_out = np.concatenate([each.held_out for each in found])
    alone = np.float32([trained(config)[-1].test_accuracy for config in configs])
    np.testing.assert_array_equal(held_out, alone)


def test_a_loss_that_other_averages_raise_is_not_put_down_to_the_steps() -> None:
    """Without a memory the averages are those of a small batch; the weights hardly move."""
    config = replace(NORMED, norm_momentum=0.0, learning_rate=1e-4)
    looks = trained(config)
    rises = [i for i, look in enumerate(looks) if look.loss > looks[0].loss + 0.01]
    assert rises
    for i in rises:
        causes = {found.cause for found in diagnose(config, looks[: i + 1])}
        assert "too_large" not in causes


# Twins


@pytest.mark.slow
def test_twins_with_other_averages_train_alike_and_are_tested_otherwise() -> None:
    a, b = NORMED, replace(NORMED, norm_momentum=0.0)
    data = load(a.source, a.train_size)
    assert list(filter(None, twins.first_divergence(a, b, data))) == []
    swap = twins.swap(a, b, data)
    assert swap.final[0] != swap.final[1] and swap.swapped == swap.final[::-1]
    other = replace(NORMED, norm_epsilon=0.1)
    (found,) = filter(None, twins.first_divergence(a, other, data))
    assert found.step == 0


def test_runs_with_and_without_batch_norm_are_no_twins() -> None:
    plain = replace(NORMED, normalisation="none")
    with pytest.raises(ValueError, match=r"normalisation is 'batch_norm' .* and 'none'"):
        twins.twin_differences(NORMED, plain)
    assert twins.nearest_twin(plain, NORMED) == plain
    assert replace(DIGITS, norm_momentum=0.5) == DIGITS
