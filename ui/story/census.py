"""Who still learns: counted, and as pictures."""

import streamlit as st

from core.data import load
from core.run.snapshot import silent_and_wrong
from ui.pictures import contact_sheet
from ui.story.twin import Twin, Twins, snapshots

MOST = 24  # pictures


def census(twins: Twins) -> None:
    """Who still learns before the first step, in numbers."""
    rows = {
        "wrong": lambda s: s.census.wrong,
        "prediction exactly 0 or 1": lambda s: s.saturation.zero + s.saturation.one,
        "clipped by the loss": lambda s: s.saturation.clipped,
        "gradient exactly zero": lambda s: s.census.zero_gradient,
        "wrong and gradient exactly zero": lambda s: s.census.stuck,
    }
    columns: dict[str, list[str]] = {"before the first step": list(rows)}
    for twin in twins:
        first = snapshots(twin)[0]
        columns[twin.label] = [f"{float(value(first)):.1%}" for value in rows.values()]
    st.table(columns, hide_index=True)


def stuck_digits(twin: Twin) -> None:
    """The pictures that are wrong and give the run no gradient, the surest first."""
    first = snapshots(twin)[0]
    found = silent_and_wrong(first)
    if not len(found):
        st.markdown("No digit is stuck: every wrong one has a gradient.")
        return
    shown = found[:MOST]
    st.markdown(
        f"**{len(found)} of {len(first.labels):,} digits are stuck before the first step.** These "
        f"are the {len(shown)} that the network is surest of, and wrong:"
    )
    images = load(twin.config.source, twin.config.train_size).train_images
    st.image(
        contact_sheet(images[shown]),
        caption="their logits, left to right: "
        + ", ".join(f"{float(z):.0f}" for z in first.margins[shown]),
        width="stretch",
    )
