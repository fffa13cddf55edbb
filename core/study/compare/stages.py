"""The stages of two recordings put side by side, step by step, up to the first difference."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from core.study.compare import formats
from core.study.compare.matching import Matching
from core.study.compare.recording import Array, Recording
from core.study.compare.report import STAGES, Numbers, Side, Status, Verdict

STEP_STAGES = STAGES[1:-1]


@dataclass(frozen=True)
class Found:
    """What was found of one stage."""

    status: Status
    numbers: Numbers | None = None


@dataclass(frozen=True)
class Both:
    """Two recordings whose parameters are matched."""

    a: Recording
    b: Recording
    matching: Matching

    def group(self, step: int, kind: str) -> Iterator[tuple[str, Array, Array]]:
        """Yield (name, a's array, b's array in a's layout) of parameters or gradients."""
        ours = self.matching.parts[0].of(self.a.group(step, kind), kind)
        theirs = self.matching.undone(self.b.group(step, kind), kind)
        for name in ours:
            if name in theirs and ours[name].shape == theirs[name].shape:
                yield name, ours[name], theirs[name]


def walked(both: Both, trusted: str = "") -> dict[str, Found]:
    """Return each stage's status and its largest difference.

    Initial weights and batches depend on nothing before them, so each is compared by itself. What
    differs at a `trusted` stage is rounding, so the walk goes on.
    """
    found: dict[str, Found] = {}
    steps = min(both.a.steps, both.b.steps)
    found["initial weights"] = _judged(_initial(both))
    found["batch"] = _judged(n for k in range(steps) for n in _batch(both, k))
    parted = any(found[stage].status == "differs" for stage in ("initial weights", "batch"))
    parts: dict[str, list[Numbers]] = {stage: [] for stage in STEP_STAGES[1:]}
    for step in range(steps):
        for stage in () if parted else STEP_STAGES[1:]:
            numbers = list(_COMPARED[stage](both, step))
            if stage == trusted:
                numbers = [_granted(n) for n in numbers]
            parts[stage] += numbers
            if any(_differs(n) for n in numbers):
                parted = True
                break
        if parted:
            break
    for stage, numbers in parts.items():
        found[stage] = _judged(iter(numbers))
        if parted and found[stage].status == "not recorded" and _recorded(both, stage):
            found[stage] = Found("after the first difference")
    evaluation = _judged(_evaluation(both, steps))
    if parted and evaluation.status != "not recorded":
        evaluation = Found("after the first difference")
    return {**found, "evaluation": evaluation}


def _granted(n: Numbers) -> Numbers:
    return replace(n, tolerance=max(n.tolerance, n.relative))


def _recorded(both: Both, stage: str) -> bool:
    return any(True for k in range(min(both.a.steps, both.b.steps))
               for _ in _COMPARED[stage](both, k))  # fmt: skip


def _differs(n: Numbers) -> bool:
    return not n.relative <= n.tolerance


def _judged(numbers: Iterator[Numbers]) -> Found:
    each = list(numbers)
    if not each:
        return Found("not recorded")
    first = next((n.step for n in each if _differs(n)), None)
    at_first = [n for n in each if first is None or (n.step == first and _differs(n))]
    worst = max(at_first, key=lambda n: n.relative / max(n.tolerance, 1e-300))
    return Found("same" if first is None else "differs", worst)


def _initial(both: Both) -> Iterator[Numbers]:
    for name, a, b in both.group(0, "params"):
        yield formats.difference(name, 0, a, b, 4 * formats.epsilon(a, b))
    for name in (*both.matching.only_a, *both.matching.only_b):
        yield Numbers(name, 0, float("inf"), float("inf"), 0.0)


def _batch(both: Both, step: int) -> Iterator[Numbers]:
    a, b = both.a.inputs(step), both.b.inputs(step)
    if a is not None and b is not None:
        yield _shaped("inputs", step, rows(a), rows(b), 4)
    y, z = both.a.one(step, "labels"), both.b.one(step, "labels")
    if y is not None and z is not None:
        yield _shaped("labels", step, class_labels(y), class_labels(z), 4)


def rows(x: Array) -> Array:
    """Return inputs with one row an example, whatever their shape."""
    return x.reshape(x.shape[0] if x.ndim else 1, math.prod(x.shape[1:]))


def class_labels(labels: Array) -> Array:
    """Return labels as one number an example if they are classes, one-hot or not; else as rows."""
    y = formats.wide(labels)
    if y.ndim >= 2 and y.shape[-1] > 1 and y.size:
        with np.errstate(all="ignore"):
            if np.all((y == 0) | (y == 1)) and np.all(y.sum(-1) == 1):
                return y.argmax(-1).astype(np.float64).reshape(-1)
        return y.reshape(len(y), -1)
    return y.reshape(-1)


def _shaped(name: str, step: int, a: Array, b: Array, factor: float, more: float = 0.0) -> Numbers:
    allowed = formats.tolerance(formats.epsilon(a, b), factor) + more
    if a.shape != b.shape:
        if a.size != b.size:
            return Numbers(name, step, float("inf"), float("inf"), allowed)
        b = b.reshape(a.shape)
    return formats.difference(name, step, a, b, allowed)


def _drift(both: Both, step: int, idle_too: bool = False) -> float:
    """How far the parameters have come apart by rounding before a step, relative to their size.

    What has next to no gradient does not count: it moves by rounding, and to no effect on outputs,
    as biases before a batch norm do. The running means hold those biases.
    """
    if not step:
        return 0.0
    slopes = {name: _largest(g) for name, g, _ in both.group(0, "grads")}
    idle = 1e-4 * max(slopes.values(), default=0.0)
    gaps = [0.0]
    for name, a, b in both.group(step, "params"):
        x, y = formats.wide(a), formats.wide(b)
        size = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
        if size > 0 and np.isfinite(size) and (idle_too or slopes.get(name, np.inf) >= idle):
            gaps.append(float(np.max(np.abs(x - y))) / size)
    return max(gaps)


def by_biases(both: Both, found: Found) -> Found:
    """Return what was found, as rounding if biases before a batch norm can have made it.

    Such biases have no gradient but rounding, and an optimizer that divides by its size moves them
    by whole steps. In training that has no effect; running means follow late, so at evaluation it
    has.
    """
    if found.numbers is None or found.status != "differs":
        return found
    steps = min(both.a.steps, both.b.steps)
    allowed = found.numbers.tolerance + 16 * _drift(both, steps, idle_too=True)
    if not found.numbers.relative <= allowed:
        return found
    return Found("same", replace(found.numbers, tolerance=allowed))


def _largest(v: Array) -> float:
    """The largest finite number of an array, without its sign."""
    x = np.abs(formats.wide(v))
    return float(np.max(x[np.isfinite(x)], initial=0.0))


def are_shares(outputs: Array) -> bool:
    """Whether outputs are probabilities: from 0 to 1, and of several classes with a sum of 1."""
    out = formats.wide(outputs)
    if not out.size or not np.all((out >= 0) & (out <= 1)):
        return False
    return out.ndim < 2 or out.shape[-1] == 1 or bool(np.allclose(out.sum(-1), 1, atol=1e-2))


def gives_shares(recording: Recording) -> bool:
    """Whether a network's outputs are probabilities in all steps: some logits are by chance."""
    each = [recording.one(k, "outputs") for k in range(recording.steps)]
    return any(v is not None for v in each) and all(are_shares(v) for v in each if v is not None)


def softmaxed(both: Both) -> str:
    """Return which side's outputs are probabilities where the other's are not; else ""."""
    a, b = both.a.one(0, "outputs"), both.b.one(0, "outputs")
    if a is None or b is None or a.size != b.size:
        return ""
    if not _differs(_shaped("outputs", 0, a, b, 128)):
        return ""
    shares = gives_shares(both.a), gives_shares(both.b)
    return "" if shares[0] == shares[1] else "a" if shares[0] else "b"


def as_shares(outputs: Array) -> Array:
    """Return the probabilities of logits: their softmax, or sigmoid if there is one a row."""
    z = formats.wide(outputs)
    if z.ndim < 2 or z.shape[-1] == 1:
        p = 1 / (1 + np.exp(-z))
    else:
        e = np.exp(z - z.max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
    return p.astype(outputs.dtype)


def by_logits(outputs: Array, slope: Array) -> Array:
    """Return the gradient by the logits behind probabilities from that by the probabilities."""
    q, g = formats.wide(outputs), formats.wide(slope)
    if q.ndim < 2 or q.shape[-1] == 1:
        return g * q * (1 - q)
    return q * (g - (g * q).sum(-1, keepdims=True))


def _outputs(both: Both, step: int) -> Iterator[Numbers]:
    a, b = both.a.one(step, "outputs"), both.b.one(step, "outputs")
    if a is not None and b is not None:
        soft = softmaxed(both)
        a, b = as_shares(a) if soft == "b" else a, as_shares(b) if soft == "a" else b
        yield _shaped("outputs", step, a, b, 128, 16 * _drift(both, step))


def _loss(both: Both, step: int) -> Iterator[Numbers]:
    a, b = both.a.one(step, "loss"), both.b.one(step, "loss")
    if a is not None and b is not None:
        yield _shaped("loss", step, a.reshape(1), b.reshape(1), 64, 16 * _drift(both, step))


def _outputs_grad(both: Both, step: int) -> Iterator[Numbers]:
    a, b = both.a.one(step, "outputs_grad"), both.b.one(step, "outputs_grad")
    if a is not None and b is not None:
        soft = softmaxed(both)
        out = (both.a if soft == "a" else both.b).one(step, "outputs")
        if soft == "a" and out is not None and out.shape == a.shape:
            a = by_logits(out, a).astype(a.dtype)
        elif soft == "b" and out is not None and out.shape == b.shape:
            b = by_logits(out, b).astype(b.dtype)
        yield _shaped("outputs_grad", step, a, b, 128, 64 * _drift(both, step))


def _gradients(both: Both, step: int) -> Iterator[Numbers]:
    each = list(both.group(step, "grads"))
    drift = 64 * _drift(both, step)
    scale = 0.05 * max((_largest(a) for _, a, _ in each), default=0.0)
    for name, a, b in each:
        allowed = formats.tolerance(formats.epsilon(a, b), 512) + drift
        yield formats.difference(name, step, a, b, allowed, scale)


def _update(both: Both, step: int) -> Iterator[Numbers]:
    """Steps are compared as far as gradients are the same: a tiny gradient may be all rounding."""
    noise = _noise(both, step)
    after = {name: (a, b) for name, a, b in both.group(step + 1, "params")}
    for name, w_a, w_b in both.group(step, "params"):
        if name in after and after[name][0].shape == w_a.shape:
            u, v = (formats.wide(x) - formats.wide(y)
                    for x, y in zip((w_a, w_b), after[name], strict=True))  # fmt: skip
            yield _steps(name, step, u, v, w_a, noise.get(name, np.zeros(())))


def _noise(both: Both, step: int) -> dict[str, Array]:
    """How much of each gradient is rounding, relative to it: a momentum holds that of all steps."""
    gaps: dict[str, Array] = {}
    sizes: dict[str, Array] = {}
    for k in range(step + 1):
        most = 0.3 * max((_largest(g) for _, g, _ in both.group(k, "grads")), default=0.0)
        for name, a, b in both.group(k, "grads"):
            g, h = formats.wide(a), formats.wide(b)
            gap = np.abs(g - h) + 3e-6 * max(_largest(g), most)
            gaps[name] = np.maximum(gaps.get(name, 0.0), gap)
            sizes[name] = np.maximum(sizes.get(name, 1e-300), np.maximum(np.abs(g), np.abs(h)))
    return {name: gaps[name] / sizes[name] for name in gaps}


def _steps(name: str, step: int, u: Array, v: Array, w: Array, noise: Array) -> Numbers:
    eps = formats.epsilon(w)
    if noise.shape != u.shape:
        noise = np.zeros_like(u)
    with np.errstate(all="ignore"):
        largest = np.maximum(np.abs(u), np.abs(v))
        allowed = 2 * eps * np.abs(formats.wide(w)) + (1e-4 + 4 * noise) * largest
        gap = np.where((u == v) | (np.isnan(u) & np.isnan(v)), 0.0, np.abs(u - v))
        gap = np.where(np.isnan(gap), np.inf, gap)
        beyond = gap > allowed
    numbers = formats.difference(name, step, u, v, 0.0)
    if not np.any(beyond):  # whatever differs is rounding
        relative = numbers.relative
        return Numbers(name, step, relative, relative / eps * 2, max(relative, 1e-4))
    size = float(np.max(largest, initial=0.0))
    relative = float(np.max(gap[beyond])) / size if size > 0 else float("inf")
    tolerance = float(np.median(allowed[beyond])) / size if size > 0 else 0.0
    return Numbers(name, step, relative, relative / eps * 2, min(tolerance, relative / 2))


def _state(both: Both, step: int) -> Iterator[Numbers]:
    """State has no gradient to match it by: names, then the order of those with one shape."""
    ours, theirs = both.a.state(step + 1), dict(both.b.state(step + 1))
    for name, a in ours.items():
        other = name if name in theirs else next(
            (o for o, v in theirs.items() if v.shape == a.shape), None
        )  # fmt: skip
        if other is None or not formats.is_float(a):
            continue
        b = both.matching.units(theirs.pop(other))
        if b.shape == a.shape:
            yield _shaped(name, step, a, b, 256, 64 * _drift(both, step, idle_too=True))


def _evaluation(both: Both, steps: int) -> Iterator[Numbers]:
    drift = 16 * _drift(both, steps)
    a, b = both.a.at_evaluation("inputs"), both.b.at_evaluation("inputs")
    if a is not None and b is not None:
        yield _shaped("inputs", steps, rows(a), rows(b), 4)
    a, b = both.a.at_evaluation("outputs"), both.b.at_evaluation("outputs")
    if a is not None and b is not None:
        soft = softmaxed(both)
        a, b = as_shares(a) if soft == "b" else a, as_shares(b) if soft == "a" else b
        yield _shaped("outputs", steps, a, b, 128, drift)
    theirs = both.b.metrics()
    for name, value in both.a.metrics().items():
        if name in theirs:
            x, y = (np.array([v], np.float32) for v in (value, theirs[name]))
            yield _shaped(name, steps, x, y, 64, drift)


_COMPARED: dict[str, Callable[[Both, int], Iterator[Numbers]]] = {
    "batch": _batch,
    "outputs": _outputs,
    "loss": _loss,
    "gradient of the outputs": _outputs_grad,
    "gradients": _gradients,
    "update": _update,
    "state": _state,
}


def between(both: Both, stage: str, found: Found) -> Iterator[Verdict]:
    """Yield what b's gradients are of a's, where neither can be computed again."""
    if stage != "gradients" or found.numbers is None:
        return
    step = found.numbers.step
    each = list(both.group(step, "grads"))
    a = np.concatenate([formats.wide(g).ravel() for _, g, _ in each])
    b = np.concatenate([formats.wide(g).ravel() for *_, g in each])
    before = list(both.group(step - 1, "grads")) if step else []
    weights = {name: formats.wide(w) for name, w, _ in both.group(step, "params")}
    if any(n not in weights or weights[n].shape != g.shape for n, g, _ in each):
        return
    if [(n, g.shape) for n, g, _ in before] != [(n, g.shape) for n, g, _ in each]:
        before = []
    kernels = np.concatenate([(weights[n] * (weights[n].ndim > 1)).ravel() for n, *_ in each])
    size = max(float(np.max(np.abs(b), initial=0.0)), 1e-300)
    plain = float(np.max(np.abs(a - b), initial=0.0)) / size
    before_pairs = [(p, q) for _, p, q in before]
    sides: tuple[tuple[Side, int, float], ...] = (("b", 1, 1.0), ("a", 0, -1.0))
    for side, earlier, sign in sides:
        if before:
            last = np.concatenate([formats.wide(g[earlier]).ravel() for g in before_pairs])
            left = float(np.max(np.abs(b - a - sign * last), initial=0.0)) / size
            if left < 1e-4:
                yield Verdict(side, "gradients_not_zeroed", f"The gradients of {side} hold those "
                              "of earlier steps, too.", left, "no earlier ones", plain,
                              f"# in {side}:\nstart each step from gradients of zero")  # fmt: skip
                return
    multiples = (("gradient_factor", "{:.4g} times those of a", a),
                 ("weight_decay", "those of a plus {:.4g} times the kernels", kernels))  # fmt: skip
    for key, told, along in multiples:
        base = np.zeros_like(a) if key == "gradient_factor" else a
        whole = float(along @ along)
        share = float(along @ (b - base)) / whole if whole > 0 else 0.0
        left = float(np.max(np.abs(b - base - share * along), initial=0.0)) / size
        if left < 1e-4 and share:
            yield Verdict("both", key, f"The gradients of b are {told.format(share)}.", left,
                          "those of a", plain)  # fmt: skip
            return
