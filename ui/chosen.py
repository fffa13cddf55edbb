"""Chosen digits: what a visitor has clicked, as pictures, and what becomes of them.

They are remembered by their places among the training images: the run goes on, the bars move, a
new run begins, and they stay the same digits.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import streamlit as st

from core.config import RunConfig
from core.fields import number
from core.parts.choices import TASKS
from core.parts.losses import Form
from core.parts.precisions import PRECISIONS
from core.run.snapshot import PROBE, Answers, Gradient, Snapshot
from core.study import precision
from core.study.precision import Edges
from ui import origin
from ui.cards import Shown, sheet
from ui.charts import chosen as charts
from ui.charts import digits, flow
from ui.charts.digits import Images, Mark, Zone
from ui.charts.live import GRADIENTS
from ui.draw import chart, colour_key

MOST = 24  # pictures
DIGITS = 3  # of the numbers beside them
KEY, TURN = "chosen", "chosen_turn"
PULLS = dict(zip(GRADIENTS, ("with a gradient", "gradient exactly 0", "gradient NaN or inf"),
                 strict=True))  # fmt: skip


class Chosen(NamedTuple):
    """Images, the one that the network was surest of first; compared by identity."""

    run: RunConfig  # in which they were chosen
    images: np.ndarray  # int [k], places among the training images
    what: str  # as in: wrong, silent


Look = Snapshot | Answers


class Run(Protocol):
    """Whose images are shown: a Viewer's run, or a network that does not train."""

    @property
    def config(self) -> RunConfig:
        """What is being run."""

    def looks(self) -> Sequence[Look]:
        """What has been seen of it until now, at each step."""


class Judge(NamedTuple):
    """The loss by which pictures are judged."""

    form: Form
    key: str
    epsilon: float
    dtype: np.dtype[Any]
    own: bool = True  # whether the run trains with it, so that the run's gradients are its own
    label: int = 1  # of one logit that stands for the true class of ten


def judge(config: RunConfig) -> Judge:
    """The loss that a run trains with."""
    form = TASKS[config.task].form
    dtype = PRECISIONS[config.precision].loss.dtype
    return Judge(form, config.loss, config.epsilon, dtype)


def held() -> Chosen | None:
    """What the visitor holds."""
    return st.session_state.get(KEY)


def mark(config: RunConfig, now: Look | None) -> Mark:
    """What the digits chart of a look needs to be clicked, and to mark what is held."""
    turn = st.session_state.get(TURN, 0)
    return Mark(now.step if now else 0, turn, _in_run(held(), config))


def _in_run(chosen: Chosen | None, config: RunConfig) -> np.ndarray:
    """Those of the chosen images that the run looks at: the same digits, if of the same source."""
    if chosen is None or chosen.run.source != config.source:
        return np.zeros(0, int)
    return chosen.images[chosen.images < min(PROBE, config.train_size)]


def zones(found: Edges, right: bool) -> list[Zone]:
    """Where a loss gives wrong (or right) images no gradient, or none that is a number."""
    starts = (found.dead, Gradient.ZERO), (precision.first_broken(found), Gradient.NONFINITE)
    return [
        Zone(
            *((start, math.inf) if start > 0 else (-math.inf, start)), right, list(GRADIENTS)[kind]
        )
        for start, kind in starts
        if start is not None
    ]


# Choosing. A click tells which look its bar was drawn from: the run may have gone on meanwhile.

Find = Callable[[Look], Images]  # the images of a look as they are drawn


def clicked(page: str, chart_key: str, run: Run, find: Find) -> Callable[[], None]:
    """What to do after a click in the digits chart of this key."""
    return partial(_clicked, page, chart_key, run, find)


def _clicked(page: str, chart_key: str, run: Run, find: Find) -> None:
    st.session_state[f"{page}_band"] = None
    bars = st.session_state[chart_key].selection.get(digits.CLICKED)
    if not bars:  # beside all bars
        st.session_state[KEY] = None
        return
    bar = bars[0]
    for snapshot in run.looks():
        if snapshot.step == bar["step"]:
            found = find(snapshot)
            what = f"{bar['side']}, {PULLS[bar['state']]}, logit from "
            what += f"{bar['left']:.3g} to {bar['right']:.3g} at step {snapshot.step:,}"
            _hold(run, found, digits.members(found, bar), what)


def _band_chosen(page: str, run: Run, at: int, find: Find) -> None:
    band = st.session_state[f"{page}_band"]
    now = _look(run, at)
    let_go()
    if band is not None and now is not None:
        found = find(now)
        those = flow.band(found.correct, found.kinds) == list(flow.BANDS).index(band)
        _hold(run, found, those, f"{band} at step {now.step:,}")


def _hold(run: Run, found: Images, those: np.ndarray, what: str) -> None:
    surest = np.argsort(-np.abs(found.at[those]), kind="stable")
    st.session_state[KEY] = Chosen(run.config, found.place[those][surest], what)


def let_go(page: str = "") -> None:
    """Hold nothing; the bar that was clicked last can be clicked again."""
    st.session_state[KEY] = None
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
    if page:
        st.session_state[f"{page}_band"] = None


def _look(run: Run, at: int) -> Look | None:
    return next((s for s in reversed(run.looks()) if s.step <= at), None)


# Showing.


def panel(
    page: str,
    run: Run,
    at: int,
    every: float | None,
    judged: Judge,
    find: Find = digits.images,
) -> None:
    """A way to choose without a mouse, and what is held. `at` is the last step to look at."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.pills(  # which go on in another line on a phone
            "Which digits? Click a bar of the chart, or choose", list(flow.BANDS),
            key=f"{page}_band", on_change=_band_chosen, args=(page, run, at, find),
            width="stretch",
        )  # fmt: skip
        if held() is not None:
            st.button("Close", icon=":material/close:", key=f"{page}_close", on_click=let_go,
                      args=(page,))  # fmt: skip
    if held() is not None:
        with st.container(key=f"{page}_chosen", gap="small"):
            st.fragment(_panel, run_every=every)(run, at, judged)


def _panel(run: Run, at: int, judged: Judge) -> None:
    chosen, config = held(), run.config
    seen = [look for look in run.looks() if look.step <= at]
    if chosen is None or not seen:
        return
    images = _in_run(chosen, config)
    st.markdown(words(chosen, images, seen[-1], config))
    if not len(images):
        return
    shown, binary = images[:MOST], TASKS[config.task].form == "binary"
    pictures = st.container()
    run_so_far = [look for look in seen if isinstance(look, Snapshot)]
    if len(run_so_far) > 1:
        path, pictures = st.columns([2, 3], gap="medium")
        with path:
            at_step = seen[-1].step if at < config.steps else None
            drawing = charts.paths(run_so_far, shown, config.steps, binary, at_step)
            st.caption("The logit of each picture's label by step: above 0 is right.")
            colour_key(flow.BANDS)
            chart(f"chart_{drawing.key}", drawing.spec, drawing.tables, drawing.alt)
    with pictures:
        st.html(_sheet(config.source, shown, cards(seen[-1], shown, binary, judged)))
        st.caption(_legend(binary, len(images)))
        if binary and judged.form == "binary":  # with classes other logits decide, too
            origin.explained(_broken(seen[-1], shown, judged), "chosen_origin")


def _broken(now: Look, images: np.ndarray, judged: Judge) -> list[origin.Case]:
    """The first of these images whose loss or slope is NaN or infinite, of each label."""
    margins, labels = now.margins[images], now.labels[images]
    loss, slope = losses_and_slopes(judged, charts.towards(margins, labels, True), labels)
    gone = np.isfinite(margins) & ~(np.isfinite(loss) & np.isfinite(slope))
    first = {int(labels[i]): i for i in np.flatnonzero(gone)[::-1]}
    return [
        origin.Case(
            f"Label {label}", judged.form, judged.key, float(margins[i]), label,
            judged.epsilon, judged.dtype,
        )
        for label, i in sorted(first.items())
    ]  # fmt: skip


def words(chosen: Chosen, images: np.ndarray, now: Look, config: RunConfig) -> str:
    """Which images these are, and what they are at this look."""
    what = chosen.what if config == chosen.run else f"{chosen.what} of an earlier run"
    many = f"{len(chosen.images):,} image{'' if len(chosen.images) == 1 else 's'}"
    if not len(images):
        none = "no image" if not len(chosen.images) else f"{many}, which this run does not look at"
        return f"**{what}: {none}.**"
    right = int(np.count_nonzero(now.correct[images]))
    silent = int(np.count_nonzero(now.gradients[images] == Gradient.ZERO))
    gone = int(np.count_nonzero(np.isnan(now.margins[images])))
    here = "" if len(images) == len(chosen.images) else f"; this run looks at {len(images):,}"
    told = f"Of these {len(images):,} images {right:,} are right at step {now.step:,}"
    if len(images) == 1:
        told = f"It is {'right' if right else 'wrong'} at step {now.step:,}"
    told += f", with gradient exactly 0: {silent:,}"
    if gone:
        told += f", with logit NaN: {gone:,}"
    return f"**{what}: {many}{here}.** {told}."


class Card(NamedTuple):
    """What is told of an image."""

    label: int
    right: bool
    p: str
    logit: str
    loss: str
    slope: str


def cards(now: Look, images: np.ndarray, binary: bool, judged: Judge) -> list[Card]:
    """A look's images one by one, with what `judged` makes of their logits.

    With ten classes a row may turn to NaN for a logit that is not known here. What a run says of
    its own gradients is then believed, and no loss is told.
    """
    margins, labels = now.margins[images], now.labels[images]
    towards = charts.towards(margins, labels, binary)
    p = np.asarray(jax.nn.sigmoid(np.float32(margins)), float)
    answers = labels if binary else np.full(len(labels), judged.label)
    loss, slope = losses_and_slopes(judged, towards, answers)
    broken = judged.own & (now.gradients[images] == Gradient.NONFINITE) & np.isfinite(slope)
    return [
        Card(
            label=int(label),
            right=bool(right),
            p=share(p),
            logit=number(z, DIGITS),
            loss="not known" if hidden else number(loss, DIGITS),
            slope="NaN or inf" if hidden else number(slope, DIGITS),
        )
        for label, right, p, z, loss, slope, hidden in zip(
            labels, now.correct[images], p, margins, loss, slope, broken, strict=True
        )
    ]  # fmt: skip


def losses_and_slopes(
    judged: Judge, towards: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and derivative by the logit of images with these logits of their labels: float [k]."""

    def under(label: int) -> tuple[np.ndarray, np.ndarray]:
        return precision.losses_and_slopes(
            judged.form, judged.key, towards.astype(float), label, judged.epsilon, judged.dtype
        )

    if judged.form != "binary":
        return under(0)
    one, zero = under(1), under(0)
    return np.where(labels, one[0], zero[0]), np.where(labels, one[1], zero[1])


def share(p: float) -> str:
    """A probability, whose distance from 1 is told where it would be rounded away."""
    return f"1 - {number(1 - p, DIGITS)}" if 0.999 < p < 1 else number(p, DIGITS)


def _sheet(source: str, images: np.ndarray, rows: list[Card]) -> str:
    return sheet(
        source,
        [
            Shown(
                image,
                "right" if card.right else "wrong",
                card.label,
                {"p": card.p, "logit": card.logit, "loss": card.loss, "slope": card.slope},
            )
            for image, card in zip(images.tolist(), rows, strict=True)
        ],
    )


def _legend(binary: bool, count: int) -> str:
    first = f"The {MOST} that the network was surest of. " if count > MOST else ""
    of = "“5 or more”, which is label 1" if binary else "the label"
    return f"{first}p and logit: of {of}. Loss in nats; slope: dL/dz, its gradient by the logit."
