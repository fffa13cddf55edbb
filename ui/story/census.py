"""The images that are wrong and silent before the first step, in words and as bars."""

from collections.abc import Callable

import numpy as np
import streamlit as st

from core.fields import number
from core.parts.losses import LOSSES
from core.run.diagnosis import percent
from core.run.snapshot import Snapshot, silent_and_wrong
from ui.pieces.bars import Bars, bars
from ui.pieces.draw import colour_key
from ui.pieces.glossary import explained
from ui.story.chapters import chapter
from ui.story.twin import Twin, Twins, snapshots


def why(twin: Twin, other: Twin) -> None:
    """Tell what the clip does to `twin` and not to `other`, as measured at the visitor's knobs."""
    run, twin_run = snapshots(twin), snapshots(other)
    first, last = run[0], run[-1]
    silent = silent_and_wrong(first)
    if not len(silent):
        chapter("cause", "Here no wrong image is silent")
        st.markdown(
            f"At these settings “{twin.label}” clips {percent(float(first.saturation.clipped))} of "
            "its predictions before the first step, and every image that is wrong has a gradient. "
            f"{_sides(twin, run, other, twin_run)}",
            help=explained("clipped", "gradient"),
        )
        return
    righted = int(np.count_nonzero(last.correct[silent]))
    chapter("cause", "Many of the wrong images are silent")
    st.markdown(
        f"Before the first step, half of the logits lie beyond ±{number(_median(first), 3)}"
        f"{_because_of_pixels(twin, first)}. “{twin.label}” clips "
        f"{percent(float(first.saturation.clipped))} of the probabilities, many of them 0 or 1 to "
        "the last bit. Where a clip acts, the gradient is exactly zero. So "
        f"{percent(float(first.census.stuck))} of the images are wrong and **silent**: the step "
        f"learns nothing from them. “{other.label}” clips "
        f"{percent(float(twin_run[0].saturation.clipped))}, and with it "
        f"{percent(float(twin_run[0].census.stuck))} are wrong and silent.",
        help=explained("logit", "clipped", "gradient", "silent"),
    )
    st.markdown(one_worked_through(twin, first, int(silent[0])))
    st.markdown(
        f"They can still become right: of these {len(silent):,} images {righted:,} are right at "
        f"step {last.step}, because all images share the weights, which the other images move. "
        "But the loss does not aim at that. "
        f"{_sides(twin, run, other, twin_run)}"
    )


def _because_of_pixels(twin: Twin, first: Snapshot) -> str:
    """Tell why raw pixels make large logits; nothing for other pixels."""
    if twin.config.scaling != "raw":
        return ""
    return (
        ", because the pixels run to 255: from pixels between 0 and 1 the same weights would make "
        "logits about 255 times as small, half of them within about "
        f"±{number(_median(first) / 255, 1)}"
    )


def one_worked_through(twin: Twin, first: Snapshot, image: int) -> str:
    """Tell, step by step, why a clipped loss has slope 0 at the logit of one image."""
    row = LOSSES[twin.config.loss]
    assert row.clip_range is not None
    z, label = np.float32(first.margins[image]), int(first.labels[image])
    with np.errstate(over="ignore"):  # in float32 exp overflows at z = -89, and p is 0
        p = float(1 / (1 + np.exp(-z)))
    clipped = float(np.clip(p, *row.clip_range(twin.config.epsilon)))
    return (
        f"One of them: its label is {label} and its logit z = {number(float(z), 3)}, so "
        f"p = {number(p, 2)}. The clip replaces p by {number(clipped, 7)}, the same for any z so "
        f"far out, so the slope dL/dz is 0. Without the clip it is p - y = {number(p - label, 3)}."
    )


def _median(first: Snapshot) -> float:
    return float(np.median(np.abs(first.margins)))


def _sides(a: Twin, a_run: list[Snapshot], b: Twin, b_run: list[Snapshot]) -> str:
    ends = (
        f"“{t.label}” ends at {run[-1].train_accuracy:.1%}" for t, run in ((a, a_run), (b, b_run))
    )
    return f"{', '.join(ends)}."


SHARES: dict[str, Callable[[Snapshot], float]] = {
    "wrong": lambda s: s.census.wrong,
    "prediction exactly 0 or 1": lambda s: s.saturation.zero + s.saturation.one,
    "clipped by the loss": lambda s: s.saturation.clipped,
    "gradient exactly zero": lambda s: s.census.zero_gradient,
    "wrong and silent": lambda s: s.census.stuck,
}


def census(twins: Twins) -> None:
    """Draw which images are wrong, clipped or silent before the first step, as shares of all."""
    firsts = {twin.label: snapshots(twin)[0] for twin in twins}
    st.markdown("**Before the first step, of all images:**")
    colour_key({twin.label: twin.colour for twin in twins})
    bars(
        [
            Bars(what, {label: float(value(first)) for label, first in firsts.items()})
            for what, value in SHARES.items()
        ],
        {twin.label: twin.colour for twin in twins},
    )
