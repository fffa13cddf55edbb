"""The masks that are shown are those that train."""

from dataclasses import replace
from functools import cache
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from core.config import RunConfig
from core.data import load
from core.parts.dropout import DROPOUTS
from core.parts.models import layers
from core.run import train
from core.study import masks
from core.study.states import compiled_for, states
from tests.kit import more
from tests.kit.runs import DROPPING, compiling, order_of, tiny

CONFIG = replace(DROPPING, dropout_value=0.6)  # 12 steps an epoch, with 10 images left over
FULL_BATCH = tiny(batch_size=100, dropout="keep_prob", dropout_value=0.3)


def device_data(config: RunConfig) -> train.DeviceData:
    return train.on_device(config.task, load(config.source, config.train_size))


@cache
def logits_of(shape: train.Shape) -> Any:
    """The logits of the training step's own pass, compiled once for all forms."""
    backprop = train.Step(shape).backprop
    return compiled_for(shape, lambda *inputs: backprop(*inputs).logits)


@pytest.mark.parametrize("form", DROPOUTS)
@pytest.mark.parametrize(
    "config", [more(CONFIG, id="batches"), pytest.param(FULL_BATCH, id="full batch")]
)
def test_a_step_s_logits_follow_from_its_masks(config: RunConfig, form: str) -> None:
    """Multiplying images, masks and weights by hand gives what the training step computes."""
    config = replace(config, dropout=form, epochs=1)
    data, knobs, logits = device_data(config), train.knobs(config), logits_of(train.shape(config))
    for step, at in zip(range(config.steps), states(config, data), strict=False):
        found = masks.forward_pass(config, data, at)
        trained = logits(at.state, data.train_images, data.train_labels, at.order, knobs)
        assert found.step == step
        np.testing.assert_allclose(found.logits, trained, rtol=1e-5, atol=1e-6)
        x = np.asarray(data.train_images)[found.places] / np.float32(255)
        *hidden, (last, bias) = layers(jax.device_get(at.state.params))
        for (w, b), layer in zip(hidden, found.layers, strict=True):
            np.testing.assert_allclose(layer.units, np.maximum(x @ w + b, 0), atol=1e-5)
            x = layer.units * layer.multipliers
        np.testing.assert_allclose(x @ last + bias, trained, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_places_are_the_batch_s_images() -> None:
    data = device_data(CONFIG)
    found = [each for each in masks.passes(CONFIG, data, range(CONFIG.steps)) if each is not None]
    assert [each.step for each in found] == list(range(36))
    for epoch in range(3):
        order = order_of(CONFIG, epoch)[:240]
        of_epoch = np.concatenate([each.places for each in found[12 * epoch : 12 * epoch + 12]])
        np.testing.assert_array_equal(of_epoch, order)


@pytest.mark.slow
def test_masks_differ_by_step_and_layer_and_need_no_training() -> None:
    data = device_data(CONFIG)
    trained = {each.step: each for each in masks.passes(CONFIG, data, (0, 14, 15)) if each}
    for step, each in trained.items():
        for found, layer in zip(masks.multipliers(CONFIG, data, step), each.layers, strict=True):
            np.testing.assert_array_equal(found, layer.multipliers)
            assert found.shape == layer.units.shape
    first, second = (trained[step].layers[0].multipliers for step in (14, 15))
    assert np.any(first != second)
    assert np.any(first[:, :16] != trained[14].layers[1].multipliers)


def test_multipliers_have_the_number_s_meaning() -> None:
    data = device_data(CONFIG)
    for form, value, kept, multiplier in [
        ("rate", 0.7, 0.3, 1 / 0.3), ("keep_prob", 0.7, 0.7, 1 / 0.7), ("older", 0.7, 0.7, 1.0),
        ("unscaled", 0.7, 0.3, 1.0), ("off", 0.5, 1.0, 1.0),
    ]:  # fmt: skip
        config = replace(CONFIG, dropout=form, dropout_value=value)
        found = np.concatenate(masks.multipliers(config, data, 3), axis=1)
        assert set(np.unique(found)) <= {0, np.float32(multiplier)} or np.allclose(
            found[found > 0], multiplier
        )
        sigma = np.sqrt(kept * (1 - kept) / found.size)
        assert abs(np.mean(found > 0) - kept) <= 5 * sigma


def test_ticks_come_between_passes() -> None:
    found = list(masks.passes(CONFIG, device_data(CONFIG), [2, 4]))
    assert [each and each.step for each in found] == [None, None, 2, None, 4]


@pytest.mark.parametrize("steps", [[-1], [3, 36]])
def test_a_step_that_is_not_in_the_run_is_refused(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="allowed are 0 to 35"):
        next(masks.passes(CONFIG, device_data(CONFIG), steps))


def test_changed_knobs_compile_nothing() -> None:
    data = device_data(CONFIG)
    masks.multipliers(CONFIG, data, 0)
    with compiling() as compiled:
        for form in DROPOUTS:
            masks.multipliers(replace(CONFIG, dropout=form, dropout_value=0.1, seed=3), data, 5)
    assert compiled == []


# A digit's pixels

DIGIT = load("sample").train_images[0]


@given(st.floats(0.05, 0.95), st.integers(0, 2**31 - 1))
def test_readings_of_a_number_keep_the_same_pixels_as_far_as_they_can(
    number: float, seed: int
) -> None:
    kept, dropped, older = (
        masks.dropped_pixels(DIGIT, form, number, seed) for form in ("keep_prob", "rate", "older")
    )
    fewer, more = sorted([kept > 0, dropped > 0], key=np.sum)
    assert not np.any(fewer & ~more)
    np.testing.assert_array_equal(older > 0, kept > 0)
    np.testing.assert_array_equal(older[older > 0], DIGIT[older > 0])
    np.testing.assert_allclose(kept * np.float32(number), older, rtol=1e-6)


@pytest.mark.parametrize("form", DROPOUTS)
def test_all_pixels_are_there_at_test_time(form: str) -> None:
    found = masks.dropped_pixels(DIGIT, form, 0.25, training=False)
    factor = DROPOUTS[form].means(jnp.float32(0.25)).factor
    np.testing.assert_array_equal(found, DIGIT * np.float32(factor))
    assert found.shape == DIGIT.shape and found.dtype == np.float32
