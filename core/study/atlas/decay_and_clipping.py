"""Pieces about weight decay and gradient clipping."""

from core.study.atlas.piece import Default, Piece, Value
from core.study.atlas.shared import Family, made_by, optax, optax_does

_ADAMW = Family("Adam", "AdamW", "adamw")
_ADAM = Family("Adam", "Adam", "adam")
_L2_ALL = """\
layer = keras.layers.Dense(512, kernel_regularizer=keras.regularizers.L2(0.005),
                           bias_regularizer=keras.regularizers.L2(0.005))"""
_L2_KERNELS_TORCH = """\
kernels = [w for w in model.parameters() if w.ndim > 1]
biases = [w for w in model.parameters() if w.ndim == 1]
optimizer = torch.optim.Adam(
    [{"params": kernels, "weight_decay": 0.02}, {"params": biases}], lr=0.001)"""
# In Equinox, a convolution's biases have three axes.
_L2_KERNELS_OPTAX = """\
kernels = lambda params: jax.tree.map(lambda w: w.ndim > 1, params)  # of dense layers
optimizer = optax.chain(optax.add_decayed_weights(0.02, kernels), optax.adam(0.001))"""
_EACH_TORCH = """\
for w in model.parameters():
    torch.nn.utils.clip_grad_norm_(w, 0.1)"""
_EACH_OPTAX = """\
each = optax.stateless(lambda gradients, params: jax.tree.map(
    lambda g: g * 0.1 / jnp.maximum(jnp.sqrt(jnp.sum(g**2)), 0.1), gradients))
optimizer = optax.chain(each, optax.sgd(0.1))"""
_EACH_STAX = """\
gradients = jax.tree.map(lambda g: optimizers.clip_grads(g, 0.1), gradients)"""
_GLOBAL_TORCH = """\
norm = torch.nn.utils.get_total_norm(w.grad for w in model.parameters())
for w in model.parameters():
    w.grad *= 0.1 / norm.clamp(min=0.1)"""
_GLOBAL_TF1 = "gradients, _ = tf.clip_by_global_norm(gradients, 0.1)"
_MORE_OPTAX = """\
def clip(gradients, params):
    factor = 0.1 / jnp.maximum(optax.tree.norm(gradients) + 1e-6, 0.1)
    return jax.tree.map(lambda g: g * factor, gradients)
optimizer = optax.chain(optax.stateless(clip), optax.sgd(0.1))"""
_MORE_STAX = """\
factor = 0.1 / jnp.maximum(optimizers.l2_norm(gradients) + 1e-6, 0.1)
gradients = jax.tree.map(lambda g: g * factor, gradients)"""
_CLIP_GRAD_NORM = "torch/nn/utils/clip_grad.py, clip_grad_norm_"
_KERAS_CLIP = "keras/src/optimizers/base_optimizer.py, BaseOptimizer._clip_gradients"
_STAX_CLIP = "jax/example_libraries/optimizers.py, clip_grads"

_GLOBAL = {
    "keras": "optimizer = keras.optimizers.SGD(learning_rate=0.1, global_clipnorm=0.1)",
    **optax("optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1))"),
    "stax": "gradients = optimizers.clip_grads(gradients, 0.1)",
    "tf1": _GLOBAL_TF1,
}
_WITH_1E_6 = "torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)"

PIECES = [
    Piece(
        key="weight_decay",
        label="what weight_decay= means",
        topic="decay",
        summary="A share of each weight that every step takes, or a part of the gradient, which "
        "Adam scales as it scales the rest.",
        contexts=("decay", "weak_decay", "momentum_decay"),
        values={
            "decoupled": Value(
                label="decoupled",
                latex=r"w \leftarrow w - \eta\lambda w",
                settings={"decay_form": "decoupled"},
                write=made_by(
                    _ADAMW,
                    0.001,
                    keras="weight_decay=0.01",
                    torch="weight_decay=0.01",
                    optax="weight_decay=0.01",
                ),
            ),
            "l2": Value(
                label="L2, in the gradient",
                latex=r"g \leftarrow g + \lambda w",
                settings={"decay_form": "l2"},
                write=made_by(
                    _ADAM,
                    0.001,
                    torch="weight_decay=0.01",
                    instead={
                        "keras": _L2_ALL,
                        "optax": "optimizer = optax.chain(optax.add_decayed_weights(0.01), "
                        "optax.adam(0.001))",
                    },
                ),
            ),
        },
        defaults={
            "keras": Default(
                value="decoupled",
                source="keras/src/optimizers/base_optimizer.py, BaseOptimizer._apply_weight_decay",
                note="Of Adam, SGD, RMSprop and others; on all variables that are not excluded.",
            ),
            "torch": Default(
                value="l2",
                source="torch/optim/adam.py, _single_tensor_adam",
                note="Of Adam, SGD, RMSprop and others, on biases too; AdamW's is decoupled.",
            ),
        },
    ),
    Piece(
        key="l2_factor",
        label="the factor 2 of an L2 penalty",
        topic="decay",
        summary="A penalty of c times the squared weights adds 2c times the weights to the "
        "gradient, and Keras attaches it to kernels; PyTorch's weight_decay adds c times all "
        "weights.",
        contexts=("decay",),
        values={
            "c": Value(
                label="0.01 of all weights and biases",
                latex=r"g \leftarrow g + c\,w",
                settings={"decay_form": "l2"},
                write=made_by(
                    _ADAM,
                    0.001,
                    torch="weight_decay=0.01",
                    instead={
                        "keras": _L2_ALL,
                        "optax": "optimizer = optax.chain(optax.add_decayed_weights(0.01), "
                        "optax.adam(0.001))",
                    },
                ),
            ),
            "2c": Value(
                label="0.02 of kernels",
                latex=r"L \leftarrow L + c\lVert W \rVert^2",
                settings={"decay_form": "l2_kernels"},
                write={
                    "keras": "layer = keras.layers.Dense("
                    "512, kernel_regularizer=keras.regularizers.L2(0.01))",
                    "torch": _L2_KERNELS_TORCH,
                    **optax(_L2_KERNELS_OPTAX),
                },
            ),
        },
        defaults={
            "keras": Default(
                value="2c", source="keras/src/regularizers/regularizers.py, L2.__call__"
            ),
            "torch": Default(value="c", source="torch/optim/adam.py, _single_tensor_adam"),
            **optax_does("c", "_src/transform.py, add_decayed_weights"),
        },
    ),
    Piece(
        key="clipping",
        label="clipping by norm",
        topic="clipping",
        summary="One norm and one factor for all gradients, or one for each variable.",
        contexts=("clipped", "loosely_clipped"),
        values={
            "all": Value(
                label="all together",
                latex=r"g \leftarrow g\, c / \max(\lVert g \rVert, c)",
                settings={"clip_form": "global_norm"},
                write={**_GLOBAL, "torch": _WITH_1E_6},
            ),
            "each": Value(
                label="each variable",
                latex=r"g_i \leftarrow g_i\, c / \max(\lVert g_i \rVert, c)",
                settings={"clip_form": "each_norm"},
                write={
                    "keras": "optimizer = keras.optimizers.SGD(learning_rate=0.1, clipnorm=0.1)",
                    "torch": _EACH_TORCH,
                    **optax(_EACH_OPTAX),
                    "stax": _EACH_STAX,
                    "tf1": "gradients = [tf.clip_by_norm(g, 0.1) for g in gradients]",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="each", source=_KERAS_CLIP, note="clipnorm; global_clipnorm is the other."
            ),
            "torch": Default(value="all", source=_CLIP_GRAD_NORM),
            **optax_does("all", "transforms/_clipping.py, clip_by_global_norm"),
            "stax": Default(value="all", source=_STAX_CLIP),
        },
    ),
    Piece(
        key="clip_epsilon",
        label="what is added to the norm",
        topic="clipping",
        summary="PyTorch adds a millionth, so that clipped gradients are a hair shorter.",
        contexts=("clipped",),
        values={
            "none": Value(
                label="nothing",
                latex=r"g\, c / \max(\lVert g \rVert, c)",
                settings={"clip_form": "global_norm"},
                write={**_GLOBAL, "torch": _GLOBAL_TORCH},
            ),
            "1e-6": Value(
                label="1e-6",
                latex=r"g\, c / \max(\lVert g \rVert + 10^{-6}, c)",
                settings={"clip_form": "global_norm_torch"},
                write={"torch": _WITH_1E_6, **optax(_MORE_OPTAX), "stax": _MORE_STAX},
            ),
        },
        defaults={
            "keras": Default(value="none", source=_KERAS_CLIP, note="Of global_clipnorm."),
            "torch": Default(value="1e-6", source=_CLIP_GRAD_NORM),
            **optax_does("none", "transforms/_clipping.py, clip_by_global_norm"),
            "stax": Default(value="none", source=_STAX_CLIP),
        },
    ),
]
