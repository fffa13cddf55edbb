"""Models against stax itself; initial weights against the formulas."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

from core.parts.choices import STREAMS
from core.parts.dropout import NOTHING, Drop
from core.parts.models import INITIALIZERS, MODELS, layers

GLOROT = INITIALIZERS["glorot_normal"]
X = jax.random.normal(jax.random.PRNGKey(9), (5, 784))


def test_question_has_its_own_weights_bit_for_bit() -> None:
    question_init, question = stax.serial(stax.Dense(1000), stax.Relu, stax.Dense(1), stax.Sigmoid)
    init, apply, _ = MODELS["mlp"].build((1000,), 1, GLOROT)
    with jax.threefry_partitionable(STREAMS["original"].partitionable):
        _, theirs = question_init(jax.random.PRNGKey(0), (1, 784))
        _, ours = init(jax.random.PRNGKey(0), (1, 784))
    assert [w.shape for w in jax.tree.leaves(ours)] == [(784, 1000), (1000,), (1000, 1), (1,)]
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(ours), jax.tree.leaves(theirs))
    np.testing.assert_array_equal(jax.nn.sigmoid(apply(ours, X)), question(theirs, X))


@pytest.mark.parametrize("widths", [(7,), (7, 5), (3, 1, 4, 1, 5)])
@pytest.mark.parametrize("outputs", [1, 10])
@pytest.mark.parametrize("model", MODELS)
def test_shapes(model: str, outputs: int, widths: tuple[int, ...]) -> None:
    init, apply, _ = MODELS[model].build(widths, outputs, GLOROT)
    shape, params = init(jax.random.PRNGKey(0), (1, 784))
    sizes = (784, *widths, outputs)
    expected = [((n, m), (m,)) for n, m in pairwise(sizes)]
    assert [(w.shape, b.shape) for w, b in layers(params)] == expected
    assert shape == (1, outputs) and apply(params, X).shape == (5, outputs)


@pytest.mark.parametrize("model", MODELS)
def test_logits_are_written_by_hand(model: str) -> None:
    init, apply, _ = MODELS[model].build((7, 5), 10, GLOROT)
    _, params = init(jax.random.PRNGKey(0), (1, 784))
    x = np.asarray(X, np.float64)
    *hidden, (last, bias) = [(np.float64(w), np.float64(b)) for w, b in layers(params)]
    for w, b in hidden:
        x = np.maximum(x @ w + b, 0)
    np.testing.assert_allclose(apply(params, X), x @ last + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_dropout_needs_a_random_key(model: str) -> None:
    init, apply, _ = MODELS[model].build((64,), 1, GLOROT)
    _, params = init(jax.random.PRNGKey(0), (1, 784))
    key = jax.random.PRNGKey(1)
    plain, half = apply(params, X), Drop(keep_prob=0.5, divisor=0.5, factor=1.0)
    np.testing.assert_array_equal(plain, apply(params, X, drop=half))
    np.testing.assert_array_equal(plain, apply(params, X, rng=key, drop=NOTHING))
    assert jnp.all(plain != apply(params, X, rng=key, drop=half))


@pytest.mark.parametrize("rng", [None, jax.random.PRNGKey(1)], ids=["at test time", "in training"])
@pytest.mark.parametrize("drop", [NOTHING, Drop(0.5, 0.5, 1.0), Drop(0.5, 1.0, 0.5)], ids=str)
@pytest.mark.parametrize("model", MODELS)
def test_hidden_layers_are_those_of_the_logits(
    model: str, drop: Drop, rng: jax.Array | None
) -> None:
    init, apply, hidden = MODELS[model].build((64, 32, 16), 10, GLOROT)
    _, params = init(jax.random.PRNGKey(0), (1, 784))
    each = hidden(params, X, rng=rng, drop=drop)
    x = X
    for (w, b), layer in zip(layers(params), each, strict=False):
        np.testing.assert_allclose(layer.units, jnp.maximum(x @ w + b, 0), atol=1e-5)
        x = layer.units * layer.multipliers
    w, b = layers(params)[-1]
    np.testing.assert_allclose(x @ w + b, apply(params, X, rng=rng, drop=drop), atol=1e-5)
    multipliers = np.concatenate([np.unique(layer.multipliers) for layer in each])
    dropped = {0.0, 1 / drop.divisor} if drop.keep_prob < 1 else {1.0}
    assert set(multipliers.tolist()) == ({drop.factor} if rng is None else dropped)


# (spread of the weights, spread of the biases) of a 784 x 600 layer, by the formulas.
SPREADS = {
    "glorot_normal": (np.sqrt(2 / (784 + 600)), 0.01),
    "normal_0.01": (0.01, 0.01),
    "keras": (np.sqrt(2 / (784 + 600)), 0.0),
    "glorot_uniform": (np.sqrt(6 / (784 + 600)) / np.sqrt(3), 1.0),
}


@pytest.mark.parametrize("key", INITIALIZERS)
def test_initial_spread(key: str) -> None:
    row = INITIALIZERS[key]
    weights = row.weights(jax.random.PRNGKey(0), (784, 600))
    biases = row.biases(jax.random.PRNGKey(1), (600,))
    of_weights, of_biases = SPREADS[key]
    assert np.std(weights) == pytest.approx(of_weights, rel=0.01)
    assert np.std(biases) == pytest.approx(of_biases, rel=0.15)
    if key in ("keras", "glorot_uniform"):
        assert np.abs(weights).max() <= of_weights * np.sqrt(3)


def test_layers_are_those_with_weights() -> None:
    assert layers([(1, 2), (), (3, 4), ()]) == [(1, 2), (3, 4)]
