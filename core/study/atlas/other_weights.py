"""Pieces about what convolutions, embeddings and GRUs start from."""

from core.study.atlas.piece import Default, Piece, Value
from core.study.atlas.shared import JAX_UNIFORM

_GLOROT = "jax.nn.initializers.glorot_uniform()"
_LECUN = "jax.nn.initializers.lecun_normal()"


def _normal(spread: str) -> dict[str, str]:
    return {
        "keras": "layer = keras.layers.Embedding(\n    1000, 64, embeddings_initializer="
        f"keras.initializers.RandomNormal(stddev={spread}))",
        "torch": "layer = torch.nn.Embedding(1000, 64)\n"
        f"torch.nn.init.normal_(layer.weight, std={spread})",
        "flax": "layer = flax.linen.Embed(1000, 64, embedding_init="
        f"jax.nn.initializers.normal({spread}))",
        "equinox": "layer = equinox.nn.Embedding("
        f"weight={spread} * jax.random.normal(key, (1000, 64)))",
    }


PIECES = [
    Piece(
        key="conv_start",
        label="what a convolution starts from",
        topic="convolution",
        summary="A 3 by 3 kernel from 16 channels to 64 has 144 inputs; few inputs make PyTorch's "
        "weights larger than Keras's, many smaller.",
        values={
            "glorot_uniform": Value(
                label="Glorot uniform, biases 0",
                latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})})",
                write={
                    "keras": "layer = keras.layers.Conv2D(\n"
                    '    64, 3, kernel_initializer="glorot_uniform", bias_initializer="zeros")',
                    "torch": "layer = torch.nn.Conv2d(16, 64, 3)\n"
                    "torch.nn.init.xavier_uniform_(layer.weight)\n"
                    "torch.nn.init.zeros_(layer.bias)",
                    "flax": f"layer = flax.linen.Conv(64, (3, 3), kernel_init={_GLOROT})",
                    "stax": f"layer = stax.Conv(64, (3, 3), W_init={_GLOROT},\n"
                    "                  b_init=jax.nn.initializers.zeros)",
                },
            ),
            "uniform": Value(
                label="uniform 1/√inputs, biases too",
                latex=r"W, b \sim U(\pm 1/\sqrt{n_{in}})",
                write={
                    "keras": "bound = (3 * 3 * 16) ** -0.5\n"
                    "uniform = keras.initializers.RandomUniform(-bound, bound)\n"
                    "layer = keras.layers.Conv2D(\n"
                    "    64, 3, kernel_initializer=uniform, bias_initializer=uniform.clone())",
                    "torch": "layer = torch.nn.Conv2d(16, 64, 3)",
                    "flax": f"{JAX_UNIFORM.format(inputs='(3 * 3 * 16)')}"
                    "layer = flax.linen.Conv(64, (3, 3), kernel_init=uniform, bias_init=uniform)",
                    "equinox": "layer = equinox.nn.Conv2d(16, 64, 3, key=key)",
                    "stax": f"{JAX_UNIFORM.format(inputs='(3 * 3 * 16)')}"
                    "layer = stax.Conv(64, (3, 3), W_init=uniform, b_init=uniform)",
                },
            ),
            "lecun_normal": Value(
                label="LeCun normal, biases 0",
                latex=r"W \sim N(0, 1/n_{in})",
                write={
                    "keras": "layer = keras.layers.Conv2D(\n"
                    '    64, 3, kernel_initializer="lecun_normal")',
                    "flax": f"layer = flax.linen.Conv(64, (3, 3), kernel_init={_LECUN})",
                    "stax": f"layer = stax.Conv(64, (3, 3), W_init={_LECUN},\n"
                    "                  b_init=jax.nn.initializers.zeros)",
                },
            ),
            "glorot_normal": Value(
                label="Glorot normal, biases N(0, 1e-6²)",
                latex=r"W \sim N(0, 2/(n_{in} + n_{out}))",
                write={
                    "keras": "layer = keras.layers.Conv2D(\n"
                    '    64, 3, kernel_initializer="glorot_normal",\n'
                    "    bias_initializer=keras.initializers.RandomNormal(stddev=1e-6))",
                    "flax": "layer = flax.linen.Conv(\n"
                    "    64, (3, 3), kernel_init=jax.nn.initializers.glorot_normal(),\n"
                    "    bias_init=jax.nn.initializers.normal(1e-6))",
                    "stax": "layer = stax.Conv(64, (3, 3))",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="glorot_uniform", source="keras/src/layers/convolutional/conv2d.py, Conv2D"
            ),
            "torch": Default(
                value="uniform", source="torch/nn/modules/conv.py, _ConvNd.reset_parameters"
            ),
            "flax": Default(value="lecun_normal", source="flax/linen/linear.py, Conv"),
            "equinox": Default(value="uniform", source="equinox/nn/_conv.py, Conv"),
            "stax": Default(
                value="glorot_normal", source="jax/example_libraries/stax.py, GeneralConv"
            ),
        },
    ),
    Piece(
        key="embedding_start",
        label="what an embedding starts from",
        topic="recurrent",
        summary="PyTorch's is 35 times as large as Keras's.",
        values={
            "uniform": Value(
                label="U(±0.05)",
                latex=r"E \sim U(\pm 0.05)",
                write={
                    "keras": 'layer = keras.layers.Embedding(1000, 64, "uniform")',
                    "torch": "layer = torch.nn.Embedding(1000, 64)\n"
                    "torch.nn.init.uniform_(layer.weight, -0.05, 0.05)",
                    "flax": f"{JAX_UNIFORM.format(inputs='400')}"
                    "layer = flax.linen.Embed(1000, 64, embedding_init=uniform)",
                    "equinox": "layer = equinox.nn.Embedding(weight=jax.random.uniform(\n"
                    "    key, (1000, 64), minval=-0.05, maxval=0.05))",
                },
            ),
            "normal_1": Value(label="N(0, 1)", latex=r"E \sim N(0, 1)", write=_normal("1.0")),
            "normal_features": Value(
                label="N(0, 1/features)", latex=r"E \sim N(0, 1/64)", write=_normal("64**-0.5")
            ),
        },
        defaults={
            "keras": Default(
                value="uniform", source="keras/src/layers/core/embedding.py, Embedding"
            ),
            "torch": Default(
                value="normal_1", source="torch/nn/modules/sparse.py, Embedding.reset_parameters"
            ),
            "flax": Default(
                value="normal_features", source="flax/linen/linear.py, default_embed_init"
            ),
            "equinox": Default(value="normal_1", source="equinox/nn/_embedding.py, Embedding"),
        },
    ),
    Piece(
        key="gru_start",
        label="what a GRU starts from",
        topic="recurrent",
        summary="Keras and Flax take an orthogonal matrix for the state, for all gates joined or "
        "for each; PyTorch draws everything from one uniform distribution, biases too.",
        values={
            "glorot_joined": Value(
                label="Glorot uniform, orthogonal over the joined gates",
                write={
                    "keras": "layer = keras.layers.GRU(\n"
                    '    64, kernel_initializer="glorot_uniform", '
                    'recurrent_initializer="orthogonal")',
                    "torch": "layer = torch.nn.GRU(32, 64)\n"
                    "torch.nn.init.xavier_uniform_(layer.weight_ih_l0)\n"
                    "torch.nn.init.orthogonal_(layer.weight_hh_l0)\n"
                    "torch.nn.init.zeros_(layer.bias_ih_l0)\n"
                    "torch.nn.init.zeros_(layer.bias_hh_l0)",
                },
            ),
            "uniform": Value(
                label="uniform 1/√units, biases too",
                latex=r"W, U, b \sim U(\pm 1/\sqrt{n})",
                write={
                    "keras": "uniform = keras.initializers.RandomUniform(-(64**-0.5), 64**-0.5)\n"
                    "layer = keras.layers.GRU(\n    64, kernel_initializer=uniform, "
                    "recurrent_initializer=uniform.clone(),\n    bias_initializer=uniform.clone())",
                    "torch": "layer = torch.nn.GRU(32, 64)",
                    "equinox": "layer = equinox.nn.GRUCell(32, 64, key=key)",
                },
            ),
            "lecun_each": Value(
                label="LeCun normal, orthogonal for each gate",
                write={"flax": "layer = flax.linen.GRUCell(64)"},
            ),
        },
        defaults={
            "keras": Default(value="glorot_joined", source="keras/src/layers/rnn/gru.py, GRU"),
            "torch": Default(
                value="uniform", source="torch/nn/modules/rnn.py, RNNBase.reset_parameters"
            ),
            "flax": Default(value="lecun_each", source="flax/linen/recurrent.py, GRUCell"),
            "equinox": Default(value="uniform", source="equinox/nn/_rnn.py, GRUCell"),
        },
    ),
]
