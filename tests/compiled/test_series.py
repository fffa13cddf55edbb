"""Which pairs a loss compares, and what one key does to three gates."""

from dataclasses import replace

import numpy as np
import pytest

from core.data import load
from core.parts.losses import losses_for
from core.parts.models import layers
from core.run import train
from core.study.series import ALIGNED, KEYS, POST, compared, ends, gates
from tests.kit import every
from tests.kit.runs import SERIES

SMALL = replace(SERIES, loss="mse_aligned", learning_rate=ALIGNED.learning_rate, epochs=1)


@pytest.mark.parametrize("loss", losses_for("regression"))
def test_the_loss_is_the_mean_over_the_pairs_that_it_compares(loss: str) -> None:
    random = np.random.default_rng(1)
    predictions, targets = random.normal(size=(2, 9)).astype(np.float32)
    squares = compared(loss, predictions, targets)
    pairs = np.isfinite(squares)
    own = np.eye(9, dtype=bool)
    assert np.all(pairs == (own if loss == "mse_aligned" else True))
    everyone = (predictions[:, None] - targets) ** 2
    np.testing.assert_allclose(squares[pairs], everyone[pairs], rtol=1e-6)
    expected = np.mean((predictions - targets) ** 2) if loss == "mse_aligned" else everyone.mean()
    assert np.nanmean(squares) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("keys", "model"), every(2, KEYS.items()))
def test_the_gates_are_those_that_the_run_starts_with(keys: str, model: str) -> None:
    config = replace(SMALL, model=model, seed=3)
    found = gates(config)
    unit = layers(train.program(train.shape(config)).init(train.knobs(config)).params)[1]
    for name, gate in found.items():
        np.testing.assert_array_equal(gate.states, getattr(unit, name).states)
    first, *others = found.values()
    assert all(np.array_equal(first.states, o.states) for o in others) == (keys == "one key")


def test_final_errors_are_those_of_the_runs_themselves() -> None:
    data = load("ou", SMALL.train_size)
    found = [end for end in ends(SMALL, train.on_device(SMALL.task, data), [0, 5]) if end]
    assert [(end.keys, end.seed) for end in found] == [(k, s) for k in KEYS for s in (0, 5)]
    last = list(train.run(replace(SMALL, model=KEYS["one key"], seed=5), data))[-1]
    assert found[1].error == pytest.approx(last.score, rel=1e-3)
    assert found[1].copied == pytest.approx(last.fit.copied)


def test_the_story_s_twins_differ_only_in_their_loss() -> None:
    assert ALIGNED.differences() == {**POST.differences(), "loss": "mse_aligned"}
