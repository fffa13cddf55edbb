"""Losses at one logit after another: gradient, dead zones, loss."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import streamlit as st

from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.study import precision
from core.study.precision import Edges
from ui.charts import microscope as charts
from ui.draw import chart
from ui.microscope.setting import Setting

POINTS = 481  # logits that a curve is evaluated at
edges_of = lru_cache(maxsize=4096)(precision.edges)  # the table has 56, at 2 ms each


class Look(NamedTuple):
    """A loss under a setting."""

    key: str
    label: str
    curve: precision.Curve
    edges: Edges


def grid(chosen: Setting) -> np.ndarray:
    """The logits that curves are evaluated at: numbers of the dtype itself, [POINTS]."""
    return np.linspace(-chosen.span, chosen.span, POINTS).astype(DTYPES[chosen.dtype].dtype)


def look(chosen: Setting, key: str) -> Look:
    """One loss under the microscope."""
    args = (chosen.form, key)
    epsilon, dtype = chosen.epsilon_of(key), DTYPES[chosen.dtype].dtype
    return Look(
        key,
        LOSSES[key].label,
        precision.curve(*args, grid(chosen), chosen.class_index, epsilon),
        edges_of(*args, chosen.class_index, epsilon, dtype),
    )


def curves(chosen: Setting, looks: list[Look]) -> None:
    """The gradient, the strips, and below the loss."""
    z = grid(chosen).astype(float)
    exact = precision.exact(chosen.form, grid(chosen), chosen.class_index)
    labels = tuple(found.label for found in looks)
    gone = [
        (found.label, what, at)
        for found in looks
        for what, at in (("NaN", found.edges.nan), ("inf", found.edges.inf))
        if at is not None and abs(at) <= chosen.span
    ]
    st.markdown("**The gradient dL/dz: how hard the loss pushes at this logit**")
    gradients = {found.label: (z, found.curve.gradient) for found in looks}
    _draw(
        "gradient",
        charts.curve_spec(labels, -1.1, 1.1, chosen.span),
        charts.curve_tables({**gradients, charts.EXACT: (z, exact.gradient)}, gone),
        "Gradient against logit for the chosen losses and the exact one.",
    )
    st.markdown("**Where each one is silent**")
    texts, zones = [], []
    for found in looks:
        texts.append(silence(found.edges))
        zones += _zones(found, chosen)
    _draw(
        "strips",
        charts.strip_spec(labels, chosen.label, chosen.span),
        charts.strip_tables(labels, zones, texts, chosen.span),
        "; ".join(f"{name}: {text}" for name, text in zip(labels, texts, strict=True)),
    )
    st.markdown("**The loss L, in nats**")
    losses = {found.label: (z, found.curve.loss) for found in looks}
    _draw(
        "loss",
        charts.curve_spec(labels, 0, 1.1 * chosen.span, chosen.span),
        charts.curve_tables({**losses, charts.EXACT: (z, exact.loss)}, gone),
        "Loss against logit for the chosen losses and the exact one.",
    )


def _draw(key: str, spec: dict, tables: charts.Tables, alt: str) -> None:
    chart(f"microscope_{key}_chart", spec, tables, alt)


def silence(edges: Edges) -> str:
    """What a strip says."""
    if edges.dead is not None:
        return f"gradient exactly 0 from z = {edges.dead:.5g}"
    broken = [at for at in (edges.nan, edges.inf) if at is not None]
    if broken:
        return f"NaN or inf from z = {min(broken, key=abs):.5g}"
    return "never silent"


def _zones(found: Look, chosen: Setting) -> list[tuple[str, str, float, float]]:
    wrong = -chosen.span if chosen.label else chosen.span  # the end where the label is missed most
    dead, half, broken = charts.STATES
    zones = []
    if (edges := found.edges).dead is not None:
        zones.append((found.label, dead, edges.dead, wrong))
    if edges.half_from is not None and edges.half_to is not None:
        zones.append((found.label, half, edges.half_from, edges.half_to))
    ends = [at for at in (edges.nan, edges.inf) if at is not None]
    if ends:
        zones.append((found.label, broken, min(ends, key=abs), wrong))
    return zones
