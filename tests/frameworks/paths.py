"""Paths: where an optimizer takes weights along given gradients, in each framework and in core."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.optimizers import OPTIMIZERS, SETTINGS
from core.parts.rules import Settings
from tests.frameworks.probe import Observed, array, installed, run

STEPS = 12
CHANGE = 6  # the step at which a schedule takes a tenth of the learning rate
RATE = 0.01  # before
_RNG = np.random.default_rng(0)
_SHAPES = ((2, 3), (2,))  # a kernel and its biases
# Name -> (weights at first, gradients of each step).
CASES = {
    name: ([np.full(s, w) for s in _SHAPES],
           [[size * _RNG.normal(size=s) for s in _SHAPES] for _ in range(STEPS)])
    for name, w, size in (("usual", 1.0, 1.0), ("heavy", 100.0, 1.0), ("tiny", 0.0, 1e-6))
}  # fmt: skip


@contextmanager
def double() -> Iterator[None]:
    """Let JAX compute in float64."""
    with jax.enable_x64(True):
        yield


@contextmanager
def keras_in_double() -> Iterator[Any]:
    """Keras, with float64 for its variables; skips the test without it."""
    keras = installed("keras")
    keras.config.set_floatx("float64")
    try:
        yield keras
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")  # a layer may have made it float64


def observed(cases: tuple[str, ...], scheduled: bool) -> Callable[[str, str], Observed]:
    """Return a probe's `observe` for code that makes an `optimizer`.

    If `scheduled`, PyTorch's learning rate is changed at CHANGE; others are given a schedule.
    """

    return lambda framework, code: _observed(DRIVERS[framework], code, cases, scheduled)


@cache
def _observed(driver: Any, code: str, cases: tuple[str, ...], scheduled: bool) -> Observed:
    with double():
        return [
            array(_flat(moved)) - _flat(CASES[name][0])
            for name in cases
            for moved in driver(code, *CASES[name], scheduled)
        ]


def _flat(weights: Any) -> np.ndarray:
    return np.concatenate([array(w).ravel() for w in weights])


def _keras(code: str, weights: Any, gradients: Any, scheduled: bool) -> Iterator[Any]:
    with keras_in_double() as keras:
        variables = [keras.Variable(w) for w in weights]
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [CHANGE - 1], [RATE, RATE / 10]
        )
        model = SimpleNamespace(trainable_variables=variables)
        space = run(code, model=model, schedule=schedule)
        penalties = _penalties(space["layer"]) if "layer" in space else [None] * len(variables)
        optimizer = space["optimizer"] if "optimizer" in space else keras.optimizers.Adam()
        for step in gradients:
            pulls = [
                g if penalty is None else g + jax.grad(lambda w, p=penalty: jnp.sum(p(w)))(v.value)
                for g, penalty, v in zip(step, penalties, variables, strict=True)
            ]
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in pulls], variables)
            yield [np.asarray(v.value) for v in variables]


def _penalties(layer: Any) -> list[Any]:
    return [layer.kernel_regularizer, layer.bias_regularizer]


def _torch(code: str, weights: Any, gradients: Any, scheduled: bool) -> Iterator[Any]:
    torch = installed("torch")
    model = torch.nn.Linear(3, 2, dtype=torch.float64)
    with torch.no_grad():
        for w, value in zip(model.parameters(), weights, strict=True):
            w.copy_(torch.tensor(value))
    space = run(code, model=model)
    optimizer = space["optimizer"]
    for i, step in enumerate(gradients):
        if i == CHANGE and scheduled:
            _slower(optimizer, space.get("set_rate"))
        for w, g in zip(model.parameters(), step, strict=True):
            w.grad = torch.tensor(g)
        optimizer.step()
        yield [w.detach().numpy().copy() for w in model.parameters()]


def _slower(optimizer: Any, set_rate: Any) -> None:
    if set_rate:
        set_rate(RATE / 10)
        return
    for group in optimizer.param_groups:
        group["lr"] = RATE / 10


def _optax(code: str, weights: Any, gradients: Any, scheduled: bool) -> Iterator[Any]:
    optax = installed("optax")
    schedule = optax.piecewise_constant_schedule(RATE, {CHANGE: 0.1})
    optimizer = run(code, schedule=schedule)["optimizer"]
    params = [jnp.asarray(w) for w in weights]
    state = optimizer.init(params)

    for step in gradients:
        updates, state = optimizer.update([jnp.asarray(g) for g in step], state, params)
        params = optax.apply_updates(params, updates)
        yield params


def _stax(code: str, weights: Any, gradients: Any, scheduled: bool) -> Iterator[Any]:
    def schedule(i: Any) -> Any:
        return jnp.where(i < CHANGE, RATE, RATE / 10)

    init, update, get_params = run(code, schedule=schedule)["optimizer"]
    state = init([jnp.asarray(w) for w in weights])
    for i, step in enumerate(gradients):
        state = update(i, [jnp.asarray(g) for g in step], state)
        yield get_params(state)


def _tf1(code: str, weights: Any, gradients: Any, scheduled: bool) -> Iterator[Any]:
    tf = installed("tensorflow")
    rate = tf.Variable(RATE, dtype=tf.float64)
    variables = [tf.Variable(w) for w in weights]
    optimizer = run(code, schedule=lambda: rate)["optimizer"]
    for i, step in enumerate(gradients):
        if i == CHANGE:
            rate.assign(RATE / 10)
        optimizer.apply_gradients(zip(map(tf.constant, step), variables, strict=True))
        yield [v.numpy() for v in variables]


DRIVERS: Mapping[str, Callable[[str, Any, Any, bool], Iterator[Any]]] = {
    "keras": _keras, "torch": _torch, "flax": _optax, "equinox": _optax, "stax": _stax, "tf1": _tf1
}  # fmt: skip


def of_settings(settings: Mapping[str, Any], cases: tuple[str, ...]) -> Observed:
    """The paths of core's own rules.

    Besides fields of a RunConfig, `settings` may have `first_square`, what the first memory starts
    at, and `scheduled`.
    """
    with double():
        return [
            _flat(moved) - _flat(CASES[name][0])
            for name in cases
            for moved in _ours(settings, *CASES[name])
        ]


def _ours(settings: Mapping[str, Any], weights: Any, gradients: Any) -> Iterator[Any]:
    row = OPTIMIZERS[settings.get("optimizer", "adam_keras")]
    if "first_square" in settings:
        row = replace(row, first_square=settings["first_square"])
    if (form := settings.get("decay_form", "off")) not in DECAY_FORMS:
        pytest.skip(f"core has no {form} yet")  # TODO: remove once it has
    decay_form = DECAY_FORMS[form]
    clip = CLIP_FORMS[settings.get("clip_form", "off")].clip
    decay = jnp.asarray(settings.get("weight_decay", 0.01))
    params = [jnp.asarray(w) for w in weights]
    slots = row.init(params)

    for i, step in enumerate(gradients):
        slow = settings.get("scheduled") and i >= CHANGE
        rate = settings.get("learning_rate", 0.001) * (0.1 if slow else 1.0)
        beta_1, beta_2, epsilon = (
            settings.get(name) if settings.get(name) is not None else row.own(name) or 0.0
            for name in SETTINGS
        )
        numbers = Settings(
            *map(jnp.asarray, (rate, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon)),
            jnp.asarray(beta_1),
            jnp.asarray(beta_2),
        )
        step = clip([jnp.asarray(g) for g in step], jnp.asarray(settings.get("clip_norm", 1.0)))
        step = decay_form.gradient(step, params, decay)
        taken, slots = row.step(step, slots, numbers)
        taken = decay_form.step(taken, params, decay, numbers.rate)
        params = jax.tree.map(jnp.subtract, params, taken)
        yield params
