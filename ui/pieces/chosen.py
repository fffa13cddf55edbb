"""Chosen digits: the images that a visitor has clicked, and what becomes of them.

They are remembered by their indices among the training images, so they stay the same digits while
the run goes on, the bars move, or a new run begins.
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
from core.parts.losses import LOSSES, Form
from core.parts.precisions import PRECISIONS
from core.run.snapshot import PROBE, Answers, Gradient, Snapshot
from core.study import precision
from core.study.precision import Edges
from ui.charts import chosen as charts
from ui.charts import digits, flow
from ui.charts.digits import Mark, Placed, Zone
from ui.charts.live import GRADIENTS
from ui.pieces.cards import ImageCard, sheet
from ui.pieces.draw import chart, colour_key
from ui.state import bound, key_of, put
from ui.trainer import origin

MOST = 24  # the most pictures shown
DIGITS = 3  # of each number beside them
KEY, TURN = "chosen", "chosen_turn"
PULLS = dict(
    zip(GRADIENTS, ("with a gradient", "gradient exactly 0", "gradient NaN or inf"), strict=True)
)


class Chosen(NamedTuple):
    """Chosen images, those the network was surest of first; compared by identity."""

    run: RunConfig  # the run in which they were chosen
    images: np.ndarray  # int [k], indices among the training images
    what: str  # for example: wrong, silent


Look = Snapshot | Answers


class Run(Protocol):
    """Whose images are shown: a Viewer's run, or a network that does not train."""

    @property
    def config(self) -> RunConfig:
        """The configuration of the run."""

    def looks(self) -> Sequence[Look]:
        """Return the snapshots that there are so far."""


class AppliedLoss(NamedTuple):
    """The loss that is evaluated on the pictures."""

    form: Form
    key: str
    epsilon: float
    dtype: np.dtype[Any]
    of_logits: bool = (
        True  # whether it is given logits, and labels; else a margin does not decide it
    )
    own: bool = True  # whether the run trains with it, so that the run's gradients are its own
    label: int = 1  # with ten classes: the label that the true class's logit is given


def own_loss(config: RunConfig) -> AppliedLoss:
    """Return the loss that a run trains with."""
    form = TASKS[config.task].form
    dtype = PRECISIONS[config.precision].loss.dtype
    decides = config.loss_as_written and (form == "binary" or LOSSES[config.loss].cross_entropy)
    return AppliedLoss(form, config.loss, config.epsilon, dtype, decides)


def chosen_images() -> Chosen | None:
    """Return the images that the visitor has chosen."""
    return st.session_state.get(KEY)


def mark(config: RunConfig, now: Look | None) -> Mark:
    """Return what the digits chart needs to be clicked, and to outline the chosen images."""
    turn = st.session_state.get(TURN, 0)
    return Mark(now.step if now else 0, turn, _in_run(chosen_images(), config))


def _in_run(chosen: Chosen | None, config: RunConfig) -> np.ndarray:
    """Return the chosen images that this run measures; none if its data has another source."""
    if chosen is None or chosen.run.source != config.source:
        return np.zeros(0, int)
    return chosen.images[chosen.images < min(PROBE, config.train_size)]


def zones(edges: Edges, right: bool) -> list[Zone]:
    """Return where wrong (or right) images have a gradient of 0, NaN or inf."""
    starts = (edges.dead, Gradient.ZERO), (precision.first_broken(edges), Gradient.NONFINITE)
    return [
        Zone(
            *((start, math.inf) if start > 0 else (-math.inf, start)), right, list(GRADIENTS)[kind]
        )
        for start, kind in starts
        if start is not None
    ]


# Choosing. A click says which snapshot its bar was drawn from: the run may have gone on since.

Place = Callable[[Look], Placed]  # the images of a snapshot as they are drawn


def clicked(page: str, chart_key: str, run: Run, place: Place) -> Callable[[], None]:
    """Return what to do after a click in the digits chart of this key."""
    return partial(_clicked, page, chart_key, run, place)


def _clicked(page: str, chart_key: str, run: Run, place: Place) -> None:
    put(f"{page}_band", None)
    bars = st.session_state[chart_key].selection.get(digits.CLICKED)
    if not bars:  # the click was beside all bars
        st.session_state[KEY] = None
        return
    bar = bars[0]
    for snapshot in run.looks():
        if snapshot.step == bar["step"]:
            images = place(snapshot)
            what = f"{bar['side']}, {PULLS[bar['state']]}, logit from "
            what += f"{bar['left']:.3g} to {bar['right']:.3g} at step {snapshot.step:,}"
            _choose(run, images, digits.members(images, bar), what)


def _band_chosen(page: str, run: Run, at: int, place: Place) -> None:
    band = st.session_state[key_of(f"{page}_band")]
    now = _look(run, at)
    forget()
    if band is not None and now is not None:
        images = place(now)
        those = flow.band(images.correct, images.kinds) == list(flow.BANDS).index(band)
        _choose(run, images, those, f"{band} at step {now.step:,}")


def _choose(run: Run, images: Placed, those: np.ndarray, what: str) -> None:
    surest = np.argsort(-np.abs(images.logits[those]), kind="stable")
    st.session_state[KEY] = Chosen(run.config, images.indices[those][surest], what)


def forget(page: str = "") -> None:
    """Forget the chosen images; the bar that was clicked last can be clicked again."""
    st.session_state[KEY] = None
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
    if page:
        put(f"{page}_band", None)


def _look(run: Run, at: int) -> Look | None:
    return next((s for s in reversed(run.looks()) if s.step <= at), None)


# Showing.


def gallery(
    page: str,
    run: Run,
    at: int,
    every: float | None,
    applied: AppliedLoss,
    place: Place = digits.at_margins,
) -> None:
    """Draw a way to choose without a mouse, and the chosen images as they are at step `at`."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.pills(  # pills wrap on a phone
            "Which digits? Click a bar of the chart, or choose",
            list(flow.BANDS),
            width="stretch",
            **bound(f"{page}_band", partial(_band_chosen, page, run, at, place)),
        )
        if chosen_images() is not None:
            st.button(
                "Close", icon=":material/close:", key=f"{page}_close", on_click=forget, args=(page,)
            )
    if chosen_images() is not None:
        with st.container(key=f"{page}_chosen", gap="small"):
            st.fragment(_gallery, run_every=every)(run, at, applied)


def _gallery(run: Run, at: int, applied: AppliedLoss) -> None:
    chosen, config = chosen_images(), run.config
    looks = [look for look in run.looks() if look.step <= at]
    if chosen is None or not looks:
        return
    images = _in_run(chosen, config)
    st.markdown(heading(chosen, images, looks[-1], config))
    if not len(images):
        return
    shown, binary = images[:MOST], TASKS[config.task].form == "binary"
    pictures = st.container()
    run_so_far = [look for look in looks if isinstance(look, Snapshot)]
    if len(run_so_far) > 1:
        path, pictures = st.columns([2, 3], gap="medium")
        with path:
            at_step = looks[-1].step if at < config.steps else None
            drawing = charts.paths(run_so_far, shown, config.steps, binary, at_step)
            st.caption("The logit of each picture's label by step: above 0 is right.")
            colour_key(flow.BANDS)
            chart(f"chart_{drawing.key}", drawing.spec, drawing.tables, drawing.alt)
    with pictures:
        st.html(_sheet(config.source, shown, cards(looks[-1], shown, binary, applied)))
        st.caption(_legend(binary, len(images)))
        if (
            binary and applied.form == "binary" and applied.of_logits
        ):  # with ten classes, other logits matter, too
            origin.causes(_broken(looks[-1], shown, applied), "chosen_origin")


def _broken(now: Look, images: np.ndarray, applied: AppliedLoss) -> list[origin.Case]:
    """Return for each label the first of these images whose loss or slope is NaN or infinite."""
    margins, labels = now.margins[images], now.labels[images]
    loss, slope = losses_and_slopes(applied, charts.towards(margins, labels, True), labels)
    nonfinite = np.isfinite(margins) & ~(np.isfinite(loss) & np.isfinite(slope))
    first = {int(labels[i]): i for i in np.flatnonzero(nonfinite)[::-1]}
    return [
        origin.Case(
            f"Label {label}",
            applied.form,
            applied.key,
            float(margins[i]),
            label,
            applied.epsilon,
            applied.dtype,
        )
        for label, i in sorted(first.items())
    ]


def heading(chosen: Chosen, images: np.ndarray, now: Look, config: RunConfig) -> str:
    """Return which images these are, and how many are right or silent at this snapshot."""
    what = chosen.what if config == chosen.run else f"{chosen.what} of an earlier run"
    many = f"{len(chosen.images):,} image{'' if len(chosen.images) == 1 else 's'}"
    if not len(images):
        none = "no image" if not len(chosen.images) else f"{many}, which this run does not measure"
        return f"**{what}: {none}.**"
    right = int(np.count_nonzero(now.correct[images]))
    silent = int(np.count_nonzero(now.gradients[images] == Gradient.ZERO))
    nan = int(np.count_nonzero(np.isnan(now.margins[images])))
    here = "" if len(images) == len(chosen.images) else f"; this run measures {len(images):,}"
    sentence = f"Of these {len(images):,} images, {right:,} are right at step {now.step:,}"
    if len(images) == 1:
        sentence = f"It is {'right' if right else 'wrong'} at step {now.step:,}"
    sentence += f"; gradient exactly 0: {silent:,}"
    if nan:
        sentence += f"; logit NaN: {nan:,}"
    return f"**{what}: {many}{here}.** {sentence}."


class Card(NamedTuple):
    """What a card says about an image."""

    label: int
    right: bool
    p: str
    logit: str
    loss: str
    slope: str


def cards(now: Look, images: np.ndarray, binary: bool, applied: AppliedLoss) -> list[Card]:
    """Return a card per image, with the loss and slope that `applied` gives its logit.

    With ten classes, an image's gradient may be NaN because of a logit that is not known here. Then
    the run's own gradients are believed, and no loss is shown. Neither is shown of a loss that is
    not given logits.
    """
    margins, labels = now.margins[images], now.labels[images]
    towards = charts.towards(margins, labels, binary)
    p = np.asarray(jax.nn.sigmoid(np.float32(margins)), float)
    targets = labels if binary else np.full(len(labels), applied.label)
    loss, slope = losses_and_slopes(applied, towards, targets)
    broken = applied.own & (now.gradients[images] == Gradient.NONFINITE) & np.isfinite(slope)
    unknown = "NaN or inf" if applied.of_logits else "not known"
    return [
        Card(
            label=int(label),
            right=bool(right),
            p=probability_text(p),
            logit=number(z, DIGITS),
            loss="not known" if hidden else number(loss, DIGITS),
            slope=unknown if hidden else number(slope, DIGITS),
        )
        for label, right, p, z, loss, slope, hidden in zip(
            labels,
            now.correct[images],
            p,
            margins,
            loss,
            slope,
            broken | (not applied.of_logits),
            strict=True,
        )
    ]


def losses_and_slopes(
    applied: AppliedLoss, towards: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return loss and derivative, each float [k], of images whose labels have these logits."""

    def under(label: int) -> tuple[np.ndarray, np.ndarray]:
        return precision.losses_and_slopes(
            applied.form, applied.key, towards.astype(float), label, applied.epsilon, applied.dtype
        )

    if applied.form != "binary":
        return under(0)
    one, zero = under(1), under(0)
    return np.where(labels, one[0], zero[0]), np.where(labels, one[1], zero[1])


def probability_text(p: float) -> str:
    """Return a probability; one so close to 1 that it would be rounded is written as 1 - …."""
    return f"1 - {number(1 - p, DIGITS)}" if 0.999 < p < 1 else number(p, DIGITS)


def _sheet(source: str, images: np.ndarray, rows: list[Card]) -> str:
    return sheet(
        source,
        [
            ImageCard(
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
    class_name = "“5 or more”, which is label 1" if binary else "the label"
    return (
        f"{first}p and logit are those of {class_name}. The loss is in nats; the slope is dL/dz, "
        "its derivative by the logit."
    )
