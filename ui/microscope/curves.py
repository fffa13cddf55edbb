"""The microscope's curves: each loss, its gradient and where it is silent, over the logit."""

from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.study import precision
from core.study.precision import Edges
from ui.charts import digits
from ui.charts import microscope as charts
from ui.charts.frame import Tables
from ui.charts.palette import BEFORE
from ui.microscope.setting import Setting
from ui.pieces.colours import of_losses
from ui.pieces.draw import chart, colour_key
from ui.pieces.glossary import explained
from ui.trainer import origin

POINTS = 481  # how many logits a curve is evaluated at


class Look(NamedTuple):
    """One loss under a setting: its curve and its edges."""

    key: str
    label: str
    curve: precision.Curve
    wrong: Edges  # its edges where the answer is wrong
    right: Edges  # its edges where the answer is right


def grid(chosen: Setting) -> np.ndarray:
    """The logits at which curves are evaluated, in the setting's dtype: [POINTS]."""
    points = digits.spaced(chosen.span, POINTS, chosen.axis)
    return points.astype(DTYPES[chosen.dtype].dtype)


def look(chosen: Setting, key: str) -> Look:
    """Evaluate one loss under a setting, and find its edges."""
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
    """Draw the gradients, then the strips that show where each is silent, then the losses."""
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
        "**The gradient dL/dz: how hard the loss pushes each logit**", help=explained("logit")
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
    st.markdown("**Where each loss is silent though the answer is wrong, or is not a number**")
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
    """The first logit, on either side of 0, at which each loss is NaN or infinite."""
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
    wrong = -chosen.span if chosen.label else chosen.span  # the end where the answer is most wrong
    dead, half, broken = charts.STATES
    zones: list[tuple[str, str, float, float]] = []
    if found.wrong.dead is not None:
        zones.append((found.label, dead, found.wrong.dead, wrong))
    for edges in (found.wrong, found.right):
        if edges.half_from is not None and edges.half_to is not None:
            zones.append((found.label, half, edges.half_from, edges.half_to))
    return zones + [(found.label, broken, *run) for run in _broken(found, grid(chosen))]


def _broken(found: Look, z: np.ndarray) -> list[tuple[float, float]]:
    """The stretches with NaN or inf: (near, far), where near is the exact edge if it is known."""
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
