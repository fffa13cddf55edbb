"""The Ornstein-Uhlenbeck process, compared with the formulas of its distribution."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from core.config import RunConfig
from core.data import SOURCES, Process, load
from core.data.ou import LENGTH, series, simulate
from core.parts.choices import TASKS

MANY = 20_000
processes = st.builds(
    Process,
    x0=st.floats(-5, 5),
    mu=st.floats(-5, 5),
    tau=st.floats(0.05, 50),
    sigma=st.floats(0, 5),
    noise=st.floats(0, 5),
    dt=st.floats(0.01, 5),
)


@settings(max_examples=20)
@given(processes)
def test_mean_and_covariance_follow_the_formulas(process: Process) -> None:
    x, seen = simulate(process, MANY)
    t = process.dt * np.arange(LENGTH)
    mean = process.mu + (process.x0 - process.mu) * np.exp(-t / process.tau)
    apart, together = np.abs(t[:, None] - t), t[:, None] + t
    variance = process.sigma**2 * (np.exp(-apart / process.tau) - np.exp(-together / process.tau))
    tolerance = 8 / np.sqrt(MANY)  # standard errors
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=tolerance * process.sigma + 1e-9)
    np.testing.assert_allclose(
        np.cov(x.T, bias=True), variance, atol=tolerance * process.sigma**2 * 2 + 1e-9
    )
    noise = seen - x
    np.testing.assert_allclose(noise.mean(), 0, atol=tolerance * process.noise + 1e-9)
    np.testing.assert_allclose(noise.std(), process.noise, atol=tolerance * process.noise + 1e-9)
    across = noise.T @ np.concatenate([noise, x - mean], axis=1) / MANY
    expected = process.noise**2 * np.eye(LENGTH, 2 * LENGTH)
    largest = process.noise * max(process.noise, process.sigma)
    np.testing.assert_allclose(across, expected, atol=tolerance * largest + 1e-9)


def test_after_a_long_time_it_is_stationary_whatever_the_step() -> None:
    for dt in (0.05, 1.0, 7.0):
        process = Process(x0=5.0, mu=-1.0, tau=1.5, sigma=0.7, dt=dt)
        x, _ = simulate(process, 200, length=2000)
        late = x[:, int(20 * process.tau / dt) :]
        assert late.mean() == pytest.approx(-1, abs=0.03)
        assert late.std() == pytest.approx(0.7, rel=0.03)
        one = np.corrcoef(late[:, :-1].ravel(), late[:, 1:].ravel())[0, 1]
        assert one == pytest.approx(np.exp(-dt / 1.5), abs=0.02)


def test_a_seed_gives_the_same_series_and_another_seed_others() -> None:
    first, again, other = (simulate(Process(), 5, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first[1] == other[1])
    assert np.all(first[0][:, 0] == Process().x0)


def test_a_network_is_given_what_is_seen_and_asked_for_what_comes_next() -> None:
    x, seen = simulate(Process(), 7, seed=2)
    inputs, targets = series(Process(), 7, seed=2)
    np.testing.assert_array_equal(inputs, seen[:, :-1].astype(np.float32))
    np.testing.assert_array_equal(targets, x[:, 1:].astype(np.float32))
    task = TASKS["next_value"]
    assert (task.inputs, task.outputs) == (LENGTH - 1, LENGTH - 1)


@pytest.mark.parametrize("bad", [{"tau": 0.0}, {"dt": -1.0}, {"sigma": -1.0}, {"noise": np.nan}])
def test_values_that_define_no_process_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="tau and dt must be above 0"):
        simulate(Process()._replace(**bad), 3)


def test_the_source_draws_its_process() -> None:
    config = RunConfig(source="ou", task="next_value", model="gru", loss="mse_aligned", mu=3.0)
    assert config.process == Process(mu=3.0) and replace(config, mu=1.0).process == Process()
    few = load("ou", 100, process=config.process)
    more = load("ou", 200, process=config.process)
    assert len(few.train_images) == 100 and len(few.test_images) == SOURCES["ou"].test_size
    np.testing.assert_array_equal(few.train_images, more.train_images[:100])
    np.testing.assert_array_equal(few.test_labels, more.test_labels)
    assert few.train_labels[:, -1].mean() > load("ou", 100).train_labels[:, -1].mean() + 0.5
    assert not np.isin(few.test_images[:, 0], few.train_images[:, 0]).any()
