"""Parameters that one program keeps whole and another in parts: gates, projections, two biases.

PyTorch keeps an LSTM's gates in one kernel (4 H, in) and adds two biases, Keras in one (in, 4 H)
with one bias, Flax each gate in a kernel of its own; of a GRU, Keras keeps both biases in the rows
of one array. Where a parameter has no partner of its size, it is cut into those that have one, and
biases that are added up are taken as their sum.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from core.study.compare.recording import Array

Group = Mapping[str, Array]
_MOST = 4  # gates
_BIASES = 64  # of one size in a layer


@dataclass(frozen=True)
class Cut:
    """A parameter that is cut into so many equal parts along an axis."""

    name: str
    axis: int
    count: int

    def of(self, v: Array) -> dict[str, Array]:
        """Return the parts by name; those of a gate share a layer, rows of biases become vectors.

        Raises:
          ValueError: The axis is not that many parts long.
        """
        parts = np.split(v, self.count, self.axis)
        if parts[0].shape[self.axis] == 1:
            named = [f"{self.name} ({i + 1} of {self.count})" for i in range(self.count)]
            return dict(zip(named, (p.reshape(-1) for p in parts), strict=True))
        layer, leaf = split_name(self.name)
        return {f"{layer}/{i + 1} of {self.count}/{leaf}": p for i, p in enumerate(parts)}


@dataclass(frozen=True)
class Parts:
    """What is done to one side's parameters, so that each has a partner."""

    cuts: tuple[Cut, ...] = ()
    sums: tuple[tuple[str, str], ...] = ()

    def of(self, group: Group, kind: str = "params") -> dict[str, Array]:
        """Return the arrays cut and added up; the gradient of a sum is that of each term."""
        found = dict(group)
        for cut in self.cuts:
            v = found.get(cut.name)
            if v is not None and v.ndim > cut.axis and v.shape[cut.axis] % cut.count == 0:
                del found[cut.name]
                found |= cut.of(v)
        for name, other in self.sums:
            if name in found and other in found:
                term = found.pop(other)
                if kind == "params":
                    found[name] = found[name] + term
        return found

    def notes(self, side: str) -> Iterator[str]:
        """Yield what was done, in words."""
        if self.cuts:
            yield f"matched, cut into parts in {side}: {', '.join(cut.name for cut in self.cuts)}"
        if self.sums:
            added = ", ".join(f"{name} + {other}" for name, other in self.sums)
            yield f"matched, added up in {side}: {added}"


def parts(one: Group, other: Group) -> Parts:
    """Return how to cut and add up one side's parameters; nothing if they have partners as is.

    Values decide. Where they are others on both sides, shapes do, if after that all have partners.
    """
    found = _with_biases(tuple(_gates_by_value(one, other)), one, other)
    if found.cuts or _shapes(one) == _shapes(other):
        return found
    guess = _with_biases(tuple(_gates_by_shape(one, other)), one, other)
    return guess if _shapes(guess.of(one)) == _shapes(other) else found


def _with_biases(kernels: tuple[Cut, ...], one: Group, other: Group) -> Parts:
    """The parts of kernels that are cut so, and of the biases beside them."""
    found = Parts(kernels)
    for cut in (_rows, _vectors):
        found = replace(found, cuts=(*found.cuts, *cut(found, one, other)))
    return replace(found, sums=tuple(_sums(found.of(one), other)))


def split_name(name: str) -> tuple[str, str]:
    """Return the layer of a parameter, and its own name."""
    layer, _, leaf = name.replace(".", "/").rpartition("/")
    stacked = re.search(r"_l\d+(_reverse)?$", leaf)  # PyTorch numbers layers at the end
    return f"{layer}/{stacked[0][1:]}" if stacked else layer, leaf


def is_recurrent(name: str) -> bool:
    """Whether a name is that of what multiplies, or is added to, the state of a recurrent layer."""
    return bool(re.search(r"_hh|recurrent|\(2 of 2\)|(^|/)h[a-z]_?(/|$)|dense_h", name))


def same_numbers(x: Array, y: Array) -> bool:
    """Return whether two arrays may hold the same numbers in another order."""
    if x.size != y.size:
        return False
    for power in (1, 2):
        p, q = np.sum(np.abs(x) ** power), np.sum(np.abs(y) ** power)
        if not (np.isclose(p, q, rtol=1e-5, atol=0) or p == q or (np.isnan(p) and np.isnan(q))):
            return False
    return True


def _shapes(group: Group) -> Counter[tuple[int, ...]]:
    return Counter(tuple(sorted(v.shape)) for v in group.values())


def _lacking(one: Group, other: Group) -> dict[str, Array]:
    """The arrays of a shape of which there are more than the other side has, and not empty."""
    counts = _shapes(one)
    counts.subtract(_shapes(other))
    return {name: v for name, v in one.items() if v.size and counts[tuple(sorted(v.shape))] > 0}


def _rows(found: Parts, one: Group, other: Group) -> Iterator[Cut]:
    """Both biases of a GRU in the rows of one array, where the other side has vectors."""
    sizes = Counter(v.size for v in other.values() if v.ndim == 1)
    gates = _counts(found, one)
    for name, v in _lacking(one, other).items():
        beside = v.ndim == 2 and (split_name(name)[0], v.shape[1]) in gates
        if v.ndim == 2 and len(v) == 2 and (beside or sizes[v.shape[1]] >= 2):
            yield Cut(name, 0, 2)


def _counts(found: Parts, one: Group) -> dict[tuple[str, int], int]:
    """How many gates there are in a layer, along an axis of a size."""
    each = [(cut, one[cut.name].shape[cut.axis]) for cut in found.cuts if cut.name in one]
    return {(split_name(cut.name)[0], n): cut.count for cut, n in each if n > cut.count}


def _gates_by_value(one: Group, other: Group) -> Iterator[Cut]:
    for name, v in _lacking(one, other).items():
        if v.ndim == 2 and np.ptp(v):
            for cut in _ways(name, v):
                if all(any(p.ndim == w.ndim and same_numbers(p, w) for w in other.values())
                       for p in cut.of(v).values()):  # fmt: skip
                    yield cut
                    break


def _gates_by_shape(one: Group, other: Group) -> Iterator[Cut]:
    theirs, ours = _shapes(other), _shapes(one)
    for name, v in _lacking(one, other).items():
        if v.ndim == 2:
            for cut in _ways(name, v):
                shape = tuple(sorted(next(iter(cut.of(v).values())).shape))
                if theirs[shape] >= cut.count + ours[shape]:
                    yield cut
                    break


def _ways(name: str, v: Array) -> Iterator[Cut]:
    """The ways to cut a kernel into gates or projections."""
    for axis in range(v.ndim):
        for count in range(_MOST, 1, -1):
            if v.shape[axis] % count == 0 and v.shape[axis] > count:
                yield Cut(name, axis, count)


def _vectors(found: Parts, one: Group, other: Group) -> Iterator[Cut]:
    """The biases beside kernels that are cut."""
    counts, now = _counts(found, one), found.of(one)
    for name, v in _lacking(now, other).items():
        count = counts.get((split_name(name)[0], v.size))
        if v.ndim == 1 and count:
            yield Cut(name, 0, count)


def _sums(one: Group, other: Group) -> Iterator[tuple[str, str]]:
    """Vectors of a layer, of which the other side has fewer and their sums."""
    vectors = {name: v for name, v in _lacking(one, other).items() if v.ndim == 1}
    fewer = Counter(v.size for v in other.values() if v.ndim == 1)
    extra = {n: have - fewer[n] for n, have in Counter(v.size for v in vectors.values()).items()}
    each = list(_added(vectors, fewer))
    each.sort(key=lambda pair: _partner(pair[0]) != pair[1])
    by_value = [(x, y) for x, y in each if _summed(vectors[x] + vectors[y], other)]
    used: set[str] = set()
    for x, y in (*by_value, *(pair for pair in each if _partner(pair[0]) == pair[1])):
        n = vectors[x].size
        if extra[n] > 0 and not used & {x, y}:
            extra[n] -= 1
            used |= {x, y}
            yield x, y


def _added(vectors: Group, fewer: Mapping[int, int]) -> Iterator[tuple[str, str]]:
    """Biases that may be added up: one of the inputs and one of the state, in one layer."""
    layers: dict[tuple[str, int], list[str]] = {}
    for name, v in vectors.items():
        layers.setdefault((split_name(name)[0], v.size), []).append(name)
    for (_, n), names in layers.items():
        if fewer[n] and len(names) <= _BIASES:
            for x, y in product(names, names):
                if is_recurrent(y) and not is_recurrent(x):
                    yield x, y


def _partner(name: str) -> str:
    return name.replace("_ih", "_hh").replace("(1 of 2)", "(2 of 2)")


def _summed(total: Array, other: Group) -> bool:
    """Whether the other side has a vector of these numbers, in whatever order."""
    size = np.max(np.abs(total), initial=0.0)
    return any(w.ndim == 1 and w.size == total.size
               and np.allclose(np.sort(w), np.sort(total), rtol=4e-6, atol=4e-9 * size)
               for w in other.values())  # fmt: skip
