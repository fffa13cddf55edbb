"""Steps: too small, too large, or to where every image gets one answer."""

import math

import numpy as np

from core.fields import number
from core.parts.clip_and_decay import CLIP_FORMS
from core.parts.optimizers import OPTIMIZERS
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
SHORTENED = 10  # times as long as clipping leaves it: such a gradient is far above the limit
OFTEN = 0.9  # of the looks
# Of a layer's size, in a whole run. In 120 steps a network of 64 units had 14% of ten digits right
# where clipping let its layers move by up to 0.9%, and 40% where by 4%; without it they moved by up
# to 42%, and it had 93% (SGD at 0.1; JAX 0.10.2, CPU).
HARDLY = 0.01
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


def clipped(e: Evidence) -> Diagnosis | None:
    """The steps come to little, and clipping leaves a tenth of the gradient or less."""
    if not (_follows_length(e) and (too_small(e) or too_slow(e) or _hardly_moves(e))):
        return None
    times = np.array([_shortened(e, look) for look in e.snapshots])
    far = int(np.count_nonzero(times >= SHORTENED))
    if far < OFTEN * len(times):
        return None
    looks, typical = f"{len(times):,} looks", _counted(float(np.nanmedian(times)))
    which = f"all {looks}" if far == len(times) else f"{far:,} of {looks}"
    each = CLIP_FORMS[e.config.clip_form].norm == "each"
    gradients = "the gradient of each variable" if each else "gradients"
    they = "that of each layer was" if each else "they were"
    return Diagnosis(
        f"Clipping holds the steps back: it shortens {gradients} to "
        f"{number(e.config.clip_norm, 3)}, and at {which} {they} at least {SHORTENED} times as "
        f"long, typically {'at least ' * each}{typical} times. The loss was "
        f"{number(e.first.loss, 3)} at the start and is {number(e.now.loss, 3)} now.",
        cures.longer_gradients(e.config),
    )


def _hardly_moves(e: Evidence) -> bool:
    """Whether steps like this one, for the whole run, would change no layer much.

    It needs no trial, which short runs do not have.
    """
    wrong = e.now.step > 0 and e.now.census.wrong > FEW
    return wrong and step_size(e.now) * e.config.steps < HARDLY


def _follows_length(e: Evidence) -> bool:
    """Whether a gradient that is clipped and shorter makes a shorter step.

    An optimizer that divides by the size of recent gradients makes the same step.
    """
    row = OPTIMIZERS[e.config.optimizer]
    divides = row.beta_2 is not None or row.optimizer_epsilon is not None
    return e.config.clip_form != "off" and not divides


def _shortened(e: Evidence, look: Snapshot) -> float:
    """How many times as long as clipping leaves it the gradient is, at least; NaN if not finite.

    Where each array is clipped by itself, that is of the layer which is shortened least. Only the
    norm of its arrays together is known: those of n arrays have at most sqrt(n) times the limit.
    """
    norms, limit = np.asarray(look.gradient_norms, float), e.config.clip_norm
    if CLIP_FORMS[e.config.clip_form].norm != "each":
        return float(np.linalg.norm(norms) / limit)
    return float(np.min(norms) / (limit * math.sqrt(len(look.health))))


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


def _counted(value: float) -> str:
    """A large number in three digits: 12,400."""
    return f"{float(f'{value:.3g}'):,.0f}"


def _times(value: float) -> str:
    return f"{number(value, 1 if value < 10 else 3)} times"
