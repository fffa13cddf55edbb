"""The causes of real runs; every sentence that predicts is compared with the rest of its run."""

from dataclasses import replace
from itertools import islice
from math import comb
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig, agree
from core.data import load
from core.presets import PRESETS
from core.run import train
from core.run.diagnosis import Diagnosis, diagnose
from core.run.train import shape
from tests.kit import more
from tests.kit.runs import DIGITS as FEW_DIGITS
from tests.kit.runs import KEEP_OR_DROP, righted, tiny, trained
from tests.kit.truth import DEEP, DIGITS, settings, verdicts

QUESTION = RunConfig()
FEW = FEW_DIGITS.differences()
TOO_STRONG = "dropout_too_strong"


def said(config: RunConfig, step: int) -> Diagnosis:
    seen = [s for s in trained(config) if s.step <= step]
    return diagnose(config, seen)[0]


def test_the_question_has_the_measured_causes() -> None:
    assert "48% of the images are wrong and silent" in said(QUESTION, 0).sentence
    assert said(QUESTION, 0).cure == {"loss": "from_logits"}
    now = righted(trained(QUESTION))
    assert 100 < now < 484  # 341 where it was noted, and 416 with another compiler's rounding
    later = f"Of the 484 that were so at the start, {now} are right by now."
    assert later in said(QUESTION, 10).sentence


@pytest.mark.parametrize(
    ("change", "step", "cause"),
    [
        ({"loss": "naive"}, 0, "breaking_step"),
        ({"loss": "naive"}, 1, "broken_weights"),
        more({"seed": 1}, 10, "stopped"),
        more({"learning_rate": 1e-8}, 10, "too_small"),
        more({"loss": "from_logits", "learning_rate": 1.0}, 10, "silent_layer"),
        more({"loss": "from_logits", "learning_rate": 1e3}, 10, "silent_layer"),
        more({"loss": "from_logits", "learning_rate": 1e-8}, 10, "too_small"),
        more({"dropout": "rate"}, 10, "all_silent"),
        more({"optimizer": "adam", "learning_rate": 0.1}, 10, "all_silent"),
        more({"scaling": "unit"}, 10, "learning"),
        more(
            {**DEEP, "dropout": "rate", "dropout_value": 0.7, "epochs": 6}, 60, "dropout_too_strong"
        ),
        more({**DIGITS, "scaling": "raw", "loss": "theano_onehot"}, 30, "broken_weights"),
        ({**FEW, "scaling": "raw", "loss": "theano_onehot", "epochs": 6}, 30, "broken_weights"),
    ],
    ids=str,
)
def test_causes_of_real_runs(change: dict[str, Any], step: int, cause: str) -> None:
    assert said(agree(change)[0], step).cause == cause


@pytest.mark.slow
@pytest.mark.parametrize(
    "order", [{"shuffle": "never"}, {"shuffle": "buffer", "shuffle_buffer": 50}], ids=str
)
def test_images_that_are_not_mixed_are_the_cause_and_shuffling_is_the_cure(
    order: dict[str, Any],
) -> None:
    config = replace(KEEP_OR_DROP, dropout="off", epochs=3, data_order="sorted", **order)
    for step in (0, 10, 30):
        assert said(config, step).cause == "unmixed"
    cure = said(config, 30).cure
    assert cure == {"shuffle": "every_epoch"}
    better = replace(config, **cure)
    causes = [found.cause for found in diagnose(better, trained(better))]
    assert "unmixed" not in causes
    assert trained(better)[-1].train_accuracy > trained(config)[-1].train_accuracy + 0.2


@pytest.mark.slow
def test_steps_that_bfloat16_rounds_away_get_weights_in_float32() -> None:
    config = tiny(precision="bfloat16", learning_rate=3e-3, epochs=40)
    found = said(config, config.steps)
    assert found.cause == "rounded_away" and "number of bfloat16" in found.sentence
    better = replace(config, **found.cure)
    assert better.precision == "mixed_bfloat16"
    assert "rounded_away" not in {each.cause for each in diagnose(better, trained(better))}
    assert trained(better)[-1].train_accuracy > trained(config)[-1].train_accuracy
    assert trained(better)[-1].loss < trained(config)[-1].loss


# Each form of dropout, with the value that makes it keep 30% of the units, and 70%.
THIRTY = {"keep_prob": 0.3, "rate": 0.7, "older": 0.3, "unscaled": 0.7}
SEVENTY = {form: 1 - number for form, number in THIRTY.items()}


def found_at(cause: str, run: RunConfig, form: str, number: float, steps: list[int]) -> list[int]:
    """The steps at which a cause is found in a run of the keep_prob question."""
    config = replace(run, dropout=form, dropout_value=number)
    data = train.on_device(config.task, load(config.source, config.train_size))

    def next_look(step: int) -> int:
        return next(mark for mark in [*steps, config.steps] if mark > step)

    ticks = train.ticks(config, train.program(train.shape(config)), data, next_look=next_look)
    looks = (snapshot for snapshot in ticks if snapshot is not None)
    seen = list(islice(looks, 1 + len(steps)))
    causes = [[f.cause for f in diagnose(config, seen[: i + 1])] for i in range(len(seen))]
    return [look.step for look, keys in zip(seen, causes, strict=True) if cause in keys]


EARLY = [1, 20, 50, 80, 120]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "number"), THIRTY.items())
def test_dropout_is_too_strong_at_thirty_percent(form: str, number: float) -> None:
    assert found_at(TOO_STRONG, KEEP_OR_DROP, form, number, EARLY) == [50, 80, 120]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "number"), SEVENTY.items())
def test_dropout_is_not_too_strong_at_seventy(form: str, number: float) -> None:
    assert found_at(TOO_STRONG, KEEP_OR_DROP, form, number, [*EARLY, 199]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "number"), [("keep_prob", 0.05), ("rate", 0.95), ("unscaled", 0.95)]
)
def test_a_loss_that_dropout_raises_is_not_put_down_to_the_steps(form: str, number: float) -> None:
    for rate in (1e-4, 1e-3):
        run = replace(KEEP_OR_DROP, learning_rate=rate)
        assert found_at("too_large", run, form, number, [4, 10, *EARLY[1:]]) == []


@pytest.mark.slow
def test_steps_that_overshoot_with_units_dropped_are_said_to() -> None:
    run = replace(KEEP_OR_DROP, learning_rate=1.0)
    assert found_at("too_large", run, "rate", 0.1, [1, 2, 3]) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.usefixtures("full_mnist")
def test_dropout_is_too_strong_on_full_mnist() -> None:
    full = PRESETS["keep_or_drop_full"].config
    assert found_at(TOO_STRONG, full, "rate", 0.7, EARLY) == [50, 80, 120]
    assert found_at(TOO_STRONG, full, "keep_prob", 0.7, EARLY) == []


# Unusual runs of few images, in each of which some sentence makes a prediction.
ODD = [
    RunConfig(seed=1),
    agree({**FEW, "scaling": "raw", "loss": "naive_exp"})[0],
]
ODDER = [
    tiny(loss="naive", scaling="raw", precision="float16"),
    tiny(learning_rate=1.0, scaling="raw", precision="float16"),
    agree({**FEW, "scaling": "raw", "loss": "naive_exp", "optimizer": "adam"})[0],
]


@pytest.mark.parametrize(
    "config", [*ODD, *map(more, ODDER)], ids=lambda config: str(config.differences())
)
def test_predictions_about_few_images_come_true(config: RunConfig) -> None:
    found = list(verdicts(config))
    assert found and [cause for cause, held in found if not held] == []


def _by_chance(heads: int, tosses: int) -> float:
    return sum(comb(tosses, k) for k in range(heads, tosses + 1)) / 2**tosses


@pytest.mark.parametrize("config", [
    FEW_DIGITS, tiny(epochs=20), tiny(loss="naive", scaling="raw"),
    replace(FEW_DIGITS, loss_input="as_probabilities"),
    *(more(config) for config in (
        RunConfig(), RunConfig(epochs=40),
        replace(FEW_DIGITS, loss="clip", epsilon=1e-7, epochs=20),
        replace(FEW_DIGITS, label_smoothing=0.3, epochs=20), tiny(learning_rate=1e-8),
        replace(FEW_DIGITS, learning_rate=0.5, epochs=20), tiny(learning_rate=1.0, scaling="raw"),
        RunConfig(loss="from_logits", scaling="unit", epochs=60), *ODD, *ODDER,
    )),
], ids=lambda config: str(config.differences()))  # fmt: skip
def test_labels_are_said_to_be_moved_where_they_are_and_that_shows(config: RunConfig) -> None:
    """Where enough answers are the moved labels, or were; taught the true ones, more are right."""
    moved = replace(config, label_shift=1)
    for run in (config, moved):
        ever = False
        for i, now in enumerate(trained(run)):
            diagnoses = diagnose(run, trained(run)[: i + 1])
            said = [f.sentence for f in diagnoses if f.cause == "shifted_labels"]
            named = bool(said) and ": at step" not in said[0]
            ever |= named
            assert bool(said) == ever, "what was seen is not forgotten"
            wrong = round((1 - now.train_accuracy) * len(now.labels))
            right, other = (
                round(share * len(now.labels)) for share in (now.train_accuracy, now.next_label)
            )
            assert other <= wrong and (run.task == "digits" or other == wrong)
            # The exact chance that a fair coin falls on one side at least as often.
            chance = _by_chance(other, right + other)
            if named:
                assert run is moved and other > right and chance < 1e-8
            elif run is moved and not np.isnan(now.loss):
                assert chance > 1e-11
    end, better = trained(moved)[-1], trained(config)[-1]
    (found,) = [f for f in diagnose(moved, trained(moved)) if f.cause == "shifted_labels"] or [None]
    if found:
        assert replace(moved, **found.cure) == config
        assert better.train_accuracy > end.train_accuracy + 0.2


QUICK = {shape(config) for config in (QUESTION, tiny(), FEW_DIGITS)}


@pytest.mark.parametrize("config", [
    config if shape(config) in QUICK and i % 4 == 0 else more(config)
    for i, config in enumerate(list(dict.fromkeys(settings()))[::9])
], ids=lambda config: str(config.differences()))  # fmt: skip
def test_predictions_come_true(config: RunConfig) -> None:
    assert [cause for cause, held in verdicts(config) if not held] == []
