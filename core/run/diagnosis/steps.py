"""Steps: too small, too large, or to where every image gets one answer."""

import numpy as np

from core.fields import number
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence
from core.run.diagnosis.silence import FEW
from core.run.snapshot import Snapshot

TINY = 1e-5  # of a layer's size: a step below it moves nothing that can be seen
# Of a layer's size. With units dropped, or normalised by running averages, the steps follow another
# loss than the one looked at, and this one can rise without overshooting: a rise is put down to
# them only if one was this large.
LARGE = 0.1
# Of the fall of the loss that would be in proportion to the learning rate. Ten digits and two, with
# SGD, Momentum and Adam: in 18 settings a copy with ten times the learning rate came to more than
# this, and whole runs with it ended 0.03 to 0.64 more accurate (JAX 0.10.2, CPU).
FASTER = 0.5
CLEAR = 1e-3  # of the loss: a smaller fall may be rounding, above all in 16 bits


def too_small(e: Evidence) -> Diagnosis | None:
    """A step along a gradient changes next to nothing, and the loss does not move."""
    still = abs(e.now.loss - e.first.loss) <= 0.01 * abs(e.first.loss)
    if not (e.now.step > 0 and still and step_size(e.now) < TINY and _leads(e)):
        return None
    size = step_size(e.now)
    by = f" by more than {_times(size)} its size" if size else ""
    return Diagnosis(
        f"The steps are too small: the loss is still {number(e.now.loss, 3)}, and the next step "
        f"changes no layer{by}.",
        cures.larger_steps(e.config),
    )


def _leads(e: Evidence) -> bool:
    """Whether there is a gradient to follow: without one no step is too small."""
    norms = np.asarray(e.now.gradient_norms)
    return bool(np.all(np.isfinite(norms)) and np.any(norms > 0))


def too_large(e: Evidence) -> Diagnosis | None:
    """The loss is above its start, and the steps took it there."""
    loss, start = number(e.now.loss, 3), number(e.first.loss, 3)
    if not e.now.loss > e.first.loss or loss == start or not step_size(e.now) > TINY:  # or NaN
        return None
    if (e.dropping or e.normalising) and not _largest_of_rise(e) > LARGE:
        return None
    overshot = "This step" if e.now.step == 1 else "The steps so far"
    return Diagnosis(
        f"{overshot} overshot: the loss was {start} at the start and is {loss} now. {_moves(e)}",
        cures.smaller_steps(e.config),
    )


def _largest_of_rise(e: Evidence) -> float:
    """The largest step size since the loss was last no higher than at the start."""
    since = max(i for i, look in enumerate(e.snapshots) if look.loss <= e.first.loss)
    return max(map(step_size, e.snapshots[since:-1]))


def too_slow(e: Evidence) -> Diagnosis | None:
    """It learns, and a copy with a larger learning rate learned almost as much faster."""
    tried = [(look, look.trial) for look in e.snapshots if look.trial]
    if not (tried and e.now.census.wrong > FEW):
        return None
    look, trial = tried[-1]
    own, larger = look.loss - trial.own, look.loss - trial.larger
    clear = larger > CLEAR * look.loss
    if not (clear and own > 0 and larger / own > FASTER * trial.times):
        return None
    return Diagnosis(
        f"It learns slowly: tried on copies of step {look.step:,}, {trial.times} times the "
        f"learning rate lowered the loss {number(larger / own, 2)} times as much in {trial.steps} "
        f"steps, by {number(larger, 2)} instead of {number(own, 2)}.",
        cures.tried_steps(e.config, trial.times),
    )


def one_answer(e: Evidence) -> Diagnosis | None:
    """Every image gets the same answer."""
    if not (e.now.one_answer == 1 and e.now.step > 0 and not e.nan):
        return None
    return Diagnosis(
        f"It gives every image the same answer. {_moves(e)}", cures.smaller_pixels(e.config)
    )


def _moves(e: Evidence) -> str:
    size = step_size(e.now)
    changes = f"a layer by {_times(size)} its size" if size else "no layer"
    return f"The next step changes {changes}."


def step_size(look: Snapshot) -> float:
    """The next step's change of a layer by the layer's size, where that is largest."""
    sizes, changes = (np.asarray(norms, float) for norms in (look.weight_norms, look.update_norms))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max(np.where(changes == 0, 0.0, changes / sizes)))


def _times(value: float) -> str:
    return f"{number(value, 1 if value < 10 else 3)} times"
