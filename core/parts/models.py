"""MODELS: what is trained, as stax-style (init, apply) pairs that return logits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.example_libraries import stax

from core.parts.activations import ACTIVATIONS, Activation
from core.parts.batch_norm import batch_norm
from core.parts.convolution import add_biases, convolve
from core.parts.dropout import NOTHING, Drop, dropout
from core.parts.gru import gru
from core.parts.initializers import Drawing, Initializer
from core.parts.normalisations import NORM_FIELDS, NORMALISATIONS, Norm, Normalisation
from core.registry import Registry, Row

Drawn = Drawing | Initializer  # how a network's weights and biases are drawn
Params = Any  # a pytree: one entry a layer, () for layers without weights
STRIDE = 2  # of every convolution, in both directions


@dataclass(frozen=True, kw_only=True)
class Model(Row):
    """`build(widths, outputs, initializer, activation, normalisation)` gives its functions."""

    build: Callable[..., "Functions"]
    kind: Literal["dense", "convolutions", "series"] = "dense"
    axes: tuple[int, int, int] = (1, 1, 784)  # how it reads a picture: height, width, channels
    ignores: tuple[str, ...] = ()  # the fields of a RunConfig that have no effect on it
    # Looks an epoch: on full MNIST, ten cost 15% of an MLP's training time, five half of that.
    looks_per_epoch: int = 5
    test_batch: int | None = None  # images evaluated together, if each affects the others' answers
    # How many times the memory that XLA tells of a function a CPU takes: for a convolution it lays
    # out the patches beside it (measured: 2.2 to 2.4 times, batches of 1,000 to 5,000, JAX 0.10.2).
    scratch: float = 1.0
    around: bool = False  # whether its convolutions pad the same on all sides
    split_keys: bool = False  # whether the gates of its GRU draw with keys of their own
    reset_after: bool = False  # whether its GRU's reset gate acts after the product

    @property
    def series(self) -> bool:
        """Whether it reads series, [batch, time], instead of images."""
        return self.kind == "series"

    def at_test(self, function: Callable[[Array], Any], x: Array) -> Any:
        """Apply `function` to x [n, ...], in batches of at most `test_batch` if the model has one.

        With k batches, the first takes images 0, k, 2k, ..., so that each is as mixed as the whole,
        whatever its order; places left over are filled with the first images. `function` returns a
        pytree of arrays [batch, ...], `at_test` one of arrays [n, ...].
        """
        if self.test_batch is None:
            return function(x)
        n = len(x)
        batches = -(-n // self.test_batch)
        size = -(-n // batches)
        filled = jnp.concatenate([x, x[: size * batches - n]])
        each = jax.vmap(function)(filled.reshape(size, batches, *x.shape[1:]).swapaxes(0, 1))
        return jax.tree.map(lambda y: y.swapaxes(0, 1).reshape(-1, *y.shape[2:])[:n], each)


class Functions(NamedTuple):
    """A model's functions of x [batch, inputs]; without `rng`, dropout acts as at test time.

    For series the logits are predictions, one for each value read. `norm` is needed by networks
    that normalise.
    """

    init: Callable[..., Any]  # rng, input shape -> output shape, params
    # params, x, rng=None, drop=NOTHING, norm=None -> logits [batch, outputs]
    apply: Callable[..., Array]
    passed: Callable[..., tuple[Array, list["Hidden"]]]  # -> those logits, and each hidden layer

    def hidden(self, *arguments: Any, **how: Any) -> list["Hidden"]:
        """The same arguments -> each hidden layer."""
        return self.passed(*arguments, **how)[1]


class Hidden(NamedTuple):
    """A hidden layer; the next one gets units · multipliers.

    Both are [batch, width]; [batch, height, width, filters] for a convolution and
    [batch · time, width] for series.
    """

    units: Array  # after their activation
    multipliers: Array  # what dropout multiplies each unit by; 0 if it is dropped
    moments: Any = ()  # the batch's Moments, where the layer is normalised


def _dense(width: int, initializer: Drawn) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """stax.Dense, whose biases may depend on the number of inputs."""
    _, apply = stax.Dense(width)

    def init(rng: Array, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Params]:
        draw, _ = stax.Dense(width, initializer.weights, initializer.biases(shape[-1]))
        return draw(rng, shape)

    return init, apply


def _active(
    activation: Activation, normalisation: Normalisation, place: int
) -> tuple[Callable[..., Any], Callable[..., Array]]:
    """Normalisation, the activation and then dropout, as one layer.

    They are not three, because stax hands every layer a random key of its own: one layer more would
    give the Dense after it other initial weights than the sources have.
    """

    def init(rng: Array, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Params]:
        return shape, normalisation.weights(shape[-1])

    def apply(
        params: Params, x: Array, *, rng: Array | None, drop: Drop, norm: Norm | None
    ) -> Array:
        x, _ = normalisation.normalise(x, params, norm, place)
        return dropout(activation.function(x), drop, rng)

    return init, apply


def mlp(
    widths: tuple[int, ...],
    outputs: int,
    initializer: Drawn,
    activation: Activation = ACTIVATIONS["relu"],
    normalisation: Normalisation = NORMALISATIONS["none"],
) -> Functions:
    """Dense layers of the given widths, then Dense(outputs).

    Normalisation, activation and dropout come after each but the last.
    """
    hidden = [
        each
        for place, width in enumerate(widths)
        for each in (_dense(width, initializer), _active(activation, normalisation, place))
    ]
    last = _dense(outputs, initializer)
    init, serial = stax.serial(*hidden, last)

    def apply(
        params: Params,
        x: Array,
        *,
        rng: Array | None = None,
        drop: Drop = NOTHING,
        norm: Norm | None = None,
    ) -> Array:
        return serial(params, x, rng=rng, drop=drop, norm=norm)

    def passed(
        params: Params,
        x: Array,
        rng: Array | None = None,
        drop: Drop = NOTHING,
        norm: Norm | None = None,
    ) -> tuple[Array, list[Hidden]]:
        # the keys that stax.serial would use, one for each layer
        keys = [None] * len(params) if rng is None else jax.random.split(rng, len(params))
        each: list[Hidden] = []
        for place, (_, layer) in enumerate(hidden[::2]):
            weights, more = params[2 * place : 2 * place + 2]
            key = keys[2 * place + 1]
            x, moments = normalisation.normalise(layer(weights, x), more, norm, place)
            x = activation.function(x)
            each.append(Hidden(x, dropout(jnp.ones_like(x), drop, key), moments))
            x = dropout(x, drop, key)
        return last[1](params[-1], x), each

    return Functions(init, apply, passed)


def _conv(
    filters: int, size: int, around: bool = False
) -> tuple[Callable[..., Any], Callable[..., Array]]:
    """stax.Conv(filters, (size, size), (2, 2), padding="SAME"), in the form that is fast here.

    If `around`, with size // 2 rows and columns of zeros on all sides.
    """
    init, _ = stax.Conv(filters, (size, size), (STRIDE, STRIDE), padding="SAME")

    def apply(params: tuple[Array, Array], x: Array, **_: Any) -> Array:
        kernel, biases = params
        return add_biases(convolve(x, kernel, STRIDE, around), biases)

    return init, apply


def _batch_norm() -> tuple[Callable[..., Any], Callable[..., Array]]:
    """stax.BatchNorm(), in the form that is fast here."""
    init, _ = stax.BatchNorm()
    return init, lambda params, x, **_: batch_norm(x, *params)


def cnn(axes: tuple[int, int, int], outputs: int, around: bool = False) -> Functions:
    """The post's CNN, which reads pictures as `axes`: (height, width, channels).

    It pads as "SAME" does, or if `around` the same on all sides. Sizes are the same either way.
    """
    conv = partial(_conv, around=around)
    stack = [
        conv(32, 5), _batch_norm(), stax.Relu,
        conv(32, 5), _batch_norm(), stax.Relu,
        conv(10, 3), _batch_norm(), stax.Relu,
        conv(10, 3), stax.Relu,
        stax.Flatten, stax.Dense(outputs),
    ]  # fmt: skip
    serial_init, serial = stax.serial(*stack)

    def init(rng: Array, input_shape: tuple[int, ...]) -> Any:
        return serial_init(rng, (input_shape[0], *axes))

    def apply(params: Params, x: Array, **_: Any) -> Array:
        return serial(params, x.reshape(-1, *axes))

    def passed(params: Params, x: Array, **_: Any) -> tuple[Array, list[Hidden]]:
        x, each = x.reshape(-1, *axes), []
        for layer, weights in zip(stack, params, strict=True):
            x = layer[1](weights, x)
            if layer is stax.Relu:
                each.append(Hidden(x, jnp.ones_like(x)))
        return x, each

    return Functions(init, apply, passed)


def _cnn(axes: tuple[int, int, int], around: bool = False) -> dict[str, Any]:
    """What the rows of the post's CNN have in common."""
    return {
        "latex": r"\mathrm{Conv}_{32}^{5\times5} \to \mathrm{Conv}_{32}^{5\times5} \to "
        r"\mathrm{Conv}_{10}^{3\times3} \to \mathrm{Conv}_{10}^{3\times3} \to \mathrm{Dense}",
        "kind": "convolutions",
        "axes": axes,
        "around": around,
        "build": lambda widths, outputs, *_: cnn(axes, outputs, around),
        # The post fixes its sizes, ReLU and stax's own initial weights, and has no dropout. What
        # fills up a last, partial batch would be part of its BatchNorm's statistics.
        "ignores": (
            "widths",
            "initializer",
            "biases",
            "initial_spread",
            "activation",
            "dropout",
            "dropout_value",
            *NORM_FIELDS,
            "last_batch",
        ),
        "looks_per_epoch": 2,  # each costs as much as seven steps of 100 images
        "scratch": 2.5,
        "test_batch": 100,  # as in the post: BatchNorm takes its statistics from the batch
    }


def recurrent(
    widths: tuple[int, ...],
    outputs: int,
    initializer: Drawn,
    *_: Any,
    split_keys: bool,
    reset_after: bool = False,
) -> Functions:
    """Dense layers with ReLU, a GRU of the last width and Dense(1), for each of `outputs` values.

    With widths (12, 12) it is the post's network, weight for weight. It has no dropout. The GRU's
    biases are drawn as if it had as many inputs as units, which is PyTorch's own rule for a GRU.
    """
    width = widths[-1]
    dense = [each for n in widths[:-1] for each in (_dense(n, initializer), stax.Relu)]
    biases = initializer.biases(width)
    unit = gru(width, initializer.weights, biases, split_keys, reset_after)
    last = _dense(1, initializer)
    serial_init, serial = stax.serial(*dense, unit, last)

    def init(rng: Array, shape: tuple[int, int]) -> tuple[tuple[int, int], Params]:
        _, params = serial_init(rng, (*shape, 1))
        return (shape[0], outputs), params

    def apply(params: Params, x: Array, **_: Any) -> Array:
        return jnp.moveaxis(serial(params, x[..., None])[..., 0], 0, 1)

    def passed(params: Params, x: Array, **_how: Any) -> tuple[Array, list[Hidden]]:
        each, x = [], x[..., None]
        for weights, (_, layer) in zip(params[:-1], [*dense, unit], strict=True):
            x = layer(weights, x)
            each.append(x.reshape(-1, x.shape[-1]))
        after = each[1::2] + each[-1:]  # every ReLU, and the GRU
        predictions = jnp.moveaxis(last[1](params[-1], x)[..., 0], 0, 1)
        return predictions, [Hidden(units, jnp.ones_like(units)) for units in after]

    return Functions(init, apply, passed)


def _gru(split_keys: bool, reset_after: bool = False) -> dict[str, Any]:
    """What the rows of the post's GRU have in common."""
    return {
        "kind": "series",
        "split_keys": split_keys,
        "reset_after": reset_after,
        "build": partial(recurrent, split_keys=split_keys, reset_after=reset_after),
        "ignores": ("activation", "dropout", "dropout_value", *NORM_FIELDS),
    }


MODELS = Registry(
    "model",
    [
        Model(
            key="mlp",
            label="MLP",
            latex=r"z = W_L\,\varphi(\cdots\varphi(W_1 x + b_1)\cdots) + b_L",
            summary="Dense layers with an activation φ between them, after a normalisation "
            "if one is chosen.",
            reference="jax.example_libraries.stax, JAX 0.10.2",
            build=mlp,
        ),
        Model(
            key="cnn",
            label="CNN",
            summary="Four convolutions of stride 2 with BatchNorm and ReLU, and a dense layer. "
            "BatchNorm takes its mean and variance from the batch, at test time too.",
            reference="Getting started with JAX (a post), with the axes that stax reads: "
            "(28, 28, 1); jax.example_libraries.stax, JAX 0.10.2",
            **_cnn((28, 28, 1)),
        ),
        Model(
            key="cnn_28_channels",
            label="CNN, 28 channels",
            summary="The same layers given (1, 28, 28), PyTorch's order. stax reads the channels "
            "last, so it sees a picture of height 1, width 28 and 28 channels.",
            reference="Getting started with JAX (a post), as printed; "
            "jax.example_libraries.stax, JAX 0.10.2",
            **_cnn((1, 28, 28)),
        ),
        Model(
            key="cnn_around",
            label="CNN, padded on all sides",
            summary="The first CNN's layers and weights, with the padding of PyTorch: 2 pixels on "
            "all sides before a 5 by 5 kernel and 1 before a 3 by 3 one. “Same” pads one pixel "
            "less at the start where the size is even, so every window is shifted by one pixel.",
            reference="torch.nn.Conv2d with stride=2 and padding=kernel_size // 2, PyTorch 2.13",
            **_cnn((28, 28, 1), around=True),
        ),
        Model(
            key="gru",
            label="GRU",
            latex=r"h_t = z_t h_{t-1} + (1 - z_t)\tanh(W x_t + U (r_t h_{t-1}) + b)",
            summary="A state that is carried along a series and updated by gates; each gate draws "
            "its weights with a key of its own.",
            reference="Getting started with JAX (a post), with split keys",
            **_gru(split_keys=True),
        ),
        Model(
            key="gru_reused",
            label="GRU, one key reused",
            latex=r"W_z = W_r = W,\quad U_z = U_r = U,\quad b_z = b_r = b\quad(t = 0)",
            summary="The same, but one key is used for all three gates, so that they begin equal.",
            reference="Getting started with JAX (a post)",
            **_gru(split_keys=False),
        ),
        Model(
            key="gru_reset_after",
            label="GRU that resets after the product",
            latex=r"h_t = z_t h_{t-1} + (1 - z_t)\tanh(W x_t + b + r_t (U h_{t-1} + c))",
            summary="The first GRU's weights, but the reset gate acts on the state's product with "
            "them and on biases of its own. Keras and PyTorch have second biases in the other "
            "gates, too, which only add to the first.",
            reference="flax.linen.GRUCell, Flax 0.12; keras.layers.GRU, Keras 3.15; torch.nn.GRU, "
            "PyTorch 2.13",
            **_gru(split_keys=True, reset_after=True),
        ),
    ],
)


def layers(params: Params) -> list[Any]:
    """The layers that have weights, in order; a BatchNorm belongs to the layer before it."""
    groups: list[Any] = []
    for layer in filter(None, params):
        if groups and all(jnp.ndim(leaf) == 1 for leaf in jax.tree.leaves(layer)):
            groups[-1] += layer
        else:
            groups.append(layer)
    return groups


def parameter_names(params: Params) -> list[str]:
    """Name each leaf, in order, as in "layer 1 weights" or "layer 2 update biases".

    beta and gamma are those of BatchNorm.
    """
    return [
        f"layer {i} {_name(path, place)}"
        for i, layer in enumerate(layers(params), 1)
        for place, (path, _) in enumerate(jax.tree.leaves_with_path(layer))
    ]


def _name(path: tuple[Any, ...], place: int) -> str:
    """A leaf's name: that of the fields on its path, or for a plain tuple that of its position."""
    fields = [key.name for key in path if isinstance(key, jax.tree_util.GetAttrKey)]
    return " ".join(fields).replace("_", " ") or ("weights", "biases", "beta", "gamma")[place]
