"""The convolution that trains: XLA's own numbers, and gradients in the order that XLA does fast."""

import platform
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array, lax

from core.parts.convolution import BY_INPUT, add_biases, by_input, convolve, xla
from core.run.train.options import ON_ALL_CORES
from tests.kit import more
from tests.kit.runs import quick

FAST = "b01f_01io->b01f"  # how XLA writes the order that its fast code on a CPU wants


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# The CNN's own images and kernels in both axis orders, and unusual ones.
@pytest.mark.parametrize(
    ("picture", "kernel", "stride"),
    [
        ((28, 28, 1), (5, 5), 2), more((14, 14, 3), (5, 5), 2), more((7, 7, 3), (3, 3), 2),
        ((1, 28, 28), (5, 5), 2), more((1, 7, 3), (3, 3), 2), ((3, 2, 2), (3, 4), 1),
        ((2, 9, 1), (2, 5), 3), more((1, 1, 2), (3, 3), 2), more((4, 5, 2), (1, 1), 3),
    ],
)  # fmt: skip
def test_it_gives_the_numbers_of_xla_s_own(
    picture: tuple[int, int, int], kernel: tuple[int, int], stride: int
) -> None:
    x, weights = normal(0, 4, *picture), normal(1, *kernel, picture[-1], 6)
    height, width = (-(-size // stride) for size in picture[:2])
    pull = normal(2, 4, height, width, 6)

    def both_ways(function: Any) -> list[np.ndarray]:
        def run(x: Array, weights: Array) -> list[Array]:
            y, back = jax.vjp(lambda x, w: function(x, w, stride), x, weights)
            return [y, *back(pull)]

        return jax.device_get(quick(run)(x, weights))

    expected = both_ways(xla)
    for key in BY_INPUT:
        with by_input(lambda place, key=key: key):
            found = both_ways(convolve)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5 * max(np.abs(theirs).max(), 1))


@pytest.mark.parametrize(("pixels", "size"), [(28, 5), more(14, 5), more(7, 3), (4, 3)])
def test_padding_around_is_a_frame_of_zeros(pixels: int, size: int) -> None:
    x, weights = normal(0, 4, pixels, pixels, 3), normal(1, size, size, 3, 6)
    frame = [(0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)]
    axes = ("NHWC", "HWIO", "NHWC")

    def framed(x: Array, weights: Array) -> Array:
        padded = jnp.pad(x, frame)
        return lax.conv_general_dilated(padded, weights, (2, 2), "VALID", dimension_numbers=axes)

    def both_ways(function: Any) -> list[np.ndarray]:
        def run(x: Array, weights: Array) -> list[Array]:
            y, back = jax.vjp(function, x, weights)
            return [y, *back(y)]

        return jax.device_get(quick(run)(x, weights))

    ours = both_ways(lambda x, weights: convolve(x, weights, 2, around=True))
    for a, b in zip(ours, both_ways(framed), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * max(np.abs(b).max(), 1))


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-5), ("float16", 0)])
def test_biases_have_the_gradient_of_a_sum(dtype: str, close: float) -> None:
    x, slope = normal(0, 5, 4, 3, 2).astype(dtype), normal(1, 5, 4, 3, 2).astype(dtype)
    biases = normal(2, 1, 1, 1, 2).astype(dtype)

    def both_ways(function: Any) -> list[np.ndarray]:
        def run(x: Array, biases: Array) -> list[Array]:
            y, back = jax.vjp(function, x, biases)
            return [y, *back(slope)]

        return jax.device_get(quick(run)(x, biases))

    expected = both_ways(lambda x, biases: x + biases)
    for ours, theirs in zip(both_ways(add_biases), expected, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=close, atol=close)


def in_a_loop(function: Any) -> list[str]:
    """The orders of axes of a loop's convolutions, as they are compiled."""

    def step(x: Array, weights: Array) -> tuple[Array, Array]:
        y, back = jax.vjp(lambda x, w: function(x, w, 2), x, weights)
        by_x, by_weights = back(y)
        return x - by_x, weights - by_weights

    def loop(x: Array, weights: Array) -> tuple[Array, Array]:
        return lax.fori_loop(0, 3, lambda _, each: step(*each), (x, weights))

    text = quick(loop).lower(normal(0, 4, 6, 6, 3), normal(1, 3, 3, 3, 5)).compile().as_text()
    return re.findall(r" convolution\(.*dim_labels=(\S+?),", text)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="accelerators choose their own order")
def test_in_a_loop_all_convolutions_are_in_the_fast_order() -> None:
    # Forwards, by the kernel, and by x for three of four residues: the last has one place, and so
    # is a plain product.
    assert in_a_loop(convolve) == [FAST] * (1 + 1 + 3)
    assert set(in_a_loop(xla)) != {FAST}, "XLA reorders by itself now: `convolve` may go"


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="accelerators have their own options")
def test_on_all_cores_no_convolution_is_left_to_a_library_that_takes_one() -> None:
    x, weights = normal(0, 4, 14, 14, 32), normal(1, 5, 5, 32, 32)
    lowered = jax.jit(lambda x, w: convolve(x, w, 2)).lower(x, weights)
    if platform.machine() in ("x86_64", "AMD64"):  # else XLA may have no such library
        assert "__ynn_fusion" in lowered.compile().as_text(), "XLA takes all cores: they may go"
    assert "__ynn_fusion" not in lowered.compile(ON_ALL_CORES).as_text()
