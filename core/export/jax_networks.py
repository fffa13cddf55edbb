"""The networks of a JAX script, in stax, which draw the trainer's own weights."""

import functools
import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import jax.numpy as jnp

from core.config import RunConfig
from core.export import jax_norms
from core.export.own_text import own_text
from core.export.shared import as_array, rounded
from core.parts.activations import ACTIVATIONS
from core.parts.choices import TASKS
from core.parts.dropout import DROPOUTS
from core.parts.gru import Gate, LaterReset, Weights, gru
from core.parts.models import MODELS
from core.parts.precisions import PRECISIONS

# How each initializer draws weights and biases, as functions of JAX; stax's own need no words.
INITIALIZERS = {
    "glorot_normal": None,
    "normal_0.01": ("normal(1e-2)", "normal(1e-2)"),
    "keras": ("glorot_uniform()", "zeros"),
    "glorot_uniform": ("glorot_uniform()", "normal(1.0)"),
    "pytorch": ('variance_scaling(1 / 3, "fan_in", "uniform")', "uniform"),
    "pytorch_weights": ('variance_scaling(1 / 3, "fan_in", "uniform")', "zeros"),
    "flax": ("lecun_normal()", "zeros"),
    "normal_1": ("normal(1.0)", "normal(1.0)"),
    "normal": ("normal({spread})", "normal({spread})"),
}
BIASES = {
    "zeros": "zeros", "uniform": "uniform", "normal_0.01": "normal(1e-2)",
    "normal_1": "normal(1.0)", "normal": "normal({spread})",
}  # fmt: skip
_STAX = ("glorot_normal()", "normal(1e-2)")


def _initial(config: RunConfig) -> tuple[str, str] | None:
    """How weights and biases are drawn; None where a layer of stax draws them so."""
    row = INITIALIZERS[config.initializer]
    if config.biases != "own":
        row = ((row or _STAX)[0], BIASES[config.biases])
    spread = f"np.float32({rounded(config.initial_spread)})"
    return row and (row[0].format(spread=spread), row[1].format(spread=spread))


def network(config: RunConfig) -> tuple[str, str]:
    """The network and its weights: (about, lines)."""
    row = MODELS[config.model]
    layers = {"dense": _dense_layers, "convolutions": _convolutions, "series": _recurrent}
    lines = [*layers[row.kind](config)]
    weights = PRECISIONS[config.precision].weights
    lines += [f"key = jax.random.PRNGKey({config.seed})\n{_drawn(config)}"]
    if weights.key not in ("float32", "float64"):
        lines[-1] += f"\nparams = jax.tree.map(lambda w: w.astype(jnp.{weights.key}), params)"
    lines += [_apply(config)]
    if jax_norms.averages(config):
        lines += [jax_norms.begun(config)]
    if (most := test_batch(config)) is not None:
        lines += [_AT_TEST.format(most=most)]
    return "The network, which draws its weights.", "\n\n\n".join(lines)


def test_batch(config: RunConfig) -> int | None:
    """How many images are tested together, if each affects the others' answers."""
    return MODELS[config.model].test_batch or jax_norms.test_batch(config)


def _dense_layers(config: RunConfig) -> Iterator[str]:
    active, definition = _active(config)
    yield from filter(None, [definition, _dense(config)])
    layers = []
    for place, (inputs, width) in enumerate(pairwise((784, *config.widths))):
        layers += [_layer(config, inputs, width), active.format(place=place)]
    layers += [_layer(config, config.widths[-1], TASKS[config.task].outputs)]
    stack = "".join(f"    {layer},\n" for layer in layers)
    yield f"init, network = stax.serial(\n{stack})"


def _recurrent(config: RunConfig) -> Iterator[str]:
    weights, biases = _initial(config) or _STAX
    yield _weights(weights, biases)
    yield from (inspect.getsource(each).strip() for each in (Gate, LaterReset, Weights))
    yield own_text(gru)
    width = config.widths[-1]

    def dense(inputs: int, width: int) -> str:
        return f"stax.Dense({width}, WEIGHTS, {_biases(biases, inputs)})"

    layers = []
    for inputs, each in pairwise((1, *config.widths[:-1])):
        layers += [dense(inputs, each), "stax.Relu"]
    how = f"split_keys={MODELS[config.model].split_keys}"
    if MODELS[config.model].reset_after:
        how += ", reset_after=True"
    layers += [f"gru({width}, WEIGHTS, {_biases(biases, width)}, {how})"]
    layers += [dense(width, 1)]
    stack = "".join(f"    {layer},\n" for layer in layers)
    yield f"init, network = stax.serial(\n{stack})"


def _convolutions(config: RunConfig) -> Iterator[str]:
    padding = "[(size // 2, size // 2)] * 2" if MODELS[config.model].around else '"SAME"'
    yield f'''\
def conv(filters, size):
    """A convolution of stride 2."""
    return stax.Conv(filters, (size, size), (2, 2), padding={padding})


init, network = stax.serial(
    conv(32, 5), stax.BatchNorm(), stax.Relu,
    conv(32, 5), stax.BatchNorm(), stax.Relu,
    conv(10, 3), stax.BatchNorm(), stax.Relu,
    conv(10, 3), stax.Relu,
    stax.Flatten, stax.Dense({TASKS[config.task].outputs}),
)'''


_AT_TEST = '''\
def at_test(params, x):
    """Logits of batches of up to {most}, from whose own statistics BatchNorm computes.

    With k batches, the first takes images 0, k, 2k, ...; the last places are filled.
    """
    n = len(x)
    batches = -(-n // {most})
    size = -(-n // batches)
    filled = jnp.concatenate([x, x[: size * batches - n]])
    mixed = filled.reshape(size, batches, -1).swapaxes(0, 1)
    z = jax.lax.map(lambda x: apply(params, x), mixed)
    return z.swapaxes(0, 1).reshape(size * batches, -1)[:n]'''


def _drawn(config: RunConfig) -> str:
    if not PRECISIONS[config.precision].wide:
        return f"_, params = init(key, {_read(config)})"
    return (
        "with jax.enable_x64(False):  # 64 bits would draw other numbers\n"
        f"    _, params = init(key, {_read(config)})\n"
        "params = jax.tree.map(lambda w: w.astype(jnp.float64), params)"
    )


def _read(config: RunConfig) -> str:
    """The shape in which the network reads a batch of pictures."""
    row = MODELS[config.model]
    if row.kind == "dense":
        return "(-1, 784)"
    if row.series:  # it learns a state for each place in the batch
        return f"({config.batch_size}, {TASKS[config.task].inputs}, 1)"
    return f"({', '.join(map(str, (config.batch_size, *row.axes)))})"


def _apply(config: RunConfig) -> str:
    row, given = PRECISIONS[config.precision], "params, x"
    model = MODELS[config.model]
    about = "Predictions, [series, time]" if model.series else "Logits, [images, outputs]"
    lines = ["def apply(params, x, **options):", f'    """{about}."""']
    if row.compute.key != "float32":
        lines += [
            f"    params, x = jax.tree.map(lambda a: a.astype(jnp.{row.compute.key}), (params, x))"
        ]
    end = f".astype(jnp.{row.loss.key})" if row.loss.key != row.compute.key else ""
    if model.series:
        whole = f"network(params, x[..., None], **options)[..., 0]{end}"
        return "\n".join([*lines, f"    return jnp.moveaxis({whole}, 0, 1)"])
    if model.kind == "convolutions":
        given = f"params, x.reshape({', '.join(map(str, (-1, *model.axes)))})"
    return "\n".join([*lines, f"    return network({given}, **options){end}"])


def _dense(config: RunConfig) -> str:
    row = _initial(config)
    return "" if row is None else _weights(*row)


def _weights(weights: str, biases: str) -> str:
    """How weights and biases are drawn."""
    if biases != "uniform":
        return f"WEIGHTS = initializers.{weights}\nBIASES = initializers.{biases}"
    return f'''\
WEIGHTS = initializers.{weights}


def biases(inputs):
    """Draw biases as a layer with so many inputs does."""
    bound = 1 / float(np.sqrt(inputs))
    return lambda key, shape: jax.random.uniform(key, shape, jnp.float32, -bound, bound)'''


def _biases(biases: str, inputs: int) -> str:
    return f"biases({inputs})" if biases == "uniform" else "BIASES"


def _layer(config: RunConfig, inputs: int, width: int) -> str:
    row = _initial(config)
    if row is None:
        return f"stax.Dense({width})"
    return f"stax.Dense({width}, WEIGHTS, {_biases(row[1], inputs)})"


def _active(config: RunConfig) -> tuple[str, str]:
    """The layer between two dense ones, and what has to be defined for it."""
    function, options = _named(ACTIVATIONS[config.activation].function)
    drops, norms = config.dropout != "off", config.normalisation != "none"
    if not (drops or norms):
        if function == "relu":
            return "stax.Relu", ""
        return f"stax.elementwise(jax.nn.{function}{options})", ""
    before, lines, how = [], [f"x = jax.nn.{function}(x{options})"], ""
    if norms:
        before += [jax_norms.function(config)]
        how = ", **how" if jax_norms.averages(config) else ""
        lines = [f"x = normalised(params, x{', place' if how else ''}{how})", *lines]
    if drops:
        keep, dropped = _dropped(config)
        before, lines = [keep, *before], [*lines, *dropped]
    else:
        lines += ["return x"]
    parts = ["normalisation"] * norms + ["an activation"] + ["dropout"] * drops
    about = f"{', '.join(parts[:-1])} and {parts[-1]}"
    body = "\n".join("        " + line for line in lines)
    init = "scale_and_shift" if norms else "lambda rng, shape: (shape, ())"
    active = f'''\
def active({"place" if how else ""}):
    """{about.capitalize()} in one layer: one more would change the others' keys."""

    def apply(params, x, rng=None{how}):
{body}

    return {init}, apply'''
    return f"active({'{place}' if how else ''})", "\n\n\n".join([*before, active])


def _dropped(config: RunConfig) -> tuple[str, list[str]]:
    """The probability to keep a unit, and what a layer returns."""
    drop = DROPOUTS[config.dropout].means(jnp.float32(config.dropout_value))
    keep, divisor, factor = (str(jnp.float32(each)) for each in drop)
    factor_text, keep_text = (
        as_array(number, "x", config) for number in (f"np.float32({factor})", "KEEP")
    )
    tested = f"x * {factor_text}" if float(factor) != 1 else "x"
    kept = f"x / {keep_text}" if float(divisor) != 1 else "x"
    return f"KEEP = np.float32({keep})  # the probability to keep a unit", [
        "if rng is None:",
        f"    return {tested}",
        f"return jnp.where(jax.random.bernoulli(rng, KEEP, x.shape), {kept}, 0)",
    ]


def _named(function: Callable[..., Any]) -> tuple[str, str]:
    """The name in jax.nn of a function, and the options that it is given."""
    options = ""
    if isinstance(function, functools.partial):
        options = "".join(f", {name}={value!r}" for name, value in function.keywords.items())
        function = function.func
    return inspect.unwrap(function).__name__, options
