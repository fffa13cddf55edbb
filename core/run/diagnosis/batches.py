"""Batches: whether the examples that follow each other are mixed."""

import math
from itertools import pairwise

from core.fields import number
from core.parts.choices import TASKS
from core.parts.order import LAST_BATCHES
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, divergence, percent
from core.run.diagnosis.silence import FEW
from core.run.snapshot import Ahead

SMALL = 10  # times as many images in the other batches
ENDS = 3  # epochs
ROSE = 0.05  # of the loss before their last steps
APART = 0.3  # nats between the labels of some images and of all: a share of 40% where all have 10%
CHANCE = 1e-9  # at most this often are shuffled images as one-sided


def unmixed(e: Evidence) -> Diagnosis | None:
    """Images that follow each other have one label far more often than chance gives."""
    ahead = e.now.ahead
    if not (ahead and _divergence(ahead) > APART and _chance(e, ahead) < CHANCE):
        return None
    return Diagnosis(
        f"The images are not mixed: of {ahead.images:,} that follow each other, "
        f"{percent(ahead.share)} have the label {ahead.label}, and of all training images "
        f"{percent(ahead.overall)}.",
        cures.mixed(e.config),
    )


def small_last_batch(e: Evidence) -> Diagnosis | None:
    """The loss rises at the end of each epoch, where a few images make a batch of their own."""
    left = e.config.train_size % e.config.batch_size
    kept = LAST_BATCHES[e.config.last_batch].kept and 0 < left * SMALL <= e.config.batch_size
    mean = e.config.reduction != "sum"  # a sum's step is short where images are few
    if not (kept and mean and e.now.census.wrong > FEW):
        return None
    each = e.config.steps_per_epoch
    ends = [
        (before.loss, end.loss)
        for before, end in pairwise(e.snapshots)
        if end.step % each == 0 and end.step - before.step < each
    ]
    rises = [end - before for before, end in ends]
    if not (len(ends) >= ENDS and min(rises) > 0 and sum(rises) > ROSE * sum(b for b, _ in ends)):
        return None
    return Diagnosis(
        f"The last batch of each epoch has {left} images, and its step is as long as that of "
        f"{e.config.batch_size}: at the end of each of {len(ends)} epochs the loss rose, by "
        f"{number(sum(rises) / len(rises), 2)} on average.",
        {"last_batch": "dropped"},
    )


def _chance(e: Evidence, ahead: Ahead) -> float:
    """How often, at most, shuffled images have some label this often (Hoeffding, 1963)."""
    labels = max(2, TASKS[e.config.task].outputs)
    return labels * math.exp(-ahead.images * _divergence(ahead))


def _divergence(ahead: Ahead) -> float:
    """How far the label's share is above its share of all, in nats."""
    return divergence(ahead.share, ahead.overall)
