"""One recording by itself: every stage fitted to its own numbers."""

from dataclasses import dataclass
from typing import Any

from core.study.compare.fit_gradients import fit_gradients
from core.study.compare.fit_initial import fit_biases, fit_weights
from core.study.compare.fit_loss import fit_loss
from core.study.compare.fit_outputs import Network, fit_outputs
from core.study.compare.fit_state import fit_evaluation, fit_state
from core.study.compare.fit_update import fit_update
from core.study.compare.pieces import Candidate, Fit
from core.study.compare.recording import Recording
from core.study.compare.stages import gives_shares
from core.study.compare.steps import frozen


@dataclass(frozen=True)
class Side:
    """A recording and what its stages compute."""

    recording: Recording
    network: Network | None
    fits: dict[str, Fit]
    frozen: tuple[str, ...]

    def found(self, stage: str) -> Candidate | None:
        """Return the best explanation of a stage, if one fits."""
        return next(iter(self.fits[stage].found), None)

    def facet(self, stage: str, name: str, otherwise: Any = None) -> Any:
        """Return a facet of the best explanation of a stage."""
        found = self.found(stage)
        return otherwise if found is None else found.facets.get(name, otherwise)


def judged(recording: Recording) -> Side:
    """Fit every stage of a recording to its own inputs."""
    outputs, network = fit_outputs(recording)
    # Logits may lie between 0 and 1 by chance; whether they are sums, the network says.
    shares = network.options.last != "raw" if network else gives_shares(recording)
    loss = fit_loss(recording, shares, network.logits if network else None)
    best = next(iter(loss.found), None)
    layers = network.layers if network else ()
    swapped = {layer.kernel: layer.swapped for layer in layers}
    kernel_of = {layer.bias: layer.kernel for layer in layers if layer.bias}
    fits = {
        "weights": fit_weights(recording, swapped),
        "biases": fit_biases(recording, kernel_of),
        "outputs": outputs,
        "loss": loss,
        "gradients": fit_gradients(recording, network, best.facets if best else None),
        "update": fit_update(recording),
        "state": fit_state(recording, network),
        "evaluation": fit_evaluation(recording, network),
    }
    return Side(recording, network, fits, frozen(recording))
