"""The numbers of the facts' sections 1 and 3, found by the code, and the tools that find them."""

import re
from collections import defaultdict

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import ml_dtypes
import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings

from core.parts.dtypes import DTYPES, from_ordinal, to_ordinal, ulp
from core.parts.losses import LOSSES, loss_and_grad, losses_for
from core.run.diagnostics import correct, margin
from core.study import precision
from core.study.precision import curve, edges, epsilon_limits, exact
from core.study.precision.edges import _band, _first, _from_here_on
from core.study.precision.evaluate import _evaluate
from core.study.precision.exact import OWN, exact_float64

FLOAT32 = DTYPES["float32"].dtype
ALL = pytest.mark.parametrize("dtype", [row.dtype for row in DTYPES.values()], ids=list(DTYPES))


# --- the numbers of a dtype ----------------------------------------------------------------------


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
@example(z=46.0, label=0, form="softmax")  # ln(1 + s), where 1 + s loses most digits of s
def test_exact_values_are_right_to_far_below_an_ulp(form, z, label):
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
        # A handful of correctly rounded operations, and an exp accurate to an ulp or two.
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


def every(dtype):
    """For each row and label: form, key, label, epsilon, and the edges on both sides."""
    for form, labels in (("binary", (0, 1)), ("softmax", (0, 1, 2))):
        for key in losses_for(form):
            epsilon = LOSSES[key].epsilon or 1e-7
            for label in labels:
                sides = [edges(form, key, label, epsilon, dtype, right=r) for r in (False, True)]
                yield form, key, label, epsilon, *sides


@pytest.mark.slow
@ALL
def test_a_row_works_on_logits_exactly_if_it_has_no_edges(dtype):
    found = defaultdict(set)
    for form, key, _, _, wrong, right in every(dtype):
        found[form, key] |= {*wrong, *right} - {None}
    for (form, key), at in found.items():
        if (form, key, dtype) == ("binary", "keras_jax_logits", np.float64):
            assert min(map(abs, at)) > 3e38  # the mean with which Keras ends is a float32 number
        else:
            assert (LOSSES[key].works_on == "logits") == (not at), (form, key, at)


@ALL
def test_a_half_band_has_half_the_gradient(dtype):
    bands = 0
    for form, key, label, epsilon, *sides in every(dtype):
        for side in sides:
            if side.half_from is None or side.half_to is None:
                continue
            bands += 1
            assert LOSSES[key].works_on != "logits"
            low, high = to_ordinal(np.array([side.half_from, side.half_to], dtype))
            inside = low + (high - low) * np.arange(1, 4) // 4
            z = from_ordinal(inside, dtype)
            _, gradient = precision.evaluate(form, key, z, label, epsilon)
            with mpmath.workdps(60):
                for x, got in zip(z.tolist(), gradient, strict=True):
                    logits = [0, mpmath.mpf(x)] if form == "binary" else [mpmath.mpf(x), 0, 1]
                    own = 1 if form == "binary" else 0
                    p = mpmath.exp(logits[own]) / sum(map(mpmath.exp, logits))
                    others = 1 - p
                    true = -others if label == own else p
                    assert abs(got / true - 0.5) < 8 * float(ml_dtypes.finfo(dtype).eps), (key, x)
    assert bands or dtype == np.float64 or dtype == np.float16


def test_far_out_the_exact_gradient_is_one():
    z = -np.array([1e3, 2.0**53, 1e16, 1e30, 1e38])
    for form, label in (("binary", 1), ("softmax", 0)):
        assert (exact_float64(form, z, label).gradient == -1).all()


def test_jnp_clip_has_a_half_gradient_band():
    e = found("question_stable", 0)
    assert (e.half_from, e.half_to) == pytest.approx((15.537, 16.6355), abs=0.001)
    assert np.nextafter(np.float32(e.half_to), np.float32(99)) == np.float32(e.dead)
    assert found("keras_torch", 0).half_from is None
    assert found("torch_bce", 1).half_from is None  # it decays through a half, so it has no band


def test_naive_is_nan_and_inf_where_it_was_measured():
    wrong = found("naive", 1)
    assert (wrong.nan, wrong.inf) == pytest.approx((-87.3365, -87.3365), abs=1e-4)
    assert wrong.dead is None
    assert found("naive", 0).inf == pytest.approx(16.6355, abs=1e-4)
    assert found("naive", 1, right=True).nan == pytest.approx(16.6355, abs=1e-4)


@pytest.mark.parametrize(("key", "label"), [("question_stable", 0), ("clip", 1), ("torch_bce", 1)])
@ALL
def test_an_edge_is_the_first_of_its_kind_among_all_numbers(key, label, dtype):
    """Just before the edge there is a gradient; from the edge on there is none."""
    edge = found(key, label, dtype).dead
    if edge is None:  # in the 16-bit formats NaN comes first
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
    """Nor is one that is zero only up to some point; both cases are made by hand."""
    ordinals = np.arange(0, 81920, 10)
    assert _from_here_on(lambda o: (o > 333) & ~((o > 700) & (o < 907)), ordinals) == 907
    assert _from_here_on(lambda o: o > 333, ordinals) == 334
    assert _from_here_on(lambda o: o < 333, ordinals) is None
    assert _first(lambda o: (o > 333) & (o < 400), ordinals) == 334
    assert _first(lambda o: o < 0, ordinals) is None


def test_a_band_has_at_least_three_numbers():
    ordinals = np.arange(0, 81920, 10)
    assert _band(lambda o: (o >= 500) & (o <= 502), ordinals) == (500, 502)
    assert _band(lambda o: (o >= 500) & (o <= 501), ordinals) is None


def test_an_edge_can_be_before_the_first_step_of_the_scan():
    assert edges("binary", "clip", 0, 0.499, FLOAT32).dead == pytest.approx(0.004, abs=1e-5)


# --- words ---------------------------------------------------------------------------------------

EPSILONS = pytest.mark.parametrize("epsilon", [None, 1e-8, 1e-3, 0.3])


def of_own(key, epsilon):
    return epsilon if epsilon and LOSSES[key].epsilon else LOSSES[key].epsilon or 1e-7


@EPSILONS
def test_the_words_of_a_binary_row_are_true(epsilon):
    """Each number is checked a thousandth before and a thousandth after, in the row itself."""
    outwards = np.array([0.999, 1.001])
    for key in losses_for("binary"):
        e = of_own(key, epsilon)
        text = precision.where("binary", key, e, FLOAT32)
        assert ("epsilon" in text) == (LOSSES[key].epsilon is not None)
        clauses = re.findall(r"for y = (\d) ([^;]*?)(?:;|\.$)", text)
        assert len(clauses) in (0, 2), text
        for y, said in clauses:

            def at(z, key=key, y=y, e=e):
                z = np.array(z).astype(np.float32)
                loss, gradient = precision.evaluate("binary", key, z, int(y), e)
                return gradient, np.isfinite(loss) & np.isfinite(gradient)

            numbers = 0
            for found in re.findall(r"exactly 0 (?:from|up to) z = ([-\d.e]+)", said):
                gradient, _ = at(float(found) * outwards)
                assert (gradient == 0).tolist() == [False, True], (key, said)
                numbers += 1
            for found in re.findall(r"(?:first at|and) z = ([-\d.e]+)", said):
                _, finite = at(float(found) * outwards)
                assert finite.tolist() == [True, False], (key, said)
                numbers += 1
            for low, high in re.findall(r"half the gradient from z = (\S+) to ([-\d.e]+)", said):
                gradient, _ = at([(float(low) + float(high)) / 2])
                assert abs(gradient) == pytest.approx(0.5, abs=1e-3)
                numbers += 2
            assert numbers == len(re.findall(r"\d+\.\d+", said)), (key, said)
        if not clauses:
            assert text.endswith("no wrong answer is silent.")
            z = np.linspace(-500, 0, 5001).astype(np.float32)
            for sign, y in ((-1, 0), (1, 1)):
                assert (precision.evaluate("binary", key, sign * z, y, e)[1] != 0).all()


def ten(seed=0, n=4096, scale=8):
    """Random logits of ten classes, their labels, their margins, and which of them are wrong."""
    rng = np.random.default_rng(seed)
    z, y = rng.normal(0, scale, (n, 10)).astype(np.float32), rng.integers(0, 10, n)
    return z, y, np.asarray(margin(z, jnp.asarray(y)), float), ~np.asarray(correct(z, y))


@jax.jit
def softmax_gradient(index, z, y, epsilon):
    return loss_and_grad("softmax", index, z, y, epsilon)[1]


def kinds(key, z, y, epsilon):
    """Which samples get from a softmax row a gradient of exactly 0, and which get one of NaN."""
    index = losses_for("softmax").index(key)
    with jax.enable_x64(z.dtype == np.float64):
        e = np.asarray(epsilon, np.float64 if z.dtype == np.float64 else np.float32)
        gradient = np.asarray(softmax_gradient(np.int32(index), z, y, e), np.float64)
    return (gradient == 0).all(axis=-1), ~np.isfinite(gradient).all(axis=-1)


@EPSILONS
def test_the_words_of_a_softmax_row_are_true_of_ten_classes(epsilon):
    z, y, margins, wrong = ten(scale=20)
    log_p = z - np.logaddexp.reduce(z.astype(float), axis=-1, keepdims=True)
    least = log_p.min(axis=-1)
    for key in losses_for("softmax"):
        e = of_own(key, epsilon)
        text = precision.where("softmax", key, e, FLOAT32)
        zero, broken = kinds(key, z, y, e)
        silent = re.findall(r"once the true class has a probability below ([-\d.e]+\d)", text)
        nan = re.findall(r"once some class has a probability below ([-\d.e]+\d)", text)
        for found in silent:  # two digits are shown
            limit, own = np.log(float(found)), -np.logaddexp(0, -margins)
            assert zero[wrong & (own < limit - 0.05)].all(), (key, text)
            if "latest" not in text:
                assert not zero[wrong & (own > limit + 0.05)].any(), (key, text)
        for found in nan:
            assert broken[least < np.log(float(found)) - 0.05].all(), (key, text)
            assert not broken[least > np.log(float(found)) + 0.05].any(), (key, text)
        assert bool(silent) == bool(zero[wrong].any()) and bool(nan) == bool(broken.any()), key
        if not silent and not nan:
            assert text.endswith("no wrong answer is silent.")


@ALL
def test_the_words_of_a_label_name_its_edges(dtype):
    for *_, wrong, right in every(dtype):
        text = precision.silence(wrong, right)
        said = {float(x) for x in re.findall(r"z = ([-\d.e+]+\d)", text)}
        broken = {precision.first_broken(side) for side in (wrong, right)}
        assert said == {float(f"{z:.5g}") for z in {wrong.dead, *broken} - {None}}
        assert (text == "never silent") == (not said)


# --- samples -------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, database=None)
@given(m=st.floats(-300, 300), label=st.integers(0, 2), form=st.sampled_from(["binary", "softmax"]))
def test_at_its_position_a_sample_keeps_its_probability(m, label, form):
    label = min(label, 1) if form == "binary" else label
    (z,) = precision.position(form, np.array([m]), label)
    if z == -np.inf:  # no z on the line gives this label so much probability
        assert (
            form == "softmax"
            and label
            and 1 / (1 + np.exp(-m)) >= np.exp([0, 0, 1])[label] / (1 + np.e) * (1 - 1e-12)
        )
        return
    p = np.exp(-exact_float64(form, np.array([z]), label).loss[0])
    assert p == pytest.approx(np.exp(-np.logaddexp(0, -m)), rel=1e-9)


@ALL
@pytest.mark.parametrize("scale", [8, 30])
def test_slopes_at_the_margin_are_those_of_all_ten_logits(dtype, scale):
    """If nothing is NaN, the samples that are wrong with gradient 0 are the same ones."""
    z, y, margins, wrong = ten(scale=scale)
    counted = 0
    for key in losses_for("softmax"):
        epsilon = LOSSES[key].epsilon or 1e-7
        sides = [edges("softmax", key, 0, epsilon, dtype, right=right) for right in (False, True)]
        if any(precision.first_broken(side) is not None for side in sides):
            continue
        zero, _ = kinds(key, z.astype(dtype), y, epsilon)
        said = precision.slopes("softmax", key, margins, 1, epsilon, dtype) == 0
        # In the 16-bit formats a sample within a rounding of the edge may be on either side of it.
        assert ((zero & wrong) != (said & wrong)).mean() <= (0.001 if dtype.itemsize == 2 else 0)
        counted += LOSSES[key].works_on == "clipped probability" and (zero & wrong).any()
    assert (counted > 0) == (dtype != np.float16)


# --- what the rows on logits say about themselves ------------------------------------------------

LOGITS = [(form, key) for form in ("binary", "softmax") for key in losses_for(form)
          if LOSSES[key].works_on == "logits"]  # fmt: skip


def along(form, label, right, far=86):
    """float32 logits on one side of the decision."""
    sign = 1 if (label == OWN[form]) == right else -1
    random = np.random.default_rng(0).uniform(0, far, 40_000)
    return (sign * np.concatenate([np.linspace(0, far, 40_001), random])).astype(np.float32)


@pytest.mark.parametrize(("form", "key"), LOGITS)
def test_rows_on_logits_keep_the_gradient_of_every_wrong_answer(form, key):
    eps = float(np.finfo(np.float32).eps)
    for label in (0, 1) if form == "binary" else (0, 1, 2):
        z = along(form, label, right=False, far=1e4)
        _, gradient = precision.evaluate(form, key, z, label, 1e-7)
        assert np.abs(gradient / exact(form, z, label).gradient - 1).max() < 5 * eps
        z = along(form, label, right=True)
        loss, gradient = precision.evaluate(form, key, z, label, 1e-7)
        true = exact(form, z, label)
        lost = np.abs(true.gradient[gradient == 0]).max(initial=0)
        lost_loss = (true.loss / np.maximum(ulp(z.astype(float), FLOAT32), eps))[loss == 0]
        whole = key in ("from_logits",) or (
            form == "binary" and key in ("optax", "keras_jax_logits", "keras_tf")
        )
        if whole:
            assert lost == 0 and not len(lost_loss), "never 0"
        else:
            assert lost < eps and lost_loss.max(initial=0) < 1
            if key in ("keras_jax_logits", "keras_tf"):
                assert true.loss[loss == 0].max(initial=0) < eps
    if not whole and form == "softmax":
        z = along(form, OWN[form], right=True)
        loss, gradient = precision.evaluate(form, key, z, OWN[form], 1e-7)
        assert (loss == 0).any() and (gradient == 0).any()


def test_from_logits_is_right_to_five_digits():
    worst = 0.0
    for form, labels in (("binary", (0, 1)), ("softmax", (0, 1, 2))):
        for label in labels:
            for right in (False, True):
                z = along(form, label, right)
                _, gradient = precision.evaluate(form, "from_logits", z, label, 1e-7)
                worst = max(worst, np.abs(gradient / exact(form, z, label).gradient - 1).max())
    assert 8 * np.finfo(np.float32).eps < worst < 5e-6  # 33 eps, at softmax logits near -63


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
    # Near there bfloat16 has a subnormal number about every 9e-41: 2.9e-39 is its 32nd or 33rd.
    assert limits.reciprocal == pytest.approx(reciprocal, rel=0.05 if key == "bfloat16" else 0.02)
    one, at = np.ones(1, dtype), np.array([upper], dtype)
    assert one - at == one and one - from_ordinal(to_ordinal(at) + 1, dtype) < one


def test_the_lower_limit_is_the_smallest_number_that_xla_does_not_flush():
    info = {key: ml_dtypes.finfo(row.dtype) for key, row in DTYPES.items()}
    assert epsilon_limits(DTYPES["float16"].dtype).lower == float(
        info["float16"].smallest_subnormal
    )
    if jax.default_backend() == "cpu":
        for key in ("float32", "bfloat16", "float64"):
            assert epsilon_limits(DTYPES[key].dtype).lower == float(info[key].smallest_normal)
