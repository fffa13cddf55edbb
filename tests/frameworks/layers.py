"""Probes of layers without weights of their own interest: what they make of fixed arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from core.parts.activations import ACTIVATIONS
from core.study.atlas.pieces import PIECES
from tests.frameworks.probe import Observed, Probe, array, installed, run

X = np.linspace(-4, 4, 33, dtype=np.float32)
ONES = np.ones(10_000, np.float32)
PICTURE = np.arange(16, dtype=np.float32).reshape(4, 4)
_RNG = np.random.default_rng(3)


def given(framework: str) -> Callable[[Any], Any]:
    """What makes an array of a framework's own."""
    if framework == "torch":
        return installed("torch").tensor
    return installed("tensorflow").constant if framework == "tf1" else jnp.asarray


def key(seed: int = 0) -> Any:
    return jax.random.key(seed)


def _y(x: np.ndarray) -> Callable[[str, str], Observed]:
    """Return a probe's `observe` for code that makes y of x."""

    def observe(framework: str, code: str) -> Observed:
        seed(framework)
        return [array(run(code, x=given(framework)(x), key=key())["y"])]

    return observe


def seed(framework: str) -> None:
    """Let a framework that has one seed for all draw the same numbers each time."""
    if framework == "torch":
        installed("torch").manual_seed(0)
    elif framework == "tf1":
        installed("tensorflow").random.set_seed(0)
    elif framework == "keras":
        installed("keras").utils.set_random_seed(0)


def _dropped(framework: str, code: str) -> Observed:
    """The share that is 0, and the size of what is not."""
    seed(framework)
    layer, x = run(code)["layer"], given(framework)(ONES)
    if framework == "keras":
        y = layer(x, training=True)
    elif framework == "flax":
        y = layer.apply({}, x, deterministic=False, rngs={"dropout": key()})
    elif framework == "equinox":
        y = layer(x, key=key())
    elif framework == "stax":
        y = layer[1]((), x, rng=key())
    else:
        y = layer(x)
    y = array(y)
    return [np.mean(y == 0), np.max(y)]


def _is_dropped(framework: str, code: str) -> Observed:
    (y,) = _y(ONES)(framework, code)
    return [np.float64(np.mean(y == 0) > 0.3)]


def _with_kernel(framework: str, layer: Any, kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What a convolution with this kernel [rows, columns] and no biases makes of a picture."""
    first = framework in ("torch", "equinox")
    x = given(framework)(x[None, None] if first else x[None, ..., None])
    if framework == "keras":
        layer.build(x.shape)
        conv = layer.layers[-1] if hasattr(layer, "layers") else layer
        conv.set_weights([kernel[..., None, None], np.zeros(1)])
        return array(layer(x))[0, ..., 0]
    if framework == "torch":
        conv = layer[-1] if hasattr(layer, "__getitem__") else layer
        conv.weight.data = given(framework)(kernel[None, None])
        conv.bias.data.zero_()
        return array(layer(x))[0, 0]
    if framework == "flax":
        weights = {"kernel": kernel[..., None, None], "bias": np.zeros(1)}
        return array(layer.apply({"params": weights}, x))[0, ..., 0]
    if framework == "equinox":
        equinox = installed("equinox")
        new = (jnp.asarray(kernel[None, None]), jnp.zeros((1, 1, 1)))
        layer = equinox.tree_at(lambda conv: (conv.weight, conv.bias), layer, new)
        return array(layer(x[0]))[0]
    weights = (jnp.asarray(kernel[..., None, None]), jnp.zeros((1, 1, 1, 1)))
    return array(layer[1](weights, x))[0, ..., 0]


def _convolved(framework: str, code: str) -> Observed:
    """What a kernel that reads its upper left corner only gives of PICTURE."""
    corner = np.zeros((3, 3), np.float32)
    corner[0, 0] = 1
    layer = run(code, key=key())["layer"]
    return [_with_kernel(framework, layer, corner, PICTURE)]


def _pooled(framework: str, code: str) -> Observed:
    layer = run(code)["layer"]
    first = framework in ("torch", "equinox")
    x = given(framework)(PICTURE[None, None] if first else PICTURE[None, ..., None])
    if framework == "stax":
        _, params = layer[0](key(), x.shape)
        return [array(layer[1](params, x)).squeeze()]
    return [array(layer(x[0] if framework == "equinox" else x)).squeeze()]


def _shape(framework: str, code: str) -> Observed:
    """The shape of what a convolution to one channel makes of [1, 4, 5, 6]."""
    layer, x = run(code, key=key())["layer"], given(framework)(np.ones((1, 4, 5, 6), np.float32))
    if framework == "flax":
        y = layer.apply(layer.init(key(), x), x)
    elif framework == "equinox":
        y = layer(x[0])[None]
    elif framework == "stax":
        _, params = layer[0](key(), x.shape)
        y = layer[1](params, x)
    else:
        y = layer(x)
    return [np.array(y.shape, float)]


_IMAGE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # height, width, channels


def _flattened(framework: str, code: str) -> Observed:
    image = np.moveaxis(_IMAGE, -1, 0) if framework in ("torch", "equinox") else _IMAGE
    x = given(framework)(image.copy() if framework == "equinox" else image[None].copy())
    return [array(run(code, x=x)["y"]).ravel()]


# A GRU of 2 units with 3 inputs: gate -> weights of inputs, of the state, and biases.
_GRU = {gate: (_RNG.normal(size=(3, 2)), _RNG.normal(size=(2, 2)), np.zeros(2)) for gate in "zrn"}
_SERIES = _RNG.normal(size=(5, 3))


def _gru(after: bool) -> np.ndarray:
    """The state after _SERIES."""
    h = np.zeros(2)
    (wz, uz, _), (wr, ur, _), (wn, un, _) = (_GRU[gate] for gate in "zrn")
    for x in _SERIES:
        z, r = (1 / (1 + np.exp(-(x @ w + h @ u))) for w, u in ((wz, uz), (wr, ur)))
        n = np.tanh(x @ wn + (r * (h @ un) if after else (r * h) @ un))
        h = z * h + (1 - z) * n
    return h


def _joined(gates: str, place: int) -> np.ndarray:
    return np.concatenate([_GRU[gate][place] for gate in gates], axis=-1).astype(np.float32)


def _state(framework: str, layer: Any, kernel: Any = None) -> np.ndarray:
    """The state that a layer with the weights of _GRU ends in; `kernel` replaces one array."""
    x = given(framework)(_SERIES.astype(np.float32))
    if framework == "keras":
        kernel = _joined("zrn", 0) if kernel is None else kernel
        layer.build((1, 5, 3))
        biases = np.zeros(layer.weights[2].shape)
        layer.set_weights([kernel, _joined("zrn", 1), biases])
        return array(layer(x[None]))[0]
    if framework == "torch":
        torch = installed("torch")
        kernel = torch.tensor(_joined("rzn", 0).T) if kernel is None else kernel
        layer.weight_ih_l0.data = kernel.contiguous()
        layer.weight_hh_l0.data = torch.tensor(_joined("rzn", 1).T.copy())
        layer.bias_ih_l0.data.zero_()
        layer.bias_hh_l0.data.zero_()
        return array(layer(x[:, None])[1])[0, 0]
    if framework == "equinox":
        equinox = installed("equinox")
        kernel = _joined("rzn", 0).T if kernel is None else kernel
        new = (jnp.asarray(kernel), jnp.asarray(_joined("rzn", 1).T), jnp.zeros(6), jnp.zeros(2))
        layer = equinox.tree_at(lambda c: (c.weight_ih, c.weight_hh, c.bias, c.bias_n), layer, new)
        h = jnp.zeros(2)
        for each in x:
            h = layer(each, h)
        return array(h)
    variables = layer.init(key(), jnp.zeros((1, 2)), x[:1])
    params = {
        name: {**weights, "kernel": jnp.asarray(_GRU[name[1]][0 if name[0] == "i" else 1])}
        for name, weights in variables["params"].items()
    }
    h = jnp.zeros((1, 2))
    for each in x:
        h, _ = layer.apply({"params": params}, h, each[None])
    return array(h)[0]


_BARE_GRU = {
    "keras": "layer = keras.layers.GRU(2)",
    "torch": "layer = torch.nn.GRU(3, 2)",
    "flax": "layer = flax.linen.GRUCell(2)",
    "equinox": "layer = equinox.nn.GRUCell(3, 2, key=key)",
}


def _gates(framework: str, code: str) -> Observed:
    """The state of a GRU whose kernel was joined in this order."""
    names = {gate: given(framework)(_GRU[gate][0].astype(np.float32)) for gate in "zrn"}
    layer = run(_BARE_GRU[framework], key=key())["layer"]
    kernel = run(code, **names)["kernel"]
    return [_state(framework, layer, kernel)]


def _activations(piece: str, bare: dict[str, str], unlisted: dict[str, Any]) -> Probe:
    def expect(value: str, framework: str) -> Observed:
        settings = PIECES[piece].values[value].settings
        function = ACTIVATIONS[settings["activation"]].function if settings else unlisted[value]
        return [array(function(jnp.asarray(X)))]

    return Probe(bare=bare, observe=_y(X), expect=expect, rtol=2e-6)


_JAX = ("flax", "equinox", "stax")
_PADDED = np.pad(PICTURE, 1)[:4, :4]  # as the upper left corner of a kernel reads it


def _values(**expected: Any) -> Callable[[str, str], Observed]:
    return lambda value, framework: [np.asarray(x, float) for x in expected[value]]


PROBES = {
    "dropout_number": Probe(
        bare={
            "keras": "layer = keras.layers.Dropout(0.1)",
            "torch": "layer = torch.nn.Dropout(0.1)",
            "flax": "layer = flax.linen.Dropout(0.1)",
            "equinox": "layer = equinox.nn.Dropout(0.1)",
            "stax": "layer = stax.Dropout(0.1)",
            "tf1": "layer = lambda x: tf.compat.v1.nn.dropout(x, 0.1)",
        },
        observe=_dropped,
        expect=_values(drop=(0.1, 1 / 0.9), keep=(0.9, 10)),
        rtol=0.15,
    ),
    "dropout_at_test": Probe(
        bare={
            "keras": "y = keras.layers.Dropout(0.5)(x)",
            "torch": "y = torch.nn.Dropout(0.5)(x)",
            "equinox": "y = equinox.nn.Dropout(0.5)(x, key=key)",
            "stax": "y = stax.Dropout(0.5)[1]((), x, rng=key)",
            "tf1": "y = tf.compat.v1.nn.dropout(x, 0.5)",
        },
        observe=_is_dropped,
        expect=_values(off=(0,), on=(1,)),
    ),
    "gelu": _activations(
        "gelu",
        {
            "keras": "y = keras.activations.gelu(x)",
            "torch": "y = torch.nn.functional.gelu(x)",
            "flax": "y = flax.linen.gelu(x)",
            "equinox": "y = jax.nn.gelu(x)",
            "stax": "y = stax.Gelu[1]((), x)",
            "tf1": "y = tf.nn.gelu(x)",
        },
        {},
    ),
    "leaky_slope": _activations(
        "leaky_slope",
        {
            "keras": "y = keras.layers.LeakyReLU()(x)",
            "torch": "y = torch.nn.LeakyReLU()(x)",
            "flax": "y = flax.linen.leaky_relu(x)",
            "equinox": "y = jax.nn.leaky_relu(x)",
            "stax": "y = stax.LeakyRelu[1]((), x)",
            "tf1": "y = tf.nn.leaky_relu(x)",
        },
        {"0.2": lambda x: jnp.maximum(x, 0.2 * x)},
    ),
    "conv_padding": Probe(
        bare={
            "keras": "layer = keras.layers.Conv2D(1, 3)",
            "torch": "layer = torch.nn.Conv2d(1, 1, 3)",
            "flax": "layer = flax.linen.Conv(1, (3, 3))",
            "equinox": "layer = equinox.nn.Conv2d(1, 1, 3, key=key)",
            "stax": "layer = stax.Conv(1, (3, 3))",
        },
        observe=_convolved,
        expect=_values(valid=(PICTURE[:2, :2],), same=(_PADDED,)),
    ),
    "same_stride_2": Probe(
        bare={
            "keras": 'layer = keras.layers.Conv2D(1, 3, strides=2, padding="same")',
            "torch": "layer = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)",
            "flax": "layer = flax.linen.Conv(1, (3, 3), strides=(2, 2))",
            "equinox": "layer = equinox.nn.Conv2d(1, 1, 3, stride=2, padding=1, key=key)",
            "stax": 'layer = stax.Conv(1, (3, 3), strides=(2, 2), padding="SAME")',
        },
        observe=_convolved,
        expect=_values(end=([[0, 2], [8, 10]],), around=([[0, 0], [0, 5]],)),
    ),
    "pool_stride": Probe(
        bare={
            "keras": "layer = keras.layers.MaxPooling2D(2)",
            "torch": "layer = torch.nn.MaxPool2d(2)",
            "flax": "layer = lambda x: flax.linen.max_pool(x, (2, 2))",
            "equinox": "layer = equinox.nn.MaxPool2d(2)",
            "stax": "layer = stax.MaxPool((2, 2))",
        },
        observe=_pooled,
        expect=_values(**{"window": ([[5, 7], [13, 15]],), "1": (PICTURE[1:, 1:],)}),
    ),
    "layout": Probe(
        bare={
            "keras": "layer = keras.layers.Conv2D(1, 1)",
            "torch": "layer = torch.nn.LazyConv2d(1, 1)",
            "flax": "layer = flax.linen.Conv(1, (1, 1))",
            "equinox": "layer = equinox.nn.Conv2d(4, 1, 1, key=key)",
            "stax": "layer = stax.Conv(1, (1, 1))",
        },
        observe=_shape,
        expect=_values(last=((1, 4, 5, 1),), first=((1, 1, 5, 6),)),
    ),
    "flatten_order": Probe(
        bare={
            "keras": "y = keras.layers.Flatten()(x)",
            "torch": "y = torch.nn.Flatten()(x)",
            "flax": "y = x.reshape(len(x), -1)",
            "equinox": "y = x.ravel()",
            "stax": "y = stax.Flatten[1]((), x)",
        },
        observe=_flattened,
        expect=_values(
            channels_fastest=(_IMAGE.ravel(),),
            channels_slowest=(np.moveaxis(_IMAGE, -1, 0).ravel(),),
        ),
    ),
    # A value is the order for which its framework gives what the formula does.
    "gru_gates": Probe(
        bare={
            "keras": "kernel = jnp.concatenate([z, r, n], axis=1)",
            "torch": "kernel = torch.cat([r, z, n], dim=1).T",
            "equinox": "kernel = jnp.concatenate([r, z, n], axis=1).T",
        },
        observe=_gates,
        expect=lambda value, framework: [
            _gru(after=True) if (value == "z_r_n") == (framework == "keras") else np.full(2, np.nan)
        ],
        rtol=1e-5,
    ),
    "gru_reset": Probe(
        bare=_BARE_GRU,
        observe=lambda framework, code: [_state(framework, run(code, key=key())["layer"])],
        expect=lambda value, framework: [_gru(after=value == "after")],
        rtol=1e-5,
    ),
}
