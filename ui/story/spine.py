"""Inside a clipped loss: its digits on the logit axis, under probability and slope."""

import jax
import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.run.diagnosis import share
from core.run.snapshot import Snapshot, silent_and_wrong
from core.study import precision
from core.study.precision import Edges
from ui import chosen
from ui.charts import digits
from ui.charts import spine as charts
from ui.draw import chart, colour_key
from ui.story.knobs import Knobs
from ui.story.twin import Twin, viewers_of
from ui.words import explained

PAGE = "spine"
STEP, PLAYS = "spine_step", "spine_plays"
PLAY_SECONDS = 0.8


def spine(twin: Twin, knobs: Knobs) -> None:
    """The figure of a binary twin: drag epsilon, play the steps, click a bar of digits."""
    viewer = viewers_of([twin])[twin.label]
    run = viewer.view().snapshots
    knobs.draw("epsilon")
    st.markdown(
        "**What the loss makes of a logit, and where the digits stand**",
        help=explained("logit", "label"),
    )
    colour_key({**charts.PROBABILITIES, **charts.SLOPES, **charts.SILENT})
    plays = st.session_state.get(PLAYS, False)
    st.fragment(_figure, run_every=PLAY_SECONDS if plays else None)(twin, run)
    chosen.panel(PAGE, viewer, _step(run), None, chosen.judge(twin.config))


def _step(run: list[Snapshot]) -> int:
    return min(st.session_state.get(STEP, 0), run[-1].step)


def _play(run: list[Snapshot]) -> None:
    st.session_state[PLAYS] = True
    st.session_state[STEP] = run[0].step


def _stop() -> None:
    st.session_state[PLAYS] = False


def _figure(twin: Twin, run: list[Snapshot]) -> None:
    if st.session_state.get(PLAYS):
        later = (look.step for look in run if look.step > _step(run))
        st.session_state[STEP] = next(later, run[-1].step)
        if st.session_state[STEP] == run[-1].step:
            _stop()
            st.rerun()
    now = [look for look in run if look.step <= _step(run)][-1]
    _charts(twin.config, run, now)
    steps, play = st.columns([5, 1], vertical_alignment="bottom")
    steps.select_slider(
        "after step", [look.step for look in run], now.step, key=STEP, on_change=_stop
    )
    play.button("Play", icon=":material/play_arrow:", on_click=_play, args=[run],
                key="spine_play", width="stretch")  # fmt: skip
    st.markdown(_says(twin, run[0], now))


def _charts(config: RunConfig, run: list[Snapshot], now: Snapshot) -> None:
    top = digits.top_of(digits.widest(run))
    z = charts.grid(top)
    found = {label: _edges(config, label) for label in (0, 1)}
    chart("spine_p", charts.probability_spec(top), charts.tables(_probabilities(config, z)),
          "What the loss takes for the probability, over the logit.")  # fmt: skip
    slopes = []
    for name, label in zip(charts.SLOPES, (1, 0), strict=True):
        _, slope = precision.evaluate("binary", config.loss, z, label, config.epsilon)
        slopes.append(charts.Curve(name, z, slope))
    chart("spine_slope", charts.slope_spec(top), charts.tables(slopes, _silent(found, top)),
          "The slope of the loss over the logit, for both labels.")  # fmt: skip
    zones = [zone for edges in found.values() for zone in chosen.zones(edges[0], right=False)]
    viewer = viewers_of([Twin("", config, "")])[""]
    key = "spine_digits"
    chart(
        key, charts.digits_spec(top),
        digits.tables(digits.images(now), digits.spaced(top, digits.BINS + 1), zones,
                      chosen.mark(config, now)),
        "Every image at its logit, right ones above the line and wrong ones below.",
        clicked=chosen.clicked(PAGE, key, viewer, digits.images),
    )  # fmt: skip


def _edges(config: RunConfig, label: int) -> tuple[Edges, Edges]:
    """Where the loss is silent for a label, on its wrong and on its right side."""
    dtype = DTYPES["float32"].dtype
    wrong, right = (
        precision.edges("binary", config.loss, label, config.epsilon, dtype, right=right)
        for right in (False, True)
    )
    return wrong, right


def _silent(found: dict[int, tuple[Edges, Edges]], top: float) -> list[tuple[float, float]]:
    """The stretches of the axis in which a label's wrong images have no slope."""
    ends = {0: top, 1: -top}
    return [
        (wrong.dead, ends[label]) for label, (wrong, _) in found.items() if wrong.dead is not None
    ]


def _probabilities(config: RunConfig, z: np.ndarray) -> list[charts.Curve]:
    p = np.asarray(jax.nn.sigmoid(z))
    clip = LOSSES[config.loss].clip_range
    low, high = clip(config.epsilon) if clip else (0.0, 1.0)
    taken = np.clip(p, np.float32(low), np.float32(high))
    both = zip(charts.PROBABILITIES, (p, taken), strict=True)
    return [charts.Curve(name, z, value) for name, value in both]


def _says(twin: Twin, first: Snapshot, now: Snapshot) -> str:
    """What the figure shows at this step, as measured."""
    silent = silent_and_wrong(now)
    if not len(silent):
        told = "no image is wrong without a slope."
    else:
        told = (
            f"{len(silent):,} images ({share(float(now.census.stuck))}) are wrong and stand where "
            "the slope is exactly 0: **nothing in the next step comes from them**."
        )
    says = f"After step {now.step:,}, {told}"
    then = silent_and_wrong(first)
    if now.step > first.step and len(then):
        righted = int(np.count_nonzero(now.correct[then]))
        says += (
            f" Of the {len(then):,} that stood so at the start, {righted:,} are right by now: the "
            "weights that they share with the others carried them along."
        )
    return says
