"""Pieces about BatchNorm and LayerNorm."""

from core.study.atlas.piece import Default, Piece, Value

_KERAS = "keras/src/layers/normalization/batch_normalization.py, BatchNormalization"
_TORCH = "torch/nn/modules/batchnorm.py, _NormBase"
_FLAX = "flax/linen/normalization.py, BatchNorm"
_STAX = "jax/example_libraries/stax.py, BatchNorm"
_EQUINOX = "equinox/nn/_batch_norm.py, BatchNorm"
_EQUINOX_CODE = (
    'layer, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(4, "batch", mode="{}")'
)
_RUNNING = r"\mu \leftarrow m\,\mu + (1 - m)\,\mu_B"


def _batch_norm(momentum: float = 0.0, epsilon: float = 0.0) -> dict[str, str]:
    """Return the code of a BatchNorm of 4 numbers with a momentum or an epsilon, or with both."""
    more: dict[str, list[str]] = {name: [] for name in ("keras", "torch", "flax", "equinox")}
    if momentum:
        for name, each in more.items():
            number = round(1 - momentum, 4) if name == "torch" else momentum
            each.append(f"momentum={number}")
    if epsilon:
        for name, each in more.items():
            each.append(f"{'eps' if name in ('torch', 'equinox') else 'epsilon'}={epsilon}")
    code = {name: ", ".join(each) for name, each in more.items()}
    return {
        "keras": f"layer = keras.layers.BatchNormalization({code['keras']})",
        "torch": f"layer = torch.nn.BatchNorm1d(4, {code['torch']})",
        "flax": f"layer = flax.linen.BatchNorm({code['flax']})",
        "equinox": "layer, state = equinox.nn.make_with_state(equinox.nn.BatchNorm)(\n"
        f'    4, "batch", {code["equinox"]}, mode="ema")',
    }


_CONTEXTS = ("batch_norm", "early_batch_norm")


def _momentum(momentum: float) -> Value:
    return Value(
        label=f"{momentum}",
        settings={"norm_momentum": momentum},
        write=_batch_norm(momentum=momentum),
    )


def _epsilon(epsilon: float) -> Value:
    code = {**_batch_norm(epsilon=epsilon), "stax": f"layer = stax.BatchNorm(0, epsilon={epsilon})"}
    return Value(label=f"{epsilon}", settings={"norm_epsilon": epsilon}, write=code)


def _layer_norm(epsilon: float) -> Value:
    return Value(
        label=f"{epsilon}",
        settings={"norm_epsilon": epsilon},
        latex=r"(x - \mu) / \sqrt{\sigma^2 + \epsilon}",
        write={
            "keras": f"layer = keras.layers.LayerNormalization(epsilon={epsilon})",
            "torch": f"layer = torch.nn.LayerNorm(12, eps={epsilon})",
            "flax": f"layer = flax.linen.LayerNorm(epsilon={epsilon})",
            "equinox": f"layer = equinox.nn.LayerNorm(12, eps={epsilon})",
        },
    )


_BIASED_TORCH = """\
class BatchNorm1d(torch.nn.BatchNorm1d):
    def forward(self, x):
        old, m = self.running_var.clone(), self.momentum
        y = super().forward(x)
        if self.training:
            with torch.no_grad():
                n = x.numel() / x.shape[1]
                self.running_var -= (self.running_var - (1 - m) * old) / n
        return y
layer = BatchNorm1d(4)"""
_UNBIASED_KERAS = """\
class BatchNormalization(keras.layers.BatchNormalization):
    def call(self, x, training=None, mask=None):
        old = keras.ops.convert_to_tensor(self.moving_variance)
        y = super().call(x, training=training, mask=mask)
        if training:
            n = math.prod(x.shape) / x.shape[self.axis]
            moved = self.moving_variance - self.momentum * old
            self.moving_variance.assign(self.momentum * old + moved * n / (n - 1))
        return y
layer = BatchNormalization()"""

PIECES = [
    Piece(
        key="batch_norm_momentum",
        label="momentum of BatchNorm",
        topic="batch_norm",
        contexts=_CONTEXTS,
        summary="How much of its running averages BatchNorm keeps with each batch. At 0.99, a "
        "third of what they started from is still in them after 100 updates.",
        latex=_RUNNING,
        values={f"{m}": _momentum(m) for m in (0.99, 0.9, 0.1, 0.01)},
        defaults={
            "keras": Default(value="0.99", source=_KERAS),
            "torch": Default(value="0.9", source=_TORCH, note="It is written 0.1."),
            "flax": Default(value="0.99", source=_FLAX),
            "equinox": Default(
                value="0.99",
                source=_EQUINOX,
                note="The averages start at the first batch, and are what training uses, too.",
            ),
        },
    ),
    Piece(
        key="batch_norm_number",
        label="the number that is called momentum",
        topic="batch_norm",
        contexts=_CONTEXTS,
        summary="The share of the old average, or of the new batch. Carried over as it is, 0.99 "
        "keeps a hundredth, and 0.1 a tenth.",
        values={
            "old": Value(
                label="0.99 of the old average",
                settings={"norm_momentum": 0.99},
                latex=r"\mu \leftarrow 0.99\,\mu + 0.01\,\mu_B",
                write=_batch_norm(momentum=0.99),
            ),
            "new": Value(
                label="0.99 of the new batch",
                settings={"norm_momentum": 0.01},
                latex=r"\mu \leftarrow 0.01\,\mu + 0.99\,\mu_B",
                write=_batch_norm(momentum=0.01),
            ),
        },
        defaults={
            "keras": Default(value="old", source=_KERAS),
            "torch": Default(value="new", source=_TORCH),
            "flax": Default(value="old", source=_FLAX),
            "equinox": Default(value="old", source=_EQUINOX),
        },
    ),
    Piece(
        key="batch_norm_epsilon",
        label="epsilon of BatchNorm",
        topic="batch_norm",
        contexts=("batch_norm",),
        summary="What is added to the variance. It is seen where units hardly vary.",
        values={"0.001": _epsilon(1e-3), "1e-05": _epsilon(1e-5)},
        defaults={
            "keras": Default(value="0.001", source=_KERAS),
            "torch": Default(value="1e-05", source=_TORCH),
            "flax": Default(value="1e-05", source=_FLAX),
            "equinox": Default(value="1e-05", source=_EQUINOX),
            "stax": Default(value="1e-05", source=_STAX),
        },
    ),
    Piece(
        key="batch_norm_variance",
        label="the variance that BatchNorm keeps",
        topic="batch_norm",
        contexts=("batch_norm",),
        summary="Of a batch of n, the mean square from the mean, or n/(n - 1) times that. All "
        "train with the first; PyTorch keeps the second for evaluation.",
        values={
            "biased": Value(
                label="over n",
                settings={"norm_variance": "biased"},
                latex=r"\frac1n\sum_i(x_i - \mu_B)^2",
                write={
                    "keras": "layer = keras.layers.BatchNormalization()",
                    "torch": _BIASED_TORCH,
                    "flax": "layer = flax.linen.BatchNorm()",
                    "equinox": _EQUINOX_CODE.format("ema"),
                },
            ),
            "unbiased": Value(
                label="over n - 1",
                settings={"norm_variance": "unbiased"},
                latex=r"\frac1{n-1}\sum_i(x_i - \mu_B)^2",
                write={"keras": _UNBIASED_KERAS, "torch": "layer = torch.nn.BatchNorm1d(4)"},
            ),
        },
        defaults={
            "keras": Default(value="biased", source=f"{_KERAS}.call"),
            "torch": Default(value="unbiased", source="aten/src/ATen/native/Normalization.cpp"),
            "flax": Default(value="biased", source=_FLAX),
            "equinox": Default(value="biased", source=_EQUINOX),
        },
    ),
    Piece(
        key="batch_norm_in_training",
        label="BatchNorm in training",
        topic="batch_norm",
        summary="Training normalises by the batch's own mean and variance; Equinox's first form "
        "does it by the running averages.",
        values={
            "batch": Value(
                label="those of the batch",
                write={
                    "keras": "layer = keras.layers.BatchNormalization()",
                    "torch": "layer = torch.nn.BatchNorm1d(4)",
                    "flax": "layer = flax.linen.BatchNorm()",
                    "equinox": _EQUINOX_CODE.format("batch"),
                    "stax": "layer = stax.BatchNorm(0)",
                },
            ),
            "running": Value(
                label="running averages", write={"equinox": _EQUINOX_CODE.format("ema")}
            ),
        },
        defaults={
            "keras": Default(value="batch", source=f"{_KERAS}.call"),
            "torch": Default(value="batch", source=_TORCH),
            "flax": Default(value="batch", source=_FLAX),
            "equinox": Default(
                value="running", source=_EQUINOX, note="It warns that a mode should be given."
            ),
            "stax": Default(value="batch", source=_STAX),
        },
    ),
    Piece(
        key="batch_norm_at_test",
        label="BatchNorm at test time",
        topic="batch_norm",
        contexts=("batch_norm",),
        summary="Running averages, or the test batch's own mean and variance: then an image's "
        "answer depends on which others are tested with it.",
        values={
            "running": Value(
                label="running averages",
                settings={"norm_test": "running"},
                write={
                    "keras": "y = layer(x, training=False)",
                    "torch": "layer.eval()\ny = layer(x)",
                    "flax": "y = layer.apply(variables, x, use_running_average=True)",
                    "equinox": "tested = jax.vmap(equinox.nn.inference_mode(layer), (0, None), "
                    '(0, None), axis_name="batch")\n'
                    "y, state = tested(x, state)",
                },
            ),
            "batch": Value(
                label="those of the test batch",
                settings={"norm_test": "batch"},
                write={
                    "keras": "y = layer(x, training=True)",
                    "torch": "layer.train()\ny = layer(x)",
                    "flax": "y, _ = layer.apply(\n    variables, x, use_running_average=False, "
                    'mutable=["batch_stats"])',
                    "stax": "y = apply(params, x)",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="running", source=f"{_KERAS}.call", note="By evaluate and predict."
            ),
            "torch": Default(value="batch", source=_TORCH, note="Until model.eval() is called."),
            "stax": Default(value="batch", source=_STAX, note="It has no running averages at all."),
        },
    ),
    Piece(
        key="batch_norm",
        label="BatchNorm, all its defaults",
        topic="batch_norm",
        contexts=_CONTEXTS,
        summary="Momentum, epsilon and the variance that is kept, together.",
        values={
            "keras": Value(
                label="0.99, 1e-3, over n",
                settings={"norm_momentum": 0.99, "norm_epsilon": 1e-3, "norm_variance": "biased"},
                write={
                    "keras": _batch_norm(0.99, 1e-3)["keras"],
                    "flax": _batch_norm(0.99, 1e-3)["flax"],
                    "torch": _BIASED_TORCH.replace(
                        "BatchNorm1d(4)", "BatchNorm1d(4, momentum=0.01, eps=0.001)"
                    ),
                },
            ),
            "torch": Value(
                label="0.9, 1e-5, over n - 1",
                settings={"norm_momentum": 0.9, "norm_epsilon": 1e-5, "norm_variance": "unbiased"},
                write={
                    "keras": _UNBIASED_KERAS.replace(
                        "BatchNormalization()", "BatchNormalization(momentum=0.9, epsilon=1e-5)"
                    ),
                    "torch": _batch_norm(0.9, 1e-5)["torch"],
                },
            ),
        },
        defaults={
            "keras": Default(value="keras", source=_KERAS),
            "torch": Default(value="torch", source=_TORCH),
        },
    ),
    Piece(
        key="layer_norm_epsilon",
        label="epsilon of LayerNorm",
        topic="layer_norm",
        summary="Keras, PyTorch and Flax each have their own; Equinox has PyTorch's.",
        contexts=("layer_norm",),
        values={f"{epsilon}": _layer_norm(epsilon) for epsilon in (1e-3, 1e-5, 1e-6)},
        defaults={
            "keras": Default(
                value="0.001",
                source="keras/src/layers/normalization/layer_normalization.py, LayerNormalization",
            ),
            "torch": Default(value="1e-05", source="torch/nn/modules/normalization.py, LayerNorm"),
            "flax": Default(value="1e-06", source="flax/linen/normalization.py, LayerNorm"),
            "equinox": Default(value="1e-05", source="equinox/nn/_normalisation.py, LayerNorm"),
        },
    ),
    Piece(
        key="layer_norm_argument",
        label="LayerNorm(12)",
        topic="layer_norm",
        summary="The first argument is the shape of what is normalised, an axis, or an epsilon "
        "of 12, which nobody is warned of.",
        values={
            "shape": Value(
                label="the last 12 numbers",
                write={
                    "keras": "layer = keras.layers.LayerNormalization()",
                    "torch": "layer = torch.nn.LayerNorm(12)",
                    "flax": "layer = flax.linen.LayerNorm()",
                    "equinox": "layer = equinox.nn.LayerNorm(12)",
                },
            ),
            "epsilon": Value(
                label="an epsilon of 12",
                write={
                    "keras": "layer = keras.layers.LayerNormalization(epsilon=12)",
                    "torch": "layer = torch.nn.LayerNorm(12, eps=12)",
                    "flax": "layer = flax.linen.LayerNorm(12)",
                    "equinox": "layer = equinox.nn.LayerNorm(12, eps=12)",
                },
            ),
            "axis": Value(
                label="axis 12: an error if there is none",
                write={"keras": "layer = keras.layers.LayerNormalization(12)"},
            ),
        },
        defaults={
            "keras": Default(
                value="axis",
                source="keras/src/layers/normalization/layer_normalization.py, LayerNormalization",
            ),
            "torch": Default(value="shape", source="torch/nn/modules/normalization.py, LayerNorm"),
            "flax": Default(value="epsilon", source="flax/linen/normalization.py, LayerNorm"),
            "equinox": Default(value="shape", source="equinox/nn/_normalisation.py, LayerNorm"),
        },
    ),
]
