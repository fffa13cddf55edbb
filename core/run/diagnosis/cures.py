"""Cures: changes of a config that may help, by field; empty where there is none."""

import math
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from core.config import FIELDS, RunConfig
from core.data import SOURCES
from core.parts import loss_scale
from core.parts.choices import TASKS
from core.parts.dropout import DROPOUTS
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, losses_for
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS
from core.run.diagnosis.evidence import keep_prob

Cure = dict[str, Any]
HARMLESS = ("logits", "log_softmax")  # what a loss may be given


def on_logits(config: RunConfig) -> Cure:
    """The same cross-entropy from logits, or smaller pixels where it works on no probability.

    Labels that are moved are put right as well: a loss that learns would learn them.
    """
    cure = softmax_once(config) | ({"label_shift": 0} if config.label_shift else {})
    if not cure:
        return smaller_pixels(config)
    return cure | _usual_steps(config, most=10) | _unskipped(config)


def _unskipped(config: RunConfig) -> Cure:
    """float32 for a run so short that a loss scale which is being halved may skip most of it."""
    halvings = math.log2(loss_scale.INITIAL)
    short = PRECISIONS[config.precision].scaled and config.steps <= 2 * halvings
    return {"precision": "float32"} if short else {}


def softmax_once(config: RunConfig) -> Cure:
    """The same cross-entropy, given logits and computed from them, with the same steps."""
    cure: Cure = {"loss_input": "logits"} if config.loss_input not in HARMLESS else {}
    if LOSSES[config.loss].works_on not in ("logits", "predictions"):
        cure["loss"] = losses_for(TASKS[config.task].form)[-1]
    return cure


def on_logits_at_usual(config: RunConfig) -> Cure:
    """The same cross-entropy of logits, with steps that are no smaller than usual."""
    return {**softmax_once(config), **_no_less_than_usual(config)}


def smaller_pixels(config: RunConfig) -> Cure:
    """Pixels from 0 to 1; where they are, or there are none, smaller steps.

    Steps that grow with the gradient may then be larger than usual, because it is smaller.
    """
    if config.scaling != "raw" or "scaling" in config.ignored():
        return smaller_steps(config)
    steps = _usual_steps(config, most=10)
    if steps and OPTIMIZERS[config.optimizer].beta_2 is None:
        steps = _rate(10 * steps["learning_rate"])
    return {"scaling": "unit", **steps}


def smaller_steps(config: RunConfig) -> Cure:
    """The optimizer's usual learning rate where this one is larger, else a tenth of it.

    The usual one is for a mean over images.
    """
    usual = _usual_steps(config, most=1)
    if usual and config.reduction == "mean_outputs":
        usual["reduction"] = "mean"
    return usual or _rate(config.learning_rate / 10)


def larger_steps(config: RunConfig) -> Cure:
    """The optimizer's usual learning rate where this one is smaller, else ten times as much."""
    usual = OPTIMIZERS[config.optimizer].learning_rate
    return _rate(usual if config.learning_rate < usual else 10 * config.learning_rate)


def longer_gradients(config: RunConfig) -> Cure:
    """Clipping at the usual norm, or at ten times the run's own where that is more.

    Not none at all, because the run's learning rate has only been seen with short gradients. It
    becomes a usual one where it is far from that, and pixels go from 0 to 1.
    """
    usual = OPTIMIZERS[config.optimizer].learning_rate
    cure: Cure = {"clip_norm": max(RunConfig.clip_norm, 10 * config.clip_norm)}
    if FIELDS["clip_norm"].fault(cure["clip_norm"]):
        cure = {"clip_form": "off"}
    if config.scaling == "raw" and "scaling" not in config.ignored():
        cure["scaling"] = "unit"
    if config.learning_rate > 100 * usual:
        return cure | _rate(10 * usual)
    return cure | _no_less_than_usual(config)


def tried_steps(config: RunConfig, times: int) -> Cure:
    """The learning rate that a copy of the run was tried with."""
    return _rate(times * config.learning_rate)


def smaller_weights(config: RunConfig) -> Cure:
    """Keras's initial weights, and at least the optimizer's usual learning rate with them."""
    return {"initializer": "keras", "biases": "own", **_no_less_than_usual(config)}


def more_range(config: RunConfig) -> Cure:
    """float32's range for 16 bits; where the run has that already, smaller pixels."""
    if PRECISIONS[config.precision].compute.largest < DTYPES["float32"].largest:
        return {"precision": "float32"}
    return smaller_pixels(config)


def finer_weights(config: RunConfig) -> Cure:
    """Weights in float32, their passes as they are; where they have as many bits, larger steps."""
    run, master = PRECISIONS[config.precision], DTYPES["float32"]
    if run.weights.dtype.itemsize >= master.dtype.itemsize:
        return larger_steps(config)
    same_passes = (
        key
        for key, row in PRECISIONS.items()
        if row.weights == master and row.compute == run.compute
    )
    return {"precision": next(same_passes, master.key)}


def sounder(config: RunConfig) -> Cure:
    """The loss from logits; where it is, more digits than 16 bits have; else smaller pixels."""
    takes_logits = LOSSES[config.loss].works_on in ("logits", "predictions")
    if takes_logits and PRECISIONS[config.precision].narrow:
        return {"precision": "float32"}
    return on_logits(config)


def less_dropping(config: RunConfig) -> Cure:
    """Half as many units dropped, by the same form of dropout."""
    keep = 1 - max(0.05, (1 - keep_prob(config)) / 2)
    # The number is the probability to keep or the one to drop: a form turns either into the other.
    kept = DROPOUTS[config.dropout].means(jnp.float32(keep)).keep_prob
    return {"dropout_value": round(float(kept), 3)}


def mixed(config: RunConfig) -> Cure:
    """A new order of all images for each epoch."""
    return {"shuffle": "every_epoch"} if config.shuffle != "every_epoch" else {}


def more_images(config: RunConfig) -> Cure:
    """All images that there are, for as many steps as before, none far larger than usual."""
    most = SOURCES[config.source].train_size
    if config.train_size == most or config.full_batch:
        return {}
    more = replace(config, train_size=most)
    epochs = max(1, round(config.steps / more.steps_per_epoch))
    return {"train_size": most, "epochs": epochs, **_usual_steps(config, most=10)}


def aligned(config: RunConfig) -> Cure:
    """The loss that compares each prediction with its own target, unless the run has it already."""
    loss = losses_for(TASKS[config.task].form)[-1]
    return {"loss": loss} if config.loss != loss else {}


def _usual_steps(config: RunConfig, most: float) -> Cure:
    """The optimizer's usual learning rate, if the run's is more than `most` times that."""
    usual = OPTIMIZERS[config.optimizer].learning_rate
    return {"learning_rate": usual} if config.learning_rate > most * usual else {}


def _no_less_than_usual(config: RunConfig) -> Cure:
    """The optimizer's usual learning rate, if the run's is less."""
    usual = OPTIMIZERS[config.optimizer].learning_rate
    return {"learning_rate": usual} if config.learning_rate < usual else {}


def _rate(learning_rate: float) -> Cure:
    allowed = FIELDS["learning_rate"]
    return {} if allowed.fault(learning_rate) else {"learning_rate": float(f"{learning_rate:.3g}")}
