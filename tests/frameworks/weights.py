"""Probes of initial weights: how a layer's are spread, against those that core draws."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from core.parts.initializers import INITIALIZERS
from core.study.atlas.pieces import PIECES
from tests.frameworks.probe import Observed, Probe, array, installed, run

INPUTS, UNITS = 784, 512


def observe(framework: str, code: str) -> Observed:
    """The statistics of a layer's weights and biases."""
    return statistics(*map(array, _LAYERS[framework](code)))


def statistics(weights: np.ndarray, biases: np.ndarray) -> Observed:
    """Spread, what is furthest from 0 and kurtosis of weights, and the spread of biases.

    A uniform draw has a kurtosis of 1.80, a normal one of 3, and of 2.36 if what is beyond two
    spreads was drawn again.
    """
    spread, furthest = weights.std(), np.abs(weights).max()
    kurtosis = ((weights - weights.mean()) ** 4).mean() / spread**4
    bounded = furthest if kurtosis < 2.7 else 0.0  # else it is another one in each draw
    # A few hundred biases give their spread to within 3%, its fifth root to within less than 1%.
    return [np.array(x) for x in (spread, bounded, kurtosis, biases.std() ** 0.2)]


def _keras(code: str) -> tuple[object, object]:
    keras = installed("keras")
    keras.utils.set_random_seed(1)
    layer = run(code)["layer"]
    layer.build((None, INPUTS))
    return layer.kernel.value, layer.bias.value


def _torch(code: str) -> tuple[object, object]:
    installed("torch").manual_seed(1)
    layer = run(code)["layer"]
    assert tuple(layer.weight.shape) == (UNITS, INPUTS)
    return layer.weight, layer.bias


def _flax(code: str) -> tuple[object, object]:
    layer = run(code)["layer"]
    params = layer.init(jax.random.key(1), jnp.zeros((1, INPUTS)))["params"]
    return params["kernel"], params["bias"]


def _equinox(code: str) -> tuple[object, object]:
    layer = run(code, key=jax.random.key(1))["layer"]
    assert layer.weight.shape == (UNITS, INPUTS)
    return layer.weight, layer.bias


def _stax(code: str) -> tuple[object, object]:
    init, _ = run(code)["layer"]
    _, (weights, biases) = init(jax.random.key(1), (-1, INPUTS))
    return weights, biases


def _tf1(code: str) -> tuple[object, object]:
    tf = installed("tensorflow")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        names = run(code)
        session.run(tf.compat.v1.global_variables_initializer())
        weights, biases = session.run([names["weights"], names["biases"]])
    return weights, biases


_LAYERS = {
    "keras": _keras, "torch": _torch, "flax": _flax, "equinox": _equinox, "stax": _stax, "tf1": _tf1
}  # fmt: skip


def _probe(piece: str, bare: dict[str, str]) -> Probe:
    def expect(value: str, framework: str) -> Observed:
        key = (PIECES[piece].values[value].settings or {}).get("initializer")
        if key is None:
            return _drawn("pytorch", spread=0.01)
        return _drawn(key)

    return Probe(bare=bare, observe=observe, expect=expect, rtol=0.03)


@cache
def _drawn(key: str, *, spread: float | None = None) -> Observed:
    """The statistics of what core draws, with normal biases if they have a spread of their own."""
    if key not in INITIALIZERS:
        pytest.skip(f"core has no {key} yet")  # TODO: remove once it has
    row, (one, two) = INITIALIZERS[key], jax.random.split(jax.random.key(0))
    biases = row.biases(INPUTS) if spread is None else jax.nn.initializers.normal(spread)
    return statistics(
        array(row.weights(one, (INPUTS, UNITS), jnp.float32)),
        array(biases(two, (UNITS,), jnp.float32)),
    )


_LIKE_TORCH = 'VarianceScaling(1 / 3, "fan_in", "uniform")'
_SCALED = 'jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")'
PROBES = {
    "dense_start": _probe(
        "dense_start",
        {
            "keras": "layer = keras.layers.Dense(512)",
            "torch": "layer = torch.nn.Linear(784, 512)",
            "flax": "layer = flax.linen.Dense(512)",
            "equinox": "layer = equinox.nn.Linear(784, 512, key=key)",
            "stax": "layer = stax.Dense(512)",
        },
    ),
    "biases": _probe(
        "biases",
        {
            "keras": "layer = keras.layers.Dense(\n"
            f"    512, kernel_initializer=keras.initializers.{_LIKE_TORCH})",
            "torch": "layer = torch.nn.Linear(784, 512)",
            "flax": f"layer = flax.linen.Dense(512, kernel_init={_SCALED})",
            "equinox": "layer = equinox.nn.Linear(784, 512, key=key)",
            "stax": f"layer = stax.Dense(512, W_init={_SCALED})",
        },
    ),
    "biases_by_hand": _probe("biases_by_hand", {}),
}


# Convolutions, embeddings and GRUs: spread and kurtosis of each array


def _arrays(framework: str, code: str, x: tuple[int, ...]) -> Observed:
    """Spread and kurtosis of each array of a layer that reads x; biases give their spread only."""
    return [each for w in _of_layer(framework, code, x) for each in _shape_of(array(w))]


def _shape_of(w: np.ndarray) -> Observed:
    if np.ndim(np.squeeze(w)) < 2:
        return [np.array(w.std() ** 0.2)]
    return [np.array(w.std()), np.array(((w - w.mean()) ** 4).mean() / w.std() ** 4)]


def _of_layer(framework: str, code: str, x: tuple[int, ...]) -> list[object]:
    """The weights of inputs first, then those of a state, and biases."""
    names = {"key": jax.random.key(1)}
    if framework == "torch":
        installed("torch").manual_seed(1)
        parameters = dict(run(code)["layer"].named_parameters())
        biases = [w for name, w in parameters.items() if "bias" in name]
        return [w for name, w in parameters.items() if "bias" not in name] + biases[:1]
    if framework == "keras":
        installed("keras").utils.set_random_seed(1)
        layer = run(code)["layer"]
        layer.build(x)
        # A GRU's biases are two rows.
        return [w.value[0] if w.name == "bias" and "GRU" in code else w.value
                for w in layer.weights]  # fmt: skip
    layer = run(code, **names)["layer"]
    if framework == "flax":
        flax_init = (jnp.zeros((1, 64)),) if "GRU" in code else ()
        dtype = jnp.int32 if "Embed" in code else jnp.float32
        params = layer.init(jax.random.key(1), *flax_init, jnp.zeros(x, dtype))["params"]
        if "GRU" not in code:
            return [params[name] for name in ("embedding", "kernel", "bias") if name in params]
        joined = [
            jnp.concatenate([params[side + gate]["kernel"] for gate in "rzn"], 1) for side in "ih"
        ]
        return [*joined, params["in"]["bias"]]
    if framework == "stax":
        return [*layer[0](jax.random.key(1), x)[1]]
    if hasattr(layer, "weight_ih"):
        return [layer.weight_ih, layer.weight_hh, layer.bias]
    return [w for w in (layer.weight, getattr(layer, "bias", None)) if w is not None]


_NORMAL, _CUT, _UNIFORM = 3.0, 2.36, 1.8  # kurtosis
_CONV_IN, _CONV_OUT = 3 * 3 * 16, 3 * 3 * 64
_THIRD = 3**-0.5  # the spread of a uniform draw, in its bound
_GLOROT = (2 / (_CONV_IN + _CONV_OUT)) ** 0.5


def _fixed(
    bare: dict[str, str], x: tuple[int, ...], expected: dict[str, tuple[float, ...]]
) -> Probe:
    return Probe(
        bare=bare,
        observe=lambda framework, code: _arrays(framework, code, x),
        expect=lambda value, framework: [np.array(number) for number in expected[value]],
        rtol=0.05,
    )


PROBES |= {
    "conv_start": _fixed(
        {
            "keras": "layer = keras.layers.Conv2D(64, 3)",
            "torch": "layer = torch.nn.Conv2d(16, 64, 3)",
            "flax": "layer = flax.linen.Conv(64, (3, 3))",
            "equinox": "layer = equinox.nn.Conv2d(16, 64, 3, key=key)",
            "stax": "layer = stax.Conv(64, (3, 3))",
        },
        (1, 8, 8, 16),
        {
            "glorot_uniform": (_GLOROT, _UNIFORM, 0),
            "uniform": (_THIRD * _CONV_IN**-0.5, _UNIFORM, (_THIRD * _CONV_IN**-0.5) ** 0.2),
            "lecun_normal": (_CONV_IN**-0.5, _CUT, 0),
            "glorot_normal": (_GLOROT, _CUT, 1e-6**0.2),
        },
    ),
    "embedding_start": _fixed(
        {
            "keras": "layer = keras.layers.Embedding(1000, 64)",
            "torch": "layer = torch.nn.Embedding(1000, 64)",
            "flax": "layer = flax.linen.Embed(1000, 64)",
            "equinox": "layer = equinox.nn.Embedding(1000, 64, key=key)",
        },
        (1, 8),
        {
            "uniform": (0.05 * _THIRD, _UNIFORM),
            "normal_1": (1, _NORMAL),
            "normal_features": (64**-0.5, _NORMAL),
        },
    ),
    "gru_start": _fixed(
        {
            "keras": "layer = keras.layers.GRU(64)",
            "torch": "layer = torch.nn.GRU(32, 64)",
            "flax": "layer = flax.linen.GRUCell(64)",
            "equinox": "layer = equinox.nn.GRUCell(32, 64, key=key)",
        },
        (1, 8, 32),
        {
            # An orthogonal matrix of 64 rows and 192 columns has entries of spread 192^-0.5.
            "glorot_joined": ((2 / (32 + 192)) ** 0.5, _UNIFORM, 192**-0.5, _NORMAL, 0),
            "uniform": (_THIRD / 8, _UNIFORM, _THIRD / 8, _UNIFORM, (_THIRD / 8) ** 0.2),
            "lecun_each": (32**-0.5, _CUT, 1 / 8, _NORMAL, 0),
        },
    ),
}
