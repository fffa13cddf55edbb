"""Gradients that are exactly zero: of images, of a layer, of units, of all."""

import numpy as np

from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, percent
from core.run.snapshot import Gradient, Snapshot, silent_and_wrong

MOST_DEAD = 0.9  # of a layer's units
FEW = 0.1  # of the images: a network with fewer wrong does well with the units it has


def stopped(e: Evidence) -> Diagnosis | None:
    """Full batches, no dropping, nothing changed by the step: each further step is this one."""
    steady = e.now.fixed and e.config.full_batch and not e.dropping
    if not (steady and e.now.census.wrong > 0):
        return None

    def holds(later: Snapshot) -> bool:
        return bool(later.fixed and np.array_equal(later.margins, e.now.margins))

    return Diagnosis(
        f"It has stopped with {e.wrong} of the images wrong: the step changes no weight, and "
        "every further step is this one again.",
        cures.on_logits(e.config),
        holds,
    )


def all_silent(e: Evidence) -> Diagnosis | None:
    """No image has a gradient now, though some are wrong."""
    census = e.now.census
    if not (census.zero_gradient == 1 and census.wrong > 0) or stopped(e):
        return None
    sentence = (
        f"All {len(e.now.labels):,} images looked at are silent: their gradient is exactly zero. "
        f"{e.wrong} of them are wrong. {_what_moves(e)}"
    )
    return Diagnosis(sentence, cures.on_logits(e.config))


def _what_moves(e: Evidence) -> str:
    """What moves the weights while every image is silent."""
    if not np.any(e.now.update_norms):
        return "This step changes no weight."
    reasons = {
        "the optimizer remembers earlier steps": bool(e.config.effective("momentum")),
        "they decay": e.config.decay_form != "off",
        "training drops units": e.dropping,
        "it trains on further images": e.config.train_size > len(e.now.labels),
    }
    why = " or ".join(reason for reason, given in reasons.items() if given)
    return f"The weights still move{why and ', because '}{why}."


def silent(e: Evidence) -> Diagnosis | None:
    """Some images are wrong and have no gradient: a step learns nothing from them."""
    stuck = float(e.now.census.stuck)
    if not stuck > 0:
        return None
    exactly = "their gradient is exactly zero"
    if e.as_trained:
        exactly += ", so this step learns nothing from them"
    elif e.dropping:
        exactly = f"with all units {exactly}"
    sentence = f"{percent(stuck)} of the images are wrong and silent: {exactly}."
    then = silent_and_wrong(e.first)
    if e.now.step and len(then):
        righted = int(np.count_nonzero(e.now.correct[then]))
        sentence += (
            f" Of the {len(then):,} that were so at the start, {righted:,} are right by now."
        )
    return Diagnosis(sentence, cures.on_logits(e.config))


def silent_layer(e: Evidence) -> Diagnosis | None:
    """A layer's gradient is exactly 0 while images have one."""
    layers = np.flatnonzero(np.asarray(e.now.gradient_norms) == 0) + 1
    if not (len(layers) and np.any(e.now.gradients == Gradient.SOME)):
        return None
    which = f"Layer {layers[0]} gets" if len(layers) == 1 else f"{len(layers)} layers get"
    return Diagnosis(
        f"{which} a gradient of exactly 0, though {e.examples} have one: nothing teaches it now.",
        cures.smaller_pixels(e.config),
    )


def dead_units(e: Evidence) -> Diagnosis | None:
    """Most units of a layer are 0 for every image."""
    layer = int(np.argmax(e.now.dead_units))
    dead = float(e.now.dead_units[layer])
    if not (dead >= MOST_DEAD and e.now.census.wrong > FEW):
        return None
    sentence = f"{percent(dead)} of the units of layer {layer + 1} are 0 for every image looked at"
    if e.as_trained:
        sentence += ", and learn nothing from them"
    return Diagnosis(f"{sentence}.", cures.smaller_pixels(e.config))
