"""Who has a say in a run, and who is wrong and has none: in words, counted, and as pictures."""

import numpy as np
import streamlit as st

from core.data import load
from core.run.diagnosis import share
from core.run.snapshot import Snapshot, silent_and_wrong
from ui.pictures import contact_sheet
from ui.story.twin import Twin, Twins, snapshots
from ui.words import explained

MOST = 24  # pictures


def why(twin: Twin, other: Twin) -> None:
    """What the clip does to a run and not to its twin, as measured at the visitor's knobs."""
    run, twin_run = snapshots(twin), snapshots(other)
    first, last = run[0], run[-1]
    silent = silent_and_wrong(first)
    if not len(silent):
        st.header("Why: here everybody has a say")
        st.markdown(
            f"At these settings {twin.label} clips {share(float(first.saturation.clipped))} of its "
            "predictions before the first step, and every image that is wrong has a gradient. "
            f"{_sides(twin, run, other, twin_run)}",
            help=explained("clipped", "gradient"),
        )
        return
    righted = int(np.count_nonzero(last.correct[silent]))
    st.header("Why: the wrong ones have no say")
    st.markdown(
        f"Before the first step half of the logits lie beyond ±{_median(first):.3g}. {twin.label} "
        f"clips {share(float(first.saturation.clipped))} of the probabilities, many of them 0 or 1 "
        "to the last bit, and a clip is flat: its gradient is exactly zero. So "
        f"{share(float(first.census.stuck))} of the images are wrong and **have no say**: nothing "
        f"in the step comes from them. {other.label} clips "
        f"{share(float(twin_run[0].saturation.clipped))}; there "
        f"{share(float(twin_run[0].census.stuck))} are wrong without a say.",
        help=explained("logit", "clipped", "gradient", "no say"),
    )
    st.markdown(
        f"No say is not no hope: of these {len(silent):,} images {righted:,} are right at step "
        f"{last.step}, for all images share their weights, and what others teach moves them too. "
        "But nobody steers it there. "
        f"{_sides(twin, run, other, twin_run)}"
    )


def _median(first: Snapshot) -> float:
    return float(np.median(np.abs(first.margins)))


def _sides(a: Twin, a_run: list[Snapshot], b: Twin, b_run: list[Snapshot]) -> str:
    ends = (
        f"{t.label} ends at {run[-1].train_accuracy:.1%}" for t, run in ((a, a_run), (b, b_run))
    )
    return f"{', '.join(ends)}."


def census(twins: Twins) -> None:
    """Who has a say before the first step, in numbers."""
    rows = {
        "wrong": lambda s: s.census.wrong,
        "prediction exactly 0 or 1": lambda s: s.saturation.zero + s.saturation.one,
        "clipped by the loss": lambda s: s.saturation.clipped,
        "gradient exactly zero": lambda s: s.census.zero_gradient,
        "wrong and no say": lambda s: s.census.stuck,
    }
    columns: dict[str, list[str]] = {"before the first step": list(rows)}
    for twin in twins:
        first = snapshots(twin)[0]
        columns[twin.label] = [f"{float(value(first)):.1%}" for value in rows.values()]
    st.table(columns, hide_index=True)


def silent_digits(twin: Twin) -> None:
    """The pictures that are wrong and give the run no gradient, the surest first."""
    first = snapshots(twin)[0]
    found = silent_and_wrong(first)
    if not len(found):
        return
    shown = found[:MOST]
    st.markdown(
        f"**{len(found)} of {len(first.labels):,} digits are wrong and have no say before the "
        f"first step.** These are the {len(shown)} that the network is surest of:"
    )
    images = load(twin.config.source, twin.config.train_size).train_images
    st.image(
        contact_sheet(images[shown]),
        caption="their logits, left to right: "
        + ", ".join(f"{float(z):.0f}" for z in first.margins[shown]),
        width="stretch",
        alt=f"{len(shown)} handwritten digits that are wrong and have no say.",
    )
