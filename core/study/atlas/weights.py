"""Pieces about the weights and biases that layers start from."""

from core.study.atlas.piece import Default, Piece, Value
from core.study.atlas.shared import JAX_UNIFORM

_EQUINOX = """\
layer = equinox.nn.Linear(784, 512, key=key)
weights = jax.nn.initializers.{weights}(key, (784, 512)).T
layer = equinox.tree_at(lambda l: (l.weight, l.bias), layer, (weights, {biases}))"""
_UNIFORM = JAX_UNIFORM.format(inputs=784)
_TF1 = """\
weights = tf.compat.v1.get_variable("weights", (784, 512){weights})
biases = tf.compat.v1.get_variable("biases", 512, initializer={biases})"""
_TF1_ZEROS = "tf.compat.v1.zeros_initializer()"
_TF1_UNIFORM = "tf.compat.v1.random_uniform_initializer(-(784**-0.5), 784**-0.5)"
_KERAS_LIKE_TORCH = (
    'kernel_initializer=keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")'
)
_KERAS_UNIFORM = "bias_initializer=keras.initializers.RandomUniform(-(784**-0.5), 784**-0.5)"
_SCALED = 'jax.nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")'


def _keras(*arguments: str) -> str:
    return "layer = keras.layers.Dense(\n    512, " + ",\n    ".join(arguments) + ")"


def _torch(*lines: str) -> str:
    return "\n".join(["layer = torch.nn.Linear(784, 512)", *lines])


def _equinox(weights: str, biases: str = "jnp.zeros(512)") -> str:
    return _EQUINOX.format(weights=weights, biases=biases)


def _tf1(weights: str = "", biases: str = _TF1_ZEROS) -> str:
    return _TF1.format(weights=weights and f", initializer={weights}", biases=biases)


_ZERO = "torch.nn.init.zeros_(layer.bias)"


def _jax(weights: str, biases: str, before: str = "") -> dict[str, str]:
    """Return the code of stax, and that of Flax."""
    return {
        "stax": f"{before}layer = stax.Dense(512, W_init={weights}, b_init={biases})",
        "flax": f"{before}layer = flax.linen.Dense(512, kernel_init={weights}, bias_init={biases})",
    }


def _normal(spread: str) -> Value:
    by_hand = f"jax.nn.initializers.normal({spread})"
    return Value(
        label=f"N(0, {spread}²), biases too" if spread != "1.0" else "N(0, 1), biases too",
        latex=rf"W, b \sim N(0, {spread}^2)",
        settings={"initializer": "normal_1" if spread == "1.0" else "normal_0.01"},
        write={
            "keras": _keras(
                f"kernel_initializer=keras.initializers.RandomNormal(stddev={spread})",
                f"bias_initializer=keras.initializers.RandomNormal(stddev={spread})",
            ),
            "torch": _torch(
                f"torch.nn.init.normal_(layer.weight, std={spread})",
                f"torch.nn.init.normal_(layer.bias, std={spread})",
            ),
            **_jax(by_hand, by_hand),
            "equinox": _equinox(f"normal({spread})", f"{spread} * jax.random.normal(key, 512)"),
            "tf1": f"weights = tf.Variable(tf.random.normal((784, 512), stddev={spread}))\n"
            f"biases = tf.Variable(tf.random.normal((512,), stddev={spread}))",
        },
    )


_NORMAL_LECUN = "spread = 784**-0.5 / 0.87962566  # before what is beyond 2 spreads is cut off"

PIECES = [
    Piece(
        key="dense_start",
        label="what a dense layer starts from",
        topic="weights",
        summary="How weights and biases are drawn where nothing is said. Plain SGD learns at a "
        "pace that depends on it.",
        contexts=("adam", "sgd", "slow_sgd"),
        values={
            "glorot_uniform": Value(
                label="Glorot uniform, biases 0",
                latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b = 0",
                settings={"initializer": "keras"},
                write={
                    "keras": _keras(
                        'kernel_initializer="glorot_uniform"', 'bias_initializer="zeros"'
                    ),
                    "torch": _torch("torch.nn.init.xavier_uniform_(layer.weight)", _ZERO),
                    **_jax("jax.nn.initializers.glorot_uniform()", "jax.nn.initializers.zeros"),
                    "equinox": _equinox("glorot_uniform()"),
                    "tf1": _tf1("tf.compat.v1.glorot_uniform_initializer()"),
                },
            ),
            "uniform": Value(
                label="uniform 1/√inputs, biases too",
                latex=r"W, b \sim U(\pm 1/\sqrt{n_{in}})",
                settings={"initializer": "pytorch"},
                write={
                    "keras": _keras(_KERAS_LIKE_TORCH, _KERAS_UNIFORM),
                    "torch": _torch(
                        "torch.nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5))",
                        "torch.nn.init.uniform_(layer.bias, -(784**-0.5), 784**-0.5)",
                    ),
                    **_jax("uniform", "uniform", _UNIFORM),
                    "equinox": "layer = equinox.nn.Linear(784, 512, key=key)",
                    "tf1": _tf1(_TF1_UNIFORM, _TF1_UNIFORM),
                },
            ),
            "lecun_normal": Value(
                label="LeCun normal, biases 0",
                latex=r"W \sim N(0, 1/n_{in}),\quad b = 0",
                settings={"initializer": "flax"},
                write={
                    "keras": _keras(
                        'kernel_initializer="lecun_normal"', 'bias_initializer="zeros"'
                    ),
                    "torch": _torch(
                        _NORMAL_LECUN,
                        "torch.nn.init.trunc_normal_(",
                        "    layer.weight, std=spread, a=-2 * spread, b=2 * spread)",
                        _ZERO,
                    ),
                    **_jax("jax.nn.initializers.lecun_normal()", "jax.nn.initializers.zeros"),
                    "equinox": _equinox("lecun_normal()"),
                    "tf1": _tf1('tf.compat.v1.variance_scaling_initializer(1.0, "fan_in")'),
                },
            ),
            "glorot_normal": Value(
                label="Glorot normal, biases N(0, 0.01²)",
                latex=r"W \sim N(0, 2/(n_{in} + n_{out}))\ \text{cut off},\quad "
                r"b \sim N(0, 10^{-4})",
                settings={"initializer": "glorot_normal"},
                write={
                    "keras": _keras(
                        'kernel_initializer="glorot_normal"',
                        "bias_initializer=keras.initializers.RandomNormal(stddev=0.01)",
                    ),
                    "torch": _torch(
                        "spread = (2 / (784 + 512)) ** 0.5 / 0.87962566",
                        "torch.nn.init.trunc_normal_(",
                        "    layer.weight, std=spread, a=-2 * spread, b=2 * spread)",
                        "torch.nn.init.normal_(layer.bias, std=0.01)",
                    ),
                    **_jax(
                        "jax.nn.initializers.glorot_normal()", "jax.nn.initializers.normal(0.01)"
                    ),
                    "equinox": _equinox("glorot_normal()", "0.01 * jax.random.normal(key, 512)"),
                    "tf1": _tf1(
                        "tf.compat.v1.glorot_normal_initializer()",
                        "tf.compat.v1.random_normal_initializer(stddev=0.01)",
                    ),
                },
            ),
            "normal_0.01": _normal("0.01"),
            "normal_1": _normal("1.0"),
        },
        defaults={
            "keras": Default(
                value="glorot_uniform",
                source="keras/src/layers/core/dense.py, Dense",
                note="The same in Keras 2 and tf.keras.",
            ),
            "torch": Default(
                value="uniform", source="torch/nn/modules/linear.py, Linear.reset_parameters"
            ),
            "flax": Default(value="lecun_normal", source="flax/linen/linear.py, Dense"),
            "equinox": Default(value="uniform", source="equinox/nn/_linear.py, Linear"),
            "stax": Default(value="glorot_normal", source="jax/example_libraries/stax.py, Dense"),
        },
    ),
    Piece(
        key="biases",
        label="initial biases",
        topic="weights",
        summary="Keras and Flax begin at 0. Next to the weights that PyTorch draws, its biases "
        "hardly matter.",
        contexts=("adam", "slow_sgd"),
        values={
            "zeros": Value(
                label="0",
                latex="b = 0",
                settings={"initializer": "pytorch_weights"},
                write={
                    "keras": _keras(_KERAS_LIKE_TORCH, 'bias_initializer="zeros"'),
                    "torch": _torch(_ZERO),
                    **_jax(_SCALED, "jax.nn.initializers.zeros"),
                    "equinox": "layer = equinox.nn.Linear(784, 512, key=key)\n"
                    "layer = equinox.tree_at(lambda l: l.bias, layer, jnp.zeros(512))",
                    "tf1": _tf1(_TF1_UNIFORM),
                },
            ),
            "uniform": Value(
                label="uniform 1/√inputs",
                latex=r"b \sim U(\pm 1/\sqrt{n_{in}})",
                settings={"initializer": "pytorch"},
                write={
                    "keras": _keras(_KERAS_LIKE_TORCH, _KERAS_UNIFORM),
                    "torch": _torch("torch.nn.init.uniform_(layer.bias, -(784**-0.5), 784**-0.5)"),
                    **_jax(_SCALED, "uniform", _UNIFORM),
                    "equinox": "layer = equinox.nn.Linear(784, 512, key=key)",
                    "tf1": _tf1(_TF1_UNIFORM, _TF1_UNIFORM),
                },
            ),
            "normal_0.01": Value(
                label="N(0, 0.01²)",
                latex=r"b \sim N(0, 10^{-4})",
                write={
                    "keras": _keras(
                        _KERAS_LIKE_TORCH,
                        "bias_initializer=keras.initializers.RandomNormal(stddev=0.01)",
                    ),
                    "torch": _torch("torch.nn.init.normal_(layer.bias, std=0.01)"),
                    **_jax(_SCALED, "jax.nn.initializers.normal(0.01)"),
                    "equinox": "layer = equinox.nn.Linear(784, 512, key=key)\n"
                    "biases = 0.01 * jax.random.normal(key, 512)\n"
                    "layer = equinox.tree_at(lambda l: l.bias, layer, biases)",
                    "tf1": _tf1(
                        _TF1_UNIFORM, "tf.compat.v1.random_normal_initializer(stddev=0.01)"
                    ),
                },
            ),
        },
        defaults={
            "keras": Default(value="zeros", source="keras/src/layers/core/dense.py, Dense"),
            "torch": Default(
                value="uniform", source="torch/nn/modules/linear.py, Linear.reset_parameters"
            ),
            "flax": Default(value="zeros", source="flax/linen/linear.py, Dense"),
            "equinox": Default(value="uniform", source="equinox/nn/_linear.py, Linear"),
            "stax": Default(
                value="normal_0.01",
                source="jax/example_libraries/stax.py, Dense",
                note="Those of a convolution have a spread of 1e-6.",
            ),
        },
    ),
    Piece(
        key="biases_by_hand",
        label="biases drawn like weights",
        topic="weights",
        summary="Nobody's default: tutorials of TensorFlow 1 drew biases by hand, from a standard "
        "normal.",
        contexts=("adam", "slow_sgd"),
        values={
            "zeros": Value(
                label="0",
                settings={"initializer": "keras"},
                write={"tf1": _tf1("tf.compat.v1.glorot_uniform_initializer()")},
            ),
            "normal_1": Value(
                label="N(0, 1)",
                latex=r"b \sim N(0, 1)",
                settings={"initializer": "glorot_uniform"},
                write={
                    "tf1": _tf1(
                        "tf.compat.v1.glorot_uniform_initializer()",
                        "tf.compat.v1.random_normal_initializer()",
                    )
                },
            ),
        },
        defaults={},
    ),
]
