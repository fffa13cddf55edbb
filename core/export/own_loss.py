"""A visitor's own loss as lines of a framework.

They are written from the formula's tree, so they hold names and numbers of ours only.
"""

from collections.abc import Callable
from typing import NamedTuple

from core.parts.losses import Tree
from core.parts.losses.formula import Call, Name, Number, nodes, over_classes, written


class Language(NamedTuple):
    """How a framework writes what a formula has; {0}, {1} and {2} are a function's arguments."""

    plain: str  # the module of functions with the same names and one argument
    calls: dict[tuple[str, int], str]
    hot: str  # labels y as {classes} numbers of 0 and 1
    leaf: Callable[[Number | Name, bool], str]
    eps: str  # the line's right side for eps = …


def _jax_leaf(leaf: Number | Name, alone: bool) -> str:
    if isinstance(leaf, Number) and leaf.value != int(leaf.value):
        return f"kept({leaf}, z)"
    return str(leaf)


def _torch_leaf(leaf: Number | Name, alone: bool) -> str:
    if not alone or leaf in (Name("z"), Name("y"), Name("p")):
        return str(leaf)
    return f"torch.tensor({leaf if isinstance(leaf, Name) else float(leaf.value)})"


def _plain_leaf(leaf: Number | Name, alone: bool) -> str:
    return str(leaf)


# What keeps XLA from computing (1 - p) + 1e-7 as 1.0000001 - p.
KEPT = '''\
def kept(number, like):
    """A number that the compiler does not merge with others, in the format of an array."""
    return jax.lax.optimization_barrier(jnp.asarray(number, like.dtype))


'''
JAX = Language(
    "jnp",
    {
        ("sigmoid", 1): "jax.nn.sigmoid({0})",
        ("softplus", 1): "jax.nn.softplus({0})",
        ("softmax", 1): "jax.nn.softmax({0})",
        ("log_softmax", 1): "jax.nn.log_softmax({0})",
        ("logsumexp", 1): "jax.nn.logsumexp({0}, axis=-1, keepdims=True)",
        ("sum", 1): "jnp.sum({0}, axis=-1, keepdims=True)",
        ("max", 1): "jnp.max({0}, axis=-1, keepdims=True)",
        ("min", 1): "jnp.min({0}, axis=-1, keepdims=True)",
        ("max", 2): "jnp.maximum({0}, {1})",
        ("min", 2): "jnp.minimum({0}, {1})",
        ("clip", 3): "jnp.clip({0}, {1}, {2})",
        ("where", 3): "jnp.where({0}, {1}, {2})",
    },
    "jax.nn.one_hot(y, {classes}, dtype=z.dtype)",
    _jax_leaf,
    "kept({eps}, z)",
)
KERAS = Language(
    "ops",
    {
        ("softmax", 1): "ops.softmax({0})",
        ("log_softmax", 1): "ops.log_softmax({0})",
        ("logsumexp", 1): "ops.logsumexp({0}, axis=-1, keepdims=True)",
        ("sum", 1): "ops.sum({0}, axis=-1, keepdims=True)",
        ("max", 1): "ops.max({0}, axis=-1, keepdims=True)",
        ("min", 1): "ops.min({0}, axis=-1, keepdims=True)",
        ("max", 2): "ops.maximum({0}, {1})",
        ("min", 2): "ops.minimum({0}, {1})",
        ("clip", 3): "ops.minimum(ops.maximum({0}, {1}), {2})",  # as JAX's clip at a limit
        ("where", 3): "ops.where({0}, {1}, {2})",
    },
    "ops.one_hot(y, {classes})",
    _plain_leaf,
    "{eps}",
)
TORCH = Language(
    "torch",
    {
        ("softplus", 1): "nn.functional.softplus({0})",
        ("softmax", 1): "torch.softmax({0}, -1)",
        ("log_softmax", 1): "torch.log_softmax({0}, -1)",
        ("logsumexp", 1): "torch.logsumexp({0}, -1, keepdim=True)",
        ("sum", 1): "torch.sum({0}, -1, keepdim=True)",
        ("max", 1): "torch.amax({0}, -1, keepdim=True)",
        ("min", 1): "torch.amin({0}, -1, keepdim=True)",
        ("max", 2): "torch.maximum({0}, {1})",
        ("min", 2): "torch.minimum({0}, {1})",
        ("clip", 3): "torch.minimum(torch.maximum({0}, {1}), {2})",  # as JAX's clip at a limit
        ("where", 3): "torch.where({0}, {1}, {2})",
    },
    "torch.eye({classes})[y]",
    _torch_leaf,
    "{eps}",
)


def lines(tree: Tree, language: Language, epsilon: float, classes: int) -> list[str]:
    """The body of a function of labels y and logits z that gives the loss of each example."""

    def call(function: Call, parts: list[str]) -> str:
        at = function.of, len(parts)
        return language.calls.get(at, f"{language.plain}.{function.of}({{0}})").format(*parts)

    parts, several = [*nodes(tree)], any(map(over_classes, nodes(tree)))
    both = Call("softmax" if several else "sigmoid", (Name("z"),))
    value = written(tree, call, language.leaf)
    body = []
    if Name("y") in parts and several:
        body += ["y = " + language.hot.format(classes=classes)]
    if Name("p") in parts:
        body += ["p = " + written(both, call, language.leaf)]
    if Name("eps") in parts:
        body += ["eps = " + language.eps.format(eps=repr(float(epsilon)))]
    return [*body, f"return ({value})[..., 0]" if several else f"return {value}"]
