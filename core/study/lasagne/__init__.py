"""Lasagne issue 567: its experiment, and its thread as claims with computed verdicts."""

from core.study.lasagne.claims import CLAIMS, Claim, Verdict
from core.study.lasagne.experiment import (
    BATCHES,
    CONFIG,
    ROWS,
    Ending,
    Gradients,
    Parameter,
    endings,
    gradient_differences,
    gradients,
)

__all__ = [
    "BATCHES",
    "CLAIMS",
    "CONFIG",
    "ROWS",
    "Claim",
    "Ending",
    "Gradients",
    "Parameter",
    "Verdict",
    "endings",
    "gradient_differences",
    "gradients",
]
