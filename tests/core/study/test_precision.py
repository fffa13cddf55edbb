"""The numbers of facts section 1 and 3, found by the code; and the tools that find them."""

import hypothesis.strategies as st
import jax
import ml_dtypes
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

from core.parts.dtypes import DTYPES, from_ordinal, to_ordinal, ulp
from core.parts.losses import LOSSES, losses_for
from core.study import precision
from core.study.precision import curve, edges, epsilon_limits, exact
from core.study.precision.edges import _band, _first, _from_here_on
from core.study.precision.evaluate import _evaluate

FLOAT32 = DTYPES["float32"].dtype
ALL = pytest.mark.parametrize("dtype", [row.dtype for row in DTYPES.values()], ids=list(DTYPES))


# --- the dtype's own numbers ---------------------------------------------------------------------


@ALL
def test_ordinals_count_every_number(dtype):
    info = ml_dtypes.finfo(dtype)
    around = np.arange(-1000, 1001)
    for centre in (0, *to_ordinal(np.array([1, -1, info.smallest_normal], dtype)).tolist()):
        numbers = from_ordinal(centre + around, dtype)
        assert (to_ordinal(numbers) == centre + around).all()
        wide = numbers.astype(np.float64)
        assert (np.diff(wide) > 0).all()
        up = np.nextafter(numbers[:-1], np.array(np.inf, dtype), dtype=dtype)
        assert (up == numbers[1:]).all()


@ALL
def test_ulp_is_the_distance_to_the_next_number(dtype):
    x = np.array([1, 1.5, 1.9921875, 2, 16, 1e-3, 3e-5, 0.1], dtype)
    gap = np.nextafter(x, np.array(np.inf, dtype), dtype=dtype).astype(np.float64) - x.astype(
        np.float64
    )
    np.testing.assert_array_equal(ulp(x.astype(np.float64), dtype), gap)


# --- exact values --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, database=None)
@given(z=st.floats(-500, 500), label=st.integers(0, 2), form=st.sampled_from(["binary", "softmax"]))
def test_exact_is_far_below_an_ulp(form, z, label):
    label = min(label, 1) if form == "binary" else label
    with mpmath.workdps(700):
        logits = [mpmath.mpf(0), mpmath.mpf(z)] if form == "binary" else [mpmath.mpf(z), 0, 1]
        weights = [mpmath.exp(x) for x in logits]
        loss = -mpmath.log(weights[label] / sum(weights))
        own = 1 if form == "binary" else 0
        gradient = weights[own] / sum(weights) - (label == own)
        double = exact(form, np.array([z]), label)
        for value, rest, true in [
            (double.loss, double.loss_rest, loss),
            (double.gradient, double.gradient_rest, gradient),
        ]:
            error = mpmath.mpf(value[0]) + mpmath.mpf(rest[0]) - true
            assert abs(error) <= abs(true) * mpmath.mpf(2) ** -100
        single = np.array([z], np.float32)
    # For the narrower formats float64 is enough: 2^-40 is 2^-16 ulp of float32.
    for value, true in zip(
        exact(form, single, label)[:2], exact(form, single.astype(float), label)[:2], strict=True
    ):
        np.testing.assert_allclose(value, true, rtol=2**-40, atol=1e-300)


def test_curve_measures_the_error_in_ulp():
    z = np.linspace(-40, 40, 1001)
    for dtype in (row.dtype for row in DTYPES.values()):
        c = curve("binary", "from_logits", z.astype(dtype), 1, 0.0)
        # A handful of correctly rounded operations, and an exp good to an ulp or two.
        assert 0 < np.abs(c.loss_error).max() < 4 and 0 < np.abs(c.gradient_error).max() < 4
    clipped = curve("binary", "clip", np.array([30], np.float32), 0, 1e-7)
    assert clipped.gradient[0] == 0 and clipped.gradient_error[0] == pytest.approx(-(2**24))


def test_variant_label_and_epsilon_do_not_recompile():
    z = np.linspace(-40, 40, 777).astype(np.float32)
    curve("binary", "naive", z, 0, 1e-7)
    compiled = _evaluate._cache_size()
    for key in losses_for("binary"):
        for label in (0, 1):
            curve("binary", key, z, label, 1e-5)
    assert _evaluate._cache_size() == compiled


# --- edges ---------------------------------------------------------------------------------------


def found(key, label, dtype=FLOAT32, **kwargs):
    return edges("binary", key, label, LOSSES[key].epsilon or 1e-7, dtype, **kwargs)


@pytest.mark.parametrize(
    ("key", "label", "dead"),
    [
        ("question_stable", 1, -13.816),
        ("question_stable", 0, 16.636),
        ("keras_jax", 0, 16.64),
        ("keras_jax", 1, -16.12),
        ("keras_torch", 0, 16.64),
        ("keras_torch", 1, -16.12),
        ("keras_tf_hidden", 0, 16.23),
        ("keras_tf_hidden", 1, -16.12),
        ("torch_bce", 0, 16.64),
        ("torch_bce", 1, -88.72),
        ("mxnet", 0, 16.64),
    ],
)
def test_float32_dead_zones_are_those_measured(key, label, dead):
    assert found(key, label).dead == pytest.approx(dead, abs=0.006)


@pytest.mark.parametrize("key", ["from_logits", "keras_tf", "optax", "torch_bce_logits"])
@ALL
def test_losses_on_logits_have_no_edges(key, dtype):
    for label in (0, 1):
        assert set(found(key, label, dtype)) == {None}
        assert set(found(key, label, dtype, right=True)) == {None}


def test_jnp_clip_has_a_half_gradient_band():
    e = found("question_stable", 0)
    assert (e.half_from, e.half_to) == pytest.approx((15.537, 16.6355), abs=0.001)
    assert np.nextafter(np.float32(e.half_to), np.float32(99)) == np.float32(e.dead)
    assert found("keras_torch", 0).half_from is None
    assert found("torch_bce", 1).half_from is None  # it decays through a half, and has no band


def test_naive_is_nan_and_inf_where_measured():
    wrong = found("naive", 1)
    assert (wrong.nan, wrong.inf) == pytest.approx((-87.3365, -87.3365), abs=1e-4)
    assert wrong.dead is None
    assert found("naive", 0).inf == pytest.approx(16.6355, abs=1e-4)
    assert found("naive", 1, right=True).nan == pytest.approx(16.6355, abs=1e-4)


@pytest.mark.parametrize(("key", "label"), [("question_stable", 0), ("clip", 1), ("torch_bce", 1)])
@ALL
def test_an_edge_is_the_first_of_its_kind_among_all_numbers(key, label, dtype):
    """Just inside the edge the gradient is alive, and from the edge on it is not."""
    edge = found(key, label, dtype).dead
    if edge is None:  # NaN takes its place in the 16-bit formats
        assert found(key, label, dtype).nan is not None
        return
    at = to_ordinal(np.array([edge], dtype))
    z = from_ordinal(at + np.sign(edge).astype(np.int64) * np.arange(-1, 50), dtype)
    _, gradient = precision.evaluate("binary", key, z, label, LOSSES[key].epsilon or 1e-7)
    assert gradient[0] != 0 and (gradient[1:] == 0).all()


def test_softmax_edges_are_found_too():
    assert edges("softmax", "clip", 0, 1e-7, FLOAT32).dead == pytest.approx(-14.805, abs=0.01)
    nan = edges("softmax", "theano_onehot", 0, 0.0, FLOAT32).nan
    assert nan is not None and nan < -80


def test_a_gradient_that_comes_back_is_not_dead():
    """Neither is one that is zero only where nobody looks further; both by construction."""
    ordinals = np.arange(0, 81920, 10)
    assert _from_here_on(lambda o: (o > 333) & ~((o > 700) & (o < 907)), ordinals) == 907
    assert _from_here_on(lambda o: o > 333, ordinals) == 334
    assert _from_here_on(lambda o: o < 333, ordinals) is None
    assert _first(lambda o: (o > 333) & (o < 400), ordinals) == 334
    assert _first(lambda o: o < 0, ordinals) is None


def test_a_band_holds_three_numbers():
    ordinals = np.arange(0, 81920, 10)
    assert _band(lambda o: (o >= 500) & (o <= 502), ordinals) == (500, 502)
    assert _band(lambda o: (o >= 500) & (o <= 501), ordinals) is None


# --- epsilon -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "upper", "reciprocal"),
    [
        ("float16", 2**-12, 1.53e-5),
        ("bfloat16", 2**-9, 2.9e-39),
        ("float32", 2**-25, 2.9e-39),
        ("float64", 2**-54, 5.56e-309),
    ],
)
def test_epsilon_limits_are_those_of_the_facts(key, upper, reciprocal):
    dtype = DTYPES[key].dtype
    limits = epsilon_limits(dtype)
    assert limits.upper == upper
    # bfloat16 has one subnormal number about every 9e-41 there: 2.9e-39 is its 32nd or 33rd.
    assert limits.reciprocal == pytest.approx(reciprocal, rel=0.05 if key == "bfloat16" else 0.02)
    one, at = np.ones(1, dtype), np.array([upper], dtype)
    assert one - at == one and one - from_ordinal(to_ordinal(at) + 1, dtype) < one


def test_the_lower_limit_is_what_xla_does_not_flush():
    info = {key: ml_dtypes.finfo(row.dtype) for key, row in DTYPES.items()}
    assert epsilon_limits(DTYPES["float16"].dtype).lower == float(
        info["float16"].smallest_subnormal
    )
    if jax.default_backend() == "cpu":
        for key in ("float32", "bfloat16", "float64"):
            assert epsilon_limits(DTYPES[key].dtype).lower == float(info[key].smallest_normal)
