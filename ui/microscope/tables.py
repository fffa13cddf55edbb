"""The microscope's two tables: which epsilon works, and where each loss goes silent."""

import numpy as np
import streamlit as st

from core.fields import number
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, losses_for
from core.study import precision
from core.study.precision import Edges
from ui.microscope.setting import Setting
from ui.pieces.draw import text_table

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def edge_table(setting: Setting) -> None:
    """Draw from which logit on each loss is silent though wrong, in every number format."""
    columns: dict[str, list[str]] = {"loss": [], "epsilon": []}
    columns |= {key: [] for key in DTYPES}
    for key in (*losses_for(setting.form), *filter(None, [setting.formula])):
        columns["loss"].append(LOSSES[key].label)
        own = LOSSES[key].epsilon
        columns["epsilon"].append("–" if own is None else number(setting.epsilon_of(key)))
        for name, row in DTYPES.items():
            epsilon = setting.epsilon_of(key)
            edges = precision.edges(setting.form, key, setting.class_index, epsilon, row.dtype)
            columns[name].append(_edge_text(edges))
    text_table(columns, "From which logit on each loss is silent, by number format")


def _edge_text(edges: Edges) -> str:
    broken = precision.first_broken(edges)
    texts = [] if edges.dead is None else [f"{edges.dead:.5g}"]
    if broken is not None:
        texts.append(f"{'NaN' if broken == edges.nan else 'inf'} at {broken:.5g}")
    return ", ".join(texts) or "never"


def calculator(setting: Setting) -> None:
    """Draw which number formats the epsilon works in."""
    epsilon = setting.epsilon or 1e-7
    heads = ("number format", "1 - ε is below 1", "log ε is finite", "1/ε is finite")
    columns: dict[str, list[str]] = {head: [] for head in heads}
    for row in DTYPES.values():
        limits = precision.epsilon_limits(row.dtype)
        columns["number format"].append(row.label)
        columns["1 - ε is below 1"].append(_limit(epsilon > limits.upper, ">", limits.upper))
        columns["log ε is finite"].append(_limit(epsilon >= limits.lower, "≥", limits.lower))
        columns["1/ε is finite"].append(
            _limit(epsilon >= limits.reciprocal, "≥", limits.reciprocal)
        )
    question = f"Does ε = {number(epsilon)} work?"
    st.markdown(f"**{question}**")
    text_table(columns, question)


def _limit(holds: bool, sign: str, value: float) -> str:
    power = np.log2(value)
    whole, rounded = power == int(power), f"{value:.2g}".replace("e-0", "e-")
    exact = f"2{str(int(power)).translate(RAISED)}" if whole else rounded
    return f"{'yes' if holds else 'NO'}, needs ε {sign} {exact}"
