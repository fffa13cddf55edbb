"""The steps of a JAX script: optax where it has the rule, else our rule's own text."""

import re

import jax.numpy as jnp

from core.config import RunConfig
from core.export.own_text import made_by, own_text
from core.export.shared import real, rounded
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS, is_kernel
from core.parts.models import MODELS
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS

# The rules that optax has: {rate}, {m} (momentum), {b} (beta_2) and {e} (epsilon) are numbers.
OPTAX = {
    "sgd": "optax.sgd({rate})",
    "momentum": "optax.sgd({rate}, momentum={m})",
    "nesterov": "optax.sgd({rate}, momentum={m}, nesterov=True)",
    "adam": "optax.adam({rate}, b1={m}, b2={b}, eps={e})",
    "nadam_optax": "optax.nadam({rate}, b1={m}, b2={b}, eps={e})",
    "adadelta": "optax.adadelta({rate}, rho={b}, eps={e})",
    "lion": "optax.lion({rate}, b1={m}, b2={b}, weight_decay=0.0)",
    "adagrad_keras": "optax.adagrad({rate}, initial_accumulator_value=0.1, eps={e})",
    "rmsprop_keras": "optax.rmsprop({rate}, decay={b}, eps={e}, momentum={m})",
    "rmsprop_keras_centered": "optax.rmsprop({rate}, decay={b}, eps={e}, momentum={m}, "
    "centered=True)",
}


def by_optax(config: RunConfig) -> bool:
    """Whether optax takes the steps.

    It rounds its numbers otherwise in formats that are not float32, and so does not there.
    """
    return config.optimizer in OPTAX and PRECISIONS[config.precision].weights.key == "float32"


def counts(config: RunConfig) -> bool:
    """Whether our own rule needs the number of the step."""
    return not by_optax(config) and OPTIMIZERS[config.optimizer].counts


def begun(config: RunConfig) -> tuple[str, str]:
    """The optimizer, and its memory before the first step: (about, lines)."""
    row = OPTIMIZERS[config.optimizer]
    about = f"The optimizer: {row.label}."
    kernels = [own_text(is_kernel)] if _by_place(config) else []
    if by_optax(config):
        call = OPTAX[config.optimizer].format(
            rate=rounded(config.learning_rate),
            m=real(config.effective("momentum") or 0),
            b=real(config.effective("beta_2") or 0),
            e=real(config.effective("optimizer_epsilon") or 0),
        )
        lines = [*kernels, f"optimizer = {call}\nmemory = optimizer.init(params)"]
    else:
        lines = [*kernels, _rule(config), _numbers(config), _memory(config)]
    return about, "\n\n\n".join(lines)


def _by_place(config: RunConfig) -> bool:
    """Whether it takes a weight's place to tell if it decays; else its axes do."""
    return DECAY_FORMS[config.decay_form].penalty and MODELS[config.model].kind != "dense"


def _rule(config: RunConfig) -> str:
    maker, call = made_by(OPTIMIZERS[config.optimizer].rule)
    text = own_text(maker)
    return text + (f"\n\n\nrule = {call}" if call else f"\n\n\nrule = {maker.__name__}")


def _numbers(config: RunConfig) -> str:
    """The Settings that the rule's text names."""
    weights = PRECISIONS[config.precision].weights.key
    powers = _powers(config)
    momentum, beta_2, epsilon = (
        config.effective(name) or 0.0 for name in ("momentum", "beta_2", "optimizer_epsilon")
    )
    t = "t" if OPTIMIZERS[config.optimizer].counts else "1"
    values = {
        "rate": f"jnp.{weights}({_knob(config.learning_rate, config)})",
        "momentum": f"jnp.{weights}({real(momentum)})",
        "momentum_rest": f"jnp.{weights}({real(1 - momentum)})",
        "beta_2": f"jnp.{weights}({real(beta_2)})",
        "beta_2_rest": f"jnp.{weights}({real(1 - beta_2)})",
        "epsilon": f"jnp.{weights}({real(epsilon)})",
        "wide_momentum": f"jnp.{powers}({real(momentum)})",
        "wide_beta_2": f"jnp.{powers}({real(beta_2)})",
        "t": t,
        "correction": f"1 - jnp.{powers}({real(momentum)}) ** {t}",
        "correction_2": f"1 - jnp.{powers}({real(beta_2)}) ** {t}",
    }
    named = set(re.findall(r"\bs\.(\w+)", _rule(config))) | {"rate"}
    lines = [f"        {name}={value}," for name, value in values.items() if name in named]
    return "\n".join(
        [
            "def numbers(t):",
            '    """The numbers of the rule at step t, counted from 1."""',
            "    return SimpleNamespace(",
            *lines,
            "    )",
        ]
    )


def _knob(value: float, config: RunConfig) -> str:
    """A number that the trainer keeps in float32, as its weights see it."""
    return rounded(value, wide=PRECISIONS[config.precision].wide)


def _powers(config: RunConfig) -> str:
    """The format of numbers whose powers are taken: no fewer than 32 bits."""
    return "float64" if PRECISIONS[config.precision].wide else "float32"


def _memory(config: RunConfig) -> str:
    """The memory of each array of weights before the first step."""
    row = OPTIMIZERS[config.optimizer]
    parts = [
        "jnp.zeros_like(w)" if each.ndim else f"jnp.ones([], jnp.{_powers(config)})"
        for each in row.start(jnp.zeros(1))
    ]
    if row.first_square:
        parts[0] = f"jnp.full_like(w, {real(row.first_square)})"
    return f"memory = jax.tree.map(lambda w: ({''.join(f'{part}, ' for part in parts)}), params)"


def step(config: RunConfig) -> list[str]:
    """The lines of a step that follow the gradient, with what it returns."""
    lines = [*clipped(config), *decayed(config)]
    decoupled = DECAY_FORMS[config.decay_form].in_step
    share = f"{_knob(config.learning_rate, config)} * {_knob(config.weight_decay, config)}"
    if by_optax(config):
        lines += ["steps, memory = optimizer.update(gradient, memory, params)"]
        if decoupled:
            lines += [f"steps = jax.tree.map(lambda u, w: u - {share} * w, steps, params)"]
        return [*lines, "return optax.apply_updates(params, steps), memory"]
    lines += [
        f"s = numbers({'step + 1' if counts(config) else '1'})",
        "both = jax.tree.map(lambda g, memory: rule(g, memory, s), gradient, memory)",
        "steps = jax.tree.map(lambda g, pair: pair[0], gradient, both)",
        "memory = jax.tree.map(lambda g, pair: pair[1], gradient, both)",
    ]
    if decoupled:
        lines += [f"steps = jax.tree.map(lambda u, w: u + {share} * w, steps, params)"]
    return [*lines, "return jax.tree.map(jnp.subtract, params, steps), memory"]


def clipped(config: RunConfig) -> list[str]:
    """The lines that shorten the gradient."""
    most = f"most = np.float32({rounded(config.clip_norm)})  # the longest gradient allowed"
    narrow = PRECISIONS[config.precision].weights.dtype.itemsize < 4
    square = f"jnp.sum(jnp.square(g{'.astype(jnp.float32)' if narrow else ''}))"
    row = CLIP_FORMS[config.clip_form]
    if row.norm == "none":
        return []
    if row.norm == "each":
        return [
            most,
            f"norms = jax.tree.map(lambda g: jnp.sqrt({square}), gradient)",
            "gradient = jax.tree.map(",
            "    lambda g, norm: g * (most / jnp.maximum(norm, most)).astype(g.dtype),",
            "    gradient, norms,",
            ")",
        ]
    more = f" + np.float32({real(row.more)})" if row.more else ""
    return [
        most,
        "squares = [",
        f"    {square} for g in jax.tree.leaves(gradient)",
        "]",
        f"factor = most / jnp.maximum(jnp.sqrt(sum(squares)){more}, most)",
        "gradient = jax.tree.map(lambda g: g * factor.astype(g.dtype), gradient)",
    ]


def decayed(config: RunConfig) -> list[str]:
    """The lines that add the decay to the gradient."""
    decay, row = _knob(config.weight_decay, config), DECAY_FORMS[config.decay_form]
    if not row.in_gradient:
        return []
    if not row.penalty:
        return [f"gradient = jax.tree.map(lambda g, w: g + {decay} * w, gradient, params)"]
    if _by_place(config):
        return [
            "gradient = jax.tree.map_with_path(",
            f"    lambda path, g, w: g + 2 * {decay} * w if is_kernel(path, w) else g,",
            "    gradient, params,",
            ")",
        ]
    return [
        "gradient = jax.tree.map(",
        f"    lambda g, w: g + 2 * {decay} * w if w.ndim > 1 else g, gradient, params",
        ")",
    ]
