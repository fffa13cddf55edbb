"""Verdicts on each stage: in which facets two sides differ, and how well that explains it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from core.study.compare import fit_initial, formats, words
from core.study.compare.fit_inputs import Affine, Batches
from core.study.compare.fit_outputs import keep_share
from core.study.compare.matching import match
from core.study.compare.pieces import Candidate, Fit, Parting, alike, parted
from core.study.compare.recording import Array, Recording
from core.study.compare.report import STANDARD_ERRORS, Verdict
from core.study.compare.report import Side as Which
from core.study.compare.sides import Side
from core.study.compare.stages import Both

_DECAY = ("decay_form", "decay_of", "decay", "penalty", "penalty_of")
_CLIP = ("clip", "most")
_L2 = "keras.regularizers.L2({})"
# Once the rule itself is another, its numbers mean other things.
_OF_RULE = ("form", "rate", "beta", "beta_2", "epsilon", "start")


def by_facets(stage: str, a: Side, b: Side) -> Iterator[Verdict]:
    """Yield a verdict for each facet in which the explanations of a stage differ."""
    parting = parted(a.fits[stage], b.fits[stage])
    if parting is None:
        return
    facets = [f for f in parting.facets if f not in (*_DECAY, *_CLIP)]
    if "rule" in facets:
        facets = [f for f in facets if f not in _OF_RULE]
    if "loss" in facets or "wiring" in facets:
        facets = [f for f in facets if f != "loss_epsilon"]
    if "wiring" in facets:
        facets = [f for f in facets if f != "loss"]
    for facet in facets:
        yield _of_facet(stage, facet, parting, a, b)
    if any(f in _CLIP for f in parting.facets):
        yield _clipping(stage, parting, a, b)


def _of_facet(stage: str, facet: str, parting: Parting, a: Side, b: Side) -> Verdict:
    x, y = parting.a.facets, parting.b.facets
    cause = words.cause_of(facet, x, y)
    side = _whose(cause.wrong(x.get(facet)), cause.wrong(y.get(facet)))
    sentence = cause.sentence(x.get(facet), y.get(facet)) + _alternatives(stage, facet, parting, b)
    target, other = ("a", y) if side == "a" else ("b", x)
    framework = (a if target == "a" else b).recording.framework
    ours, fit = (parting.a, a.fits[stage]) if target == "a" else (parting.b, b.fits[stage])
    tried = fit.judge({**ours.facets, facet: other[facet]}) if facet in other else None
    if tried is None:  # the rest of the explanation means nothing with the other's value
        alike_it = [c for c in fit.tried if alike(c.facets.get(facet), other.get(facet))]
        tried = min(alike_it, key=lambda c: c.residual, default=None)
    return Verdict(
        side,
        cause.key,
        sentence,
        ours.residual,
        f"{words.told(facet, other)} as in {'b' if target == 'a' else 'a'}" if tried else "",
        tried.residual if tried else None,
        words.write(
            cause,
            "" if other.get(facet) == "outputs" else framework,  # none has a name for that mean
            target,
            _in_words(other.get(facet)),
        ),
    )


def _in_words(value: Any) -> Any:
    if value == "outputs":
        return "mean over examples and outputs"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _whose(a: bool, b: bool) -> Which:
    return "a" if a and not b else "b" if b and not a else "both"


def _alternatives(stage: str, facet: str, parting: Parting, b: Side) -> str:
    """What else fits as well: other values of the facet, or other facets."""
    here = parting.b.facets
    others = {words.number(c.facets[facet]) for c in b.fits[stage].found
              if facet in c.facets and not alike(c.facets[facet], here.get(facet))
              and all(alike(c.facets.get(k), v) for k, v in here.items()
                      if k != facet)}  # fmt: skip
    text = f" In b {' or '.join(sorted(others))} fits as well." if others else ""
    if parting.instead:
        named = {words.cause_of(f, parting.a.facets, parting.b.facets).key
                 for facets in parting.instead for f in facets
                 if f in words.CAUSES and f not in parting.facets}  # fmt: skip
        text += f" {' or '.join(sorted(named))} would explain it as well." if named else ""
    return text


def _clipping(stage: str, parting: Parting, a: Side, b: Side) -> Verdict:
    x, y = parting.a.facets, parting.b.facets

    def told(f: Any) -> str:
        return f"{f['clip']}, to a norm of {words.number(f['most'])}" if f.get("clip") else "off"

    code = {"all together": ("torch.nn.utils.clip_grad_norm_(model.parameters(), {most})",
                             "global_clipnorm={most}"),
            "each by itself": ("for p in model.parameters(): "
                               "torch.nn.utils.clip_grad_norm_(p, {most})", "clipnorm={most}"),
            "": ("leave the gradients unclipped", "leave the gradients unclipped")}  # fmt: skip
    pair = code[x.get("clip") or ""]
    line = pair[0 if "torch" in b.recording.framework.lower() else 1]
    without = b.fits[stage].judge({**y, "clip": x.get("clip", ""), "most": x.get("most", 0.0)})
    return Verdict(
        "both",
        "clipping",
        f"Gradients are clipped: {told(x)} in a; {told(y)} in b.",
        parting.b.residual,
        "the clipping of a" if without else "",
        without.residual if without else None,
        "# in b:\n" + line.format(most=words.number(x.get("most", 0.0))),
    )


# Decay, which may be in the loss, in the gradient or in the step


def _decay(side: Side, update: Candidate | None) -> tuple[float, float, str]:
    """(coupled, decoupled, of which parameters) decay, wherever it is: lambda in lambda w."""
    facets = update.facets if update else {}
    penalty = side.facet("gradients", "penalty", 0.0) or side.facet("loss", "penalty", 0.0)
    of = side.facet("gradients", "penalty_of", "") or ("kernels" if penalty else "")
    coupled = 2 * penalty
    decoupled = 0.0
    plain = facets.get("rule") == "SGD"  # where the two forms are the same
    if facets.get("decay_form") == "coupled" or (plain and facets.get("decay")):
        coupled, of = coupled + facets["decay"], facets["decay_of"]
    elif facets.get("decay_form") == "decoupled":
        decoupled, of = facets["decay"], facets["decay_of"]
    return coupled, decoupled, of


def decay(a: Side, b: Side) -> Verdict | None:
    """Return the verdict on weight decay, whether it is in the loss, the gradient or the step."""
    parting = parted(a.fits["update"], b.fits["update"])
    x, y = (_decay(a, parting.a if parting else a.found("update")),
            _decay(b, parting.b if parting else b.found("update")))  # fmt: skip
    if all(abs(p - q) <= 0.02 * max(p, q) for p, q in zip(x[:2], y[:2], strict=True)):
        return None
    told = [_decay_told(v) for v in (x, y)]
    sentence = f"Weights decay {told[0]} in a and {told[1]} in b."
    totals = [v[0] + v[1] for v in (x, y)]
    key = "weight_decay"
    if all(totals) and bool(x[1]) != bool(y[1]):
        key = "decay_form"
        sentence += " Only a coupled decay is scaled as the gradient is."
    elif all(totals) and any(abs(totals[i] / totals[1 - i] - 2) < 0.04 for i in (0, 1)):
        key = "l2_factor_two"
        sentence += " A penalty c times the squared weights is a decay of 2c."
    fit, found = b.fits["update"], (parting.b if parting else b.found("update"))
    without = None
    if found is not None:
        keep = {k: v for k, v in found.facets.items() if k not in _DECAY}
        ours = (parting.a if parting else a.found("update") or found).facets
        without = fit.judge({**keep, **{k: ours[k] for k in _DECAY if k in ours}})
    if found is not None and found.facets.get("rule") in ("SGD",) and found.facets.get("decay"):
        sentence += " In plain SGD, coupled and decoupled decay are the same."
    return Verdict(
        "both", key, sentence,
        found.residual if found else None,
        "the decay of a's steps" if without else "",
        without.residual if without else None,
        _decay_write(x, b.recording.framework),
    )  # fmt: skip


def _decay_told(v: tuple[float, float, str]) -> str:
    if v[0] + v[1] == 0:
        return "by nothing that can be told from rounding"
    form = "in the gradient" if v[0] else "apart from the gradient"
    return f"by {words.number(v[0] + v[1])} {form} ({v[2] or 'all'})"


def _decay_write(wanted: tuple[float, float, str], framework: str) -> str:
    coupled, decoupled, _ = wanted
    torch = "torch" in framework.lower()
    if decoupled:
        line = f"torch.optim.AdamW(..., weight_decay={words.number(decoupled)})" if torch \
            else f"weight_decay={words.number(decoupled)}"  # fmt: skip
    elif coupled:
        line = f"weight_decay={words.number(coupled)}  # not in AdamW" if torch \
            else f"kernel_regularizer={_L2.format(words.number(coupled / 2))}"  # fmt: skip
    else:
        line = "weight_decay=0, and no regularizer"
    return f"# in b:\n{line}"


def frozen(both: Both, a: Side, b: Side) -> Verdict | None:
    """Return the verdict on parameters that only one side moves."""
    names = {pair.b: pair.a for pair in both.matching.pairs}
    still = [{n: side.recording.params(0)[n] for n in side.frozen} for side in (a, b)]
    cut_a, cut_b = (each.of(v) for each, v in zip(both.matching.parts, still, strict=True))
    ours, theirs = {*cut_a}, {names.get(name, name) for name in cut_b}
    if ours == theirs:
        return None
    side: Which = "b" if theirs - ours else "a"
    return _frozen(side, sorted(theirs - ours or ours - theirs), a if side == "a" else b,
                   "although there is a gradient")  # fmt: skip


def _frozen(which: str, names: Iterable[str], side: Side, why: str) -> Verdict:
    told = ", ".join(names)
    torch = "torch" in side.recording.framework.lower()
    line = "parameter.requires_grad = True  # and pass it to the optimizer" if torch \
        else "layer.trainable = True"  # fmt: skip
    return Verdict(which, "frozen", f"No step moves {told} in {which}, {why}.",  # type: ignore[arg-type]
                   0.0, write=f"# in {which}:\n{line}")  # fmt: skip


def two_biases(both: Both) -> Iterator[Verdict]:
    """Yield a verdict on biases that one side has once and the other twice, and adds up."""
    for side, recording, each in zip("ab", (both.a, both.b), both.matching.parts, strict=True):
        if each.sums:
            torch = "torch" in recording.framework.lower()
            line = "module.bias_hh_l0.requires_grad_(False)  # after it was added to bias_ih_l0" \
                if torch else "train one of the two, and add the other to it first"  # fmt: skip
            told = ", ".join(f"{x} and {y}" for x, y in each.sums)
            yield Verdict(side, "two_biases", f"{told} of {side} are added up where the other has "  # type: ignore[arg-type]
                          "one bias. A step moves each of them, so that their sum moves twice as "
                          "far.", write=f"# in {side}:\n{line}")  # fmt: skip


def _is_state(owner: Mapping[str, Array], other: Recording, names: Iterable[str]) -> bool:
    """Whether parameters of one recording are, with the same numbers, state of the other."""
    ours = {name: owner[name] for name in names}
    pairs = match(ours, other.state(0)).pairs
    return len(pairs) == len(ours) and all(pair.exact for pair in pairs)


# Inputs


def batch(found: Batches, a: Side, b: Side) -> Iterator[Verdict]:
    """Yield verdicts on how b's batches come from a's."""
    if found.affine is not None:
        yield _scaled(found.affine)
    if found.label_shift:
        yield Verdict("b", "labels_shifted", f"The labels of b are those of a plus "
                      f"{found.label_shift}.", 0.0,
                      write=f"# in b:\nlabels = labels - {found.label_shift}"
                      .replace("- -", "+ "))  # fmt: skip
    if found.labels_reversed:
        yield Verdict("both", "labels_shifted", "The labels 0 and 1 are swapped.", 0.0,
                      write="# in b:\nlabels = 1 - labels")  # fmt: skip
    if found.labels_apart:
        yield Verdict("both", "labels_differ", "The same examples have other labels, and no shift "
                      "or swap makes them the same.")  # fmt: skip
    if not found.order:
        return
    if found.order == "within":
        yield Verdict("both", "batch_order", "Each batch has the same examples in another order. "
                      "Gradients differ by rounding only, but for batch norm and dropout.", 0.0,
                      write="# in b:\nuse the order of a within each batch")  # fmt: skip
    elif found.sorted_a != found.sorted_b:
        side: Which = "a" if found.sorted_a else "b"
        yield Verdict(side, "no_shuffling", f"The batches of {side} are in the order of the file.",
                      write=f"# in {side}:\nshuffle the examples before each epoch")  # fmt: skip
    else:
        yield Verdict("both", "other_batch", f"The batches hold other examples: in all steps "
                      f"recorded, {found.shared:.0%} of a's examples are in b's, too.",
                      write="# in both, while you record:\nshuffle=False")  # fmt: skip


def _scaled(affine: Affine) -> Verdict:
    s, t = affine.scale, affine.shift
    each = ", each feature by numbers of its own" if affine.each else ""
    left = None if np.isnan(affine.residual) else affine.residual
    if abs(t) <= 1e-4 * max(abs(s), 1) and not affine.each:
        usual = next((n for n in (255.0, 256.0) for r in (n, 1 / n) if abs(s / r - 1) < 0.01), 0.0)
        told = f" {usual:.0f} is the number of levels of a pixel." if usual else ""
        return Verdict("both", "input_scale", f"The inputs of b are {words.number(s)} times those "
                       f"of a.{told}", left, "a scale of 1", abs(1 - 1 / s) if s else None,
                       f"# in b:\ninputs = inputs / {words.number(s)}")  # fmt: skip
    return Verdict("both", "input_standardised", f"The inputs of b are those of a times "
                   f"{words.number(s)} plus {words.number(t)}{each}.", left, "no shift",
                   abs(t / s) if s else None,
                   f"# in b:\ninputs = (inputs - {words.number(t)}) / "
                   f"{words.number(s)}")  # fmt: skip


# First weights


def initial(both: Both, a: Side, b: Side) -> Iterator[Verdict]:
    """Yield verdicts on first weights that are not the same."""
    only = both.matching.only_a, both.matching.only_b
    own = [cut.of(r.params(0)) for cut, r in
           zip(both.matching.parts, (both.a, both.b), strict=True)]  # fmt: skip
    still = [_is_state(params, other, names) for params, other, names in
             zip(own, (both.b, both.a), only, strict=True)]  # fmt: skip
    if any(only) and all(still):
        for side, names in zip("ba", only, strict=True):
            if names:
                yield _frozen(side, names, (a if side == "a" else b), "its program does not "
                              "train it")  # fmt: skip
        return
    if any(only):
        told = " and ".join(f"only {side} has {', '.join(names[:6])}"
                            for side, names in zip("ab", only, strict=True) if names)  # fmt: skip
        yield Verdict("both", "other_parameters", f"The networks are not the same: {told}.",
                      write="# in b:\nbuild the layers of a")  # fmt: skip
        return
    apart = {"weights": False, "biases": False}
    scales, formats_of = [], []
    for name, x, y in both.group(0, "params"):
        n = formats.difference(name, 0, x, y, 4 * formats.epsilon(x, y))
        if not n.relative <= n.tolerance:
            apart["weights" if x.ndim > 1 else "biases"] = True
            scales.append(_scale(x, y))
            formats_of.append(_rounded(x, y))
    if not any(apart.values()):
        return
    if all(formats_of):
        side, name, left = formats_of[0]  # type: ignore[misc]
        yield Verdict(side, "number_format", f"The weights of {side} are those of the other, "
                      f"rounded to {name}.", left,
                      write=f"# in {side}:\nkeep weights in float32")  # fmt: skip
        return
    exact = [s for s in scales if s is not None]
    if len(exact) == len(scales) and np.ptp([s for s, _ in exact]) < 1e-4 * abs(exact[0][0]):
        yield Verdict("both", "initial_scale", f"The first weights of b are "
                      f"{words.number(exact[0][0])} times those of a.", exact[0][1],
                      write="# in b:\ndivide the first weights by "
                      f"{words.number(exact[0][0])}")  # fmt: skip
        return
    yield from _drawn(apart, a, b)


def _drawn(apart: dict[str, bool], a: Side, b: Side) -> Iterator[Verdict]:
    """Verdicts on weights that were drawn: from another distribution, or only from another seed."""
    told = False
    for kind in ("weights", "biases"):
        if not apart[kind]:
            continue
        parting = parted(a.fits[kind], b.fits[kind])
        if parting is not None:
            yield replace(_of_facet(kind, kind, parting, a, b), unit=STANDARD_ERRORS)
            told = True
        elif kind == "weights" and not (a.fits[kind].found and b.fits[kind].found):
            spread = _spreads(a, b)
            if spread is not None:
                yield spread
                told = True
    if not told:
        yield Verdict("both", "another_seed", "The first weights are drawn alike, but are other "
                      "numbers.", write="# in b:\nload the first weights of a")  # fmt: skip


def _spreads(a: Side, b: Side) -> Verdict | None:
    """A verdict on spreads that differ, where no initialiser is known for one of them."""
    x, y = (list(fit_initial.kernels(side.recording).values()) for side in (a, b))
    if len(x) != len(y):
        return None
    ratios = [float(np.std(q) / np.std(p)) for p, q in zip(x, y, strict=True) if np.std(p) > 0]
    error = max(3 / np.sqrt(min(p.size for p in x)), 0.02) if x else 1.0
    if not ratios or all(abs(r - 1) < error for r in ratios):
        return None
    known = [words.number(side.facet("weights", "weights", "no initialiser that is known"))
             for side in (a, b)]  # fmt: skip
    return Verdict("both", "initial_scale", f"The first weights of b are spread "
                   f"{words.number(ratios[0])} times as wide as those of a; a looks like "
                   f"{known[0]}, b like {known[1]}.",
                   write=f"# in b:\ndraw weights from {known[0]}")  # fmt: skip


def _scale(x: Array, y: Array) -> tuple[float, float] | None:
    """b's array as a number times a's, and what that leaves; None if it is none."""
    p, q = formats.wide(x).reshape(-1), formats.wide(y).reshape(-1)
    size = float(p @ p)
    s = float(p @ q) / size if size > 0 else 0.0
    left = float(np.max(np.abs(q - s * p), initial=0.0)) / max(float(np.max(np.abs(q))), 1e-30)
    return (s, left) if s and left < 1e-5 else None


def _rounded(x: Array, y: Array) -> tuple[Which, str, float] | None:
    for side, p, q in (("b", x, y), ("a", y, x)):
        for name in formats.HALF_FORMATS:
            if formats.representable(q, name):
                gap = np.max(np.abs(formats.rounded(formats.wide(p), name) - formats.wide(q)))
                if gap == 0:
                    return side, name, 0.0  # type: ignore[return-value]
    return None


def masks(both: Both, a: Side, b: Side) -> Iterator[Verdict]:
    """Yield a verdict on masks: another share is kept, or other units."""
    x, y = keep_share(a.recording), keep_share(b.recording)
    if x is None or y is None:
        return
    count = min(sum(m.size for m in side.recording.masks(0).values()) for side in (a, b))
    if abs(x - y) > 6 * float(np.sqrt(0.25 / count)):
        keep = [round(v * 20) / 20 for v in (x, y)]
        cause = words.dropout(keep[0], keep[1])
        yield Verdict("both", cause.key, cause.sentence(None, None), abs(y - keep[1]), "a's share",
                      abs(y - keep[0]),
                      words.write(cause, b.recording.framework, "b", None))  # fmt: skip
        return
    theirs = map(both.matching.units, b.recording.masks(0).values())
    pairs = zip(a.recording.masks(0).values(), theirs, strict=False)
    if any(p.shape != q.shape or np.any((p != 0) != (q != 0)) for p, q in pairs):
        yield Verdict("both", "dropout_masks", "Dropout keeps the same share, but other units.",
                      write="# in both:\ncompare with dropout off")  # fmt: skip


def unexplained(fit_a: Fit, fit_b: Fit) -> Verdict:
    """Return the verdict that no piece fits, with what came closest."""
    if not fit_a.tried or not fit_b.tried:
        return Verdict("both", "unexplained", "No piece fits: there is too little recorded, or the "
                       "layers cannot be computed again, to try any on both sides.")  # fmt: skip
    side: Which = "b" if not fit_b.found else "a" if not fit_a.found else "both"
    best = (fit_a if side == "a" else fit_b).best
    assert best is not None
    told = ", ".join(
        f"{k} {words.number(v)}" for k, v in best.facets.items() if v not in ("", None)
    )
    if side == "both":
        return Verdict(side, "unexplained", "Each side does what its own numbers say, in the same "
                       f"way as far as can be told ({told}).", best.residual)  # fmt: skip
    return Verdict(side, "unexplained", f"No piece fits in {side}; what comes closest is {told}.",
                   best.residual)  # fmt: skip
