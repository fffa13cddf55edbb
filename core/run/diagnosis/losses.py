"""The loss itself: it is given probabilities, or it is divided by too much."""

import math
from functools import lru_cache

import jax.numpy as jnp

from core.config import RunConfig
from core.fields import number
from core.parts.choices import TASKS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES
from core.parts.precisions import PRECISIONS
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, percent
from core.run.diagnosis.silence import FEW
from core.run.diagnosis.steps import LARGE, step_size


def softmax_twice(e: Evidence) -> Diagnosis | None:
    """The loss applies softmax (or sigmoid) to what has been through one."""
    if e.config.loss_input != "softmax" or not e.now.census.wrong > FEW:
        return None
    best = _surest(
        e.config.task, e.config.loss, e.config.epsilon, e.config.precision, e.config.label_smoothing
    )
    binary = len(best) > 1
    which = " or ".join(f"{number(loss, 3)} (label {i})" for i, loss in enumerate(best))
    return Diagnosis(
        f"{'Sigmoid' if binary else 'Softmax'} is applied twice, because the loss is given "
        "probabilities and takes them for logits: even a right answer that is certain has a loss "
        f"of {which if binary else number(best[0], 3)}. The mean loss is {number(e.now.loss, 3)}.",
        cures.on_logits_at_usual(e.config),
    )


def taken_for_probabilities(e: Evidence) -> Diagnosis | None:
    """The loss clips logits as if they were probabilities."""
    row = LOSS_INPUTS[e.config.loss_input]
    if row.instead is None or row.each_output or not e.now.census.wrong > FEW:
        return None
    stuck = e.now.census.stuck
    words = f" {percent(stuck)} of the images are wrong and silent." if stuck > 0 else ""
    return Diagnosis(
        "The loss is given logits and takes them for probabilities, so it clips them to "
        f"[1e-7, 1 - 1e-7].{words} {percent(e.now.census.wrong)} of the images are wrong.",
        cures.on_logits_at_usual(e.config),
    )


@lru_cache(maxsize=1024)
def _surest(
    task: str, loss: str, epsilon: float, precision: str, smoothing: float
) -> tuple[float, ...]:
    """The losses of right answers that are certain, from their probabilities taken for logits.

    There is one for each label of two; all labels of more classes have the same.
    """
    form, dtype = TASKS[task].form, PRECISIONS[precision].loss.dtype
    given, labels = (
        (jnp.array([0, 1], dtype), jnp.array([0, 1], dtype))
        if form == "binary"
        else (jnp.eye(1, TASKS[task].outputs, dtype=dtype), jnp.array([0]))
    )
    row, classes = getattr(LOSSES[loss], form), max(2, TASKS[task].outputs)
    losses = row(given, labels, jnp.float32(epsilon))
    if smoothing:
        each = [row(given, (labels + i) % classes, jnp.float32(epsilon)) for i in range(classes)]
        losses = (1 - smoothing) * losses + smoothing * jnp.mean(jnp.stack(each), axis=0)
    return tuple(map(float, losses))


def divided_by_outputs(e: Evidence) -> Diagnosis | None:
    """The batch's loss is divided by the outputs, too, and steps that could be larger shrink."""
    outputs = TASKS[e.config.task].outputs
    shrinks = e.config.reduction == "mean_outputs" and outputs > 1
    if not (shrinks and _follows_size(e.config) and e.now.census.wrong > FEW):
        return None
    if not _could_be(outputs, e):
        return None
    return Diagnosis(
        f"The loss is divided by its {outputs} outputs, too: its gradient is 1/{outputs} of that "
        f"of the mean over images. The next step changes no layer by more than "
        f"{number(step_size(e.now), 3)} times its size.",
        {"reduction": "mean"},
    )


def each_output(e: Evidence) -> Diagnosis | None:
    """Ten outputs have a binary loss each, whose mean makes steps small that could be larger."""
    outputs = TASKS[e.config.task].outputs
    if not LOSS_INPUTS[e.config.loss_input].each_output or outputs == 1:
        return None
    further = outputs if e.config.reduction == "mean_outputs" else 1
    small = _follows_size(e.config) and _could_be(outputs * further, e)
    if not (small and e.now.census.wrong > FEW):
        return None
    guess = math.log(outputs) - (1 - 1 / outputs) * math.log(outputs - 1)
    return Diagnosis(
        f"Each of the {outputs} outputs has a binary loss of its own, and the loss is their mean: "
        f"it is {number(e.now.loss, 3)}, and {number(guess, 3)} where every output says one in "
        f"{outputs}. The mean divides the gradient by {outputs}; the next step changes no layer by "
        f"more than {number(step_size(e.now), 3)} times its size.",
        {"loss_input": "logits"},
    )


def _could_be(times: int, e: Evidence) -> bool:
    """Whether so many times as large a step would still have been a small one at each look."""
    small = all(step_size(look) * times < LARGE for look in e.snapshots)  # NaN is not
    return small and step_size(e.now) > 0


def _follows_size(config: RunConfig) -> bool:
    """Whether steps grow with the gradient, as those of Adam and Lion hardly do."""
    return config.effective("beta_2") is None and config.effective("optimizer_epsilon") is None
