"""Models against stax itself; initial weights against the formulas."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

from core.parts.choices import STREAMS
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
    plain = apply(params, X)
    np.testing.assert_array_equal(plain, apply(params, X, keep_prob=0.5))
    np.testing.assert_array_equal(plain, apply(params, X, rng=key, keep_prob=1.0))
    assert jnp.all(plain != apply(params, X, rng=key, keep_prob=0.5))


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
