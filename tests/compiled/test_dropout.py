"""What the number of a dropout means: each form by its contract, each framework by its layer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from jax.example_libraries import stax

from core.parts.dropout import DROPOUTS, NOTHING, Drop, dropout, meaning
from core.parts.dropout_names import DROPOUT_NAMES
from core.study import real_keras
from tests.kit import every

UNITS = 100_000
X = jnp.linspace(0.5, 1.5, UNITS, dtype=jnp.float32)  # mean 1
KEY = jax.random.PRNGKey(3)
SIGMAS = 6  # how far what is drawn may be from what is expected

# The user's number -> the probability of keeping a unit, the factor of a kept unit in training,
# and the factor of every unit at test time, as the sources document them.
MEANING = {
    "off": lambda v: (1.0, 1.0, 1.0),
    "keep_prob": lambda v: (v, 1 / v, 1.0),
    "rate": lambda v: (1 - v, 1 / (1 - v), 1.0),
    "older": lambda v: (v, 1.0, v),
    "unscaled": lambda v: (1 - v, 1.0, 1.0),
}
INVERTED = ["off", "keep_prob", "rate"]
numbers = st.floats(0.0625, 0.9375, width=32)
forms = pytest.mark.parametrize("form", DROPOUTS)


@jax.jit
def _meaning(index: Any, value: Any) -> Drop:
    return meaning(index, value)


@jax.jit
def _both(index: Any, value: Any, key: Any) -> tuple[Any, Any]:
    drop = meaning(index, value)
    return dropout(X, drop, key), dropout(X, drop)


def both(form: str, value: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """X in training and at test time, compiled once for all forms, numbers and keys."""
    index, key = np.int32(list(DROPOUTS).index(form)), jax.random.PRNGKey(seed)
    trained, tested = _both(index, np.float32(value), key)
    return np.asarray(trained), np.asarray(tested)


def assert_kept(mask: np.ndarray, keep: float) -> None:
    """Assert that the share that is kept is within what chance allows."""
    assert abs(mask.mean() - keep) <= SIGMAS * np.sqrt(keep * (1 - keep) / mask.size)


@forms
@given(value=numbers)
def test_forms_mean_what_their_sources_say(form: str, value: float) -> None:
    found = _meaning(np.int32(list(DROPOUTS).index(form)), np.float32(value))
    keep, multiplier, factor = MEANING[form](value)
    np.testing.assert_allclose(found.keep_prob, keep, rtol=1e-5)
    np.testing.assert_allclose(1 / found.divisor, multiplier, rtol=1e-5)
    np.testing.assert_allclose(found.factor, factor, rtol=1e-6)
    alone = DROPOUTS[form].means(jnp.float32(value))
    np.testing.assert_array_equal(alone, found)


@pytest.mark.parametrize("form", every(2, DROPOUTS))
@given(value=numbers, seed=st.integers(0, 1000))
def test_kept_share_and_survivors(form: str, value: float, seed: int) -> None:
    keep, multiplier, _ = MEANING[form](value)
    trained, _ = both(form, value, seed)
    kept = trained != 0
    assert_kept(kept, keep)
    np.testing.assert_allclose(trained[kept], np.asarray(X)[kept] * multiplier, rtol=1e-5)


@pytest.mark.slow
@forms
@given(value=numbers)
def test_training_and_test_time_agree_on_average_unless_nothing_is_rescaled(
    form: str, value: float
) -> None:
    """The average of a unit is keep_prob / divisor * x in training and factor * x at test time."""
    drop = _meaning(np.int32(list(DROPOUTS).index(form)), np.float32(value))
    expected = drop.keep_prob / drop.divisor
    if form == "unscaled":
        assert expected < drop.factor == 1
    else:
        assert expected == drop.factor
    trained, tested = both(form, value)
    spread = np.sqrt(drop.keep_prob * (1 - drop.keep_prob)) / drop.divisor * 1.1  # X has rms 1.04
    np.testing.assert_allclose(tested.mean(), drop.factor, rtol=1e-5)
    assert abs(trained.mean() - expected) <= SIGMAS * spread / np.sqrt(UNITS) + 1e-5


@pytest.mark.parametrize("form", every(3, [*INVERTED, "unscaled"]))
@given(value=numbers)
def test_evaluation_is_the_identity(form: str, value: float) -> None:
    np.testing.assert_array_equal(both(form, value)[1], X)


@pytest.mark.slow
@given(value=numbers)
def test_the_older_form_is_the_inverted_one_times_the_number(value: float) -> None:
    """The masks are the same, and so are the units once they are multiplied by the number."""
    (old, old_test), (new, new_test) = both("older", value), both("keep_prob", value)
    np.testing.assert_array_equal(old != 0, new != 0)
    np.testing.assert_allclose(old, new * np.float32(value), rtol=1e-6)
    np.testing.assert_allclose(old_test, new_test * np.float32(value), rtol=1e-6)


@pytest.mark.parametrize("key", [None, KEY], ids=["at test time", "in training"])
def test_nothing_dropped_is_the_identity(key: Any) -> None:
    x = jnp.array([0.0, -0.0, 1e38, jnp.inf, jnp.nan, -3.0])
    for drop in (NOTHING, DROPOUTS["off"].means(jnp.float32(0.3))):
        np.testing.assert_array_equal(dropout(x, drop, key).view(int), x.view(int))


@forms
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_units_keep_their_dtype(form: str, dtype: Any) -> None:
    drop, x = DROPOUTS[form].means(np.float32(0.3)), jax.ShapeDtypeStruct(X.shape, dtype)
    for key in (None, KEY):
        assert jax.eval_shape(lambda x, key=key: dropout(x, drop, key), x).dtype == dtype


def test_random_bits_are_drawn_only_where_units_are_dropped() -> None:
    outside = jax.make_jaxpr(dropout)(X, Drop(0.5, 0.5, 1.0), KEY).jaxpr.eqns
    names = [equation.primitive.name for equation in outside]
    assert "cond" in names
    assert not any("random" in name or "threefry" in name for name in names)


def test_gradient_flows_only_through_the_kept_units() -> None:
    quarter = DROPOUTS["keep_prob"].means(jnp.float32(0.25))
    slope = jax.grad(lambda x: jnp.sum(dropout(x, quarter, KEY)))(X)
    np.testing.assert_array_equal(slope, np.where(dropout(X, quarter, KEY) != 0, 4.0, 0.0))


# What each framework means by the number


# What each framework documents for 0.7: kept share, factor of a kept unit in training, factor of
# every unit at test time.
KEEPS, DROPS = (0.7, 1 / 0.7, 1.0), (0.3, 1 / 0.3, 1.0)
DOCUMENTED = {
    "tf1_nn": KEEPS, "tf1_layers": DROPS, "tf2_nn": DROPS, "keras": DROPS, "torch": DROPS,
    "lasagne": DROPS, "lasagne_unscaled": (0.3, 1.0, 1.0), "flax_linen": DROPS, "flax_nnx": DROPS,
    "equinox": DROPS, "stax": KEEPS, "paper": (0.7, 1.0, 0.7),
}  # fmt: skip


@pytest.mark.parametrize("name", DROPOUT_NAMES)
def test_names_mean_what_is_documented(name: str) -> None:
    trained, tested = both(DROPOUT_NAMES[name].means, 0.7)
    keep, multiplier, factor = DOCUMENTED[name]
    kept = trained != 0
    assert_kept(kept, keep)
    np.testing.assert_allclose(trained[kept], np.asarray(X)[kept] * multiplier, rtol=1e-6)
    np.testing.assert_allclose(tested, np.asarray(X) * np.float32(factor), rtol=1e-6)


def test_names_are_written_as_code() -> None:
    assert all(row.call.format(0.7).count("0.7") == 1 for row in DROPOUT_NAMES.values())
    assert {row.means for row in DROPOUT_NAMES.values()} == set(DROPOUTS) - {"off"}
    assert all(row.reference and row.framework for row in DROPOUT_NAMES.values())


def assert_is_row(name: str, theirs: Any, evaluated: Any, value: float) -> None:
    """Assert that a framework's output from KEY is that of its row: same units, same factor."""
    drop = DROPOUTS[DROPOUT_NAMES[name].means].means(jnp.float32(value))
    ours = np.asarray(dropout(X, drop, KEY))
    np.testing.assert_array_equal(np.asarray(theirs) != 0, ours != 0)
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    np.testing.assert_array_equal(evaluated, dropout(X, drop))


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7])
def test_stax_keeps(value: float) -> None:
    (_, train), (_, test) = stax.Dropout(value), stax.Dropout(value, mode="test")
    trained = train((), X, rng=KEY)
    assert_is_row("stax", trained, test((), X, rng=KEY), value)
    assert_kept(np.asarray(trained) != 0, value)


@pytest.mark.parametrize("value", [0.25, 0.5, 0.75])
def test_equinox_drops(value: float) -> None:
    nn = pytest.importorskip("equinox.nn", reason="equinox is not installed")
    layer = nn.Dropout(value)
    assert_is_row("equinox", layer(X, key=KEY), layer(X, inference=True), value)


@pytest.mark.parametrize("value", [0.25, 0.5, 0.75])
def test_flax_drops(value: float) -> None:
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    layer = linen.Dropout(value)
    trained = layer.apply({}, X, deterministic=False, rng=KEY)
    assert_is_row("flax_linen", trained, layer.apply({}, X, deterministic=True), value)
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    layer = nnx.Dropout(value)
    trained = layer(X, rngs=KEY)
    layer.eval()
    assert_is_row("flax_nnx", trained, layer(X), value)


@pytest.mark.parametrize("value", [0.25, 0.7])
def test_torch_drops(value: float) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layer, x = torch.nn.Dropout(value), torch.from_numpy(np.array(X))
    trained = layer(x).numpy()
    layer.eval()
    kept = trained != 0
    assert_kept(kept, 1 - value)
    np.testing.assert_allclose(trained[kept], np.asarray(X)[kept] / (1 - value), rtol=1e-5)
    np.testing.assert_array_equal(layer(x).numpy(), X)


KERAS = """
import json, sys
import jax, keras, numpy as np

folder, *rates = sys.argv[1:]
x, losses = np.load(f"{folder}/x.npy"), {}
for rate in map(float, rates):
    layer = keras.layers.Dropout(rate, seed=1)
    np.save(f"{folder}/trained-{rate}.npy", layer(x, training=True))
    np.save(f"{folder}/tested-{rate}.npy", layer(x, training=False))
    by_key = keras.random.dropout(x, rate, seed=jax.random.PRNGKey(3))
    np.save(f"{folder}/by_key-{rate}.npy", by_key)

    # A model that copies its input, trained without moving, so only the dropping matters.
    ones = np.ones((1000, 1), np.float32)
    weights = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.layers.Dropout(rate, seed=2), weights])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate=0.0), loss="mse")
    fit = model.fit(ones, ones, batch_size=100, verbose=0).history["loss"][0]
    losses[rate] = {"fit": fit, "evaluated": model.evaluate(ones, ones, verbose=0)}
print(json.dumps(losses))
"""
RATES = (0.3, 0.7)


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """What Keras drops at both rates, in one process: a folder of arrays, and losses by rate."""
    folder = tmp_path_factory.mktemp("keras")
    np.save(folder / "x.npy", X)
    printed = subprocess.run(
        [sys.executable, "-c", KERAS, str(folder), *map(str, RATES)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        check=True,
        text=True,
    )
    return folder, json.loads(printed.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(
    "jax" not in real_keras.available_backends(), reason="keras is not installed: pip install keras"
)
@pytest.mark.parametrize("rate", RATES)
def test_keras_drops(rate: float, keras: tuple[Path, dict[str, dict[str, float]]]) -> None:
    folder, losses = keras[0], keras[1][str(rate)]
    trained, tested, by_key = (
        np.load(folder / f"{name}-{rate}.npy") for name in ("trained", "tested", "by_key")
    )
    keep = 1 - rate
    assert_kept(trained != 0, keep)
    np.testing.assert_allclose(trained[trained != 0], X[trained != 0] / keep, rtol=1e-5)
    assert abs(trained.mean() - 1) <= SIGMAS * np.sqrt(rate / keep / UNITS) * 1.1
    assert_is_row("keras", by_key, tested, rate)
    # Keras's fit reports its loss with dropping: the mean of (m/keep - 1)² is (1 - keep)/keep.
    assert losses["evaluated"] == 0
    assert losses["fit"] == pytest.approx(rate / keep, rel=0.3)
