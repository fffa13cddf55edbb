"""Which activation, batch norm, dropout and number format give the recorded outputs.

Only for plain networks of dense layers, whose outputs can be computed again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from core.study.compare import formats
from core.study.compare.activations import FUNCTIONS
from core.study.compare.network import Layer, Options, Trace, forward, networks
from core.study.compare.pieces import Candidate, Facets, Fit, plainest
from core.study.compare.recording import Array, Recording
from core.study.compare.stages import gives_shares

NORM_EPSILONS = (1e-3, 1e-5, 1e-4, 1e-6, 1e-2, 1e-8, 0.0)
_ARITHMETICS = ("bfloat16", "float16", "tf32")


@dataclass(frozen=True)
class Network:
    """The network found in a recording, and what it does."""

    recording: Recording
    layers: tuple[Layer, ...]
    options: Options

    def trace(self, step: int) -> Trace | None:
        """Compute a step's pass again; None if something of it is not recorded."""
        r, x = self.recording, self.recording.inputs(step)
        if x is None or not x.size:
            return None
        try:
            return forward(
                self.layers, r.params(step), x, self.options, r.state(step), r.masks(step)
            )
        except (KeyError, ValueError):
            return None

    def logits(self, step: int) -> Array | None:
        """Compute the sums of a step's last layer again, whatever the outputs make of them."""
        trace = self.trace(step)
        return None if trace is None else trace.sums[-1]


def fit_outputs(recording: Recording) -> tuple[Fit, Network | None]:
    """Fit the outputs of the first step, and return the network that gives them."""
    recorded, x = recording.one(0, "outputs"), recording.inputs(0)
    if recorded is None or x is None or not recorded.size:
        return Fit(), None
    for layers in networks(recording):
        fit = Fit(_tried(recording, layers))
        full = formats.epsilon(recorded) < 1e-4  # in fewer bits, full precision fits, too
        best = fit.best
        if best is not None and best.residual < 0.05 and not (fit.found and full):
            exact = _in_fewer_bits(recording, layers, fit)
            if exact:
                last = _last(recording, layers, exact[0].facets)
                network = Network(recording, layers, _read(exact[0].facets, last))
                fit = Fit((*exact, *(c for c in fit.tried if not c.fits)))
                return _with_judge(fit, recording, layers), network
        if fit.found:
            options = _read(fit.found[0].facets, _last(recording, layers, fit.found[0].facets))
            return _with_judge(fit, recording, layers), Network(recording, layers, options)
        return _with_judge(fit, recording, layers), None
    return Fit(), None


def _tried(recording: Recording, layers: tuple[Layer, ...]) -> tuple[Candidate, ...]:
    """All activations, with one epsilon of batch norm; and then the nearest of them with all."""
    last = {}
    for options in _options(recording, layers):
        found = _judged(recording, layers, options)
        if found is not None:
            last[options] = found
    near = sorted(last, key=lambda options: last[options].residual)[:4]
    for options in near if near and near[0].norm else ():
        for e in NORM_EPSILONS[1:]:
            found = _judged(recording, layers, replace(options, norm_epsilon=e))
            if found is not None:
                last[replace(options, norm_epsilon=e)] = found
    return plainest(last.values())


def keep_share(recording: Recording, step: int = 0) -> float | None:
    """Return the share of units that a step's masks keep."""
    kept = [np.count_nonzero(m) for m in recording.masks(step).values()]
    sizes = [m.size for m in recording.masks(step).values()]
    return sum(kept) / sum(sizes) if sizes and sum(sizes) else None


def _with_judge(fit: Fit, recording: Recording, layers: tuple[Layer, ...]) -> Fit:
    def judge(facets: Facets) -> Candidate | None:
        each = (_judged(recording, layers, _read(facets, last)) for last in _lasts(recording))
        found = next(iter(plainest(c for c in each if c)), None) if "activation" in facets else None
        if found and fit.found and facets["arithmetic"] != fit.found[0].facets["arithmetic"]:
            return replace(found, tolerance=0.0)  # a format of few bits would allow for anything
        return found

    return Fit(fit.tried, judge) if fit.tried else fit


def _last(recording: Recording, layers: tuple[Layer, ...], facets: Facets) -> str:
    """What the outputs are: sums, or probabilities of them."""

    def left(last: str) -> float:
        judged = _judged(recording, layers, _read(facets, last))
        return judged.residual if judged else np.inf

    return min(_lasts(recording), key=left)


def _options(recording: Recording, layers: tuple[Layer, ...]) -> Iterator[Options]:
    hidden = len(layers) > 1
    norm = any(layer.gamma for layer in layers)
    masked = any(layer.mask for layer in layers)
    for activation in FUNCTIONS if hidden else ("linear",):
        for last in _lasts(recording):
            plain = Options(activation=activation, last=last)
            normed = (
                [
                    replace(plain, norm=n, norm_epsilon=NORM_EPSILONS[0])
                    for n in ("batch", "running")
                ]
                if norm
                else [plain]
            )
            for each in normed:
                yield from (replace(each, scale=s) for s in _scales(recording, masked))


def _lasts(recording: Recording) -> tuple[str, ...]:
    out = recording.one(0, "outputs")
    if out is None or not gives_shares(recording):
        return ("raw",)
    if out.ndim > 1 and out.shape[-1] > 1 and np.allclose(formats.wide(out).sum(-1), 1, atol=1e-2):
        return ("softmax",)
    return ("raw", "sigmoid")


def _scales(recording: Recording, masked: bool) -> tuple[float | None, ...]:
    """What masks may be multiplied by: 1/keep of all keep that their share allows, or nothing."""
    share = keep_share(recording)
    if not masked or share is None:
        return (None,)
    largest = max(float(np.max(formats.wide(m))) for m in recording.masks(0).values())
    if largest != 1:
        return (1.0,)
    count = sum(m.size for m in recording.masks(0).values())
    spread = 5 * np.sqrt(0.25 / count) + 1e-3
    near = [k / 20 for k in range(1, 20) if abs(k / 20 - share) < spread]
    return (*(1 / keep for keep in near), 1.0, None)


def _judged(recording: Recording, layers: tuple[Layer, ...], options: Options) -> Candidate | None:
    recorded, x = recording.one(0, "outputs"), recording.inputs(0)
    assert recorded is not None and x is not None
    try:
        out = forward(layers, recording.params(0), x, options, recording.state(0),
                      recording.masks(0)).outputs  # fmt: skip
    except (KeyError, ValueError):
        return None
    if out.size != recorded.size:
        return None
    eps = formats.epsilon(recorded)
    allowed = formats.tolerance(eps, 128)
    if options.arithmetic:
        allowed = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "tf32": 2.0**-14}[options.arithmetic]
    n = formats.difference("outputs", 0, recorded, out.reshape(recorded.shape), allowed)
    return Candidate(_facets(options), n.relative, allowed, int(options.arithmetic != ""))


def _in_fewer_bits(
    recording: Recording, layers: tuple[Layer, ...], fit: Fit
) -> tuple[Candidate, ...]:
    """The networks in a format of fewer bits that give the outputs, if their numbers show it."""
    recorded, best = recording.one(0, "outputs"), fit.tried[0]
    assert recorded is not None
    near = [c for c in fit.tried if c.residual < 8 * best.residual]
    for name in _ARITHMETICS:
        each = (
            _judged(recording, layers, replace(_read(c.facets, last), arithmetic=name))
            for c in near
            for last in _lasts(recording)
        )
        found = plainest(candidate for candidate in each if candidate and candidate.fits)
        told = name in formats.HALF_FORMATS and formats.representable(recorded, name)
        if found and (told or found[0].residual < 0.1 * best.residual):
            return found
    return ()


def _facets(options: Options) -> Facets:
    facets = {"activation": options.activation}
    if options.norm:
        facets |= {"norm": options.norm, "norm_epsilon": options.norm_epsilon}  # type: ignore[dict-item]
    if options.scale is not None:
        facets["mask_scale"] = options.scale  # type: ignore[assignment]
    return {**facets, "arithmetic": options.arithmetic}


def _read(facets: Facets, last: str) -> Options:
    return Options(
        activation=facets["activation"],
        last=last,
        norm=facets.get("norm", ""),
        norm_epsilon=facets.get("norm_epsilon", 1e-5),
        scale=facets.get("mask_scale"),
        arithmetic=facets["arithmetic"],
    )
