"""The microscope: losses at one logit after another, and who sits where they are silent."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import streamlit as st

from core import precision
from core.choices import TASKS
from core.config import RunConfig
from core.engine import Viewer
from core.fields import Choice, Choices, Field, Range, parse_query, to_text
from core.losses import LOSSES, Form, losses_for
from core.precision import DTYPES, Edges
from core.snapshot import Snapshot
from ui import live
from ui.charts import microscope as charts
from ui.controls import decades, number
from ui.state import PageState, Values

POINTS = 481  # logits that a curve is evaluated at
edges_of = lru_cache(maxsize=4096)(precision.edges)  # the table has 56, at 2 ms each
SPANS = (5, 10, 20, 30, 50, 120)

FIELDS: dict[str, Field] = {
    "task": Choice(TASKS),
    "losses": Choices(LOSSES, most=6),
    "dtype": Choice(DTYPES),
    "label": Range(0, 1, whole=True),
    "epsilon": Range(0, 0.499),
    "span": Range(SPANS[0], SPANS[-1], whole=True),
}


class Setting(NamedTuple):
    """What is under the microscope."""

    task: str = "binary"
    losses: tuple[str, ...] = ("question_stable", "keras_jax", "from_logits")
    dtype: str = "float32"
    label: int = 1  # 1: a large logit is right; 0: a large logit is wrong
    epsilon: float = 0.0  # 0: each loss's own
    span: int = 30  # logits shown, from -span to span

    @property
    def form(self) -> Form:
        """The form of the losses."""
        return TASKS[self.task].form

    @property
    def class_index(self) -> int:
        """The label as core.precision counts it: in its softmax line, class 0 has the logit z."""
        return self.label if self.form == "binary" else 1 - self.label

    def epsilon_of(self, key: str) -> float:
        """The epsilon that a loss is shown with; 1e-7 stands for those that ignore it."""
        own = LOSSES[key].epsilon
        return 1e-7 if own is None else self.epsilon or own


class Look(NamedTuple):
    """A loss under a setting."""

    key: str
    label: str
    curve: precision.Curve
    edges: Edges


def _fit(values: Values) -> Setting:
    """The setting nearest to these values: only losses that the task has."""
    setting = Setting(**values)
    allowed = losses_for(setting.form)
    kept = tuple(key for key in setting.losses if key in allowed) or allowed[-1:]
    return setting._replace(losses=kept)


def _from_query(query: dict[str, str]) -> tuple[Values, list[str]]:
    values, notes = parse_query(FIELDS, query)
    return _fit({**Setting()._asdict(), **values})._asdict(), notes


def _to_query(values: Values) -> dict[str, str]:
    default = Setting()._asdict()
    return {name: to_text(value) for name, value in values.items() if value != default[name]}


STATE = PageState("microscope", Setting._fields, _from_query, _to_query)


def setting() -> Setting:
    """Draw the controls in the sidebar and return what they say."""
    STATE.take_over()
    key, value = STATE.key, STATE.value
    form = TASKS[value("task")].form
    with st.sidebar:
        st.multiselect(
            "losses", losses_for(form), value("losses"), key=key("losses"), on_change=_changed,
            max_selections=FIELDS["losses"].most,
            format_func=lambda loss: LOSSES[loss].label,
        )  # fmt: skip
        st.segmented_control(
            "label", [1, 0], default=value("label"), key=key("label"), on_change=_changed,
            required=True,
            format_func=lambda y: f"y = {y}" if form == "binary" else ("others'", "z's own")[y],
            help="Which answer is right. With label 1 the far left is as wrong as can be.",
        )  # fmt: skip
        st.select_slider(
            "epsilon", sorted({0.0, *decades("epsilon"), value("epsilon")}), value("epsilon"),
            key=key("epsilon"), on_change=_changed,
            format_func=lambda e: number(e) if e else "each its own",
        )  # fmt: skip
        st.segmented_control(
            "number format", list(DTYPES), default=value("dtype"), key=key("dtype"),
            on_change=_changed, required=True,
        )  # fmt: skip
        st.select_slider(
            "logits shown", sorted({*SPANS, value("span")}), value("span"), key=key("span"),
            on_change=_changed, format_func=lambda span: f"±{span}",
        )  # fmt: skip
        st.segmented_control(
            "task", list(TASKS), default=value("task"), key=key("task"), on_change=_changed,
            required=True,
            format_func=lambda task: TASKS[task].label,
        )  # fmt: skip
    chosen = _fit(_values())
    STATE.write(chosen._asdict())
    STATE.tell_notes()
    return chosen


def _values() -> Values:
    return {**STATE.values(), "losses": tuple(STATE.values()["losses"])}


def _changed() -> None:
    values = _values()
    if not values["losses"]:
        values["losses"] = ("from_logits",)
    STATE.set(_fit(values)._asdict())


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
    _chart(
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
    _chart(
        "strips",
        charts.strip_spec(labels, chosen.label, chosen.span),
        charts.strip_tables(labels, zones, texts, chosen.span),
        "; ".join(f"{name}: {text}" for name, text in zip(labels, texts, strict=True)),
    )
    st.markdown("**The loss L, in nats**")
    losses = {found.label: (z, found.curve.loss) for found in looks}
    _chart(
        "loss",
        charts.curve_spec(labels, 0, 1.1 * chosen.span, chosen.span),
        charts.curve_tables({**losses, charts.EXACT: (z, exact.loss)}, gone),
        "Loss against logit for the chosen losses and the exact one.",
    )


def _chart(key: str, spec: dict, tables: charts.Tables, alt: str) -> None:
    st.vega_lite_chart({**spec, "datasets": tables}, key=f"microscope_{key}_chart", alt=alt)


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


def _network() -> tuple[Viewer, int, str]:
    """Whose logits to show, up to which step, and its name: the trainer's, or the question's."""
    viewer: Viewer | None = st.session_state.get("viewer")
    if viewer is not None and viewer.view().snapshots:
        return viewer, viewer.config.steps, "the network in the trainer"
    if "microscope_viewer" not in st.session_state:
        st.session_state["microscope_viewer"] = live.engine().submit(RunConfig(), play=False)
    return st.session_state["microscope_viewer"], 0, "the question's initial network"


def rug(chosen: Setting, looks: list[Look]) -> None:
    """Who sits where: a run's logits under the same axis."""
    ready = _snapshot() is not None
    st.fragment(_rug, run_every=None if ready else 0.5)(chosen, looks, ready)


def _snapshot() -> tuple[Snapshot, str] | None:
    viewer, at, name = _network()
    shown = [s for s in viewer.view().snapshots if s.step <= at]
    return (shown[-1], name) if shown else None


def _rug(chosen: Setting, looks: list[Look], drawn_ready: bool) -> None:
    found = _snapshot()
    if found is None:
        st.progress(0.0, text="compiling the question's network to see its logits")
        return
    if not drawn_ready:
        st.rerun()
    snapshot, name = found
    z, wrong = samples(snapshot, chosen)
    st.markdown(f"**Who sits there: how many logits of {name}, after step {snapshot.step:,}**")
    _chart(
        "rug",
        charts.rug_spec(chosen.span),
        charts.rug_tables(z, wrong, chosen.span),
        f"Histogram of {len(z)} logits; {wrong.mean():.0%} are on the wrong side."
        if len(z) else "No sample has this label.",
    )  # fmt: skip
    told = [
        f"{np.mean(is_dead):.0%} get gradient 0 from {found.label}"
        for found in looks
        if (is_dead := in_dead_zone(z, found.edges.dead, chosen.label)).any()
    ]
    if told:
        who = f"Of these {len(z):,} samples, " + ", ".join(told) + "."
    else:
        who = f"None of these {len(z):,} samples is beyond a dead zone's edge."
    st.caption(f"{who} The outermost bars hold all that is beyond the view.")


def samples(snapshot: Snapshot, chosen: Setting) -> tuple[np.ndarray, np.ndarray]:
    """The logits of the samples with the label looked at, and which of them are wrong.

    A run with ten classes gives the logit of the true class against all others: label 1.
    """
    z = np.asarray(snapshot.margins, float)
    if set(np.unique(snapshot.labels)) <= {0, 1}:
        z = z[snapshot.labels == chosen.label]
    elif chosen.label == 0:
        z = -z
    return z, (z < 0) if chosen.label else (z >= 0)


def in_dead_zone(z: np.ndarray, edge: float | None, label: int) -> np.ndarray:
    """Which logits lie at or beyond the edge on the label's wrong side."""
    if edge is None:
        return np.zeros(len(z), bool)
    return z <= edge if label else z >= edge


def edge_table(chosen: Setting) -> None:
    """Where every loss of this form goes silent, in every number format."""
    columns: dict[str, list[str]] = {"loss": [], "epsilon": []}
    columns |= {key: [] for key in DTYPES}
    for key in losses_for(chosen.form):
        columns["loss"].append(LOSSES[key].label)
        own = LOSSES[key].epsilon
        columns["epsilon"].append("–" if own is None else number(chosen.epsilon_of(key)))
        for name, row in DTYPES.items():
            epsilon = chosen.epsilon_of(key)
            found = edges_of(chosen.form, key, chosen.class_index, epsilon, row.dtype)
            columns[name].append(_edge_text(found))
    st.table(columns, hide_index=True)


def _edge_text(edges: Edges) -> str:
    if edges.dead is not None:
        return f"{edges.dead:.5g}"
    if edges.nan is not None:
        return f"NaN at {edges.nan:.5g}"
    return f"inf at {edges.inf:.5g}" if edges.inf is not None else "never"


def calculator(chosen: Setting) -> None:
    """Which epsilon works in which number format."""
    epsilon = chosen.epsilon or 1e-7
    columns: dict[str, list[str]] = {"": [], "keeps p below 1": [], "keeps p above 0": [],
                                     "1/ε finite": []}  # fmt: skip
    for row in DTYPES.values():
        limits = precision.epsilon_limits(row.dtype)
        columns[""].append(row.label)
        columns["keeps p below 1"].append(_limit(epsilon > limits.upper, ">", limits.upper))
        columns["keeps p above 0"].append(_limit(epsilon >= limits.lower, "≥", limits.lower))
        columns["1/ε finite"].append(_limit(epsilon >= limits.reciprocal, "≥", limits.reciprocal))
    st.markdown(f"**Does ε = {number(epsilon)} work?**")
    st.table(columns, hide_index=True)


def _limit(holds: bool, sign: str, value: float) -> str:
    power = np.log2(value)
    exact = f"2^{int(power)}" if power == int(power) else f"{value:.2g}"
    return f"{'yes' if holds else 'NO'}, needs ε {sign} {exact}"
