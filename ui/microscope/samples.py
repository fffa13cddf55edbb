"""Who sits where the losses are silent: a run's own logits under the microscope's axis."""

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.run.job import Viewer
from core.run.snapshot import Snapshot
from core.study import precision
from ui.charts import microscope as charts
from ui.draw import chart, colour_key
from ui.engine import engine
from ui.microscope.curves import Look
from ui.microscope.setting import Setting


def _network() -> tuple[Viewer, int, str]:
    """Whose logits to show, up to which step, and its name: the trainer's, or the question's."""
    viewer: Viewer | None = st.session_state.get("viewer")
    if viewer is not None and viewer.view().snapshots:
        return viewer, viewer.config.steps, "the network in the trainer"
    if "microscope_viewer" not in st.session_state:
        st.session_state["microscope_viewer"] = engine().submit(RunConfig(), until=0)
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
    margins, wrong = samples(snapshot, chosen)
    z = precision.position(chosen.form, margins, chosen.class_index)
    st.markdown(f"**Who sits there: how many logits of {name}, after step {snapshot.step:,}**")
    colour_key(charts.RIGHT_WRONG)
    chart(
        "microscope_rug_chart",
        charts.rug_spec(chosen.span, chosen.axis),
        charts.rug_tables(z, wrong, chosen.span, chosen.axis),
        f"Histogram of {len(z)} logits; {wrong.mean():.0%} are wrong."
        if len(z) else "No sample has this label.",
    )  # fmt: skip
    said = [who(chosen, looks, margins, wrong)]
    if chosen.form != "binary" or not two_classes(snapshot):
        said.append("Each one sits where the curves give its true class the same probability.")
    said.append("The outermost bars hold all that is beyond the view.")
    if np.isnan(z).any():
        said.append(f"{np.mean(np.isnan(z)):.1%} of the logits are NaN and sit nowhere.")
    st.caption(" ".join(said))


def two_classes(snapshot: Snapshot) -> bool:
    """Whether a run asks for one logit, five or more, and not for a digit."""
    return set(np.unique(snapshot.labels)) <= {0, 1}


def samples(snapshot: Snapshot, chosen: Setting) -> tuple[np.ndarray, np.ndarray]:
    """The margins of the samples looked at, and which of them are wrong.

    With two classes those are the samples with the label looked at, with ten classes all: the true
    class of each against the others.
    """
    margins, wrong = np.asarray(snapshot.margins, float), ~np.asarray(snapshot.correct)
    if not two_classes(snapshot):
        return margins, wrong
    seen = snapshot.labels == chosen.label
    return (margins if chosen.label else -margins)[seen], wrong[seen]


def who(chosen: Setting, looks: list[Look], margins: np.ndarray, wrong: np.ndarray) -> str:
    """Who gets no gradient, or none that is a number, from each loss, in words."""
    silent, gone, unknown = [], [], []
    for found in looks:
        broken = [precision.first_broken(edges) for edges in (found.wrong, found.right)]
        if chosen.form == "softmax" and broken != [None, None]:
            unknown.append(found.label)
            continue
        epsilon, dtype = chosen.epsilon_of(found.key), DTYPES[chosen.dtype].dtype
        slopes = precision.slopes(
            chosen.form, found.key, margins, chosen.class_index, epsilon, dtype
        )
        for told, which in ((silent, wrong & (slopes == 0)), (gone, ~np.isfinite(slopes))):
            if which.any():
                told.append(f"{which.mean():.1%} with {found.label}")
    said, these = [], f"these {len(margins):,} samples"
    if silent:
        said.append(f"Of {these}, wrong with gradient exactly 0: {', '.join(silent)}.")
    elif len(unknown) < len(looks):
        said.append(f"None of {these} is wrong with gradient exactly 0.")
    if gone:
        said.append(f"Gradient NaN or inf: {', '.join(gone)}.")
    if unknown:
        names = ", ".join(unknown)
        said.append(f"Not counted, for NaN depends on all the logits of a sample: {names}.")
    return " ".join(said)
