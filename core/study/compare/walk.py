"""The walk through two recordings, or a look at one."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from core.study.compare import verdicts
from core.study.compare.ailments import ailments, described
from core.study.compare.fit_gradients import as_clipped
from core.study.compare.fit_inputs import batches
from core.study.compare.hints import hints
from core.study.compare.matching import match
from core.study.compare.matters import matters
from core.study.compare.pieces import Fit, serves
from core.study.compare.recording import Recording
from core.study.compare.report import STAGES, Report, Stage, Verdict
from core.study.compare.sides import Side, judged
from core.study.compare.stages import Both, Found, between, by_biases, softmaxed, walked

# The fit that explains each stage.
_FITS = {
    "initial weights": "weights",
    "outputs": "outputs",
    "loss": "loss",
    "gradient of the outputs": "loss",
    "gradients": "gradients",
    "update": "update",
    "state": "state",
    "evaluation": "evaluation",
}


def title(recording: Recording) -> str:
    """Return what a recording is called."""
    return " ".join(filter(None, (recording.framework, recording.version)))


@np.errstate(all="ignore")
def compare(a: Recording, b: Recording) -> Report:
    """Walk through two recordings, stage by stage, and say where they part and why.

    The stages are compared up to the first that differs by more than rounding. What lies behind it
    is judged, too: each side's stages are fitted to its own numbers, and a verdict is passed where
    what fits one side does not fit the other.
    """
    both = matched(a, b)
    found = walked(both)
    notes: tuple[str, ...] = ()
    given: dict[str, list[Verdict]] = {stage: [] for stage in STAGES}
    if _parted(found):
        sides = judged(a), judged(b)
        if found["gradients"].status == "differs":
            both, sides, notes = _clipped_alike(both, sides)
            found = walked(both) if notes else found
        if _parted(found):
            found = _passed(both, sides, found, given)
    stages = tuple(
        Stage(name, found[name].status, found[name].numbers, _gravest_first(name, given[name]),
              hints(both, name) if found[name].status == "not recorded" else ())
        for name in STAGES
    )  # fmt: skip
    notes = (*notes, *_notes(both), *both.matching.notes())
    return Report(title(a), title(b), stages, notes)


def _parted(found: dict[str, Found]) -> bool:
    return any(each.status == "differs" for each in found.values())


def _clipped_alike(
    both: Both, sides: tuple[Side, Side]
) -> tuple[Both, tuple[Side, Side], tuple[str, ...]]:
    """Both with one side's gradients as its optimizer clips them, if the other's are, and a note.

    PyTorch records gradients behind the clip, Keras and JAX before it.
    """
    a, b = sides
    for side, clipped in (("a", as_clipped(a, b)), ("b", as_clipped(b, a))):
        if clipped is not None:
            sides = (judged(clipped), b) if side == "a" else (a, judged(clipped))
            told = f"matched: the gradients of {side} as its optimizer clips them"
            return matched(sides[0].recording, sides[1].recording), sides, (told,)
    return both, sides, ()


def _passed(
    both: Both,
    sides: tuple[Side, Side],
    found: dict[str, Found],
    given: dict[str, list[Verdict]],
) -> dict[str, Found]:
    """Pass verdicts on the stages into `given`; return what is found once they are known."""
    as_said = serves(*(side.fits["update"] for side in sides))
    moved_alike = verdicts.frozen(both, *sides) is None
    summed = any(each.sums for each in both.matching.parts)
    if found["update"].status == "differs" and as_said and moved_alike and not summed:
        # The same rule of the same gradients: some are tiny, and rounding is all of them.
        found = walked(both, "update")
    told = list(_in_order(both, *sides, found))
    if not told:
        found["evaluation"] = by_biases(both, found["evaluation"])
    for stage, verdict in (*told, *_untold(both, *sides, found, {stage for stage, _ in told})):
        if verdict.cause not in {v.cause for each in given.values() for v in each}:
            given[stage].append(verdict)
    return found


def matched(a: Recording, b: Recording) -> Both:
    """Return both recordings, the second's parameters matched to those of the first."""
    torch = ["torch" in r.framework.lower() for r in (a, b)]
    return Both(a, b, match(a.params(0), b.params(0), torch[0] != torch[1]))


def _gravest_first(stage: str, given: list[Verdict]) -> tuple[Verdict, ...]:
    """Verdicts of a stage by what the other side's value would leave unexplained here."""

    def left(verdict: Verdict) -> float:
        found = verdict.runner_up_residual
        return -1.0 if found is None or np.isnan(found) else found

    each = (replace(verdict, matters=matters(stage, verdict)) for verdict in given)
    return tuple(sorted(each, key=left, reverse=True))


@np.errstate(all="ignore")
def look(a: Recording) -> Report:
    """Say what each stage of one recording computes, and what ails it."""
    side = judged(a)
    given: dict[str, list[Verdict]] = {stage: [] for stage in STAGES}
    for stage, verdict in ailments(side):
        given[stage].append(verdict)
    told = described(side)
    stages = tuple(
        Stage(name, "same" if name in told or given[name] else "not recorded",
              verdicts=tuple(given[name]), notes=told.get(name, ()))
        for name in STAGES
    )  # fmt: skip
    ignored = (f"not known, and ignored: {', '.join(a.ignored[:10])}",) if a.ignored else ()
    return Report(title(a), "", stages, ignored)


def _notes(both: Both) -> Iterator[str]:
    for side, recording in (("a", both.a), ("b", both.b)):
        if recording.ignored:
            yield f"not known in {side}, and ignored: {', '.join(recording.ignored[:10])}"
    soft = softmaxed(both)
    if soft:
        yield f"matched: the outputs of {soft} are the probabilities of the other's"


def _untold(
    both: Both, a: Side, b: Side, found: dict[str, Found], told: set[str]
) -> Iterator[tuple[str, Verdict]]:
    """(stage, verdict) of each stage that differs and has no verdict yet."""
    for stage, fit in _FITS.items():
        if found[stage].status == "differs" and not told & _explained_by(stage):
            between_them = list(between(both, stage, found[stage]))
            yield from ((stage, verdict) for verdict in between_them)
            if not between_them:
                yield stage, verdicts.unexplained(a.fits.get(fit, Fit()), b.fits.get(fit, Fit()))


def _explained_by(stage: str) -> set[str]:
    """The stages whose verdicts explain a difference at one."""
    pair = {"loss", "gradient of the outputs"}
    return pair if stage in pair else {stage}


def _in_order(
    both: Both, a: Side, b: Side, found: dict[str, Found]
) -> Iterator[tuple[str, Verdict]]:
    """(stage, verdict) of each cause, of the stages that differ and of those behind them."""
    if found["initial weights"].status == "differs":
        yield from (("initial weights", v) for v in verdicts.initial(both, a, b))
    if found["batch"].status == "differs":
        batch = batches(both.a, both.b)
        if batch is not None:
            yield from (("batch", v) for v in verdicts.batch(batch, a, b))
    outputs = list(verdicts.by_facets("outputs", a, b))
    if not any(v.cause in ("keep_prob", "dropout_rate") for v in outputs):
        outputs += verdicts.masks(both, a, b)
    yield from (("outputs", v) for v in outputs)
    yield from (("loss", v) for v in verdicts.by_facets("loss", a, b))
    yield from (("gradients", v) for v in verdicts.by_facets("gradients", a, b))
    still = verdicts.frozen(both, a, b)
    if still is not None:
        yield "update", still
    if found["update"].status == "differs":
        yield from (("update", v) for v in verdicts.two_biases(both))
    yield from (("update", v) for v in verdicts.by_facets("update", a, b))
    decay = verdicts.decay(a, b)
    if decay is not None:
        in_loss = a.facet("loss", "penalty", 0.0) != b.facet("loss", "penalty", 0.0)
        in_gradients = a.facet("gradients", "penalty", 0.0) != b.facet("gradients", "penalty", 0.0)
        yield "loss" if in_loss else "gradients" if in_gradients else "update", decay
    yield from (("state", v) for v in verdicts.by_facets("state", a, b))
    yield from (("evaluation", v) for v in verdicts.by_facets("evaluation", a, b))
