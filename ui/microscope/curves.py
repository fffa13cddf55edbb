"""Losses at one logit after another: gradient, dead zones, loss."""

from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.study import precision
from core.study.precision import Edges
from ui import origin
from ui.charts import digits
from ui.charts import microscope as charts
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE
from ui.colours import of_losses
from ui.draw import chart, colour_key
from ui.microscope.setting import Setting
from ui.words import explained

POINTS = 481  # logits that a curve is evaluated at


class Look(NamedTuple):
    """A loss under a setting."""

    key: str
    label: str
    curve: precision.Curve
    wrong: Edges  # on the side where the label is missed
    right: Edges  # on the side where it is hit


def grid(chosen: Setting) -> np.ndarray:
    """The logits that curves are evaluated at: numbers of the dtype itself, [POINTS]."""
    points = digits.spaced(chosen.span, POINTS, chosen.axis)
    return points.astype(DTYPES[chosen.dtype].dtype)


def look(chosen: Setting, key: str) -> Look:
    """One loss under the microscope."""
    epsilon, dtype = chosen.epsilon_of(key), DTYPES[chosen.dtype].dtype
    args = (chosen.form, key, chosen.class_index, epsilon, dtype)
    return Look(
        key,
        LOSSES[key].label,
        precision.curve(chosen.form, key, grid(chosen), chosen.class_index, epsilon),
        precision.edges(*args),
        precision.edges(*args, right=True),
    )


def curves(chosen: Setting, looks: list[Look]) -> None:
    """The gradient, the strips, and below the loss."""
    z = grid(chosen).astype(float)
    exact = precision.exact(chosen.form, grid(chosen), chosen.class_index)
    labels = tuple(found.label for found in looks)
    colours = tuple(of_losses([found.key for found in looks]).values())
    named = {**dict(zip(labels, colours, strict=True)), charts.EXACT: BEFORE}
    gone = [
        (found.label, "NaN" if at == edges.nan else "inf", at)
        for found in looks
        for edges in (found.wrong, found.right)
        if (at := precision.first_broken(edges)) is not None and abs(at) <= chosen.span
    ]
    st.markdown(
        "**The gradient dL/dz: how hard the loss pushes at this logit**", help=explained("logit")
    )
    gradients = {found.label: (z, found.curve.gradient) for found in looks}
    colour_key(named)
    slopes = charts.slope_range(chosen.label, [found.curve.gradient for found in looks])
    axis = (chosen.span, chosen.axis)
    _draw(
        "gradient",
        charts.curve_spec(labels, colours, "dL/dz", *slopes, *axis),
        charts.curve_tables({**gradients, charts.EXACT: (z, exact.gradient)}, gone),
        "Gradient against logit for the chosen losses and the exact one.",
    )
    st.markdown("**Where each one is silent though it is wrong, or not a number**")
    colour_key(charts.STATES)
    texts, zones = [], []
    for found in looks:
        texts.append(precision.silence(found.wrong, found.right))
        zones += _zones(found, chosen)
    with st.container(key="strips"):  # style.css colours its words
        _draw(
            "strips",
            charts.strip_spec(labels, *axis),
            charts.strip_tables(labels, zones, texts, chosen.span),
            "; ".join(f"{name}: {text}" for name, text in zip(labels, texts, strict=True)),
        )
    origin.explained(_cases(looks, chosen), "microscope_origin")
    st.markdown("**The loss L, in nats**", help=explained("nats"))
    colour_key(named)
    losses = {found.label: (z, found.curve.loss) for found in looks}
    _draw(
        "loss",
        charts.curve_spec(
            labels, colours, "loss, nats", 0, 1.1 * chosen.span, *axis, y_axis=chosen.axis
        ),
        charts.curve_tables({**losses, charts.EXACT: (z, exact.loss)}, gone),
        "Loss against logit for the chosen losses and the exact one.",
    )


def _cases(looks: list[Look], chosen: Setting) -> list[origin.Case]:
    """Each loss where it first is NaN or infinite, on either side."""
    dtype = DTYPES[chosen.dtype].dtype
    return [
        origin.Case(
            found.label, chosen.form, found.key, at, chosen.class_index,
            chosen.epsilon_of(found.key), dtype,
        )
        for found in looks
        for edges in (found.wrong, found.right)
        if (at := precision.first_broken(edges)) is not None
    ]  # fmt: skip


def _draw(key: str, spec: dict[str, Any], tables: Tables, alt: str) -> None:
    chart(f"microscope_{key}_chart", spec, tables, alt)


def _zones(found: Look, chosen: Setting) -> list[tuple[str, str, float, float]]:
    wrong = -chosen.span if chosen.label else chosen.span  # the end where the label is missed most
    dead, half, broken = charts.STATES
    zones: list[tuple[str, str, float, float]] = []
    if found.wrong.dead is not None:
        zones.append((found.label, dead, found.wrong.dead, wrong))
    for edges in (found.wrong, found.right):
        if edges.half_from is not None and edges.half_to is not None:
            zones.append((found.label, half, edges.half_from, edges.half_to))
    return zones + [(found.label, broken, *run) for run in _broken(found, grid(chosen))]


def _broken(found: Look, z: np.ndarray) -> list[tuple[float, float]]:
    """The stretches of the grid with NaN or inf, outwards; the first begins at its exact edge."""
    finite = np.isfinite(found.curve.gradient) & np.isfinite(found.curve.loss)
    ends = np.flatnonzero(np.diff(np.concatenate([[1], finite, [1]]))).reshape(-1, 2)
    z = z.astype(float)
    exact = [at for e in (found.wrong, found.right) if (at := precision.first_broken(e))]
    runs = []
    for first, after in ends:
        near, far = sorted((z[first], z[after - 1]), key=abs)
        inwards = z[after if near == z[after - 1] else first - 1] if near else near
        low, high = sorted((inwards, near))
        runs.append((next((at for at in exact if low <= at <= high), near), far))
    return runs
