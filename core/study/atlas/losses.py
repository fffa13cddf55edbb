"""Pieces about the loss: what it is given, and how the losses of a batch become one number."""

from core.study.atlas.piece import Default, Piece, Value
from core.study.atlas.shared import optax, optax_does

_KERAS = "keras.losses.SparseCategoricalCrossentropy"
_TORCH = "torch.nn.functional.cross_entropy"
_OPTAX = "optax.softmax_cross_entropy_with_integer_labels(logits, labels)"
_BY_HAND = "jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels]"
_TF1 = "tf.compat.v1.losses.sparse_softmax_cross_entropy"
_OPTAX_PATH = "losses/_classification.py, softmax_cross_entropy_with_integer_labels"
_TF1_PATH = "tensorflow/python/ops/losses/losses_impl.py, sparse_softmax_cross_entropy"
_LOG_OF_GIVEN = "jnp.log(probabilities[jnp.arange(len(labels)), labels])"
_LOSS = ("adam", "sgd", "slow_sgd")

PIECES = [
    Piece(
        key="loss_expects",
        label="what the loss expects",
        topic="loss",
        summary="Probabilities, as a network that ends in softmax gives them, or logits. "
        "Given the other, only Keras on TensorFlow may warn.",
        contexts=_LOSS,
        values={
            "probabilities": Value(
                label="probabilities",
                latex=r"-\log p_y",
                settings={},
                write={
                    "keras": f"loss = {_KERAS}(from_logits=False)(labels, probabilities)",
                    "torch": "loss = torch.nn.functional.nll_loss(torch.log(probabilities), "
                    "labels)",
                    **optax(f"loss = -{_LOG_OF_GIVEN}.mean()"),
                    "stax": f"loss = -{_LOG_OF_GIVEN}.mean()",
                },
            ),
            "logits": Value(
                label="logits",
                latex=r"-\log\mathrm{softmax}(z)_y",
                settings={},
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True)(labels, logits)",
                    "torch": f"loss = {_TORCH}(logits, labels)",
                    **optax(f"loss = {_OPTAX}.mean()"),
                    "stax": f"loss = -{_BY_HAND}.mean()",
                    "tf1": f"loss = {_TF1}(labels, logits)",
                },
            ),
            "probabilities_tf": Value(
                label="probabilities, Keras on TensorFlow",
                latex=r"-\log\mathrm{clip}(p_y)",
                settings={},
            ),
        },
        defaults={
            "keras": Default(
                value="probabilities",
                source="keras/src/losses/losses.py, SparseCategoricalCrossentropy",
                note="On TensorFlow, in fit, logits of a softmax layer are found again, with a "
                "warning.",
            ),
            "torch": Default(value="logits", source="torch/nn/functional.py, cross_entropy"),
            **optax_does(
                "logits",
                _OPTAX_PATH,
                "The names of its losses and arguments say so.",
            ),
            "tf1": Default(value="logits", source=_TF1_PATH),
        },
        unchanged={
            ("probabilities", "logits"): {"loss_input": "softmax"},
            ("logits", "probabilities"): {"loss_input": "as_probabilities"},
            ("logits", "probabilities_tf"): {"loss_input": "as_probabilities_tf"},
        },
    ),
    Piece(
        key="log_of_probabilities",
        label="log of a probability",
        topic="loss",
        summary="A loss of logits needs no probability. A loss of probabilities has lost what is "
        "near 0 or 1: Keras clips it, and where it clips there is no gradient.",
        values={
            "from_logits": Value(
                label="from logits",
                latex=r"\log\sum_j e^{z_j} - z_y",
                settings={"loss": "from_logits"},
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True)(labels, logits)",
                    "torch": f"loss = {_TORCH}(logits, labels)",
                    **optax(f"loss = {_OPTAX}.mean()"),
                    "stax": f"loss = -{_BY_HAND}.mean()",
                    "tf1": f"loss = {_TF1}(labels, logits)",
                },
            ),
            "clipped": Value(
                label="clipped to [1e-7, 1 - 1e-7]",
                latex=r"-\log\mathrm{clip}(p_y, 10^{-7}, 1 - 10^{-7})",
                settings={"loss": "keras_jax"},
                write={
                    "keras": f"loss = {_KERAS}()(labels, keras.ops.softmax(logits))",
                    "torch": "p = torch.softmax(logits, 1).clamp(1e-7, 1 - 1e-7)\n"
                    "loss = torch.nn.functional.nll_loss(torch.log(p), labels)",
                    **optax(
                        "p = jnp.clip(jax.nn.softmax(logits), 1e-7, 1 - 1e-7)\n"
                        "loss = -jnp.log(p[jnp.arange(len(labels)), labels]).mean()"
                    ),
                    "stax": "p = jnp.clip(jax.nn.softmax(logits), 1e-7, 1 - 1e-7)\n"
                    "loss = -jnp.log(p[jnp.arange(len(labels)), labels]).mean()",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="clipped",
                source="keras/src/backend/jax/nn.py, sparse_categorical_crossentropy",
            ),
            "torch": Default(value="from_logits", source="torch/nn/functional.py, cross_entropy"),
            **optax_does(
                "from_logits",
                _OPTAX_PATH,
            ),
            "tf1": Default(value="from_logits", source=_TF1_PATH),
        },
    ),
    Piece(
        key="reduction",
        label="how a batch's losses become one",
        topic="loss",
        summary="Their mean, their sum, or nothing: then the program says which, and a sum makes "
        "plain SGD's steps as many times larger as the batch has images.",
        contexts=_LOSS,
        values={
            "mean": Value(
                label="mean",
                latex=r"\frac1B\sum_i L_i",
                settings={"reduction": "mean"},
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True)(labels, logits)",
                    "torch": f'loss = {_TORCH}(logits, labels, reduction="mean")',
                    **optax(f"loss = {_OPTAX}.mean()"),
                    "stax": f"loss = -{_BY_HAND}.mean()",
                    "tf1": f"loss = {_TF1}(labels, logits)",
                },
            ),
            "sum": Value(
                label="sum",
                latex=r"\sum_i L_i",
                settings={"reduction": "sum"},
                write={
                    "keras": f'loss = {_KERAS}(from_logits=True, reduction="sum")(labels, logits)',
                    "torch": f'loss = {_TORCH}(logits, labels, reduction="sum")',
                    **optax(f"loss = {_OPTAX}.sum()"),
                    "stax": f"loss = -{_BY_HAND}.sum()",
                    "tf1": f"loss = {_TF1}(labels, logits, reduction="
                    "tf.compat.v1.losses.Reduction.SUM)",
                },
            ),
            "none": Value(
                label="one loss per example",
                latex="L_i",
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True, reduction=None)(labels, logits)",
                    "torch": f'loss = {_TORCH}(logits, labels, reduction="none")',
                    **optax(f"loss = {_OPTAX}"),
                    "stax": f"loss = -{_BY_HAND}",
                    "tf1": f"loss = {_TF1}(labels, logits, reduction="
                    "tf.compat.v1.losses.Reduction.NONE)",
                },
            ),
            "mean_outputs": Value(
                label="mean over outputs, too",
                latex=r"\frac{1}{BK}\sum_i L_i",
                settings={"reduction": "mean_outputs"},
                write={
                    "keras": "loss = -keras.ops.mean(one_hot * keras.ops.log_softmax(logits))",
                    "torch": "loss = -(one_hot * torch.log_softmax(logits, 1)).mean()",
                    **optax("loss = -(one_hot * jax.nn.log_softmax(logits)).mean()"),
                    "stax": "loss = -(one_hot * jax.nn.log_softmax(logits)).mean()",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="mean",
                source="keras/src/losses/loss.py, reduce_values",
                note="It is called sum_over_batch_size.",
            ),
            "torch": Default(value="mean", source="torch/nn/functional.py, cross_entropy"),
            **optax_does(
                "none",
                _OPTAX_PATH,
                "JAX differentiates numbers only, so a program has to take the mean or the sum.",
            ),
            "tf1": Default(
                value="mean",
                source=_TF1_PATH,
                note="tf.nn.sparse_softmax_cross_entropy_with_logits reduces nothing.",
            ),
        },
    ),
    Piece(
        key="label_smoothing",
        label="label smoothing",
        topic="loss",
        summary="Off in every framework, and where it is on the formula is the same.",
        values={
            "off": Value(
                label="off",
                settings={"label_smoothing": 0.0},
                write={
                    "keras": "loss = keras.losses.CategoricalCrossentropy(from_logits=True)"
                    "(one_hot, logits)",
                    "torch": f"loss = {_TORCH}(logits, labels)",
                    **optax("loss = optax.softmax_cross_entropy(logits, one_hot).mean()"),
                    "stax": "loss = -(one_hot * jax.nn.log_softmax(logits)).sum(1).mean()",
                    "tf1": "loss = tf.compat.v1.losses.softmax_cross_entropy(one_hot, logits)",
                },
            ),
            "0.1": Value(
                label="0.1",
                latex=r"y \leftarrow 0.9\,y + 0.1/K",
                settings={"label_smoothing": 0.1},
                write={
                    "keras": "loss = keras.losses.CategoricalCrossentropy(from_logits=True, "
                    "label_smoothing=0.1)(one_hot, logits)",
                    "torch": f"loss = {_TORCH}(logits, labels, label_smoothing=0.1)",
                    **optax(
                        "smooth = optax.smooth_labels(one_hot, 0.1)\n"
                        "loss = optax.softmax_cross_entropy(logits, smooth).mean()"
                    ),
                    "stax": "smooth = 0.9 * one_hot + 0.1 / one_hot.shape[1]\n"
                    "loss = -(smooth * jax.nn.log_softmax(logits)).sum(1).mean()",
                    "tf1": "loss = tf.compat.v1.losses.softmax_cross_entropy(one_hot, logits, "
                    "label_smoothing=0.1)",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="off", source="keras/src/losses/losses.py, CategoricalCrossentropy"
            ),
            "torch": Default(value="off", source="torch/nn/functional.py, cross_entropy"),
            **optax_does("off", "losses/_classification.py, softmax_cross_entropy"),
            "tf1": Default(
                value="off",
                source="tensorflow/python/ops/losses/losses_impl.py, softmax_cross_entropy",
            ),
        },
    ),
    Piece(
        key="weighted_mean",
        label="the mean of weighted losses",
        topic="loss",
        summary="What weighted losses are divided by: how many there are, or the sum of their "
        "weights.",
        values={
            "by_count": Value(
                label="divided by their number",
                latex=r"\frac1B\sum_i w_i L_i",
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True)(labels, logits, example_weights)",
                    "torch": f'each = {_TORCH}(logits, labels, reduction="none")\n'
                    "loss = (example_weights * each).mean()",
                    **optax(f"loss = (example_weights * {_OPTAX}).mean()"),
                    "stax": f"loss = -(example_weights * {_BY_HAND}).mean()",
                    "tf1": f"loss = {_TF1}(labels, logits, example_weights)",
                },
            ),
            "by_weights": Value(
                label="divided by the sum of their weights",
                latex=r"\sum_i w_i L_i \big/ \sum_i w_i",
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True, "
                    'reduction="mean_with_sample_weight")(labels, logits, example_weights)',
                    "torch": f"loss = {_TORCH}(logits, labels, weight=class_weights)",
                    **optax(f"loss = jnp.average({_OPTAX}, weights=example_weights)"),
                    "stax": f"loss = -jnp.average({_BY_HAND}, weights=example_weights)",
                    "tf1": f"loss = {_TF1}(labels, logits, example_weights, reduction="
                    "tf.compat.v1.losses.Reduction.MEAN)",
                },
            ),
        },
        defaults={
            "keras": Default(
                value="by_count",
                source="keras/src/losses/loss.py, reduce_values",
                note="class_weight of fit becomes weights of the examples.",
            ),
            "torch": Default(
                value="by_weights",
                source="torch/nn/functional.py, cross_entropy",
                note="Its weights belong to classes.",
            ),
            "tf1": Default(
                value="by_count",
                source=_TF1_PATH,
                note="Weights of 0 are not counted.",
            ),
        },
    ),
    Piece(
        key="class_axis",
        label="the axis of classes",
        topic="loss",
        summary="Where a loss looks for the classes if logits have more than two axes, as for a "
        "label for each pixel or word.",
        values={
            "last": Value(
                label="the last",
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True)(labels, logits)",
                    "torch": f"loss = {_TORCH}(logits.movedim(-1, 1), labels)",
                    **optax(f"loss = {_OPTAX}.mean()"),
                    "tf1": f"loss = {_TF1}(labels, logits)",
                },
            ),
            "second": Value(
                label="the second",
                write={
                    "keras": f"loss = {_KERAS}(from_logits=True, axis=1)(labels, logits)",
                    "torch": f"loss = {_TORCH}(logits, labels)",
                    **optax(
                        "loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels, "
                        "axis=1).mean()"
                    ),
                },
            ),
        },
        defaults={
            "keras": Default(
                value="last", source="keras/src/losses/losses.py, SparseCategoricalCrossentropy"
            ),
            "torch": Default(value="second", source="torch/nn/functional.py, cross_entropy"),
            **optax_does("last", _OPTAX_PATH),
            "tf1": Default(value="last", source=_TF1_PATH),
        },
    ),
]
