"""A mapped run gives the same bits as the run alone, in any batch and on any device."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig
from core.data import load
from core.run import train
from core.run.prepare import device_data
from core.study import lanes, states
from tests.kit import ROOT, more
from tests.kit.runs import tiny, trained


def collected(configs: Sequence[RunConfig], **options: object) -> lanes.Metrics:
    data = device_data(configs[0])
    found = [each for each in lanes.runs(configs, data, **options) if each is not None]
    assert np.concatenate([each.runs for each in found]).tolist() == list(range(len(configs)))
    return lanes.Metrics(
        *(np.concatenate(c) for c in zip(*(e.metrics for e in found), strict=True))
    )


def alone(config: RunConfig) -> tuple[float, float]:
    """The final loss and accuracy of a run, by its own programs."""
    data = device_data(config)
    *_, end = states.states(config, data)
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    seen, _ = program.diagnose(end.state, data.train_images, data.train_labels, end.order, knobs)
    return float(seen["loss"]), float(seen["train_accuracy"])


@pytest.mark.parametrize(
    "shared",
    [
        more({"optimizer": "adam", "precision": "mixed_float16"}),
        {}, more({"optimizer": "adam"}), more({"precision": "mixed_float16"}),
        more({"batch_size": 100}),
    ],
    ids=str,
)  # fmt: skip
def test_each_run_is_bit_for_bit_the_run_alone(shared: dict[str, object]) -> None:
    configs = [
        tiny(**shared, seed=seed, loss=loss, learning_rate=rate, dropout=dropout)
        for seed, loss, rate, dropout in [
            (0, "from_logits", 0.1, "off"), (1, "clip", 1.0, "off"),
            (2, "naive", 1e-3, "rate"), (3, "question_stable", 10.0, "keep_prob"),
        ]
    ]  # fmt: skip
    seen = collected(configs)
    assert list(zip(seen.loss[:, -1], seen.train_accuracy[:, -1], strict=True)) == [
        pytest.approx(alone(config), rel=0, abs=0, nan_ok=True) for config in configs
    ]


@pytest.mark.slow
def test_the_question_s_run_ends_as_in_the_trainer_bit_for_bit() -> None:
    configs = [tiny(batch_size=100, scaling="raw", loss=loss) for loss in ("clip", "naive")]
    every = collected(configs, every_step=True)
    for row, config in enumerate(configs):
        looks = trained(config)
        np.testing.assert_array_equal(every.loss[row], np.float32([s.loss for s in looks]))
        np.testing.assert_array_equal(
            every.train_accuracy[row], np.float32([s.train_accuracy for s in looks])
        )


def test_held_out_accuracy_is_that_of_the_run() -> None:
    config = tiny()
    data = device_data(config)
    (ended,) = (each for each in lanes.runs([config], data) if each is not None)
    assert ended.held_out is not None
    assert ended.held_out[0] == np.float32(trained(config)[-1].test_accuracy)


@pytest.mark.slow
def test_what_is_reported_is_what_the_run_reports() -> None:
    configs = [
        tiny(), tiny(report="threshold"), tiny(dropout="rate", report="dropout_on"),
        tiny(report="unscaled"),
    ]  # fmt: skip
    data = device_data(configs[0])
    batches = [each for each in lanes.runs(configs, data) if each is not None]
    reported = [np.full(len(b.runs), np.nan) if b.reported is None else b.reported for b in batches]
    ends = [np.float32(trained(config)[-1].reported) for config in configs]
    np.testing.assert_array_equal(np.concatenate(reported), ends)
    assert np.isnan(ends).tolist() == [True, False, False, False]


@pytest.mark.slow
def test_vmap_agrees_to_rounding() -> None:
    configs = [tiny(seed=seed) for seed in range(3)]
    at_once = collected(configs, way=lanes.Way("at_once", 1))
    np.testing.assert_allclose(at_once.loss, collected(configs).loss, rtol=1e-4)


@pytest.mark.slow
def test_an_accelerator_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny()
    data = device_data(config)
    assert lanes.fastest(config, data).name == "in_turn"
    monkeypatch.setattr(lanes.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(lanes, "_fastest", {})
    assert lanes.fastest(config, data).name in lanes.WAYS
    assert train.shape(config) in lanes._fastest


def test_runs_of_two_families_are_refused() -> None:
    data = train.on_device("binary", load("sample", 100))
    with pytest.raises(ValueError, match="one shape"):
        lanes.runs([tiny(), tiny(optimizer="adam")], data)
    with pytest.raises(ValueError, match="as many steps"):
        lanes.runs([tiny(), replace(tiny(), epochs=3)], data)


@given(st.integers(1, 64), st.integers(1, 8))
def test_every_run_of_a_batch_has_one_live_lane(count: int, devices: int) -> None:
    count = min(count, 8 * devices)
    places, live = lanes.lanes(count, 8, devices)
    assert len(places) == 8 * devices and sum(live) == count
    each = places.reshape(devices, 8)
    alive = [run for row, some in zip(each, live, strict=True) for run in row[:some]]
    assert sorted(alive) == list(range(count))


TWO_DEVICES = """
import json
from tests.compiled.test_lanes import collected, tiny
from core.study.lanes import fastest
import jax
assert jax.local_device_count() == 2
print(json.dumps(collected([tiny(seed=seed) for seed in range(5)]).loss.tolist()))
"""


@pytest.mark.slow
def test_two_devices_share_the_lanes() -> None:
    flags = (os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2")
    told = os.environ | {"XLA_FLAGS": " ".join(flags)}
    ran = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        cwd=ROOT, env=told, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    own = collected([tiny(seed=seed) for seed in range(5)]).loss.tolist()
    assert json.loads(ran.stdout) == own
