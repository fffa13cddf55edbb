"""A clipped loss over the logit: its probability, its slope, and where the digits are."""

import jax
import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.run.diagnosis import percent
from core.run.snapshot import Snapshot, silent_and_wrong
from core.study import precision
from core.study.precision import Edges
from ui.charts import digits
from ui.charts import spine as charts
from ui.pieces import chosen
from ui.pieces.draw import chart, colour_key
from ui.pieces.glossary import explained
from ui.state import rerun
from ui.story.twin import Twin, snapshots, viewers_of

PAGE = "spine"
STEP = "spine_step"  # the step that the slider is at
PLAYS = "spine_plays"  # the step to show next; None unless the figure plays
PLAY_SECONDS = 0.8


def spine(twin: Twin) -> None:
    """Draw a two-class twin's loss; visitors can play the steps and click a bar."""
    run = snapshots(twin)
    st.markdown(
        "**The probability and slope of each logit, and the logits of the digits**",
        help=explained("logit", "label"),
    )
    plays = st.session_state.get(PLAYS) is not None
    st.fragment(_figure, run_every=PLAY_SECONDS if plays else None)(twin, run, plays)


def _figure(twin: Twin, run: list[Snapshot], drawn_playing: bool) -> None:
    """Draw the charts at the slider's step or, while it plays, at one step after another."""
    playing = st.session_state.get(PLAYS) is not None
    if playing != drawn_playing:
        rerun()  # because the fragment needs another timer
    steps = [snapshot.step for snapshot in run]
    now = run[_place(steps, PLAYS if playing else STEP)]
    if playing and now is run[-1]:
        _stop(now.step)
        rerun()
    _charts(twin.config, run, now)
    where, button = st.columns([5, 1], vertical_alignment="bottom")
    if playing:  # no slider: moved by the script, it would make the browser run the script again
        where.progress(now.step / steps[-1], text=f"after step {now.step}")
        button.button(
            "Pause",
            icon=":material/pause:",
            on_click=_stop,
            args=[now.step],
            key="spine_pause",
            width="stretch",
        )
        st.session_state[PLAYS] = steps[steps.index(now.step) + 1]
    else:
        where.select_slider("after step", steps, now.step, key=STEP)
        button.button(
            "Play",
            icon=":material/play_arrow:",
            on_click=_play,
            args=[steps[0]],
            key="spine_play",
            width="stretch",
        )
    st.markdown(_sentence(run[0], now))
    viewer = viewers_of([twin])[twin.label]
    chosen.gallery(PAGE, viewer, now.step, None, chosen.own_loss(twin.config))


def _place(steps: list[int], key: str) -> int:
    """The place of the session's step in `steps`; 0 if it has none, or the step of another run."""
    step = st.session_state.get(key)
    return steps.index(step) if step in steps else 0


def _play(step: int) -> None:
    st.session_state[PLAYS] = step


def _stop(step: int) -> None:
    """Stop playing, and put the slider at this step."""
    st.session_state[PLAYS] = None
    st.session_state[STEP] = step


def _charts(config: RunConfig, run: list[Snapshot], now: Snapshot) -> None:
    top = digits.top_of(digits.widest(run))
    z = charts.grid(top)
    edges_by_label = {label: _edges(config, label) for label in (0, 1)}
    colour_key(charts.PROBABILITIES)
    chart(
        "spine_p",
        charts.probability_spec(top),
        charts.tables(_probabilities(config, z)),
        "The probability that the loss uses, over the logit.",
    )
    colour_key({**charts.SLOPES, **charts.SILENT})
    slopes = []
    for name, label in zip(charts.SLOPES, (1, 0), strict=True):
        _, slope = precision.evaluate("binary", config.loss, z, label, config.epsilon)
        slopes.append(charts.Curve(name, z, slope))
    tables = charts.tables(slopes, _silent(edges_by_label, top))
    chart(
        "spine_slope",
        charts.slope_spec(top),
        tables,
        "The slope of the loss over the logit, for both labels.",
    )
    zones = [zone for edges in edges_by_label.values() for zone in chosen.zones(edges, right=False)]
    viewer = viewers_of([Twin("", config, "")])[""]
    key = "spine_digits"
    chart(
        key,
        charts.digits_spec(top),
        digits.tables(
            digits.at_margins(now),
            digits.spaced(top, digits.BINS + 1),
            zones,
            chosen.mark(config, now),
        ),
        "Every image at its logit, right ones above the line and wrong ones below.",
        clicked=chosen.clicked(PAGE, key, viewer, digits.at_margins),
    )


def _edges(config: RunConfig, label: int) -> Edges:
    """The edges beyond which the loss is silent for a label though the answer is wrong."""
    dtype = DTYPES["float32"].dtype
    return precision.edges("binary", config.loss, label, config.epsilon, dtype)


def _silent(edges_by_label: dict[int, Edges], top: float) -> list[tuple[float, float]]:
    """The stretches of the axis in which the slope of a label's wrong images is exactly 0."""
    ends = {0: top, 1: -top}
    return [
        (wrong.dead, ends[label])
        for label, wrong in edges_by_label.items()
        if wrong.dead is not None
    ]


def _probabilities(config: RunConfig, z: np.ndarray) -> list[charts.Curve]:
    p = np.asarray(jax.nn.sigmoid(z))
    clip = LOSSES[config.loss].clip_range
    low, high = clip(config.epsilon) if clip else (0.0, 1.0)
    taken = np.clip(p, np.float32(low), np.float32(high))
    both = zip(charts.PROBABILITIES, (p, taken), strict=True)
    return [charts.Curve(name, z, value) for name, value in both]


def _sentence(first: Snapshot, now: Snapshot) -> str:
    """The sentence that tells what the figure shows at this step."""
    silent = silent_and_wrong(now)
    if not len(silent):
        state = "no wrong image has a slope of exactly 0."
    else:
        state = (
            f"{len(silent):,} images ({percent(float(now.census.stuck))}) are wrong, at logits "
            "where the slope is exactly 0: **the next step learns nothing from them**."
        )
    sentence = f"After step {now.step:,}, {state}"
    then = silent_and_wrong(first)
    if now.step > first.step and len(then):
        righted = int(np.count_nonzero(now.correct[then]))
        sentence += (
            f" Of the {len(then):,} that were silent at the start, {righted:,} are right now: "
            "all images share the weights, which the other images moved."
        )
    return sentence
