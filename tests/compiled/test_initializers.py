"""Initial weights whose spread is chosen, and biases apart from kernels."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.parts.initializers import BIASES, INITIALIZERS, uses_spread
from core.parts.models import layers
from core.run import train
from tests.kit.runs import tiny


def drawn(config: RunConfig) -> list[list[np.ndarray]]:
    """Kernel and biases of each layer, as the trainer draws them; nothing is compiled."""
    shape = train.shape(config)
    with train.numerics(shape), jax.disable_jit():
        params = train.Step(shape).draw(train.knobs(config)).params
    return [[np.asarray(each) for each in layer] for layer in layers(params)]


WIDE = tiny(task="digits", widths=(400,), initializer="normal")


@pytest.mark.parametrize("spread", [1e-3, 0.05, 1.0])
def test_a_chosen_spread_is_that_of_weights_and_biases(spread: float) -> None:
    (kernel, biases), _ = drawn(replace(WIDE, initial_spread=spread))
    assert np.std(kernel) == pytest.approx(spread, rel=0.01)
    assert np.std(biases) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize(("spread", "fixed"), [(0.01, "normal_0.01"), (1.0, "normal_1")])
def test_weights_of_a_fixed_spread_are_those_of_the_same_chosen_one(
    spread: float, fixed: str
) -> None:
    one, other = (
        drawn(replace(WIDE, initial_spread=spread)),
        drawn(replace(WIDE, initializer=fixed)),
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


EXPECTED: dict[str, Any] = {
    "zeros": (0, 0), "uniform": (1 / 28, 1 / 28 / np.sqrt(3)), "normal_0.01": (0.05, 0.01),
    "normal_1": (5, 1), "normal": (1, 0.2),
}  # fmt: skip


@pytest.mark.parametrize("key", [key for key in BIASES if key != "own"])
def test_biases_are_drawn_apart_and_leave_the_kernels_as_they_are(key: str) -> None:
    plain = tiny(task="digits", widths=(400,), initializer="flax")
    (kernel, _), last = drawn(plain)
    (same, biases), other = drawn(replace(plain, biases=key, initial_spread=0.2))
    np.testing.assert_array_equal(kernel, same)
    np.testing.assert_array_equal(last[0], other[0])
    most, spread = EXPECTED[key]
    assert np.abs(biases).max() <= most and np.std(biases) == pytest.approx(spread, rel=0.1)


def test_biases_that_belong_to_the_weights_are_no_other_run() -> None:
    for key, row in INITIALIZERS.items():
        assert tiny(initializer=key, biases=row.own_biases) == tiny(initializer=key)
        assert tiny(initializer=key, biases="own").biases == "own"
    with_zeros = replace(tiny(initializer="pytorch"), biases="zeros")
    one, other = drawn(with_zeros), drawn(tiny(initializer="pytorch_weights"))
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_spread_that_nothing_uses_is_no_part_of_a_run() -> None:
    assert tiny(initial_spread=0.3) == tiny()
    for initializer, biases in (("normal", "own"), ("keras", "normal")):
        assert uses_spread(initializer, biases)
        chosen = tiny(initializer=initializer, biases=biases, initial_spread=0.3)
        assert chosen.initial_spread == 0.3
    assert not uses_spread("normal_1", "zeros")


def test_a_spread_compiles_nothing() -> None:
    one, other = (train.shape(replace(WIDE, initial_spread=each)) for each in (0.1, 0.2))
    assert one == other
    assert jnp.float32(0.1) == train.knobs(replace(WIDE, initial_spread=0.1)).initial_spread
