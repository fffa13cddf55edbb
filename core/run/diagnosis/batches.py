"""Batches: whether the examples that follow each other are mixed."""

import math

from core.parts.choices import TASKS
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, divergence, percent
from core.run.snapshot import Ahead

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


def _chance(e: Evidence, ahead: Ahead) -> float:
    """How often, at most, shuffled images have some label this often (Hoeffding, 1963)."""
    labels = max(2, TASKS[e.config.task].outputs)
    return labels * math.exp(-ahead.images * _divergence(ahead))


def _divergence(ahead: Ahead) -> float:
    """How far the label's share is above its share of all, in nats."""
    return divergence(ahead.share, ahead.overall)
