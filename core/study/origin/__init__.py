"""Where a NaN comes from: the step, the part of the computation, and the operation that made it."""

from core.study.origin.loss import PARTS, at_logit, of_loss
from core.study.origin.run import Origin, broken, of_run
from core.study.origin.tape import Made, Operation, Recorder, origin
from core.study.origin.words import derivation, sentence

__all__ = [
    "PARTS",
    "Made",
    "Operation",
    "Origin",
    "Recorder",
    "at_logit",
    "broken",
    "derivation",
    "of_loss",
    "of_run",
    "origin",
    "sentence",
]
