"""Twins, the stuck, the swap and the rounding band, on the question itself and on small runs."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core import train, twins
from core.config import RunConfig
from core.data import Dataset, load
from core.snapshot import Snapshot

STABLE = RunConfig()
LOGITS = RunConfig(loss="from_logits")
SMALL = RunConfig(
    train_size=200, widths=(30,), loss="from_logits", batch_size=50, epochs=3, scaling="unit"
)


@cache
def data_for(size: int) -> Dataset:
    return load("sample", size)


@cache
def snapshots(config: RunConfig) -> list[Snapshot]:
    return list(train.run(config, data_for(config.train_size)))


def diverge(a: RunConfig, b: RunConfig) -> twins.Divergence | None:
    search = twins.first_divergence(a, b, data_for(a.train_size))
    return next((found for found in search if found is not None), None)


# Who may be twins


def test_differences_name_both_values() -> None:
    assert twins.differences(STABLE, replace(LOGITS, learning_rate=0.1)) == {
        "loss": ("question_stable", "from_logits"),
        "learning_rate": (0.01, 0.1),
    }
    assert twins.differences(STABLE, STABLE) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"widths": (999,)}, {"scaling": "unit"}, {"batch_size": 500}, {"epochs": 9},
        {"initializer": "normal_0.01"}, {"stream": "partitionable"}, {"train_size": 2000},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("start", ["twins", "first_divergence", "swap"])
def test_not_twins(start: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(change))} is .* twins may differ in loss"):
        list(getattr(twins, start)(STABLE, replace(STABLE, **change), data_for(1000)))


# Lock step


def test_pairs_are_the_runs_themselves() -> None:
    a, b = SMALL, replace(SMALL, learning_rate=0.02)
    pairs = [pair for pair in twins.twins(a, b, data_for(200)) if pair is not None]
    assert [pair.a.step for pair in pairs] == train.snapshot_steps(a)
    for pair, left, right in zip(pairs, snapshots(a), snapshots(b), strict=True):
        assert (pair.a.loss, pair.b.loss) == (left.loss, right.loss)
    # Twice the learning rate: the same first gradient, and other weights behind it.
    assert pairs[0].divergence is None
    assert [pair.divergence and pair.divergence.step for pair in pairs[1:]] == [1] * a.steps


def test_first_divergence_of_the_question() -> None:
    found = diverge(STABLE, LOGITS)
    assert found is not None
    assert (found.step, found.relative.shape) == (0, (2,))
    assert found.relative[found.layer] == found.relative.max() > 0.9
    samples = found.samples
    first = data_for(1000)
    np.testing.assert_array_equal(samples.images, first.train_images[samples.index])
    np.testing.assert_array_equal(samples.labels, first.train_labels[samples.index] >= 5)
    np.testing.assert_allclose(samples.logits[0][:, 0], snapshots(STABLE)[0].margins[samples.index])
    # The worst are stuck in one and wholly wrong in the other.
    assert len(samples.index) == twins.MOST
    np.testing.assert_array_equal(samples.slopes[0], 0)
    np.testing.assert_array_equal(np.abs(samples.slopes[1]), 1)
    stuck = int(1000 * float(snapshots(STABLE)[0].census.stuck))
    assert stuck <= found.differing <= 1000


@pytest.mark.parametrize("loss", ["optax", "torch_bce_logits", "keras_tf"])
def test_rounding_is_no_divergence(loss: str) -> None:
    assert diverge(LOGITS, replace(LOGITS, loss=loss)) is None


def test_mini_batches_name_images_by_their_place_in_the_data() -> None:
    a, b = SMALL, replace(SMALL, loss="naive", epsilon=1e-3)
    config = replace(b, loss="clip", epsilon=0.49)  # clips nearly everything at once
    found = diverge(a, config)
    assert found is not None
    assert found.step == 0
    order = train.program(train.shape(a)).order(train.knobs(a), np.int32(0))
    assert set(found.samples.index.tolist()) <= set(np.asarray(order)[:50].tolist())
    assert found.samples.index.max() >= 50
    assert found.differing <= 50


def test_relative_differences() -> None:
    a = [(np.array([3.0, 0.0]), np.array([4.0])), (), (np.array([1.0]),)]
    b = [(np.array([3.0, 0.0]), np.array([3.0])), (), (np.array([1.0]),)]
    np.testing.assert_allclose(twins.relative_differences(a, b), [1 / 5, 0])
    nan = [(np.array([np.nan, 0.0]), np.array([4.0])), (), (np.array([np.inf]),)]
    np.testing.assert_array_equal(twins.relative_differences(nan, nan), [0, 0])
    np.testing.assert_array_equal(twins.relative_differences(a, nan), [np.inf, np.inf])


# The stuck


@pytest.mark.parametrize(
    ("config", "step"), [(STABLE, 0), (STABLE, 10), (replace(STABLE, loss="torch_bce"), 3)]
)
def test_stuck_are_those_of_the_census(config: RunConfig, step: int) -> None:
    snapshot = snapshots(config)[step]
    every = twins.stuck(config, snapshot, data_for(1000), most=1000)
    assert len(every.index) == round(1000 * float(snapshot.census.stuck)) > 0
    assert np.all((every.logits[0][:, 0] >= 0) != every.labels)
    np.testing.assert_array_equal(every.slopes[0], 0)
    few = twins.stuck(config, snapshot, data_for(1000))
    np.testing.assert_array_equal(few.index, every.index[: twins.MOST])
    certainty = np.abs(every.logits[0][:, 0])
    assert np.all(certainty[:-1] >= certainty[1:])
    np.testing.assert_array_equal(few.images, data_for(1000).train_images[few.index])


def test_nobody_is_stuck_from_logits() -> None:
    assert len(twins.stuck(LOGITS, snapshots(LOGITS)[0], data_for(1000)).index) == 0


def test_stuck_needs_one_logit() -> None:
    config = replace(SMALL, task="digits")
    with pytest.raises(ValueError, match="task is 'digits'; allowed for stuck samples is binary"):
        twins.stuck(config, snapshots(SMALL)[0], data_for(200))


# The swap


def test_swap_prints_what_the_question_prints() -> None:
    rows = twins.swap(STABLE, LOGITS, data_for(1000))
    assert [row.label for row in rows] == [
        "Initial Keras accuracy", "Initial JAX accuracy", "Final JAX accuracy",
        "Final Keras accuracy", "JAX accuracy (Keras weights)", "Keras accuracy (JAX weights)",
    ]  # fmt: skip
    assert [row.published for row in rows] == [0.435, 0.435, 0.792, 0.909, 0.909, 0.792]
    # The accuracies follow the weights, whoever evaluates them.
    start, stable, logits = (
        snapshots(config)[step].train_accuracy
        for config, step in [(LOGITS, 0), (STABLE, 10), (LOGITS, 10)]
    )
    assert [row.measured for row in rows] == [start, start, stable, logits, logits, stable]


# The rounding band


def test_perturbations_are_one_rounding() -> None:
    w = {"w": jnp.asarray(np.random.default_rng(0).normal(size=10_000), jnp.float32)}
    moved = {i: np.asarray(twins.perturb(w, i, twins.ROUNDING)["w"]) for i in (0, 1, 2)}
    before = np.asarray(w["w"])
    np.testing.assert_array_equal(moved[0], before)
    assert np.all(np.abs(moved[1] - before) <= np.spacing(np.abs(before)))
    up = np.mean(np.abs(moved[1]) > np.abs(before))
    down = np.mean(np.abs(moved[1]) < np.abs(before))
    assert 0.1 < up < 0.4
    assert abs(up - down) < 0.05
    assert np.mean(moved[1] != moved[2]) > 0.1


def test_band_tells_fact_from_chance() -> None:
    runs = {
        config.loss: twins.collect(twins.rounding_band(config, data_for(1000), 4))
        for config in (STABLE, LOGITS)
    }
    for config in (STABLE, LOGITS):
        accuracy = runs[config.loss].accuracy
        assert accuracy.shape == runs[config.loss].loss.shape == (5, 11)
        np.testing.assert_allclose(accuracy[:, 0], 0.435, atol=1e-6)
    stable, logits = (runs[config.loss].accuracy[:, -1] for config in (STABLE, LOGITS))
    np.testing.assert_allclose(logits, 0.909, atol=5e-4)
    assert np.ptp(stable) > 0.01
    unperturbed = [s.train_accuracy for s in snapshots(LOGITS)]
    np.testing.assert_allclose(runs["from_logits"].accuracy[0], unperturbed, atol=0.002)
    losses = [s.loss for s in snapshots(LOGITS)]
    np.testing.assert_allclose(runs["from_logits"].loss[0], losses, rtol=1e-4)


def test_seed_strip_is_the_runs_of_its_seeds_in_any_grouping() -> None:
    small = replace(SMALL, batch_size=200)
    strip = twins.collect(twins.seed_strip(small, data_for(200), [3, 1, 4, 1, 5]))
    for row, seed in enumerate([3, 1, 4, 1, 5]):
        expected = [s.loss for s in snapshots(replace(small, seed=seed))]
        np.testing.assert_allclose(strip.loss[row], expected, rtol=1e-5)
    assert len(np.unique(strip.loss[:, -1])) == 4


def test_pieces_come_as_they_are_done_and_can_be_left() -> None:
    small = replace(SMALL, batch_size=200)
    pieces = twins.rounding_band(small, data_for(200), perturbations=4)
    ticks = [next(pieces) for _ in range(small.steps + 2)]
    assert ticks[:-1] == [None] * (small.steps + 1)
    assert ticks[-1] is not None
    assert len(ticks[-1].accuracy) == twins.LANES
    *_, last = pieces
    assert last is not None
    assert len(last.accuracy) == 1


def test_knobs_compile_nothing() -> None:
    small = replace(SMALL, batch_size=200)
    twins.collect(twins.seed_strip(small, data_for(200), [0]))
    changed = replace(
        small, seed=7, learning_rate=0.5, loss="clip", epsilon=1e-3, scaling="raw", epochs=5
    )
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    )
    try:
        twins.collect(twins.rounding_band(changed, data_for(200), perturbations=2, magnitude=1e-8))
    finally:
        jax.monitoring.clear_event_listeners()
    assert compiled == []


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch_size": 50}, "batch_size is 50"), ({"dropout": "rate"}, "dropout is 'rate'")],
)
def test_band_needs_full_batches_without_dropout(change: dict[str, Any], message: str) -> None:
    config = replace(replace(SMALL, batch_size=200), **change)
    with pytest.raises(ValueError, match=message):
        twins.rounding_band(config, data_for(200))
    with pytest.raises(ValueError, match=message):
        twins.seed_strip(config, data_for(200))
