"""The operation that makes a NaN, against the losses themselves and against whole runs."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, Form, losses_for, with_grad
from core.run import train
from core.study import origin
from core.study.origin import Operation, Origin, words
from core.study.origin.tape import Made
from tests.kit import more
from tests.kit.runs import DIGITS, SERIES, look, quick, tiny, trained

FORMATS = ("float32", "bfloat16", "float16")
ZS = (0, 0.5, 4, 8.5, 11, 17.5, 30, 89, 104, 700, 3e4)
LOGITS: dict[Form, list[Any]] = {
    "binary": [sign * z for z in ZS for sign in (1, -1)],
    "softmax": [(sign * z, 0, 1) for z in ZS for sign in (1, -1)] + [(0, -z, -2 * z) for z in ZS],
}
EPSILON = 1e-7


def first_nan(form: Form, key: str, logits: Any, label: Any) -> Made | None:
    found = origin.of_loss(form, key, logits, label, EPSILON)
    return found if found and math.isnan(found.operations[-1].result) else None


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("form", LOGITS)
def test_there_is_an_origin_where_the_compiled_loss_is_nan_and_nowhere_else(
    form: Form, dtype: str
) -> None:
    """One operation after the other there is NaN for the same logits; of each row one is told."""
    logits = np.array(LOGITS[form], DTYPES[dtype].dtype)
    broken = 0
    for key in losses_for(form):
        row = with_grad(getattr(LOSSES[key], form))
        compiled = quick(row)
        for label in (0, 1):
            known = np.full(len(logits), label, np.int32 if form == "softmax" else logits.dtype)
            args = logits, known, np.float32(EPSILON)
            nan = _nan(*compiled(*args))
            stepwise = _nan(*(each.array for each in origin.Recorder().record(row, *args)))
            np.testing.assert_array_equal(nan, stepwise, f"{key}, label {label}")
            for which in (nan, ~nan):
                if which.any():
                    i = int(np.flatnonzero(which)[0])
                    made = first_nan(form, key, logits[i], label)
                    assert (made is not None) == nan[i], (key, label, logits[i])
                    assert made is None or words.cause(made.operations[-1]), made
            broken += nan.sum()
    assert broken  # or else nothing was compared


def _nan(loss: Any, slope: Any) -> np.ndarray:
    slopes = np.asarray(slope).reshape(len(loss), -1)
    return np.isnan(np.asarray(loss)) | np.isnan(slopes).any(axis=1)


def told(form: Form, key: str, logits: Any, label: Any, dtype: Any = np.float32) -> str:
    made = first_nan(form, key, np.asarray(logits, dtype), label)
    assert made is not None
    return f"{origin.PARTS[made.result]}: {origin.derivation(made)}"


def test_the_textbook_loss_at_p_1_is_0_times_log_0() -> None:
    assert told("binary", "naive", 104, 1) == (
        "in the loss: `sigmoid(104) = 1`, then `1 - 1 = 0`, then `log 0 = -inf`, then "
        "`0 · (-inf) = NaN`. 0 times infinity has no value."
    )


def test_where_it_is_finite_or_infinite_its_derivative_is_infinity_times_0() -> None:
    assert told("binary", "naive", -104, 1) == (
        "in the derivative of the loss: `sigmoid(-104) = 0`, then `(-1) / 0 = -inf`, then "
        "`(-inf) · 0 = NaN`. 0 times infinity has no value."
    )


def test_other_operations_have_their_names() -> None:
    assert "`1 / 0 = inf`, then `inf - inf = NaN`" in told("binary", "question_stable", 30, 1)
    assert "then `0 / 0 = NaN`. 0 divided by 0" in told("softmax", "theano_onehot", (200, 0, 1), 0)
    overflow = origin.of_loss("softmax", "naive_exp", np.float16([12, 0, 1]), 0, EPSILON)
    assert overflow is not None and words.formula(overflow.operations[0]) == "exp(12) = inf"
    assert words.cause(overflow.operations[0]) == "The largest number of float16 is 65504."


def of(function: Any, *args: Any) -> tuple[Operation, ...]:
    made = origin.origin(origin.Recorder().record(function, *args))
    return made.operations if made else ()


def test_what_a_choice_leaves_out_is_no_origin() -> None:
    """0 / 0 is computed, and where throws it away."""
    x = np.float32([0, 2])
    assert not of(lambda x: jnp.where(x == 0, 0, x / x), x)
    (only,) = of(lambda x: jnp.where(x == 0, x / x, 0), x)
    assert (only.name, only.operands) == ("div", (0, 0))


def test_calls_loops_and_sums_are_looked_into() -> None:
    x, big = np.float32([1, 2]), np.float32([3e38, 3e38])
    assert [each.name for each in of(jax.jit(lambda x: jnp.log(x - 1) * 0), x)] == [
        "sub", "log", "mul",
    ]  # fmt: skip
    (total,) = of(jnp.sum, big)
    assert (total.terms, total.result) == (2, math.inf)
    (product,) = of(lambda x, y: x @ y, np.float32([np.inf, 1]), np.float32([0, 1]))
    assert (product.name, product.operands) == ("product_of", (math.inf, 0))
    for reverse in (False, True):

        def summed(x: Any, reverse: bool = reverse) -> Any:
            return jax.lax.scan(lambda c, x: (c + x, c * 0 + x), 0.0, x, reverse=reverse)

        *_, last = of(summed, np.float32([1, 3e38, 3e38, 1]))
        assert (last.name, last.operands) == ("mul", (math.inf, 0))


def test_a_loop_whose_length_is_not_known_is_looked_into() -> None:
    def doubled(x: Any) -> Any:
        return jax.lax.while_loop(lambda x: x < 1e30, lambda x: x * x, x)

    got = origin.Recorder().record(doubled, np.float32(3))
    assert got[0].array == doubled(np.float32(3))
    *_, last = of(doubled, np.float32(1e25))
    assert (last.name, last.result) == ("mul", math.inf)
    assert last.operands == (np.float32(1e25), np.float32(1e25))


def test_smoothed_labels_have_the_origin_of_each_label_s_loss() -> None:
    plain = tiny(loss="naive", scaling="raw")
    told, smoothed = found(plain), found(replace(plain, label_smoothing=0.2))
    assert told is not None and smoothed is not None
    assert origin.sentence(smoothed) == origin.sentence(told)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_over_time_gives_what_it_gives(reverse: bool) -> None:
    def differences(x: Any) -> Any:
        return jax.lax.scan(lambda c, x: (c + x, c - x), 0.0, x, reverse=reverse)

    x = np.float32([1, 2, 4, 8])
    got = origin.Recorder().record(differences, x)
    for a, b in zip(differences(x), got, strict=True):
        np.testing.assert_array_equal(a, b.array)


def found(config: RunConfig) -> Origin | None:
    data = train.on_device(config.task, load(config.source, config.train_size))
    pieces = [each for each in origin.of_run(config, data, trained(config)) if each is not None]
    return pieces[0] if pieces else None


def test_a_run_that_is_well_has_no_origin() -> None:
    assert found(tiny()) is None
    assert not origin.broken(look())


def test_a_loss_that_breaks_before_the_first_step() -> None:
    config = tiny(loss="naive", scaling="raw")
    told = found(config)
    assert told is not None and told.image is not None and told.made is not None
    now = trained(config)[0]
    assert told.step == 0 and told.label == now.labels[told.image]
    assert told.logits[0] == pytest.approx(now.margins[told.image], rel=1e-5)
    assert math.isnan(told.made.operations[-1].result)
    said = origin.sentence(told)
    assert said.startswith("At step 0, in the ") and f"image {told.image:,} (z = " in said


def test_the_label_of_an_origin_is_the_one_that_the_loss_is_given() -> None:
    config = tiny(loss="naive", scaling="raw", label_shift=1)
    told, now = found(config), trained(config)[0]
    assert told is not None and told.image is not None and told.label is not None
    assert told.label == 1 - now.labels[told.image]
    again = origin.of_loss("binary", "naive", np.float32(told.logits[0]), told.label, 1e-7)
    assert again is not None and told.made is not None
    assert origin.derivation(again) == origin.derivation(told.made)


def test_with_classes_it_is_found_among_the_logits_of_one_image() -> None:
    """No look holds them: they are computed again."""
    config = replace(DIGITS, loss="naive", learning_rate=100.0)
    told = found(config)
    assert told is not None and told.made is not None and len(told.logits) == 10
    first = next(each for each in trained(config) if origin.broken(each))
    assert 0 < told.step <= first.step
    logits = np.float32(told.logits)
    again = origin.of_loss("softmax", "naive", logits, told.label, config.epsilon)
    assert again is not None and origin.derivation(again) == origin.derivation(told.made)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        (tiny(precision="float16", learning_rate=1e3), "in the update of the weights"),
        (
            tiny(precision="float16", learning_rate=1e3, scaling="raw"),
            "in the forward pass, layer 1 of 2",
        ),
        more(replace(SERIES, optimizer="sgd", learning_rate=1e3), "in the backward pass"),
    ],
    ids=["update", "forward", "backward"],
)
def test_the_part_of_the_step_is_named(config: RunConfig, place: str) -> None:
    told = found(config)
    assert told is not None and told.made is not None and told.made.operations
    first = next(each for each in trained(config) if origin.broken(each))
    assert (told.place, told.step <= first.step) == (place, True)
    assert words.cause(told.made.operations[-1]), told
    assert origin.sentence(told).startswith(f"At step {told.step}, {place}")
