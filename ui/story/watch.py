"""The curves of twins side by side, live."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import streamlit as st

from core.parts.choices import TASKS
from core.run.job import Status
from core.run.snapshot import Snapshot
from ui.charts import live as live_charts
from ui.charts import saturation
from ui.charts import twins as charts
from ui.charts.frame import curves_sentence, percent
from ui.pieces.draw import chart, colour_key
from ui.pieces.glossary import explained
from ui.pieces.waiting import draw_until
from ui.story.series import watch_series
from ui.story.twin import Twin, Twins, all_done, viewers_of
from ui.trainer.live import POLL_SECONDS

CURVES = {"accuracy": "Training accuracy by step", "loss": "Loss by step, in nats"}
SAME = 1e-3  # of two curves nearer than this, one hides the other
HELP = {"accuracy": explained("share right"), "loss": explained("loss", "nats")}


def watch(twins: Twins, key: str = "twins", predictions: bool = True) -> bool:
    """Draw all runs live on shared axes; return True once every run has ended.

    Args:
      key: keeps its charts apart from those of other twins on the page.
      predictions: whether to draw each run's predicted probabilities as well.
    """
    colour_key({twin.label: twin.colour for twin in twins})
    return draw_until(
        lambda: all_done(viewers_of(twins)),
        lambda ended: _watch(twins, ended, key, predictions),
        POLL_SECONDS,
    )


def _watch(twins: Twins, drawn_ended: bool, key: str, predictions: bool) -> None:
    views = {label: viewer.view() for label, viewer in viewers_of(twins).items()}
    for view in views.values():
        if view.status is Status.REFUSED:
            st.warning(view.message, icon=":material/block:")
        elif view.status is Status.FAILED:
            st.error(view.message)
    runs = {label: view.snapshots for label, view in views.items()}
    if not drawn_ended:
        done = sum(run[-1].step for run in runs.values() if run)
        total = sum(view.steps for view in views.values())
        status = next(iter(views.values())).status
        st.progress(min(1.0, done / total), text=f"{status}: {len(twins)} runs, taking turns")
    if TASKS[twins[0].config.task].series:
        watch_series(twins, runs, drawn_ended, key)
        return
    for column, (quantity, title) in zip(
        st.columns(len(CURVES), gap="medium"), CURVES.items(), strict=True
    ):
        with column:
            st.markdown(f"**{title}**", help=HELP[quantity])
            _curves(twins, runs, quantity, drawn_ended, key)
    if reporting(twins, runs):
        st.caption("Dashed: the accuracy on held-out images that a program reports.")
    if predictions:
        for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
            with column:
                _saturation(twin, runs[twin.label], drawn_ended, key)
    if drawn_ended and (under := hidden(twins, runs)):
        st.caption(under)


def _curves(
    twins: Twins, runs: Mapping[str, Sequence[Snapshot]], quantity: str, ended: bool, key: str
) -> None:
    curves = {label: curve(run, quantity) for label, run in runs.items()}
    colours = {twin.label: twin.colour for twin in twins}
    if quantity == "accuracy":
        for twin in reporting(twins, runs):
            name, run = f"{twin.label}, {live_charts.REPORTED}", runs[twin.label]
            curves[name] = [s.step for s in run], [s.reported for s in run]
            colours[name] = twin.colour
    every = [value for _, values in curves.values() for value in values]
    top = live_charts.loss_top(every) if quantity == "loss" else None
    steps = max(twin.config.steps for twin in twins)
    dashed = tuple(name for name in curves if name not in runs)
    spec = charts.curves_spec(tuple(curves), tuple(colours.values()), steps, top, dashed)
    ended_curves = {label: values for label, (_, values) in curves.items()} if ended else {}
    text = live_charts.in_units if quantity == "loss" else percent
    alt = curves_sentence(CURVES[quantity], ended_curves, steps, text) or f"{CURVES[quantity]}."
    chart(f"{key}_{quantity}", spec, charts.curves_tables(curves), alt)


def reporting(twins: Twins, runs: Mapping[str, Sequence[Snapshot]]) -> list[Twin]:
    """The twins whose programs report another accuracy on held-out images than the true one."""
    return [twin for twin in twins if live_charts.reports_otherwise(runs[twin.label])]


def hidden(twins: Twins, runs: Mapping[str, Sequence[Snapshot]]) -> str:
    """Tell which curves cannot be seen because another twin's curve lies over them."""
    shown = {
        twin.label: np.array([curve(runs[twin.label], quantity)[1] for quantity in CURVES])
        for twin in twins
    }
    pairs = (
        f"“{a}” lies under “{b}”."
        for a, b in combinations(shown, 2)
        if shown[a].size
        and shown[a].shape == shown[b].shape
        and np.isfinite(shown[a]).any()
        and np.allclose(shown[a], shown[b], rtol=SAME, atol=SAME, equal_nan=True)
    )
    return " ".join(pairs)


def curve(run: Sequence[Snapshot], quantity: str) -> tuple[list[int], list[float]]:
    """The steps of a run, and at each its training "accuracy" or its "loss"."""
    right = live_charts.accuracies(run, [s.train_accuracy for s in run])
    return [s.step for s in run], right if quantity == "accuracy" else [s.loss for s in run]


def _saturation(twin: Twin, run: Sequence[Snapshot], ended: bool, key: str) -> None:
    now = run[-1] if run else None
    after = f" after step {now.step:,}" if now else ""
    st.markdown(
        f"**{twin.label}: predictions{after}**",
        help=explained("saturated", "clipped", "zero gradient"),
    )
    drawing = saturation.saturation(now, "predicted probability", "", last=now if ended else None)
    alt = f"{twin.label}: {drawing.sentence or drawing.alt}"
    chart(f"{key}_saturation_{twin.label}", drawing.spec, drawing.tables, alt)
