"""explain_shapes reports the real shapes, and warns where both inputs are stretched."""

import math
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from jax import lax

from core.parts.models import INITIALIZERS, MODELS
from core.shapes import explain_shapes
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
    assert explain_shapes(lambda x, y: x[:, None] - y, x, y).warnings  # one axis is implicit


@pytest.mark.parametrize("model", MODELS)
def test_no_model_of_ours_has_a_warning(model: str) -> None:
    inputs, outputs = (9, 9) if MODELS[model].series else (784, 10)
    init, apply, _ = MODELS[model].build((6, 5), outputs, INITIALIZERS["keras"])
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
