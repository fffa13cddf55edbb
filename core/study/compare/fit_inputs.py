"""In what two batches differ: scale, order, the examples themselves, the coding of labels."""

from dataclasses import dataclass

import numpy as np

from core.study.compare import formats
from core.study.compare.recording import Array, Recording
from core.study.compare.stages import class_labels, rows

# The labels that the training file of MNIST begins with.
_MNIST = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4)


@dataclass(frozen=True)
class Affine:
    """b = scale * a + shift, and what it leaves, relative to b's largest number."""

    scale: float
    shift: float
    residual: float
    each: bool = False  # whether each feature has numbers of its own


@dataclass(frozen=True)
class Batches:
    """How b's batches come from a's."""

    affine: Affine | None = None  # None: the same numbers, or no such relation
    order: str = ""  # "", within, other, unrelated
    label_shift: int | None = None  # what b's labels are above a's, if it is one number
    labels_reversed: bool = False  # 1 - y
    labels_apart: bool = False  # whether labels differ in no way found
    sorted_a: bool = False
    sorted_b: bool = False
    shared: float = 1.0  # the share of b's examples that a has too, in any step


def batches(a: Recording, b: Recording) -> Batches | None:
    """Compare the batches of all steps that both recorded; None if there are none."""
    pairs = [(k, _rows(a, k), _rows(b, k)) for k in range(min(a.steps, b.steps))]
    both = [(k, p, q) for k, p, q in pairs if p is not None and q is not None]
    if not both:
        return None
    steps, x, y = [k for k, *_ in both], [p for _, p, _ in both], [q for *_, q in both]
    if any(p.shape[1:] != q.shape[1:] for p, q in zip(x, y, strict=True)):
        return Batches(order="unrelated", shared=0.0)
    ours, theirs = np.concatenate(x), np.concatenate(y)
    affine = _affine(ours, theirs)
    undone = _undone(affine, ours, theirs) if affine else theirs
    order, where, shared = _order(x, undone, ours)
    labels = [_labels(r, steps) for r in (a, b)]
    shift, flipped, apart = _recoded(labels[0], labels[1], where)
    in_order = [_sorted(each) for each in labels]
    return Batches(affine, order, shift, flipped, apart, in_order[0], in_order[1], shared)


def _rows(r: Recording, step: int) -> Array | None:
    x = r.inputs(step)
    return None if x is None or not x.size or not x.ndim else formats.wide(rows(x))


def _labels(r: Recording, steps: list[int]) -> Array | None:
    found = [r.one(k, "labels") for k in steps]
    if any(y is None for y in found):
        return None
    labels = [class_labels(y) for y in found if y is not None]
    return np.concatenate(labels) if all(y.ndim == 1 for y in labels) else None


def _close(p: Array, q: Array) -> bool:
    size = float(np.max(np.abs(p), initial=0.0))
    return bool(
        p.shape == q.shape and np.max(np.abs(p - q), initial=0.0) <= 2e-6 * max(size, 1e-30)
    )


def _affine(a: Array, b: Array) -> Affine | None:
    """A scale and a shift, found from the sorted numbers, so in whatever order they are."""
    if _close(a, b) or a.shape != b.shape or _close(np.sort(a, None), np.sort(b, None)):
        return None
    scale, shift, left = _line(np.sort(a, None), np.sort(b, None))
    if left < 1e-5:
        return Affine(scale, shift, left)
    low, high = np.percentile(a, (0, 100)), np.percentile(b, (0, 100))
    if np.all(np.isfinite([*low, *high])) and low[1] > low[0]:  # other examples: by their limits
        scale = float((high[1] - high[0]) / (low[1] - low[0]))
        shift = float(high[0] - scale * low[0])
        nice = [1 / 255, 255.0, 1 / 256, 256.0, 2.0, 0.5, 2 / 255, 127.5]
        usual = next((n for n in nice if abs(scale / n - 1) < 0.02), None)
        if usual is not None and abs(shift) < 0.02 * abs(high[1]):
            return Affine(usual, 0.0, float("nan"))
    lines = [_line(p, q) for p, q in zip(a.T, b.T, strict=True)]
    if len(a) > 3 and max(left for *_, left in lines) < 1e-5:
        scales, shifts = (float(np.median([line[i] for line in lines])) for i in (0, 1))
        return Affine(scales, shifts, max(left for *_, left in lines), each=True)
    return None


def _line(x: Array, y: Array) -> tuple[float, float, float]:
    """Least squares of y = s x + t, with the largest deviation relative to the largest y."""
    d = x - x.mean()
    size = float(d @ d)
    s = float(d @ (y - y.mean())) / size if size > 0 else 0.0
    t = float(y.mean()) - s * float(x.mean())
    largest = float(np.max(np.abs(y), initial=0.0))
    gap = float(np.max(np.abs(s * x + t - y), initial=0.0))
    return s, t, gap / largest if largest > 0 else 0.0


def _undone(affine: Affine, a: Array, b: Array) -> Array:
    if not affine.each:
        return (b - affine.shift) / affine.scale if affine.scale else b
    lines = [_line(p, q) for p, q in zip(a.T, b.T, strict=True)]
    return np.stack(
        [(q - t) / s if s else q - t for q, (s, t, _) in zip(b.T, lines, strict=True)], 1
    )


def _order(x: list[Array], theirs: Array, ours: Array) -> tuple[str, Array | None, float]:
    """In which order b has a's examples, where each of a's is in b, and the share found."""
    size = max(float(np.max(np.abs(ours), initial=0.0)), 1e-30)
    if ours.shape == theirs.shape and np.max(np.abs(ours - theirs)) <= 1e-5 * size:
        return "", np.arange(len(ours)), 1.0
    keys: dict[bytes, list[int]] = {}
    for i, row in enumerate(theirs):
        keys.setdefault(_key(row, size), []).append(i)
    where = np.array([(keys.get(_key(row, size)) or [-1])[0] for row in ours])
    shared = float(np.mean(where >= 0))
    if shared < 1 or len(ours) != len(theirs):
        return ("other" if shared > 0 else "unrelated"), where, shared
    ends = np.cumsum([len(each) for each in x])
    same_batch = np.searchsorted(ends, where, "right") == np.searchsorted(
        ends, np.arange(len(ours)), "right"
    )
    return ("within" if np.all(same_batch) else "other"), where, shared


def _key(row: Array, size: float) -> bytes:
    return (np.round(row / size * 2e3) + 0.0).astype(np.int32).tobytes()


def _recoded(
    a: Array | None, b: Array | None, where: Array | None
) -> tuple[int | None, bool, bool]:
    """(what b's labels are above a's, whether they are 1 - y, whether they differ otherwise)."""
    if a is None or b is None or where is None or len(where) != len(a):
        return None, False, False
    found = where >= 0
    if not np.any(found) or len(b) <= int(np.max(where)):
        return None, False, False
    y, z = a[found], b[where[found]]
    if np.array_equal(y, z):
        return 0, False, False
    if np.array_equal(z, 1 - y):
        return None, True, False
    count = max(float(np.max(y)), float(np.max(z))) + 1
    for shift in (1, -1):
        if np.array_equal(z, y + shift) or np.array_equal(z, (y + shift) % count):
            return shift, False, False
    return None, False, True


def _sorted(labels: Array | None) -> bool:
    """Whether labels are in the order of a file: one class after the other, or as in MNIST's."""
    if labels is None or len(labels) < 10:
        return False
    return bool(np.all(np.diff(labels) >= 0)) or tuple(labels[:10].astype(int)) == _MNIST
