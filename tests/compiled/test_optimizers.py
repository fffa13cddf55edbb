"""The optimizers against what real frameworks' optimizers did, and against optax bit by bit."""

import csv
import gzip
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from core.parts.activations import ACTIVATIONS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.initializers import INITIALIZERS
from core.parts.models import MODELS, parameter_names
from core.parts.normalisations import NORMALISATIONS
from core.parts.optimizers import OPTIMIZERS, SETTINGS, Optimizer
from core.parts.rules import Settings
from tests.kit import ROOT

# A weight's path along given gradients, as real optimizers took it


def spike() -> np.ndarray:
    """1, -1, 1, ... with a fifth gradient of 10,000."""
    gradients = np.resize([1.0, -1.0], 20)
    gradients[4] = 1e4
    return gradients


PROBLEMS = {
    "constant_1e-3": np.full(20, 1e-3), "tiny_1e-9": np.full(20, 1e-9), "alternating_spike": spike()
}  # fmt: skip
RATE = 0.01  # of every trajectory

KERAS = ("keras-jax", "keras-tensorflow", "keras-torch", "tf_keras")
LEGACY, TF1, JAX = "tf_keras.legacy", "tf.compat.v1.train", "jax.example_libraries"
TF = ("keras-tensorflow", "tf_keras", LEGACY, TF1)  # rounds beta_2 to float32, even in float64
# Framework and optimizer -> our row, and its settings where they are not the row's own.
ROWS: dict[tuple[str, str], tuple[str, dict[str, float]]] = {
    **{(framework, name): (key, changes) for framework in (*KERAS, LEGACY) for name, key, changes in
       (("SGD", "momentum_keras", {"momentum": 0.0}), ("Adam", "adam_keras", {}),
        ("AdamW", "adam_keras", {"weight_decay": 0.004}), ("RMSprop", "rmsprop_keras", {}),
        ("Adagrad", "adagrad_keras", {}), ("Nadam", "nadam_keras", {}),
        ("Adadelta", "adadelta", {"beta_2": 0.95, "optimizer_epsilon": 1e-7}))},
    (LEGACY, "Adagrad"): ("adagrad", {"optimizer_epsilon": 1e-7}),
    (LEGACY, "RMSprop"): ("rmsprop", {"beta_2": 0.9, "optimizer_epsilon": 1e-7}),
    ("torch", "SGD"): ("momentum", {"momentum": 0.0}), ("torch", "Adam"): ("adam", {}),
    ("torch", "AdamW"): ("adam", {"weight_decay": 0.01}), ("torch", "RMSprop"): ("rmsprop", {}),
    ("torch", "Adagrad"): ("adagrad", {}), ("torch", "NAdam"): ("nadam", {}),
    ("torch", "Adadelta"): ("adadelta", {}), ("optax", "sgd"): ("momentum", {"momentum": 0.0}),
    ("optax", "adam"): ("adam", {}), ("optax", "adamw"): ("adam", {"weight_decay": 1e-4}),
    ("optax", "nadam"): ("nadam_optax", {}), ("optax", "adagrad"): ("adagrad_keras", {}),
    ("optax", "rmsprop"): ("rmsprop_keras", {"optimizer_epsilon": 1e-8}),
    ("optax", "adadelta"): ("adadelta", {}), (TF1, "GradientDescentOptimizer"): ("sgd", {}),
    (TF1, "MomentumOptimizer"): ("momentum", {}), (TF1, "RMSPropOptimizer"): ("rmsprop_tf1", {}),
    (TF1, "AdamOptimizer"): ("adam_keras", {"optimizer_epsilon": 1e-8}),
    (TF1, "AdagradOptimizer"): ("adagrad_keras", {"optimizer_epsilon": 0.0}),
    (TF1, "AdadeltaOptimizer"): ("adadelta", {"beta_2": 0.95, "optimizer_epsilon": 1e-8}),
    (JAX, "sgd"): ("sgd", {}), (JAX, "momentum"): ("momentum", {}),
    (JAX, "nesterov"): ("nesterov", {}), (JAX, "adam"): ("adam", {}),
    (JAX, "rmsprop"): ("rmsprop_keras", {"optimizer_epsilon": 1e-8}),
}  # fmt: skip
# What turns a row into another one.
FORMS = {
    "nesterov": {"momentum": "nesterov", "momentum_keras": "nesterov_keras"},
    "use_nesterov": {"momentum": "nesterov"},
    "dampening": {"momentum": "averaged"},
    "centered": {
        "rmsprop": "rmsprop_centered",
        "rmsprop_keras": "rmsprop_keras_centered",
        "rmsprop_tf1": "rmsprop_keras_centered",
    },
    "eps_in_sqrt": {"rmsprop_keras": "rmsprop"},
}
NAMES = {
    "momentum": "momentum", "mass": "momentum", "rho": "beta_2", "decay": "beta_2",
    "epsilon": "optimizer_epsilon", "eps": "optimizer_epsilon", "weight_decay": "weight_decay",
}  # fmt: skip
STARTS = ("initial_accumulator_value", "initial_scale")  # of the first memory
BEGINS = {(LEGACY, "Adagrad"): 0.1, (TF1, "RMSPropOptimizer"): 1.0}
Case = tuple[str, str, str, str, str]  # framework, optimizer, settings, problem, number format


def _cases() -> dict[Case, np.ndarray]:
    """The weight before the first step and after each."""
    with gzip.open(ROOT / "tests/oracles/optimizers.csv.gz", "rt", newline="") as file:
        lines = list(csv.reader(file))[1:]
    paths: dict[Case, list[float]] = {}
    for framework, _, *case, _, weight in lines:
        paths.setdefault((framework, *case), []).append(float(weight))  # type: ignore[arg-type]
    return {case: np.array(path) for case, path in paths.items()}


CASES = _cases()


def inexpressible(case: Case) -> bool:
    """Whether a trajectory's optimizer is none of ours, with any settings."""
    framework, optimizer, settings, *_ = case  # jax's Adagrad has a momentum
    return (framework, optimizer) == (JAX, "adagrad") or settings == "bias_correction=True"


def ours(case: Case) -> tuple[Optimizer, dict[str, float], str]:
    """Our row for a case, its numbers, and the form of its weight decay."""
    framework, optimizer, text, *_ = case
    key, numbers = ROWS[framework, optimizer]
    numbers = {**{name: OPTIMIZERS[key].own(name) or 0.0 for name in SETTINGS}, **numbers}
    start = BEGINS.get((framework, optimizer))
    if (framework, optimizer) == (LEGACY, "RMSprop") and "momentum" in text:
        key = "rmsprop_keras"  # it has two forms
    for setting in text.split(";"):
        name, _, value = setting.partition("=")
        if name in NAMES:
            numbers[NAMES[name]] = float(value)
        elif name in STARTS:
            start = float(value)
        elif name not in ("defaults", "w0"):
            key = FORMS[name][key]
    row = OPTIMIZERS[key] if start is None else replace(OPTIMIZERS[key], first_square=start)
    in_gradient = framework == "torch" and optimizer != "AdamW"
    decay = "off" if "weight_decay" not in numbers else "l2" if in_gradient else "decoupled"
    return row, numbers, decay


def settings_of(numbers: dict[str, float], dtype: Any) -> Settings:
    beta_1, beta_2, epsilon = (numbers[name] for name in SETTINGS)
    each = (RATE, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon)
    wide = jnp.promote_types(dtype, jnp.float32)
    powers = (jnp.asarray(number, wide) for number in (beta_1, beta_2))
    return Settings(*(jnp.asarray(number, dtype) for number in each), *powers)


@cache
def path_of(row: Optimizer, decay_form: str) -> Any:
    """(settings, decay, first weight, gradients) -> the weight after each step, compiled."""
    form = DECAY_FORMS[decay_form]

    def path(settings: Settings, decay: Any, w: Any, gradients: Any) -> Any:
        def step(carry: Any, gradient: Any) -> Any:
            w, slots = carry
            gradient = form.gradient(gradient, w, decay)
            step, slots = row.step(gradient, slots, settings)
            w = w - form.step(step, w, decay, settings.rate)
            return (w, slots), w

        return lax.scan(step, (w, row.init(w)), gradients)[1]

    return jax.jit(path)


def walked(case: Case) -> np.ndarray:
    row, numbers, decay_form = ours(case)
    *_, problem, dtype = case
    with jax.enable_x64(dtype == "float64"):
        path = path_of(row, decay_form)
        first, decay = CASES[case][0], numbers.get("weight_decay", 0.0)
        each = (jnp.asarray(number, dtype) for number in (decay, first, PROBLEMS[problem]))
        return np.asarray(path(settings_of(numbers, dtype), *each), float)


FAMILIES = sorted({case[:2] for case in CASES if not inexpressible(case)})


@pytest.mark.parametrize("family", FAMILIES, ids=" ".join)
def test_a_weight_goes_where_the_real_optimizer_took_it(family: tuple[str, str]) -> None:
    framework, _ = family
    in_float32 = family == ("torch", "NAdam")  # keeps the product of its momenta so
    rtol = 7e-6 if framework in TF else 5e-8 if in_float32 else 1e-9
    for case in (each for each in CASES if each[:2] == family and not inexpressible(each)):
        start, *expected = CASES[case]
        moved, far = walked(case) - start, np.subtract(expected, start)
        tolerance = {"rtol": rtol} if case[-1] == "float64" else {"atol": 3e-4 * np.abs(far).max()}
        np.testing.assert_allclose(moved, far, **{"rtol": 0, **tolerance}, err_msg=str(case))


def test_few_optimizers_are_none_of_ours() -> None:
    others = [case for case in CASES if inexpressible(case)]
    assert (len(CASES), len(others)) == (361, 8)


# The same numbers as optax, which computes with Python's numbers instead of traced ones

OPTAX: dict[str, Any] = {
    "sgd": lambda b1, b2, eps: optax.identity(),
    "momentum": lambda b1, b2, eps: optax.trace(b1),
    "nesterov": lambda b1, b2, eps: optax.trace(b1, nesterov=True),
    "adam": lambda b1, b2, eps: optax.scale_by_adam(b1, b2, eps),
    "lion": lambda b1, b2, eps: optax.scale_by_lion(b1, b2),
}


def gradients_like(shape: tuple[int, ...], dtype: Any) -> Any:
    """Ten steps' gradients of many sizes, some of them exactly 0."""
    random = np.random.default_rng(0)
    drawn = random.normal(0, 1, (10, *shape)) * 10.0 ** random.integers(-6, 2, (10, *shape))
    return jnp.asarray(np.where(random.random((10, *shape)) < 0.1, 0, drawn), dtype)


# In float16, XLA leaves out the addition of Adam's own epsilon, which optax gives it as 0.
@pytest.mark.parametrize(
    ("dtype", "other"),
    [("float32", False), ("float32", True), ("float64", False), ("bfloat16", False),
     ("float16", True)],
)  # fmt: skip
@pytest.mark.parametrize("key", OPTAX)
def test_steps_are_optax_s_to_the_bit(key: str, dtype: str, other: bool) -> None:
    row = OPTIMIZERS[key]
    numbers = {name: row.own(name) or 0.0 for name in SETTINGS}
    if other:
        numbers = {"momentum": 0.937, "beta_2": 0.983, "optimizer_epsilon": 3e-5}
    with jax.enable_x64(dtype == "float64"):
        peer, gradients = OPTAX[key](*numbers.values()), gradients_like((8, 30), dtype)
        settings = settings_of(numbers, dtype)

        @jax.jit
        def ours(gradients: Any, settings: Settings) -> Any:
            def step(slots: Any, gradient: Any) -> Any:
                step, slots = row.step({"w": gradient}, slots, settings)
                return slots, step["w"]

            return lax.scan(step, row.init({"w": gradients[0]}), gradients)[1]

        @jax.jit
        def theirs(gradients: Any, rate: Any) -> Any:
            def step(slots: Any, gradient: Any) -> Any:
                update, slots = peer.update({"w": gradient}, slots)
                return slots, rate.astype(dtype) * update["w"]

            return lax.scan(step, peer.init({"w": gradients[0]}), gradients)[1]

        one, other_one = ours(gradients, settings), theirs(gradients, settings.rate)
        assert one.dtype == dtype
        np.testing.assert_array_equal(*(np.asarray(each, float) for each in (one, other_one)))


def test_adamw_and_clipping_are_optax_s() -> None:
    random = np.random.default_rng(1)
    params = {name: jnp.asarray(random.normal(0, 1, 50), jnp.float32) for name in "wb"}
    gradients = {name: jnp.asarray(random.normal(0, 3, 50), jnp.float32) for name in "wb"}
    row, decay, most = OPTIMIZERS["adam"], jnp.float32(0.1), jnp.float32(2)
    clips = {
        "off": optax.identity(), "global_norm": optax.clip_by_global_norm(2.0),
        "global_norm_torch": optax.clip_by_global_norm(2.0),
        "each_norm": optax.partition({name: optax.clip_by_global_norm(2.0) for name in "wb"},
                                     {name: name for name in "wb"}),
    }  # fmt: skip
    assert clips.keys() == set(CLIP_FORMS)
    for clip_form, clip in clips.items():
        for size in (1, 0.01):  # above the longest norm, and below
            given = jax.tree.map(lambda g, size=size: g * size, gradients)
            ours, theirs = (
                CLIP_FORMS[clip_form].clip(given, most),
                clip.update(given, clip.init(given))[0],
            )
            for name in "wb":
                np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-6)
                if size < 1:
                    np.testing.assert_array_equal(ours[name], given[name])
    for form, peer in {
        "off": optax.adam(RATE),
        "decoupled": optax.adamw(RATE, weight_decay=0.1),
        "l2": optax.chain(optax.add_decayed_weights(0.1), optax.adam(RATE)),
    }.items():
        numbers = {name: row.own(name) or 0.0 for name in SETTINGS}
        settings = settings_of(numbers, jnp.float32)
        decayed = DECAY_FORMS[form].gradient(gradients, params, decay)
        steps, _ = row.step(decayed, row.init(params), settings)
        ours = DECAY_FORMS[form].step(steps, params, decay, settings.rate)
        theirs, _ = peer.update(gradients, peer.init(params), params)
        for name in "wb":
            np.testing.assert_allclose(-ours[name], theirs[name], rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_penalty_of_kernels_is_optax_s_of_a_mask(model: str) -> None:
    drawn, active, norm = (
        INITIALIZERS["keras"].drawing(),
        ACTIVATIONS["relu"],
        NORMALISATIONS["batch_norm"],
    )
    init, *_ = MODELS[model].build((1, 4), 10, drawn, active, norm)
    _, params = jax.eval_shape(lambda key: init(key, (2, 784)), jax.random.PRNGKey(0))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda w: jnp.asarray(random.normal(0, 1, w.shape), w.dtype), params)
    kernels = [name.endswith(("weights", "inputs", "states")) for name in parameter_names(params)]
    peer = optax.add_decayed_weights(0.2, jax.tree.unflatten(jax.tree.structure(params), kernels))
    still = jax.tree.map(jnp.zeros_like, params)
    ours = DECAY_FORMS["l2_kernels"].gradient(still, params, jnp.float32(0.1))
    theirs, _ = peer.update(still, peer.init(params), params)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), ours, theirs)
    assert 0 < sum(kernels) < len(kernels)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("key", OPTIMIZERS)
def test_the_number_format_is_kept(key: str, dtype: str) -> None:
    row = OPTIMIZERS[key]
    params = [(jnp.ones((3, 2), dtype), jnp.ones(2, dtype)), ()]
    numbers = {name: row.own(name) or 0.0 for name in SETTINGS}
    settings = settings_of(numbers, dtype)
    slots = row.init(params)
    steps, after = jax.eval_shape(row.step, params, slots, settings)
    assert jax.tree.map(lambda a: a.dtype == dtype, steps) == [(True, True), ()]
    types = jax.tree.map(lambda a: (a.shape, a.dtype), (slots, after))
    assert types[0] == types[1]
