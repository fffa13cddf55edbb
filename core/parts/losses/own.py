"""Rows for losses that somebody has typed: a formula is the key of its own row."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from core.parts.losses import shared
from core.parts.losses.formula import (
    NEGATED,
    FormulaError,
    Name,
    Number,
    Tree,
    misfit,
    nodes,
    over_classes,
    parse,
)
from core.parts.losses.row import Form, Loss, LossFunction
from core.registry import Registry

EPSILON = 1e-7  # Keras's, for formulas with eps
FIRST: dict[Form, str] = {  # what a visitor begins with
    "binary": "-(y*log(p + eps) + (1 - y)*log(1 - p + eps))",
    "softmax": "-sum(y*log(p + eps))",
}


class _Meaning(NamedTuple):
    """What a function or an operation is in JAX, and in NumPy where that is written otherwise."""

    jax: Callable[..., Any]
    numpy: Callable[..., Any]


def _over_classes(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x: function(x, axis=-1, keepdims=True)


def _numpy_logsumexp(x: Any) -> Any:
    return np.logaddexp.reduce(x, axis=-1, keepdims=True)


# One argument of max and min means their extreme over the classes.
MEANINGS: dict[tuple[str, int], _Meaning] = {
    **{
        (name, 1): _Meaning(getattr(jnp, name), getattr(np, name))
        for name in ("log", "exp", "log1p", "expm1", "abs", "sqrt", "tanh")
    },
    ("sigmoid", 1): _Meaning(jax.nn.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    ("softplus", 1): _Meaning(jax.nn.softplus, lambda x: np.logaddexp(x, 0)),
    ("softmax", 1): _Meaning(jax.nn.softmax, lambda x: np.exp(x - _numpy_logsumexp(x))),
    ("log_softmax", 1): _Meaning(jax.nn.log_softmax, lambda x: x - _numpy_logsumexp(x)),
    ("logsumexp", 1): _Meaning(_over_classes(jax.nn.logsumexp), _numpy_logsumexp),
    ("sum", 1): _Meaning(_over_classes(jnp.sum), _over_classes(np.sum)),
    ("max", 1): _Meaning(_over_classes(jnp.max), _over_classes(np.max)),
    ("min", 1): _Meaning(_over_classes(jnp.min), _over_classes(np.min)),
    ("max", 2): _Meaning(jnp.maximum, np.maximum),
    ("min", 2): _Meaning(jnp.minimum, np.minimum),
    ("clip", 3): _Meaning(jnp.clip, np.clip),
    ("where", 3): _Meaning(jnp.where, np.where),
    (NEGATED, 1): _Meaning(jnp.negative, np.negative),
    ("+", 2): _Meaning(jnp.add, np.add),
    ("-", 2): _Meaning(jnp.subtract, np.subtract),
    ("*", 2): _Meaning(jnp.multiply, np.multiply),
    ("/", 2): _Meaning(jnp.divide, np.divide),
    ("**", 2): _Meaning(jnp.power, np.power),
    ("<", 2): _Meaning(jnp.less, np.less),
    ("<=", 2): _Meaning(jnp.less_equal, np.less_equal),
    (">", 2): _Meaning(jnp.greater, np.greater),
    (">=", 2): _Meaning(jnp.greater_equal, np.greater_equal),
    ("==", 2): _Meaning(jnp.equal, np.equal),
}
WHOLE_POWERS = range(9)  # with which a power is a product, as x**2 is in NumPy and JAX


def whole_power(exponent: Tree) -> int | None:
    """A small whole number that somebody has written as an exponent, or None."""
    if isinstance(exponent, Number) and exponent.value in WHOLE_POWERS:
        return int(exponent.value)
    return None


def _in_jax(tree: Tree, known: dict[str, Array]) -> Array:
    """The value of a tree in the format of z, each operation rounded by itself.

    Without the barriers the compiler would rewrite what was typed: (1 - p) + 1e-7 as 1.0000001 - p,
    or log(exp(x)) as x.
    """
    if isinstance(tree, Name):
        return known[tree.name]
    if isinstance(tree, Number):
        dtype = known["z"].dtype
        with np.errstate(over="ignore"):  # in few bits it may be inf
            return lax.optimization_barrier(jnp.asarray(np.float64(tree.value).astype(dtype)))
    if tree.of == "**" and (power := whole_power(tree.parts[1])) is not None:
        return lax.optimization_barrier(lax.integer_pow(_in_jax(tree.parts[0], known), power))
    parts = [_in_jax(part, known) for part in tree.parts]
    return lax.optimization_barrier(MEANINGS[tree.of, len(parts)].jax(*parts))


def _in_numpy(tree: Tree, known: dict[str, Any]) -> Any:
    if isinstance(tree, Name):
        return known[tree.name]
    if isinstance(tree, Number):
        return np.float64(tree.value)
    parts = [_in_numpy(part, known) for part in tree.parts]
    return MEANINGS[tree.of, len(parts)].numpy(*parts)


def _binary(tree: Tree) -> LossFunction:
    def own(logits: Array, labels: Array, epsilon: Array) -> Array:
        """A visitor's formula of two classes."""
        known = {
            "z": logits,
            "y": labels.astype(logits.dtype),
            "p": shared.sigmoid(logits),
            "eps": jnp.asarray(epsilon).astype(logits.dtype),
        }
        return jnp.broadcast_to(_in_jax(tree, known), logits.shape)

    return own


def _softmax(tree: Tree) -> LossFunction:
    def own(logits: Array, labels: Array, epsilon: Array) -> Array:
        """A visitor's formula of several classes."""
        known = {
            "z": logits,
            "y": shared.one_hot(labels, logits),
            "p": shared.softmax(logits),
            "eps": jnp.asarray(epsilon).astype(logits.dtype),
        }
        return jnp.broadcast_to(_in_jax(tree, known)[..., 0], logits.shape[:-1])

    return own


_PAPER = np.linspace(-12, 12, 17)  # logits at which a formula is compared with the cross-entropy


def _on_paper(tree: Tree, form: Form) -> bool:
    """Whether a formula is the cross-entropy in exact arithmetic, up to an eps that goes to 0."""
    z = np.stack([_PAPER, 0 * _PAPER, 1 + 0 * _PAPER], axis=-1)
    with np.errstate(all="ignore"):
        for label in (0, 1):
            if form == "binary":
                p = 1 / (1 + np.exp(-_PAPER))
                known = {"z": _PAPER, "y": np.float64(label), "p": p, "eps": 1e-30}
                value = _in_numpy(tree, known)
                true = np.logaddexp(0, -_PAPER if label else _PAPER)
            else:
                p = np.exp(z - _numpy_logsumexp(z))
                known = {"z": z, "y": np.eye(3)[label], "p": p, "eps": 1e-30}
                value = _in_numpy(tree, known)[..., 0]
                true = _numpy_logsumexp(z)[..., 0] - z[:, label]
            if not np.allclose(np.broadcast_to(value, true.shape), true, rtol=1e-9, atol=1e-9):
                return False
    return True


def label(text: str) -> str:
    """A formula as the name of its loss: short, and without signs that could be markup."""
    shown = text.replace("**", "^").replace("*", "·").replace("<", "‹").replace(">", "›")
    return f"own: {shown if len(shown) <= 48 else shown[:47] + '…'}"


def _works_on(tree: Tree) -> Any:
    names = {node.name if isinstance(node, Name) else "" for node in nodes(tree)}
    calls = {getattr(node, "of", "") for node in nodes(tree)}
    if "p" not in names and not calls & {"sigmoid", "softmax"}:
        return "logits"
    return "clipped probability" if "clip" in calls else "probability"


@lru_cache(maxsize=256)
def row(text: str) -> Loss:
    """The row of a formula, which is its key.

    Raises:
      FormulaError: it is no formula.
      KeyError: it is one, but not written as `str` of its tree is.
    """
    tree = parse(text)
    if str(tree) != text:
        raise KeyError(text)
    of_classes = any(map(over_classes, nodes(tree)))
    form: Form = "softmax" if of_classes else "binary"
    on_paper = _on_paper(tree, form)
    return Loss(
        key=text,
        label=label(text),
        summary="Your own formula. Each of its operations is rounded by itself, as it is written. "
        + (
            "On paper it is the cross-entropy."
            if on_paper
            else "On paper it is not the cross-entropy, with which the charts compare it."
        ),
        failure="It is found by trying the format's own numbers.",
        works_on=_works_on(tree),
        reference="typed by a visitor",
        binary=None if of_classes else _binary(tree),
        softmax=_softmax(tree) if of_classes else None,
        epsilon=EPSILON if Name("eps") in nodes(tree) else None,
        formula=tree,
        cross_entropy=on_paper,
    )


class Losses(Registry[Loss]):
    """A table of losses in which each formula has a row, too, though it is not listed."""

    def __getitem__(self, key: str) -> Loss:
        if key in self._rows:
            return self._rows[key]
        try:
            return row(key)
        except FormulaError as error:
            raise KeyError(key) from error

    def spelled(self, text: str) -> str:
        """The key that a text means: a formula's is how its tree is written."""
        if text in self._rows:
            return text
        try:
            return str(parse(text))
        except FormulaError:
            return text

    @property
    def allowed(self) -> str:
        """What a key can be."""
        listed = [", ".join(self._rows)] if self._rows else []
        return " or ".join([*listed, "a formula of z, y, p and eps"])


OWN = Losses("own losses", [])


def fault(text: str, form: Form) -> FormulaError | None:
    """What is wrong with a text as the loss of a task of this form, or None."""
    try:
        tree = parse(text)
    except FormulaError as error:
        return error
    why = misfit(tree, form)
    return FormulaError(text, 0, why) if why else None
