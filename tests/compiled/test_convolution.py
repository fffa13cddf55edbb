"""Both forms of a convolution give the same numbers, forwards and backwards."""

import jax
import numpy as np
import pytest

from core.parts.convolution import FORMS, convolve, in_loop
from tests.kit import more
from tests.kit.runs import quick


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# The CNN's own images and kernels in both axis orders, and unusual ones.
@pytest.mark.parametrize(
    ("picture", "kernel", "stride"),
    [
        ((28, 28, 1), (5, 5), 2), more((14, 14, 3), (5, 5), 2), more((7, 7, 3), (3, 3), 2),
        ((1, 28, 28), (5, 5), 2), more((1, 7, 3), (3, 3), 2), ((3, 2, 2), (3, 4), 1),
        ((2, 9, 1), (2, 5), 3),
    ],
)  # fmt: skip
def test_forms_agree(picture: tuple[int, int, int], kernel: tuple[int, int], stride: int) -> None:
    x, weights = normal(0, 4, *picture), normal(1, *kernel, picture[-1], 6)
    height, width = (-(-size // stride) for size in picture[:2])
    pull = normal(2, 4, height, width, 6)

    def both_ways(name: str) -> list[np.ndarray]:
        def run(x: jax.Array, weights: jax.Array) -> list[jax.Array]:
            y, back = jax.vjp(lambda x, w: FORMS[name](x, w, stride), x, weights)
            return [y, *back(pull)]

        return jax.device_get(quick(run)(x, weights))

    assert FORMS.keys() == {"xla", "slices"}
    for ours, theirs in zip(both_ways("slices"), both_ways("xla"), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())


def test_the_form_depends_on_the_device_the_loop_and_the_height() -> None:
    """On a CPU it is slices inside a compiled loop and for flat images, and otherwise XLA's own."""
    flat, high = (normal(0, 2, height, 4, 3) for height in (1, 4))
    weights = normal(1, 3, 3, 3, 2)

    def primitives(x: jax.Array) -> str:
        return str(jax.make_jaxpr(lambda x: convolve(x, weights, 2))(x))

    here = jax.default_backend() == "cpu"
    assert "conv_general_dilated" in primitives(high)
    assert ("conv_general_dilated" in primitives(flat)) is not here
    with in_loop():
        assert ("conv_general_dilated" in primitives(high)) is not here
    assert "conv_general_dilated" in primitives(high)
