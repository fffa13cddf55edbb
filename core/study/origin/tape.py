"""A computation on record: which operation made a number, and from which numbers.

A function is evaluated one operation after the other, each rounded to its own format, and what each
gave is kept. From an element that is NaN the record leads back to the operation that made it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

Index = tuple[int, ...]
CALLS = ("jaxpr", "call_jaxpr")  # where an operation that is a function keeps it
OPAQUE = ("conv_general_dilated",)  # not looked into
POLES = ("div", "log", "log1p", "pow", "integer_pow", "rsqrt")  # infinite at a finite number
MOVES = ("transpose", "rev", "gather", "dynamic_slice", "concatenate", "pad", "scatter-add")


@dataclass(frozen=True, eq=False)
class Value:
    """An array, and what made it: no operation made an argument or a constant."""

    array: np.ndarray
    name: str = ""  # of the operation, as JAX calls it
    params: Any = None
    operands: tuple["Value", ...] = ()
    product: int = 0  # how many matrix products and convolutions there were until then


class Element(NamedTuple):
    """One number of an array."""

    value: Value
    at: Index

    @property
    def scalar(self) -> float:
        """The number itself."""
        return float(self.value.array[self.at])


class Operation(NamedTuple):
    """An operation on one example's numbers."""

    name: str  # as JAX calls it
    operands: tuple[float, ...]  # those that decide the result, of a sum of many
    result: float
    dtype: np.dtype[Any]  # of the result
    terms: int = 1  # how many numbers, or products, are summed
    product: int = 0  # as a Value's


class Recorder:
    """Evaluates functions and counts their products."""

    def __init__(self) -> None:
        self.products = 0

    def record(self, function: Callable[..., Any], *args: Any) -> list[Value]:
        """The results of a function, flattened."""
        closed = jax.make_jaxpr(function)(*args)
        given = [Value(np.asarray(leaf)) for leaf in jax.tree.leaves(args)]
        return self._run(closed.jaxpr, [Value(np.asarray(c)) for c in closed.consts], given)

    def _run(self, jaxpr: Jaxpr, consts: list[Value], args: list[Value]) -> list[Value]:
        known: dict[Any, Value] = dict(
            zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True)
        )

        def read(atom: Any) -> Value:
            if isinstance(atom, Literal):
                aval: Any = atom.aval
                return Value(np.asarray(atom.val, aval.dtype))
            return known[atom]

        for equation in jaxpr.eqns:
            made = self._operation(equation, [read(atom) for atom in equation.invars])
            known |= zip(equation.outvars, made, strict=True)
        return [read(atom) for atom in jaxpr.outvars]

    def _operation(self, equation: Any, operands: list[Value]) -> list[Value]:
        name, params = equation.primitive.name, equation.params
        if name == "cond":
            index, *operands = operands
            return self._call(params["branches"][int(index.array)], operands)
        if name == "scan":
            return self._scan(params, operands)
        if name == "while":
            return self._while(params, operands)
        inner = next((params[key] for key in CALLS if key in params), None)
        if inner is not None:
            return self._call(inner, operands)
        self.products += name in ("dot_general", "conv_general_dilated")
        results = equation.primitive.bind(
            *(jnp.asarray(each.array) for each in operands),
            **equation.primitive.get_bind_params(params),
        )
        arrays = results if equation.primitive.multiple_results else [results]
        return [
            Value(_host(array), name, params, tuple(operands), self.products) for array in arrays
        ]

    def _scan(self, params: Any, operands: list[Value]) -> list[Value]:
        """A loop over time, one step after the other."""
        steps, carried = range(params["length"]), params["num_carry"]
        consts, rest = operands[: params["num_consts"]], operands[params["num_consts"] :]
        carry, series = rest[:carried], rest[carried:]
        given = []
        for t in reversed(steps) if params["reverse"] else steps:
            now = [Value(each.array[t], "dynamic_slice", operands=(each,)) for each in series]
            results = self._call(params["jaxpr"], [*consts, *carry, *now])
            carry = results[:carried]
            given.append(results[carried:])
        order = slice(None, None, -1 if params["reverse"] else 1)
        return carry + [
            Value(np.stack([each.array for each in made][order]), "concatenate", operands=made)
            for made in zip(*given, strict=True)
        ]

    def _while(self, params: Any, operands: list[Value]) -> list[Value]:
        """A loop whose length is only known at its end."""
        for_test, for_body = params["cond_nconsts"], params["body_nconsts"]
        test, body = operands[:for_test], operands[for_test : for_test + for_body]
        carry = operands[for_test + for_body :]
        while self._call(params["cond_jaxpr"], [*test, *carry])[0].array:
            carry = self._call(params["body_jaxpr"], [*body, *carry])
        return carry

    def _call(self, inner: ClosedJaxpr | Jaxpr, operands: list[Value]) -> list[Value]:
        if isinstance(inner, Jaxpr):
            return self._run(inner, [], operands)
        return self._run(inner.jaxpr, [Value(np.asarray(c)) for c in inner.consts], operands)


def _host(array: Any) -> Any:
    """As NumPy's array; a random key stays what it is."""
    return array if jnp.issubdtype(array.dtype, jax.dtypes.prng_key) else np.asarray(array)


class Made(NamedTuple):
    """How a computation came to NaN or to an infinity."""

    result: int  # the position of the first result that holds it
    operations: tuple[Operation, ...]  # the last one made it; the others led there


def origin(results: list[Value]) -> Made | None:
    """What made the first NaN among the results, or else the first infinity; None of finite ones.

    The operations that led there made an infinity, a 0 or a 1 of what was none, or the next of one.
    """
    for odd in (np.isnan, np.isinf):
        for i, result in enumerate(results):
            if (element := _first(result, odd)) is not None:
                return Made(i, tuple(reversed([*_back(_maker(element, odd))])))
    return None


def _first(value: Value, odd: Callable[[Any], Any]) -> Element | None:
    if not jnp.issubdtype(value.array.dtype, jnp.floating):
        return None
    places = np.argwhere(odd(value.array))
    return Element(value, tuple(places[0].tolist())) if len(places) else None


def _maker(element: Element, odd: Callable[[Any], Any]) -> Element:
    """The element that was NaN (or infinite) first, of those that this one was made from."""
    while before := next((each for each in sources(element) if odd(each.scalar)), None):
        element = before
    return element


def _back(element: Element) -> Iterator[Operation]:
    """The operation that made an element, and those before it that made its odd operands."""
    while element.value.name:
        made_from = sources(element)
        before = None if _overflows(element, made_from) else _oddest(made_from)
        carried = before is not None and _same(before.scalar, element.scalar)
        if not carried and (made_from or element.value.name in OPAQUE):
            yield operation(element, made_from)
        if before is None:
            return
        element = before


def _overflows(element: Element, made_from: list[Element]) -> bool:
    """Whether the result is beyond the format, and no single operand is to blame."""
    finite = all(np.isfinite(each.scalar) for each in made_from)
    return finite and bool(np.isinf(element.scalar)) and element.value.name not in POLES


def _oddest(made_from: list[Element]) -> Element | None:
    """The operand to follow: an infinity, or else what has been rounded to 0 or 1."""
    for odd in (np.isinf, lambda number: number == 0, lambda number: number == 1):
        for each in reversed(made_from):  # of a quotient the divisor first
            if each.value.name and odd(each.scalar):
                return each
    return None


def _same(a: float, b: float) -> bool:
    return a == b or (np.isnan(a) and np.isnan(b))


def sources(element: Element) -> list[Element]:
    """The numbers that an element was made from; nothing is known of what is OPAQUE."""
    value, at = element
    shape = value.array.shape
    operands = [each for each in value.operands if jnp.issubdtype(each.array.dtype, jnp.floating)]
    if value.name == "select_n":
        which, *cases = value.operands
        return [Element(cases[int(which.array[at if which.array.shape else ()])], at)]
    if value.name == "dot_general":
        return [each for pair in _pairs(value, at) for each in pair]
    if value.name.startswith("reduce_") and operands:
        return _reduced(operands[0], at, value.params["axes"])
    if value.name in OPAQUE:
        return []
    aligned = [_aligned(each.array.shape, shape) for each in operands]
    if value.name not in MOVES and all(aligned):
        return [Element(each, _place(each.array.shape, at)) for each in operands]
    # It moves numbers about, and this one is among them.
    for each in operands:
        places = np.argwhere(_equal(each.array, element.scalar))
        if len(places):
            return [Element(each, tuple(places[0].tolist()))]
    return []


def _aligned(operand: Index, result: Index) -> bool:
    """Whether each number of a result is made from one of the operand's, in the same place."""
    same_rank = len(operand) == len(result)
    fits = same_rank and all(a in (1, b) for a, b in zip(operand, result, strict=True))
    return not operand or fits


def _place(operand: Index, at: Index) -> Index:
    return tuple(0 if size == 1 else i for size, i in zip(operand, at, strict=bool(operand)))


def _equal(array: np.ndarray, number: float) -> Any:
    return np.isnan(array) if np.isnan(number) else array == number


def _reduced(operand: Value, at: Index, axes: tuple[int, ...]) -> list[Element]:
    rest = iter(at)
    ranges = [
        range(size) if axis in axes else [next(rest)]
        for axis, size in enumerate(operand.array.shape)
    ]
    return [Element(operand, place) for place in _product(ranges)]


def _product(ranges: list[Any]) -> Iterator[Index]:
    return (
        tuple(int(i) for i in place)
        for place in np.array(np.meshgrid(*ranges, indexing="ij"))
        .reshape(len(ranges), prod(map(len, ranges)))
        .T
    )


def _pairs(value: Value, at: Index) -> list[tuple[Element, Element]]:
    """The factors of each product that a matrix product sums."""
    (summed, batch) = value.params["dimension_numbers"]
    together, rest = at[: len(batch[0])], list(at[len(batch[0]) :])
    sides = []
    for operand, axes, batched in zip(value.operands, summed, batch, strict=True):
        shape = operand.array.shape
        place: dict[int, int] = dict(zip(batched, together, strict=True))
        for axis in range(len(shape)):
            if axis not in place and axis not in axes:
                place[axis] = rest.pop(0)
        sides.append(
            [
                Element(
                    operand,
                    tuple((place | dict(zip(axes, k, strict=True)))[a] for a in range(len(shape))),
                )
                for k in np.ndindex(*(shape[axis] for axis in axes))
            ]
        )
    return list(zip(*sides, strict=True))


def operation(element: Element, made_from: list[Element]) -> Operation:
    """What made an element, with the operands that decide it."""
    value, numbers = element.value, [each.scalar for each in made_from]
    name, terms = value.name, 1
    if name == "dot_general":
        factors = list(zip(numbers[::2], numbers[1::2], strict=True))
        terms = len(factors)
        broken = [(a, b) for a, b in factors if np.isnan(a * b)]
        name = "product_of" if broken or terms == 1 else "sum_of_products"
        products = [a * b for a, b in factors]
        numbers = list((broken or factors)[0]) if name == "product_of" else _deciding(products)
    elif name == "reduce_sum":
        terms, numbers = len(numbers), _deciding(numbers)
    return Operation(name, tuple(numbers), element.scalar, value.array.dtype, terms, value.product)


def _deciding(terms: list[float]) -> list[float]:
    """The largest and the smallest term of a sum."""
    return [max(terms), min(terms)]
