"""What the number means, and that dropping units leaves the expectation alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

from core.parts.dropout import DROPOUTS, dropout, keep_prob

UNITS = 100_000
X = jnp.linspace(0.5, 1.5, UNITS, dtype=jnp.float32)  # mean 1
KEY = jax.random.PRNGKey(3)

# The user's number -> the probability to keep a unit, as the frameworks document it.
MEANING = {"off": lambda v: 1.0, "keep_prob": lambda v: v, "rate": lambda v: 1.0 - v}


@pytest.mark.parametrize("value", [0.05, 0.3, 0.7, 0.95])
@pytest.mark.parametrize(("index", "key"), list(enumerate(DROPOUTS)))
def test_rows_mean_what_their_frameworks_say(index: int, key: str, value: float) -> None:
    probability = jax.jit(keep_prob)(np.int32(index), np.float32(value))
    np.testing.assert_allclose(probability, MEANING[key](value), rtol=1e-6)


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.7, 0.95])
def test_expectation_and_share(keep: float) -> None:
    y = np.asarray(dropout(X, keep, KEY))
    kept = y != 0
    np.testing.assert_allclose(y[kept], np.asarray(X)[kept] / keep, rtol=1e-6)
    sigma = np.sqrt(keep * (1 - keep) / UNITS)
    assert abs(kept.mean() - keep) < 5 * sigma
    assert abs(y.mean() - 1) < 6 * sigma / keep


@pytest.mark.parametrize("keep", [0.3, 0.7])
def test_same_units_as_stax_drops(keep: float) -> None:
    _, theirs = stax.Dropout(keep)  # its `rate` is the probability to keep
    np.testing.assert_array_equal(dropout(X, keep, KEY), theirs((), X, rng=KEY))


def test_keeping_all_is_the_identity() -> None:
    x = jnp.array([0.0, -0.0, 1e38, jnp.inf, jnp.nan, -3.0])
    np.testing.assert_array_equal(dropout(x, 1.0, KEY).view(int), x.view(int))


def test_random_bits_are_drawn_only_where_units_are_dropped() -> None:
    outside = jax.make_jaxpr(dropout)(X, 0.5, KEY).jaxpr.eqns
    names = [equation.primitive.name for equation in outside]
    assert "cond" in names
    assert not any("random" in name or "threefry" in name for name in names)


def test_gradient_flows_through_the_kept_units_alone() -> None:
    slope = jax.grad(lambda x: jnp.sum(dropout(x, 0.25, KEY)))(X)
    np.testing.assert_array_equal(slope, np.where(dropout(X, 0.25, KEY) != 0, 4.0, 0.0))
