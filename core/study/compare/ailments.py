"""What one recording computes, in words, and what ails it."""

from collections.abc import Iterator

import numpy as np

from core.study.compare import fit_initial, formats, words
from core.study.compare.fit_loss import BEHIND
from core.study.compare.fit_outputs import keep_share
from core.study.compare.fit_update import form_of, predicted
from core.study.compare.pieces import Facets
from core.study.compare.recording import Array
from core.study.compare.report import CHANCE, STANDARD_ERRORS, Verdict, shown
from core.study.compare.sides import Side
from core.study.compare.stages import gives_shares
from core.study.compare.steps import data

# Where each kind of tensor belongs, in the order in which a step computes them.
_KINDS = (
    ("params", "initial weights"), ("inputs", "batch"), ("outputs", "outputs"), ("loss", "loss"),
    ("outputs_grad", "gradient of the outputs"), ("grads", "gradients"),
)  # fmt: skip

_FITS = (
    ("initial weights", "weights"), ("initial weights", "biases"), ("outputs", "outputs"),
    ("loss", "loss"), ("gradients", "gradients"), ("update", "update"), ("state", "state"),
    ("evaluation", "evaluation"),
)  # fmt: skip
_PLAIN = ("", None, False, 0, "as they are", "right")  # what need not be said
# What a facet should be in any program.
_RIGHT = (
    ("loss", "coding", "as they are"), ("gradients", "summed", False),
    ("evaluation", "dropout_at_evaluation", False), ("evaluation", "norm_at_evaluation", "running"),
)  # fmt: skip


def described(side: Side) -> dict[str, tuple[str, ...]]:
    """Return sentences on what each recorded stage computes."""
    told: dict[str, list[str]] = {}
    for stage, name in _FITS:
        fit = side.fits[name]
        each = [_told(name, c.facets, c.residual) for c in fit.found[:3]]
        if not each and fit.best is not None:
            each = [f"no piece fits; closest: {_told(name, fit.best.facets, fit.best.residual)}"]
        if each:
            told.setdefault(stage, []).extend(each)
    x = side.recording.inputs(0)
    if x is not None:
        count = len(x) if x.ndim else 1
        told["batch"] = [f"{count} examples, {fit_initial.described(formats.wide(x))}"]
    share = keep_share(side.recording)
    if share is not None:
        told.setdefault("outputs", []).append(f"dropout keeps {share:.2g} of the units")
    return {stage: tuple(each) for stage, each in told.items()}


def _told(fit: str, facets: Facets, residual: float) -> str:
    each = ", ".join(f"{k.replace('_', ' ')} {words.number(v)}" for k, v in facets.items()
                     if v not in _PLAIN)  # fmt: skip
    left = f"left unexplained: {shown(residual)}"
    if fit in ("weights", "biases"):
        left = f"off by {shown(residual)} {STANDARD_ERRORS}, {CHANCE}"
    return f"{each or 'as computed from the network'}; {left}"


def ailments(side: Side) -> Iterator[tuple[str, Verdict]]:
    """Yield (stage, verdict) of what is wrong with one recording."""
    yield from _not_a_number(side)
    wiring = side.facet("loss", "wiring", "right")
    if wiring not in ("right", BEHIND):
        cause = words.cause_of("wiring", {"wiring": "right"}, {"wiring": wiring})
        code = words.write(cause, side.recording.framework, "a", "")
        yield "loss", Verdict("a", cause.key, f"The loss is wired wrongly: {wiring}.",
                              side.fits["loss"].found[0].residual, write=code)  # fmt: skip
    for stage, facet, right in _RIGHT:
        value = side.facet(stage, facet, right)
        if value not in (right, ""):
            cause = words.CAUSES[facet]
            told = f"{facet.replace('_', ' ')}: {words.number(value)}"
            yield stage, Verdict("a", cause.key, f"{told}; right would be {words.number(right)}.",
                                 side.fits[stage].found[0].residual,
                                 write=words.write(cause, side.recording.framework, "a",
                                                   right))  # fmt: skip
    if side.frozen:
        yield "update", Verdict("a", "frozen", f"No step moves {', '.join(side.frozen)}, although "
                                "there is a gradient.")  # fmt: skip
    yield from _rounded_away(side)
    yield from _saturated(side)
    yield from _dead(side)


def _not_a_number(side: Side) -> Iterator[tuple[str, Verdict]]:
    """The first stage with a number that is not finite."""
    r = side.recording
    for step in range(r.steps + 1):
        for kind, stage in _KINDS:
            found = dict(r.group(step, kind))
            alone = r.one(step, kind)
            if alone is not None:
                found[kind] = alone
            for name, v in found.items():
                bad = int(np.sum(~np.isfinite(formats.wide(v)))) if formats.is_float(v) else 0
                if bad:
                    yield stage, Verdict("a", "nan", "The first numbers that are NaN or infinite "
                                         f"are {bad} of {v.size} of {name}, at step "
                                         f"{step}.")  # fmt: skip
                    return


def _rounded_away(side: Side) -> Iterator[tuple[str, Verdict]]:
    """Steps smaller than half of a weight's last place leave it as it is."""
    moved = {*side.recording.params(0)} - {*side.frozen}
    d, found = data(side.recording, moved), side.found("update")
    form = form_of(found.facets) if found else None
    if d is None or found is None or form is None:
        return
    lost = (d.u == 0) & (predicted(d, found.facets) != 0)
    share = float(np.mean(lost))
    if share > 0.05:
        yield "update", Verdict("a", "rounded_away", f"{share:.0%} of the steps are too small for "
                                "the weights' number format and change nothing.",
                                write="# in a:\nkeep weights in float32")  # fmt: skip


def _saturated(side: Side) -> Iterator[tuple[str, Verdict]]:
    """Outputs of which nothing more is learnt, or probabilities that have rounded to 0 or 1."""
    out, slope = side.recording.one(0, "outputs"), side.recording.one(0, "outputs_grad")
    if out is not None and out.size and gives_shares(side.recording):
        ends = float(np.mean((formats.wide(out) < 1e-7) | (formats.wide(out) > 1 - 1e-7)))
        if ends > 0.5:
            yield "outputs", Verdict("a", "saturation", f"{ends:.0%} of the probabilities are 0 or "
                                     "1 to within 1e-7.")  # fmt: skip
    if slope is not None and slope.size and slope.ndim:
        silent = float(np.mean(~np.any(formats.wide(slope).reshape(len(slope), -1), axis=1)))
        if silent > 0.05:
            yield "gradient of the outputs", Verdict(
                "a", "silent_examples", f"The gradient of {silent:.0%} of the examples is exactly "
                "0: they teach nothing.")  # fmt: skip


def _dead(side: Side) -> Iterator[tuple[str, Verdict]]:
    """Units that pass nothing of any example, in the first and the last step that is recorded."""
    if side.network is None:
        return
    for step in (0, side.recording.steps - 1):
        trace = side.network.trace(step)
        if trace is None or not trace.slopes:
            return
        dead = [float(np.mean(_silent(slope))) for slope in trace.slopes]
        if max(dead) > 0.25:  # a few are common
            layer = int(np.argmax(dead)) + 1
            yield "outputs", Verdict("a", "dead_units", f"{max(dead):.0%} of the units of hidden "
                                     f"layer {layer} pass nothing of any example at step "
                                     f"{step}.")  # fmt: skip
            return


def _silent(slope: Array) -> Array:
    return ~np.any(slope, axis=0)
