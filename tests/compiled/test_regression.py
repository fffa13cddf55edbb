"""Training on series: the post's loop, what a look measures, and what it leaves NaN."""

import math
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from core.config import RunConfig
from core.data import Dataset, load
from core.parts.initializers import INITIALIZERS
from core.parts.losses import LOSSES, losses_for
from core.parts.models import MODELS, layers
from core.run import train
from core.run.diagnosis import diagnose
from core.run.snapshot import Snapshot, silent_and_wrong
from core.study import band
from core.study.twins import first_divergence
from tests.kit.runs import SERIES as POST
from tests.kit.runs import order_of, quick

ALIGNED = replace(POST, loss="mse_aligned")


def data() -> Dataset:
    return load("ou", POST.train_size)


@cache
def looks(config: RunConfig) -> list[Snapshot]:
    return list(train.run(config, load("ou", config.train_size, process=config.process)))


def arrays(seed: int = 0) -> tuple[jax.Array, jax.Array]:
    """Predictions (time, batch, 1) and targets (batch, time), shaped as in the post."""
    random = np.random.default_rng(seed)
    return jnp.float32(random.normal(size=(9, 5, 1))), jnp.float32(random.normal(size=(5, 9)))


def test_the_broadcast_loss_is_the_post_s() -> None:
    preds, targets = arrays()
    assert (preds - targets).shape == (9, 5, 9)
    ours = LOSSES["mse_broadcast"].regression(preds[..., 0].T, targets, 0.0)
    assert ours.shape == (5,)
    np.testing.assert_allclose(jnp.mean(ours), jnp.mean((preds - targets) ** 2), rtol=1e-6)


def test_the_aligned_loss_is_optax_s() -> None:
    preds, targets = arrays()
    ours = LOSSES["mse_aligned"].regression(preds[..., 0].T, targets, 0.0)
    np.testing.assert_allclose(
        ours, optax.losses.squared_error(preds[..., 0].T, targets).mean(-1), rtol=1e-6
    )


def test_the_broadcast_loss_is_least_at_the_mean_of_a_series() -> None:
    _, targets = arrays()
    gradient = jax.grad(lambda p: LOSSES["mse_broadcast"].regression(p, targets, 0.0).sum())
    means = jnp.broadcast_to(targets.mean(axis=1, keepdims=True), targets.shape)
    np.testing.assert_allclose(gradient(means), 0, atol=1e-6)
    assert losses_for("regression")[-1] == "mse_aligned"


@pytest.mark.slow
@pytest.mark.parametrize("config", [POST, ALIGNED], ids=lambda config: config.loss)
def test_it_trains_as_a_plain_loop_does(config: RunConfig) -> None:
    """The loop uses optax, jax.grad of the post's own line, and the run's own batches."""
    inputs, targets, *_ = map(jnp.asarray, data())
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    _, apply, *_ = MODELS[config.model].build(config.widths, 9, INITIALIZERS[config.initializer])

    def loss(params, x, y):
        preds = jnp.moveaxis(apply(params, x), 1, 0)[..., None]  # (time, batch, 1), as in the post
        return jnp.mean((preds - (y if config is POST else y.T[..., None])) ** 2)

    optimizer = optax.adam(config.learning_rate)

    @quick
    def step(params, state, chosen):
        gradient = jax.grad(loss)(params, inputs[chosen], targets[chosen])
        updates, state = optimizer.update(gradient, state)
        return loss(params, inputs, targets), optax.apply_updates(params, updates), state

    params = program.init(knobs).params
    state, losses = optimizer.init(params), []
    for epoch in range(config.epochs):
        for chosen in np.split(np.asarray(order_of(config, epoch)), config.steps_per_epoch):
            value, params, state = step(params, state, chosen)
            losses.append(float(value))
    ours = looks(config)
    by_step = {look.step: look.loss for look in ours}
    np.testing.assert_allclose([by_step[step] for step in range(len(losses))], losses, rtol=1e-3)
    assert ours[-1].loss < ours[0].loss


def test_both_losses_are_one_program_and_start_alike() -> None:
    assert train.shape(POST) == train.shape(ALIGNED)
    one, other = looks(POST)[0], looks(ALIGNED)[0]
    np.testing.assert_array_equal(one.fit.predictions, other.fit.predictions)
    assert one.fit.error == other.fit.error and one.loss != other.loss


def test_errors_compare_each_prediction_with_its_own_target() -> None:
    held_out = load("ou", POST.train_size)
    last = looks(POST)[-1]
    assert last.test_examples == len(held_out.test_images)
    copied = np.mean((held_out.test_images - held_out.test_labels) ** 2)
    assert last.fit.copied == pytest.approx(copied, rel=1e-5)
    assert copied == pytest.approx(0.036, abs=0.001)  # the facts' section 4
    fit = looks(ALIGNED)[0].fit
    np.testing.assert_array_equal(fit.inputs, held_out.test_images[: len(fit.inputs)])
    np.testing.assert_array_equal(fit.targets, held_out.test_labels[: len(fit.targets)])
    assert fit.predictions.shape == fit.targets.shape
    # The aligned loss is the same error, measured on the training series.
    assert looks(ALIGNED)[-1].fit.error == pytest.approx(looks(ALIGNED)[-1].loss, rel=0.2)


def test_measures_of_right_answers_are_nan_or_empty() -> None:
    for look in looks(POST):
        for share in (look.train_accuracy, look.test_accuracy, look.one_answer, look.flipped,
                      look.next_label,
                      look.census.wrong, look.census.stuck, look.saturation.zero):  # fmt: skip
            assert math.isnan(share)
        assert len(look.correct) == len(look.margins) == len(look.labels) == 0
        assert len(silent_and_wrong(look)) == 0
        assert look.census.zero_gradient == 0 and look.saturation.nonfinite == 0
        assert look.score == look.fit.error
    first = diagnose(POST, looks(POST))[0]
    assert first.cause in ("worse_than_copying", "learning") and "nan" not in first.sentence


def test_predictions_of_nan_are_nan() -> None:
    program = train.program(train.shape(ALIGNED))
    state = program.init(train.knobs(ALIGNED))
    broken = state._replace(params=jax.tree.map(lambda w: w * jnp.nan, state.params))
    on_device = train.on_device(ALIGNED.task, data())
    look = next(train.ticks(ALIGNED, program, on_device, broken))
    assert look.saturation.nonfinite == 1 and math.isnan(look.score) and math.isnan(look.loss)
    first = diagnose(ALIGNED, [look])[0]
    assert first.sentence.startswith("100% of the predictions are NaN. Some weights are NaN")


@pytest.mark.slow
def test_gates_from_one_key_are_equal_only_at_the_start() -> None:
    def gates(config: RunConfig, step: int) -> list[np.ndarray]:
        program = train.program(train.shape(config))
        state = program.init(train.knobs(config))
        if step:
            on_device = train.on_device(config.task, data())
            knobs, stop = train.knobs(config), np.int32(step)
            state = program.advance(state, *on_device[:2], order_of(config), knobs, stop)
        unit = layers(state.params)[1]
        return [np.asarray(gate.states) for gate in (unit.update, unit.reset, unit.candidate)]

    equal = gates(POST, 0)
    assert np.array_equal(equal[0], equal[1]) and np.array_equal(equal[0], equal[2])
    moved = gates(POST, 1)
    assert not np.array_equal(moved[0], moved[1]) and not np.array_equal(moved[0], moved[2])
    split = gates(replace(POST, model="gru"), 0)
    assert not np.array_equal(split[0], split[1])


@pytest.mark.slow
def test_twins_and_copies_can_be_trained_on_series() -> None:
    found = next(each for each in first_divergence(POST, ALIGNED, data()) if each is not None)
    assert found.step == 0 and found.samples.images.shape[1:] == (9,)
    on_device = train.on_device(POST.task, data())
    copies = [copy for copy in band.copies(POST, on_device, 2) if copy is not None]
    ends = [copy.score[-1] for copy in copies]
    assert ends == pytest.approx([looks(POST)[-1].score] * 2, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "float64"])
def test_it_trains_in_other_formats(precision: str) -> None:
    run = looks(replace(ALIGNED, precision=precision, epochs=1))
    assert np.isfinite([look.score for look in run]).all()
