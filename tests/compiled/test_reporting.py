"""Both ways of reporting one training, compared with the training itself."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.presets import PRESETS
from core.run import train
from core.study import reporting
from core.study.states import compiled_for, states
from tests.kit import more
from tests.kit.runs import DROPPING as CONFIG
from tests.kit.runs import compiling


def device_data(config: RunConfig) -> train.DeviceData:
    return train.on_device(config.task, load(config.source, config.train_size))


def reported(config: RunConfig, **options: Any) -> list[reporting.Report]:
    found = reporting.reports(config, device_data(config), **options)
    return [report for report in found if report is not None]


@cache
def parts_of(shape: train.Shape) -> dict[str, Any]:
    """The training step's own functions, compiled once for all forms."""
    step = train.Step(shape)

    def before(*inputs: Any) -> Any:
        x, labels, _ = step.batch(*inputs)
        passes = step.backprop(*inputs)
        return x, labels, passes.logits, passes.loss

    def after(weights: Any, x: Any, labels: Any, knobs: train.Knobs) -> Any:
        logits = step.evaluate(weights, x, knobs)
        return logits, train.losses_and_slopes(step.form, logits, labels, knobs)[0]

    return {each.__name__: compiled_for(shape, each) for each in (before, after)}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["rate", "older", "off"])
def test_each_batch_is_measured_as_it_trains_and_afterwards(form: str) -> None:
    config = replace(CONFIG, dropout=form)
    data, knobs, parts = device_data(config), train.knobs(config), parts_of(train.shape(config))
    found = reported(config, reports_per_epoch=12)  # one batch for each
    assert [report.step for report in found] == list(range(1, 37))
    seen = None
    for at, report in zip(states(config, data), [None, *found], strict=True):
        if seen is not None:
            x, labels, dropping, loss = seen
            logits, losses = jax.device_get(parts["after"](at.state.weights, x, labels, knobs))
            right = [np.mean(np.argmax(z, axis=1) == labels) for z in (dropping, logits)]
            assert report is not None and report.batches == 1
            measured = [report.dropping.accuracy, report.whole.accuracy]
            np.testing.assert_allclose(measured, right, atol=0.051)  # one image of twenty
            measured = [report.dropping.loss, report.whole.loss]
            np.testing.assert_allclose(measured, [np.mean(loss), np.mean(losses)], rtol=1e-3)
        state, order = at
        if state.step < config.steps:
            inputs = (state, data.train_images, data.train_labels, order, knobs)
            seen = jax.device_get(parts["before"](*inputs))


@pytest.mark.slow
def test_it_reports_the_run_itself() -> None:
    data, knobs = device_data(CONFIG), train.knobs(CONFIG)
    held_out = train.program(train.shape(CONFIG)).held_out(len(data.test_images))
    ends = [
        float(held_out(at.state.weights, data.test_images, data.test_labels, knobs))
        for step, at in enumerate(states(CONFIG, data))
        if step and step % 12 == 0
    ]
    epochs = reported(CONFIG, reports_per_epoch=1)
    assert [report.epoch for report in epochs] == [1, 2, 3]
    np.testing.assert_allclose([report.test_accuracy for report in epochs], ends, atol=0.003)


@pytest.mark.slow
def test_reports_of_an_epoch_add_up_to_the_epoch() -> None:
    whole, *_ = reported(CONFIG, reports_per_epoch=1)
    even = reported(CONFIG, reports_per_epoch=5)
    of_first = [report for report in even if report.epoch <= 1]
    assert [report.batches for report in of_first] == [3, 3, 3, 3]
    uneven = [report for report in reported(CONFIG, reports_per_epoch=7) if report.epoch <= 1]
    for parts in (of_first, uneven):
        batches, last = [report.batches for report in parts], parts[-1]
        assert (last.step, last.epoch, sum(batches)) == (12, 1, 12)
        for name in ("dropping", "whole"):
            scores = [getattr(report, name) for report in parts]
            mean = np.average(scores, axis=0, weights=batches)
            np.testing.assert_allclose(mean, getattr(whole, name), rtol=1e-5)
        assert last.test_accuracy == whole.test_accuracy
    assert all(np.isnan(report.test_accuracy) for report in of_first[:-1])


def test_it_pauses_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PIECE", 4)
    config = replace(CONFIG, epochs=2)  # of 12 steps
    ticks = [report and report.step for report in reporting.reports(config, device_data(config), 2)]
    assert ticks == [None, 6, None, 12, None, 18, None, 24]


@pytest.mark.parametrize(
    ("config", "epochs", "rate"),
    [(CONFIG, 30, 0.5), more(PRESETS["keep_or_drop"].config, 10, 0.7)],
    ids=["few images", "the question's network"],
)
def test_the_trap_shows_on_the_sample(config: RunConfig, epochs: int, rate: float) -> None:
    """A loop without dropping reports more than the test accuracy; one with dropping, less."""
    config = replace(config, dropout="keep_prob", dropout_value=0.7)
    *_, last = reported(replace(config, epochs=epochs), reports_per_epoch=1)
    assert last.dropping.accuracy < last.whole.accuracy
    assert last.dropping.loss > last.whole.loss
    assert last.test_accuracy < last.whole.accuracy
    dropped = replace(config, dropout="rate", dropout_value=rate, epochs=2 * epochs)
    *_, last = reported(dropped, reports_per_epoch=1)
    assert last.dropping.accuracy < last.test_accuracy


def test_changed_knobs_compile_nothing() -> None:
    reported(CONFIG)
    with compiling() as compiled:
        reported(replace(CONFIG, dropout="older", dropout_value=0.2, seed=4, loss="clip"))
    assert compiled == []
