"""A run as a script of JAX: stax for the network, optax for the steps.

It draws the trainer's own weights, batches and masks. Its step is written in the trainer's order,
the slope of each image's loss by its logits first and then back through the network, so that it
rounds as the trainer does.
"""

import inspect
from collections.abc import Iterator

from core.config import RunConfig
from core.export import jax_networks, jax_norms, jax_optimizers, own_loss, shared
from core.export.own_text import own_text
from core.export.script import Cell, Script
from core.parts import order
from core.parts.choices import STREAMS, TASKS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES, Form, Tree
from core.parts.order import LAST_BATCHES
from core.parts.precisions import PRECISIONS

NAME = "JAX"
# What a batch's losses are divided by.
DIVISORS = {"mean": "len(y)", "sum": "", "mean_outputs": "(len(y) * {outputs})"}


def script(config: RunConfig) -> Script:
    """The run as a script of JAX."""
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
        ("from jax import lax", "lax.scan" in body or "lax.rsqrt" in body),
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
    arguments = ", ".join([*_changed(config), "{x}", "{y}", *_also(config)])
    update = f"{', '.join(_changed(config))} = update({arguments})"
    batch = FILLED if LAST_BATCHES[config.last_batch].kept else shared.BATCH
    yield Cell("", shared.loop(config, "order_of(epoch)", update, batch))


# A step is compiled for one size, so the last image fills up a smaller batch.
FILLED = (
    "places = place * BATCH + np.arange(BATCH)",
    "filled = places < len(x)  # the last image fills up the last batch, but does not count",
    "batch = order[np.minimum(places, len(x) - 1)]",
)


def _changed(config: RunConfig) -> list[str]:
    """What a step changes."""
    return ["params", "memory", *(["running"] if jax_norms.averages(config) else [])]


def _also(config: RunConfig) -> list[str]:
    """What a step is given besides weights, memory and batch."""
    counts = config.dropout != "off" or jax_optimizers.counts(config)
    kept = LAST_BATCHES[config.last_batch].kept
    return [*(["step"] if counts else []), *(["filled"] if kept else [])]


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
    if config.label_smoothing:
        return f'''\
def losses_of(z, y):
    """The loss of each image if all of its target is one label, [images]."""
    return {name}({z}, y, {epsilon})


{_smoothed(config)}


{own_text(*texts)}'''
    moved = "".join(f"    {line}\n" for line in shared.moved(config))
    return f'''\
def losses(z, y):
    """The loss of each image from its logits, [images]."""
{moved}    return {name}({z}, y, {epsilon})


{own_text(*texts)}'''


def _smoothed(config: RunConfig) -> str:
    """The loss of smoothed labels and its slope: those of every class, weighted by its target."""
    classes, loss = shared.classes(config), PRECISIONS[config.precision].loss.key
    label, other = ("TARGET", "SHARE") if loss == "float32" else (
        f"jnp.{loss}(TARGET)", f"jnp.{loss}(SHARE)"
    )  # fmt: skip
    moved = "".join(f"    {line}\n" for line in shared.moved(config))
    return f'''\
# Of the target of each image, a part is spread evenly over the classes.
SHARE = np.float32({shared.rounded(config.label_smoothing)}) / {classes}
TARGET = 1 - np.float32({shared.rounded(config.label_smoothing)}) + SHARE  # of the image's label


def over_classes(of, z, y):
    """The sum over classes of what `of` gives for each as the label, times its target."""
{moved}    total = {label} * of(z, y)
    for i in range(1, {classes}):
        total += {other} * of(z, (y + i) % {classes})
    return total


def losses(z, y):
    """The loss of each image from its logits, [images]."""
    return over_classes(losses_of, z, y)


def slopes(z, y):
    """Their derivatives by the logits, [images, outputs]."""
    return over_classes(jax.grad(lambda z, y: jnp.sum(losses_of(z, y))), z, y)'''


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
        "    " + line
        for line in [*shared.moved(config), before, f"z = {z}", *lines]
        if line not in ("", "z = z")
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
    given = ["x"] if config.dropout == "off" else ["x", "rng=rng"]
    weight = f"np.float32({shared.rounded(config.loss_weight)})"
    weight = "" if config.loss_weight == 1 else f"{shared.as_array(weight, 'slope', config)} * "
    divisor = DIVISORS[config.reduction].format(outputs=TASKS[config.task].outputs)
    kept, averages = LAST_BATCHES[config.last_batch].kept, jax_norms.averages(config)
    if kept:
        divisor = divisor.replace("len(y)", "jnp.sum(filled)")
    whole = f"{weight}slope" + (f" / {divisor}" if divisor else "")
    apply, result, aux = "apply", "z, pull_back", ""
    if averages:
        apply, result, aux = "passed", "z, pull_back, moments", ", has_aux=True"
    smoothed = "slopes(z, y)"
    slope = "jax.grad(lambda z: jnp.sum(losses(z, y)))(z)"
    changed = "Weights, memory and running averages" if averages else "Weights and memory"
    lines = []
    if config.dropout != "off":
        lines += ["rng = jax.random.fold_in(jax.random.fold_in(key, 2), step)"]
    lines += [
        f"{result} = jax.vjp(lambda params: {apply}({', '.join(['params', *given])}), params{aux})",
        f"slope = {smoothed if config.label_smoothing else slope}",
        f"(gradient,) = pull_back({f'jnp.where(filled[:, None], {whole}, 0)' if kept else whole})",
        *(jax_norms.averaged(config) if averages else []),
        *jax_optimizers.step(config),
    ]
    if averages:
        lines[-1] += ", running"
    return "\n".join(
        [
            "@jax.jit",
            f"def update({', '.join([*_changed(config), 'x', 'y', *_also(config)])}):",
            f'    """{changed} after a step."""',
            *("    " + line for line in lines),
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
    weights, passed = "params", "apply(params, x)"
    if jax_norms.averages(config):
        weights, passed = "params, running", "apply(params, x, running=running)"
    elif jax_networks.test_batch(config) is not None:
        passed = "at_test(params, x)"
    return f'''\
@jax.jit
def measure({weights}, x, y):
    z = {passed}
    return jnp.mean(losses(z, y){wide}), {measured}


def measured(x, y):
    """Both with the weights as they are now."""
    return map(float, measure({weights}, x, y))'''
