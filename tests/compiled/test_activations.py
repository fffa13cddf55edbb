"""Activations compared with their formulas, in float64 and in a network."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.parts.activations import ACTIVATIONS
from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS, layers
from tests.kit.runs import filled, quick, tiny, trained

FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu_0.01": lambda x: np.where(x > 0, x, 0.01 * x),
    "leaky_relu_0.3": lambda x: np.where(x > 0, x, 0.3 * x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "gelu": lambda x: x * np.vectorize(math.erfc)(-x / np.sqrt(2)) / 2,
    "gelu_tanh": lambda x: x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
}
# Both signs, and sizes from almost 0, where ReLU has a corner, to where all is saturated.
SIZES = np.logspace(-3, 2.5, 200)
X = np.concatenate([-SIZES[::-1], SIZES])


def of(key: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An activation's values and slopes."""
    function = ACTIVATIONS[key].function
    both = quick(lambda x: (function(x), jax.vmap(jax.grad(function))(x)))(x)
    values, slopes = jax.device_get(both)
    return values, slopes


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_values_and_slopes_are_those_of_the_formula(key: str) -> None:
    with jax.enable_x64(True):
        values, slopes = of(key, X)
    formula, h = FORMULAS[key], 1e-4 * np.abs(X)
    assert values.dtype == slopes.dtype == np.float64
    np.testing.assert_allclose(values, formula(X), rtol=1e-12, atol=1e-14)
    by_differences = (formula(X + h) - formula(X - h)) / (2 * h)
    np.testing.assert_allclose(slopes, by_differences, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_the_number_format_is_kept(key: str, dtype: str) -> None:
    assert jax.eval_shape(ACTIVATIONS[key].function, jnp.ones(3, dtype)).dtype == dtype


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_a_unit_that_is_0_learns_nothing(key: str) -> None:
    """So what is said of dead units is true of every activation; GELU's slope fades a bit later."""
    values, slopes = of(key, np.float32(X))
    assert np.all(np.abs(slopes[values == 0]) < 1e-36)
    assert np.any(values == 0) == (key in ("relu", "sigmoid", "gelu", "gelu_tanh"))


def test_the_gelus_differ_as_the_frameworks_do() -> None:
    """What PyTorch's and JAX's defaults were measured to make of 1."""
    one = jnp.float32(1)
    assert ACTIVATIONS["gelu"].function(one) == pytest.approx(0.841345, abs=1e-6)
    assert ACTIVATIONS["gelu_tanh"].function(one) == pytest.approx(0.841192, abs=1e-6)
    off = np.abs(FORMULAS["gelu"](X) - FORMULAS["gelu_tanh"](X)).max()
    assert 1e-4 < off < 1e-3, "the row says so"


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_a_network_has_it_after_every_hidden_layer(key: str) -> None:
    init, apply, passed = MODELS["mlp"].build(
        (7, 5), 10, INITIALIZERS["glorot_normal"], ACTIVATIONS[key]
    )
    params = filled(init, (1, 784), spread=0.1)
    images = np.random.default_rng(9).normal(size=(5, 784)).astype(np.float32)
    *each, (last, bias) = [(np.float64(w), np.float64(b)) for w, b in layers(params)]
    x = np.float64(images)
    logits, hidden = passed(params, images)
    for (w, b), layer in zip(each, hidden, strict=True):
        x = FORMULAS[key](x @ w + b)
        np.testing.assert_allclose(layer.units, x, rtol=1e-4, atol=1e-5)
    for given in (logits, apply(params, images)):
        np.testing.assert_allclose(given, x @ last + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_a_run_learns_with_it(key: str) -> None:
    looks = trained(tiny(activation=key, learning_rate=0.1))
    assert looks[-1].loss < looks[0].loss
