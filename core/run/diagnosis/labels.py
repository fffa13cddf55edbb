"""Labels: whether a network learns others than it is judged by."""

import math

from core.parts.choices import TASKS
from core.run.diagnosis.evidence import Diagnosis, Evidence, divergence, percent
from core.run.snapshot import Snapshot

CHANCE = 1e-9  # at most this often answers favour the next label as much without a reason


def shifted_labels(e: Evidence) -> Diagnosis | None:
    """The answers are the labels moved by one, far more often than the labels themselves.

    Where they no longer are, because the run has gone wrong in another way, they were once.
    """
    if not e.config.label_shift:
        return None
    look = next((look for look in reversed(e.snapshots) if _moved(look)), None)
    if look is None:
        return None
    binary = TASKS[e.config.task].form == "binary"
    which = "the other label" if binary else "the label after the image's own"
    when, are = ("", "are") if look is e.now else (f"at step {look.step:,} ", "were")
    return Diagnosis(
        f"It learns other labels than it is judged by: {when}{percent(look.next_label)} of the "
        f"answers {are} {which}, and {percent(look.train_accuracy)} {are} the label itself.",
        {"label_shift": 0},
    )


def _moved(look: Snapshot) -> bool:
    return look.next_label > look.train_accuracy and _chance(look) < CHANCE


def _chance(look: Snapshot) -> float:
    """How often, at most, this many of the answers that are either label are the next one.

    Both are taken to be as likely, and the images to be independent (Hoeffding, 1963).
    """
    right, moved = look.train_accuracy, look.next_label
    either = (right + moved) * len(look.labels)
    return math.exp(-either * divergence(moved / (right + moved), 0.5))
