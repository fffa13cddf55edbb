"""Labels: whether a network learns others than it is judged by."""

import math

from core.parts.choices import TASKS
from core.run.diagnosis.evidence import Diagnosis, Evidence, divergence, percent

CHANCE = 1e-9  # at most this often answers favour the next label as much without a reason


def shifted_labels(e: Evidence) -> Diagnosis | None:
    """The answers are the labels moved by one, far more often than the labels themselves."""
    right, moved = e.now.train_accuracy, e.now.next_label
    if not (e.config.label_shift and moved > right and _chance(e) < CHANCE):
        return None
    binary = TASKS[e.config.task].form == "binary"
    which = "the other label" if binary else "the label after the image's own"
    return Diagnosis(
        f"It learns other labels than it is judged by: {percent(moved)} of the answers are "
        f"{which}, and {percent(right)} are the label itself.",
        {"label_shift": 0},
    )


def _chance(e: Evidence) -> float:
    """How often, at most, this many of the answers that are either label are the next one.

    Both are taken to be as likely, and the images to be independent (Hoeffding, 1963).
    """
    right, moved = e.now.train_accuracy, e.now.next_label
    either = (right + moved) * len(e.now.labels)
    return math.exp(-either * divergence(moved / (right + moved), 0.5))
