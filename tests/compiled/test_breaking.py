"""The step that breaks a run's weights is found between its looks."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.run import train
from core.run.diagnosis import diagnose
from core.run.snapshot import Snapshot
from core.run.train import loop
from tests.kit.runs import tiny, trained

# Looked at after every third step.
BREAKS = tiny(loss="naive", learning_rate=0.5, epochs=200)


def finite(look: Snapshot) -> bool:
    return bool(np.isfinite(look.weight_norms).all())


def without_search(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> list[Snapshot]:
    def no_search(*_: object) -> object:
        return
        yield

    monkeypatch.setattr(loop, "broke", no_search)
    return list(train.run(config, load(config.source, config.train_size)))


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.5, 8.0])
def test_both_sides_of_the_breaking_step_are_looked_at(
    rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(BREAKS, learning_rate=rate)
    run, plain = trained(config), without_search(config, monkeypatch)
    between = sorted({look.step for look in run} - {look.step for look in plain})
    first = next(i for i, look in enumerate(run) if not finite(look))
    before, after = run[first - 1 : first + 1]
    assert after.step == before.step + 1
    assert (before.next_finite, after.next_finite) == (False, False)
    assert between and set(between) <= {before.step, after.step}
    assert not any(map(finite, run[first:]))
    rest = [look for look in run if look.step not in between]
    jax.tree.map(np.testing.assert_array_equal, rest, plain)
    said = [each.sentence for each in diagnose(config, run)]
    assert f"The weights broke at step {after.step}. Step {before.step} said:" in said[1]


@pytest.mark.slow
def test_a_run_that_does_not_break_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*_: object) -> object:
        raise AssertionError

    monkeypatch.setattr(loop, "broke", called)
    config = replace(BREAKS, loss="from_logits", epochs=100)
    assert all(map(finite, train.run(config, load(config.source, config.train_size))))
