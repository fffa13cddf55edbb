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
from ui.pieces.colours import loss_colours
from ui.pieces.draw import chart, colour_key
from ui.pieces.glossary import explained
from ui.trainer import origin

POINTS = 481  # how many logits a curve is evaluated at


class Examined(NamedTuple):
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


def examine(chosen: Setting, key: str) -> Examined:
    """Evaluate one loss under a setting, and find its edges."""
    epsilon, dtype = chosen.epsilon_of(key), DTYPES[chosen.dtype].dtype
    args = (chosen.form, key, chosen.class_index, epsilon, dtype)
    return Examined(
        key,
        LOSSES[key].label,
        precision.curve(chosen.form, key, grid(chosen), chosen.class_index, epsilon),
        precision.edges(*args),
        precision.edges(*args, right=True),
    )


def curves(chosen: Setting, examined: list[Examined]) -> None:
    """Draw the gradients, then the strips that show where each is silent, then the losses."""
    z = grid(chosen).astype(float)
    exact = precision.exact(chosen.form, grid(chosen), chosen.class_index)
    labels = tuple(loss.label for loss in examined)
    colours = tuple(loss_colours([loss.key for loss in examined]).values())
    named = {**dict(zip(labels, colours, strict=True)), charts.EXACT: BEFORE}
    gone = [
        (loss.label, "NaN" if at == edges.nan else "inf", at)
        for loss in examined
        for edges in (loss.wrong, loss.right)
        if (at := precision.first_broken(edges)) is not None and abs(at) <= chosen.span
    ]
    st.markdown(
        "**The gradient dL/dz: how hard the loss pushes each logit**", help=explained("logit")
    )
    gradients = {loss.label: (z, loss.curve.gradient) for loss in examined}
    colour_key(named)
    slopes = charts.slope_range(chosen.label, [loss.curve.gradient for loss in examined])
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
    for loss in examined:
        texts.append(precision.silence(loss.wrong, loss.right))
        zones += _zones(loss, chosen)
    with st.container(key="strips"):  # style.css colours its words
        _draw(
            "strips",
            charts.strip_spec(labels, *axis),
            charts.strip_tables(labels, zones, texts, chosen.span),
            "; ".join(f"{name}: {text}" for name, text in zip(labels, texts, strict=True)),
        )
    origin.causes(_cases(examined, chosen), "microscope_origin")
    st.markdown("**The loss L, in nats**", help=explained("nats"))
    colour_key(named)
    losses = {loss.label: (z, loss.curve.loss) for loss in examined}
    _draw(
        "loss",
        charts.curve_spec(
            labels, colours, "loss, nats", 0, 1.1 * chosen.span, *axis, y_axis=chosen.axis
        ),
        charts.curve_tables({**losses, charts.EXACT: (z, exact.loss)}, gone),
        "Loss against logit for the chosen losses and the exact one.",
    )


def _cases(examined: list[Examined], chosen: Setting) -> list[origin.Case]:
    """The first logit, on either side of 0, at which each loss is NaN or infinite."""
    dtype = DTYPES[chosen.dtype].dtype
    return [
        origin.Case(
            loss.label, chosen.form, loss.key, at, chosen.class_index,
            chosen.epsilon_of(loss.key), dtype,
        )
        for loss in examined
        for edges in (loss.wrong, loss.right)
        if (at := precision.first_broken(edges)) is not None
    ]  # fmt: skip


def _draw(key: str, spec: dict[str, Any], tables: Tables, alt: str) -> None:
    chart(f"microscope_{key}_chart", spec, tables, alt)


def _zones(loss: Examined, chosen: Setting) -> list[tuple[str, str, float, float]]:
    wrong = -chosen.span if chosen.label else chosen.span  # the end where the answer is most wrong
    dead, half, broken = charts.STATES
    zones: list[tuple[str, str, float, float]] = []
    if loss.wrong.dead is not None:
        zones.append((loss.label, dead, loss.wrong.dead, wrong))
    for edges in (loss.wrong, loss.right):
        if edges.half_from is not None and edges.half_to is not None:
            zones.append((loss.label, half, edges.half_from, edges.half_to))
    return zones + [(loss.label, broken, *run) for run in _broken(loss, grid(chosen))]


def _broken(loss: Examined, z: np.ndarray) -> list[tuple[float, float]]:
    """The stretches with NaN or inf: (near, far), where near is the exact edge if it is known."""
    finite = np.isfinite(loss.curve.gradient) & np.isfinite(loss.curve.loss)
    ends = np.flatnonzero(np.diff(np.concatenate([[1], finite, [1]]))).reshape(-1, 2)
    z = z.astype(float)
    exact = [at for e in (loss.wrong, loss.right) if (at := precision.first_broken(e))]
    runs = []
    for first, after in ends:
        near, far = sorted((z[first], z[after - 1]), key=abs)
        inwards = z[after if near == z[after - 1] else first - 1] if near else near
        low, high = sorted((inwards, near))
        runs.append((next((at for at in exact if low <= at <= high), near), far))
    return runs
