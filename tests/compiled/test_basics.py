"""The post's basics: what its lines compute, compared with a plain NumPy layer."""

import numpy as np
import pytest
from jax import Array

from core.study import basics


def layer(X: Array) -> np.ndarray:
    _, (weights, biases) = basics.batch_and_layer()
    return np.maximum(np.asarray(X) @ np.asarray(weights).T + np.asarray(biases), 0)


def test_the_posts_lines_run_but_do_not_do_what_they_say() -> None:
    X, _ = basics.batch_and_layer()
    found = basics.post(X)
    np.testing.assert_allclose(found["a loop"], layer(X), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["batched by hand"], layer(X), rtol=1e-4, atol=1e-4)
    assert callable(found["vmap"]) and not isinstance(found["vmap"], Array)
    zeros = basics.post(0 * X)
    np.testing.assert_array_equal(zeros["batched by hand"], found["batched by hand"])
    assert not np.allclose(zeros["a loop"], found["a loop"])


@pytest.mark.parametrize("factor", [0, 1, -2])
def test_the_mended_lines_agree_on_any_batch(factor: float) -> None:
    X, _ = basics.batch_and_layer()
    for name, found in basics.mended(factor * X).items():
        np.testing.assert_allclose(found, layer(factor * X), rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("x", "grad", "difference", "own"),
    [(-1, 0, 0, 0), (-5e-4, 0, 0.25, 0), (0, 0.5, 0.5, 0), (5e-4, 1, 0.75, 1), (2, 1, 1, 1)],
)
def test_slopes_at_the_corner_and_beside_it(
    x: float, grad: float, difference: float, own: float
) -> None:
    found = list(basics.slopes(float(x)).values())
    assert found == pytest.approx([grad, difference, own], abs=1e-4)


def test_a_key_used_again_gives_the_same_numbers() -> None:
    assert all(basics.key_reused().values())


@pytest.mark.parametrize("cell", [basics.jit_times, basics.product_times, basics.layer_times])
def test_a_cell_yields_seconds_by_name(cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basics, "REPEATS", 1)
    found = list(cell())
    assert len(dict(found)) == len(found) >= 3 and all(seconds > 0 for _, seconds in found)
