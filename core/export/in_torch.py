"""A run as a script of PyTorch.

It reads the run's initial weights and the order of its images, which PyTorch would draw otherwise.
"""

from collections.abc import Iterator

from core.config import RunConfig
from core.export import (
    formulas,
    norm_layers,
    numpy_lines,
    own_loss,
    shared,
    torch_networks,
)
from core.export.script import Cell, Script
from core.export.shared import real, rounded
from core.parts.choices import TASKS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.loss_inputs import KERAS_EPSILON, LOSS_INPUTS
from core.parts.losses import LOSSES, Form
from core.parts.models import MODELS
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS

NAME = "PyTorch"
ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "leaky_relu_0.01": "nn.LeakyReLU(0.01)",
    "leaky_relu_0.3": "nn.LeakyReLU(0.3)",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "gelu": "nn.GELU()",
    "gelu_tanh": 'nn.GELU(approximate="tanh")',
}
REDUCTIONS = {
    "mean": "losses(y, z).mean()",
    "sum": "losses(y, z).sum()",
    "mean_outputs": "losses(y, z).mean() / {outputs}",
}
# {rate}, {m} (momentum), {b} (beta_2) and {e} (epsilon).
OPTIMIZERS_OF_TORCH = {
    "sgd": "SGD(model.parameters(), lr={rate})",
    "momentum": "SGD(model.parameters(), lr={rate}, momentum={m})",
    "nesterov": "SGD(model.parameters(), lr={rate}, momentum={m}, nesterov={nesterov})",
    "averaged": "SGD(model.parameters(), lr={rate}, momentum={m}, dampening={m})",
    "adam": "Adam(model.parameters(), lr={rate}, betas=({m}, {b}), eps={e})",
    "nadam": "NAdam(model.parameters(), lr={rate}, betas=({m}, {b}), eps={e})",
    "rmsprop": "RMSprop(model.parameters(), lr={rate}, alpha={b}, momentum={m}, eps={e})",
    "rmsprop_centered": "RMSprop(model.parameters(), lr={rate}, alpha={b}, momentum={m}, eps={e}, "
    "centered=True)",
    "adagrad": "Adagrad(model.parameters(), lr={rate}, eps={e})",
    "adadelta": "Adadelta(model.parameters(), lr={rate}, rho={b}, eps={e})",
}
# The same steps but for rounding, as long as the rate stays as it is.
SAME = {"momentum_keras": "momentum", "nesterov_keras": "nesterov"}
# What takes the steps in place of a rule that PyTorch does not have.
NEAREST = {
    "adam_keras": "adam",
    "adam_step_0": "adam",
    "nadam_keras": "nadam",
    "nadam_optax": "nadam",
    "rmsprop_keras": "rmsprop",
    "rmsprop_tf1": "rmsprop",
    "rmsprop_keras_centered": "rmsprop_centered",
    "adagrad_keras": "adagrad",
    "lion": "sgd",
}
POWERS = (
    " PyTorch computes 1 - beta_2^t in 64 bits and the run in 32, so that with a beta_2 of 0.999 "
    "these steps are larger by 3 to 10 millionths."
)
# Losses that clip as jnp.clip does, which halves the gradient exactly at a limit.
HALVED = ("clip", "keras_jax", "question_stable")
HALVING = '''\
def halving_clip(p, low, high):
    """Clip as JAX does: exactly at a limit, half of the gradient passes; torch.clip passes all."""
    return torch.minimum(torch.maximum(p, torch.tensor(low)), torch.tensor(high))


'''
DENSE = "nn.Sequential(*(layer for layer in model if isinstance(layer, nn.Linear)))"
DROPOUT = {  # {v}: the number, {rest}: 1 minus it
    "keep_prob": ["nn.Dropout({rest})"],
    "rate": ["nn.Dropout({v})"],
    "older": ["nn.Dropout({rest})", "Times({v})"],
    "unscaled": ["nn.Dropout({v})", "InTraining({rest})"],
}
TIMES = {
    "older": '''\
class Times(nn.Module):
    """Multiply by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


''',
    "unscaled": '''\
class InTraining(nn.Module):
    """Multiply by a number in training only."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x if self.training else x


''',
}


def script(config: RunConfig) -> Script:
    """The run as a script of PyTorch."""
    if why := norm_layers.torch_missing(config):
        return shared.unwritten(config, NAME, why)
    return Script(
        title=shared.title(config, NAME),
        needs=f"Needs PyTorch 2 and NumPy, and {shared.DATA} and {shared.WEIGHTS} in the folder in "
        "which it is run.",
        cells=tuple(_cells(config)),
        cannot=tuple(_cannot(config)),
        settings=shared.settings(config),
    )


def _cannot(config: RunConfig) -> Iterator[str]:
    yield from shared.unprinted(config)
    yield from numpy_lines.cannot(config, NAME)
    instead = LOSS_INPUTS[config.loss_input].instead
    if config.loss == "theano_onehot" and not instead:
        yield formulas.BY_HAND[config.loss]
    if config.optimizer in NEAREST:
        mine, other = (OPTIMIZERS[key] for key in (config.optimizer, NEAREST[config.optimizer]))
        yield f"PyTorch has no optimizer {mine.label!r}: {other.label!r} takes the steps."


def _cells(config: RunConfig) -> Iterator[Cell]:
    yield Cell("", _imports())
    data = numpy_lines.data(config)
    arrays = "x, y, test_x, test_y = map(torch.from_numpy, (x, y, test_x, test_y))"
    yield data._replace(code=f"{data.code}\n{arrays}")
    yield Cell("", shared.constants(config))
    network = _network if MODELS[config.model].kind == "dense" else torch_networks.network
    yield Cell("The network, with the run's initial weights.", network(config))
    yield Cell(shared.loss_words(config), _loss(config))
    wide = PRECISIONS[config.precision].wide
    powers = POWERS if config.optimizer == "adam" and not wide else ""
    about = f"The optimizer: {OPTIMIZERS[_of_torch(config)].label}.{powers}"
    yield Cell(about, _optimizer(config))
    yield Cell("One step.", _update(config))
    measured = torch_networks.OF_SERIES if TASKS[config.task].series else _measured(config)
    yield Cell(shared.printed_words(config), measured)
    yield Cell("", shared.loop(config, numpy_lines.order(config), "update({x}, {y})"))


def _of_torch(config: RunConfig) -> str:
    return SAME.get(config.optimizer, NEAREST.get(config.optimizer, config.optimizer))


def _imports() -> str:
    return "\n".join(
        [
            "import json",
            "from pathlib import Path",
            "",
            "import numpy as np",
            "import torch",
            "from torch import nn",
        ]
    )


def _network(config: RunConfig) -> str:
    layers, inputs = [], 784
    for width in config.widths:
        layers += [f"nn.Linear({inputs}, {width})", *norm_layers.in_torch(config, width)]
        layers += [ACTIVATIONS[config.activation]]
        v = config.dropout_value
        layers += [
            each.format(v=real(v), rest=real(1 - v)) for each in DROPOUT.get(config.dropout, [])
        ]
        inputs = width
    layers += [f"nn.Linear({inputs}, {TASKS[config.task].outputs})"]
    stack = "".join(f"    {layer},\n" for layer in layers)
    drawn, dense = "model.parameters()", ""
    if config.normalisation != "none":  # beta and gamma begin as in the run
        drawn, dense = "dense.parameters()", f"dense = {DENSE}\n"
    return f"""\
{norm_layers.torch_class(config)}{TIMES.get(config.dropout, "")}{numpy_lines.READ}

model = nn.Sequential(
{stack})
{dense}with torch.no_grad():
    for w, array in zip({drawn}, initial_weights("{shared.WEIGHTS}")):
        w.copy_(torch.tensor(array.T))  # [outputs, inputs] here"""


def _loss(config: RunConfig) -> str:
    form: Form = TASKS[config.task].form
    lines = [
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
    text = "\n".join([*lines, f"    return {weight}{whole}"])
    return (HALVING if "halving_clip(" in text else "") + text


def _clip(config: RunConfig) -> str:
    return "halving_clip" if config.loss in HALVED else "torch.clip"


def _taught(config: RunConfig) -> list[str]:
    """What becomes of the labels before the loss."""
    smooth = config.label_smoothing and shared.is_binary(config)
    return [*shared.moved(config), *([f"y = {shared.smoothed(config, 'y')}"] if smooth else [])]


def _hot(config: RunConfig) -> str:
    """Labels of more than two classes, as numbers of 0 and 1 or smoothed ones."""
    return shared.smoothed(config, f"torch.eye({TASKS[config.task].outputs})[y]")


def _given(config: RunConfig) -> list[str]:
    """What becomes of the logits before the loss."""
    if config.loss_input == "softmax":
        return ["z = torch.sigmoid(z)" if shared.is_binary(config) else "z = torch.softmax(z, -1)"]
    if config.loss_input == "log_softmax":
        odds = "nn.functional.logsigmoid(z) - nn.functional.logsigmoid(-z)"
        return [f"z = {odds if shared.is_binary(config) else 'torch.log_softmax(z, -1)'}"]
    return []


_CLIPPED = f"{{clip}}({{p}}, {KERAS_EPSILON}, 1 - {KERAS_EPSILON})"


def _of_each(config: RunConfig, form: Form) -> list[str]:
    if form == "regression":
        return torch_networks.SQUARED[config.loss]
    if LOSS_INPUTS[config.loss_input].each_output:
        return _of_each_output(config, form)
    if LOSS_INPUTS[config.loss_input].instead:
        return _of_probabilities(config, form)
    functional = "nn.functional.binary_cross_entropy"
    if form == "binary" and config.loss in ("torch_bce", "keras_torch"):
        limits = f"{real(config.epsilon)}, 1 - {real(config.epsilon)}"
        p = "torch.sigmoid(z)"
        p = p if config.loss == "torch_bce" else f"torch.clip({p}, {limits})"
        return [f'return {functional}({p}, y, reduction="none")']
    if (formula := LOSSES[config.loss].formula) is not None:
        return own_loss.lines(formula, own_loss.TORCH, config.epsilon, TASKS[config.task].outputs)
    names = formulas.Names("torch", _hot(config), _clip(config))
    lines = formulas.lines(form, config.loss, names, real(config.epsilon))
    if lines:
        return lines
    if form == "binary":
        return [f'return {functional}_with_logits(z, y, reduction="none")']
    smoothing = rounded(config.label_smoothing)
    more = f", label_smoothing={smoothing}" if config.label_smoothing else ""
    return [f'return nn.functional.cross_entropy(z, y, reduction="none"{more})']


def _of_each_output(config: RunConfig, form: Form) -> list[str]:
    """The mean of a binary loss of each output."""
    functional = "nn.functional.binary_cross_entropy"
    if form == "binary":
        return [f'return {functional}_with_logits(z, y, reduction="none")']
    hot = f"y = {_hot(config)}"
    if config.loss_input == "each_output":
        return [hot, f'return {functional}_with_logits(z, y, reduction="none").mean(-1)']
    return [
        hot,
        f"p = {_CLIPPED.format(p='torch.softmax(z, -1)', clip='halving_clip')}",
        "return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean(-1)",
    ]


def _of_probabilities(config: RunConfig, form: Form) -> list[str]:
    """The loss that takes its logits for probabilities."""
    if form == "binary":
        return [
            f"p = {_CLIPPED.format(p='z', clip='halving_clip')}",
            "return -(y * torch.log(p) + (1 - y) * torch.log(1 - p))",
        ]
    if config.loss_input == "as_probabilities_tf":
        return [
            f"z = torch.log({_CLIPPED.format(p='z', clip='torch.clip')})",
            'return nn.functional.cross_entropy(z, y, reduction="none")',
        ]
    return [
        "shares = z / torch.sum(z, -1, keepdim=True)",
        f"p = {_CLIPPED.format(p='shares', clip='halving_clip')}",
        f"return -({_hot(config)} * torch.log(p)).sum(-1)"
        if config.label_smoothing
        else 'return nn.functional.nll_loss(torch.log(p), y, reduction="none")',
    ]


def _optimizer(config: RunConfig) -> str:
    momentum = config.effective("momentum") or 0.0
    call = OPTIMIZERS_OF_TORCH[_of_torch(config)].format(
        rate=real(config.learning_rate),
        m=real(momentum),
        b=real(config.effective("beta_2") or 0),
        e=real(config.effective("optimizer_epsilon") or 0),
        nesterov=momentum > 0,  # PyTorch refuses it without a momentum
    )
    return f"optimizer = torch.optim.{call}"


def _update(config: RunConfig) -> str:
    lines = [
        "def update(x, y):",
        '    """Change the weights once."""',
        "    model.train()",
        "    optimizer.zero_grad()",
        "    batch_loss(y, model(x)).backward()",
        *("    " + line for line in [*_clipped(config), *_decayed(config)]),
        "    optimizer.step()",
    ]
    return "\n".join(lines)


def _clipped(config: RunConfig) -> list[str]:
    most, row = real(config.clip_norm), CLIP_FORMS[config.clip_form]
    if row.more:
        return [f"nn.utils.clip_grad_norm_(model.parameters(), {most})"]
    if row.norm == "each":
        return [
            "for w in model.parameters():",
            f"    w.grad *= {most} / torch.clip(w.grad.norm(), min={most})",
        ]
    if row.norm == "all":
        return [
            "norm = torch.sqrt(sum((w.grad**2).sum() for w in model.parameters()))",
            "for w in model.parameters():",
            f"    w.grad *= {most} / torch.clip(norm, min={most})",
        ]
    return []


def _decayed(config: RunConfig) -> list[str]:
    decay, row = real(config.weight_decay), DECAY_FORMS[config.decay_form]
    loop = ["with torch.no_grad():", "    for w in model.parameters():"]
    if row.penalty:
        return [
            loop[0],
            "    for name, w in model.named_parameters():",
            '        if name.endswith("weight") and w.ndim > 1:  # a kernel',
            f"            w.grad += 2 * {decay} * w",
        ]
    if row.in_gradient:
        return [*loop, f"        w.grad += {decay} * w"]
    if row.in_step:
        return [*loop, f"        w -= {real(config.learning_rate)} * {decay} * w"]
    return []


def _measured(config: RunConfig) -> str:
    answers = "(z >= 0) == y" if shared.is_binary(config) else "z.argmax(-1) == y"
    own = norm_layers.own(config)
    at_test = norm_layers.TORCH_AT_TEST.format(most=own) if own else ""
    return f'''\
{at_test}@torch.no_grad()
def measured(x, y):
    """Loss and accuracy on these images as they are now."""
    model.eval()
    z = {"at_test" if own else "model"}(x)
    return losses(y, z).mean().item(), ({answers}).double().mean().item()'''
