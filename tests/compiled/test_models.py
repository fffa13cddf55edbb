"""Models compared with stax itself; initial weights with formulas and with frameworks' draws."""

import csv
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

from core.parts.choices import STREAMS
from core.parts.dropout import NOTHING, Drop
from core.parts.initializers import INITIALIZERS, SPREAD
from core.parts.models import MODELS, layers, parameter_names
from tests.kit import ROOT, more
from tests.kit.runs import filled, post_cnn, quick

GLOROT = INITIALIZERS["glorot_normal"]
X = np.random.default_rng(9).normal(size=(5, 784)).astype(np.float32)


def drawn(init: Any, seed: int = 0) -> Any:
    """The weights with which a model starts."""
    with jax.threefry_partitionable(STREAMS["original"].partitionable):
        return quick(lambda key: init(key, (1, 784))[1])(jax.random.PRNGKey(seed))


def test_the_mlp_has_the_weights_of_the_question_s_network_bit_for_bit() -> None:
    question_init, question = stax.serial(stax.Dense(1000), stax.Relu, stax.Dense(1), stax.Sigmoid)
    init, apply, *_ = MODELS["mlp"].build((1000,), 1, GLOROT)
    theirs, ours = drawn(question_init), drawn(init)
    assert [w.shape for w in jax.tree.leaves(ours)] == [(784, 1000), (1000,), (1000, 1), (1,)]
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
    answers = quick(lambda params: jax.nn.sigmoid(apply(params, X)))(ours)
    np.testing.assert_array_equal(answers, quick(lambda params: question(params, X))(theirs))


@pytest.mark.parametrize("widths", [(7,), (7, 5), (3, 1, 4, 1, 5)])
@pytest.mark.parametrize("outputs", [1, 10])
def test_shapes(outputs: int, widths: tuple[int, ...]) -> None:
    init, apply, *_ = MODELS["mlp"].build(widths, outputs, GLOROT)
    shapes: list[tuple[int, ...]] = []

    def init_of(key: jax.Array) -> Any:
        shape, params = init(key, (1, 784))
        shapes.append(shape)
        return params

    params = jax.eval_shape(init_of, jax.random.PRNGKey(0))
    sizes = (784, *widths, outputs)
    expected = [((n, m), (m,)) for n, m in pairwise(sizes)]
    assert [(w.shape, b.shape) for w, b in layers(params)] == expected
    assert shapes == [(1, outputs)]
    assert jax.eval_shape(apply, params, X).shape == (5, outputs)


def test_logits_agree_with_a_product_by_hand() -> None:
    init, apply, *_ = MODELS["mlp"].build((7, 5), 10, GLOROT)
    params, x = filled(init, (1, 784)), np.asarray(X, np.float64)
    *hidden, (last, bias) = [(np.float64(w), np.float64(b)) for w, b in layers(params)]
    for w, b in hidden:
        x = np.maximum(x @ w + b, 0)
    logits = quick(apply)(params, X)
    np.testing.assert_allclose(logits, x @ last + bias, rtol=1e-4, atol=1e-5)


def test_dropout_needs_a_random_key() -> None:
    init, apply, *_ = MODELS["mlp"].build((64,), 1, GLOROT)
    params, key = filled(init, (1, 784)), jax.random.PRNGKey(1)
    plain, half = apply(params, X), Drop(keep_prob=0.5, divisor=0.5, factor=1.0)
    np.testing.assert_array_equal(plain, apply(params, X, drop=half))
    np.testing.assert_array_equal(plain, apply(params, X, rng=key, drop=NOTHING))
    assert jnp.all(plain != apply(params, X, rng=key, drop=half))


@pytest.fixture(scope="module")
def deep() -> tuple[Any, Any]:
    """Weights, and (rng, drop) -> hidden layers and twice the logits, compiled once for all."""
    init, apply, passed = MODELS["mlp"].build((64, 32, 16), 10, GLOROT)
    params = filled(init, (1, 784))

    def both(rng: jax.Array | None, drop: Drop) -> tuple[Any, ...]:
        options: Any = {"rng": rng, "drop": drop}
        logits, hidden = passed(params, X, **options)
        return hidden, logits, apply(params, X, **options)

    return params, quick(both)


@pytest.mark.parametrize("seed", [None, 1], ids=["at test time", "in training"])
@pytest.mark.parametrize("drop", [NOTHING, Drop(0.5, 0.5, 1.0), Drop(0.5, 1.0, 0.5)], ids=str)
def test_hidden_layers_lead_to_the_logits(drop: Drop, seed: int | None, deep: Any) -> None:
    params, both = deep
    rng = None if seed is None else jax.random.PRNGKey(seed)
    each, logits, applied = jax.device_get(both(rng, Drop(*map(np.float32, drop))))
    np.testing.assert_array_equal(logits, applied)
    x = X
    for (w, b), layer in zip(layers(params), each, strict=False):
        np.testing.assert_allclose(layer.units, np.maximum(x @ w + b, 0), atol=1e-5)
        x = layer.units * layer.multipliers
    w, b = layers(params)[-1]
    np.testing.assert_allclose(x @ w + b, logits, atol=1e-5)
    multipliers = np.concatenate([np.unique(layer.multipliers) for layer in each])
    dropped = {0.0, 1 / drop.divisor} if drop.keep_prob < 1 else {1.0}
    assert set(multipliers.tolist()) == ({drop.factor} if rng is None else dropped)


# Initial weights

# A distribution of spread 1: its largest value and its kurtosis.
UNIFORM, NORMAL, ZERO = (np.sqrt(3), 1.8), (np.inf, 3.0), (0.0, np.nan)
TRUNCATED = (2 / 0.8796, 2.365)  # a normal one cut at 2, whose spread is then 0.8796

# The spread and the distribution of weights, and of biases, of a layer from 784 to 512 units.
DRAWN = {
    "glorot_normal": ((np.sqrt(2 / (784 + 512)), TRUNCATED), (0.01, NORMAL)),
    "normal_0.01": ((0.01, NORMAL), (0.01, NORMAL)),
    "keras": ((np.sqrt(2 / (784 + 512)), UNIFORM), (0.0, ZERO)),
    "glorot_uniform": ((np.sqrt(2 / (784 + 512)), UNIFORM), (1.0, NORMAL)),
    "pytorch": ((np.sqrt(1 / 3 / 784), UNIFORM), (np.sqrt(1 / 3 / 784), UNIFORM)),
    "pytorch_weights": ((np.sqrt(1 / 3 / 784), UNIFORM), (0.0, ZERO)),
    "flax": ((np.sqrt(1 / 784), TRUNCATED), (0.0, ZERO)),
    "normal_1": ((1.0, NORMAL), (1.0, NORMAL)),
    "normal": ((SPREAD, NORMAL), (SPREAD, NORMAL)),
}
FRAMEWORKS = {
    "stax": "glorot_normal",
    "keras-jax": "keras", "keras-torch": "keras", "keras-tensorflow": "keras",
    "tf_keras (Keras 2)": "keras",
    "torch": "pytorch", "equinox": "pytorch",
    "flax.linen": "flax", "flax.nnx": "flax",
}  # fmt: skip
with (ROOT / "tests/oracles/init.csv").open(newline="") as file:
    MEASURED = list(csv.DictReader(file))


class Drawn(NamedTuple):
    """What can be said of n values."""

    largest: float  # of their sizes
    std: float
    kurtosis: float
    n: int

    def check(self, spread: float, distribution: tuple[float, float]) -> None:
        """Compare with a distribution, within four standard errors."""
        (bound, kurtosis), by_chance = distribution, np.sqrt(24 / self.n)
        if not spread:
            assert self.largest == self.std == 0
            return
        assert self.std == pytest.approx(spread, rel=2 * np.sqrt((kurtosis - 1) / self.n))
        assert self.kurtosis == pytest.approx(kurtosis, abs=4 * by_chance)
        if np.isfinite(bound):
            assert 1 - 50 / self.n < self.largest / (bound * spread) < 1 + 1e-4


def described(values: Any) -> Drawn:
    values = np.asarray(values, float)
    std = values.std()
    kurtosis = np.mean((values - values.mean()) ** 4) / std**4 if std else np.nan
    return Drawn(np.abs(values).max(), std, kurtosis, values.size)


@pytest.mark.parametrize("key", INITIALIZERS)
def test_initial_weights_are_drawn_as_the_formula_says(key: str) -> None:
    init, *_ = MODELS["mlp"].build((512,), 1, INITIALIZERS[key].drawing())
    for values, expected in zip(layers(drawn(init))[0], DRAWN[key], strict=True):
        described(values).check(*expected)


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['framework']} {row['tensor']}")
def test_each_framework_starts_as_its_row_does(row: dict[str, str]) -> None:
    expected = DRAWN[FRAMEWORKS[row["framework"]]][row["tensor"] == "biases"]
    largest = max(-float(row["min"]), float(row["max"]))
    found = Drawn(largest, float(row["std"]), float(row["kurtosis"] or "nan"), int(row["n"]))
    found.check(*expected)


def test_pytorch_s_biases_know_their_layer_s_inputs() -> None:
    init, *_ = MODELS["mlp"].build((400, 600), 300, INITIALIZERS["pytorch"])
    for (weights, biases), inputs in zip(layers(drawn(init)), (784, 400, 600), strict=True):
        for values in (weights, biases):
            described(values).check(np.sqrt(1 / 3 / inputs), UNIFORM)


def test_layers_skip_what_has_no_weights() -> None:
    assert layers([(1, 2), (), (3, 4), ()]) == [(1, 2), (3, 4)]
    beta, gamma = np.zeros(3), np.ones(3)
    weights, *normalisation = layers([(1, 2), (beta, gamma), (), (3, 4)])[0], *layers([(3, 4)])
    assert weights == (1, 2, beta, gamma) and normalisation == [(3, 4)]


@pytest.mark.parametrize("model", MODELS)
def test_every_parameter_has_its_own_name(model: str) -> None:
    init, *_ = MODELS[model].build((7, 5), 10, GLOROT)
    params = jax.eval_shape(lambda key: init(key, (1, 784))[1], jax.random.PRNGKey(0))
    names = parameter_names(params)
    assert len(set(names)) == len(names) == len(jax.tree.leaves(params))
    for name, leaf in zip(names, jax.tree.leaves(params), strict=True):
        if name.endswith(("biases", "beta", "gamma")):
            assert leaf.size == leaf.shape[-1]  # one for each unit
        else:
            assert leaf.ndim > 1
    hidden = len(jax.eval_shape(MODELS[model].build((7, 5), 10, GLOROT).hidden, params, X))
    assert names[-2:] == [f"layer {hidden + 1} weights", f"layer {hidden + 1} biases"]


# The post's CNN


AXES = {"cnn": (28, 28, 1), "cnn_28_channels": (1, 28, 28)}
KEY = jax.random.PRNGKey(1)  # the post's


@pytest.mark.parametrize("model", [more("cnn"), "cnn_28_channels"])
def test_cnn_is_the_post_s(model: str) -> None:
    (init, apply, passed), (post_init, post) = MODELS[model].build((1,), 10, GLOROT), post_cnn()
    shapes: list[tuple[int, ...]] = []

    @quick
    def drawn(key: jax.Array) -> tuple[Any, Any]:
        shape, params = init(key, (5, 784))
        shapes.append(shape)
        return params, post_init(key, (100, *AXES[model]))[1]

    ours, theirs = drawn(KEY)
    assert shapes == [(5, 10)] and jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert ours[0][0].shape == (5, 5, AXES[model][2], 32)

    @quick
    def all_of(ours: Any, theirs: Any) -> tuple[Any, ...]:
        return *passed(ours, X), apply(ours, X), post(theirs, X.reshape(5, *AXES[model]))

    logits, each, applied, by_post = all_of(ours, theirs)
    np.testing.assert_array_equal(logits, applied)
    np.testing.assert_allclose(logits, by_post, atol=1e-5)
    height = AXES[model][0]
    assert [layer.units.shape for layer in each] == [
        (5, -(-height // 2), 14, 32), (5, -(-height // 4), 7, 32),
        (5, -(-height // 8), 4, 10), (5, -(-height // 16), 2, 10),
    ]  # fmt: skip
    weights, biases = ours[-1]
    last = np.maximum(each[-1].units, 0).reshape(5, -1)
    np.testing.assert_allclose(last @ weights + biases, logits, atol=1e-5)


def test_cnn_drops_nothing() -> None:
    init, apply, *_ = MODELS["cnn_28_channels"].build((1,), 10, GLOROT)
    params = filled(init, (1, 784))
    half = Drop(keep_prob=0.5, divisor=0.5, factor=1.0)
    plain, dropped = (
        quick(lambda options=options: apply(params, X, **options))()
        for options in ({}, {"rng": KEY, "drop": half})
    )
    np.testing.assert_array_equal(plain, dropped)


@pytest.mark.parametrize("n", [1, 7, 100, 101, 250, 1000])
def test_at_test_time_every_image_is_in_one_mixed_batch(n: int) -> None:
    x, sizes = np.arange(n), []

    def look(batch: jax.Array) -> tuple[jax.Array, jax.Array]:
        sizes.append(len(batch))
        return batch, jnp.broadcast_to(batch.max() - batch.min(), len(batch))

    same, spread = quick(lambda: MODELS["cnn"].at_test(look, x))()
    np.testing.assert_array_equal(same, x)
    assert set(sizes) <= {n} if n <= 100 else max(sizes) <= 100
    assert np.min(spread) >= 0.9 * (n - 1), "each batch spans all images"
    plain, _ = MODELS["mlp"].at_test(look, x)
    assert plain is x
