"""Who sits where the losses are silent: a run's own logits under the microscope's axis."""

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.run.job import Viewer
from core.run.snapshot import Snapshot
from ui.charts import microscope as charts
from ui.draw import chart
from ui.engine import engine
from ui.microscope.curves import Look
from ui.microscope.setting import Setting


def _network() -> tuple[Viewer, int, str]:
    """Whose logits to show, up to which step, and its name: the trainer's, or the question's."""
    viewer: Viewer | None = st.session_state.get("viewer")
    if viewer is not None and viewer.view().snapshots:
        return viewer, viewer.config.steps, "the network in the trainer"
    if "microscope_viewer" not in st.session_state:
        st.session_state["microscope_viewer"] = engine().submit(RunConfig(), play=False)
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
    chart(
        "microscope_rug_chart",
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
