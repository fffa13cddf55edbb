"""Which parameter of one recording is which of the other, whatever their names and layouts.

They are matched by shape and value under the layouts that frameworks use; what was done to match
them is told and undone, not blamed. Names decide last.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import permutations

import numpy as np

from core.study.compare.parts import Parts, is_recurrent, parts, same_numbers, split_name
from core.study.compare.recording import Array, natural

Undo = Callable[[Array], Array]
_ALIKE = 4e-6  # relative: the same value, though written by another program


@dataclass(frozen=True)
class Pair:
    """A parameter of both; `undo` turns an array like b's into the layout of a's."""

    a: str
    b: str
    undo: Undo
    how: str  # empty: in the same layout
    exact: bool  # whether their values are the same


@dataclass(frozen=True)
class Matching:
    """The pairs, in a's order, and the names that found no partner.

    Names are those of the parts, where one side keeps whole what the other keeps in parts.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    orders: Mapping[int, Array] = field(default_factory=dict)  # of hidden units, by their number
    parts: tuple[Parts, Parts] = (Parts(), Parts())  # of a and of b

    def units(self, v: Array) -> Array:
        """Return an array of b's hidden units, along its last axis, in a's order."""
        order = self.orders.get(v.shape[-1]) if v.ndim else None
        return v if order is None else v[..., order]

    def undone(self, group: Mapping[str, Array], kind: str = "params") -> dict[str, Array]:
        """Return b's arrays under a's names and in a's layout, as far as their shapes allow."""
        group = self.parts[1].of(group, kind)
        return {p.a: p.undo(group[p.b]) for p in self.pairs if p.b in group}

    def notes(self) -> tuple[str, ...]:
        """Say how parameters were matched, where their layouts differ."""
        told: dict[str, list[str]] = {}
        for pair in self.pairs:
            if pair.how:
                told.setdefault(pair.how, []).append(f"{pair.a} = {pair.b}")
        notes = [note for side, each in zip("ab", self.parts, strict=True)
                 for note in each.notes(side)]  # fmt: skip
        notes += [f"matched, {how}: {', '.join(names)}" for how, names in told.items()]
        for side, names in (("a", self.only_a), ("b", self.only_b)):
            if names:
                notes.append(f"only in {side}: {', '.join(names)}")
        return tuple(notes)


def match(
    a: Mapping[str, Array], b: Mapping[str, Array], b_is_transposed: bool | None = None
) -> Matching:
    """Match parameters, first by value, then by shape in the order of their names.

    Args:
      a, b: Parameters by name.
      b_is_transposed: Whether b's dense kernels are (out, in) where a's are (in, out), or the other
        way round, as their frameworks have it; None: not known.
    """
    a = {name: _wide(v) for name, v in a.items()}
    b = {name: _wide(v) for name, v in b.items()}
    cut_a = parts(a, b)
    a = cut_a.of(a)
    cut_b = parts(b, a)
    b = cut_b.of(b)
    channels = sorted({s for v in (*a.values(), *b.values()) if v.ndim == 4 for s in v.shape})
    pairs: dict[str, Pair] = {}
    free = dict(b)
    orders: dict[tuple[int, str], list[Array]] = {}
    gates: dict[tuple[int, str], Array] = {}
    for name, values in sorted(a.items(), key=lambda item: -item[1].ndim):
        found = _by_value(name, values, free, channels, orders, gates, _beside(name, a, b, pairs))
        if found:
            pairs[name] = found
            del free[found.b]
    swapped = [p for p in pairs.values() if p.how == SWAPPED]
    if swapped:
        b_is_transposed = True
    _by_shape(a, free, pairs, bool(b_is_transposed))
    return Matching(
        tuple(pairs[name] for name in a if name in pairs),
        tuple(name for name in a if name not in pairs),
        tuple(free),
        {width: each[0] for (width, _), each in orders.items()},
        (cut_a, cut_b),
    )


SWAPPED = "with (in, out) and (out, in) swapped"
PERMUTED = "with hidden units in another order"
FLATTENED = "flattened in another order behind a convolution"
_USUAL: dict[tuple[int, ...], str] = {(2, 3, 1, 0): "OIHW as HWIO", (3, 2, 0, 1): "HWIO as OIHW"}
GATES = "with the gates in another order"


def _wide(v: Array) -> Array:
    return np.asarray(v, np.float64)


def _by_value(
    name: str,
    values: Array,
    free: Mapping[str, Array],
    channels: list[int],
    orders: dict[tuple[int, str], list[Array]],
    gates: dict[tuple[int, str], Array],
    beside: Callable[[str], bool],
) -> Pair | None:
    """The free parameter with the same numbers, in the first layout in which they are the same."""
    near = [o for o, v in free.items() if same_numbers(values, v)]
    near.sort(key=lambda other: (other != name, free[other].shape != values.shape))
    constant = values.size > 0 and np.all(values == values.reshape(-1)[0])
    if constant:
        near = _in_place(name, near, free, values.shape, beside)
    for other in near:
        order = gates.get((len(values), _layer(name))) if values.ndim == 1 else None
        if order is not None and _same(values, free[other][order]):
            return Pair(name, other, partial(np.take, indices=order), GATES, exact=True)
        if constant and values.ndim == 1:
            return _moved_vector(name, other, len(values), orders)
        for how, undo in _layouts(free[other], values.shape, channels):
            if _same(values, undo(free[other])):
                if how.startswith(GATES) and values.ndim == 2:
                    order = _order_of(undo, free[other].shape)
                    gates[len(order), _layer(name)] = order
                return Pair(name, other, undo, how, exact=True)
        found = _permuted(name, other, values, free[other], orders)
        if found:
            return found
    return None


def _in_place(
    name: str,
    near: list[str],
    free: Mapping[str, Array],
    shape: tuple[int, ...],
    beside: Callable[[str], bool],
) -> list[str]:
    """Choose among parameters that are all one number: in the same place, else next by its name."""
    alike = [other for other in near if sorted(free[other].shape) == sorted(shape)]
    alike.sort(key=lambda other: (not beside(other), is_recurrent(name) != is_recurrent(other),
                                  natural(other)))  # fmt: skip
    return [name] if name in alike else alike[:1]


def _beside(
    name: str, a: Mapping[str, Array], b: Mapping[str, Array], pairs: Mapping[str, Pair]
) -> Callable[[str], bool]:
    """Whether a parameter of b is in the layer that a's was matched to, or at least such a one.

    A bias stands beside a kernel, the shift of a batch norm does not.
    """
    layers = {_layer(pair.b) for pair in pairs.values() if _layer(pair.a) == _layer(name)}
    kernels = [{_layer(n) for n, v in side.items() if v.ndim > 1} for side in (a, b)]

    def found(other: str) -> bool:
        if layers:
            return _layer(other) in layers
        return (_layer(name) in kernels[0]) == (_layer(other) in kernels[1])

    return found


def _moved_vector(
    name: str, other: str, width: int, orders: dict[tuple[int, str], list[Array]]
) -> Pair:
    """A vector of equal numbers: its units are in the order of the kernel before it."""
    moved = orders.get((width, _layer(name))) or next(
        (found for (size, _), found in orders.items() if size == width), []
    )
    if not moved:
        return Pair(name, other, lambda v: v, "", exact=True)
    order = moved[0]
    return Pair(name, other, lambda v: v[order], PERMUTED, exact=True)


def _layer(name: str) -> str:
    return split_name(name)[0]


def _same(x: Array, y: Array) -> bool:
    if x.shape != y.shape:
        return False
    largest = np.max(np.abs(x[np.isfinite(x)]), initial=0.0)
    return bool(np.allclose(x, y, rtol=_ALIKE, atol=_ALIKE * 1e-3 * largest, equal_nan=True))


def _layouts(v: Array, shape: tuple[int, ...], channels: list[int]) -> Iterator[tuple[str, Undo]]:
    """The layouts in which frameworks keep the same parameter, likeliest first."""
    if v.shape == shape:
        yield "", lambda x: x
    if v.ndim == 2 and v.shape[::-1] == shape:
        yield SWAPPED, np.transpose
    if v.ndim == len(shape) and 3 <= v.ndim <= 5:
        for axes in permutations(range(v.ndim)):
            if tuple(v.shape[i] for i in axes) == shape:
                how = _USUAL.get(axes, "with its axes in another order")
                yield how, lambda x, axes=axes: np.transpose(x, axes)  # type: ignore[misc]
    if v.ndim == 2 and len(shape) == 2:
        for swap in (False, True):
            if (v.shape[::-1] if swap else v.shape) == shape:
                yield from _flattened(shape, channels, swap)
    if v.ndim in (1, 2) and v.ndim == len(shape):
        for swap in (False, True)[: v.ndim]:
            if (v.shape[::-1] if swap else v.shape) == shape:
                yield from _gates(shape, swap)


def _flattened(
    shape: tuple[int, ...], channels: list[int], swap: bool
) -> Iterator[tuple[str, Undo]]:
    """Inputs of a dense layer in the order (height, width, channels) or (channels, height, width).

    A kernel may be (in, out) or (out, in), so both axes are tried.
    """
    for axis in (0, 1):
        for c in channels:
            if 1 < c < shape[axis] and shape[axis] % c == 0:
                places = np.arange(shape[axis])
                for order in (places.reshape(-1, c).T.ravel(), places.reshape(c, -1).T.ravel()):

                    def undo(x: Array, order: Array = order, axis: int = axis) -> Array:
                        return np.take(x.T if swap else x, order, axis)

                    yield FLATTENED + (f", {SWAPPED}" if swap else ""), undo


def _gates(shape: tuple[int, ...], swap: bool) -> Iterator[tuple[str, Undo]]:
    """Blocks of a recurrent layer, three of a GRU and four of an LSTM, in any order."""
    for axis in range(len(shape)):
        for count in (3, 4):
            if shape[axis] % count or shape[axis] == count:
                continue
            blocks = np.arange(shape[axis]).reshape(count, -1)
            for order in permutations(range(count)):
                places = np.concatenate([blocks[i] for i in order])

                def undo(x: Array, places: Array = places, axis: int = axis) -> Array:
                    return np.take(x.T if swap else x, places, axis)

                yield GATES + (f", {SWAPPED}" if swap else ""), undo


def _order_of(undo: Undo, shape: tuple[int, ...]) -> Array:
    """Where the units of a kernel's gates are, from how its layout is undone."""
    for axis in range(2):
        places = np.arange(shape[axis])
        moved = undo(np.broadcast_to(places if axis else places[:, None], shape))
        line = moved[0] if np.ptp(moved[0]) else moved[:, 0]
        if np.any(line != places):
            return line
    raise AssertionError("gates in another order are in another order")


def _permuted(
    name: str,
    other: str,
    values: Array,
    theirs: Array,
    orders: dict[tuple[int, str], list[Array]],
) -> Pair | None:
    """The same numbers with units in another order: rows and columns are sorted by their sums."""
    if values.ndim != theirs.ndim:
        return None
    if values.ndim == 1:
        order = _order(values[:, None], theirs[:, None], 0)
        if _same(values, theirs[order]):
            return Pair(name, other, lambda v: v[order], PERMUTED, exact=True)
        return None
    if values.ndim != 2:
        return None
    for swap in (False, True):
        turned = theirs.T if swap else theirs
        if turned.shape != values.shape:
            continue
        rows, columns = _order(values, turned, 0), _order(values, turned, 1)
        if not _same(values, turned[rows][:, columns]):
            continue
        for axis, order in enumerate((rows, columns)):
            if np.any(order != np.arange(len(order))):
                orders.setdefault((values.shape[axis], _layer(name)), []).append(order)

        def undo(
            v: Array, rows: Array = rows, columns: Array = columns, swap: bool = swap
        ) -> Array:
            return (v.T if swap else v)[rows][:, columns]

        return Pair(name, other, undo, PERMUTED + (f", {SWAPPED}" if swap else ""), exact=True)
    return None


def _order(x: Array, y: Array, axis: int) -> Array:
    """Where each row (or column) of x is in y, if their sums tell them apart."""
    sums = [np.sum(np.sort(v, axis=1 - axis), axis=1 - axis) for v in (x, y)]
    order = np.empty(x.shape[axis], np.intp)
    order[np.argsort(sums[0], kind="stable")] = np.argsort(sums[1], kind="stable")
    return order


def _by_shape(
    a: Mapping[str, Array], free: dict[str, Array], pairs: dict[str, Pair], transposed: bool
) -> None:
    """Pair what is left: the same name and shape first, then the same sizes in order of names."""
    for name in sorted(a, key=natural):
        if name in pairs:
            continue
        shape = a[name].shape
        alike = [o for o in sorted(free, key=natural) if sorted(free[o].shape) == sorted(shape)]
        if not alike:
            continue
        named = [other for other in alike if other == name and free[other].shape == shape]
        other = (named or alike)[0]
        undo, how = _by_sizes(free[other].shape, shape, transposed and not named)
        pairs[name] = Pair(name, other, undo, how, exact=False)
        del free[other]


def _by_sizes(theirs: tuple[int, ...], ours: tuple[int, ...], transposed: bool) -> tuple[Undo, str]:
    if len(ours) == 2 and (theirs != ours or transposed) and theirs[::-1] == ours:
        return np.transpose, SWAPPED
    if theirs == ours:
        return lambda v: v, ""
    usual = _USUAL if len(ours) == 4 else ()
    for axes in (*usual, *permutations(range(len(ours)))):
        if tuple(theirs[i] for i in axes) == ours:
            return partial(np.transpose, axes=axes), "with its axes in another order"
    raise AssertionError("sizes that sort alike have an order in which they are alike")
