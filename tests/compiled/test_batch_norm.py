"""BatchNorm of pictures: stax's own numbers, forwards and backwards, in fewer sums."""

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import Array
from jax.example_libraries import stax

from core.parts.batch_norm import batch_norm
from tests.kit.runs import quick

_, STAX = stax.BatchNorm()


def both_ways(function: Any) -> Any:
    """x, beta, gamma and a slope -> what the function gives, and its gradients by the first three.

    Compiled once for each number format.
    """

    def run(x: Array, beta: Array, gamma: Array, slope: Array) -> list[Array]:
        y, back = jax.vjp(function, x, beta, gamma)
        return [y, *back(slope)]

    return quick(run)


OURS = both_ways(batch_norm)
THEIRS = both_ways(lambda x, beta, gamma: STAX((beta, gamma), x))


@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-9), ("float32", 2e-4)])
@given(
    seed=st.integers(0, 2**32 - 1),
    mean=st.floats(-3, 3),
    spread=st.floats(0.1, 10),
    dead=st.booleans(),
)
def test_it_gives_the_numbers_of_stax(
    dtype: str, close: float, seed: int, mean: float, spread: float, dead: bool
) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(mean * spread, spread, (5, 4, 3, 2))
    x[..., 1] *= not dead  # a filter that gives 0 everywhere: its variance is 0
    gamma, beta = random.normal(size=(2, 2))
    slope = random.normal(size=x.shape)
    with jax.enable_x64(True):
        given = [each.astype(dtype) for each in (x, beta, gamma, slope)]
        ours, theirs = jax.device_get((OURS(*given), THEIRS(*given)))
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=close, atol=close * max(np.abs(b).max(), 1))


def test_in_half_precision_it_is_stax_s_own() -> None:
    random = np.random.default_rng(0)
    x, slope = random.normal(5, 2, (2, 4, 3, 3, 2)).astype(np.float16)
    beta, gamma = random.normal(size=(2, 2)).astype(np.float16)
    ours, theirs = (each(x, beta, gamma, slope) for each in (OURS, THEIRS))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)
