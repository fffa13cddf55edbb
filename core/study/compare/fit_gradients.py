"""What the recorded gradients are made of, where a plain network's can be computed again.

They may hold those of earlier steps (not zeroed), the slope 2 c w of a penalty, a clip, a factor.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from core.study.compare import formats
from core.study.compare.fit_loss import BEHIND, slopes
from core.study.compare.fit_outputs import Network
from core.study.compare.network import backward
from core.study.compare.pieces import Candidate, Facets, Fit, plainest
from core.study.compare.recording import Array, Recording

if TYPE_CHECKING:
    from core.study.compare.sides import Side

_STEPS = 6
Gradients = list[dict[str, Array]]


def fit_gradients(recording: Recording, network: Network | None, loss: Facets | None) -> Fit:
    """Fit the gradients of the first steps; `loss` gives those of the outputs if not recorded."""
    if network is None:
        return Fit()
    plain = list(_computed(recording, network, loss))
    recorded = [{n: formats.wide(g) for n, g in recording.grads(k).items() if n in plain[k]}
                for k in range(len(plain))]  # fmt: skip
    fitting = all(g.shape == plain[k][n].shape for k, each in enumerate(recorded)
                  for n, g in each.items())  # fmt: skip
    if not plain or not all(recorded) or not fitting:
        return Fit()
    weights = [{n: formats.wide(w) for n, w in recording.params(k).items()}
               for k in range(len(plain))]  # fmt: skip
    eps = formats.epsilon(*recording.grads(0).values())
    allowed = 2.0**-6 if network.options.arithmetic else formats.tolerance(eps, 512)

    def judge(facets: Facets) -> Candidate | None:
        if "summed" not in facets:
            return None
        made = _made(plain, weights, facets)
        complexity = sum(bool(v) for k, v in facets.items() if k in ("summed", "penalty", "clip"))
        complexity += int(facets["factor"] != 1)
        return Candidate(facets, _left(recorded, made), allowed, complexity)

    each = (judge(facets) for facets in _candidates(plain, recorded, weights))
    return Fit(plainest(c for c in each if c is not None), judge)


def _computed(
    recording: Recording, network: Network, loss: Facets | None
) -> Iterator[dict[str, Array]]:
    fitted, options = [], network.options
    if loss is not None:
        fitted = slopes(recording, loss, options.last != "raw", network.logits)
        if loss["wiring"] == BEHIND:
            options = replace(options, last="raw")  # the slopes are those of the logits
    for k in range(min(recording.steps, _STEPS)):
        trace, slope = network.trace(k), recording.one(k, "outputs_grad")
        if slope is None and k < len(fitted):
            slope = fitted[k]
        if trace is None or slope is None or slope.size != trace.outputs.size:
            return
        params = recording.params(k)
        yield backward(network.layers, params, trace, slope, options)


def _facets(summed: bool = False, penalty: float = 0.0, of: str = "", clip: str = "",
            most: float = 0.0, factor: float = 1.0) -> Facets:  # fmt: skip
    return {"summed": summed, "penalty": penalty, "penalty_of": of, "clip": clip, "most": most,
            "factor": factor}  # fmt: skip


def _candidates(plain: Gradients, recorded: Gradients, weights: Gradients) -> Iterator[Facets]:
    yield _facets()
    if len(plain) > 1:
        yield _facets(summed=True)
    for of in ("kernels", "all"):
        penalty = _slope(recorded[0], plain[0], weights[0], of) / 2
        for digits in (1, 2, 3):
            yield _facets(penalty=formats.snapped(penalty, digits), of=of)
            if len(plain) > 1:
                yield _facets(summed=True, penalty=formats.snapped(penalty, digits), of=of)
    yield _facets(clip="all together", most=formats.snapped(_norm(recorded[0].values()), 3))
    norms = [_norm([g]) for g in recorded[0].values()]
    yield _facets(clip="each by itself", most=formats.snapped(max(norms), 3))
    size = sum(float(np.sum(g * g)) for g in plain[0].values())
    along = sum(float(np.sum(g * recorded[0][n])) for n, g in plain[0].items() if n in recorded[0])
    if size > 0:
        yield _facets(factor=formats.snapped(along / size, 3))


def _slope(
    recorded: Mapping[str, Array], plain: Mapping[str, Array], w: Mapping[str, Array], of: str
) -> float:
    """The part of a gradient along the weights that the network does not explain."""
    names = [n for n in recorded if w[n].ndim > 1 or of == "all"]
    size = sum(float(np.sum(w[n] ** 2)) for n in names)
    along = sum(float(np.sum((recorded[n] - plain[n]) * w[n])) for n in names)
    return along / size if size > 0 else 0.0


def _norm(arrays: Iterable[Array]) -> float:
    return float(np.sqrt(sum(float(np.sum(g * g)) for g in arrays)))


def _made(plain: Gradients, weights: Gradients, facets: Facets) -> Gradients:
    """The gradients that facets make of the network's own."""
    total: dict[str, Array] = {}
    made = []
    for g, w in zip(plain, weights, strict=True):
        now = dict(g)
        if facets["penalty"]:
            of_all = facets["penalty_of"] == "all"
            now = {n: v + 2 * facets["penalty"] * w[n] if of_all or w[n].ndim > 1 else v
                   for n, v in now.items()}  # fmt: skip
        if facets["summed"]:
            now = {n: v + total.get(n, 0.0) for n, v in now.items()}
            total = now
        if facets["clip"]:
            whole = _norm(now.values())
            each = facets["clip"] == "each by itself"
            now = {n: v * min(1.0, facets["most"] / max(_norm([v]) if each else whole, 1e-300))
                   for n, v in now.items()}  # fmt: skip
        made.append({n: v * facets["factor"] for n, v in now.items()})
    return made


def _left(recorded: Gradients, made: Gradients) -> float:
    """The largest deviation, relative to the largest number of its array, or a share of all."""
    worst = 0.0
    for ours, theirs in zip(recorded, made, strict=True):
        scale = 0.05 * max(float(np.max(np.abs(g), initial=0.0)) for g in ours.values())
        for name, g in ours.items():
            size = max(float(np.max(np.abs(g), initial=0.0)), scale, 1e-300)
            gap = float(np.max(np.abs(g - theirs[name]), initial=0.0)) / size
            worst = max(worst, gap if gap == gap else np.inf)
    return worst


def as_clipped(ours: "Side", theirs: "Side") -> Recording | None:
    """Return our recording with gradients as its optimizer clips them.

    None unless our steps and their gradients tell of the same clip: a recorder may see gradients
    before it or after it.
    """
    clip, fit = theirs.found("gradients"), ours.fits["update"]
    kind = clip.facets["clip"] if clip else ""
    if clip is None or not kind:
        return None
    most = clip.facets["most"]  # where all steps are clipped, ours is only known times the rate
    alike = ({**c.facets, "most": most, "rate": c.facets["rate"] * c.facets["most"] / most}
             for c in fit.found if c.facets.get("clip") == kind)  # fmt: skip
    if not any(judged and judged.fits for judged in map(fit.judge, alike)):
        return None
    tensors = dict(ours.recording.tensors)
    for k in range(ours.recording.steps):
        grads = ours.recording.grads(k)
        whole = _norm(formats.wide(g) for g in grads.values())
        for name, g in grads.items():
            norm = whole if kind == "all together" else _norm([formats.wide(g)])
            share = min(1.0, most / max(norm, 1e-300))
            tensors[f"step/{k}/grads/{name}"] = (formats.wide(g) * share).astype(g.dtype)
    return replace(ours.recording, tensors=tensors)
