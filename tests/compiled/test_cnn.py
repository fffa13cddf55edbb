"""The post's CNN as a model of the trainer, compared with stax and optax, and its looks."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.example_libraries import stax

from core.config import RunConfig
from core.data import load
from core.parts.convolution import BY_INPUT, by_input
from core.parts.models import MODELS
from core.run import train
from core.run.diagnosis import diagnose
from core.run.snapshot import Snapshot
from core.study import twins
from core.study.band import copies
from core.study.batch_norm import evaluated
from core.study.states import start_and_end
from tests.kit.runs import DIGITS, order_of, post_cnn, quick, trained
from tests.kit.runs import POST_CNN as POST

AXES = {"cnn": (28, 28, 1), "cnn_28_channels": (1, 28, 28)}
RIGHT = replace(POST, model="cnn")
pytestmark = pytest.mark.slow  # its network takes a minute to compile


def device_data(config: RunConfig) -> train.DeviceData:
    return train.on_device(config.task, load(config.source, config.train_size))


@pytest.mark.parametrize("config", [POST, RIGHT], ids=lambda config: config.model)
def test_training_against_the_post_s_own_loop(config: RunConfig) -> None:
    """Five steps from the same weights and batches have the same losses, gradients and accuracy."""
    images, labels, test_images, test_labels = load("sample", config.train_size)
    axes = AXES[config.model]

    def pictures(images: np.ndarray) -> np.ndarray:
        return ((images / np.float32(255) - 0.1307) / 0.3081).reshape(-1, *axes)

    init, net = post_cnn(stax.LogSoftmax)
    _, params = init(jax.random.PRNGKey(1), (50, *axes))
    order = np.asarray(order_of(config))

    def loss(params: Any, x: Any, y: Any) -> jax.Array:
        return -jnp.sum(net(params, x) * jax.nn.one_hot(y, 10))

    optimizer = optax.adam(1e-3)

    @quick
    def stepped(params: Any, slots: Any, x: Any, y: Any) -> tuple[Any, ...]:
        gradient = jax.grad(loss)(params, x, y)
        updates, slots = optimizer.update(gradient, slots)
        return gradient, optax.apply_updates(params, updates), slots

    slots, run = optimizer.init(params), trained(config)
    looks = {s.step: s for s in run}
    assert list(looks) == [0, 1, 2, 4, 5]
    for step, chosen in enumerate(order.reshape(5, 50)):
        gradient, params, slots = stepped(params, slots, pictures(images[chosen]), labels[chosen])
        first, last = (np.concatenate([np.ravel(w) for w in gradient[i]]) for i in (0, -2))
        if step in looks:
            norms = looks[step].gradient_norms
            np.testing.assert_allclose(norms[-1], np.linalg.norm(last), rtol=2e-2)
            assert norms[0] >= 0.98 * np.linalg.norm(first)

    @quick
    def answers(params: Any, x: Any) -> jax.Array:
        return net(params, x)

    # At test time every third image is in the same batch: of the 250 images, three batches are
    # looked at, here the first 83 images of each.
    log_p = [np.asarray(answers(params, pictures(images[i::3][:83]))) for i in range(3)]
    theirs = [-each[np.arange(83), labels[i::3][:83]].mean() for i, each in enumerate(log_p)]
    assert run[-1].loss == pytest.approx(np.mean(theirs), rel=2e-2)
    found = [np.argmax(answers(params, pictures(test_images[i::10])), axis=1) for i in range(10)]
    right = np.mean([each == test_labels[i::10] for i, each in enumerate(found)])
    assert run[-1].test_accuracy == pytest.approx(right, abs=0.02)


@pytest.mark.parametrize("model", [key for key in MODELS if key.startswith("cnn")])
def test_every_form_gives_the_same_gradients_up_to_rounding(model: str) -> None:
    config = replace(POST, model=model)
    step, knobs, data = train.Step(train.shape(config)), train.knobs(config), device_data(config)
    given = data.train_images, data.train_labels, order_of(config), knobs

    def gradients(form: str) -> list[np.ndarray]:
        with by_input(lambda place: form):
            found = quick(lambda *given: step.backprop(*given))(step.init(knobs), *given)
        return jax.device_get(jax.tree.leaves((found.logits, found.gradients)))

    first, *others = map(gradients, BY_INPUT)
    for other in others:
        for a, b in zip(first, other, strict=True):
            # The gradient of biases before a norm is 0 but for rounding, which is 1e-4 here.
            np.testing.assert_allclose(a, b, atol=1e-4 * max(np.abs(a).max(), 1), err_msg=model)


@pytest.mark.parametrize("config", [POST, RIGHT], ids=lambda config: config.model)
def test_looks_measure_layers_filters_and_images_without_a_say(config: RunConfig) -> None:
    for s in trained(config):
        assert s.gradient_norms.shape == s.weight_norms.shape == s.update_norms.shape == (5,)
        assert s.dead_units.shape == (4,) and np.all(s.dead_units * [32, 32, 10, 10] % 1 == 0)
        assert len(s.health) == len(train.parameters(train.shape(config))) == 16
        assert np.isnan([s.dropped_accuracy, s.flipped]).all()
        assert s.census.wrong + s.train_accuracy == pytest.approx(1)
        assert diagnose(config, trained(config)[: s.step + 1])
    names = train.parameters(train.shape(config))
    assert names[:4] == tuple(f"layer 1 {what}" for what in ("weights", "biases", "beta", "gamma"))


def test_kernel_rows_that_see_only_padding_never_move() -> None:
    """The post's images have height 1, so only one of the five rows of each kernel is used."""
    config = POST
    program, knobs, data = (
        train.program(train.shape(config)),
        train.knobs(config),
        device_data(config),
    )
    before = np.asarray(program.init(knobs).params[0][0])
    images = data.train_images, data.train_labels
    order, stop = order_of(config), np.int32(5)
    after = program.advance(program.init(knobs), *images, order, knobs, stop)
    moved = np.any(np.asarray(after.params[0][0]) != before, axis=(1, 2, 3))
    assert moved.tolist() == [False, False, True, False, False]


def test_sum_and_mean_are_compared_as_twins() -> None:
    a, b = POST, replace(POST, reduction="mean")
    data = load("sample", POST.train_size)
    found = next(twins.first_divergence(a, b, data))
    assert found is not None and found.step == 0
    np.testing.assert_allclose(found.relative, 49 / 50, rtol=1e-3)


def test_a_copy_one_rounding_away_ends_nearby() -> None:
    found = [copy for copy in copies(POST, device_data(POST), 1) if copy is not None]
    run = trained(POST)
    assert found[0].steps.tolist() == [s.step for s in run]
    np.testing.assert_allclose(found[0].score, [s.train_accuracy for s in run], atol=0.02)


def test_it_trains_in_sixteen_bits() -> None:
    run: list[Snapshot] = trained(replace(POST, precision="mixed_float16"))
    plain = trained(POST)
    assert run[0].loss == pytest.approx(plain[0].loss, rel=1e-2)
    assert np.isfinite(run[-1].weight_norms).all()
    assert run[-1].loss < run[0].loss


# Evaluation in batches


def test_an_answer_depends_on_the_test_batch() -> None:
    config = replace(POST, epochs=20)
    params = start_and_end(config, device_data(config))[1].state.params
    _, _, images, labels = load("sample", config.train_size)
    whole, halves, mixed, by_class = (
        evaluated(config, params, images, labels, *batches).accuracy
        for batches in ((500, False), (500, True), (10, False), (10, True))
    )
    assert whole > 0.4 and by_class < mixed < whole + 0.02 and halves < whole


def test_the_answers_of_an_mlp_do_not_depend_on_the_test_batch() -> None:
    params = train.program(train.shape(DIGITS)).init(train.knobs(DIGITS)).params
    _, _, images, labels = load("sample", DIGITS.train_size)
    each = [
        evaluated(DIGITS, params, images, labels, size, by_class)
        for size in (1000, 10)
        for by_class in (False, True)
    ]
    assert len({found.accuracy for found in each}) == len({found.one_answer for found in each}) == 1
