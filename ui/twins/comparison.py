"""The page of two runs: what differs, where first, and how much of each result is chance."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.choices import TASKS
from core.run.errands import Errand
from core.run.job import View
from core.study.twins import MAY_DIFFER, differing_fields, nearest_twin
from ui.charts import twins as charts
from ui.pieces.draw import chart, colour_key, text_table
from ui.pieces.names import names
from ui.pieces.widgets import LABELS, value_text
from ui.state import rerun
from ui.story.parting import parting
from ui.story.twin import Twins, coloured, viewers_of
from ui.trainer import nudged
from ui.trainer.live import WAITING_POLL_SECONDS
from ui.twins import gap
from ui.twins.pair import compare
from ui.twins.stages import stages


def runs_of(a: RunConfig, b: RunConfig) -> Twins:
    """Return two runs to compare; if that makes no sense, say why and draw no more of the page."""
    if a == b:
        st.info("Both are the same run: choose another one.", icon=":material/info:")
        st.stop()
    if a.task != b.task:
        first, second = (value_text("task", config.task) for config in (a, b))
        st.warning(
            f"These two learn different things: {first} and {second}. Choose two runs that learn "
            "the same.",
            icon=":material/difference:",
        )
        st.stop()
    return coloured(dict(zip(names([a, b]), (a, b), strict=True)))


def first_difference(twins: Twins) -> None:
    """Draw where two runs differ first: twins step by step, others by the stages of a step."""
    a, b = twins
    unlike = [name for name in differing_fields(a.config, b.config) if name not in MAY_DIFFER]
    if not unlike:
        st.header("When they begin to differ")
        parting(a, b)
        return
    st.header("Where they differ first")
    stages(a, b)
    _offer_twin(a.config, b.config, unlike)


def _offer_twin(a: RunConfig, b: RunConfig, unlike: list[str]) -> None:
    """Say why two runs cannot be compared step by step, and offer the nearest two that can."""
    reasons = " and ".join(LABELS[name] for name in unlike)
    near = nearest_twin(a, b)
    if near == a:
        st.caption(f"Apart from {reasons}, they are the same run.")
        return
    st.caption(
        "Step by step, two runs can be compared if they start from the same weights and see the "
        f"same images in the same batches. These two differ in {reasons}, too."
    )
    _, name = names([a, near])
    st.button(
        f"Give the first run a twin with {name}",
        icon=":material/call_split:",
        on_click=compare,
        args=[a, near],
    )


def settings(twins: Twins) -> None:
    """Show in which settings two runs differ."""
    a, b = (twin.config for twin in twins)
    differ = differing_fields(a, b)
    if len(differ) == 1:
        (name,) = differ
        first, second = (value_text(name, value) for value in differ[name])
        st.markdown(f"They differ in one thing, {LABELS[name]}: **{first}** and **{second}**.")
        return
    text_table(
        {
            "what differs": [LABELS[name] for name in differ],
            **{
                twin.label: [value_text(name, twin.config.effective(name)) for name in differ]
                for twin in twins
            },
        },
        "What differs between the runs",
    )


def verdicts(twins: Twins) -> None:
    """Say how much of each run's result is chance, and of the gap between the two."""
    waits = _waits(_copies(twins)) or _gap_waits(twins)
    st.fragment(_verdicts, run_every=WAITING_POLL_SECONDS if waits else None)(twins, waits)


def _waits(copies: Mapping[str, Errand | None]) -> bool:
    return any(errand is not None and not errand.done for errand in copies.values())


def _verdicts(twins: Twins, waited: bool) -> None:
    views, errands = _views(twins), _copies(twins)
    for twin, column in zip(twins, st.columns(len(twins), gap="medium"), strict=True):
        view, copies = views[twin.label], errands[twin.label]
        with column:
            st.markdown(f"**{twin.label}**: {nudged.sentence(view, copies)}")
            nudged.ask(twin.config, view, copies, key=f"copies_{twin.label}")
    first = twins[0].label
    if words := gap.sentence(list(views.values()), errands[first], _seeds(twins)):
        st.markdown(words)
    if waited and not _waits(errands) and not _gap_waits(twins):
        rerun()


def _seeds(twins: Twins) -> Errand | None:
    """The first run with other seeds, once its nudged copies are there; None for series."""
    first = twins[0]
    copies = _copies(twins)[first.label]
    if copies is None or not copies.done or TASKS[first.config.task].series:
        return None
    return gap.reseeded(first.config)


def _gap_waits(twins: Twins) -> bool:
    seeds = _seeds(twins)
    return seeds is not None and not seeds.done


def _views(twins: Twins) -> dict[str, View]:
    return {label: viewer.view() for label, viewer in viewers_of(twins).items()}


def _copies(twins: Twins) -> dict[str, Errand | None]:
    views = _views(twins)
    return {twin.label: nudged.copies(twin.config, views[twin.label]) for twin in twins}


def bands(twins: Twins) -> None:
    """Draw where the copies of each run went, once they are all there.

    `verdicts` runs the page again at that moment. Series have errors, which this axis of shares
    cannot show: for them `verdicts` says it in words.
    """
    drawn = _as_bands(_views(twins), _copies(twins))
    if not drawn or TASKS[twins[0].config.task].series:
        return
    st.header("Where the nudged copies went")
    colours = {t.label: t.colour for t in twins if any(t.label == band.label for band in drawn)}
    colour_key(colours)
    steps, low = max(t.config.steps for t in twins), charts.axis_start(drawn)
    spec = charts.band_spec(tuple(colours), tuple(colours.values()), steps, low)
    chart("pair_bands", spec, charts.band_tables(drawn), "Accuracy of the nudged copies by step.")


def _as_bands(views: Mapping[str, View], errands: Mapping[str, Errand | None]) -> list[charts.Band]:
    """Return the runs whose copies are all there, each with its copies."""
    bands = []
    for label, copies in errands.items():
        if copies is None or not copies.done or not copies.pieces:
            continue
        steps = copies.pieces[0].steps
        run = [snapshot for snapshot in views[label].snapshots if snapshot.step in set(steps)]
        own = [snapshot.score for snapshot in run]
        rows = np.stack([own, *(piece.score for piece in copies.pieces)])
        bands.append(charts.Band(label, steps, rows))
    return bands
