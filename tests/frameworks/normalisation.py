"""Probes of normalisation: layers given three batches, against NumPy."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from core.study.atlas.piece import Settings
from core.study.atlas.pieces import PIECES
from tests.frameworks.probe import Observed, Probe, array, installed, run

_RNG = np.random.default_rng(2)
# Three batches of 8 with 4 numbers each, of which the first hardly varies.
BATCHES = [
    (_RNG.normal(size=(8, 4)) * [0.03, 1, 1, 2] + [0, 1, 2, 3]).astype(np.float32) for _ in range(3)
]
TEST = BATCHES[0][:5] + np.float32(0.1)
NUMBERS = (_RNG.normal(size=(5, 12)) * [[0.01], [1], [1], [1], [1]]).astype(np.float32)


class Trained(NamedTuple):
    """What a layer gave for the last batch, and how it goes on from there."""

    y: Any
    running: list[Any]  # mean and variance
    names: dict[str, Any]  # for code that tests the layer


def _keras(code: str) -> Trained:
    layer = run(code)["layer"]
    y = [layer(jnp.asarray(x), training=True) for x in BATCHES][-1]
    running = [layer.moving_mean.value, layer.moving_variance.value]
    return Trained(y, running, {"layer": layer, "x": jnp.asarray(TEST)})


def _torch(code: str) -> Trained:
    torch = installed("torch")
    layer = run(code)["layer"]
    y = [layer(torch.tensor(x)) for x in BATCHES][-1]
    running = [layer.running_mean.clone(), layer.running_var.clone()]
    return Trained(y, running, {"layer": layer, "x": torch.tensor(TEST)})


def _flax(code: str) -> Trained:
    layer = run(code)["layer"]
    variables = layer.init(jax.random.key(0), BATCHES[0], use_running_average=True)
    for x in BATCHES:
        y, moved = layer.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
        variables = {**variables, **moved}
    stats = variables["batch_stats"]
    names = {"layer": layer, "variables": variables, "x": jnp.asarray(TEST)}
    return Trained(y, [stats["mean"], stats["var"]], names)


def _equinox(code: str) -> Trained:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*mode", UserWarning)
        names = run(code)
    layer, state = names["layer"], names["state"]
    for x in BATCHES:
        each = jax.vmap(layer, (0, None), (0, None), axis_name="batch")
        y, state = each(jnp.asarray(x), state)
    index = layer.ema_state_index or layer.batch_state_index
    running = list(state.get(index))
    return Trained(y, running, {"layer": layer, "state": state, "x": jnp.asarray(TEST)})


def _stax(code: str) -> Trained:
    init, apply = run(code)["layer"]
    _, params = init(jax.random.key(0), (-1, 4))
    y = apply(params, BATCHES[-1])
    return Trained(y, [], {"apply": apply, "params": params, "x": jnp.asarray(TEST)})


TRAIN: dict[str, Callable[[str], Trained]] = {
    "keras": _keras, "torch": _torch, "flax": _flax, "equinox": _equinox, "stax": _stax
}  # fmt: skip


def _settings(piece: str, value: str) -> Settings:
    """What makes a run do what a value says."""
    settings = PIECES[piece].values[value].settings
    assert settings is not None
    return settings


def _own(name: str, framework: str) -> Any:
    """A number of a framework's own, which is what the atlas says of it."""
    piece = {"norm_momentum": "batch_norm_momentum", "norm_epsilon": "batch_norm_epsilon",
             "norm_variance": "batch_norm_variance"}[name]  # fmt: skip
    default = PIECES[piece].defaults.get(framework)
    return default and _settings(piece, default.value)[name]


def _run_averages(momentum: float, variance: str, *, from_first: bool) -> Observed:
    mean, square = np.zeros(4), np.ones(4)
    for i, x in enumerate(BATCHES):
        keep = 0.0 if from_first and i == 0 else momentum
        mean = keep * mean + (1 - keep) * x.mean(0)
        square = keep * square + (1 - keep) * x.var(0, ddof=variance == "unbiased")
    return [mean, square]


def _normalised(x: np.ndarray, mean: Any, square: Any, epsilon: float) -> np.ndarray:
    return (x - mean) / np.sqrt(square + epsilon)


def _averages(piece: str) -> Probe:
    """Running averages, of which a value gives some and the framework's own the rest."""

    def expect(value: str, framework: str) -> Observed:
        own = {name: _own(name, framework) for name in ("norm_momentum", "norm_variance")}
        own |= _settings(piece, value)
        return _run_averages(
            own["norm_momentum"], own["norm_variance"], from_first=framework == "equinox"
        )

    return Probe(
        bare=_BARE, observe=lambda framework, code: _of(TRAIN[framework](code).running),
        expect=expect,
    )  # fmt: skip


def _of(arrays: list[Any]) -> Observed:
    return [array(x) for x in arrays]


def _expect_epsilon(value: str, framework: str) -> Observed:
    x, numbers = BATCHES[-1], _settings("batch_norm_epsilon", value)
    mean, square = x.mean(0), x.var(0)
    if framework == "equinox":
        mean, square = _run_averages(_own("norm_momentum", framework), "biased", from_first=True)
    return [_normalised(x, mean, square, numbers["norm_epsilon"])]


def _expect_training(value: str, framework: str) -> Observed:
    x, epsilon = BATCHES[-1], _own("norm_epsilon", framework)
    averages = _run_averages(0.99, "biased", from_first=True)
    return [_normalised(x, *((x.mean(0), x.var(0)) if value == "batch" else averages), epsilon)]


def _observe_test(framework: str, code: str) -> Observed:
    bare = _BARE[framework].replace('"batch")', '"batch", mode="ema")')
    trained = TRAIN[framework](bare)
    running = trained.running or [np.zeros(4), np.ones(4)]
    y = array(run(code, **trained.names)["y"])
    epsilon = _own("norm_epsilon", framework)
    # Whether it is what running averages give, and what the test batch's own give.
    given = [(array(running[0]), array(running[1])), (TEST.mean(0), TEST.var(0))]
    return [np.array([np.allclose(y, _normalised(TEST, *each, epsilon), atol=1e-3)
                      for each in given], float)]  # fmt: skip


def _pair(value: str, framework: str) -> Observed:
    number = _settings("batch_norm", value)
    x = BATCHES[-1]
    mean, square = _run_averages(number["norm_momentum"], number["norm_variance"], from_first=False)
    return [_normalised(x, x.mean(0), x.var(0), number["norm_epsilon"]), mean, square]


def _observe_all(framework: str, code: str) -> Observed:
    trained = TRAIN[framework](code)
    return _of([trained.y, *trained.running])


def _layer_norm(framework: str, code: str) -> Observed:
    """What a LayerNorm makes of NUMBERS; a mark if it refuses."""
    space: dict[str, Any] = {}
    try:
        space = run(code)
        layer = space["layer"]
        if framework == "torch":
            return _of([layer(installed("torch").tensor(NUMBERS))])
        if framework == "flax":
            return _of([layer.apply(layer.init(jax.random.key(0), NUMBERS), NUMBERS)])
        if framework == "equinox":
            return _of([jax.vmap(layer)(jnp.asarray(NUMBERS))])
        return _of([layer(jnp.asarray(NUMBERS))])
    except (ValueError, IndexError):
        return [np.full(NUMBERS.shape, -99.0)]


def _layer_normed(epsilon: float) -> Observed:
    mean, square = (f(NUMBERS, 1, keepdims=True) for f in (np.mean, np.var))
    return [_normalised(NUMBERS, mean, square, epsilon)]


_BARE = {
    "keras": "layer = keras.layers.BatchNormalization()",
    "torch": "layer = torch.nn.BatchNorm1d(4)",
    "flax": "layer = flax.linen.BatchNorm()",
    "equinox": 'layer, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(4, "batch")',
    "stax": "layer = stax.BatchNorm(0)",
}
_NUMBER = {
    "keras": "layer = keras.layers.BatchNormalization(momentum=0.99)",
    "torch": "layer = torch.nn.BatchNorm1d(4, momentum=0.99)",
    "flax": "layer = flax.linen.BatchNorm(momentum=0.99)",
    "equinox": "layer, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(\n"
    '    4, "batch", momentum=0.99)',
}
_LAYER = {
    "keras": "layer = keras.layers.LayerNormalization()",
    "torch": "layer = torch.nn.LayerNorm(12)",
    "flax": "layer = flax.linen.LayerNorm()",
    "equinox": "layer = equinox.nn.LayerNorm(12)",
}
_ARGUMENT = {
    "keras": "layer = keras.layers.LayerNormalization(12)",
    "torch": "layer = torch.nn.LayerNorm(12)",
    "flax": "layer = flax.linen.LayerNorm(12)",
    "equinox": "layer = equinox.nn.LayerNorm(12)",
}


def _expect_argument(value: str, framework: str) -> Observed:
    if value == "axis":
        return [np.full(NUMBERS.shape, -99.0)]
    own = {"keras": 1e-3, "torch": 1e-5, "flax": 1e-6, "equinox": 1e-5}[framework]
    return _layer_normed(12.0 if value == "epsilon" else own)


PROBES = {
    "batch_norm_momentum": _averages("batch_norm_momentum"),
    "batch_norm_number": Probe(
        bare=_NUMBER,
        observe=_averages("batch_norm_number").observe,
        expect=_averages("batch_norm_number").expect,
    ),
    "batch_norm_variance": _averages("batch_norm_variance"),
    "batch_norm_epsilon": Probe(
        bare=_BARE,
        observe=lambda framework, code: _of([TRAIN[framework](code).y]),
        expect=_expect_epsilon,
        rtol=1e-4,
    ),
    "batch_norm_in_training": Probe(
        bare=_BARE,
        observe=lambda framework, code: _of([TRAIN[framework](code).y]),
        expect=_expect_training,
        rtol=1e-4,
    ),
    "batch_norm_at_test": Probe(
        bare={"keras": "y = layer(x)", "torch": "y = layer(x)", "stax": "y = apply(params, x)"},
        observe=_observe_test,
        expect=lambda value, framework: [np.array([value == "running", value == "batch"], float)],
    ),
    "batch_norm": Probe(bare=_BARE, observe=_observe_all, expect=_pair, rtol=1e-4),
    "layer_norm_epsilon": Probe(
        bare=_LAYER,
        observe=_layer_norm,
        expect=lambda value, framework: _layer_normed(float(value)),
        rtol=1e-4,
    ),
    "layer_norm_argument": Probe(
        bare=_ARGUMENT, observe=_layer_norm, expect=_expect_argument, rtol=1e-4
    ),
}
