"""A run as a script of JAX: stax for the network, optax for the steps.

It draws the trainer's own weights, batches and masks. Its step is written in the trainer's order,
the slope of each image's loss by its logits first and then back through the network, so that it
rounds as the trainer does.
"""

import inspect
from collections.abc import Iterator

from core.config import RunConfig
from core.export import jax_networks, jax_optimizers, own_loss, shared
from core.export.own_text import own_text
from core.export.script import Cell, Script
from core.parts import order
from core.parts.choices import STREAMS, TASKS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES, Form, Tree
from core.parts.models import MODELS
from core.parts.precisions import PRECISIONS

NAME = "JAX"
# What a batch's losses are divided by.
DIVISORS = {"mean": "len(y)", "sum": "", "mean_outputs": "(len(y) * {outputs})"}


def script(config: RunConfig) -> Script:
    """The run as a script of JAX."""
    if why := shared.missing(config, NAME, MODELS):
        return shared.unwritten(config, NAME, why)
    body = "\n\n".join(cell.code for cell in _body(config))
    return Script(
        title=shared.title(config, NAME),
        needs=f"Needs {_packages(body)}, and {shared.DATA} in the folder in which it is run.",
        cells=(Cell("", _imports(body, config)), *_body(config)),
        cannot=tuple(_cannot(config)),
        settings=shared.settings(config),
    )


def _cannot(config: RunConfig) -> Iterator[str]:
    yield from shared.unprinted(config)
    if PRECISIONS[config.precision].scaled:
        yield (
            "The trainer scales the loss of mixed float16 so that small gradients do not vanish. "
            "Here they do."
        )


def _packages(body: str) -> str:
    return "JAX 0.10, optax 0.2 and NumPy" if "optax." in body else "JAX 0.10 and NumPy"


def _imports(body: str, config: RunConfig) -> str:
    future = ["from __future__ import annotations  # types are only read", ""]
    standard = ["from types import SimpleNamespace", ""] if "SimpleNamespace" in body else []
    names = [
        ("from typing import Any, NamedTuple", "NamedTuple" in body),
        ("", "NamedTuple" in body),
        ("import jax", True),
        ("import jax.numpy as jnp", True),
        ("import numpy as np", True),
        ("import optax", "optax." in body),
        ("from jax import lax", "lax.scan" in body),
        ("from jax.example_libraries import stax", True),
        ("from jax.nn import initializers, sigmoid", "sigmoid(_into" in body),
        ("from jax.nn import initializers", "initializers." in body and "(_into" not in body),
    ]
    lines = [*standard, *(line for line, used in names if used)]
    if "Array" in body:
        lines = [*future, *lines]
    return "\n".join([*lines, "", *_switches(config)])


def _switches(config: RunConfig) -> Iterator[str]:
    partitionable = STREAMS[config.stream].partitionable
    since = "since" if partitionable else "before"
    yield (
        f'jax.config.update("jax_threefry_partitionable", {partitionable})'
        f"  # the random numbers of JAX {since} 0.5"
    )
    yield ('jax.config.update("jax_default_matmul_precision", "highest")  # float32 on a GPU, too')
    if PRECISIONS[config.precision].wide:
        yield 'jax.config.update("jax_enable_x64", True)'


def _body(config: RunConfig) -> Iterator[Cell]:
    yield Cell(shared.data_words(config), _data(config))
    yield Cell("", shared.constants(config))
    yield Cell(*jax_networks.network(config))
    yield Cell(shared.loss_words(config), _loss(config))
    yield Cell(*jax_optimizers.begun(config))
    yield Cell(
        "One step. The slope of each image's loss by its logits comes first, and is then pulled "
        "back through the network: in this order, the numbers round as in the trainer.",
        _update(config),
    )
    yield Cell(shared.printed_words(config), _measured(config))
    if not config.full_batch:
        yield Cell("The order in which an epoch takes the images.", _order(config))
    arguments = ", ".join(["params", "memory", "{x}", "{y}", *_also(config)])
    yield Cell("", shared.loop(config, "order_of(epoch)", f"params, memory = update({arguments})"))


def _also(config: RunConfig) -> list[str]:
    """What a step is given besides weights, memory and batch."""
    return ["step"] if config.dropout != "off" or jax_optimizers.counts(config) else []


# The data


def _data(config: RunConfig) -> str:
    if TASKS[config.task].series:
        return _SERIES
    labels = (
        "jnp.asarray(digits >= 5, jnp.{})"
        if shared.is_binary(config)
        else ("jnp.asarray(digits, jnp.{})")
    )
    dtype = PRECISIONS[config.precision].loss.key if shared.is_binary(config) else "int32"
    return f'''\
def inputs(images):
    """Numbers for the network, [images, 784]."""
    return {shared.pixels(config, "jnp.asarray(images, jnp.float32)")}


def labels(digits):
    """{"Whether the digit is 5 or more" if shared.is_binary(config) else "The digit"}."""
    return {labels.format(dtype)}


with np.load("{shared.DATA}") as data:
    x, y = inputs(data["train_images"]), labels(data["train_labels"])
    test_x, test_y = inputs(data["test_images"]), labels(data["test_labels"])'''


_SERIES = f'''\
with np.load("{shared.DATA}") as data:
    x, y = jnp.asarray(data["train_images"]), jnp.asarray(data["train_labels"])
    test_x, test_y = jnp.asarray(data["test_images"]), jnp.asarray(data["test_labels"])'''


def _order(config: RunConfig) -> str:
    size, given = config.train_size, "permutation"
    lines = []
    if config.data_order != "as_is":
        lines += [
            "# Sorted by label, and then shuffled.",
            'arranged = jnp.asarray(np.argsort(np.asarray(y), kind="stable"))',
            "",
            "",
        ]
    if config.shuffle == "buffer":
        lines += [own_text(order._buffered), "", ""]
    epoch = "0" if config.shuffle == "once" else "epoch"
    lines += ["def order_of(epoch):", '    """The places of the images, in their order."""']
    if config.shuffle == "never":
        given = f"jnp.arange({size})"
    else:
        lines += [
            f"    own = jax.random.fold_in(jax.random.fold_in(key, 1), {epoch})",
            f"    permutation = jax.random.permutation(own, {size}).astype(jnp.int32)",
        ]
    if config.shuffle == "buffer":
        lines += [
            "    of_buffer = jax.random.fold_in(jax.random.fold_in(key, 3), epoch)",
            f"    permutation = _buffered(permutation, of_buffer, {config.shuffle_buffer})",
        ]
    lines += [
        f"    return arranged[{given}]" if config.data_order != "as_is" else f"    return {given}"
    ]
    return "\n".join(lines)


# The loss


def _loss(config: RunConfig) -> str:
    form: Form = TASKS[config.task].form
    if form == "regression":
        return _squared(config)
    row, given = LOSSES[config.loss], LOSS_INPUTS[config.loss_input]
    if row.formula is not None and not given.instead:
        return _of_formula(config, row.formula)
    function = given.instead[form] if given.instead else getattr(row, form)
    name = inspect.unwrap(function).__name__
    z = "z[:, 0]" if shared.is_binary(config) else "z"
    texts = [function]
    before = getattr(given, form)
    if before.__name__ == "_log_odds":
        texts, z = [function, before], f"_log_odds({z})"
    elif config.loss_input in ("softmax", "log_softmax"):
        z = f"jax.nn.{before.__name__}({z})"
    epsilon = "None"
    if row.epsilon is not None and not given.instead:
        epsilon = f"np.float32({shared.rounded(config.epsilon)})"
    return f'''\
def losses(z, y):
    """The loss of each image from its logits, [images]."""
    return {name}({z}, y, {epsilon})


{own_text(*texts)}'''


def _of_formula(config: RunConfig, formula: Tree) -> str:
    binary = shared.is_binary(config)
    z, before = "z[:, 0]" if binary else "z", ""
    if config.loss_input == "softmax":
        z = f"jax.nn.{'sigmoid' if binary else 'softmax'}({z})"
    elif config.loss_input == "log_softmax":
        before = f"z = {z}"
        z = "jax.nn.log_sigmoid(z) - jax.nn.log_sigmoid(-z)" if binary else "jax.nn.log_softmax(z)"
    lines = own_loss.lines(formula, own_loss.JAX, config.epsilon, TASKS[config.task].outputs)
    body = "\n".join(
        "    " + line for line in [before, f"z = {z}", *lines] if line not in ("", "z = z")
    )
    return f'''\
{own_loss.KEPT if "kept(" in body else ""}def losses(z, y):
    """The loss of each image from its logits, [images]."""
{body}'''


def _squared(config: RunConfig) -> str:
    function = LOSSES[config.loss].regression
    assert function is not None  # a loss of this task
    return f'''\
def losses(z, y):
    """The loss of each series from its predictions, [series]."""
    return {function.__name__}(z, y.astype(z.dtype), None)


{own_text(function)}'''


# A step


def _update(config: RunConfig) -> str:
    arguments = ", ".join(["params", "memory", "x", "y", *_also(config)])
    if config.dropout == "off":
        apply = "apply(params, x)"
        rng = []
    else:
        apply = "apply(params, x, rng=rng)"
        rng = ["    rng = jax.random.fold_in(jax.random.fold_in(key, 2), step)"]
    weight = (
        "" if config.loss_weight == 1 else f"np.float32({shared.rounded(config.loss_weight)}) * "
    )
    divisor = DIVISORS[config.reduction].format(outputs=TASKS[config.task].outputs)
    whole = f"{weight}slope" + (f" / {divisor}" if divisor else "")
    return "\n".join(
        [
            "@jax.jit",
            f"def update({arguments}):",
            '    """Weights and memory after a step."""',
            *rng,
            f"    z, pull_back = jax.vjp(lambda params: {apply}, params)",
            "    slope = jax.grad(lambda z: jnp.sum(losses(z, y)))(z)",
            f"    (gradient,) = pull_back({whole})",
            *("    " + line for line in jax_optimizers.step(config)),
        ]
    )


def _measured(config: RunConfig) -> str:
    answers = (
        "(jax.nn.sigmoid(z[:, 0]) >= 0.5)"
        if shared.is_binary(config)
        else ("jnp.argmax(z, axis=-1)")
    )
    wide = ".astype(jnp.float32)" if PRECISIONS[config.precision].loss.dtype.itemsize < 4 else ""
    if TASKS[config.task].series:
        measured = "jnp.mean((z.astype(jnp.float32) - y) ** 2)"
    else:
        measured = f"jnp.mean({answers} == y)"
    return f'''\
@jax.jit
def measure(params, x, y):
    z = {"apply" if MODELS[config.model].test_batch is None else "at_test"}(params, x)
    return jnp.mean(losses(z, y){wide}), {measured}


def measured(x, y):
    """Both with the weights as they are now."""
    return map(float, measure(params, x, y))'''
