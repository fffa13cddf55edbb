"""A run as a script of Keras 3, on the backend whose loss it has.

It reads the run's initial weights and the order of its images, which Keras would draw otherwise.
"""

from collections.abc import Iterator

from core.config import RunConfig
from core.export import (
    formulas,
    keras_networks,
    norm_layers,
    numpy_lines,
    own_loss,
    shared,
)
from core.export.keras_decay import decayed
from core.export.script import Cell, Script
from core.export.shared import real, rounded
from core.parts.choices import TASKS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.loss_inputs import KERAS_EPSILON, LOSS_INPUTS
from core.parts.losses import LOSSES, Form
from core.parts.models import MODELS
from core.parts.optimizers import OPTIMIZERS

NAME = "Keras"
BACKENDS = {"keras_torch": "torch", "keras_tf": "tensorflow", "keras_tf_hidden": "tensorflow"}
OF_KERAS = ("keras_jax", "keras_torch", "keras_tf", "keras_tf_hidden")
ACTIVATIONS = {
    "relu": 'keras.layers.Activation("relu")',
    "leaky_relu_0.01": "keras.layers.LeakyReLU(negative_slope=0.01)",
    "leaky_relu_0.3": "keras.layers.LeakyReLU(negative_slope=0.3)",
    "sigmoid": 'keras.layers.Activation("sigmoid")',
    "tanh": 'keras.layers.Activation("tanh")',
    "gelu": 'keras.layers.Activation("gelu")',
    "gelu_tanh": "keras.layers.Activation(lambda x: keras.activations.gelu(x, approximate=True))",
}
REDUCTIONS = {
    "mean": "ops.mean(losses(y, z))",
    "sum": "ops.sum(losses(y, z))",
    "mean_outputs": "ops.mean(losses(y, z)) / {outputs}",
}
# {rate}, {m} (momentum), {b} (beta_2), {e} (epsilon) and {more} (decay and clipping).
OPTIMIZERS_OF_KERAS = {
    "sgd": "SGD({rate}{more})",
    "momentum_keras": "SGD({rate}, momentum={m}{more})",
    "nesterov_keras": "SGD({rate}, momentum={m}, nesterov=True{more})",
    "adam_keras": "Adam({rate}, beta_1={m}, beta_2={b}, epsilon={e}{more})",
    "nadam_keras": "Nadam({rate}, beta_1={m}, beta_2={b}, epsilon={e}{more})",
    "rmsprop_keras": "RMSprop({rate}, rho={b}, momentum={m}, epsilon={e}{more})",
    "rmsprop_keras_centered": "RMSprop({rate}, rho={b}, momentum={m}, epsilon={e}, centered=True"
    "{more})",
    "adagrad_keras": "Adagrad({rate}, initial_accumulator_value=0.1, epsilon={e}{more})",
    "adadelta": "Adadelta({rate}, rho={b}, epsilon={e}{more})",
    "lion": "Lion({rate}, beta_1={m}, beta_2={b}{more})",
}
# The same steps but for rounding, as long as the rate stays as it is.
SAME = {"momentum": "momentum_keras", "nesterov": "nesterov_keras"}
# What takes the steps in place of a rule that Keras does not have.
NEAREST = {
    "averaged": "momentum_keras",
    "adam": "adam_keras",
    "adam_step_0": "adam_keras",
    "nadam": "nadam_keras",
    "nadam_optax": "nadam_keras",
    "rmsprop": "rmsprop_keras",
    "rmsprop_tf1": "rmsprop_keras",
    "rmsprop_centered": "rmsprop_keras_centered",
    "adagrad": "adagrad_keras",
}
DROPOUT = {  # {v}: the number, {rest}: 1 minus it
    "keep_prob": ["keras.layers.Dropout({rest})"],
    "rate": ["keras.layers.Dropout({v})"],
    "older": ["keras.layers.Dropout({rest})", "keras.layers.Rescaling({v})"],
    "unscaled": ["keras.layers.Dropout({v})"],
}


def script(config: RunConfig) -> Script:
    """The run as a script of Keras."""
    return Script(
        title=shared.title(config, f"{NAME} 3"),
        needs=f"Needs Keras 3.15 with {LABELS[backend(config)]}, and {shared.DATA} and "
        f"{shared.WEIGHTS} in the folder in which it is run.",
        cells=tuple(_cells(config)),
        cannot=tuple(_cannot(config)),
        settings=shared.settings(config),
    )


LABELS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


def backend(config: RunConfig) -> str:
    """The backend whose loss this is."""
    if config.loss_input == "as_probabilities_tf":
        return "tensorflow"
    return "jax" if LOSS_INPUTS[config.loss_input].instead else BACKENDS.get(config.loss, "jax")


def _cannot(config: RunConfig) -> Iterator[str]:
    yield from shared.unprinted(config)
    yield from numpy_lines.cannot(config, NAME)
    yield from keras_networks.cannot(config)
    instead = LOSS_INPUTS[config.loss_input].instead
    if config.loss in formulas.BY_HAND and not instead:
        yield formulas.BY_HAND[config.loss]
    if config.optimizer in NEAREST:
        mine, other = (OPTIMIZERS[key] for key in (config.optimizer, NEAREST[config.optimizer]))
        yield f"Keras has no optimizer {mine.label!r}: {other.label!r} takes the steps."
    if config.dropout == "unscaled":
        yield (
            "Keras has no dropout without rescaling: units that are kept are divided by the "
            "probability to keep one."
        )
    clip = CLIP_FORMS[config.clip_form]
    if clip.more:
        yield "PyTorch adds 1e-6 to the norm by which it clips; Keras does not."
    if clip.norm != "none" and DECAY_FORMS[config.decay_form].in_gradient:
        yield "Keras adds the decay to the gradient before it is clipped; the run does after."


def _cells(config: RunConfig) -> Iterator[Cell]:
    yield Cell("", _imports(config))
    yield numpy_lines.data(config)
    yield Cell("", shared.constants(config))
    network = _network if MODELS[config.model].kind == "dense" else keras_networks.network
    yield Cell("The network, with the run's initial weights.", network(config))
    yield Cell(shared.loss_words(config), _loss(config))
    row = OPTIMIZERS[SAME.get(config.optimizer, NEAREST.get(config.optimizer, config.optimizer))]
    yield Cell(f"The optimizer: {row.label}.", _compiled(config))
    measured = keras_networks.OF_SERIES if TASKS[config.task].series else _measured(config)
    yield Cell(shared.printed_words(config), measured)
    yield Cell("", shared.loop(config, numpy_lines.order(config), "model.train_on_batch({x}, {y})"))


def _imports(config: RunConfig) -> str:
    return "\n".join(
        [
            "import json",
            "import os",
            "from pathlib import Path",
            "",
            f'os.environ.setdefault("KERAS_BACKEND", "{backend(config)}")  # before it is imported',
            "import keras",
            "import numpy as np",
            "from keras import ops",
        ]
    )


def _network(config: RunConfig) -> str:
    layers = ["keras.Input((784,))"]
    for width in config.widths:
        layers += [_dense(config, width), *norm_layers.in_keras(config)]
        layers += [ACTIVATIONS[config.activation]]
        v = config.dropout_value
        layers += [
            each.format(v=real(v), rest=real(1 - v)) for each in DROPOUT.get(config.dropout, [])
        ]
    layers += [_dense(config, TASKS[config.task].outputs)]
    stack = "".join(f"        {layer},\n" for layer in layers)
    read = f'model.set_weights(initial_weights("{shared.WEIGHTS}"))'
    if config.normalisation != "none":  # beta and gamma begin as in the run
        read = f"""\
dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
weights = [w for layer in dense for w in layer.weights]
for w, array in zip(weights, initial_weights("{shared.WEIGHTS}")):
    w.assign(array)"""
    return f"""\
{norm_layers.keras_class(config)}{numpy_lines.READ}

model = keras.Sequential(
    [
{stack}    ]
)
{read}"""


def _dense(config: RunConfig, width: int) -> str:
    return f"keras.layers.Dense({width}{decayed(config, ['kernel_'], ['bias_'])})"


def _loss(config: RunConfig) -> str:
    form: Form = TASKS[config.task].form
    lines = []
    if _keras_epsilon(config) != KERAS_EPSILON:
        lines += [f"keras.config.set_epsilon({real(_keras_epsilon(config))})", "", ""]
    lines += [
        "def losses(y, z):",
        f'    """{shared.each_loss(config)}"""',
        *("    " + line for line in [*_taught(config), *_given(config), *_of_each(config, form)]),
        "",
        "",
        "def batch_loss(y, z):",
        '    """What a step descends."""',
    ]
    whole = REDUCTIONS[config.reduction].format(outputs=TASKS[config.task].outputs)
    weight = "" if config.loss_weight == 1 else f"{real(config.loss_weight)} * "
    return "\n".join([*lines, f"    return {weight}{whole}"])


def _keras_epsilon(config: RunConfig) -> float:
    """The number to which Keras's own loss clips."""
    own = config.loss in OF_KERAS and LOSSES[config.loss].epsilon is not None
    return config.epsilon if own and not LOSS_INPUTS[config.loss_input].instead else KERAS_EPSILON


def _taught(config: RunConfig) -> list[str]:
    """What becomes of the labels before the loss."""
    smooth = config.label_smoothing and shared.is_binary(config)
    return [*shared.moved(config), *([f"y = {shared.smoothed(config, 'y')}"] if smooth else [])]


def _hot(config: RunConfig) -> str:
    """Labels of more than two classes, as numbers of 0 and 1 or smoothed ones."""
    return shared.smoothed(config, _one_hot(config))


def _one_hot(config: RunConfig) -> str:
    return f"ops.one_hot(y, {TASKS[config.task].outputs})"


def _given(config: RunConfig) -> list[str]:
    """What becomes of the logits before the loss."""
    binary = shared.is_binary(config)
    if config.loss_input == "softmax":
        return [f"z = ops.{'sigmoid(z)' if binary else 'softmax(z)'}"]
    if config.loss_input == "log_softmax":
        return [f"z = ops.{'log_sigmoid(z) - ops.log_sigmoid(-z)' if binary else 'log_softmax(z)'}"]
    return []


def _of_each(config: RunConfig, form: Form) -> list[str]:
    end = "sigmoid" if form == "binary" else "softmax"
    if form == "regression":
        return keras_networks.SQUARED[config.loss]
    if config.loss_input in ("each_output", "each_probability"):
        if form == "binary":
            return _own(config, "z", "from_logits=True")
        given = "z, from_logits=True" if config.loss_input == "each_output" else "ops.softmax(z)"
        return [f"return keras.losses.binary_crossentropy({_hot(config)}, {given})"]
    if LOSS_INPUTS[config.loss_input].instead:
        return _own(config, "z")
    if config.loss in OF_KERAS:
        p = f"keras.activations.{end}(z)"
        if config.loss == "keras_tf_hidden":
            p = f"ops.reshape({p}, (-1, {TASKS[config.task].outputs}))"
        return _own(config, p)
    if (formula := LOSSES[config.loss].formula) is not None:
        return own_loss.lines(formula, own_loss.KERAS, config.epsilon, TASKS[config.task].outputs)
    names = formulas.Names("ops", _hot(config), "ops.clip")
    lines = formulas.lines(form, config.loss, names, real(config.epsilon))
    return lines or _own(config, "z", "from_logits=True")


def _own(config: RunConfig, *given: str) -> list[str]:
    """The lines with Keras's own cross-entropy, of what it is given besides labels."""
    if shared.is_binary(config):
        return [f"return keras.losses.binary_crossentropy({', '.join(['y', *given])})"]
    if not config.label_smoothing:
        return [f"return keras.losses.sparse_categorical_crossentropy({', '.join(['y', *given])})"]
    more = [*given, f"label_smoothing={rounded(config.label_smoothing)}"]
    return [
        f"y = {_one_hot(config)}",
        f"return keras.losses.categorical_crossentropy({', '.join(['y', *more])})",
    ]


def _compiled(config: RunConfig) -> str:
    key = SAME.get(config.optimizer, NEAREST.get(config.optimizer, config.optimizer))
    more = (
        f", weight_decay={real(config.weight_decay)}"
        if DECAY_FORMS[config.decay_form].in_step
        else ""
    )
    named = {"none": "", "all": "global_clipnorm", "each": "clipnorm"}
    if clip := named[CLIP_FORMS[config.clip_form].norm]:
        more += f", {clip}={real(config.clip_norm)}"
    settings = {
        "m": config.effective("momentum"),
        "b": config.effective("beta_2"),
        "e": config.effective("optimizer_epsilon"),
    }
    call = OPTIMIZERS_OF_KERAS[key].format(
        rate=real(config.learning_rate),
        more=more,
        **{name: real(value or 0) for name, value in settings.items()},
    )
    return f"optimizer = keras.optimizers.{call}\nmodel.compile(optimizer, batch_loss)"


def _measured(config: RunConfig) -> str:
    right = "(z[:, 0] >= 0) == y[:, 0]" if shared.is_binary(config) else "z.argmax(-1) == y"
    own = norm_layers.own(config)
    at_test = norm_layers.KERAS_AT_TEST.format(most=own) if own else ""
    return f'''\
{at_test}def measured(x, y):
    """Loss and accuracy on these images as they are now."""
    z = {"at_test(x)" if own else "model.predict_on_batch(x)"}
    loss = ops.mean(losses(ops.convert_to_tensor(y), ops.convert_to_tensor(z)))
    return float(loss), np.mean({right})'''
