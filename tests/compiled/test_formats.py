"""Runs in other number formats: their arithmetic, their failures, and an unchanged float32."""

import threading
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.parts.loss_scale import LossScale
from core.parts.precisions import PRECISIONS
from core.run import train
from core.run.diagnosis import diagnose
from core.run.snapshot import Health, Snapshot
from core.study.states import states
from tests.kit import more
from tests.kit.runs import order_of, tiny, trained

# Each format has one shape, which compiles once for this whole file.
FORMATS = ("float16", "bfloat16", "mixed_float16", "float64")
RAW = {"scaling": "raw", "learning_rate": 1.0}


def data(config: RunConfig) -> train.DeviceData:
    return train.on_device(config.task, load("sample", config.train_size))


def seen(config: RunConfig, state: train.State) -> tuple[dict[str, Any], train.State]:
    """A look at a state, and the state after the next step."""
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    inputs = data(config)[:2]
    return program.diagnose(state, *inputs, order_of(config), knobs)


def start(config: RunConfig) -> train.State:
    return train.program(train.shape(config)).init(train.knobs(config))


def forward(params: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's logits in the format of the weights, and what rounding errors are relative to."""
    (w, b), _, (w2, b2) = (jax.tree.map(np.asarray, layer) for layer in params)
    x = x.astype(w.dtype)
    hidden = np.maximum(x @ w + b, 0)
    condition = np.abs(x) @ np.abs(w) + np.abs(b)
    size = condition.astype(float) @ np.abs(w2).astype(float) + np.abs(b2)
    return (hidden @ w2 + b2)[:, 0], size[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["float16", "float64"])
@pytest.mark.parametrize("scaling", ["unit", "raw"])
def test_logits_agree_with_numpy_s_from_the_same_weights(key: str, scaling: str) -> None:
    config = tiny(precision=key, scaling=scaling)
    *_, end = states(config, data(config))
    x = np.asarray(train.pixels(data(config).train_images, train.knobs(config)))
    for state in (start(config), end.state):
        logits, size = forward(state.params, x)
        assert logits.dtype == key
        found = np.asarray(seen(config, state)[0]["margins"])
        u = PRECISIONS[key].compute.roundoff
        # One rounding of the sum and one of adding the bias, in each layer.
        np.testing.assert_array_less(np.abs(found - logits.astype(float)), 4 * u * size + 1e-300)


@pytest.mark.parametrize("key", [more(k) if k == "float64" else k for k in FORMATS])
def test_every_format_starts_from_the_same_numbers(key: str) -> None:
    plain, other = tiny(), tiny(precision=key)
    for a, b in zip(*(jax.tree.leaves(start(c).params) for c in (plain, other)), strict=True):
        assert b.dtype == PRECISIONS[key].weights.dtype
        np.testing.assert_array_equal(np.asarray(a).astype(b.dtype), np.asarray(b))
    orders = [order_of(c, 3) for c in (plain, other)]
    np.testing.assert_array_equal(*orders)
    assert orders[1].dtype == np.int32


@pytest.mark.parametrize("key", [k if k == "mixed_float16" else more(k) for k in FORMATS])
def test_a_healthy_run_learns_in_every_format(key: str) -> None:
    plain, run = trained(tiny()), trained(tiny(precision=key))
    assert run[-1].loss < run[0].loss
    rounding = max(2.0**-24, PRECISIONS[key].compute.roundoff)
    assert run[-1].loss == pytest.approx(plain[-1].loss, rel=16 * rounding)
    assert run[-1].margins.tolist() != plain[-1].margins.tolist()
    for name in ("gradient_norms", "weight_norms", "update_norms", "margins"):
        assert getattr(run[-1], name).dtype.itemsize >= 4, name


# float32 is unchanged


@pytest.mark.slow
@pytest.mark.parametrize("key", ["bfloat16", "float64"])
def test_back_to_float32_compiles_nothing_and_changes_nothing(
    key: str, compilations: list[float]
) -> None:
    small = load("sample", 100)
    before = list(train.run(tiny(), small))
    list(train.run(tiny(precision=key), small))
    compilations.clear()
    after = list(train.run(tiny(), small))
    again = list(train.run(tiny(precision=key), small))
    assert not compilations
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert len(again) == len(after)


@pytest.mark.slow
def test_float64_stays_in_its_own_run() -> None:
    """Neither the thread that runs it nor another one computes in float64."""
    config, found = tiny(precision="float64"), []
    ticks = train.ticks(config, train.program(train.shape(config)), data(config))
    first = next(ticks)
    assert first is not None and first.margins.dtype == np.float64
    beside = threading.Thread(target=lambda: found.append(jnp.ones(1) * np.float64(2)))
    beside.start()
    beside.join()
    found.append(jnp.ones(1) * np.float64(2))
    assert [array.dtype for array in found] == [jnp.float32, jnp.float32]
    assert len(list(ticks)) > 0


# Failures of a format


def said(config: RunConfig) -> dict[str, tuple[int, str]]:
    """The first step at which each cause is found, and its sentence."""
    run, found = trained(config), {}
    for i, look in enumerate(run):
        for diagnosis in diagnose(config, run[: i + 1]):
            found.setdefault(diagnosis.cause, (look.step, diagnosis.sentence))
    return found


def test_an_overflow_is_named_with_what_the_number_would_be() -> None:
    config = tiny(precision="float16", **RAW)
    run = trained(config)
    step, sentence = said(config)["overflow"]
    largest = run[step].largest.activation
    assert 65504 < largest < np.inf
    assert sentence == (
        f"It overflows: float16 ends at 65,504, and the largest activation would be {largest:,.0f}."
    )
    last = diagnose(config, run)[0].sentence
    assert last.startswith(f"It overflowed at step {step}: ") and np.isnan(run[-1].loss)
    assert f"would have been {largest:,.0f}. Now some weights are NaN or inf." in last
    assert "overflow" not in said(tiny(**RAW)), "float32 has room for these numbers"
    cure = diagnose(config, run[: step + 1])[0].cure
    assert replace(config, **cure) == tiny(**RAW)


def test_a_scaled_step_that_overflows_is_skipped_and_halves_the_scale() -> None:
    config = tiny(precision="mixed_float16")
    state = start(config)._replace(scaler=LossScale(jnp.float32(2.0**30), jnp.int32(7)))
    look, after = seen(config, state)
    jax.tree.map(np.testing.assert_array_equal, state[:2], after[:2])
    assert (float(after.scaler.scale), int(after.scaler.steady)) == (2.0**29, 0)
    assert look["loss_scale"] == 2.0**30 and look["largest"].gradient > 65504
    assert not look["update_norms"].any() and look["next_finite"] and not look["fixed"]
    assert look["health"][:, [Health.NAN, Health.INF]].any()
    _, learned = seen(config, start(config))
    assert int(learned.scaler.steady) == 1
    assert (jax.tree.leaves(learned.params)[0] != jax.tree.leaves(state.params)[0]).any()


def test_a_larger_scale_brings_back_what_vanishes() -> None:
    config = tiny(precision="mixed_float16")
    lost = []
    for scale in (2.0**-24, 2.0**-12, 2.0**16):
        scaler = LossScale(jnp.float32(scale), jnp.int32(0))
        lost.append(float(seen(config, start(config)._replace(scaler=scaler))[0]["vanished"]))
    assert lost[0] > lost[1] > lost[2]
    assert np.isnan(trained(tiny())[0].vanished), "float32 is not compared with itself"


def test_health_tells_the_kinds_apart_by_parameter() -> None:
    names = train.parameters(train.shape(tiny()))
    assert names == ("layer 1 weights", "layer 1 biases", "layer 2 weights", "layer 2 biases")
    healthy: Snapshot = trained(tiny())[-1]
    broken: Snapshot = trained(tiny(loss="naive", **RAW))[-1]
    for look in (healthy, broken):
        assert look.health.shape == (4, len(Health)) and look.health.dtype == np.float32
        np.testing.assert_allclose(look.health.sum(axis=1), 1, atol=1e-6)
        assert look.sample_health.sum() == pytest.approx(1, abs=1e-6)
    assert not healthy.health[:, [Health.NAN, Health.INF]].any()
    assert broken.sample_health[Health.NAN] == 1
    assert np.isnan(broken.largest.weight) and broken.health[-1, Health.NAN] == 1
    dark = np.mean(load("sample", 100).train_images.max(axis=0) == 0)  # pixels 0 in all
    assert healthy.health[0, Health.ZERO] >= dark


# Prices


@pytest.mark.parametrize(("key", "bytes_a_weight"), [("float32", 12), ("float16", 6),
                         ("mixed_float16", 16), ("float64", 24)])  # fmt: skip
def test_memory_follows_the_format(key: str, bytes_a_weight: int) -> None:
    needed = train.bytes_needed(train.shape(tiny(precision=key)))
    assert needed == bytes_a_weight * (784 * 8 + 8 + 8 + 1)
