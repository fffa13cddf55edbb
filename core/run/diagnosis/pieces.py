"""Pieces around the loss: an optimizer's epsilon, weight decay, initial weights, averages."""

import math
from itertools import pairwise

import numpy as np

from core.config import RunConfig
from core.fields import number
from core.parts.choices import TASKS
from core.parts.clip_and_decay import DECAY_FORMS
from core.parts.models import MODELS
from core.parts.optimizers import OPTIMIZERS
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, percent
from core.run.diagnosis.silence import FEW
from core.run.diagnosis.steps import LARGE, step_size

SHRUNK = 0.5  # of a layer's size at the start
FAR = 5  # times the loss of a guess
LEFT = 0.05  # of what running averages started at
CHANCE = 3  # standard errors of the difference of two accuracies


def lost_in_epsilon(e: Evidence) -> Diagnosis | None:
    """Gradients are smaller than the epsilon that the optimizer adds to their size."""
    times = _epsilon_by_gradient(e)
    if not (times and times > 1 and e.now.step > 0 and e.now.census.wrong > FEW):
        return None
    if not 0 < step_size(e.now) * (1 + times) < LARGE:  # steps that may be as small as they are
        return None
    row, epsilon = OPTIMIZERS[e.config.optimizer], e.config.effective("optimizer_epsilon")
    name, added = row.label.partition(",")[0], number(epsilon, 1)
    by = (
        f"the root of their mean square plus {added}, and the root of {added} alone"
        if row.inside
        else f"the size of recent gradients plus {added}, and that"
    )
    return Diagnosis(
        f"Epsilon rules the steps: {name} divides gradients by {by} is at least "
        f"{number(times, 2)} times the root mean square gradient of each layer now. So steps "
        "shrink as gradients do.",
        _out_of_epsilon(e.config, epsilon / times**2 if row.inside else epsilon / times),
    )


def _epsilon_by_gradient(e: Evidence) -> float | None:
    """How many times a layer's root mean square gradient its epsilon is, where that is least.

    None for what does not divide by the size of recent gradients, and for layers of unknown size.
    """
    row, epsilon = OPTIMIZERS[e.config.optimizer], e.config.effective("optimizer_epsilon")
    recent = row.beta_2 is not None and row.momentum is not None and epsilon
    norms = np.asarray(e.now.gradient_norms, float)
    dense = MODELS[e.config.model].kind == "dense"
    if not (recent and dense and np.all(np.isfinite(norms) & (norms > 0))):
        return None
    task = TASKS[e.config.task]
    sizes = (task.inputs, *e.config.widths, task.outputs)
    numbers = [(inputs + 1) * units for inputs, units in pairwise(sizes)]
    added = math.sqrt(epsilon) if row.inside else epsilon
    return float(np.min(added * np.sqrt(numbers) / norms))


def _out_of_epsilon(config: RunConfig, as_large: float) -> cures.Cure:
    """The loss as it is where it was made smaller, else an epsilon far below the gradient."""
    if config.loss_weight < 1:
        return {"loss_weight": 1.0}
    return {"optimizer_epsilon": 10.0 ** math.floor(math.log10(as_large) - 3)}


def decayed(e: Evidence) -> Diagnosis | None:
    """Decay has made a layer's weights much smaller than they began, and images are wrong."""
    if e.config.decay_form == "off" or far_from_chance(e) or not e.now.census.wrong > FEW:
        return None
    sizes, first = (np.asarray(look.weight_norms, float) for look in (e.now, e.first))
    shares = sizes / first
    layer = int(np.argmin(np.nan_to_num(shares, nan=1.0)))
    if not shares[layer] < SHRUNK:
        return None
    row = DECAY_FORMS[e.config.decay_form]
    scaled = row.in_gradient and e.config.effective("beta_2") is not None
    name = OPTIMIZERS[e.config.optimizer].label.partition(",")[0]
    why = (
        f" The decay is in the gradient, so {name} divides it by the gradient's size, too: where "
        "gradients are small it pulls the more."
        if scaled
        else ""
    )
    return Diagnosis(
        f"Decay holds the weights down: those of layer {layer + 1} have "
        f"{percent(float(shares[layer]))} of the size they began with, and {e.wrong} of the "
        f"images are wrong.{why}",
        {"decay_form": "decoupled" if scaled else "off"},
    )


def far_from_chance(e: Evidence) -> Diagnosis | None:
    """Before the first step the loss is many times that of a guess, with pixels that are scaled."""
    if e.now.fit or e.config.scaling == "raw" or not e.now.census.wrong > FEW:
        return None
    guess = math.log(max(2, TASKS[e.config.task].outputs))
    if not (math.isfinite(e.first.loss) and e.first.loss > FAR * guess):
        return None
    if "initializer" in e.config.ignored() or e.config.loss_input not in cures.HARMLESS:
        return None
    return Diagnosis(
        f"It began far from a guess: the mean loss at the start was {number(e.first.loss, 3)}, and "
        f"that of a guess is {number(guess, 3)}, so the initial weights are too large. It is "
        f"{number(e.now.loss, 3)} now.",
        cures.smaller_weights(e.config),
    )


def averages_apart(e: Evidence) -> Diagnosis | None:
    """More images are right normalised by their own batch than by the running averages."""
    own, averaged = e.now.batch_accuracy, e.now.train_accuracy
    if not e.normalising or e.now.step == 0 or e.dropping or e.config.norm_test != "running":
        return None
    mean = (own + averaged) / 2
    error = math.sqrt(mean * (1 - mean) * (1 / e.config.batch_size + 1 / len(e.now.labels)))
    if not own - averaged > CHANCE * error:
        return None
    momentum, updates = e.config.norm_momentum, e.now.step
    left = momentum**updates
    start = (
        f" After {updates:,} batches {percent(left)} of them is still what they started at, mean "
        "0 and variance 1."
        if left > LEFT
        else ""
    )
    return Diagnosis(
        f"The running averages are not those of its batches: normalised by their own mean and "
        f"variance {percent(own)} of the next batch are right, and by the running averages "
        f"{percent(averaged)} of the images looked at.{start}",
        {"norm_momentum": 0.9} if momentum > 0.9 else {},
    )
