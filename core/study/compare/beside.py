"""One side's numbers against the other's, at the stage at which two recordings part."""

from typing import NamedTuple

import numpy as np

from core.study.compare import formats
from core.study.compare.recording import Array, Recording
from core.study.compare.report import Numbers, Stage
from core.study.compare.stages import Both, class_labels, rows
from core.study.compare.walk import matched

MOST = 2000  # numbers that a picture can show
EXAMPLES = 6  # that differ most
PIXELS = 28 * 28


class Sides(NamedTuple):
    """The numbers of the tensor that differs, float64 [numbers], in the layout of the first."""

    a: Array
    b: Array


class Example(NamedTuple):
    """An example that matters at a stage: its place in the batch, its picture, and its figure."""

    place: int
    pixels: Array  # uint8 [784]
    figure: float


def sides(a: Recording, b: Recording, stage: Stage) -> Sides | None:
    """Return the numbers at a stage of the tensor that differs most; None if they do not pair."""
    if stage.numbers is None:
        return None
    pair = _pair(matched(a, b), stage.name, stage.numbers)
    if pair is None or pair[0].size != pair[1].size or not pair[0].size:
        return None
    x, y = (formats.wide(each).reshape(-1) for each in pair)
    some = np.linspace(0, x.size - 1, min(x.size, MOST)).astype(int)
    return Sides(x[some], y[some])


def _pair(both: Both, stage: str, n: Numbers) -> tuple[Array, Array] | None:
    weights = {"initial weights": "params", "gradients": "grads"}
    if stage in weights:
        return _of(both, n.step, weights[stage], n.tensor)
    if stage == "update":
        before, after = (_of(both, k, "params", n.tensor) for k in (n.step, n.step + 1))
        if before is None or after is None:
            return None
        x, y = (
            formats.wide(new) - formats.wide(old) for old, new in zip(before, after, strict=True)
        )
        return x, y
    kind = {"batch": n.tensor, "outputs": "outputs", "gradient of the outputs": "outputs_grad"}
    if stage not in kind:
        return None
    found = (
        side.inputs(n.step) if kind[stage] == "inputs" else side.one(n.step, kind[stage])
        for side in (both.a, both.b)
    )
    return _both(*found)


def _both(x: Array | None, y: Array | None) -> tuple[Array, Array] | None:
    return None if x is None or y is None else (x, y)


def _of(both: Both, step: int, kind: str, name: str) -> tuple[Array, Array] | None:
    return next(((x, y) for each, x, y in both.group(step, kind) if each == name), None)


@np.errstate(all="ignore")
def guilty(a: Recording, b: Recording, stage: str) -> list[Example]:
    """Return the images of the first batch, 28 by 28 pixels, that matter most at a stage.

    At the outputs those whose outputs differ most; at the loss those whose label A finds least
    likely, because they weigh most in any cross-entropy; none elsewhere.
    """
    images = a.inputs(0)
    pixels = None if images is None or not len(images) else formats.wide(rows(images))
    figures = {"outputs": _gaps, "loss": _unlikely}.get(stage, lambda a, b: None)(a, b)
    if (
        pixels is None
        or pixels.shape[1] != PIXELS
        or figures is None
        or len(figures) != len(pixels)
    ):
        return []
    worst = [int(i) for i in np.argsort(-np.nan_to_num(figures, nan=np.inf))[:EXAMPLES]]
    return [Example(i, _as_bytes(pixels[i]), float(figures[i])) for i in worst]


def losses(a: Recording, b: Recording) -> dict[str, list[float]]:
    """Return the losses of the steps that both recorded."""
    known = [(k, a.loss(k), b.loss(k)) for k in range(min(a.steps, b.steps))]
    both = [(k, x, y) for k, x, y in known if x is not None and y is not None]
    return {
        "step": [k for k, _, _ in both],
        "a": [x for _, x, _ in both],
        "b": [y for *_, y in both],
    }


def _gaps(a: Recording, b: Recording) -> Array | None:
    """The largest difference of the outputs, float64 [examples]."""
    x, y = a.one(0, "outputs"), b.one(0, "outputs")
    if x is None or y is None or x.shape != y.shape or not x.size:
        return None
    with np.errstate(all="ignore"):
        gaps: Array = np.abs(formats.wide(rows(x)) - formats.wide(rows(y))).max(1)
    return gaps


def _unlikely(a: Recording, b: Recording) -> Array | None:
    """One minus the probability that A gives each label, float64 [examples]; None if unclear."""
    outputs, labels = a.one(0, "outputs"), a.one(0, "labels")
    if outputs is None or labels is None or not outputs.size:
        return None
    z, y = formats.wide(rows(outputs)), class_labels(labels)
    if len(y) != len(z) or y.ndim != 1 or not np.all(y == np.round(y)):
        return None
    if z.shape[1] == 1 and np.all((y == 0) | (y == 1)):
        p = z[:, 0] if _shares(z) else 1 / (1 + np.exp(-z[:, 0]))
        return np.where(y == 1, 1 - p, p)
    if not (z.shape[1] > 1 and np.all((y >= 0) & (y < z.shape[1]))):
        return None
    shares = z if _shares(z) else np.exp(z - z.max(1, keepdims=True))
    likely: Array = shares[np.arange(len(shares)), y.astype(int)] / shares.sum(1)
    return 1 - likely


def _shares(z: Array) -> bool:
    """Whether outputs [examples, outputs] are probabilities already."""
    inside = bool(np.all((z >= 0) & (z <= 1)))
    return inside and (z.shape[1] == 1 or bool(np.allclose(z.sum(1), 1, atol=1e-3)))


def _as_bytes(pixels: Array) -> Array:
    """Pixels of any scale as uint8, the darkest 0 and the brightest 255."""
    low, high = float(pixels.min()), float(pixels.max())
    if not high > low:
        return np.zeros(pixels.shape, np.uint8)
    return (255 * (pixels - low) / (high - low)).astype(np.uint8)
