"""explain_shapes: the shapes at every step of a function, and where two arrays are both stretched.

    print(explain_shapes(loss, params, inputs, targets))

Nothing is computed: the function is traced, as jax.jit traces it. A warning marks every operation
that stretches both of its arrays, so that the result is larger than either, as in
(9, 64, 1) - (64, 9) -> (9, 64, 9), whether it is written as an operator or as a call of JAX, such
as jnp.where. NumPy's rules allow this without an error, but if it was not meant, each number is
paired with numbers that it has nothing to do with. There is no warning if smaller arrays are
stretched to the shape of a larger one, as biases are, nor if both arrays were given axes to be
stretched along, as in x[:, None] - y[None, :], by the caller or by jax.vmap.
"""

import enum
import functools
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    "and": "and", "or": "or", "xor": "xor", "stop_gradient": "no gradient",
    "shift_left": "<<", "shift_right_arithmetic": ">>", "shift_right_logical": ">>",
}  # fmt: skip
# And for functions of JAX's own.
_CALLS = {"_where": "where", "floor_divide": "//", "remainder": "%"}
_BETWEEN = {
    "+", "-", "*", "/", "//", "%", "**", "<<", ">>",
    "==", "!=", "<", "<=", ">", ">=", "and", "or", "xor",
}  # fmt: skip
# Primitives that pair the numbers of their arrays one by one.
_PAIRING = {
    "add", "add_any", "sub", "mul", "div", "rem", "pow", "max", "min", "atan2", "nextafter",
    "complex", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "select_n", "clamp",
    "shift_left", "shift_right_arithmetic", "shift_right_logical", "igamma", "igammac",
    "igamma_grad_a", "polygamma", "random_gamma_grad", "regularized_incomplete_beta", "zeta",
}  # fmt: skip


class Line(NamedTuple):
    """One operation, which has a line in an Explanation."""

    where: str  # as in: train.py:12 in loss
    what: str
    inputs: tuple[ArrayShape, ...]
    outputs: tuple[ArrayShape, ...]
    depth: int = 0  # how many loops and calls it is nested in
    warning: str = ""  # empty unless both arrays are stretched

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
    return Explanation(tuple(_Reader().lines(jax.make_jaxpr(function)(*arguments).jaxpr, 0)))


def _warning(line: Line) -> str:
    every = "all" if sum(math.prod(shape) > 1 for shape in line.inputs) > 2 else "both"
    return (
        f"{line.where}: {line.text} stretches {every} arrays, so that each number is paired with "
        f"several. If that is not meant, give {every} the same shape."
    )


# An operation that the caller wrote, such as x - y or jnp.isclose(x, y), takes JAX several steps,
# some of them inside functions of its own. It is known by the calls that lead to it, from the
# innermost: the file, function, line and instruction of each that is not in JAX.
_Written = tuple[tuple[str, str, int, int], ...]


class _Origin(enum.IntEnum):
    """Where an axis of length 1 comes from, seen from one written operation."""

    OWN = 1  # the array had it before
    ASKED = 2  # the caller added it before, as in x[:, None]
    ADDED = 3  # JAX added it in this operation
    MADE = 4  # JAX made the array in this operation, out of no other, as jnp.arange does


class _Axis(NamedTuple):
    length: int
    origin: _Origin  # counts only for a length of 1


class _Array(NamedTuple):
    """An array in a written operation, with its axes before that operation stretched them."""

    axes: tuple[_Axis, ...]
    written: _Written

    @property
    def shape(self) -> ArrayShape:
        """The lengths of the axes."""
        return tuple(axis.length for axis in self.axes)


class _Reader:
    """Turns a traced function into lines. It remembers each array, for the steps that use it."""

    def __init__(self) -> None:
        self._arrays: dict[Any, _Array] = {}
        self._warned: set[_Written] = set()

    def lines(self, jaxpr: Jaxpr, depth: int) -> Iterator[Line]:
        """Yield a line for each step of the caller's code."""
        promotions = _promotions(jaxpr)
        for eqn in jaxpr.eqns:
            written = _written(eqn)
            line = Line(
                _where(written),
                _what(eqn),
                self._inputs(eqn, written),
                tuple(map(_shape, eqn.outvars)),
                depth,
            )
            callers = [body for body in _bodies(eqn) if _is_callers(body, eqn)]
            jaxs = [body for body in _bodies(eqn) if body not in callers]
            stretches = self._follow(eqn, written, jaxs)
            if stretches and written not in self._warned:
                self._warned.add(written)
                line = line._replace(warning=_warning(line))
            if not promotions.intersection(eqn.outvars):
                yield line  # a promotion is part of the operation that needs it
            for body in callers:
                self._pass_on(eqn.invars, body.invars, written)
                yield from self.lines(body, depth + 1)
                self._pass_on(body.outvars, eqn.outvars, written)

    def _follow(self, eqn: JaxprEqn, written: _Written, bodies: Iterable[Jaxpr]) -> bool:
        """Remember what a step makes; return whether it stretches both arrays, here or inside."""
        given = [self._seen(var, written) for var in eqn.invars]
        for out in eqn.outvars:
            self._arrays[out] = _Array(_axes(eqn, given, _shape(out)), written)
        stretches = eqn.primitive.name in _PAIRING and _stretches_both(
            given, _shape(eqn.outvars[0])
        )
        for body in bodies:
            self._pass_on(eqn.invars, body.invars, written)
            for inner in body.eqns:
                stretches |= self._follow(inner, written, _bodies(inner))
            self._pass_on(body.outvars, eqn.outvars, written)
        return stretches

    def _seen(self, var: Any, written: _Written) -> _Array:
        """An array as it comes to a written operation, or was before its steps stretched it."""
        shape = _shape(var)
        known = None if isinstance(var, Literal) else self._arrays.get(var)
        if known is None:
            return _Array(tuple(_Axis(n, _Origin.OWN) for n in shape), written)
        if known.written == written:
            return known
        asked = (_Origin.ASKED, _Origin.ADDED)
        origins = [_Origin.ASKED if axis.origin in asked else _Origin.OWN for axis in known.axes]
        return _Array(tuple(map(_Axis, shape, origins)), written)

    def _inputs(self, eqn: JaxprEqn, written: _Written) -> tuple[ArrayShape, ...]:
        pairing = eqn.primitive.name in _PAIRING
        arrays = [(self._seen(var, written), _shape(var)) for var in eqn.invars]
        return tuple(
            _without_promotion(array) if pairing or array.shape == shape else shape
            for array, shape in arrays
        )

    def _pass_on(self, old: Sequence[Any], new: Sequence[Any], written: _Written) -> None:
        """Give arrays new names, those of a body. What only one side has, a loop has in front."""
        for source, target in zip(reversed(old), reversed(new), strict=False):
            if _shape(source) == _shape(target):
                self._arrays[target] = self._seen(source, written)


def _shape(var: Any) -> ArrayShape:
    return tuple(getattr(var.aval, "shape", ()))


def _axes(eqn: JaxprEqn, given: Sequence[_Array], shape: ArrayShape) -> tuple[_Axis, ...]:
    """The axes of what a step makes, of that shape, as they were before any stretching."""
    name = eqn.primitive.name
    if name == "broadcast_in_dim":
        kept = dict(zip(eqn.params["broadcast_dimensions"], given[0].axes, strict=True))
        return tuple(kept.get(i, _Axis(1, _Origin.ADDED)) for i in range(len(shape)))
    if name == "reshape" and len(shape) > len(given[0].axes):
        return tuple(_Axis(n, _Origin.ADDED) for n in shape)
    if name == "transpose":
        return tuple(given[0].axes[i] for i in eqn.params["permutation"])
    arrays = [
        array.axes
        for array, var in zip(given, eqn.invars, strict=True)
        if len(array.axes) == len(shape) and (name in _PAIRING or _shape(var) == shape)
    ]
    if name in _PAIRING or len(arrays) == 1:
        return tuple(
            max(alike, key=lambda axis: (axis.length != 1, -axis.origin))
            for alike in zip(*arrays, strict=True)
        )
    if any(_Axis(1, _Origin.ASKED) in array.axes for array in given):
        origin = _Origin.ASKED
    else:
        origin = _Origin.OWN if any(array.axes for array in given) else _Origin.MADE
    return tuple(_Axis(n, origin) for n in shape)


def _stretches_both(given: Sequence[_Array], result: ArrayShape) -> bool:
    """Whether arrays are stretched to a result larger than each, and nobody asked for all of it."""
    arrays = [array for array in given if math.prod(array.shape) > 1]
    if tuple(map(max, zip(*(array.shape for array in arrays), strict=True))) != result:
        return False  # JAX stretches them to a shape that was asked for
    if any(array.shape == result for array in arrays):
        return False
    origins = {_origin_of_stretch(array, result) for array in arrays}
    return _Origin.OWN in origins or origins >= {_Origin.ASKED, _Origin.ADDED}


def _origin_of_stretch(array: _Array, result: ArrayShape) -> _Origin:
    origins = {axis.origin for axis, n in zip(array.axes, result, strict=True) if axis.length != n}
    return _Origin.ASKED if _Origin.ASKED in origins else min(origins)


def _without_promotion(array: _Array) -> ArrayShape:
    """The shape of an array before JAX prepended axes to it."""
    added = itertools.takewhile(lambda axis: axis == (1, _Origin.ADDED), array.axes)
    return array.shape[len(list(added)) :]


def _promotions(jaxpr: Jaxpr) -> set[Any]:
    """The arrays that JAX made only to give an operation's arrays the same number of axes."""
    made = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}
    return {
        var
        for eqn in jaxpr.eqns
        for var in eqn.invars
        if not isinstance(var, Literal) and var in made and _is_promotion(made[var], eqn)
    }


def _is_promotion(maker: JaxprEqn, eqn: JaxprEqn) -> bool:
    """Whether `maker` is a broadcast that JAX itself put in, by NumPy's rules, for `eqn`."""
    if maker.primitive.name != "broadcast_in_dim" or _written(maker) != _written(eqn):
        return False
    before, after = _shape(maker.invars[0]), _shape(maker.outvars[0])
    at_the_end = tuple(range(len(after) - len(before), len(after)))
    prepends = tuple(maker.params["broadcast_dimensions"]) == at_the_end
    return prepends and (eqn.primitive.name in _PAIRING or math.prod(before) == math.prod(after))


# Where a step comes from. Stack frames run from the innermost, which is JAX's own, outwards.


@functools.cache
def _is_jax(file: str) -> bool:
    return os.path.abspath(file).startswith(_JAX)


def _written(eqn: JaxprEqn) -> _Written:
    traceback = eqn.source_info.traceback
    if traceback is None:
        return ()
    return tuple(
        (frame.file_name, frame.function_name, frame.line_num, instruction)
        for frame, instruction in zip(traceback.frames, traceback.raw_frames()[1], strict=True)
        if not _is_jax(frame.file_name)
    )


def _where(written: _Written) -> str:
    """The innermost line of code that is not JAX's."""
    if not written:
        return "JAX"
    file, function, line, _ = written[0]
    return f"{os.path.basename(file)}:{line} in {function.rpartition('.')[2]}"


def _what(eqn: JaxprEqn) -> str:
    """An operation in plain words."""
    name = eqn.primitive.name
    if name == "scan":
        return f"loop of {eqn.params['length']} steps over"
    if name in ("jit", "custom_jvp_call", "custom_vjp_call"):
        info = (eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]).jaxpr.debug_info
        called = str(info.func_name)
        return _CALLS.get(called, called) if _is_jax(info.func_filename or "") else called
    words = _WORDS.get(name, name.replace("_", " "))
    axes = eqn.params.get("axes")
    return f"{words} over axes {tuple(axes)} of" if axes and name.startswith("reduce_") else words


def _bodies(eqn: JaxprEqn) -> Iterator[Jaxpr]:
    """Yield the bodies of a loop, a branch or a call."""
    for value in eqn.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            body = each.jaxpr if isinstance(each, ClosedJaxpr) else each
            if isinstance(body, Jaxpr):
                yield body


def _is_callers(body: Jaxpr, eqn: JaxprEqn) -> bool:
    """Whether a body is the caller's code, or JAX's loop around it, as in jax.lax.map."""
    if not _is_jax(body.debug_info.func_filename or ""):
        return True
    others = {(), _written(eqn)}
    return eqn.primitive.name == "scan" and any(_written(s) not in others for s in body.eqns)
