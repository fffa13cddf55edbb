"""The recorded steps of some of the weights, with what rounding can do to them."""

from dataclasses import dataclass, replace
from functools import cached_property

import ml_dtypes
import numpy as np

from core.study.compare import formats
from core.study.compare.recording import Array, Recording

_STEPS = 6
WEIGHTS = 1600  # how many are looked at


@dataclass(frozen=True)
class Data:
    """The steps of some of the weights: arrays [steps, weights] in float64."""

    g: Array
    w: Array
    u: Array
    floor: Array  # how far rounding can move a weight
    kernel: Array  # [weights], 1 for a kernel and 0 for a vector
    tensor: Array  # [weights], to which array it belongs
    norms: Array  # [steps, arrays], of the whole gradients
    fine: float  # of the number format

    @cached_property
    def weighted(self) -> dict[bool, tuple[Array, Array]]:
        """(1 / what rounding can do to a step, steps times that), without squares and with.

        In 32 bits, 1 - beta_2^t may be off by 6e-5 of itself at the first step, its root by half.
        """
        found = {}
        for squares in (False, True):
            own = 300 if squares and self.fine < 1e-4 else 24 if self.fine < 1e-4 else 4
            inverse = 1 / (self.floor + own * self.fine * np.abs(self.u) + 1e-30)
            found[squares] = inverse, (self.u * inverse).reshape(-1)
        return found

    def some(self, count: int) -> "Data":
        """Return so many of the weights, evenly spread."""
        n = self.g.shape[1]
        if n <= count:
            return self
        i = np.unique(np.linspace(0, n - 1, count).astype(np.intp))
        rows = {name: getattr(self, name)[:, i] for name in ("g", "w", "u", "floor")}
        return replace(self, **rows, kernel=self.kernel[i], tensor=self.tensor[i])


def data(recording: Recording, names: set[str] | None = None) -> Data | None:
    """Return the steps of a recording's trainable weights; None if there is not one whole step."""
    steps = min(recording.steps, _STEPS)
    while steps and not (recording.params(steps) and recording.grads(steps - 1)):
        steps -= 1
    use = [n for n in recording.params(0) if names is None or n in names]
    use = [n for n in use if all(_whole(recording, k, n) for k in range(steps))]
    if not steps or not use:
        return None
    columns: list[tuple[Array, Array, Array, Array]] = []
    kernel, tensor, norms = [], [], []
    room = max(WEIGHTS // len(use), 48)
    coarse = _sixteen_bits(recording, use)
    fine = coarse
    for i, name in enumerate(use):
        w = [recording.params(k)[name] for k in range(steps + 1)]
        size = w[0].size
        at = np.unique(np.linspace(0, size - 1, min(size, room)).astype(np.intp))
        eps = max(coarse, formats.epsilon(*w))
        fine = max(fine, eps)
        wide = np.stack([formats.wide(v).reshape(-1)[at] for v in w])
        g = [formats.wide(recording.grads(k)[name]).reshape(-1) for k in range(steps)]
        largest = np.maximum(np.abs(wide[:-1]), np.abs(wide[1:]))
        floor = eps / 2 * np.exp2(np.floor(np.log2(np.maximum(largest, 1e-30))))
        columns.append((np.stack([v[at] for v in g]), wide[:-1], wide[:-1] - wide[1:], floor))
        kernel.append(np.full(len(at), float(w[0].ndim > 1)))
        tensor.append(np.full(len(at), i))
        norms.append([_norm(recording, k, name, v) for k, v in enumerate(g)])
    joined = [np.concatenate(v, axis=1) for v in zip(*columns, strict=True)]
    finite = all(np.all(np.isfinite(v)) for v in joined)
    found = Data(joined[0], joined[1], joined[2], joined[3], np.concatenate(kernel),
                 np.concatenate(tensor), np.array(norms).T, fine)  # fmt: skip
    return found if finite and np.any(found.u) and np.any(found.g) else None


def _sixteen_bits(recording: Recording, names: list[str]) -> float:
    """The epsilon of the 16-bit format that all weights are in, although more bits are recorded."""
    weights = [recording.params(recording.last_step())[name] for name in names]
    for name, kind in formats.HALF_FORMATS.items():
        if all(formats.representable(w, name) for w in weights):
            return float(ml_dtypes.finfo(kind).eps)
    return 2.0**-52


def _whole(recording: Recording, step: int, name: str) -> bool:
    here, after = recording.params(step), recording.params(step + 1)
    grads = recording.grads(step)
    shapes = {v[name].shape if name in v else None for v in (here, after, grads)}
    return len(shapes) == 1 and None not in shapes and here[name].size > 0


def _norm(recording: Recording, step: int, name: str, g: Array) -> float:
    told = recording.sampled.get(f"step/{step}/grads/{name}", {})
    norm = told.get("norm") if isinstance(told, dict) else None
    return float(norm) if isinstance(norm, int | float) else float(np.sqrt(np.sum(g * g)))


def frozen(recording: Recording) -> tuple[str, ...]:
    """Return the parameters that no step moves although they have a gradient."""
    found = []
    for name, w in recording.params(0).items():
        steps = [k for k in range(recording.steps) if _whole(recording, k, name)]
        moved = any(np.any(recording.params(k + 1)[name] != recording.params(k)[name])
                    for k in steps)  # fmt: skip
        pushed = any(np.any(formats.wide(recording.grads(k)[name])) for k in steps)
        if steps and not moved and pushed and w.size:
            found.append(name)
    return tuple(found)
