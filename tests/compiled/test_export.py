"""Exported scripts print the trainer's numbers, and say what they do not do."""

import ast
import importlib.util
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, Phase, given, settings

from core.config import RunConfig
from core.data import Process
from core.export import (
    FRAMEWORKS,
    data,
    files,
    in_jax,
    in_keras,
    in_torch,
    jax_networks,
    jax_optimizers,
    notebook,
    script,
    shared,
)
from core.export import command as export_command
from core.parts.activations import ACTIVATIONS
from core.parts.choices import REDUCTIONS, TASKS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.dropout import DROPOUTS
from core.parts.initializers import INITIALIZERS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES, losses_for, with_grad
from core.parts.models import MODELS
from core.parts.optimizers import OPTIMIZERS
from core.parts.order import DATA_ORDERS, SHUFFLES
from core.run import command as run_command
from core.run import train
from core.run.prepare import device_data
from core.run.snapshot import Snapshot
from tests.kit import more
from tests.kit.runs import (
    DECAYING,
    DIGITS,
    DROPPING,
    KEEPING,
    NORMED,
    OWN,
    POST_CNN,
    SERIES,
    configs,
    tiny,
    trained,
)

QUESTION = RunConfig(epochs=4)


def printed(config: RunConfig, framework: str, folder: Path, **environment: str) -> np.ndarray:
    """What the script prints: step, loss, share right, held out; float64 [looks, 4]."""
    (folder / "run.py").write_text(script(config, framework).text)
    for name, content in files(config, framework).items():
        (folder / name).write_bytes(content)
    result = subprocess.run(
        [sys.executable, "run.py"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
    )
    assert not result.returncode, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    return np.array([row for row in rows if row and row[0].isdigit()], float)


def accuracies(look: Snapshot) -> tuple[float, float]:
    """A look's accuracies; of a regression the held-out error, after nothing."""
    if look.fit is not None:
        return math.nan, look.fit.error
    return look.train_accuracy, look.test_accuracy


def shown(config: RunConfig, steps: np.ndarray) -> np.ndarray:
    """What the trainer shows at these steps, in the same columns."""
    looks = {look.step: look for look in trained(config)}
    return np.array(
        [(look.step, look.loss, *accuracies(look)) for look in (looks[int(step)] for step in steps)]
    )


# JAX: whole scripts


PRINTED = {
    "question": QUESTION,
    "question from logits": replace(QUESTION, loss="from_logits", epsilon=1e-6),
    "digits": DIGITS,
    "decaying": DECAYING,
    "own formula": OWN,
    "last batch": replace(KEEPING, label_shift=1),
}


# Compiled in a hurry, a look rounds the losses otherwise than the script's steps do. The slow tests
# compile it as the product does.
@pytest.mark.parametrize(
    ("config", "rounding"),
    [
        pytest.param(DECAYING, 1e-6, id="decaying"),
        *(more(config, 0, id=f"{key}, to the last bit") for key, config in PRINTED.items()),
    ],
)
def test_a_jax_script_prints_the_trainer_s_losses(
    config: RunConfig, rounding: float, tmp_path: Path
) -> None:
    found = printed(config, "jax", tmp_path)
    assert found[-1, 0] == config.steps and len(found) >= 5
    ours = shown(config, found[:, 0])
    losses = found[:, 1].astype(np.float32), ours[:, 1].astype(np.float32)
    np.testing.assert_allclose(*losses, rtol=rounding)
    np.testing.assert_allclose(found[:, 2:], ours[:, 2:], atol=6e-5)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "adam_step_0"])
def test_a_jax_script_with_another_optimizer(optimizer: str, tmp_path: Path) -> None:
    config = replace(DIGITS, optimizer=optimizer)
    found = printed(config, "jax", tmp_path)
    np.testing.assert_allclose(found[:, 1], shown(config, found[:, 0])[:, 1], rtol=1e-6)


# Runs that are normalised, or taught labels that are not the true ones.
SMOOTHED = replace(NORMED, label_smoothing=0.1, label_shift=1)
NORMALISED = [
    replace(NORMED, norm_variance="unbiased", norm_momentum=0.5, norm_epsilon=1e-3),
    replace(NORMED, norm_test="batch"),
    replace(NORMED, normalisation="layer_norm", decay_form="l2", weight_decay=0.1),
    replace(NORMED, decay_form="l2", weight_decay=0.1, clip_form="each_norm", clip_norm=0.3),
]
TAUGHT = [
    tiny(label_smoothing=0.2, label_shift=1),
    tiny(label_smoothing=0.2, loss="question_stable", epsilon=1e-3),
    replace(KEEPING, label_shift=1, reduction="sum", learning_rate=1e-3),
    replace(DIGITS, loss="clip", label_smoothing=0.1, epsilon=1e-3),
    replace(DIGITS, loss="keras_jax", label_smoothing=0.1, epsilon=1e-3),
    *(
        replace(DIGITS, loss_input=given, label_smoothing=0.3, learning_rate=rate)
        for given, rate in (
            ("softmax", 0.5),
            ("as_probabilities", 1e-4),
            ("each_output", 0.02),
            ("each_probability", 0.02),
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMOOTHED, *NORMALISED, *TAUGHT])
def test_a_jax_script_normalises_and_is_taught_what_the_trainer_is(
    config: RunConfig, tmp_path: Path
) -> None:
    found = printed(config, "jax", tmp_path)
    ours = shown(config, found[:, 0])
    np.testing.assert_allclose(found[:, 1], ours[:, 1], rtol=1e-6)
    np.testing.assert_allclose(found[:, 2:], ours[:, 2:], atol=6e-5)


@pytest.mark.slow
def test_a_jax_script_fills_a_last_batch_before_it_drops_units(tmp_path: Path) -> None:
    config = replace(DROPPING, batch_size=60, last_batch="kept", normalisation="layer_norm")
    found = printed(config, "jax", tmp_path)
    np.testing.assert_allclose(found[:, 1], shown(config, found[:, 0])[:, 1], rtol=5e-6)


@pytest.mark.slow
def test_a_jax_script_drops_the_same_units(tmp_path: Path) -> None:
    # The masks are the same, but XLA divides by a number that is known as it multiplies.
    found = printed(DROPPING, "jax", tmp_path)
    ours = shown(DROPPING, found[:, 0])
    np.testing.assert_allclose(found[:, 1:], ours[:, 1:], rtol=2e-6, atol=6e-5)


@pytest.mark.parametrize(
    ("precision", "changes", "rtol"),
    [
        ("float64", {"decay_form": "l2", "weight_decay": 0.1, "loss_weight": 0.3}, 2e-9),
        ("bfloat16", {"dropout": "rate", "dropout_value": 0.4}, 2e-3),
        ("float16", {"loss_weight": 0.3}, 2e-3),
    ],
)
@pytest.mark.slow
def test_a_jax_script_in_another_format(
    precision: str, changes: dict[str, Any], rtol: float, tmp_path: Path
) -> None:
    config = tiny(precision=precision, **changes)
    found = printed(config, "jax", tmp_path)
    np.testing.assert_allclose(found[:, 1], shown(config, found[:, 0])[:, 1], rtol=rtol)


@pytest.mark.parametrize("model", ["cnn_28_channels", "cnn", "cnn_around"])
@pytest.mark.slow
def test_a_jax_script_convolves(model: str, tmp_path: Path) -> None:
    decay = {"cnn": {"decay_form": "l2_kernels", "weight_decay": 0.1}}.get(model, {})
    config = replace(POST_CNN, model=model, **decay)
    found = printed(config, "jax", tmp_path)
    ours = shown(config, found[:, 0])
    np.testing.assert_allclose(found[:, 1], ours[:, 1], rtol=1e-4)
    np.testing.assert_allclose(found[:, 2:], ours[:, 2:], atol=2e-3)  # an image or two


@pytest.mark.parametrize("model", ["gru_reused", "gru", "gru_reset_after"])
@pytest.mark.slow
def test_a_jax_script_reads_series(model: str, tmp_path: Path) -> None:
    decay = {"gru": {"decay_form": "l2_kernels", "weight_decay": 0.1}}.get(model, {})
    config = replace(SERIES, model=model, **decay)
    found = printed(config, "jax", tmp_path)
    ours = shown(config, found[:, 0])
    np.testing.assert_allclose(found[:, 1], ours[:, 1], rtol=1e-5)
    np.testing.assert_allclose(found[:, 3], ours[:, 3], atol=6e-5)


# JAX: each piece by itself


def executed(text: str, **names: Any) -> dict[str, Any]:
    """The names that lines of a script define."""
    known: dict[str, Any] = {}
    lines = in_jax._imports("optax. initializers. SimpleNamespace Array", RunConfig())
    imports = "\n".join(line for line in lines.splitlines() if "config.update" not in line)
    exec(imports, known)
    known |= names
    exec(compile("from __future__ import annotations\n" + text, "script", "exec"), known)
    return known


@pytest.mark.slow
@pytest.mark.parametrize("task", ["binary", "digits"])
def test_losses_and_slopes_are_the_trainer_s(task: str) -> None:
    form: Any = "binary" if task == "binary" else "softmax"
    random = np.random.default_rng(0)
    z = jnp.asarray(random.normal(0, 30, (40, 1 if task == "binary" else 10)), jnp.float32)
    y = jnp.asarray(random.integers(0, z.shape[1] + 1 if task == "binary" else 10, 40))
    pairs = [(loss, "logits") for loss in losses_for(form)]
    # As in the trainer: with the numbers as arguments, because XLA folds those it knows.
    both = jax.jit(partial(train.losses_and_slopes, form))
    for loss, given_input in [*pairs, *(("from_logits", each) for each in LOSS_INPUTS)]:
        config = RunConfig(task=task, loss=loss, loss_input=given_input, epsilon=1e-3)
        losses = executed(in_jax._loss(config))["losses"]
        labels = y.astype(jnp.float32) if task == "binary" else y
        slope = jax.grad(lambda z, losses=losses, y=labels: jnp.sum(losses(z, y)))(z)
        ours, slopes = both(z, y, train.knobs(config))
        named = f"{loss} {given_input}"
        np.testing.assert_allclose(losses(z, labels), ours, rtol=1e-6, err_msg=named)
        # One rounding of p near 1 is a large part of the 1 - p that this loss divides by.
        atol = 0.02 if given_input == "each_probability" else 1e-6
        np.testing.assert_allclose(slope, slopes, rtol=1e-5, atol=atol, err_msg=named)


FORMULAS = {  # with each function, operation and comparison
    "binary": [
        "where(y == 1, log1p(exp(-z)), 0.25*softplus(z) + eps)", "max(z, 0) - z*y + log(2)*abs(z)",
        "-log(clip(p, eps, 1 - eps)) + min(sqrt(z**2 + 1), 3)**-y", "expm1(tanh(-z/8))*sigmoid(z)",
        "where(z < y, where(z <= -1, z**2, -z), where(z > 3, 0.1*z, where(z >= 2, 1, p)))",
    ],
    "softmax": [
        "logsumexp(z) - sum(y*z)", "-sum(y*log(p + eps))", "max(z) - min(z) + sum((p - y)**2)",
        "-sum(y*log_softmax(z)) + max(0.1, sum(softmax(z/2)*y))",
    ],
}  # fmt: skip


def _near(z: np.ndarray, y: np.ndarray, config: RunConfig, losses: Any) -> None:
    form, epsilon = TASKS[config.task].form, np.float32(config.epsilon)
    both = jax.jit(with_grad(getattr(LOSSES[config.loss], form)))
    ours, slopes = both(z[:, 0] if form == "binary" else z, y, epsilon)
    found, slope = losses
    close = partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5, err_msg=config.loss)
    close(np.asarray(found).reshape(-1), ours)
    close(np.asarray(slope).reshape(slopes.shape), slopes)


@pytest.mark.parametrize("task", ["binary", "digits"])
@pytest.mark.parametrize(
    "framework", ["jax", pytest.param("keras", marks=pytest.mark.slow), "torch"]
)
def test_formulas_are_the_trainer_s_in_each_framework(
    framework: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"needs {framework}")
    module = {"jax": in_jax, "keras": in_keras, "torch": in_torch}[framework]
    binary, random = task == "binary", np.random.default_rng(0)
    z = random.normal(0, 5, (40, 1 if binary else 10)).astype(np.float32)
    y = random.integers(0, 2, (40, 1)) if binary else random.integers(0, 10, 40)
    for text in FORMULAS["binary" if binary else "softmax"]:
        config = RunConfig(task=task, loss=LOSSES.spelled(text), epsilon=1e-3)
        lines, labels = module._loss(config), y.astype(np.float32) if binary else y
        if framework == "torch":
            import torch
            from torch import nn

            known: dict[str, Any] = {"torch": torch, "nn": nn}
            exec(lines, known)
            logits = torch.tensor(z, requires_grad=True)
            loss = known["losses"](torch.tensor(labels), logits)
            loss.sum().backward()
            results = loss.detach().numpy(), logits.grad.numpy()
        elif framework == "keras":
            import keras

            if keras.backend.backend() != "jax":
                pytest.skip("slopes are taken by JAX")
            known = {"ops": keras.ops, "keras": keras}
            exec(lines, known)
            own = known["losses"]
            slope = jax.jit(jax.grad(lambda z, own=own, y=labels: jnp.sum(own(y, z))))(z)
            results = own(labels, jnp.asarray(z)), slope
        else:
            own, labels = executed(lines)["losses"], labels[:, 0] if binary else labels
            slope = jax.jit(jax.grad(lambda z, own=own, y=labels: jnp.sum(own(z, y))))(z)
            results = jax.jit(own)(z, labels), slope
        _near(z, y[:, 0] if binary else y, config, results)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_are_the_trainer_s(optimizer: str, precision: str) -> None:
    for decay, clip in zip((*DECAY_FORMS, "off"), (*CLIP_FORMS, "off"), strict=True):
        config = tiny(
            optimizer=optimizer, precision=precision, decay_form=decay, clip_form=clip,
            clip_norm=0.3, learning_rate=OPTIMIZERS[optimizer].learning_rate,
        )  # fmt: skip
        _steps_agree(config)


def _steps_agree(config: RunConfig) -> None:
    step, knobs = train.Step(train.shape(config)), train.knobs(config)
    dtype = step.precision.weights.dtype
    random = np.random.default_rng(1)
    params = [(jnp.asarray(random.normal(0, 1, (3, 4)), dtype), jnp.ones(4, dtype)), ()]
    begun = jax_optimizers.begun(config)[1]
    lines = "\n".join("    " + line for line in jax_optimizers.step(config))
    known = executed(
        f"{begun}\n\n\ndef update(params, memory, gradient, step):\n{lines}", params=params
    )
    memory = known["memory"]
    state = train.State(params, step.optimizer.init(params), jnp.int32(0))
    for i in range(3):
        drawn = random.normal(0, 1, (3, 4)), random.normal(0, 1, 4)
        gradient = [tuple(jnp.asarray(g, dtype) for g in drawn), ()]
        params, memory = known["update"](params, memory, gradient, jnp.int32(i))
        state = step.update(state, gradient, (), knobs)
    tolerance = 1e-6 if dtype == np.float32 else 2e-2
    for found, ours in zip(jax.tree.leaves(params), jax.tree.leaves(state.params), strict=True):
        assert found.dtype == ours.dtype
        np.testing.assert_allclose(
            found.astype(float), ours.astype(float), rtol=tolerance, atol=tolerance
        )


def test_our_tables_have_every_row() -> None:
    assert {*jax_networks.INITIALIZERS} == {*INITIALIZERS}
    assert {*in_jax.DIVISORS} == {*REDUCTIONS}
    assert {*jax_optimizers.OPTAX} <= {*OPTIMIZERS}


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_batch_s_loss_is_divided_as_in_the_trainer(reduction: str) -> None:
    divisor = in_jax.DIVISORS[reduction].format(outputs=10) or "1"
    assert eval(divisor, {"y": range(7)}) == REDUCTIONS[reduction].divisor(7, 10)


@pytest.mark.parametrize("initializer", INITIALIZERS)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "float16"])
def test_weights_and_logits_are_the_trainer_s(initializer: str, precision: str) -> None:
    config = tiny(task="digits", initializer=initializer, widths=(6, 5), precision=precision)
    _networks_agree(config)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_the_trainer_s(activation: str) -> None:
    _networks_agree(tiny(task="digits", activation=activation, stream="partitionable", seed=3))
    _networks_agree(tiny(task="digits", activation=activation, dropout="older"))


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "mixed_float16"])
def test_layers_that_drop_units_keep_their_format(precision: str) -> None:
    config = tiny(task="digits", dropout="older", dropout_value=0.4, precision=precision)
    apply, params, x = _networks_agree(config)
    assert apply(params, x, rng=jax.random.PRNGKey(0)).dtype == apply(params, x).dtype


def _networks_agree(config: RunConfig) -> tuple[Any, ...]:
    shape, knobs = train.shape(config), train.knobs(config)
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (5, 784)), jnp.float32)
    with train.numerics(shape):
        step = train.Step(shape)
        params = step.draw(knobs).params
        logits = step.apply(params, x, drop=train.dropping(knobs))
        known = executed(jax_networks.network(config)[1])
        found = known["apply"](known["params"], x)
    jax.tree.map(np.testing.assert_array_equal, known["params"], params)
    assert found.dtype == logits.dtype
    np.testing.assert_allclose(found.astype(float), logits.astype(float), rtol=1e-6, atol=1e-6)
    return known["apply"], known["params"], x


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("data_order", DATA_ORDERS)
def test_orders_are_the_trainer_s(shuffle: str, data_order: str) -> None:
    config = tiny(shuffle=shuffle, data_order=data_order, shuffle_buffer=7)
    arranged, labels = device_data(config).arranged, device_data(config).train_labels
    known = executed(in_jax._order(config), key=jax.random.PRNGKey(0), y=labels)
    step = train.Step(train.shape(config))
    with train.numerics(train.shape(config)):
        for epoch in range(2):
            ours = step.order(arranged, train.knobs(config), jnp.int32(epoch))
            np.testing.assert_array_equal(known["order_of"](epoch), ours)
        last = known["order_of"](config.epochs - 1)
    carried = np.load(io.BytesIO(data(config, ordered=True)))["order"]
    np.testing.assert_array_equal(carried[-1], last)


# Keras and PyTorch: whole scripts

STEADY = replace(SERIES, optimizer="momentum")  # a rule of both
# Each with what it is in: its back end or itself.
ELSEWHERE = [
    more("keras", "jax", replace(DIGITS, loss="keras_jax", epsilon=1e-3, reduction="sum")),
    more("keras", "jax", replace(DECAYING, loss_weight=0.5, loss="clip", epsilon=1e-3)),
    more("keras", "jax", tiny(loss="question_stable", epsilon=1e-3, loss_input="softmax")),
    ("keras", "tensorflow", replace(DIGITS, loss="keras_tf")),
    ("keras", "tensorflow", tiny(loss="keras_tf_hidden", epsilon=1e-3)),
    ("keras", "torch", tiny(loss="keras_torch", epsilon=1e-3)),
    ("torch", "torch", replace(DIGITS, optimizer="momentum", reduction="mean_outputs")),
    ("torch", "torch", tiny(optimizer="adam")),
    ("torch", "torch", tiny(loss="torch_bce", batch_size=100)),
    more("keras", "jax", OWN),
    *(("keras", inside, OWN) for inside in ("tensorflow", "torch")),
    ("torch", "torch", OWN),
    *(
        more(framework, inside, config)
        for framework, inside in (("keras", "jax"), ("torch", "torch"))
        for config in [SMOOTHED, *NORMALISED[:-1], *TAUGHT]
    ),
    *(
        more("keras", inside, config)
        for inside in ("tensorflow", "torch")
        for config in [SMOOTHED, *NORMALISED[:2]]
    ),
    more("keras", "tensorflow", replace(DIGITS, loss="keras_tf", label_smoothing=0.1)),
    more(
        "keras",
        "tensorflow",
        replace(DIGITS, loss="keras_tf_hidden", epsilon=1e-3, label_smoothing=0.1),
    ),
    more(
        "keras",
        "torch",
        replace(DIGITS, loss="keras_torch", epsilon=1e-3, label_smoothing=0.1),
    ),
    ("torch", "torch", SERIES),
    more("torch", "torch", POST_CNN),
    *(
        more("keras", inside, config)
        for inside in ("jax", "tensorflow", "torch")
        for config in (POST_CNN, STEADY)
    ),
    *(
        more(framework, "jax" if framework == "keras" else "torch", config)
        for framework in ("keras", "torch")
        for config in (
            replace(POST_CNN, model="cnn", decay_form="l2_kernels", weight_decay=0.1),
            replace(POST_CNN, model="cnn_around", decay_form="l2", weight_decay=0.1),
            replace(STEADY, model="gru", loss="mse_aligned", decay_form="l2", weight_decay=0.1),
            replace(STEADY, model="gru_reset_after", decay_form="l2_kernels", weight_decay=0.1),
            # In a last batch of four series, only four of the learnt first states take part.
            replace(STEADY, train_size=100, last_batch="kept"),
        )
    ),
]


@pytest.mark.parametrize(("framework", "inside", "config"), ELSEWHERE)
def test_other_scripts_print_the_trainer_s_losses(
    framework: str, inside: str, config: RunConfig, tmp_path: Path
) -> None:
    for name in (framework, inside):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    found = printed(config, framework, tmp_path, KERAS_BACKEND=inside, TF_CPP_MIN_LOG_LEVEL="3")
    assert found[-1, 0] == config.steps
    ours = shown(config, found[:, 0])
    assert abs(ours[-1, 1] - ours[0, 1]) > 1e-3 * ours[0, 1], "it learns something"
    # Nudging the weights by one rounding moves a CNN's loss by up to 2.7e-5 in these five steps,
    # and may turn an image: 5e-3 is one of 250.
    convolves = MODELS[config.model].kind == "convolutions"
    np.testing.assert_allclose(found[:, 1], ours[:, 1], rtol=1e-4 if convolves else 1e-5)
    there = slice(3 if TASKS[config.task].series else 2, None)  # the trainer's error is held out
    np.testing.assert_allclose(found[:, there], ours[:, there], atol=5e-3 if convolves else 6e-5)


def test_how_much_larger_the_steps_of_pytorch_s_adam_are() -> None:
    t = np.arange(1, 601)
    ours = np.asarray(1 - jnp.float32(0.999) ** jnp.float32(t), float)
    larger = np.sqrt((1 - 0.999**t) / ours) - 1
    assert 3e-6 < larger.min() < 4e-6 and 9e-6 < larger.max() < 1.1e-5

    def told(**settings: Any) -> bool:
        lines = script(tiny(**settings), "torch").text.replace("\n# ", " ")
        return "larger by 3 to 10 millionths" in lines

    assert told(optimizer="adam")
    assert not told() and not told(optimizer="adam", precision="float64")


@pytest.mark.parametrize("row", [in_keras, in_torch], ids=["keras", "torch"])
def test_tables_of_other_frameworks_have_every_row(row: Any) -> None:
    native = row.OPTIMIZERS_OF_KERAS if row is in_keras else row.OPTIMIZERS_OF_TORCH
    assert sorted([*native, *row.SAME, *row.NEAREST]) == sorted(OPTIMIZERS), "each once"
    assert {*row.SAME.values(), *row.NEAREST.values()} <= {*native}
    assert {*row.ACTIVATIONS} == {*ACTIVATIONS}
    assert {*row.DROPOUT} == {*DROPOUTS} - {"off"}
    assert {*row.REDUCTIONS} == {*REDUCTIONS}


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float64"])
def test_weights_are_carried_in_the_format_in_which_scripts_read_them(precision: str) -> None:
    carried = files(tiny(precision=precision), "torch")[shared.WEIGHTS]
    arrays = safetensors.numpy.load(carried)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("framework", ["keras", "torch"])
def test_what_a_framework_has_not_is_said(framework: str) -> None:
    config = tiny(optimizer="adam_step_0", dropout="rate", precision="bfloat16", report="threshold")
    told = " ".join(script(config, framework).cannot)
    for words in ("always at step 0", "drops other units", "bfloat16", "compares the logit"):
        assert words in told
    assert not script(tiny(), framework).cannot
    long = RunConfig(source="full", train_size=60_000, batch_size=100, epochs=1000)
    assert "carried for 333 epochs" in " ".join(script(long, framework).cannot)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (replace(STEADY, clip_form="each_norm"), "clipped together"),
        (replace(STEADY, model="gru_reset_after", clip_form="global_norm"), "kept at 0"),
    ],
)
def test_what_a_network_of_keras_does_otherwise_is_said(config: RunConfig, words: str) -> None:
    assert words in " ".join(script(config, "keras").cannot)
    assert words not in " ".join(script(replace(config, clip_form="off"), "keras").cannot)


# All frameworks

# What a script reads is made from these: the data, and for some frameworks weights and orders.
DATA = {"source", "train_size", *Process._fields}
CARRIED = {
    "initializer",
    "biases",
    "initial_spread",
    "seed",
    "stream",
    "data_order",
    "shuffle",
    "shuffle_buffer",
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
@given(config=configs)
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # to shrink an example takes minutes
)
def test_a_script_does_what_a_setting_says_or_says_that_it_does_not(
    framework: str, config: RunConfig
) -> None:
    """Every setting that differs from its default changes the script, or what it reads."""
    written = script(config, framework)
    tree = ast.parse(written.text)
    compile(tree, "run.py", "exec")
    words = ast.get_docstring(tree, clean=False) or ""
    told = " ".join(words.split())
    assert all(" ".join(each.split()) in told for each in written.cannot)
    assert max(map(len, words.splitlines())) <= 100
    if not written.whole:
        assert written.cannot and not files(config, framework)
        return
    carried = set() if FRAMEWORKS[framework].draws else CARRIED
    if LOSS_INPUTS[config.loss_input].instead:  # another loss stands in, with its own epsilon
        carried = carried | {"epsilon"}
    if "has no optimizer" in told:  # the nearest takes the steps, and may have fewer settings
        carried = carried | {"momentum", "beta_2", "optimizer_epsilon"}
    if config.batch_size == 1:  # its variance is 0 either way
        carried = carried | {"norm_variance"}
    for name in config.differences().keys() - DATA - carried:
        try:
            other = replace(config, **{name: getattr(RunConfig, name)})
        except ValueError:  # the default does not fit the rest
            continue
        if other != config:
            assert _lines(script(other, framework)) != _lines(written), name


def _lines(written: Any) -> tuple[Any, ...]:
    return written.cells, written.cannot


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_notebook_has_the_script_s_lines(framework: str) -> None:
    document = json.loads(notebook(DIGITS, framework))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in document["cells"]]
    assert len({*names}) == len(names)
    code = ["".join(c["source"]) for c in document["cells"] if c["cell_type"] == "code"]
    text = script(DIGITS, framework).text
    assert all(cell in text for cell in code) and len(code) > 5
    assert all(
        {"metadata", "outputs", "execution_count"} <= {*c}
        for c in document["cells"][2::2]
        if c["cell_type"] == "code"
    )


# The commands


def written(folder: Path, values: Any) -> str:
    path = folder / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return str(path)


BAD = [
    ("{", "not JSON"),
    ("[1]", "a run is written as"),
    ({"losss": "clip"}, "'losss' is no setting"),
    ({"epsilon": "2"}, "epsilon is '2'; allowed is a number from"),
    ({"loss": "clop"}, "loss is 'clop'; allowed are"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
@pytest.mark.parametrize("main", [run_command.main, export_command.main], ids=["run", "export"])
def test_bad_settings_are_told_with_status_2(
    values: Any, message: str, main: Callable[..., int], tmp_path: Path, capsys: Any
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([written(tmp_path, values), "--out", str(tmp_path / "out")])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_command.main([str(tmp_path / "none.json")])
    assert "none.json" in capsys.readouterr().err


def test_a_run_without_a_screen(tmp_path: Path, capsys: Any) -> None:
    assert run_command.main([written(tmp_path, DIGITS.differences())]) == 0
    out, err = capsys.readouterr()
    run = json.loads(out)
    assert (
        RunConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in run["config"].items()})
        == DIGITS
    )
    looks = trained(DIGITS)
    assert [look["loss"] for look in run["looks"]] == [look.loss for look in looks]
    assert [look["test_accuracy"] for look in run["looks"]] == [s.test_accuracy for s in looks]
    np.testing.assert_array_equal(
        [look["gradient_norms"] for look in run["looks"]], [s.gradient_norms for s in looks]
    )
    assert f"step {DIGITS.steps} of {DIGITS.steps}" in err


def test_nan_in_json_is_text() -> None:
    look = trained(DIGITS)[0]._replace(loss=float("nan"), train_accuracy=float("inf"))
    found = run_command.as_json(DIGITS, [look])["looks"][0]
    assert (found["loss"], found["train_accuracy"]) == ("NaN", "inf")


def test_exported_files_are_those_of_the_functions(tmp_path: Path) -> None:
    assert export_command.main(["question", "--framework", "jax", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run.py", "run.ipynb", "data.npz"}
    assert (tmp_path / "run.py").read_text() == script(RunConfig(), "jax").text
    assert (tmp_path / "run.ipynb").read_text() == notebook(RunConfig(), "jax")


def test_what_no_script_has_is_said_in_its_place() -> None:
    config = replace(NORMED, batch_size=1)
    written = script(config, "torch")
    assert not written.whole and "refuses a batch of one" in written.cannot[0]
    with pytest.raises(SystemExit, match="refuses a batch of one"):
        exec(compile(written.text, "script", "exec"), {})
    assert script(config, "jax").whole and script(config, "keras").whole
