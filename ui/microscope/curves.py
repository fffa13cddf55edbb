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


def grid(setting: Setting) -> np.ndarray:
    """The logits at which curves are evaluated, in the setting's dtype: [POINTS]."""
    points = digits.spaced(setting.span, POINTS, setting.axis)
    return points.astype(DTYPES[setting.dtype].dtype)


def examine(setting: Setting, key: str) -> Examined:
    """Evaluate one loss under a setting, and find its edges."""
    epsilon, dtype = setting.epsilon_of(key), DTYPES[setting.dtype].dtype
    args = (setting.form, key, setting.class_index, epsilon, dtype)
    return Examined(
        key,
        LOSSES[key].label,
        precision.curve(setting.form, key, grid(setting), setting.class_index, epsilon),
        precision.edges(*args),
        precision.edges(*args, right=True),
    )


def curves(setting: Setting, examined: list[Examined]) -> None:
    """Draw the gradients, then the strips that show where each is silent, then the losses."""
    z = grid(setting).astype(float)
    exact = precision.exact(setting.form, grid(setting), setting.class_index)
    labels = tuple(loss.label for loss in examined)
    colours = tuple(loss_colours([loss.key for loss in examined]).values())
    named = {**dict(zip(labels, colours, strict=True)), charts.EXACT: BEFORE}
    gone = [
        (loss.label, "NaN" if at == edges.nan else "inf", at)
        for loss in examined
        for edges in (loss.wrong, loss.right)
        if (at := precision.first_broken(edges)) is not None and abs(at) <= setting.span
    ]
    st.markdown(
        "**The gradient dL/dz: how hard the loss pushes each logit**", help=explained("logit")
    )
    gradients = {loss.label: (z, loss.curve.gradient) for loss in examined}
    colour_key(named)
    slopes = charts.slope_range(setting.label, [loss.curve.gradient for loss in examined])
    axis = (setting.span, setting.axis)
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
        zones += _zones(loss, setting)
    with st.container(key="strips"):  # style.css colours its words
        _draw(
            "strips",
            charts.strip_spec(labels, *axis),
            charts.strip_tables(labels, zones, texts, setting.span),
            "; ".join(f"{name}: {text}" for name, text in zip(labels, texts, strict=True)),
        )
    origin.causes(_cases(examined, setting), "microscope_origin")
    st.markdown("**The loss L, in nats**", help=explained("nats"))
    colour_key(named)
    losses = {loss.label: (z, loss.curve.loss) for loss in examined}
    _draw(
        "loss",
        charts.curve_spec(
            labels, colours, "loss, nats", 0, 1.1 * setting.span, *axis, y_axis=setting.axis
        ),
        charts.curve_tables({**losses, charts.EXACT: (z, exact.loss)}, gone),
        "Loss against logit for the chosen losses and the exact one.",
    )


def _cases(examined: list[Examined], setting: Setting) -> list[origin.Case]:
    """The first logit, on either side of 0, at which each loss is NaN or infinite."""
    dtype = DTYPES[setting.dtype].dtype
    return [
        origin.Case(
            loss.label,
            setting.form,
            loss.key,
            at,
            setting.class_index,
            setting.epsilon_of(loss.key),
            dtype,
        )
        for loss in examined
        for edges in (loss.wrong, loss.right)
        if (at := precision.first_broken(edges)) is not None
    ]


def _draw(key: str, spec: dict[str, Any], tables: Tables, alt: str) -> None:
    chart(f"microscope_{key}_chart", spec, tables, alt)


def _zones(loss: Examined, setting: Setting) -> list[tuple[str, str, float, float]]:
    # The end where the answer is most wrong.
    wrong = -setting.span if setting.label else setting.span
    dead, half, broken = charts.STATES
    zones: list[tuple[str, str, float, float]] = []
    if loss.wrong.dead is not None:
        zones.append((loss.label, dead, loss.wrong.dead, wrong))
    for edges in (loss.wrong, loss.right):
        if edges.half_from is not None and edges.half_to is not None:
            zones.append((loss.label, half, edges.half_from, edges.half_to))
    return zones + [(loss.label, broken, *run) for run in _broken(loss, grid(setting))]


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
