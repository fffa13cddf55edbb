"""explain_shapes: the shapes at every step of a function, and where two arrays are both stretched.

    print(explain_shapes(loss, params, inputs, targets))

Nothing is computed: the function is traced, as jax.jit traces it. A warning marks every operation
that stretches both of its arrays, so that the result is larger than either, as in
(9, 64, 1) - (64, 9) -> (9, 64, 9). NumPy's rules allow this without an error, but if it was not
meant, each number is paired with numbers that it has nothing to do with. There is no warning if a
smaller array is stretched to the shape of a larger one, as biases are, nor if both arrays were
given axes to be stretched along, as in x[:, None] - y[None, :].
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

ArrayShape = tuple[int, ...]

_JAX = os.path.dirname(os.path.abspath(jax.__file__)) + os.sep

# Plain words for operations of a jaxpr; any other keeps its own name.
_WORDS = {
    "add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/", "rem": "%", "pow": "**",
    "integer_pow": "to a power", "neg": "minus", "max": "maximum", "min": "minimum",
    "square": "squared", "dot_general": "matrix product", "conv_general_dilated": "convolution",
    "reduce_sum": "sum", "reduce_max": "maximum", "reduce_min": "minimum", "reduce_prod": "product",
    "argmax": "place of the maximum", "argmin": "place of the minimum",
    "broadcast_in_dim": "stretch", "reshape": "new shape", "squeeze": "axes of 1 dropped",
    "expand_dims": "axes of 1 added", "transpose": "axes reordered", "concatenate": "joined",
    "select_n": "choice", "convert_element_type": "other number format", "iota": "0, 1, 2, …",
    "slice": "slice", "dynamic_slice": "slice", "gather": "picked by index",
    "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "and": "and", "or": "or", "stop_gradient": "no gradient",
}  # fmt: skip
_BETWEEN = {"+", "-", "*", "/", "%", "**", "==", "!=", "<", "<=", ">", ">=", "and", "or"}
# The outermost JAX frame of the call stack: for x - y, and for jnp.subtract(x, y).
_OPERATORS = {"_forward_operator_to_aval.<locals>.op", "ufunc.__call__"}
_PAIRING = {
    "add", "sub", "mul", "div", "rem", "pow", "max", "min", "atan2", "nextafter",
    "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor",
}  # fmt: skip


class Line(NamedTuple):
    """One operation, which has a line in an Explanation."""

    where: str  # as in: train.py:12 in loss
    what: str
    inputs: tuple[ArrayShape, ...]
    outputs: tuple[ArrayShape, ...]
    depth: int = 0  # how many loops and calls it is nested in
    warning: str = ""  # empty unless both inputs are stretched

    @property
    def text(self) -> str:
        """The operation as text, such as (64, 9) * () -> (64, 9)."""
        between = f" {self.what} " if self.what in _BETWEEN and len(self.inputs) == 2 else ""
        before = "" if between else f"{self.what} "
        given = (between or ", ").join(map(str, self.inputs))
        return f"{before}{given} -> {', '.join(map(str, self.outputs))}"

    def __str__(self) -> str:
        return f"{'  ' * self.depth}{self.where}: {self.text}"


class Explanation(NamedTuple):
    """All operations in order; str() gives a line for each."""

    lines: tuple[Line, ...]

    @property
    def warnings(self) -> list[str]:
        """The warnings alone: one for each operation that stretches both of its arrays."""
        return [line.warning for line in self.lines if line.warning]

    def __str__(self) -> str:
        text = []
        for line in self.lines:
            text += [str(line), *([f"  ^ WARNING {line.warning}"] if line.warning else [])]
        return "\n".join(text)


def explain_shapes(function: Callable[..., Any], *arguments: Any) -> Explanation:
    """Trace a function with its arguments, any pytrees of arrays, and return all its shapes.

    Operations inside a loop, or inside a function that the caller has jitted, are listed below it;
    a function of JAX's own is one operation. Raises whatever `function` raises when it is traced.
    """
    return Explanation(tuple(_lines(jax.make_jaxpr(function)(*arguments).jaxpr, 0)))


def _lines(jaxpr: Jaxpr, depth: int) -> Iterator[Line]:
    made = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}
    promoted = {
        id(_maker(made, var))
        for eqn in jaxpr.eqns
        for var in eqn.invars
        if _is_promotion(_maker(made, var), eqn)
    }
    for eqn in jaxpr.eqns:
        if id(eqn) in promoted:
            continue  # part of the operation that needs it
        yield _line(eqn, made, depth)
        for inner in _inner(eqn):
            yield from _lines(inner, depth + 1)


def _shape(var: Any) -> ArrayShape:
    return tuple(getattr(var.aval, "shape", ()))


def _line(eqn: JaxprEqn, made: dict[Any, JaxprEqn], depth: int) -> Line:
    inputs = tuple(_shape_before(made, var, eqn) for var in eqn.invars)
    outputs = tuple(map(_shape, eqn.outvars))
    line = Line(_where(eqn), _what(eqn), inputs, outputs, depth)
    return line._replace(warning=_warning(line)) if _pairs_by_itself(eqn, made) else line


def _warning(line: Line) -> str:
    return (
        f"{line.where}: {line.text} stretches both arrays, so that each number is paired with "
        "several. If that is not meant, give both the same shape."
    )


def _pairs_by_itself(eqn: JaxprEqn, made: dict[Any, JaxprEqn]) -> bool:
    """Whether an operation in the caller's code stretches both arrays without being told to."""
    if eqn.primitive.name not in _PAIRING or not _is_written(eqn):
        return False
    size = math.prod(_shape(eqn.outvars[0]))
    both = all(1 < math.prod(_shape(var)) < size for var in eqn.invars)
    return both and not all(_is_widened(_maker(made, var), eqn) for var in eqn.invars)


def _is_widened(maker: JaxprEqn | None, eqn: JaxprEqn) -> bool:
    """Whether `maker` adds axes of length 1 to an array because the caller asked for them."""
    return (
        maker is not None
        and maker.primitive.name in ("broadcast_in_dim", "reshape", "expand_dims")
        and len(_shape(maker.outvars[0])) > len(_shape(maker.invars[0]))
        and not _is_promotion(maker, eqn)
    )


# Where a step comes from. Stack frames run from the innermost, which is JAX's own, outwards.


def _frames(eqn: JaxprEqn) -> Sequence[Any]:
    traceback = eqn.source_info.traceback
    return traceback.frames if traceback else ()


def _is_jax(file: str) -> bool:
    return os.path.abspath(file).startswith(_JAX)


def _where(eqn: JaxprEqn) -> str:
    """The innermost line of code that is not JAX's."""
    for frame in _frames(eqn):
        if not _is_jax(frame.file_name):
            file = os.path.basename(frame.file_name)
            return f"{file}:{frame.line_num} in {frame.function_name.rpartition('.')[2]}"
    return "JAX"


def _is_written(eqn: JaxprEqn) -> bool:
    """Whether the caller wrote this operator, rather than calling a JAX function that uses it."""
    names = [""]
    for frame in _frames(eqn):
        if not _is_jax(frame.file_name):
            break
        names.append(frame.function_name)
    return names[-1] in _OPERATORS


def _maker(made: dict[Any, JaxprEqn], var: Any) -> JaxprEqn | None:
    return None if isinstance(var, Literal) else made.get(var)


def _is_promotion(maker: JaxprEqn | None, eqn: JaxprEqn) -> bool:
    """Whether `maker` is JAX prepending axes of length 1 by itself, because `eqn` needs them."""
    if maker is None or maker.primitive.name != "broadcast_in_dim":
        return False
    before, after = _shape(maker.invars[0]), _shape(maker.outvars[0])
    added = (1,) * (len(after) - len(before))
    return after == added + before and _calls(maker) == _calls(eqn)


def _calls(eqn: JaxprEqn) -> list[tuple[str, int]]:
    return [(frame.file_name, frame.line_num) for frame in _frames(eqn)]


def _shape_before(made: dict[Any, JaxprEqn], var: Any, eqn: JaxprEqn) -> ArrayShape:
    maker = _maker(made, var)
    if maker is not None and _is_promotion(maker, eqn):
        return _shape(maker.invars[0])
    return _shape(var)


def _what(eqn: JaxprEqn) -> str:
    """An operation in plain words."""
    name = eqn.primitive.name
    if name == "scan":
        return f"loop of {eqn.params['length']} steps over"
    if name in ("jit", "custom_jvp_call", "custom_vjp_call"):
        body = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
        return str(body.jaxpr.debug_info.func_name)
    words = _WORDS.get(name, name.replace("_", " "))
    axes = eqn.params.get("axes")
    return f"{words} over axes {tuple(axes)} of" if axes and name.startswith("reduce_") else words


def _inner(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """Yield the bodies of a loop, a branch or a call, unless they are JAX's own."""
    for value in eqn.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            body = each.jaxpr if isinstance(each, ClosedJaxpr) else each
            if isinstance(body, Jaxpr) and not _is_jax(body.debug_info.func_filename or ""):
                yield body
