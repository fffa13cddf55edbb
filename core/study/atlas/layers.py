"""Pieces about dropout, activations, convolutions, pooling and the GRU."""

from core.study.atlas.piece import Default, Piece, Value

_STAX = "jax/example_libraries/stax.py"
_TF1_DROPOUT = "tensorflow/python/ops/nn_ops.py, dropout"


def _dropout(dropped: float, kept: float) -> dict[str, str]:
    return {
        "keras": f"layer = keras.layers.Dropout({dropped})",
        "torch": f"layer = torch.nn.Dropout({dropped})",
        "flax": f"layer = flax.linen.Dropout({dropped})",
        "equinox": f"layer = equinox.nn.Dropout({dropped})",
        "stax": f"layer = stax.Dropout({kept})",
        "tf1": f"layer = lambda x: tf.compat.v1.nn.dropout(x, keep_prob={kept})",
    }


def _slope(slope: str, key: str | None) -> Value:
    return Value(
        label=slope,
        latex=rf"\max(x, {slope}\,x)",
        settings=None if key is None else {"activation": key},
        write={
            "keras": f"y = keras.layers.LeakyReLU(negative_slope={slope})(x)",
            "torch": f"y = torch.nn.LeakyReLU({slope})(x)",
            "flax": f"y = flax.linen.leaky_relu(x, {slope})",
            "equinox": f"y = jax.nn.leaky_relu(x, {slope})",
            "stax": f"y = jax.nn.leaky_relu(x, {slope})",
            "tf1": f"y = tf.nn.leaky_relu(x, {slope})",
        },
    )


def _gelu(key: str, label: str, latex: str, tanh: bool) -> Value:
    torch = '"tanh"' if tanh else '"none"'
    return Value(
        label=label,
        latex=latex,
        settings={"activation": key},
        write={
            "keras": f"y = keras.activations.gelu(x, approximate={tanh})",
            "torch": f"y = torch.nn.functional.gelu(x, approximate={torch})",
            "flax": f"y = flax.linen.gelu(x, approximate={tanh})",
            "equinox": f"y = jax.nn.gelu(x, approximate={tanh})",
            "stax": f"y = jax.nn.gelu(x, approximate={tanh})",
            "tf1": f"y = tf.nn.gelu(x, approximate={tanh})",
        },
    )


def _padding(padding: str, torch: str) -> dict[str, str]:
    return {
        "keras": f'layer = keras.layers.Conv2D(1, 3, padding="{padding}")',
        "torch": f"layer = torch.nn.Conv2d(1, 1, 3, padding={torch})",
        "flax": f'layer = flax.linen.Conv(1, (3, 3), padding="{padding.upper()}")',
        "equinox": f'layer = equinox.nn.Conv2d(1, 1, 3, padding="{padding.upper()}", key=key)',
        "stax": f'layer = stax.Conv(1, (3, 3), padding="{padding.upper()}")',
    }


def _pool(stride: int) -> dict[str, str]:
    return {
        "keras": f"layer = keras.layers.MaxPooling2D(2, strides={stride})",
        "torch": f"layer = torch.nn.MaxPool2d(2, stride={stride})",
        "flax": f"layer = lambda x: flax.linen.max_pool(x, (2, 2), strides=({stride}, {stride}))",
        "equinox": f"layer = equinox.nn.MaxPool2d(2, stride={stride})",
        "stax": f"layer = stax.MaxPool((2, 2), strides=({stride}, {stride}))",
    }


PIECES = [
    Piece(
        key="dropout_number",
        label="the number of dropout",
        topic="dropout",
        summary="The share of units that are dropped, or the share that is kept: Dropout(0.1) of "
        "stax keeps a tenth.",
        values={
            "drop": Value(
                label="0.1 dropped",
                latex=r"m \sim \mathrm{Bernoulli}(0.9)",
                settings={"dropout": "rate", "dropout_value": 0.1},
                write=_dropout(0.1, 0.9),
            ),
            "keep": Value(
                label="0.1 kept",
                latex=r"m \sim \mathrm{Bernoulli}(0.1)",
                settings={"dropout": "keep_prob", "dropout_value": 0.1},
                write=_dropout(0.9, 0.1),
            ),
        },
        defaults={
            "keras": Default(value="drop", source="keras/src/layers/regularization/dropout.py"),
            "torch": Default(value="drop", source="torch/nn/modules/dropout.py, Dropout"),
            "flax": Default(value="drop", source="flax/linen/stochastic.py, Dropout"),
            "equinox": Default(value="drop", source="equinox/nn/_dropout.py, Dropout"),
            "stax": Default(value="keep", source=f"{_STAX}, Dropout"),
            "tf1": Default(
                value="keep",
                source=_TF1_DROPOUT,
                note="tf.layers.dropout and TensorFlow 2 take what is dropped.",
            ),
        },
    ),
    Piece(
        key="dropout_at_test",
        label="dropout at test time",
        topic="dropout",
        summary="Who switches it off: the framework, when it evaluates, or the program, which may "
        "forget to.",
        contexts=("dropout",),
        values={
            "off": Value(
                label="off",
                settings={"report": "true"},
                write={
                    "keras": "y = keras.layers.Dropout(0.5)(x, training=False)",
                    "torch": "layer = torch.nn.Dropout(0.5)\nlayer.eval()\ny = layer(x)",
                    "flax": "y = flax.linen.Dropout(0.5).apply({}, x, deterministic=True)",
                    "equinox": "layer = equinox.nn.inference_mode(equinox.nn.Dropout(0.5))\n"
                    "y = layer(x)",
                    "stax": '_, apply = stax.Dropout(0.5, mode="test")\ny = apply((), x, rng=key)',
                    "tf1": "y = tf.compat.v1.nn.dropout(x, keep_prob=1.0)",
                },
            ),
            "on": Value(
                label="on",
                settings={"report": "dropout_on"},
                write={
                    "keras": "y = keras.layers.Dropout(0.5)(x, training=True)",
                    "torch": "layer = torch.nn.Dropout(0.5)\nlayer.train()\ny = layer(x)",
                    "flax": "y = flax.linen.Dropout(0.5).apply(\n"
                    '    {}, x, deterministic=False, rngs={"dropout": key})',
                    "equinox": "y = equinox.nn.Dropout(0.5)(x, key=key)",
                    "stax": "_, apply = stax.Dropout(0.5)\ny = apply((), x, rng=key)",
                    "tf1": "y = tf.compat.v1.nn.dropout(x, keep_prob=0.5)",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="off",
                source="keras/src/layers/regularization/dropout.py",
                note="fit switches it on; evaluate and predict do not.",
            ),
            "torch": Default(
                value="on",
                source="torch/nn/modules/module.py, Module.training",
                note="Until model.eval() is called.",
            ),
            "equinox": Default(
                value="on",
                source="equinox/nn/_dropout.py, Dropout",
                note="Until equinox.nn.inference_mode; without a key it is an error.",
            ),
            "stax": Default(value="on", source=f"{_STAX}, Dropout"),
            "tf1": Default(value="on", source=_TF1_DROPOUT, note="keep_prob is fed as 1 to test."),
        },
    ),
    Piece(
        key="gelu",
        label="GELU",
        topic="activations",
        summary="By the error function, or by tanh, which differs by less than 0.001.",
        values={
            "erf": _gelu("gelu", "erf", r"x\,\Phi(x)", False),
            "tanh": _gelu(
                "gelu_tanh", "tanh", r"x\,(1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\,x^3)))/2", True
            ),
        },
        defaults={
            "keras": Default(value="erf", source="keras/src/activations/activations.py, gelu"),
            "torch": Default(value="erf", source="torch/nn/functional.py, gelu"),
            "flax": Default(value="tanh", source="jax/_src/nn/functions.py, gelu"),
            "equinox": Default(value="tanh", source="jax/_src/nn/functions.py, gelu"),
            "stax": Default(value="tanh", source="jax/_src/nn/functions.py, gelu"),
            "tf1": Default(value="erf", source="tensorflow/python/ops/nn_ops.py, gelu"),
        },
    ),
    Piece(
        key="leaky_slope",
        label="slope of leaky ReLU",
        topic="activations",
        summary="How much of what is below 0 passes.",
        values={
            "0.3": _slope("0.3", "leaky_relu_0.3"),
            "0.2": _slope("0.2", None),
            "0.01": _slope("0.01", "leaky_relu_0.01"),
        },
        defaults={
            "keras": Default(
                value="0.3",
                source="keras/src/layers/activations/leaky_relu.py, LeakyReLU",
                note="keras.activations.leaky_relu has 0.2.",
            ),
            "torch": Default(value="0.01", source="torch/nn/modules/activation.py, LeakyReLU"),
            "flax": Default(value="0.01", source="jax/_src/nn/functions.py, leaky_relu"),
            "equinox": Default(value="0.01", source="jax/_src/nn/functions.py, leaky_relu"),
            "stax": Default(value="0.01", source="jax/_src/nn/functions.py, leaky_relu"),
            "tf1": Default(value="0.2", source="tensorflow/python/ops/nn_ops.py, leaky_relu"),
        },
    ),
    Piece(
        key="conv_padding",
        label="padding of a convolution",
        topic="convolution",
        summary="None, so that pictures shrink, or as much as keeps their size.",
        values={
            "valid": Value(label="none", write=_padding("valid", "0")),
            "same": Value(label="keeps the size", write=_padding("same", '"same"')),
        },
        defaults={
            "keras": Default(value="valid", source="keras/src/layers/convolutional/conv2d.py"),
            "torch": Default(value="valid", source="torch/nn/modules/conv.py, Conv2d"),
            "flax": Default(value="same", source="flax/linen/linear.py, Conv"),
            "equinox": Default(value="valid", source="equinox/nn/_conv.py, Conv2d"),
            "stax": Default(value="valid", source=f"{_STAX}, GeneralConv"),
        },
    ),
    Piece(
        key="same_stride_2",
        label="padding at a stride of 2",
        topic="convolution",
        summary="A 3 by 3 kernel that halves a picture of even size: “same” adds a row and a "
        "column at the end, padding=1 adds them on all sides and reads one pixel earlier.",
        contexts=("cnn",),
        values={
            "end": Value(
                label="at the end only",
                settings={"model": "cnn"},
                write={
                    "keras": 'layer = keras.layers.Conv2D(1, 3, strides=2, padding="same")',
                    "torch": "layer = torch.nn.Sequential(\n    torch.nn.ZeroPad2d((0, 1, 0, 1)), "
                    "torch.nn.Conv2d(1, 1, 3, stride=2))",
                    "flax": 'layer = flax.linen.Conv(1, (3, 3), strides=(2, 2), padding="SAME")',
                    "equinox": "layer = equinox.nn.Conv2d(\n"
                    "    1, 1, 3, stride=2, padding=((0, 1), (0, 1)), key=key)",
                    "stax": 'layer = stax.Conv(1, (3, 3), strides=(2, 2), padding="SAME")',
                },
            ),
            "around": Value(
                label="on all sides",
                settings={"model": "cnn_around"},
                write={
                    "keras": "layer = keras.Sequential([\n    keras.layers.ZeroPadding2D(1), "
                    "keras.layers.Conv2D(1, 3, strides=2)])",
                    "torch": "layer = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)",
                    "flax": "layer = flax.linen.Conv(1, (3, 3), strides=(2, 2), padding=1)",
                    "equinox": "layer = equinox.nn.Conv2d(1, 1, 3, stride=2, padding=1, key=key)",
                    "stax": "layer = stax.Conv(\n"
                    "    1, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))",
                },
            ),
        },
        defaults={
            "keras": Default(value="end", source="keras/src/backend/jax/nn.py, conv"),
            "torch": Default(
                value="around",
                source="torch/nn/modules/conv.py, Conv2d",
                note='With padding=1, since padding="same" is refused at a stride of 2.',
            ),
            "flax": Default(value="end", source="flax/linen/linear.py, Conv"),
            "equinox": Default(
                value="around", source="equinox/nn/_conv.py, Conv2d", note="With padding=1."
            ),
            "stax": Default(value="end", source=f"{_STAX}, GeneralConv"),
        },
    ),
    Piece(
        key="pool_stride",
        label="stride of max pooling",
        topic="convolution",
        summary="As wide as the window, so that pictures shrink by it, or 1.",
        values={
            "window": Value(label="that of the window", write=_pool(2)),
            "1": Value(label="1", write=_pool(1)),
        },
        defaults={
            "keras": Default(
                value="window", source="keras/src/layers/pooling/max_pooling2d.py, MaxPooling2D"
            ),
            "torch": Default(value="window", source="torch/nn/modules/pooling.py, MaxPool2d"),
            "flax": Default(value="1", source="flax/linen/pooling.py, max_pool"),
            "equinox": Default(value="1", source="equinox/nn/_pool.py, MaxPool2d"),
            "stax": Default(value="1", source=f"{_STAX}, MaxPool"),
        },
    ),
    Piece(
        key="layout",
        label="the axis of channels",
        topic="convolution",
        summary="The last, or the one before height and width. Harmless if the axes of the images "
        "move, too; compared where they do not: 28 by 28 pixels are read as 28 channels.",
        contexts=("cnn",),
        values={
            "last": Value(
                label="last",
                latex=r"[B, H, W, C]",
                settings={"model": "cnn"},
                write={
                    "keras": 'layer = keras.layers.Conv2D(1, 1, data_format="channels_last")',
                    "torch": "conv = torch.nn.Conv2d(6, 1, 1)\n"
                    "layer = lambda x: conv(x.movedim(-1, 1)).movedim(1, -1)",
                    "flax": "layer = flax.linen.Conv(1, (1, 1))",
                    "equinox": "conv = equinox.nn.Conv2d(6, 1, 1, key=key)\n"
                    "layer = lambda x: jnp.moveaxis(conv(jnp.moveaxis(x, -1, 0)), 0, -1)",
                    "stax": "layer = stax.Conv(1, (1, 1))",
                },
            ),
            "first": Value(
                label="before height and width",
                latex=r"[B, C, H, W]",
                settings={"model": "cnn_28_channels"},
                write={
                    "keras": 'layer = keras.layers.Conv2D(1, 1, data_format="channels_first")',
                    "torch": "layer = torch.nn.Conv2d(4, 1, 1)",
                    "equinox": "layer = equinox.nn.Conv2d(4, 1, 1, key=key)",
                    "stax": 'layer = stax.GeneralConv(("NCHW", "HWIO", "NCHW"), 1, (1, 1))',
                },
            ),
        },
        defaults={
            "keras": Default(
                value="last",
                source="keras/src/backend/config.py, image_data_format",
                note="On PyTorch as well.",
            ),
            "torch": Default(value="first", source="torch/nn/modules/conv.py, Conv2d"),
            "flax": Default(value="last", source="flax/linen/linear.py, Conv"),
            "equinox": Default(
                value="first", source="equinox/nn/_conv.py, Conv2d", note="Without a batch axis."
            ),
            "stax": Default(value="last", source=f"{_STAX}, Conv"),
        },
    ),
    Piece(
        key="flatten_order",
        label="the order of a flattened picture",
        topic="convolution",
        summary="Channels run fastest, or slowest: the rows of the next layer's weights belong to "
        "other pixels, which matters where weights are carried over.",
        values={
            "channels_fastest": Value(
                label="height, width, channels",
                write={
                    "keras": "y = keras.layers.Flatten()(x)",
                    "torch": "y = x.movedim(1, -1).flatten(1)",
                    "flax": "y = x.reshape(len(x), -1)",
                    "equinox": "y = jnp.moveaxis(x, 0, -1).ravel()",
                    "stax": "y = x.reshape(len(x), -1)",
                },
            ),
            "channels_slowest": Value(
                label="channels, height, width",
                write={
                    "keras": "y = keras.layers.Flatten()(keras.ops.moveaxis(x, -1, 1))",
                    "torch": "y = x.flatten(1)",
                    "flax": "y = jnp.moveaxis(x, -1, 1).reshape(len(x), -1)",
                    "equinox": "y = x.ravel()",
                    "stax": "y = jnp.moveaxis(x, -1, 1).reshape(len(x), -1)",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="channels_fastest", source="keras/src/layers/reshaping/flatten.py"
            ),
            "torch": Default(
                value="channels_slowest", source="torch/nn/modules/flatten.py, Flatten"
            ),
            "flax": Default(value="channels_fastest", source="flax/linen/linear.py, Conv"),
            "equinox": Default(value="channels_slowest", source="equinox/nn/_conv.py, Conv2d"),
            "stax": Default(value="channels_fastest", source=f"{_STAX}, Flatten"),
        },
    ),
    Piece(
        key="gru_gates",
        label="the order of a GRU's gates",
        topic="recurrent",
        summary="Where the weights of the update gate z, the reset gate r and the new state n lie "
        "in the array that holds all three.",
        values={
            "z_r_n": Value(
                label="z, r, n",
                write={"keras": "kernel = jnp.concatenate([z, r, n], axis=1)  # [inputs, 3 units]"},
            ),
            "r_z_n": Value(
                label="r, z, n",
                write={
                    "torch": "kernel = torch.cat([r, z, n], dim=1).T  # [3 units, inputs]",
                    "equinox": "kernel = jnp.concatenate([r, z, n], axis=1).T  # [3 units, inputs]",
                },
            ),
        },
        defaults={
            "keras": Default(value="z_r_n", source="keras/src/layers/rnn/gru.py, GRUCell.call"),
            "torch": Default(value="r_z_n", source="torch/nn/modules/rnn.py, GRU"),
            "equinox": Default(value="r_z_n", source="equinox/nn/_rnn.py, GRUCell"),
        },
    ),
    Piece(
        key="gru_reset",
        label="where a GRU resets",
        topic="recurrent",
        summary="Before the old state is multiplied by its weights, as in the paper, or after, as "
        "cuDNN does.",
        reference="Cho et al., 2014, has the first",
        contexts=("gru",),
        values={
            "after": Value(
                label="after the product",
                latex=r"n = \tanh(W x + r\,(U h))",
                settings={"model": "gru_reset_after"},
                write={
                    "keras": "layer = keras.layers.GRU(2, reset_after=True)",
                    "torch": "layer = torch.nn.GRU(3, 2)",
                    "flax": "layer = flax.linen.GRUCell(2)",
                    "equinox": "layer = equinox.nn.GRUCell(3, 2, key=key)",
                },
            ),
            "before": Value(
                label="before the product",
                latex=r"n = \tanh(W x + U (r\,h))",
                settings={"model": "gru"},
                write={"keras": "layer = keras.layers.GRU(2, reset_after=False)"},
            ),
        },
        defaults={
            "keras": Default(value="after", source="keras/src/layers/rnn/gru.py, GRU"),
            "torch": Default(value="after", source="torch/nn/modules/rnn.py, GRU"),
            "flax": Default(value="after", source="flax/linen/recurrent.py, GRUCell"),
            "equinox": Default(value="after", source="equinox/nn/_rnn.py, GRUCell"),
        },
    ),
]
