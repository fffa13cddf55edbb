"""DROPOUT_NAMES: what the number given to dropout means in each framework."""

from dataclasses import dataclass

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class DropoutName(Row):
    """How a framework writes dropout; the label shows the name of the argument."""

    framework: str
    means: str  # key of DROPOUTS
    call: str  # with {} for the number


_READ_IN_TF = "TensorFlow 1.8.0, the question's day, tensorflow/python"

DROPOUT_NAMES = Registry(
    "dropout name",
    [
        DropoutName(key=key, framework=framework, label=label, call=call, means=means, 
                    summary=summary, reference=reference)
        for key, framework, label, call, means, summary, reference in [
            (
                "tf1_nn", "TensorFlow 1", "tf.nn.dropout(x, keep_prob)",
                "tf.nn.dropout(x, keep_prob={})", "keep_prob",
                "The number is the share kept; to evaluate, pass 1.0.",
                f"{_READ_IN_TF}/ops/nn_ops.py; run in 1.15",
            ),
            (
                "tf1_layers", "TensorFlow 1", "tf.layers.dropout(x, rate)",
                "tf.layers.dropout(x, rate={})", "rate",
                "In the same library the number is the share dropped, and only if training=True.",
                f"{_READ_IN_TF}/layers/core.py",
            ),
            (
                "tf2_nn", "TensorFlow 2", "tf.nn.dropout(x, rate)",
                "tf.nn.dropout(x, rate={})", "rate",
                "The same name as in TensorFlow 1, but the number is the share dropped.",
                "TensorFlow 2, the documentation of tf.nn.dropout",
            ),
            (
                "keras", "Keras", "keras.layers.Dropout(rate)",
                "keras.layers.Dropout({})", "rate",
                "The number is the share dropped. fit drops units, evaluate and predict do not.",
                "Keras 3.15.1, keras/src/layers/regularization/dropout.py",
            ),
            (
                "torch", "PyTorch", "torch.nn.Dropout(p)",
                "torch.nn.Dropout({})", "rate",
                "The number is the share dropped, until model.eval() is called.",
                "PyTorch 2.13.0",
            ),
            (
                "lasagne", "Lasagne", "DropoutLayer(incoming, p)",
                "lasagne.layers.DropoutLayer(incoming, p={})", "rate",
                "The number is the share dropped, unless deterministic=True is passed.",
                "Lasagne 0.1, lasagne/layers/noise.py",
            ),
            (
                "lasagne_unscaled", "Lasagne", "DropoutLayer(incoming, p, rescale=False)",
                "lasagne.layers.DropoutLayer(incoming, p={}, rescale=False)", "unscaled",
                "The number is the share dropped; nothing is rescaled, in training or in tests.",
                "Lasagne 0.1, lasagne/layers/noise.py",
            ),
            (
                "flax_linen", "Flax linen", "flax.linen.Dropout(rate)",
                "flax.linen.Dropout({})", "rate",
                "The number is the share dropped, unless deterministic=True is passed.",
                "Flax 0.12.8, flax/linen/stochastic.py",
            ),
            (
                "flax_nnx", "Flax nnx", "flax.nnx.Dropout(rate)",
                "flax.nnx.Dropout({})", "rate",
                "The number is the share dropped, until model.eval() is called.",
                "Flax 0.12.8, flax/nnx/nn/stochastic.py",
            ),
            (
                "equinox", "Equinox", "equinox.nn.Dropout(p)",
                "equinox.nn.Dropout({})", "rate",
                "The number is the share dropped, unless inference is set.",
                "Equinox 0.13.8, equinox/nn/_dropout.py",
            ),
            (
                "stax", "JAX's stax", "stax.Dropout(rate)",
                "jax.example_libraries.stax.Dropout({})", "keep_prob",
                "Although it is called rate, the number is the share kept: Dropout(0.1) keeps a "
                "tenth.",
                "JAX 0.10.2, jax/example_libraries/stax.py",
            ),
            (
                "paper", "The paper", "a unit retained with probability p",
                "p = {}", "older",
                "The number is the share kept; at test time the weights are multiplied by it.",
                "Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, JMLR 15, 2014",
            ),
        ]
    ],
)  # fmt: skip
