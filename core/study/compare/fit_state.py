"""How running means are kept, and what a network does at evaluation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from core.study.compare import formats
from core.study.compare.fit_outputs import Network, keep_share
from core.study.compare.network import Options, Trace, forward
from core.study.compare.pieces import Candidate, Facets, Fit, plainest
from core.study.compare.recording import Array, Recording


def fit_state(recording: Recording, network: Network | None) -> Fit:
    """Fit m in running <- m running + (1 - m) of the batch, and how the variance is divided."""
    if network is None or network.options.norm != "batch":
        return Fit()
    moves = list(_moves(recording, network))
    if not moves:
        return Fit()
    means = [(old, new, seen) for kind, old, new, seen, _ in moves if kind == "mean"]
    gap = np.concatenate([seen - old for old, _, seen in means]) if means else np.zeros(0)
    moved = np.concatenate([new - old for old, new, _ in means]) if means else np.zeros(0)
    if not float(gap @ gap):
        return Fit()
    share = float(gap @ moved) / float(gap @ gap)

    def judge(facets: Facets) -> Candidate | None:
        if "norm_momentum" not in facets:
            return None
        m = facets["norm_momentum"]
        worst, allowed = 0.0, 0.0
        for kind, old, new, seen, n in moves:
            unbiased = kind == "variance" and facets["variance"] == "unbiased" and n > 1
            wanted = m * old + (1 - m) * seen * (n / (n - 1) if unbiased else 1)
            size = max(float(np.max(np.abs(new))), 1e-30)
            worst = max(worst, float(np.max(np.abs(new - wanted))) / size)
        allowed = formats.tolerance(formats.epsilon(*recording.state(0).values()), 64)
        return Candidate(facets, worst, allowed)

    tried = [judge({"norm_momentum": 1 - formats.snapped(share, digits), "variance": variance})
             for variance in ("biased", "unbiased") for digits in (1, 2, 3)]  # fmt: skip
    return Fit(plainest(c for c in tried if c is not None), judge)


def _moves(
    recording: Recording, network: Network
) -> Iterator[tuple[str, Array, Array, Array, int]]:
    """(mean or variance, before, after, of the batch, examples) of each batch norm and step."""
    for k in range(min(recording.steps, 4)):
        before, after = recording.state(k), recording.state(k + 1)
        trace = network.trace(k)
        if trace is None:
            return
        for layer, s in zip(network.layers, trace.sums, strict=True):
            for kind, name, seen in (("mean", layer.mean, s.mean(0)),
                                     ("variance", layer.variance, s.var(0))):  # fmt: skip
                if name not in before or name not in after:
                    continue
                old, new = formats.wide(before[name]), formats.wide(after[name])
                if old.shape == new.shape == seen.shape:
                    yield kind, old, new, seen, len(s)


def fit_evaluation(recording: Recording, network: Network | None) -> Fit:
    """Fit the outputs at evaluation: with whose averages, and with dropout off or on."""
    out, x = recording.at_evaluation("outputs"), recording.at_evaluation("inputs")
    if network is None or out is None or x is None or not out.size or not x.size:
        return Fit()
    tried = list(_evaluations(recording, network, out, x))
    return Fit(
        plainest(tried),
        lambda facets: next((c for c in tried if dict(c.facets) == dict(facets)), None),
    )


def _evaluations(
    recording: Recording, network: Network, out: Array, x: Array
) -> Iterator[Candidate]:
    step = recording.last_step()
    state = _state_after(recording, network, step)
    allowed = formats.tolerance(formats.epsilon(out), 128)
    if network.options.arithmetic:
        allowed = 2.0**-6
    for norm in ("running", "batch") if network.options.norm else ("",):
        options = replace(network.options, norm=norm, scale=None)
        try:
            trace = forward(network.layers, recording.params(step), x, options, state)
        except (KeyError, ValueError):
            continue
        if trace.outputs.size != out.size:
            continue
        facets = {"norm_at_evaluation": norm, "dropout_at_evaluation": False}
        n = formats.difference("", step, out, trace.outputs.reshape(out.shape), allowed)
        yield Candidate(facets, n.relative, allowed)
        chance = _by_chance(recording, network, trace, options, out)
        if chance is not None:
            # The mean square of a few examples is no better known.
            yield Candidate({**facets, "dropout_at_evaluation": True}, chance,
                            3 * float(np.sqrt(2 / len(trace.outputs))), 1)  # fmt: skip


def _state_after(recording: Recording, network: Network, step: int) -> dict[str, Array]:
    """The state before a step; after the last, where it is not recorded, what fits make of it."""
    state, found = recording.state(step), fit_state(recording, network).found
    trace = network.trace(step - 1) if step and not state and found else None
    if trace is None:
        return state or recording.state(max(step - 1, 0))
    m, unbiased = found[0].facets["norm_momentum"], found[0].facets["variance"] == "unbiased"
    state = {name: formats.wide(v) for name, v in recording.state(step - 1).items()}
    for layer, s in zip(network.layers, trace.sums, strict=True):
        n = len(s)
        factor = n / (n - 1) if unbiased and n > 1 else 1.0
        for name, seen in ((layer.mean, s.mean(0)), (layer.variance, s.var(0) * factor)):
            if name in state:
                state[name] = m * state[name] + (1 - m) * seen
    return state


def _by_chance(
    recording: Recording, network: Network, trace: Trace, options: Options, out: Array
) -> float | None:
    """How far the deviations' mean square is from what dropout would make of it.

    With one hidden layer, units h kept with probability q and divided by it, the outputs' variance
    is (1 - q) / q times the sum of (h w)^2.
    """
    keep = keep_share(recording)
    if keep is None or not 0 < keep < 1 or len(network.layers) != 2 or options.last != "raw":
        return None
    w = recording.params(recording.last_step())[network.layers[1].kernel]
    kernel = formats.wide(w.T if network.layers[1].swapped else w)
    expected = (1 - keep) / keep * float(np.mean(trace.inputs[1] ** 2 @ kernel**2))
    found = float(np.mean((formats.wide(out).reshape(trace.outputs.shape) - trace.outputs) ** 2))
    return abs(found / expected - 1) if expected > 0 else None
