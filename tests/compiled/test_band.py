"""What a change of one rounding does to the question and to small runs."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.run import train
from core.study import band, lanes
from tests.kit.runs import compiling, tiny, trained

STABLE = RunConfig()
LOGITS = RunConfig(loss="from_logits")
SMALL = tiny(epochs=3)
WHOLE = replace(SMALL, batch_size=SMALL.train_size)


def test_perturbations_are_one_rounding() -> None:
    w = {"w": jnp.asarray(np.random.default_rng(0).normal(size=10_000), jnp.float32)}
    moved = {i: np.asarray(lanes.perturb(w, i, band.ROUNDING)["w"]) for i in (0, 1, 2)}
    before = np.asarray(w["w"])
    np.testing.assert_array_equal(moved[0], before)
    assert np.all(np.abs(moved[1] - before) <= np.spacing(np.abs(before)))
    up = np.mean(np.abs(moved[1]) > np.abs(before))
    down = np.mean(np.abs(moved[1]) < np.abs(before))
    assert 0.1 < up < 0.4
    assert abs(up - down) < 0.05
    assert np.mean(moved[1] != moved[2]) > 0.1


@pytest.mark.slow
def test_band_tells_fact_from_chance() -> None:
    runs = {
        config.loss: band.collect(band.rounding_band(config, load("sample", 1000), 4))
        for config in (STABLE, LOGITS)
    }
    for config in (STABLE, LOGITS):
        accuracy = runs[config.loss].accuracy
        assert accuracy.shape == runs[config.loss].loss.shape == (5, 11)
        np.testing.assert_allclose(accuracy[:, 0], 0.435, atol=1e-6)
    stable, logits = (runs[config.loss].accuracy[:, -1] for config in (STABLE, LOGITS))
    np.testing.assert_allclose(logits, 0.909, atol=5e-4)
    assert np.ptp(stable) > 0.01
    unperturbed = [s.train_accuracy for s in trained(LOGITS)]
    np.testing.assert_allclose(runs["from_logits"].accuracy[0], unperturbed, atol=0.002)
    losses = [s.loss for s in trained(LOGITS)]
    np.testing.assert_allclose(runs["from_logits"].loss[0], losses, rtol=1e-4)


@pytest.mark.slow
def test_a_seed_strip_has_the_runs_of_its_seeds_in_any_grouping() -> None:
    strip = band.collect(band.seed_strip(WHOLE, load("sample", 100), [3, 1, 4, 1, 5]))
    for row, seed in enumerate([3, 1, 4, 1, 5]):
        expected = [s.loss for s in trained(replace(WHOLE, seed=seed))]
        np.testing.assert_allclose(strip.loss[row], expected, rtol=1e-5)
    assert len(np.unique(strip.loss[:, -1])) == 4


@pytest.mark.slow
def test_pieces_come_as_soon_as_they_are_done() -> None:
    pieces = band.rounding_band(WHOLE, load("sample", 100), perturbations=4)
    ticks = [next(pieces) for _ in range(WHOLE.steps + 2)]
    assert ticks[:-1] == [None] * (WHOLE.steps + 1)
    assert ticks[-1] is not None
    assert len(ticks[-1].accuracy) == 1, "the first comes alone, to see what it costs"
    rest = [piece for piece in pieces if piece is not None]
    assert sum(len(piece.accuracy) for piece in rest) == 4


def test_changed_knobs_compile_nothing() -> None:
    band.collect(band.seed_strip(WHOLE, load("sample", 100), [0]))
    changed = replace(
        WHOLE, seed=7, learning_rate=0.5, loss="clip", epsilon=1e-3, scaling="raw", epochs=5
    )
    with compiling() as compiled:
        band.collect(
            band.rounding_band(changed, load("sample", 100), perturbations=2, magnitude=1e-8)
        )
    assert compiled == []


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch_size": 50}, "batch_size is 50"), ({"dropout": "rate"}, "dropout is 'rate'")],
)
def test_band_needs_full_batches_without_dropout(change: dict[str, Any], message: str) -> None:
    config = replace(WHOLE, **change)
    with pytest.raises(ValueError, match=message):
        band.rounding_band(config, load("sample", 100))
    with pytest.raises(ValueError, match=message):
        band.seed_strip(config, load("sample", 100))


# Copies, trained by the run's own program


@pytest.mark.slow
@pytest.mark.parametrize(
    "config", [LOGITS, SMALL, replace(SMALL, dropout="rate", optimizer="adam")], ids=str
)
def test_copies_stay_close_to_the_run(config: RunConfig) -> None:
    on_device = train.on_device(config.task, load("sample", config.train_size))
    found = [copy for copy in band.copies(config, on_device, 2) if copy is not None]
    own = [s.train_accuracy for s in trained(config)]
    assert len(found) == 2
    for copy in found:
        assert copy.steps.tolist() == train.snapshot_steps(config)
        np.testing.assert_allclose(copy.score, own, atol=0.02)


@pytest.mark.slow
def test_copies_of_the_question_end_apart() -> None:
    on_device = train.on_device("binary", load("sample", 1000))
    ends = [copy.score[-1] for copy in band.copies(STABLE, on_device, 4) if copy is not None]
    assert np.ptp(ends) > 0.01


@pytest.mark.slow
def test_copies_of_nan_are_nan() -> None:
    config = replace(STABLE, loss="naive")
    on_device = train.on_device("binary", load("sample", 1000))
    (copy,) = (copy for copy in band.copies(config, on_device, 1) if copy is not None)
    assert copy.score[0] == pytest.approx(0.435)
    assert np.isnan(copy.score[1:]).all()
