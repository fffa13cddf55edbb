"""Every row of LOSSES, compared with what the real frameworks computed, and with mathematics.

For each variant, dtype, label and logit, the oracle tables hold the loss and its gradient as the
framework itself computed them (tests/oracles/README.md). Zeros, infinities and NaNs must be in
exactly the same places. Finite values may differ only by what rounding explains; see `close`.
"""

import csv
import gzip
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from typing import Any, Literal

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

from core.parts.losses import LOSSES, WORKS_ON, Loss, loss_and_grad, losses_for, with_grad
from tests.kit import ROOT, more
from tests.kit.runs import quick

ORACLES = ROOT / "tests/oracles"
DTYPES = ("float32", "float16", "bfloat16", "float64")
FORMS: tuple[Literal["binary", "softmax"], ...] = ("binary", "softmax")
TABLES = {"binary": "logit_table.csv.gz", "softmax": "softmax_table.csv.gz"}

# Exceptions, by name.
#
# Compiled, JAX's naive exp over its sum leaves a residue below one ulp of 1 where evaluating it
# step by step gives a gradient of exactly 0 (z = 18 and 30 in float32, label 0): LLVM contracts
# e * a + e * b into a fused multiply-add, which does not round the first product.
FUSED = {("jax_naive_exp_norm_log", "float32"), ("jax_naive_exp_norm_log", "float64")}

# Rows that compute step by step as PyTorch does, but cannot `reproduce` the variant: XLA on the CPU
# flushes subnormal float32 and bfloat16 numbers to 0, and PyTorch keeps them. A table value below
# the dtype's smallest normal number is therefore expected to be 0.
FLUSHED = {
    "torch_BCELoss": "torch_bce",
    "torch_BCEWithLogits": "torch_bce_logits",
    "keras_torch_from_logits": "torch_bce_logits",
    "torch_CrossEntropyLoss": "torch_bce_logits",
    "keras_torch_cce_softmax_probs": "keras_torch",
    "keras_torch_scce_softmax_probs": "keras_torch",
}


class Table:
    """One variant in one dtype: logits, labels, and the measured loss and gradient."""

    def __init__(self, form: str, dtype: str, rows: list[list[str]]) -> None:
        numbers = np.array([[float(x or "nan") for x in row] for row in rows])
        self.form, self.dtype = form, jnp.dtype(dtype)
        self.labels = numbers[:, 0].astype(np.int32)
        v = numbers[:, 1].astype(self.dtype)
        self.logits = v if form == "binary" else np.stack([v, 0 * v, 0 * v + 1], axis=-1)
        self.loss = numbers[:, 2]
        self.gradient = numbers[:, 3] if form == "binary" else numbers[:, 3:]


@cache
def tables(form: str) -> dict[tuple[str, str], Table]:
    rows = defaultdict(list)
    with gzip.open(ORACLES / TABLES[form], "rt", newline="") as file:
        for variant, dtype, *numbers in list(csv.reader(file))[1:]:
            rows[variant, dtype].append(numbers)
    return {key: Table(form, key[1], value) for key, value in rows.items()}


def oracle(variant: str, dtype: str) -> Table:
    (table,) = [t[variant, dtype] for t in map(tables, FORMS) if (variant, dtype) in t]
    return table


def any_table(form: str) -> Table:
    """The float32 table of some variant: all have the same logits and labels."""
    return next(table for table in tables(form).values() if table.dtype == np.float32)


@cache
def switch(form: str):
    """All rows of a form as the trainer compiles them: one program, with a branch for each row."""
    return jax.jit(partial(loss_and_grad, form))


def compiled(key: str, form: str):
    return partial(switch(form), losses_for(form).index(key))


def evaluate(row: Loss, table: Table, epsilon: float, jit: bool) -> tuple[np.ndarray, np.ndarray]:
    function = with_grad(getattr(row, table.form))
    loss, gradient = (compiled(row.key, table.form) if jit else function)(
        jnp.asarray(table.logits), jnp.asarray(table.labels), jnp.asarray(epsilon)
    )
    assert loss.dtype == gradient.dtype == table.dtype
    return np.asarray(loss, np.float64), np.asarray(gradient, np.float64)


def kind(x: np.ndarray) -> np.ndarray:
    """0 for a zero, 1 for a finite number, 2 or -2 for an infinity, 3 for NaN."""
    return np.select([np.isnan(x), np.isinf(x), x == 0], [3, 2 * np.sign(x), 0], 1)


# Binary rows that never compute p.
FROM_LOGITS = {"from_logits", "keras_tf", "keras_jax_logits", "optax", "torch_bce_logits"}


def conditions(table: Table, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The size that rounding errors are relative to, in a row's loss and in its gradient.

    It is the largest quantity that the row's formula rounds on the way to its result: the result
    itself; 1, where the loss is the log of a rounded p or sum; z, where a term in z cancels; p,
    where the gradient is p - y with p rounded; p log p, where that p is exp of a rounded log p.
    """
    z = table.logits.astype(np.float64)
    if table.form == "binary":
        p = np.exp(-np.logaddexp(0, -z))
        exact = FROM_LOGITS
    else:
        p = np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True))
        exact = {"from_logits"}
    loss, gradient = np.abs(table.loss), np.abs(table.gradient)
    if key not in exact:
        loss, gradient = loss + 1, gradient + p
    if table.form == "binary" and key in {"torch_bce_logits", "question_stable"}:
        loss = loss + np.abs(z)
    if table.form == "softmax" and key == "torch_bce_logits":
        gradient = gradient + p * np.abs(np.log(p))
    return loss, gradient


def close(table: Table, key: str, loss: np.ndarray, gradient: np.ndarray) -> tuple:
    """Which losses and which gradients differ from the table only by rounding.

    With u one ulp of 1 and q the dtype's smallest subnormal, the tolerance is 2u times the
    condition (see `conditions`), plus q. Where the label is 0 and the loss is log(1 - p), 1 - p may
    be compared instead, also to 2u: near p = 1, one ulp of p changes its log by up to 0.7.
    """
    info = jnp.finfo(table.dtype)
    u, q = float(info.eps), float(info.smallest_subnormal)
    loss_condition, gradient_condition = conditions(table, key)
    with np.errstate(invalid="ignore"):
        loss_ok = np.abs(loss - table.loss) <= 2 * u * loss_condition + q
        if table.form == "binary" and key not in FROM_LOGITS:
            off = np.abs(np.exp(-loss) - np.exp(-table.loss))
            loss_ok |= (table.labels == 0) & (off <= 2 * u)
        gradient_ok = np.abs(gradient - table.gradient) <= 2 * u * gradient_condition + q
    return loss_ok, gradient_ok


def disagreements(
    row: Loss, table: Table, epsilon: float, jit: bool, flushed: bool, fused: bool
) -> list[str]:
    """Describe every cell where the row and the table differ by more than rounding."""
    loss, gradient = evaluate(row, table, epsilon, jit)
    loss_ok, gradient_ok = close(table, row.key, loss, gradient)
    flushed &= table.dtype != np.float16
    tiny = float(jnp.finfo(table.dtype).smallest_normal) if flushed else 0.0
    found = []
    for name, got, want, ok in [
        ("loss", loss, table.loss, loss_ok),
        ("gradient", gradient, table.gradient, gradient_ok),
    ]:
        expected = np.where(np.abs(want) < tiny, 0, want)
        wrong = (kind(got) != kind(expected)) | ~(ok | (kind(expected) != 1))
        if fused:
            wrong &= ~((expected == 0) & (np.abs(got) < float(jnp.finfo(table.dtype).eps)))
        for at in np.argwhere(wrong):
            i = at[0]
            found.append(
                f"{name} at logit {table.logits[i]} label {table.labels[i]}: "
                f"{got[tuple(at)]} not {expected[tuple(at)]}"
            )
    return found


# The oracle's variants that a row reproduces, each with the epsilon that it was measured with.
REPRODUCES = {
    "naive_exp": {"jax_naive_exp_norm_log": 1e-07},
    "naive": {"jax_naive": 1e-07, "jax_naive_softmax_log": 1e-07},
    "clip": {"jax_clip_1e-7": 1e-07, "jax_clip_1e-8": 1e-08, "jax_softmax_clip_1e-7": 1e-07},
    "question_stable": {"jax_stable_q": 1e-06},
    "keras_jax": {
        "keras_jax_sigmoid_probs": 1e-07,
        "keras_jax_cce_softmax_probs": 1e-07,
        "keras_jax_scce_softmax_probs": 1e-07,
    },
    "keras_torch": {"keras_torch_sigmoid_probs": 1e-07},
    "keras_tf_hidden": {"keras_tf_sigmoid_probs_identity": 1e-07},
    "theano_int": {"jax_logits_minus_logsumexp": 1e-07},
    "optax": {"optax_sigmoid_bce": 1e-07, "optax_softmax_ce_int": 1e-07},
    "keras_jax_logits": {
        "keras_jax_from_logits": 1e-07,
        "keras_jax_cce_from_logits": 1e-07,
        "keras_jax_scce_from_logits": 1e-07,
        "optax_softmax_ce": 1e-07,
    },
    "keras_tf": {
        "keras_tf_sigmoid_probs": 1e-07,
        "keras_tf_cce_softmax_probs": 1e-07,
        "keras_tf_cce_from_logits": 1e-07,
    },
    "from_logits": {"keras_tf_from_logits": 1e-07},
}
REPRODUCED = [
    (key, variant, epsilon)
    for key, variants in REPRODUCES.items()
    for variant, epsilon in variants.items()
]


def modes() -> Iterator[Any]:
    """Each row in each format, compiled; rows measured on JAX also without compilation.

    Without compilation, each operation is compiled by itself. That rarely says more, except where
    the compiled row is one of the exceptions, so the others are slow tests.
    """
    for (key, variant, epsilon), dtype in product(REPRODUCED, DTYPES):
        yield pytest.param(key, variant, epsilon, dtype, True, id=f"{variant}-jit-{dtype}")
        if "jax" in variant or "optax" in variant:
            trial = pytest.param if (variant, dtype) in FUSED else more
            yield trial(key, variant, epsilon, dtype, False, id=f"{variant}-eager-{dtype}")


@pytest.mark.parametrize(("key", "variant", "epsilon", "dtype", "jit"), list(modes()))
def test_reproduces_the_framework(key, variant, epsilon, dtype, jit):
    fused = jit and (variant, dtype) in FUSED
    with jax.enable_x64(dtype == "float64"):
        found = disagreements(LOSSES[key], oracle(variant, dtype), epsilon, jit, False, fused)
    assert not found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("variant", "key"), FLUSHED.items())
def test_follows_pytorch_except_for_subnormals(variant, key, dtype):
    assert not disagreements(LOSSES[key], oracle(variant, dtype), 1e-7, True, True, False)


def test_enough_variants_are_reproduced_each_by_one_row():
    variants = [variant for _, variant, _ in REPRODUCED]
    assert len(variants) == len(set(variants)) >= 20
    assert not set(variants) & set(FLUSHED)


def test_a_wrong_row_disagrees_with_the_table():
    """The comparison can fail: rows that compute p disagree with the exact variant's table."""
    table = oracle("keras_tf_from_logits", "float32")
    for key in ("naive", "clip", "question_stable", "keras_jax", "torch_bce", "mxnet"):
        assert disagreements(LOSSES[key], table, 1e-7, True, False, False)


# --- mathematics ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_from_logits_gradient_is_the_finite_difference(form):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        shape, classes = ((64,), 2) if form == "binary" else ((64, 5), 5)
        z, y = rng.normal(0, 4, shape), rng.integers(0, classes, 64)
        loss = jax.jit(getattr(LOSSES["from_logits"], form))
        gradient = np.asarray(jax.jit(with_grad(loss))(z, y, 0.0)[1])
        step = 1e-5
        for unit in np.eye(shape[-1]) if form == "softmax" else [1.0]:
            above, below = (np.asarray(loss(z + way * unit, y, 0.0)) for way in (step, -step))
            slope = (above - below) / (2 * step)
            along = (gradient * unit).reshape(64, -1).sum(axis=-1)
            # The truncation error is step^2/6 times a third derivative, which is below 1/4. The
            # rest is the rounding of a loss of up to 16 to float64, divided by the step.
            np.testing.assert_allclose(along, slope, rtol=0, atol=2e-10)


@pytest.mark.parametrize("form", FORMS)
def test_from_logits_agrees_with_optax(form):
    with jax.enable_x64(True):
        z = np.linspace(-50, 50, 401)
        y = np.arange(401) % (2 if form == "binary" else 3)
        if form == "softmax":
            z = np.stack([z, 0 * z, 0 * z + 1], axis=-1)
            reference = optax.softmax_cross_entropy_with_integer_labels
        else:
            reference = optax.sigmoid_binary_cross_entropy

        @jax.jit
        def theirs(z):
            want, pull_back = jax.vjp(lambda z: reference(z, y), z)
            return want, pull_back(jnp.ones_like(want))[0]

        want, want_gradient = theirs(z)
        loss, gradient = jax.jit(with_grad(getattr(LOSSES["from_logits"], form)))(z, y, 0.0)
        # optax subtracts numbers as large as z: 2 ulp of 50 is 1.5e-14.
        np.testing.assert_allclose(loss, want, rtol=1e-15, atol=1.5e-14)
        np.testing.assert_allclose(gradient, want_gradient, rtol=1e-15, atol=1.5e-14)


def test_theano_one_hot_has_a_finite_loss_and_a_nan_gradient():
    z = [[120.0, 0.0, 1.0], [1.0, 0.0, 1.0]]
    loss, gradient = of("theano_onehot", "softmax", z, [1, 1], 0.0)
    assert np.isfinite(loss).all()
    assert np.isnan(gradient[0]).all() and np.isfinite(gradient[1]).all()


def test_mxnet_stays_finite_in_float32_and_not_in_float16():
    function = LOSSES["mxnet"].binary
    z = jnp.array([30.0, 8.0])
    assert np.allclose(function(z, jnp.zeros(2), 1e-12)[0], 27.631, atol=1e-3)
    assert np.isinf(function(z.astype(jnp.float16), jnp.zeros(2), 1e-12)).all()


def test_keras1_has_no_gradient_where_it_clips():
    _, gradient = of("keras1_tf", "binary", [-16.2, -15.9, 15.9, 16.7], [1, 1, 0, 0])
    assert ((gradient == 0) == [True, False, False, True]).all()


def test_keras2_adds_epsilon_to_the_clipped_probability():
    """The loss ends at -log(2 epsilon), and at p = epsilon its slope is -p (1 - p) / (p + epsilon).

    By keras.backend.binary_crossentropy of Keras 2 (read in source), in float64.
    """
    z = np.array([-20.0, -16.0, -3.0, 3.0, 15.9, 17.0])
    for label in (0, 1):
        loss, gradient = of("keras2_tf", "binary", z, [label] * 6)
        p = 1 / (1 + np.exp(-z))
        q, e = np.clip(p, 1e-7, 1 - 1e-7), 1e-7
        target = q if label else 1 - q
        close_to = -np.log(target + e)
        np.testing.assert_allclose(loss, close_to, rtol=0.02, atol=1e-6)
        slope = np.where(q == p, p * (1 - p) / (target + e), 0) * (-1 if label else 1)
        np.testing.assert_allclose(gradient, slope, rtol=0.05, atol=1e-6)
    assert np.isclose(-np.log(2e-7), of("keras2_tf", "binary", [-20.0], [1])[0], rtol=1e-5).all()


# --- properties of every row ---------------------------------------------------------------------

CASES = [(form, key) for form in FORMS for key in losses_for(form)]
LOGIT = st.floats(-120, 120, width=32, allow_subnormal=False)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request):
    form, key = request.param
    return form, compiled(key, form)


def example(form, values, label):
    z = np.array(values, np.float32)
    y = np.full(len(z), label % (2 if form == "binary" else 3), np.int32)
    return (z if form == "binary" else np.stack([z, 0 * z, 0 * z + 1], axis=-1)), y


@settings(max_examples=15, deadline=None, database=None)
@given(values=st.lists(LOGIT, min_size=4, max_size=4), label=st.integers(0, 5))
def test_loss_is_not_negative_and_examples_do_not_affect_each_other(case, values, label):
    form, function = case
    values = np.resize(values, len(any_table(form).labels))  # a shape that is already compiled
    z, y = example(form, values, label)
    epsilon = jnp.asarray(1e-6)
    loss, gradient = map(np.asarray, function(z, y, epsilon))
    assert loss.shape == y.shape and gradient.shape == z.shape
    # The question's formula and PyTorch's subtract terms as large as the logit: allow an ulp of it.
    slack = 2 * np.finfo(np.float32).eps * (1 + np.abs(values))
    assert (np.isnan(loss) | (loss >= -slack)).all()
    permuted, permuted_gradient = map(np.asarray, function(z[::-1], y[::-1], epsilon))
    np.testing.assert_array_equal(permuted, loss[::-1])
    np.testing.assert_array_equal(permuted_gradient, gradient[::-1])


@pytest.mark.parametrize("form", FORMS)
def test_a_mapped_index_selects_the_row_and_nothing_else(form):
    """Some rows are NaN at these logits; a row that is finite there must stay finite."""
    keys = losses_for(form)
    z, y = example(form, [-120.0, -16.4, -1.0, 0.0, 15.9, 18.0, 110.0], 1)
    indices = jnp.arange(len(keys))
    mapped = quick(jax.vmap(lambda i: loss_and_grad(form, i, z, y, 1e-6)))(indices)
    single = quick(lambda i: loss_and_grad(form, i, z, y, 1e-6))
    assert np.isnan(mapped[1]).any()
    for i, key in enumerate(keys):
        for got, want in zip(mapped, single(i), strict=True):
            np.testing.assert_allclose(got[i], want, rtol=3e-7, atol=1e-7, err_msg=key)


def test_epsilon_is_traced_and_can_be_mapped():
    z, y = jnp.array([20.0]), jnp.array([0])
    epsilons = jnp.array([1e-3, 1e-5, 1e-7])
    losses = jax.vmap(lambda e: LOSSES["clip"].binary(z, y, e))(epsilons)[:, 0]
    np.testing.assert_allclose(losses, -np.log(epsilons), rtol=0.03)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("form", "key"), CASES)
def test_strict_dtypes_and_ranks(form, key, dtype):
    z, y = example(form, [-3.0, 0.0, 2.0], 1)
    # optax itself promotes integer labels, so the labels have the type that it wants.
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        loss = jax.eval_shape(getattr(LOSSES[key], form), z.astype(dtype), y, np.float32(1e-6))
    assert loss.dtype == dtype and loss.shape == (3,)


@pytest.mark.parametrize("row", LOSSES.values(), ids=list(LOSSES))
def test_rows_describe_themselves(row):
    for text in (row.label, row.latex, row.summary, row.failure, row.reference):
        assert text == text.strip() and text
    assert row.summary.endswith(".") and row.failure.endswith(".")
    assert row.binary or row.softmax or row.regression
    assert not re.search(r"\d\.\d", row.failure), "where it fails must be measured, not typed"
    assert (row.clip_range is not None) == (row.works_on == "clipped probability")
    if row.clip_range:
        low, high = row.clip_range(row.epsilon)
        assert 0 <= low < high <= 1 and (low, high) != (0, 1)


def test_rows_are_in_the_order_of_what_they_work_on():
    places = [list(WORKS_ON).index(row.works_on) for row in LOSSES.values()]
    assert places == sorted(places) and set(places) == {0, 1, 2, 3}
    for form in FORMS:
        assert losses_for(form)[-1] == "from_logits"
    assert losses_for("regression")[-1] == "mse_aligned"


# --- what the rows say about themselves ----------------------------------------------------------


def of(key, form, z, y, epsilon=1e-7):
    """The loss and gradient as NumPy arrays in float64."""
    found = jax.jit(with_grad(getattr(LOSSES[key], form)))(np.float32(z), np.asarray(y), epsilon)
    return tuple(np.asarray(each, np.float64) for each in found)


def test_naive_exp_overflows_even_for_equal_logits():
    equal = np.full((2, 3), [[90.0], [88.0]])  # exp overflows at 90, its sum at 88
    assert not np.isfinite(of("naive_exp", "softmax", equal, [0, 0])[0]).any()
    np.testing.assert_allclose(of("naive", "softmax", equal, [0, 0])[0], np.log(3), rtol=1e-6)


def test_torch_bce_stops_at_100_and_its_gradient_shrinks():
    loss, gradient = of("torch_bce", "binary", [-30.0, -40.0, -95.0], [1, 1, 1])
    np.testing.assert_allclose(gradient[:2], -1e12 * np.exp([-30.0, -40.0]), rtol=1e-5)
    assert (loss[2], gradient[2]) == (100, 0)
    assert of("torch_bce", "binary", [17.0], [0]) == (100, 0)
    far = np.linspace(-200, 200, 4001)
    for y in (0, 1):
        assert of("torch_bce", "binary", far, np.full(4001, y))[0].max() == 100


def test_mxnet_s_gradient_shrinks_below_epsilon():
    _, gradient = of("mxnet", "binary", [-40.0, -20.0], [1, 1], 1e-12)
    p = np.exp([-40.0, -20.0])
    np.testing.assert_allclose(gradient, -p / (p + 1e-12), rtol=1e-5)
    assert jnp.float16(1e-12) == 0


@pytest.mark.parametrize("key", ["clip", "keras_jax", "question_stable"])
def test_on_an_edge_of_the_clip_the_gradient_is_halved(key):
    low = 2.0**-20
    z = jnp.float32(np.log(low / (1 - low))) + jnp.arange(-9, 10) * 2.0**-20
    on_edge = np.asarray(jax.nn.sigmoid(z)) == low
    _, gradient = of(key, "binary", z, np.ones(19), low)
    assert on_edge.any()
    np.testing.assert_allclose(gradient[on_edge], -0.5, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_epsilon_changes_only_rows_that_have_one(loss: str) -> None:
    """A row whose epsilon is None gives the same loss whatever epsilon is."""
    row = LOSSES[loss]
    for form in FORMS:
        if getattr(row, form) is None:
            continue
        one, other = (evaluate(row, any_table(form), e, True)[0] for e in (1e-3, 0.3))
        assert np.array_equal(one, other, equal_nan=True) == (row.epsilon is None)
