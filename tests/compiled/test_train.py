"""Training: the question's figures, independent loops, and what makes runs comparable."""

import gc
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from jax import lax
from jax.example_libraries import optimizers, stax

from core.config import RunConfig
from core.data import SOURCES, Process, load
from core.parts.choices import REDUCTIONS, SCALINGS
from core.parts.dropout import DROPOUTS, Drop
from core.parts.initializers import INITIALIZERS
from core.parts.losses import LOSSES, losses_for
from core.parts.models import MODELS
from core.parts.optimizers import OPTIMIZERS
from core.parts.order import SHUFFLES
from core.parts.rules import Settings
from core.presets import PRESETS
from core.run import diagnostics, price, train
from core.run.price import free_bytes
from core.run.snapshot import Snapshot, silent_and_wrong
from core.run.train import loop, programs
from core.run.train.gradient import backprop, clip_range
from core.run.train.options import ON_ALL_CORES, ONCE
from core.run.train.pieces import Pieces
from core.study.states import states
from tests.kit import every, more
from tests.kit.runs import (
    DECAYING,
    DIGITS,
    KEEPING,
    TRAINED,
    configs,
    order_of,
    quick,
    tiny,
    trained,
)

QUESTION = RunConfig()
EXACT = RunConfig(loss="from_logits")


def device_data(config: RunConfig) -> train.DeviceData:
    return train.on_device(config.task, load(config.source, config.train_size))


def assert_same(ours: Any, theirs: Any) -> None:
    """Assert equality bit for bit; NaN equals NaN."""
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


# The question's figures (JAX 0.10.2, CPU)


@pytest.mark.parametrize("loss", ["naive", "question_stable", "from_logits"])
def test_question_starts_at_the_published_accuracy(loss: str) -> None:
    first = trained(replace(QUESTION, loss=loss))[0]
    assert first.train_accuracy == pytest.approx(0.435, abs=1e-6)


@pytest.mark.parametrize(
    ("seed", "accuracy"), every(4, [(0, 0.909), (1, 0.887), (2, 0.922), (3, 0.907)])
)
def test_from_logits_ends_where_keras_does(seed: int, accuracy: float) -> None:
    last = trained(replace(EXACT, seed=seed))[-1]
    assert last.step == 10
    assert last.train_accuracy == pytest.approx(accuracy, abs=0.002 if seed == 0 else 0.003)


def test_stable_ends_in_its_band() -> None:
    assert 0.55 <= trained(QUESTION)[-1].train_accuracy <= 0.85


def test_naive_becomes_nan() -> None:
    run = trained(replace(QUESTION, loss="naive"))
    assert not np.isfinite(run[0].loss) and not np.isfinite(run[0].gradient_norms).all()
    assert np.isnan(run[-1].loss) and run[-1].saturation.nonfinite == 1
    assert run[-1].train_accuracy == pytest.approx(0.510, abs=1e-6)


def test_question_is_saturated_from_the_start() -> None:
    first = trained(QUESTION)[0]
    shares = [first.saturation.zero, first.saturation.one, first.saturation.clipped]
    np.testing.assert_allclose(shares, [0.262, 0.119, 0.838], atol=1e-6)
    np.testing.assert_allclose([*first.census], [0.565, 0.838, 0.484], atol=1e-6)
    torch_s = trained(replace(QUESTION, loss="torch_bce_logits"))[0]
    np.testing.assert_allclose([*torch_s.census], [0.565, 0.176, 0.0], atol=1e-6)
    assert trained(EXACT)[0].census.zero_gradient <= 0.176


def test_gradient_norms_of_the_question() -> None:
    norms = [np.linalg.norm(s.gradient_norms) for s in trained(EXACT)]
    np.testing.assert_allclose([norms[i] for i in (0, 1, 2, 3, 9)], [516, 2944, 778, 3.9, 1.5],
                               rtol=0.03)  # fmt: skip
    assert np.linalg.norm(trained(QUESTION)[0].gradient_norms) == pytest.approx(38, rel=0.03)


# Comparison with independent loops


def test_question_agrees_with_a_loop_written_by_hand() -> None:
    """The loop is the question's script, with the loss taken from the logits."""
    images, labels, *_ = load("sample", 1000)
    x, y = images.astype(np.float32), (labels >= 5).astype(np.float32)[:, None]
    init, model = stax.serial(stax.Dense(1000), stax.Relu, stax.Dense(1))
    with jax.threefry_partitionable(False):
        _, weights = init(jax.random.PRNGKey(0), (1, 784))

    def loss(weights: Any) -> tuple[jax.Array, jax.Array]:
        z = model(weights, x)
        return jnp.mean(jnp.logaddexp(0, z) - y * z), z

    @jax.jit
    def step(weights: Any) -> tuple[Any, ...]:
        (value, z), slope = jax.value_and_grad(loss, has_aux=True)(weights)
        return value, z, jax.tree.map(lambda w, g: w - 0.01 * g, weights, slope)

    for ours in trained(EXACT):
        value, z, weights = jax.device_get(step(weights))
        assert ours.train_accuracy == pytest.approx(np.mean((z >= 0) == (y >= 0.5)), abs=0.0011)
        assert ours.loss == pytest.approx(value, rel=1e-2)
        np.testing.assert_allclose(ours.margins, z[:, 0], atol=1e-3 * np.abs(z).max())


PEERS = {
    "sgd": lambda rate: optax.sgd(rate),
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": lambda rate: optax.adam(rate),
    "adam_step_0": lambda rate: post_adam(rate),
    "lion": lambda rate: optax.chain(
        optax.clip_by_global_norm(0.5), optax.lion(rate, b1=0.8, weight_decay=0.1)
    ),
}


def post_adam(rate: float) -> optax.GradientTransformation:
    """The post's optimizer, called as the post calls it, in optax's terms."""
    init, update, params_of = optimizers.adam(rate)

    def updates(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        after = update(0, gradients, state)
        return jax.tree.map(jnp.subtract, params_of(after), params_of(state)), after

    return optax.GradientTransformation(init, updates)


def test_adam_that_never_counts_its_steps_takes_smaller_ones() -> None:
    def steps(key: str) -> np.ndarray:
        adam = OPTIMIZERS[key]
        numbers = (1, 0.9, 0.1, 0.999, 0.001, 1e-8, 0.9, 0.999)
        settings = Settings(*map(jnp.float32, numbers))

        def one(state: Any, _: None) -> tuple[Any, Any]:
            step, state = adam.step(jnp.float32(3), state, settings)
            return state, step

        return np.asarray(lax.scan(one, adam.init(jnp.float32(0)), length=6000)[1])

    ratios = steps("adam_step_0") / steps("adam")
    assert ratios[0] == pytest.approx(1) and ratios[-1] == pytest.approx(0.32, abs=0.005)


@pytest.mark.parametrize(
    "config",
    [
        *every(2, (replace(DIGITS, optimizer=key) for key in TRAINED)),
        more(DECAYING),
        more(KEEPING),
    ],
    ids=lambda config: f"{config.optimizer} {config.last_batch}",
)
def test_mini_batches_agree_with_an_optax_loop(config: RunConfig) -> None:
    images, labels, *_ = load("sample", config.train_size)
    x, y = jnp.asarray(images / np.float32(255)), jnp.asarray(labels, int)
    with jax.threefry_partitionable(False):
        init, apply, *_ = MODELS["mlp"].build((8,), 10, INITIALIZERS[config.initializer])
        weights = quick(lambda key: init(key, (1, 784))[1])(jax.random.PRNGKey(config.seed))
    used = 105 if config.last_batch == "kept" else 100
    orders = [np.asarray(order_of(config, epoch))[:used] for epoch in (0, 1)]
    batches = [batch for order in orders for batch in np.split(order, range(20, used, 20))]
    peer = PEERS[config.optimizer](config.learning_rate)
    slots = peer.init(weights)

    def loss(weights: Any, x: Any, y: Any) -> jax.Array:
        return optax.softmax_cross_entropy_with_integer_labels(apply(weights, x), y).mean()

    @quick
    def step(weights: Any, slots: Any, chosen: Any) -> tuple[Any, ...]:
        slope = jax.grad(loss)(weights, x[chosen], y[chosen])
        updates, slots = peer.update(slope, slots, weights)
        return loss(weights, x, y), slope, optax.apply_updates(weights, updates), slots

    run = trained(config)
    assert [s.step for s in run] == list(range(1 + len(batches)))
    for ours, chosen in zip(run, [*batches, None], strict=True):
        *told, weights, slots = step(weights, slots, batches[0] if chosen is None else chosen)
        value, slope = jax.device_get(told)
        assert ours.loss == pytest.approx(value, rel=1e-4)
        if chosen is not None:
            norms = [
                np.linalg.norm(np.concatenate([w.ravel(), b])) for w, b in (slope[0], slope[2])
            ]
            np.testing.assert_allclose(ours.gradient_norms, norms, rtol=1e-3)


EPSILON = 1e-3


@cache
def both_ways(form: Any, outputs: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """knobs -> gradients by the trainer, and drop -> naive ones; compiled once for all cases."""
    labels, key = np.arange(32) % max(2, outputs), jax.random.PRNGKey(2)
    _, apply, *_ = MODELS["mlp"].build((16,), outputs, INITIALIZERS["glorot_normal"])
    x, *numbers = (
        np.random.default_rng(i).normal(0, deviation, shape).astype(np.float32)
        for i, (deviation, shape) in enumerate(
            [(1, (32, 784)), (0.05, (784, 16)), (0.01, 16), (0.3, (16, outputs)), (0.01, outputs)]
        )
    )
    params = [tuple(numbers[:2]), (), tuple(numbers[2:])]

    def naively(params: Any, drop: Drop) -> jax.Array:
        z = apply(params, x, rng=key, drop=drop)
        if form == "binary":
            p = jnp.clip(jax.nn.sigmoid(z[:, 0]), EPSILON, 1 - EPSILON)
            return -(labels * jnp.log(p) + (1 - labels) * jnp.log(1 - p))
        p = jnp.clip(jax.nn.softmax(z), EPSILON, 1 - EPSILON)
        return -jnp.log(p[jnp.arange(32), labels])

    @quick
    def theirs(drop: Drop) -> dict[str, Any]:
        losses, back = jax.vjp(lambda params: naively(params, drop), params)
        reductions = {"mean": jnp.mean, "sum": jnp.sum}
        reductions["mean_outputs"] = lambda losses: jnp.mean(losses) / outputs
        slopes = {key: jax.grad(reduce)(losses) for key, reduce in reductions.items()}
        return {key: back(slope)[0] for key, slope in slopes.items()}

    def passed(*arguments: Any, **how: Any) -> tuple[jax.Array, Any]:
        return apply(*arguments, **how), ()

    @quick
    def ours(knobs: train.Knobs) -> Any:
        return backprop(form, passed, params, x, labels, knobs, key).gradients

    return ours, theirs


@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("form", "outputs"), [("binary", 1), ("softmax", 10)])
def test_gradients_are_those_of_the_batch_s_loss(
    form: Any, outputs: int, reduction: str, dropout: str
) -> None:
    ours, theirs = both_ways(form, outputs)
    knobs = train.knobs(RunConfig())._replace(
        loss=losses_for(form).index("clip"),
        epsilon=np.float32(EPSILON),
        reduction=list(REDUCTIONS).index(reduction),
        dropout=list(DROPOUTS).index(dropout),
        dropout_value=np.float32(0.3),
    )
    expected = theirs(DROPOUTS[dropout].means(np.float32(0.3)))[reduction]
    atol = 32e-6 if reduction == "sum" else 1e-6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=atol),
                 ours(knobs), expected)  # fmt: skip


def test_a_sum_is_the_mean_times_the_batch_size() -> None:
    """With SGD a sum is like a learning rate times the batch size; to Adam it hardly matters."""

    def end(**changes: Any) -> np.ndarray:
        return trained(replace(DIGITS, **changes))[-1].margins

    means, sums = end(learning_rate=0.02), end(learning_rate=0.001, reduction="sum")
    np.testing.assert_allclose(sums, means, rtol=1e-4, atol=1e-5)
    assert np.abs(end(reduction="sum") - means).max() > 1
    means, sums = (end(optimizer="adam", reduction=key) for key in ("mean", "sum"))
    np.testing.assert_allclose(sums, means, atol=1e-2)
    assert (sums != means).any()


def test_the_older_form_shrinks_units_at_test_time() -> None:
    """In training nothing is rescaled; at test time every unit is multiplied by the number."""
    config = tiny(dropout="older", dropout_value=0.25)
    shape, knobs = train.shape(config), train.knobs(config)
    program, data = train.program(shape), device_data(config)
    state = program.init(knobs)
    (w1, b1), (w2, b2) = (layer for layer in state.params if layer)

    def by_hand(images: Any, labels: Any) -> float:
        units = np.maximum(np.asarray(images) / np.float32(255) @ w1 + b1, 0)
        return float(np.mean(((0.25 * units) @ w2 + b2 >= 0)[:, 0] == labels))

    images = data.train_images, data.train_labels
    seen = program.diagnose(state, *images, order_of(config), knobs)[0]
    images, labels = data.test_images, data.test_labels
    held_out = program.held_out(len(images))(state.weights, images, labels, knobs)
    probed = by_hand(data.train_images, np.asarray(data.train_labels))
    assert float(seen["train_accuracy"]) == pytest.approx(probed, abs=0.011)
    assert float(held_out) == pytest.approx(by_hand(images, np.asarray(labels)), abs=0.0021)
    whole = train.knobs(tiny(dropout="unscaled", dropout_value=0.75))
    assert program.held_out(len(images))(state.weights, images, labels, whole) != held_out


# Order of the images


def test_order_is_a_new_permutation_every_epoch() -> None:
    found = [np.asarray(order_of(tiny(), epoch)) for epoch in range(5)]
    for order in found:
        np.testing.assert_array_equal(np.sort(order), np.arange(100))
    assert len({tuple(order) for order in found}) == 5


def test_the_seed_determines_the_order() -> None:
    np.testing.assert_array_equal(order_of(tiny(), 1), order_of(tiny(), 1))
    assert (order_of(tiny(), 1) != order_of(tiny(seed=1), 1)).any()


@pytest.mark.parametrize(("batch_size", "matters"), [(100, False), (20, True)])
def test_order_matters_only_for_mini_batches(batch_size: int, matters: bool) -> None:
    config = tiny(batch_size=batch_size)
    program, knobs, data = (
        train.program(train.shape(config)),
        train.knobs(config),
        device_data(config),
    )
    forwards, backwards = np.arange(100, dtype=np.int32), np.arange(100, dtype=np.int32)[::-1]

    def weights(order: np.ndarray) -> Any:
        images, labels = data.train_images, data.train_labels
        state = program.advance(program.init(knobs), images, labels, order, knobs, np.int32(1))
        return jax.tree.leaves(state.params)

    if matters:
        assert (weights(forwards)[0] != weights(backwards)[0]).any()
    else:
        assert_same(weights(forwards), weights(backwards))


# A run


def test_run_is_deterministic() -> None:
    config = tiny(dropout="rate")
    again = list(train.run(config, load("sample", 100)))
    assert_same(trained(config), again)


@pytest.mark.slow
def test_the_length_of_the_chunks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(epochs=200)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-9)
    one_by_one = list(train.ticks(config, train.program(train.shape(config)), device_data(config)))
    between = np.diff(train.snapshot_steps(config))
    # A snapshot takes the first step itself, and the last piece before the next snapshot yields
    # none.
    assert one_by_one.count(None) == sum(max(0, steps - 2) for steps in between)
    assert_same(trained(config), [s for s in one_by_one if s is not None])


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, more({"stream": "partitionable"}), {"dropout_value": 0.6}, {"scaling": "raw"}],
)
def test_every_setting_changes_the_run(change: dict[str, Any]) -> None:
    base = tiny(dropout="rate")
    changed = trained(replace(base, **change))
    assert (trained(base)[-1].margins != changed[-1].margins).any()


def test_the_stream_determines_weights_and_order() -> None:
    """So it decides the run as well, although no program is compiled for it."""

    def drawn(**stream: str) -> list[Any]:
        config = tiny(**stream)
        program, knobs = train.program(train.shape(config)), train.knobs(config)
        return [program.draw(knobs).params[0][0], order_of(config, 1)]

    for one, other in zip(drawn(), drawn(stream="partitionable"), strict=True):
        assert (np.asarray(one) != np.asarray(other)).any()


@pytest.mark.parametrize("config", [QUESTION, DIGITS], ids=["binary", "digits"])
def test_snapshots_are_consistent(config: RunConfig) -> None:
    run = trained(config)
    assert [s.step for s in run] == train.snapshot_steps(config)
    for s in run:
        assert s.epoch == pytest.approx(s.step / config.steps_per_epoch)
        assert s.saturation.histogram.sum() == len(s.margins) == len(s.labels)
        assert s.train_accuracy + s.census.wrong == pytest.approx(1, abs=1e-6)
        assert s.census.stuck <= min(s.census.wrong, s.census.zero_gradient)
        assert s.gradient_norms.shape == (len(config.widths) + 1,)
        assert s.test_examples == 1000
        if config.task == "binary":
            right = pytest.approx(np.mean((s.margins >= 0) == (s.labels == 1)))
        else:  # p > 1/2 is right, and p < 1/10 is wrong; between them it may be either
            right = pytest.approx(np.mean(s.margins > 0), abs=np.mean(np.abs(s.margins) < 3) + 1e-6)
        assert s.train_accuracy == right


def test_data_must_have_the_run_s_size() -> None:
    with pytest.raises(ValueError, match="the data has 99 images, the run 100"):
        train.run(tiny(), load("sample", 99))


def test_labels_and_pixels() -> None:
    digits = np.arange(10, dtype=np.uint8)
    np.testing.assert_array_equal(train.labels_of("binary", digits), [0] * 5 + [1] * 5)
    np.testing.assert_array_equal(train.labels_of("digits", digits), digits)
    grey = np.array([[0, 128, 255]], np.uint8)
    expected = {"raw": grey, "unit": grey / 255, "standardised": (grey / 255 - 0.1307) / 0.3081}
    for key in SCALINGS:
        found = train.pixels(grey, train.knobs(RunConfig(scaling=key)))
        np.testing.assert_allclose(found, expected[key], rtol=1e-5)


@given(configs)
def test_snapshots_include_the_ends_and_epochs_and_are_not_too_many(config: RunConfig) -> None:
    steps = train.snapshot_steps(config)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, config.steps)
    most = loop.SNAPSHOTS + loop.SNAPSHOTS // MODELS[config.model].looks_per_epoch + 2
    assert len(steps) <= most + config.steps.bit_length()
    if config.epochs <= 40:
        assert set(range(0, config.steps + 1, config.steps_per_epoch)) <= set(steps)


def test_a_long_run_is_looked_at_early() -> None:
    full = PRESETS["full_mnist"].config
    assert train.snapshot_steps(full)[:7] == [0, 1, 4, 16, 64, 120, 240]
    assert train.snapshot_steps(RunConfig()) == list(range(11))


@pytest.mark.slow
def test_a_run_can_be_looked_at_at_any_step() -> None:
    config = tiny(epochs=200)
    program, data = train.program(train.shape(config)), device_data(config)
    marks = train.looks_of(config)

    def asked(step: int) -> int:
        return min(marks(step), *(odd for odd in (3, 77, 501, config.steps) if odd > step))

    seen = {s.step: s for s in train.ticks(config, program, data, next_look=asked) if s}
    assert {3, 77, 501} <= seen.keys() and set(train.snapshot_steps(config)) <= seen.keys()
    np.testing.assert_allclose(
        seen[config.steps].margins, trained(config)[-1].margins, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("optimizer", "copies"), [("sgd", 3), ("momentum", 4), ("adam", 5)])
def test_memory_is_counted_by_copies_of_the_weights(optimizer: str, copies: int) -> None:
    needed = train.bytes_needed(train.shape(tiny(optimizer=optimizer, widths=(100,))))
    weights = 4 * (784 * 100 + 100 + 100 + 1)
    assert needed == pytest.approx(copies * weights, abs=16)
    assert free_bytes() > 1e6


def test_memory_that_holds_files_read_before_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a server that has run for a day the rest is next to nothing."""
    told = tmp_path / "meminfo"
    told.write_text("MemTotal: 24684000 kB\nMemFree: 312000 kB\nMemAvailable: 18267000 kB\n")
    monkeypatch.setattr(price, "MEMORY", told)
    assert price._available_bytes() == 18267000 * 1024


# Compilations


SCALARS = [
    {"learning_rate": 0.5},
    {"epsilon": 1e-3},
    {"seed": 7},
    {"scaling": "standardised"},
    {"reduction": "sum"},
    *({"dropout": key, "dropout_value": 0.25} for key in DROPOUTS),
    *({"loss": key} for key in losses_for("binary")),
    {"data_order": "sorted"},
    *({"shuffle": key, "shuffle_buffer": 30} for key in SHUFFLES),
]


OF_ADAM: list[dict[str, Any]] = [
    {"optimizer": "adam", "momentum": 0.5},
    {"optimizer": "adam", "beta_2": 0.5},
    {"optimizer": "adam", "optimizer_epsilon": 1e-3},
]


def test_moving_a_slider_compiles_nothing(compilations: list[float]) -> None:
    data = load("sample", 100)

    def run(**overrides: Any) -> list[Snapshot]:
        return list(train.run(tiny(**overrides), data))

    run(), run(optimizer="adam")
    compilations.clear()
    for scalars in [*SCALARS, *OF_ADAM]:
        assert run(**scalars)[-1].step == 10
        assert not compilations, scalars
    order_of(tiny(train_size=99))
    assert compilations, "another shape compiles, or this test counts nothing"


def test_every_field_has_one_place_and_scalars_share_a_shape() -> None:
    """Every field belongs to the program's shape, the knobs, the data or the loop."""
    derived = {"shift", "scale", "momentum_rest", "beta_2_rest"}
    knobs = {*train.Knobs._fields, "scaling"} - derived
    loop = {"epochs"}
    shape = {name for name in train.Shape._fields if name not in ("test_size", "formula")} | {
        "source"
    }
    assert shape | knobs | loop | set(Process._fields) == set(RunConfig.__dataclass_fields__)
    assert not shape & knobs
    assert all(train.shape(tiny(**scalars)) == train.shape(tiny()) for scalars in SCALARS)
    assert SOURCES["sample"].test_size == train.shape(tiny()).test_size


@pytest.mark.parametrize("task", ["binary", "digits"])
def test_clip_range_is_the_row_s_own(task: str) -> None:
    form: Any = {"binary": "binary", "digits": "softmax"}[task]
    for key in losses_for(form):
        low, high = clip_range(form, train.knobs(tiny(task=task, loss=key, epsilon=1e-3)))
        row = LOSSES[key].clip_range
        np.testing.assert_allclose((low, high), row(1e-3) if row else (0, 1), rtol=1e-6)


# Images that are wrong and silent


@pytest.mark.parametrize(
    ("config", "step"),
    [
        (RunConfig(), 0),
        (RunConfig(), 10),
        (RunConfig(loss="torch_bce"), 3),
        (replace(DIGITS, loss="clip", scaling="raw"), 0),
    ],
)
def test_silent_and_wrong_are_those_of_the_census(config: RunConfig, step: int) -> None:
    snapshot = trained(config)[step]
    found = silent_and_wrong(snapshot)
    assert len(found) == round(len(snapshot.margins) * float(snapshot.census.stuck)) > 0
    assert not snapshot.correct[found].any()
    certainty = np.abs(snapshot.margins[found])
    assert np.all(certainty[:-1] >= certainty[1:])
    if config.task == "binary":
        assert np.all((snapshot.margins[found] >= 0) != snapshot.labels[found])
    else:
        assert np.all(snapshot.margins[found] < 0)


def test_no_image_is_wrong_and_silent_from_logits() -> None:
    assert len(silent_and_wrong(trained(RunConfig(loss="from_logits"))[0])) == 0


@pytest.mark.parametrize("optimizer", every(4, TRAINED))
def test_looks_do_not_change_a_run(optimizer: str) -> None:
    """A look takes its step in another program, which may round differently, and that is all."""
    config = replace(DIGITS, optimizer=optimizer, epochs=4)
    data = train.on_device("digits", load("sample", config.train_size))
    *_, unseen = states(config, data)
    norms = diagnostics.measured(unseen.state.params).norms
    np.testing.assert_allclose(norms, trained(config)[-1].weight_norms, rtol=1e-5)


def test_programs_are_kept_up_to_a_size_but_always_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_programs", OrderedDict())
    shapes = [train.shape(tiny(widths=(width,))) for width in (3, 4, 5)]
    first, *others = map(train.program, shapes)
    assert [train.program(shape) for shape in shapes] == [first, *others]  # they take no memory yet
    for each in others:
        monkeypatch.setattr(each._own, "kept", programs.PROGRAM_BYTES)
    assert train.program(shapes[2]) is others[1]
    assert train.program(shapes[1]) is others[0]
    assert train.program(shapes[0]) is not first


def test_optimizers_share_the_program_that_looks_until_the_last_is_freed() -> None:
    shapes = [train.shape(tiny(widths=(6,), optimizer=key)) for key in ("sgd", "adam")]
    sgd, adam = map(train.Program, shapes)
    assert sgd._shared is adam._shared is not sgd._own
    one, other = sgd.kept(), adam.kept()
    assert len(one.keys() & other.keys()) == 1
    shape = sgd._shared.shape
    del sgd, adam, one, other
    gc.collect()
    assert shape not in programs._shared


def test_an_accelerator_does_not_get_a_cpu_s_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train.for_this_host(ONCE).items() >= ONCE.items()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert train.for_this_host(ONCE) == {"xla_backend_optimization_level": "1"}
    assert train.for_this_host(train.SELDOM) == {}
    assert train.for_this_host({}, convolves=True) == {}


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell cores")
@pytest.mark.parametrize(("cores", "where"), [(1, False), (2, True), (16, True)])
def test_where_there_are_several_cores_convolutions_take_all_of_them(
    monkeypatch: pytest.MonkeyPatch, cores: int, where: bool
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    assert (ON_ALL_CORES.items() <= train.for_this_host({}, convolves=True).items()) is where
    assert not ON_ALL_CORES.keys() & train.for_this_host({}).keys()


@pytest.mark.parametrize(("model", "convolves"), [("cnn", True), ("mlp", False)])
def test_only_networks_with_convolutions_are_compiled_so(model: str, convolves: bool) -> None:
    assert Pieces(train.shape(tiny(model=model))).convolves is convolves
