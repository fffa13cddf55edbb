"""explain_shapes reports the real shapes, and warns where both inputs are stretched."""

import itertools
import math
import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax import lax

from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS
from core.shapes import explain_shapes
from tests.kit import more
from tests.kit.runs import filled

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def test_the_warning_about_the_post_s_loss_names_its_line() -> None:
    def loss(preds: Any, targets: Any) -> Any:
        return jnp.mean((preds - targets) ** 2)

    found = explain_shapes(loss, ones(9, 64, 1), ones(64, 9))
    (warning,) = found.warnings
    line = loss.__code__.co_firstlineno + 1
    assert warning.startswith(f"test_shapes.py:{line} in loss: (9, 64, 1) - (64, 9) -> (9, 64, 9)")
    assert [line.text for line in found.lines[:1]] == ["(9, 64, 1) - (64, 9) -> (9, 64, 9)"]
    assert f"  ^ WARNING {warning}" in str(found).splitlines()
    assert not explain_shapes(loss, ones(9, 64, 1), ones(9, 64, 1)).warnings


@settings(max_examples=60)
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4))
def test_a_warning_appears_exactly_where_both_are_stretched(given_: Any) -> None:
    (a, b), result = given_.input_shapes, given_.result_shape
    both = all(1 < math.prod(shape) < math.prod(result) for shape in (a, b))
    for operation in (lambda x, y: x - y, lambda x, y: jnp.maximum(x, y), lambda x, y: x < y):
        found = explain_shapes(operation, ones(*a), ones(*b))
        assert bool(found.warnings) == both
        assert found.lines[-1].inputs == (a, b) and found.lines[-1].outputs == (result,)


def warnings_of(function: Callable[..., Any], *arrays: tuple[int, ...], dtype: Any) -> int:
    # Call it from a line of this file: nothing else tells JAX's code from the caller's.
    given = [np.ones(shape, dtype) for shape in arrays]
    return len(explain_shapes(lambda *args: function(*args), *given).warnings)


def pairs_with(function: Callable[..., Any], dtype: Any) -> bool:
    """Whether a function follows NumPy's rules of broadcasting for two arrays."""
    for a, b, result in (((3, 2), (3, 2), (3, 2)), ((5, 1), (4,), (5, 4))):
        try:
            found = jax.eval_shape(
                lambda x, y: function(x, y), np.ones(a, dtype), np.ones(b, dtype)
            )
        except Exception:  # takes other arguments
            return False
        if getattr(found, "shape", None) != result:
            return False
    return True


@cache
def functions() -> dict[tuple[str, str], Callable[..., Any]]:
    """Those of jax.numpy, by name and dtype; to find them takes two seconds."""
    return {
        (name, dtype): function
        for name, function in vars(jnp).items()
        if callable(function) and not isinstance(function, type) and not name.startswith("_")
        for dtype in ("float32", "int32")
        if pairs_with(function, dtype) and name not in ("outer", "kron")  # which stretch nothing
    }


def operators() -> dict[tuple[str, str], Callable[..., Any]]:
    """Python's own, by name and dtype."""
    return {
        (name, dtype): getattr(operator, name)
        for dtype, names in {
            "float32": "add sub mul truediv floordiv mod pow eq ne lt le gt ge",
            "int32": "and_ or_ xor lshift rshift floordiv mod pow",
        }.items()
        for name in names.split()
    }


@pytest.mark.slow
def test_jax_numpy_has_the_functions_that_are_meant() -> None:
    assert {name for name, _ in functions()} >= {
        "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "divide",
        "true_divide", "floor_divide", "remainder", "mod", "power", "fmax", "fmin", "isclose",
        "clip", "hypot", "logaddexp", "copysign", "heaviside", "left_shift", "right_shift", "gcd",
        "add", "maximum", "arctan2", "logical_and", "bitwise_and", "ldexp", "float_power",
    }  # fmt: skip


@pytest.mark.parametrize("of", [more(functions), operators])
def test_every_function_and_operator_warns_exactly_where_both_are_stretched(of: Any) -> None:
    for (name, dtype), function in of().items():
        for a, b, expected in (
            ((5, 1), (4,), 1),
            ((4,), (5, 1), 1),
            ((5, 1), (1, 4), 1),
            ((4, 5), (5,), 0),
            ((4, 5), (4, 1), 0),
            ((5, 1), (), 0),
            ((), (5,), 0),
            ((5, 1), (1, 1), 0),
        ):
            assert warnings_of(function, a, b, dtype=dtype) == expected, (name, dtype, a, b)

        def asked(x: Any, y: Any, function: Any = function) -> Any:
            return function(x[:, None], y[None, :])

        def half(x: Any, y: Any, function: Any = function) -> Any:
            return function(x[:, None], y)

        for outer, expected in ((asked, 0), (half, 1), (jax.jit(asked), 0), (jax.jit(half), 1)):
            found = warnings_of(outer, (5,), (4,), dtype=dtype)
            assert found == expected, (name, dtype, outer)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y, z: jnp.where(x > 0, y, z),
        lambda x, y, z: jnp.select([x > 0], [y], z),
        lambda x, y, z: jnp.clip(x, y, z),
    ],
    ids=["where", "select", "clip"],
)
def test_functions_of_three_arrays_warn_where_all_that_are_no_scalars_are_stretched(
    function: Any,
) -> None:
    def count(*arrays: tuple[int, ...]) -> int:
        return warnings_of(function, *arrays, dtype="float32")

    for several in ([(5, 1), (4,), ()], [(5, 1), (4,), (4,)], [(5, 1), (5, 1), (4,)]):
        assert all(count(*arrays) == 1 for arrays in itertools.permutations(several))
    for several in ([(4, 5), (5,), ()], [(5, 1), (5, 1), ()], [(5,), (5,), (5,)]):
        assert all(count(*arrays) == 0 for arrays in itertools.permutations(several))
    assert count((5, 4), (5, 1), (4,)) == 0  # the first has the result's shape
    asked = explain_shapes(lambda x, y: function(x[:, None], y[None, :], 2.0), ones(5), ones(4))
    assert not asked.warnings


def test_the_masked_loss_and_the_chosen_cross_entropy_warn() -> None:
    def masked(mask: Any, loss: Any) -> Any:
        return jnp.where(mask, loss, 0.0).sum() / mask.sum()

    def cross_entropy(y: Any, p: Any) -> Any:
        return jnp.where(y == 1, -jnp.log(p), -jnp.log1p(-p)).mean()

    for function, text in (
        (masked, "where (64,), (64, 1), () -> (64, 64) stretches both arrays"),
        (cross_entropy, "where (64,), (64, 1), (64, 1) -> (64, 64) stretches all arrays"),
    ):
        (warning,) = explain_shapes(function, ones(64), ones(64, 1)).warnings
        line = function.__code__.co_firstlineno + 1
        assert warning.startswith(f"test_shapes.py:{line} in {function.__name__}: {text}")
        assert not explain_shapes(function, ones(64), ones(64)).warnings


def test_one_written_operation_has_one_warning() -> None:
    def repeated(x: Any, y: Any) -> Any:
        for _ in range(3):
            jnp.isclose(x, y)  # six of its steps stretch both

    def twice(x: Any, y: Any) -> Any:
        return x // y + x // y

    for function, count in ((repeated, 1), (twice, 2)):
        assert len(explain_shapes(function, ones(5, 1), ones(4)).warnings) == count
    gradients = jax.grad(lambda x, y: (x**y).sum(), (0, 1))  # their steps pair x and y again
    (warning,) = explain_shapes(gradients, ones(5, 1), ones(4)).warnings
    assert "(5, 1) ** (4,) -> (5, 4)" in warning


def test_vmap_stretches_on_purpose_but_what_it_maps_may_not() -> None:
    for function in (lambda x, y: x - y, lambda x, y: x // y, lambda x, y: jnp.where(x > 0, x, y)):
        for pairs in (
            jax.vmap(function, (0, None)),
            jax.vmap(jax.vmap(function, (None, 0)), (0, None)),
        ):
            assert not explain_shapes(pairs, ones(5), ones(4)).warnings
        assert len(explain_shapes(jax.vmap(function), ones(7, 5, 1), ones(7, 4)).warnings) == 1
    table = jax.vmap(lambda x, y: x[:, None] - y[None, :], (0, None))
    assert not explain_shapes(table, ones(7, 5), ones(4)).warnings


CALLS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "outer": (jnp.outer, [(5, 1), (4,)]),
    "kron": (jnp.kron, [(5, 1), (4,)]),
    "matmul": (jnp.matmul, [(5, 1), (1, 4)]),
    "einsum": (lambda x, y: jnp.einsum("i,j->ij", x, y), [(5,), (4,)]),
    "meshgrid": (jnp.meshgrid, [(5,), (4,)]),
    "searchsorted": (lambda x, y: jnp.searchsorted(x, y, method="compare_all"), [(5,), (4, 1)]),
    "tril": (jnp.tril, [(5, 4)]),
    "var": (lambda x: jnp.var(x, 0), [(5, 4)]),
    "cov": (jnp.cov, [(5, 4)]),
    "corrcoef": (jnp.corrcoef, [(5, 4)]),
    "vander": (lambda x: jnp.vander(x, 3), [(5,)]),
    "linspace": (lambda x, y: jnp.linspace(x, y, 4), [(5, 1), (5, 1)]),
    "quantile": (lambda x, q: jnp.quantile(x, q, axis=1), [(5, 4), (3,)]),
    "gather": (lambda x, i, j: x[i.astype(int), j.astype(int)], [(9, 9), (5, 1), (4,)]),
    "softmax": (jax.nn.softmax, [(5, 4)]),
    "standardize": (jax.nn.standardize, [(5, 4)]),
    "one_hot": (lambda x: jax.nn.one_hot(x.astype(int), 4), [(5, 1)]),
    "attention": (
        lambda q: jax.nn.dot_product_attention(q, q, q, is_causal=True), [(2, 7, 3, 8)],
    ),
    "solve": (jnp.linalg.solve, [(4, 4), (4, 1)]),
    "svd": (jnp.linalg.svd, [(5, 4)]),
    "lstsq": (jnp.linalg.lstsq, [(5, 4), (5, 1)]),
    "det": (jnp.linalg.det, [(3, 4, 4)]),
    "uniform": (
        lambda x: jax.random.uniform(jax.random.key(0), (5, 4), minval=x, maxval=x + 1), [(5, 1)],
    ),
    "hessian": (jax.hessian(jax.nn.logsumexp), [(5,)]),
    "jacobian": (jax.jacrev(lambda x: jnp.where(x > 0, x * x, jnp.sin(x))), [(5,)]),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_what_jax_stretches_on_purpose_has_no_warning(call: str) -> None:
    function, arrays = CALLS[call]
    assert warnings_of(function, *arrays, dtype="float32") == 0


@settings(max_examples=30)
@given(shapes, st.data())
def test_biases_and_scalars_cause_no_warning(shape: tuple[int, ...], data: Any) -> None:
    bias = shape[data.draw(st.integers(0, len(shape))) :]
    found = explain_shapes(lambda x, b: 2.0 * x + b - 1, ones(*shape), ones(*bias))
    assert not found.warnings


def test_axes_that_were_asked_for_cause_no_warning() -> None:
    x, y = ones(5), ones(7)
    assert not explain_shapes(lambda x, y: x[:, None] - y[None, :], x, y).warnings
    assert not explain_shapes(lambda x, y: x[:, None] - y.reshape(1, 7), x, y).warnings
    assert not explain_shapes(lambda x, y: jnp.outer(x, y) + jnp.tril(ones(5, 7)), x, y).warnings
    assert not explain_shapes(lambda x, y: jnp.exp(x[:, None]) - y[:, None].T, x, y).warnings
    assert not explain_shapes(lambda x, y: jax.jit(jnp.add)(x[:, None], y[None]), x, y).warnings
    assert explain_shapes(lambda x, y: x[:, None] - y, x, y).warnings  # one axis is implicit
    assert explain_shapes(lambda x, y: jnp.exp(x[:, None]) - y, x, y).warnings


@pytest.mark.parametrize("model", MODELS)
def test_no_model_of_ours_has_a_warning(model: str) -> None:
    inputs, outputs = (9, 9) if MODELS[model].series else (784, 10)
    init, apply, *_ = MODELS[model].build((6, 5), outputs, INITIALIZERS["keras"])
    params = filled(init, (4, inputs))

    def loss(params: Any, x: Any) -> Any:
        return jnp.mean(
            jax.nn.log_softmax(apply(params, x)) * jax.nn.one_hot(jnp.arange(4), outputs)
        )

    for function in (loss, jax.grad(loss), jax.jit(jax.value_and_grad(loss))):
        found = explain_shapes(function, params, ones(4, inputs))
        assert not found.warnings and len(found.lines) >= 1


def test_a_warning_inside_loops_branches_and_jitted_functions_is_found() -> None:
    def body(h: Any, x: Any) -> tuple[Any, Any]:
        return h + jnp.sum(h[:, None] * x), None

    def looped(h: Any, xs: Any) -> Any:
        return lax.scan(body, h, xs)[0]

    for function in (
        looped,
        jax.jit(looped),
        lambda h, xs: lax.cond(True, looped, lambda h, xs: h, h, xs),
        jax.grad(lambda h, xs: looped(h, xs).sum()),
    ):
        found = explain_shapes(function, ones(3), ones(6, 2))
        assert any("(3, 1) * (2,) -> (3, 2)" in warning for warning in found.warnings)
    mapped = explain_shapes(lambda xs: lax.map(lambda x: x[:, None] - x, xs), ones(6, 2))
    assert [line.depth for line in mapped.lines if line.warning] == [1]
    loop = explain_shapes(looped, ones(3), ones(6, 2)).lines
    assert [step.depth for step in loop[:2]] == [0, 1] and "loop of 6 steps" in loop[0].what


def test_the_steps_have_the_real_shapes() -> None:
    def layer(weights: dict[str, Any], x: Any) -> Any:
        return jax.nn.relu(x @ weights["w"] + weights["b"]).sum(axis=1)

    weights = {"w": ones(4, 5), "b": ones(5)}
    found = explain_shapes(layer, weights, np.ones((3, 4), np.float32))
    assert [line.text for line in found.lines] == [
        "matrix product (3, 4), (4, 5) -> (3, 5)",
        "(3, 5) + (5,) -> (3, 5)",
        "relu (3, 5) -> (3, 5)",
        "sum over axes (1,) of (3, 5) -> (3,)",
    ]
    assert all(line.where.startswith("test_shapes.py:") for line in found.lines)


def test_shapes_that_do_not_fit_raise_as_usual() -> None:
    with pytest.raises(TypeError, match="incompatible shapes"):
        explain_shapes(lambda x, y: x - y, ones(3), ones(4))
