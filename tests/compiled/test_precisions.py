"""Formats to train in, their limits, and the loss scale."""

import jax.numpy as jnp
import numpy as np
import pytest

from core.parts import loss_scale
from core.parts.dtypes import DTYPES
from core.parts.loss_scale import GROWTH_INTERVAL, LossScale
from core.parts.precisions import PRECISIONS


def test_every_number_format_can_be_trained_in() -> None:
    for key, dtype in DTYPES.items():
        row = PRECISIONS[key]
        assert row.weights is row.compute is row.loss is dtype
        assert not row.scaled and row.label == dtype.label
    assert next(iter(PRECISIONS)) == "float32"


def test_mixed_formats_keep_float32_weights_and_loss() -> None:
    mixed = {key: row for key, row in PRECISIONS.items() if key not in DTYPES}
    assert [row.scaled for row in mixed.values()] == [True, False]
    for key, row in mixed.items():
        assert row.weights is row.loss is DTYPES["float32"]
        assert key == f"mixed_{row.compute.key}" and row.narrow and not row.wide


@pytest.mark.parametrize(
    ("key", "largest", "roundoff"),
    [
        ("float16", 65504, 2**-11),
        ("bfloat16", 3.3895314e38, 2**-8),
        ("float64", 1.797693e308, 2**-53),
    ],
)
def test_limits_of_a_format(key: str, largest: float, roundoff: float) -> None:
    row = DTYPES[key]
    assert row.largest == pytest.approx(largest, rel=1e-6)
    one = np.ones(1, row.dtype)
    assert row.roundoff == roundoff
    assert (one + np.array([2 * row.roundoff], row.dtype) > one).all()
    assert (one + np.array([0.9 * row.roundoff], row.dtype) == one).all()


def step(scale: float, steady: int, finite: bool) -> tuple[float, int]:
    now = LossScale(jnp.float32(scale), jnp.int32(steady))
    after = loss_scale.adjusted(now, jnp.bool_(finite))
    return float(after.scale), int(after.steady)


def test_loss_scale_halves_at_once_and_doubles_after_a_long_time() -> None:
    assert step(2.0**16, 1000, finite=False) == (2.0**15, 0)
    assert step(2.0**16, 1000, finite=True) == (2.0**16, 1001)
    assert step(2.0**16, GROWTH_INTERVAL - 1, finite=True) == (2.0**17, 0)
    assert step(2.0**127, GROWTH_INTERVAL - 1, finite=True) == (2.0**127, 0)
    assert float(loss_scale.initial().scale) == 65536
