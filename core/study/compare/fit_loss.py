"""Which loss, of what, reduced how, gives the recorded loss and gradient of the outputs.

With outputs z [n, c], targets t and a loss l of each example, the loss is f times the mean of l.
f is 1 for a mean, n for a sum and 1/c for a mean over outputs too. Losses that share their
values wherever nothing is clipped fit alike, and are then named together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.study.compare import formats
from core.study.compare.pieces import Candidate, Facets, Fit, plainest
from core.study.compare.recording import Array, Recording
from core.study.compare.stages import by_logits, class_labels

EPSILONS = (1e-7, 1e-8, 1e-12, 1e-15, 1e-10, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)

# (outputs, targets, epsilon) -> (loss of each example, its gradient by the outputs)
Function = Callable[[Array, Array, Any], tuple[Array, Array]]


def _log_softmax(z: Array) -> Array:
    d = z - z.max(1, keepdims=True)
    return d - np.log(np.exp(d).sum(1, keepdims=True))


def _softmax_logits(z: Array, t: Array, e: Any) -> tuple[Array, Array]:
    log_p = _log_softmax(z)
    return -(t * log_p).sum(1), np.exp(log_p) * t.sum(1, keepdims=True) - t


def _times_log(t: Array, log_q: Array) -> Array:
    return np.where(t == 0, 0.0, t * log_q)


def _categorical(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    return -_times_log(t, np.log(q)).sum(1), np.where(t == 0, 0.0, -t / q)


def _clipped(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    inside = (q >= e) & (q <= 1 - e)
    r = np.clip(q, e, 1 - e)
    return -(t * np.log(r)).sum(1), np.where(inside, -t / r, 0.0)


def _shares_clipped(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    """Keras divides by the sum before it clips."""
    total = q.sum(1, keepdims=True)
    each, slope = _clipped(q / total, t, e)
    return each, slope / total - (slope * q).sum(1, keepdims=True) / total**2


def _plus(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    return -(t * np.log(q + e)).sum(1), -t / (q + e)


def _squared(z: Array, t: Array, e: Any) -> tuple[Array, Array]:
    return ((z - t) ** 2).sum(1), 2 * (z - t)


def _binary_logits(z: Array, t: Array, e: Any) -> tuple[Array, Array]:
    each = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
    return each.sum(1), 1 / (1 + np.exp(-z)) - t


def _binary(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    each = -_times_log(t, np.log(q)) - _times_log(1 - t, np.log(1 - q))
    return each.sum(1), np.where(
        t == 1, -1 / q, np.where(t == 0, 1 / (1 - q), (q - t) / (q - q * q))
    )


def _binary_clipped(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    each, slope = _binary(np.clip(q, e, 1 - e), t, e)
    return each, np.where((q >= e) & (q <= 1 - e), slope, 0.0)


def _binary_plus(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    each = -t * np.log(q + e) - (1 - t) * np.log(1 - q + e)
    return each.sum(1), -t / (q + e) + (1 - t) / (1 - q + e)


def _binary_torch(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    each = -t * np.maximum(np.log(q), -100) - (1 - t) * np.maximum(np.log(1 - q), -100)
    return each.sum(1), (q - t) / np.maximum(q * (1 - q), 1e-12)


def _question(q: Array, t: Array, e: Any) -> tuple[Array, Array]:
    each, slope = _binary(np.clip(q, e, 1 - e / 10), t, e)
    return each, np.where((q >= e) & (q <= 1 - e / 10), slope, 0.0)


@dataclass(frozen=True)
class Row:
    """A loss of outputs as they are taken: what they are taken for, and whether it has an epsilon.

    `kind` is a key of LOSSES, or "cross-entropy" for what all of its rows compute where nothing is
    clipped.
    """

    kind: str
    takes: str  # logits, probabilities, predictions
    function: Function
    epsilon: bool = False


SOFTMAX = (
    Row("cross-entropy", "logits", _softmax_logits),
    Row("cross-entropy", "probabilities", _categorical),
    Row("keras_jax", "probabilities", _shares_clipped, epsilon=True),
    Row("clip", "probabilities", _clipped, epsilon=True),
    Row("mxnet", "probabilities", _plus, epsilon=True),
    Row("mse_aligned", "predictions", _squared),
)
BINARY = (
    Row("cross-entropy", "logits", _binary_logits),
    Row("cross-entropy", "probabilities", _binary),
    Row("torch_bce", "probabilities", _binary_torch),
    Row("clip", "probabilities", _binary_clipped, epsilon=True),
    Row("question_stable", "probabilities", _question, epsilon=True),
    Row("mxnet", "probabilities", _binary_plus, epsilon=True),
    Row("mse_aligned", "predictions", _squared),
)
RIGHT, TWICE, AS_SHARES = "right", "softmax twice", "logits as probabilities"
BEHIND = "logits behind"  # the outputs are probabilities; the loss is computed from their logits
Logits = Callable[[int], Array | None]  # step -> the logits behind its outputs


@dataclass(frozen=True)
class _Step:
    """A step's outputs [n, c], targets, loss and gradient in float64, and what rounding allows."""

    outputs: Array
    labels: Array  # as class_labels gives them
    loss: float
    slope: Array | None
    weights: Array | None
    squares: float  # the sum of squared kernels, for a penalty
    eps: float
    shares: bool  # whether the outputs are probabilities
    kind: type[np.floating[Any]]  # the number format that an epsilon is rounded to


def fit_loss(recording: Recording, shares: bool, logits: Logits | None = None) -> Fit:
    """Fit the loss of all recorded steps, and the gradient of the outputs where it is recorded.

    `shares` says whether the outputs are probabilities. A framework may look for the logits behind
    these; where `logits` gives them, they are tried, too.
    """
    steps = list(_steps(recording, shares))
    if not steps:
        return Fit()
    behind = list(_steps(recording, False, logits)) if shares and logits is not None else []

    def judge(facets: Facets) -> Candidate | None:
        if "loss" not in facets:
            return None
        if facets["wiring"] != BEHIND:
            return _judged(steps, facets)
        return _judged_behind(behind, facets) if behind else None

    tried = [_judged(steps, facets) for facets in _candidates(steps[0], ("as they are",))]
    if not any(c.fits for c in tried):
        c = steps[0].outputs.shape[1]
        codings = ("one too high", "one too low") if c > 1 else ("swapped",)
        tried += [_judged(steps, facets) for facets in _candidates(steps[0], codings)]
    if not any(c.fits for c in tried) and behind:
        first = behind[0]
        rows = [row for row in _form(first) if row.takes == "logits"]
        each = [_facets(first, row, how, 0.0) for row in rows for how in _reductions(first)]
        tried += [_judged_behind(behind, {**facets, "wiring": BEHIND}) for facets in each]
    if not any(c.fits for c in tried):
        tried += [_judged(steps, facets) for facets in _solved(steps, tried)]
    return Fit(plainest(tried), judge)


def _judged_behind(steps: list[_Step], facets: Facets) -> Candidate:
    """How far the recorded losses are from those of the logits, which `steps` have as outputs."""
    return replace(_judged(steps, {**facets, "wiring": RIGHT}), facets=facets)


def _steps(recording: Recording, shares: bool, logits: Logits | None = None) -> Iterator[_Step]:
    """Yield what is needed of each step; `logits`, if given, stand in for the outputs."""
    for k in range(min(recording.steps, 16)):
        out, y, loss = recording.one(k, "outputs"), recording.one(k, "labels"), recording.loss(k)
        if out is None or y is None or loss is None or not out.size or out.ndim > 2:
            continue
        if f"step/{k}/outputs" in recording.sampled:  # a mean of others, too
            continue
        outputs = formats.wide(out).reshape(len(out), -1)
        if logits is not None:
            behind = logits(k)
            if behind is None:
                return
            outputs = behind
        labels = class_labels(y)
        if len(labels) != len(outputs):
            if labels.size != outputs.size:
                continue
            labels = labels.reshape(len(outputs), -1)
        slope = recording.one(k, "outputs_grad") if logits is None else None
        weights = recording.one(k, "weights")
        yield _Step(
            outputs,
            labels,
            loss,
            formats.wide(slope).reshape(outputs.shape)
            if slope is not None and slope.size == outputs.size
            else None,
            formats.wide(weights).reshape(-1)
            if weights is not None and weights.size == len(outputs)
            else None,
            _squares(recording, k),
            max(formats.epsilon(out), formats.epsilon(recording.tensors[f"step/{k}/loss"])),
            shares,
            np.float64 if out.dtype == np.float64 else np.float32,
        )


def _squares(recording: Recording, step: int) -> float:
    kernels = (formats.wide(w) for w in recording.params(step).values() if w.ndim > 1)
    return sum(float(np.sum(w * w)) for w in kernels)


def _form(step: _Step) -> tuple[Row, ...]:
    """Softmax for one class of several, binary for 0 and 1, else a regression's squares."""
    c, y = step.outputs.shape[1], step.labels
    if y.ndim == 1 and c > 1 and np.all((y == np.round(y)) & (y >= -1) & (y <= c)):
        return SOFTMAX
    if y.size == step.outputs.size and np.all((y >= 0) & (y <= 1)):
        return BINARY
    return BINARY[-1:]


def _reductions(step: _Step) -> tuple[str, ...]:
    n, c = step.outputs.shape
    return ("mean", *(("sum",) if n > 1 else ()), *(("outputs",) if c > 1 else ()))


def _candidates(first: _Step, codings: tuple[str, ...]) -> Iterator[Facets]:
    """Every loss with every reduction and epsilon, of labels coded so."""
    for coding in codings:
        for row in _form(first):
            for reduction in _reductions(first):
                for e in EPSILONS if row.epsilon else (0.0,):
                    yield _facets(first, row, reduction, e, coding)


def _facets(step: _Step, row: Row, reduction: str, e: float, coding: str = "as they are",
            smoothing: float = 0.0, penalty: float = 0.0) -> Facets:  # fmt: skip
    return {"loss": row.kind, "wiring": _wiring(step.shares, row), "reduction": reduction,
            "loss_epsilon": e, "coding": coding, "smoothing": smoothing,
            "penalty": penalty}  # fmt: skip


def _wiring(shares: bool, row: Row) -> str:
    """How outputs meet the loss: as they should, softmax twice, or logits as probabilities."""
    if shares and row.takes == "logits":
        return TWICE
    return AS_SHARES if not shares and row.takes == "probabilities" else RIGHT


def _solved(steps: list[_Step], tried: list[Candidate]) -> Iterator[Facets]:
    """Smoothing, a penalty or an unusual epsilon, each solved from the first step's loss."""
    first = steps[0]
    c = first.outputs.shape[1]
    for row in _form(first):
        for reduction in _reductions(first):
            e = 1e-7 if row.epsilon else 0.0
            plain = _each(first, _facets(first, row, reduction, e))
            even = np.full_like(first.outputs, 1 / max(c, 2))
            level = row.function(first.outputs, even, e)[0]
            f = _factor(first, reduction)
            gap = f * float(np.mean(level - plain[0]))
            left = first.loss - f * float(np.mean(plain[0]))
            smoothing = left / gap if gap else 0.0
            if 0 < smoothing < 0.9:
                for value in {formats.snapped(smoothing, d) for d in (1, 2, 3)}:
                    yield _facets(first, row, reduction, e, smoothing=value)
            penalty = left / first.squares if first.squares else 0.0
            if penalty > 0:
                for value in {formats.snapped(penalty, d) for d in (1, 2, 3)}:
                    yield _facets(first, row, reduction, e, penalty=value)
            if row.epsilon:
                yield _facets(first, row, reduction, _epsilon(first, row, reduction))


def _epsilon(step: _Step, row: Row, reduction: str) -> float:
    """The epsilon at which a loss has the recorded value, which falls as epsilon grows."""
    low, high = -45.0, -1.0
    for _ in range(50):
        middle = (low + high) / 2
        each = _each(step, _facets(step, row, reduction, float(np.exp(middle))))[0]
        if _factor(step, reduction) * float(np.mean(each)) > step.loss:
            low = middle
        else:
            high = middle
    return formats.snapped(float(np.exp(low)), 2)


def _factor(step: _Step, reduction: str) -> float:
    n, c = step.outputs.shape
    return {"mean": 1.0, "sum": float(n), "outputs": 1 / c}[reduction]


def _row(step: _Step, facets: Facets) -> Row | None:
    """The loss that facets name, if outputs like these can be wired to it so."""
    shares = step.shares
    return next(
        (r for r in _form(step)
         if r.kind == facets["loss"] and _wiring(shares, r) == facets["wiring"]),
        None,
    )  # fmt: skip


def _each(step: _Step, facets: Facets) -> tuple[Array, Array]:
    """The loss of each example and its gradient by the outputs."""
    row = _row(step, facets)
    assert row is not None
    n, c = step.outputs.shape
    y = step.labels
    if _form(step) is SOFTMAX:
        shift = {"one too high": 1, "one too low": -1}.get(facets["coding"], 0)
        index = (y.astype(np.int64) + shift) % c
        targets = np.zeros((n, c))
        targets[np.arange(n), index] = 1
    else:
        targets = y.reshape(n, -1)
        targets = 1 - targets if facets["coding"] == "swapped" else targets
    s = facets["smoothing"]
    targets = (1 - s) * targets + s / max(c, 2)
    # In float32, 1 - 1e-7 is 1 - 1.19e-7, and its log another one.
    return row.function(step.outputs, targets, step.kind(facets["loss_epsilon"]))


def _judged(steps: list[_Step], facets: Facets) -> Candidate:
    """How far the recorded numbers are from those of a candidate, over all steps."""
    complexity = (
        int(facets["coding"] != "as they are")
        + int(facets["smoothing"] != 0)
        + int(facets["penalty"] != 0)
        + int(facets["loss"] not in ("cross-entropy", "mse_aligned"))
        + int(facets["loss_epsilon"] != 0 and facets["loss_epsilon"] not in EPSILONS)
    )
    allowed = max(formats.tolerance(step.eps, 64) for step in steps)
    if any(_row(step, facets) is None for step in steps):
        return Candidate(facets, np.inf, allowed, complexity)
    residual = 0.0
    for step in steps:
        residual = max(residual, _left(step, facets))
        if not residual < 100 * allowed:  # later steps change nothing
            break
    return Candidate(facets, residual, allowed, complexity)


def _left(step: _Step, facets: Facets) -> float:
    each, slope = _each(step, facets)
    f = _factor(step, facets["reduction"])
    if step.weights is not None:
        each = each * step.weights
        slope = slope * step.weights[:, None]
    loss = f * float(np.mean(each)) + facets["penalty"] * step.squares
    if np.isnan(step.loss) or np.isinf(step.loss):
        same = np.isnan(loss) == np.isnan(step.loss) and np.isinf(loss) == np.isinf(step.loss)
        return 0.0 if same else float("inf")
    left = [abs(loss - step.loss) / max(abs(step.loss), 1e-30)]
    if step.slope is not None:
        ours, theirs = _by_logits(step, f / len(each) * slope), _by_logits(step, step.slope)
        size = max(float(np.max(np.abs(theirs))), 1e-30)
        left.append(float(np.max(np.abs(ours - theirs))) / size)
    return float("inf") if np.any(np.isnan(left)) else max(left)


def _by_logits(step: _Step, slope: Array) -> Array:
    """The gradient by the logits, if the outputs are probabilities.

    Losses that differ by a factor of the probabilities' sum, which is 1, are the same to those.
    """
    return by_logits(step.outputs, slope) if step.shares else slope


def slopes(
    recording: Recording, facets: Facets, shares: bool, logits: Logits | None = None
) -> list[Array]:
    """Return the gradients of the outputs that a loss would give, one of each step.

    Those of the logits, if the loss is computed from the logits behind the outputs.
    """
    steps = _steps(recording, shares)
    if facets["wiring"] == BEHIND:
        steps, facets = _steps(recording, False, logits), {**facets, "wiring": RIGHT}
    found = []
    for step in steps:
        if _row(step, facets) is None:
            return []
        each, slope = _each(step, facets)
        if step.weights is not None:
            slope = slope * step.weights[:, None]
        found.append(_factor(step, facets["reduction"]) / len(each) * slope)
    return found
