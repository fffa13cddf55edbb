"""Edges in words. Every number is one that `edges` found for the very setting."""

from typing import Any

import numpy as np

from core.parts.losses import LOSSES, Form
from core.study.precision.edges import Edges, edges
from core.study.precision.exact import LINE, OWN


def _number(value: float, digits: int = 5) -> str:
    return f"{value:.{digits}g}".replace("e-0", "e-")


def _reach(z: float) -> str:
    return f"{'from' if z > 0 else 'up to'} z = {_number(z)}"


def first_broken(edges: Edges) -> float | None:
    """The first logit with a NaN or an infinity, in loss or gradient."""
    return min((z for z in (edges.nan, edges.inf) if z is not None), key=abs, default=None)


def silence(wrong: Edges, right: Edges) -> str:
    """Say where a row is silent or broken for one label, on both sides of its decision."""
    parts = []
    if wrong.dead is not None:
        parts.append(f"gradient exactly 0 {_reach(wrong.dead)}")
    broken = [(first_broken(wrong), ""), (first_broken(right), " when right")]
    if at := [f"z = {_number(z)}{when}" for z, when in broken if z is not None]:
        parts.append(f"NaN or inf first at {' and '.join(at)}")
    return ", ".join(parts) or "never silent"


def where(form: Form, key: str, epsilon: float, dtype: np.dtype[Any]) -> str:
    """Say in a sentence where a row goes wrong; on the right side only NaN and infinity count."""
    zones = _labels(key, epsilon, dtype) if form == "binary" else _classes(key, epsilon, dtype)
    known = "" if LOSSES[key].epsilon is None else f" with epsilon {_number(epsilon)}"
    if not zones:
        return f"In {dtype.name}{known} no wrong answer is silent."
    return f"In {dtype.name}{known}: {zones}."


def _labels(key: str, epsilon: float, dtype: np.dtype[Any]) -> str:
    """Say where a binary row goes wrong, for both labels."""
    parts = []
    for label in (0, 1):
        wrong, right = (
            edges("binary", key, label, epsilon, dtype, right=right) for right in (False, True)
        )
        half = (
            f", half the gradient from z = {_number(wrong.half_from)} to {_number(wrong.half_to)}"
            if wrong.half_from is not None and wrong.half_to is not None
            else ""
        )
        if any(z is not None for z in (*wrong, *right)):
            parts.append(f"for y = {label} {silence(wrong, right)}{half}")
    return "; ".join(parts)


def _classes(key: str, epsilon: float, dtype: np.dtype[Any]) -> str:
    """Say where a softmax row goes wrong, in probabilities, which hold beyond the line (z, 0, 1).

    The edges are those where z is the label's own logit. A row goes silent because of the label's
    p, and breaks because of the smallest p: on the wrong side the label's, on the right side
    class 1's.
    """
    wrong, right = (
        edges("softmax", key, OWN["softmax"], epsilon, dtype, right=right)
        for right in (False, True)
    )
    parts = []
    if wrong.dead is not None:
        p = _number(_probability(wrong.dead, None), 2)
        once = "once" if wrong.dead else "at the latest once"  # dead from the start of the line
        parts.append(f"gradient exactly 0 {once} the true class has a probability below {p}")
    broken = [
        _probability(z, own)
        for z, own in ((first_broken(wrong), None), (first_broken(right), LINE[0]))
        if z is not None
    ]
    if broken:
        p = _number(max(broken), 2)
        parts.append(f"NaN or inf once some class has a probability below {p}")
    return ", ".join(parts)


def _probability(z: float, logit: float | None) -> float:
    """p of the class with this logit (z itself if None) on the softmax line at z."""
    return float(np.exp((z if logit is None else logit) - np.logaddexp.reduce([z, *LINE])))
