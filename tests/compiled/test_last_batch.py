"""The last, partial batch of an epoch, where it is kept."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.parts.choices import REDUCTIONS
from core.parts.models import layers
from core.run import train
from core.study import lanes, reporting, states, twins
from core.study.twins.parting import batch_of
from tests.kit.runs import DIGITS, KEEPING, order_of, quick, trained

DATA = train.on_device("digits", load("sample", 105))
IMAGES = DATA.train_images, DATA.train_labels
STEP = train.Step(train.shape(KEEPING))
gradients = quick(lambda *inputs: STEP.backprop(*inputs).gradients)


def at_step(config: RunConfig, step: int) -> tuple[Any, ...]:
    """What a step is given, with the weights before the first one."""
    knobs = train.knobs(config)
    state = train.program(train.shape(config)).init(knobs)._replace(step=jnp.int32(step))
    return state, *IMAGES, order_of(config, step // config.steps_per_epoch), knobs


def test_an_epoch_has_each_image_once() -> None:
    assert (KEEPING.steps_per_epoch, KEEPING.steps) == (6, 12)
    for epoch in (0, 1):
        seen: list[int] = []
        for step in range(6 * epoch, 6 * epoch + 6):
            state, images, _, order, knobs = at_step(KEEPING, step)
            places = STEP.batch(state, images, jnp.arange(105), order, knobs).labels
            filled = STEP.filled(state)
            assert filled is not None and int(filled.sum()) == (20 if step % 6 < 5 else 5)
            assert places[filled].tolist() == batch_of(KEEPING, step, order).tolist()
            assert set(places[~filled].tolist()) <= {places[filled][-1].item()}
            seen += places[filled].tolist()
        assert sorted(seen) == list(range(105))


@pytest.mark.parametrize("step", [4, 5, 11])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_batch_s_gradient_is_that_of_its_own_examples(reduction: str, step: int) -> None:
    config = replace(KEEPING, reduction=reduction, loss_weight=0.5)
    state, images, labels, order, knobs = at_step(config, step)
    chosen = batch_of(config, step, order)
    assert len(chosen) == (20 if step == 4 else 5)
    x, y = train.pixels(images[chosen], knobs), labels[chosen].astype(int)

    def loss(params: Any) -> jax.Array:
        log_p = jax.nn.log_softmax(STEP.apply(params, x))
        each = -jnp.take_along_axis(log_p, y[:, None], axis=-1)[:, 0]
        divisor = {"mean": len(y), "sum": 1, "mean_outputs": 10 * len(y)}[reduction]
        return 0.5 * jnp.sum(each) / divisor

    expected = quick(jax.grad(loss))(state.params)
    found = gradients(state, images, labels, order, knobs)
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * np.abs(theirs).max())


def test_what_fills_a_batch_up_makes_no_gradient_nan() -> None:
    """An image is NaN or not by itself: only its own steps are."""
    state, images, labels, order, knobs = at_step(KEEPING, 5)
    broken = images.astype(jnp.float32).at[order[:100]].set(jnp.nan)
    found = gradients(state, broken, labels, order, knobs)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.slow
def test_an_epoch_ends_with_its_last_batch() -> None:
    looks = trained(KEEPING)
    assert [look.step for look in looks] == list(range(13))
    assert (looks[6].epoch, looks[12].epoch) == (1, 2)
    for dropped, kept in zip(trained(DIGITS)[:6], looks, strict=False):
        assert kept.loss == pytest.approx(dropped.loss, rel=1e-5)
        if kept.step < 5:
            np.testing.assert_allclose(kept.gradient_norms, dropped.gradient_norms, rtol=1e-4)
    assert looks[12].loss != trained(DIGITS)[10].loss


@pytest.mark.slow
def test_runs_beside_each_other_take_the_same_steps() -> None:
    runs = [KEEPING, replace(KEEPING, seed=1, reduction="sum", label_smoothing=0.1)]
    for way in lanes.WAYS:
        ended = [each for each in lanes.runs(runs, DATA, way=lanes.Way(way, 1)) if each is not None]
        for run, held_out in zip(runs, np.concatenate([e.held_out for e in ended]), strict=True):
            assert held_out == pytest.approx(trained(run)[-1].test_accuracy, abs=0.002)


@pytest.mark.slow
def test_runs_of_which_one_keeps_the_last_batch_are_no_twins() -> None:
    data = load("sample", 105)
    for start in (twins.first_divergence, twins.swap):
        with pytest.raises(ValueError, match="last_batch is 'dropped' in one twin and 'kept'"):
            list(start(DIGITS, KEEPING, data))
    *_, found = twins.first_stages(DIGITS, KEEPING, data, data)
    assert found is not None
    first = next(stage for stage in found if stage.differs)
    assert (first.name, first.finding) == ("first batch", "the same, but not that of step 5")


@pytest.mark.slow
def test_twins_that_both_keep_it_part_among_its_images() -> None:
    """In a network that hardly moves, only an image of the last batch is clipped."""
    a = replace(KEEPING, shuffle="never", learning_rate=1e-8, seed=59, loss="clip", epsilon=1e-7)
    p = 1 / (1 + np.exp(-trained(a)[0].margins.astype(float)))
    least, *others = np.sort(p)
    assert np.argmin(p) >= 100
    b = replace(a, epsilon=float(least + others[0]) / 2)
    found = [each for each in twins.first_divergence(a, b, load("sample", 105)) if each is not None]
    assert [(each.step, each.images, each.differing) for each in found] == [(5, 5, 1)]
    assert found[0].samples.index.tolist() == [np.argmin(p)]


def test_reports_of_an_epoch_count_the_last_batch_by_its_own_images() -> None:
    reports = [each for each in reporting.reports(KEEPING, DATA, 6) if each is not None]
    assert [report.step for report in reports] == list(range(1, 13))
    for step, report in enumerate(reports):
        images = 20 if step % 6 < 5 else 5
        for score in (report.dropping, report.whole):
            assert score.accuracy * images == pytest.approx(round(score.accuracy * images))
    *_, (_, at) = zip(range(6), states.states(KEEPING, DATA), strict=False)
    knobs, chosen = train.knobs(KEEPING), batch_of(KEEPING, 5, at.order)
    logits = STEP.apply(at.state.params, train.pixels(DATA.train_images[chosen], knobs))
    each = -jax.nn.log_softmax(logits)[jnp.arange(5), DATA.train_labels[chosen]]
    assert reports[5].dropping.loss == pytest.approx(float(each.mean()), rel=1e-4)


SCRIPT = """
import json, sys
import numpy as np, keras

arrays = np.load(sys.argv[1])
ends = {}
for reduction in ("sum_over_batch_size", "sum"):
    model = keras.Sequential(
        [keras.layers.Dense(arrays["w0"].shape[1], activation="relu"), keras.layers.Dense(10)]
    )
    model.build((1, 784))
    model.set_weights([arrays[key] for key in ("w0", "b0", "w1", "b1")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    model.compile(optimizer=keras.optimizers.SGD(float(arrays["rate"])), loss=loss)
    model.fit(arrays["x"], arrays["y"], batch_size=20, epochs=2, shuffle=False, verbose=0)
    ends[reduction] = [w.tolist() for w in model.get_weights()]
json.dump({"backend": keras.backend.backend(), "ends": ends}, sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("keras") is None,
    reason="needs keras: pip install -r requirements-dev.txt",
)
def test_it_is_what_keras_does_in_fit(tmp_path: Path) -> None:
    """105 images in batches of 20, in the order of the data; Keras 3.15 on JAX."""
    config = replace(KEEPING, shuffle="never")
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    (w0, b0), (w1, b1) = layers(jax.device_get(program.init(knobs).params))
    x = np.asarray(train.pixels(DATA.train_images, knobs))
    np.savez(
        tmp_path / "start.npz", w0=w0, b0=b0, w1=w1, b1=b1, x=x, y=np.asarray(DATA.train_labels),
        rate=config.learning_rate,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "start.npz")],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["backend"] == "jax"
    for ours, theirs in (("mean", "sum_over_batch_size"), ("sum", "sum")):
        run = replace(config, reduction=ours)
        *_, end = states.states(run, DATA)
        keras = map(np.float32, answer["ends"][theirs])
        for leaf, expected in zip(jax.tree.leaves(end.state.params), keras, strict=True):
            np.testing.assert_allclose(leaf, expected, rtol=1e-3, atol=2e-5)
