"""Pieces about arithmetic and random numbers."""

from core.study.atlas.piece import Default, Piece, Value

_JAX_PRECISION = 'jax.config.update("jax_default_matmul_precision", "{}")'
_TF32 = "tf.config.experimental.enable_tensor_float_32_execution({})"
_JAX_CONFIG = "jax/_src/config.py"


def _by_jax(code: str) -> dict[str, str]:
    return dict.fromkeys(("flax", "equinox", "stax"), code)


def _jax_does(value: str, source: str, note: str = "") -> dict[str, Default]:
    default = Default(value=value, source=source, note=note)
    return dict.fromkeys(("flax", "equinox", "stax"), default)


PIECES = [
    Piece(
        key="tf32",
        label="TF32 in products of matrices",
        topic="numbers",
        summary="Whether a GPU may round what it multiplies to 10 bits after the point, which is "
        "faster. On a CPU nothing is rounded so.",
        values={
            "off": Value(
                label="off",
                write={
                    "torch": 'torch.set_float32_matmul_precision("highest")',
                    **_by_jax(_JAX_PRECISION.format("highest")),
                    "tf1": _TF32.format(False),
                },
            ),
            "on": Value(
                label="on",
                write={
                    "torch": 'torch.set_float32_matmul_precision("high")',
                    **_by_jax(_JAX_PRECISION.format("tensorfloat32")),
                    "tf1": _TF32.format(True),
                },
            ),
            "device": Value(
                label="the device decides",
                write=_by_jax('jax.config.update("jax_default_matmul_precision", None)'),
            ),
        },
        defaults={
            "torch": Default(
                value="off",
                source="torch/backends/cuda/__init__.py, cuBLASModule",
                note="Convolutions by cuDNN may.",
            ),
            **_jax_does("device", f"{_JAX_CONFIG}, default_matmul_precision"),
            "tf1": Default(value="on", source="tensorflow/python/framework/config.py"),
        },
    ),
    Piece(
        key="float64",
        label="arrays of 64-bit numbers",
        topic="numbers",
        summary="What becomes of a NumPy array of float64, which is NumPy's default: kept, or "
        "silently made float32.",
        values={
            "float32": Value(
                label="made float32",
                settings={"precision": "float32"},
                write={
                    "keras": "y = keras.ops.convert_to_tensor(x, keras.config.floatx())",
                    "torch": "y = torch.tensor(x, dtype=torch.float32)",
                    **_by_jax("y = jnp.asarray(x, jnp.float32)"),
                    "tf1": "y = tf.constant(x, tf.float32)",
                },
            ),
            "float64": Value(
                label="kept",
                settings={"precision": "float64"},
                write={
                    "torch": "y = torch.tensor(x)",
                    **_by_jax('jax.config.update("jax_enable_x64", True)\ny = jnp.asarray(x)'),
                    "tf1": "y = tf.constant(x)",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="float32",
                source="keras/src/backend/config.py, floatx",
                note="Layers cast their inputs to floatx.",
            ),
            "torch": Default(
                value="float64", source="torch/csrc/utils/tensor_new.cpp, tensor_ctor"
            ),
            **_jax_does("float32", f"{_JAX_CONFIG}, enable_x64"),
            "tf1": Default(value="float64", source="tensorflow/python/framework/constant_op.py"),
        },
    ),
    Piece(
        key="seeds",
        label="the same seed",
        topic="numbers",
        summary="Seed 0 is the start of other random numbers in each framework, so a port begins "
        "from other weights as if it had another seed. Only copied arrays are the same.",
        values={
            "threefry": Value(
                label="Threefry: 0.947667, …",
                write=_by_jax("y = jax.random.uniform(jax.random.key(0), 3)"),
            ),
            "mersenne": Value(
                label="Mersenne Twister: 0.496257, …",
                write={"torch": "torch.manual_seed(0)\ny = torch.rand(3)"},
            ),
            "philox": Value(
                label="Philox: 0.291975, …",
                write={"tf1": "tf.random.set_seed(0)\ny = tf.random.uniform([3])"},
            ),
        },
        defaults={
            **_jax_does("threefry", "jax/_src/random/core.py, uniform"),
            "torch": Default(value="mersenne", source="aten/src/ATen/CPUGeneratorImpl.cpp"),
            "tf1": Default(value="philox", source="tensorflow/python/ops/random_ops.py"),
        },
    ),
]
