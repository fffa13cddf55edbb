"""Diagnostics of arrays made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.run import diagnostics
from core.run.snapshot import BINS, Gradient, Health

NAN = float("nan")


# Saturation


def test_saturation_puts_every_prediction_in_its_place() -> None:
    p = jnp.array([0.0, 0.0, 1e-9, 0.001, 0.5, 0.999, 1 - 2**-24, 1.0, NAN, 0.05], jnp.float32)
    kinds = jnp.array([1, 0, 0, 0, 0, 0, 0, 0, 2, 0], jnp.uint8)
    found = diagnostics.saturation(p, kinds, jnp.float32(1e-6), jnp.float32(0.9999999))
    histogram = np.zeros(BINS + 5, int)
    # exactly 0, clipped low, 0.001, 0.05, 0.5, 0.999, clipped high, exactly 1, NaN
    histogram[[0, 1, 2, 3, BINS // 2 + 2, BINS + 1, BINS + 2, BINS + 3, BINS + 4]] = 1
    histogram[0] = 2
    np.testing.assert_array_equal(found.histogram.sum(axis=0), histogram)
    assert found.histogram[Gradient.ZERO].tolist() == [1] + [0] * (BINS + 4)
    assert found.histogram[Gradient.NONFINITE].tolist() == [0] * (BINS + 4) + [1]
    np.testing.assert_allclose(found.zero, 0.2)
    np.testing.assert_allclose(found.one, 0.1)
    np.testing.assert_allclose(found.nonfinite, 0.1)
    np.testing.assert_allclose(found.clipped, 0.5)  # this includes exactly 0 and 1


def test_nothing_is_clipped_at_the_ends_themselves() -> None:
    low, high = jnp.float32(0.25), jnp.float32(0.75)
    p = jnp.array([0.25, 0.75, 0.2, 0.8], jnp.float32)
    found = diagnostics.saturation(p, jnp.zeros(4, jnp.uint8), low, high)
    assert found.clipped == 0.5
    assert found.histogram[0, [1, BINS + 2]].tolist() == [1, 1]


def test_bins_are_equal_and_complete() -> None:
    p = jnp.linspace(1e-4, 1 - 1e-4, 10_000)
    found = diagnostics.saturation(p, jnp.zeros(len(p), jnp.uint8), jnp.float32(0), jnp.float32(1))
    np.testing.assert_allclose(found.histogram[0, 2 : BINS + 2], 10_000 / BINS, atol=2)
    assert found.histogram.sum() == 10_000
    assert (found.zero, found.one, found.clipped, found.nonfinite) == (0, 0, 0, 0)


# Predictions


def test_binary_probability_and_correctness() -> None:
    logits = jnp.array([[-200.0], [-1.0], [0.0], [1.0], [40.0], [NAN]])
    p = diagnostics.probability(logits, jnp.zeros(6, int))
    np.testing.assert_allclose(p, [0, 0.26894142, 0.5, 0.73105858, 1, NAN], rtol=1e-6)
    # p >= 1/2 means 1, as in the question; NaN is not >= 1/2, so it means 0.
    labels = jnp.array([0, 1, 1, 1, 0, 0])
    right = [True, False, True, True, False, True]
    np.testing.assert_array_equal(diagnostics.correct(logits, labels), right)


def test_softmax_probability_and_correctness() -> None:
    logits, labels = jnp.array([[1.0, 2.0, 3.0], [3.0, 1.0, 1.0]]), jnp.array([2, 1])
    e = np.exp(np.float64(logits))
    expected = (e / e.sum(1, keepdims=True))[[0, 1], [2, 1]]
    np.testing.assert_allclose(diagnostics.probability(logits, labels), expected, rtol=1e-6)
    np.testing.assert_array_equal(diagnostics.correct(logits, labels), [True, False])


def test_margin_is_the_logit_of_p() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 10)).astype(np.float32) * 3
    labels = rng.integers(0, 10, 50)
    e = np.exp(np.float64(logits))
    p = (e / e.sum(1, keepdims=True))[range(50), labels]
    found = diagnostics.margin(jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(found, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        diagnostics.margin(jnp.asarray(logits[:, :1]), labels), logits[:, 0]
    )


def test_margin_stays_finite_where_p_does_not() -> None:
    logits = jnp.array([[900.0, 0.0, -900.0]])
    np.testing.assert_allclose(diagnostics.margin(logits, jnp.array([0])), [900.0])
    np.testing.assert_allclose(diagnostics.margin(logits, jnp.array([2])), [-1800.0])


# Gradients


def test_census_counts_only_exact_zeros() -> None:
    correct = jnp.array([True, True, False, False, False])
    slopes = jnp.array([[0.0, 0.0], [0.1, -0.1], [0.0, -0.0], [0.0, 1e-37], [NAN, NAN]])
    kinds = diagnostics.gradient_kinds(slopes)
    some, zero, nonfinite = Gradient
    np.testing.assert_array_equal(kinds, [zero, some, zero, some, nonfinite])
    found = diagnostics.census(correct, kinds)
    np.testing.assert_allclose([*found], [0.6, 0.4, 0.2], rtol=1e-6)


def test_gradient_norm_covers_weights_and_biases_together() -> None:
    gradients = [(jnp.full((2, 2), 2.0), jnp.array([3.0])), (), (jnp.array([[NAN]]), jnp.ones(1))]
    np.testing.assert_allclose(diagnostics.measured(gradients).norms, [5.0, NAN])


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e30])
def test_gradient_norm_is_zero_only_for_zero_and_infinite_only_for_infinite(size: float) -> None:
    gradients = [(jnp.array([[3 * size, 0.0]]), jnp.array([-4 * size]))]
    np.testing.assert_allclose(diagnostics.measured(gradients).norms, [5 * size], rtol=1e-5)
    assert diagnostics.measured([(jnp.zeros((1, 2)), jnp.zeros(2))]).norms == 0


# Health


def test_health_tells_nan_inf_zero_and_fine_apart() -> None:
    gradient = [(jnp.array([[NAN, jnp.inf], [-jnp.inf, -0.0]]), jnp.array([0.0, 1e-30])), ()]
    found = diagnostics.measured(gradient).health
    assert [kind.name for kind in Health] == ["NAN", "INF", "ZERO", "FINE"]
    np.testing.assert_array_equal(found, [[0.25, 0.5, 0.25, 0], [0, 0, 0.5, 0.5]])
    assert found.dtype == np.float32


def test_health_of_a_sample_is_that_of_its_worst_number() -> None:
    slopes = [[NAN, jnp.inf], [0.0, jnp.inf], [0.0, -0.0], [0.0, 1e-30], [1.0, 1.0]]
    found = diagnostics.sample_health(jnp.array(slopes))
    np.testing.assert_allclose(found, [0.2, 0.2, 0.2, 0.4], rtol=1e-6)
    kinds = diagnostics.gradient_kinds(jnp.array(slopes))  # one kind for both NaN and inf
    assert np.mean(kinds == Gradient.NONFINITE) == pytest.approx(found[0] + found[1])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_16_bit_numbers_are_float32(dtype: str) -> None:
    """Each number is finite in the format, but no sum or square of them would be."""
    big = jnp.full((1000, 4), 6e4 if dtype == "float16" else 3e38, dtype)
    assert diagnostics.largest([big]) == pytest.approx(float(big[0, 0]))
    assert diagnostics.measured([(big,)]).largest == pytest.approx(float(big[0, 0]))
    tiny = (jnp.full((100, 100), 2.0**-14, dtype), jnp.zeros(3, dtype))
    np.testing.assert_allclose(diagnostics.measured([tiny]).norms, [100 * 2.0**-14], rtol=1e-5)
    if dtype == "float16":
        norms = diagnostics.measured([(big,)]).norms
        np.testing.assert_allclose(norms, [6e4 * 4000**0.5], rtol=1e-3)
    assert diagnostics.measured([tiny]).norms.dtype == np.float32
    broken = [(big, jnp.array([NAN]))]
    assert np.isnan(diagnostics.largest(broken)) and np.isnan(diagnostics.measured(broken).largest)


def test_what_vanishes_is_0_only_in_the_narrow_format() -> None:
    narrow, exact = [jnp.array([0, 0, 1.0, 0])], [jnp.array([0, 1e-9, 1.0, NAN])]
    assert diagnostics.vanished(narrow, exact) == 0.5
    assert diagnostics.vanished(exact, exact) == 0


# Dropping, units, answers


def test_answers_and_their_most_frequent_one() -> None:
    assert diagnostics.one_answer(jnp.array([[-1.0], [2.0], [3.0], [NAN]])) == 0.5
    assert diagnostics.one_answer(jnp.array([[0.0, 1.0, 0.0]] * 3)) == 1
    assert diagnostics.one_answer(jnp.eye(3)) == pytest.approx(1 / 3)


def test_the_label_after_an_image_s_own_is_the_first_after_the_last() -> None:
    sure = jnp.eye(3)[jnp.array([1, 2, 0, 0])]
    assert diagnostics.next_label(sure, jnp.array([0, 1, 2, 0], jnp.uint8)) == 0.75
    two = jnp.array([[-1.0], [2.0], [3.0], [-1.0]])
    assert diagnostics.next_label(two, jnp.array([1, 0, 1, 0], jnp.uint8)) == 0.5


def test_dead_units_are_0_for_every_example() -> None:
    hidden = [jnp.array([[0.0, 1.0], [0.0, 0.0]]), jnp.zeros((2, 5))]
    np.testing.assert_array_equal(diagnostics.dead_units(hidden), [0.5, 1])


def test_same_compares_numbers_and_nan_is_never_the_same() -> None:
    a = {"w": jnp.array([1.0, -0.0]), "empty": ()}
    assert diagnostics.same(a, {"w": jnp.array([1.0, 0.0]), "empty": ()})
    assert not diagnostics.same(a, {"w": jnp.array([1.0, 1e-30]), "empty": ()})
    nan = {"w": jnp.array([NAN])}
    assert not diagnostics.same(nan, nan)
    assert diagnostics.all_finite(a)
    assert not diagnostics.all_finite([jnp.ones(2), jnp.array([jnp.inf])])


@pytest.mark.parametrize(
    ("after", "finite", "unmoved"),
    [
        ([[1.0, 0.0], [2.0]], True, True),
        ([[1.0, 0.0], [3.0]], True, False),
        ([[1.0, np.inf], [2.0]], False, False),
        ([[NAN, 0.0], [2.0]], False, False),
    ],
)
def test_a_step_leaves_weights_finite_or_the_same(
    after: list[list[float]], finite: bool, unmoved: bool
) -> None:
    before = [(jnp.array([[1.0, -0.0]]), jnp.array([2.0]))]
    then = [(jnp.array([after[0]]), jnp.array(after[1]))]
    found = diagnostics.moved(before, before, then)
    assert [bool(found.finite), bool(found.unmoved)] == [finite, unmoved]
    nan = [(jnp.array([[NAN]]), jnp.array([1.0]))]
    assert not diagnostics.moved(nan, nan, nan).unmoved, "NaN is never the same"


def test_what_is_rounded_away_is_counted_among_weights_with_a_gradient() -> None:
    """Each layer has weights that move and stay, with a gradient and without."""
    gradients = [
        (jnp.array([[1.0, 1e-30, 0.0, NAN, jnp.inf]]), jnp.array([1.0, 1.0])), (),
        (jnp.array([[0.0, 0.0]]), jnp.array([NAN])),
    ]  # fmt: skip
    before = jax.tree.map(jnp.zeros_like, gradients)
    after = [
        (jnp.array([[0.0, 0.0, 0.0, 0.0, 0.0]]), jnp.array([0.0, 1.0])), (),
        (jnp.array([[0.0, 1.0]]), jnp.array([0.0])),
    ]  # fmt: skip
    found = diagnostics.moved(gradients, before, after).rounded_away
    np.testing.assert_array_equal(found, np.float32([0.75, NAN]))
    assert found.dtype == np.float32
