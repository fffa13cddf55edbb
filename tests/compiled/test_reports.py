"""What a program reports beside what is true, compared with the definition of each row."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.parts.reports import REPORTS
from core.run import train
from core.run.prepare import ahead, at_hand, device_data, prepare
from core.run.snapshot import Snapshot
from core.run.train.step import test_key as dropped_by
from core.study import states
from tests.kit import more
from tests.kit.runs import DIGITS, DROPPING, POST_CNN, tiny, trained

RNG = np.random.default_rng(0)
LOGITS = {outputs: np.float32(RNG.normal(size=(500, outputs))) * 3 for outputs in (1, 10)}
LABELS = {1: RNG.integers(0, 2, 500), 10: RNG.integers(0, 10, 500)}


def right(key: str, outputs: int) -> float:
    """The mean of what a row counts as right."""
    counted = REPORTS[key].right(jnp.asarray(LOGITS[outputs]), jnp.asarray(LABELS[outputs]))
    assert counted.dtype == jnp.float32 and counted.shape == (500,)
    return float(jnp.mean(counted))


@pytest.mark.parametrize("key", REPORTS)
@pytest.mark.parametrize("outputs", [1, 10])
def test_what_counts_as_right(key: str, outputs: int) -> None:
    z, labels = LOGITS[outputs], LABELS[outputs]
    answers = z[:, 0] > 0 if outputs == 1 else z.argmax(axis=1)
    expected = np.mean(answers == labels)
    if (key, outputs) == ("threshold", 1):
        expected = np.mean((z[:, 0] > 0.5) == labels)
    if (key, outputs) == ("rounded", 10):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        expected = np.mean((p > 0.5) == np.eye(10)[labels])
    assert right(key, outputs) == pytest.approx(expected, abs=1e-6)


def test_ten_outputs_that_say_nothing_score_nine_tenths() -> None:
    counted = REPORTS["rounded"].right(jnp.zeros((500, 10)), jnp.asarray(LABELS[10]))
    assert float(jnp.mean(counted)) == pytest.approx(0.9)


CASES = {
    "threshold": tiny(),
    "rounded": DIGITS,
    "dropout_on": DROPPING,
    "unscaled": DIGITS,
    "nan_as_0": DIGITS,
}


def ended(config: RunConfig) -> tuple[train.State, train.DeviceData, train.Program, train.Knobs]:
    data = device_data(config)
    *_, end = states.states(config, data)
    return end.state, data, train.program(train.shape(config)), train.knobs(config)


def logits_of(config: RunConfig, params: Any, images: np.ndarray) -> np.ndarray:
    """The logits of the held-out images, as the row says that they are computed."""
    row, step, knobs = REPORTS[config.report], train.Step(train.shape(config)), train.knobs(config)
    x = np.float32(images) if not row.scales else train.pixels(jnp.asarray(images), knobs)
    key = dropped_by(knobs) if row.drops else None
    with train.numerics(train.shape(config)):
        logits = step.apply(params, x, rng=key, drop=train.dropping(knobs))
    return np.asarray(logits)


@pytest.mark.parametrize("key", [key if key == "threshold" else more(key) for key in CASES])
def test_a_look_has_both_accuracies_on_the_same_images(key: str) -> None:
    honest = CASES[key]
    config = replace(honest, report=key)
    last, true = trained(config)[-1], trained(honest)[-1]
    assert math.isnan(true.reported) and last.test_accuracy == true.test_accuracy
    state, data, _, _ = ended(config)
    labels = np.asarray(data.test_labels)
    logits = logits_of(config, state.params, np.asarray(data.test_images))
    counted = REPORTS[key].right(jnp.asarray(logits), jnp.asarray(labels))
    assert last.reported == pytest.approx(float(np.mean(counted)), abs=0.003), "by rounding only"
    assert (key == "nan_as_0") == (last.reported == last.test_accuracy)
    truth = logits_of(honest, state.params, np.asarray(data.test_images))
    losses = [cross_entropy(each, labels) for each in (logits, truth)]
    assert [last.reported_loss, last.held_out_loss] == pytest.approx(losses, rel=1e-4)
    assert (losses[0] != losses[1]) == (key in ("dropout_on", "unscaled"))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean over images, in float64."""
    z = logits.astype(float)
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], axis=1)
    z -= z.max(axis=1, keepdims=True)
    picked = z[np.arange(len(z)), labels.astype(int)]
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - picked))


@pytest.mark.slow
@pytest.mark.parametrize("key", CASES)
def test_a_report_is_no_part_of_training(key: str) -> None:
    config = CASES[key]

    def rest(looks: list[Snapshot]) -> list[Any]:
        others = dict.fromkeys(("reported", "reported_loss", "held_out_loss"), 0.0)
        return jax.tree.leaves([look._replace(**others) for look in looks])

    both = zip(rest(trained(config)), rest(trained(replace(config, report=key))), strict=True)
    for one, other in both:
        np.testing.assert_array_equal(one, other)


def test_only_one_report_counts_nan() -> None:
    state, data, program, _ = ended(DIGITS)
    broken = jax.tree.map(lambda w: jnp.full_like(w, jnp.nan), state.params)
    images, labels = data.test_images, data.test_labels
    reports = program.reports(len(images))
    for key in REPORTS:
        knobs = train.knobs(DIGITS)._replace(report=np.int32(list(REPORTS).index(key)))
        share, *losses = map(float, reports(train.Weights(broken), images, labels, knobs))
        assert all(map(math.isnan, losses))
        if key == "nan_as_0":
            assert share == pytest.approx(float(np.mean(np.asarray(labels) == 0)))
        else:
            assert math.isnan(share), key


@pytest.mark.slow
def test_a_model_that_evaluates_in_batches_reports_in_the_same_ones() -> None:
    last = trained(replace(POST_CNN, report="nan_as_0"))[-1]
    assert last.reported == last.test_accuracy


def test_what_measures_the_truth_is_no_other_run() -> None:
    same = partial(replace, report="true")
    for config in (
        RunConfig(report="rounded"), tiny(task="digits", report="threshold"),
        RunConfig(report="unscaled"), RunConfig(report="dropout_on"),
        tiny(model="cnn", dropout="rate", report="dropout_on"),
    ):  # fmt: skip
        assert config == same(config)
    for key, config in CASES.items():
        assert replace(config, report=key) != config


def test_a_run_that_reports_is_at_hand_only_when_that_is_compiled_too(
    monkeypatch: pytest.MonkeyPatch, compilations: list[float]
) -> None:
    """Otherwise the thread that trains everybody's short runs compiled it, for seconds."""
    honest = tiny()
    list(ahead(honest))
    pieces = train.program(train.shape(honest))._shared
    others = {k: v for k, v in pieces._compiled.items() if k[0] != pieces.looking.reports}
    monkeypatch.setattr(pieces, "_compiled", others)
    reporting = replace(honest, report="threshold")
    assert at_hand(honest) and not at_hand(reporting)
    ready = prepare(reporting, lambda *_: None)
    assert ready.finish is None and at_hand(reporting), "the looks are of the same 1,000 images"
    compilations.clear()
    assert [look.step for look in ready.ticks if look][-1] == reporting.steps
    assert not compilations
