"""The home page's race: three ways to write one loss, recorded, or live after a click."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from core.config import RunConfig
from core.run.job import Status
from core.run.snapshot import Snapshot
from ui.charts import home
from ui.charts.frame import curves_sentence
from ui.engine import device
from ui.pages import PAGES
from ui.pieces.colours import run_colours
from ui.pieces.draw import chart
from ui.pieces.waiting import draw_until
from ui.story.twin import all_done, viewers
from ui.trainer.live import POLL_SECONDS

RECORDED = Path(__file__).parents[1] / "assets/home.json"
RUNS = {
    "as in the textbook": RunConfig(loss="naive"),
    "clipped": RunConfig(loss="question_stable"),
    "from logits": RunConfig(loss="from_logits"),
}
STEPS = RunConfig().steps
SEED = "race_seed"  # the seed of the live race
SHOWS = "Training accuracy by step for three ways to write the same loss"


def row(label: str, snapshot: Snapshot) -> dict[str, Any]:
    """Return one point of a run's curve; NaN predictions have no accuracy."""
    nan = snapshot.saturation.nonfinite > 0
    accuracy = None if nan else round(snapshot.train_accuracy, 4)
    return {"step": snapshot.step, "accuracy": accuracy, "loss": label}


def race() -> bool:
    """Draw the recorded curves, or the same runs live once the visitor asks for them.

    Return whether another race may begin.
    """
    if (seed := st.session_state.get(SEED)) is not None:
        racing = {name: replace(config, seed=seed) for name, config in RUNS.items()}
        return draw_until(
            lambda: all_done(viewers(racing)), partial(_live, racing, seed), POLL_SECONDS
        )
    recorded = json.loads(RECORDED.read_text())
    _draw(recorded["rows"], ended=True)
    st.caption(
        f"Measured with {recorded['measured_with']}. The clipped curve is chaotic: rounding alone "
        "changes where it ends, so on another machine it may end elsewhere."
    )
    return True


def _live(racing: Mapping[str, RunConfig], seed: int, drawn_ended: bool) -> None:
    views = {label: viewer.view() for label, viewer in viewers(racing).items()}
    rows = [row(label, snapshot) for label, view in views.items() for snapshot in view.snapshots]
    _draw(rows, drawn_ended)
    refused = {view.message for view in views.values() if view.status is Status.REFUSED}
    for message in sorted(refused):
        st.warning(message, icon=":material/block:")
    status = "done" if drawn_ended else next(iter(views.values())).status
    st.caption(f"Live, seed {seed}, {status}: JAX on this server's {device()}.")


def _draw(rows: list[dict[str, Any]], ended: bool) -> None:
    curves: dict[str, list[float]] = {}
    for each in rows if ended else ():
        accuracy = math.nan if each["accuracy"] is None else each["accuracy"]
        curves.setdefault(each["loss"], []).append(accuracy)
    alt = curves_sentence(SHOWS, curves, STEPS) or f"{SHOWS}."
    with st.container(key="picture"):
        tables = {"rows": home.table(rows)}
        colours = tuple(run_colours(list(RUNS.values())))
        chart("race", home.spec(tuple(RUNS), colours, STEPS), tables, alt, height="stretch")


SECTIONS = {"Stories": "Stories: it happened to others", "Lab": "Lab: change what you like"}


def cards() -> None:
    """Draw a card for each page: the stories, and below them the lab."""
    for section, headline in SECTIONS.items():
        st.header(headline, anchor=False)
        with st.container(key=f"cards_{section}"):
            for row in PAGES.values():
                if row.section == section:
                    with st.container(border=True, height="stretch"):
                        st.page_link(row.path, label=f"**{row.label}**", icon=row.icon)
                        st.markdown(row.summary)
                        if row.reference:
                            st.caption(f"From {row.reference}.")


def race_button(ready: bool) -> None:
    """Draw the button that starts the race live, and then again with another seed."""
    seed = st.session_state.get(SEED)
    st.button(
        "Race them here, live" if seed is None else "Another seed",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not ready,
        key="race_button",
        on_click=_begin,
        args=[0 if seed is None else seed + 1],
    )


def _begin(seed: int) -> None:
    st.session_state[SEED] = seed
