"""Copies of a run that are tried with a larger learning rate."""

from dataclasses import replace
from itertools import islice
from typing import Any

import jax
import numpy as np
import pytest

from core.config import FIELDS
from core.data import load
from core.run import train
from core.run.diagnosis import diagnose
from core.run.snapshot import Snapshot, Trial
from core.run.train import loop, snapshot_steps, trial
from core.run.train.trial import STEPS, TIMES, came_to_little, trial_steps
from tests.kit.runs import DIGITS, SERIES, look, order_of, tiny, trained


@pytest.fixture(autouse=True)
def _short_runs_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST", float("inf"))


SLOW = tiny(batch_size=100, learning_rate=2e-3, epochs=40)  # 40 steps of one batch


def tried(run: list[Snapshot]) -> dict[int, Trial]:
    return {look.step: look.trial for look in run if look.trial}


def test_each_copy_takes_the_steps_that_a_run_would_take() -> None:
    """All steps are looked at, so that they round as those of the copies do."""
    run, data = trained(SLOW), train.on_device(SLOW.task, load("sample", SLOW.train_size))
    assert [look.step for look in run] == list(range(41)) and [*tried(run)] == [20, 40]
    program = train.program(train.shape(SLOW))
    state = program.init(train.knobs(SLOW))
    for step in range(21):
        if found := tried(run).get(step):
            larger = replace(SLOW, learning_rate=TIMES * SLOW.learning_rate)
            start = jax.tree.map(np.array, state)
            ticks = train.ticks(larger, program, data, start)
            end = next(islice((look for look in ticks if look is not None), STEPS, None))
            assert end.step == step + STEPS
            assert found == Trial(STEPS, TIMES, run[step + STEPS].loss, end.loss)
            assert found.larger < found.own < run[step].loss
        images = data.train_images, data.train_labels, order_of(SLOW)
        _, state = program.diagnose(state, *images, train.knobs(SLOW))


def test_a_run_goes_on_as_if_nothing_had_been_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are drawn, and a copy's last ones are those of the next epoch."""
    config = replace(DIGITS, learning_rate=2e-3, epochs=3)
    run = trained(config)
    assert [*tried(run)] == [8, 15]
    for step, found in tried(run).items():
        if step + STEPS <= config.steps:
            assert found.own == run[step + STEPS].loss
    monkeypatch.setattr(loop, "trial_steps", lambda *_: {})
    untried = list(train.run(config, load("sample", config.train_size)))
    assert not tried(untried)
    without = [look._replace(trial=None) for look in run]
    jax.tree.map(np.testing.assert_array_equal, without, untried)


def test_a_run_that_gets_somewhere_is_not_tried() -> None:
    assert not tried(trained(replace(SLOW, learning_rate=1.0, epochs=160)))


def test_few_looks_are_tried_and_none_where_the_rate_may_not_be_larger() -> None:
    for config in (SLOW, DIGITS, replace(DIGITS, epochs=100), replace(SLOW, epochs=1)):
        steps = trial_steps(config, snapshot_steps(config))
        assert set(steps) <= set(snapshot_steps(config)) and max(steps) == config.steps
        assert len(steps) == min(2, config.steps) and 0 not in steps
    most = FIELDS["learning_rate"].high  # type: ignore[union-attr]
    for rate, tries in ((most, 0), (most / TIMES, 2)):
        config = replace(SLOW, learning_rate=rate)
        assert len(trial_steps(config, snapshot_steps(config))) == tries


@pytest.mark.parametrize(
    ("steps", "tries"),
    [
        (400, {200: 10, 400: 10}),  # 40 of 400
        (399, {399: 10}),
        (100, {100: 5}),
        (60, {60: 3}),
        (59, {}),
    ],
)
def test_trials_take_a_small_part_of_a_run(
    steps: int, tries: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "MOST", 0.1)
    config = replace(SLOW, epochs=steps)
    assert trial_steps(config, snapshot_steps(config)) == tries


@pytest.mark.slow
def test_a_run_with_steps_between_looks_is_tried_with_those(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They round as the run's own do, so its own copy is as far as it will be."""
    monkeypatch.setattr(trial, "MOST", 0.1)
    config = replace(SLOW, learning_rate=1e-4, epochs=1000)  # looked at after every third step
    run = trained(config)
    assert [*tried(run)] == [501, 1000]
    later = {look.step: look.loss for look in run}
    between = np.interp(501 + STEPS, [510, 513], [later[510], later[513]])
    assert tried(run)[501].own == pytest.approx(between, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "little"),
    [
        ({"loss": 0.51}, True),
        ({"loss": 0.49}, False),
        ({"loss": 2.0}, True),
        ({"loss": np.nan}, False),
        ({"loss": np.inf}, False),
        ({"loss": 0.51, "next_finite": False}, False),
    ],
)
def test_a_run_has_come_to_little_if_most_of_its_loss_is_left(
    changes: dict[str, Any], little: bool
) -> None:
    assert came_to_little(1.0, look(5, **changes)) == little


@pytest.mark.slow
def test_a_regression_is_not_tried() -> None:
    config = replace(SERIES, learning_rate=1e-5)
    assert not tried(trained(config))


def test_a_slow_run_is_said_to_be_slow_and_the_rate_that_was_tried_is_its_cure() -> None:
    for run in (SLOW, replace(DIGITS, learning_rate=2e-3, epochs=12)):
        said = diagnose(run, trained(run))[0]
        assert said.cause == "too_slow" and said.cure == {"learning_rate": 2e-2}
        better = trained(replace(run, **said.cure))
        assert better[-1].train_accuracy > trained(run)[-1].train_accuracy + 0.05
