"""One frame of the live panel: what is said and drawn of a run, several times a second."""

import operator
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, NamedTuple, TypeVar

import streamlit as st

from core.config import RunConfig, agree
from core.fields import number
from core.parts.choices import TASKS
from core.parts.precisions import PRECISIONS
from core.parts.reports import REPORTS
from core.run import train
from core.run.diagnosis import diagnose
from core.run.engine import COURTESY_SECONDS
from core.run.errands import Errand
from core.run.job import Status, View, Viewer
from core.run.snapshot import Snapshot
from core.study import precision
from ui import projector
from ui.charts import digits, flow, health, saturation, series
from ui.charts import live as charts
from ui.charts.frame import Ribbon
from ui.charts.live import Drawing, Pin
from ui.charts.palette import PINS, TRAIN
from ui.engine import device, engine, losses_ready
from ui.pieces import chosen, figures
from ui.pieces.draw import colour_key
from ui.pieces.network import network
from ui.pieces.on_screen import on_screen
from ui.pieces.widgets import setting_text
from ui.state import rerun
from ui.streamlit_chart import vega_lite_chart
from ui.trainer import controls, lesson, nudged, origin, runs

NOTABLE_SECONDS = 2.0  # a shorter time to the end is not shown
COMPILING = "compiling the training step for this network"
# Nats, an end of the loss axis. Pixels from 0 to 255 gave untrained networks losses of 12 to 200 in
# seven settings, and none more later: so the axis does not grow when the first look comes.
UNSCALED_TOP = 300.0
READYING = (Status.PREPARING, Status.COMPILING)


def waits(config: RunConfig, view: View) -> bool:
    """True if something is on its way that is computed behind everybody's runs."""
    computed = nudged.waits(config, view) or origin.waits(config, view)
    return runs.training() or not _loss_known(config) or computed


def _loss_known(config: RunConfig) -> bool:
    """Return whether the charts can be told where the loss is silent."""
    form, dtype = TASKS[config.task].form, PRECISIONS[config.precision].loss.dtype
    return form == "regression" or losses_ready(form, dtype, config.loss)


class Frame(NamedTuple):
    """What a frame is drawn from, besides the run itself."""

    viewer: Viewer
    drawn_as: Status  # the status for which buttons and timer were drawn
    waited: bool  # whether the timer waits for something behind the runs
    at: int  # the step that is looked at
    pins: list[Pin]
    chosen_images: chosen.Chosen | None  # the chosen digits, drawn below


_one_frame = threading.Lock()
TURN_SECONDS = 0.02  # how often a waiting frame checks whether its own visitor has clicked


def in_turn(frame: Frame) -> None:
    """Draw one frame at a time: thirty at once take twice the CPU of a queue.

    A frame that answers a click goes before all others.
    """
    if engine().answers():
        _frame(frame)
        return
    late = time.monotonic() + COURTESY_SECONDS
    while not engine().quiet(TURN_SECONDS) and time.monotonic() < late:
        _give_way()
    while not _one_frame.acquire(timeout=TURN_SECONDS):
        _give_way()
    try:
        _frame(frame)
    finally:
        _one_frame.release()


def _give_way() -> None:
    """End this frame if its visitor has clicked: Streamlit checks when the state is accessed."""
    _ = "on_screen" in st.session_state


def _frame(frame: Frame) -> None:
    """Draw one frame; runs alone, several times a second."""
    view, config, at = frame.viewer.view(), frame.viewer.config, frame.at
    other_buttons = buttons(view.status) != buttons(frame.drawn_as)
    if other_buttons or waits(config, view) != frame.waited:
        rerun()  # for other buttons, another timer, or what was waited for
    if view.status is Status.REFUSED and not engine().refusal(config):
        rerun()  # now it may begin
    if chosen.chosen_images() is not frame.chosen_images:
        rerun()  # for other digits below
    shown = [snapshot for snapshot in view.snapshots if snapshot.step <= at]
    now = shown[-1] if shown else None
    until_broken = origin.until_broken(shown)
    _progress(view)
    _diagnosis(config, view, shown, until_broken)
    origin.first_nan(config, view, until_broken)
    copies = nudged.copies(config, view)
    drawn = _drawn(frame, view, now, copies)
    _numbers(config, now, drawn)
    with st.container(horizontal=True, vertical_alignment="center", key="chance", gap="small"):
        _caption(config, now, nudged.sentence(view, copies))
        nudged.ask(config, view, copies)
        if frame.pins:
            pin_names = zip((pin.name for pin in frame.pins), PINS, strict=False)
            colour_key({"this run": TRAIN, **dict(pin_names)})
    _charts(frame.viewer, drawn)


T = TypeVar("T")


def _once(name: str, made_of: Sequence[object], make: Callable[[], T]) -> T:
    """Return what this visitor's last frame made of the very same objects, or make it.

    A paused run, or one whose steps are slow, shows the same in many frames.
    """
    known, made = st.session_state.get(name, ((), None))
    if len(known) != len(made_of) or not all(map(operator.is_, known, made_of)):
        made = make()
        st.session_state[name] = made_of, made
    return made


def buttons(status: Status) -> Status:
    """Return one status for all those that draw the same buttons."""
    if status in READYING:
        return Status.PREPARING
    return Status.RUNNING if status is Status.QUEUED else status


def _progress(view: View) -> None:
    step = view.snapshots[-1].step if view.snapshots else 0
    fraction = step / view.steps
    match view.status:
        case Status.QUEUED:
            text = f"number {view.place} in the queue: others are training"
        case Status.PREPARING:
            text, fraction = view.message or "preparing data", view.fraction
        case Status.COMPILING:
            text, fraction = ", ".join(filter(None, [COMPILING, view.message])), view.fraction
            if view.waited > 2:
                text += f"; {view.waited:.0f} s so far"
        case status:
            text = f"step {step:,} of {view.steps:,}, {status}"
    if view.status is Status.RUNNING and view.steps_per_second:
        text += f" · {pace(view.steps_per_second)} steps/s · {view.seconds_left:.0f} s left"
    elif view.seconds_left and view.seconds_left >= NOTABLE_SECONDS:
        text += f" · about {view.seconds_left:,.0f} s to the end"
    st.progress(min(1.0, fraction), text=f"{text} · {device()}")


def pace(steps_per_second: float) -> str:
    """Return steps per second as text: whole, or for a slow run two digits, so never just 0."""
    return f"{steps_per_second:,.0f}" if steps_per_second >= 10 else number(steps_per_second, 2)


def _diagnosis(
    config: RunConfig, view: View, shown: Sequence[Snapshot], until_broken: list[Snapshot] | None
) -> None:
    """Say the diagnosis that fits first, then the others; beside it are what may help, and why.

    Where a NaN comes from, once that is known, is said below in the place of the others.
    """
    made_of = config, shown[-1] if shown else None
    diagnoses = _once("diagnosed", made_of, lambda: diagnose(config, shown) if shown else [])
    key = "words_broken" if until_broken else "words"
    with st.container(horizontal=True, vertical_alignment="center", key=key, gap="small"):
        if view.status is Status.REFUSED:
            st.warning(view.message, icon=":material/block:")
        elif view.status is Status.FAILED:
            st.error(view.message, icon=":material/error:")
        elif controls.hides(lesson.DIAGNOSIS):
            return
        elif not diagnoses:
            st.info("The first measurement comes in a moment.", icon=":material/search:")
        else:
            first, *others = diagnoses
            text = f"After step {shown[-1].step:,}: **{first.sentence}**"
            if others and not origin.known(config, until_broken):
                text += "  \n" + " ".join(f":small[{other.sentence}]" for other in others)
            st.info(text, icon=":material/stethoscope:")
        cure = next((diagnosis.cure for diagnosis in diagnoses if diagnosis.cure), None)
        with st.container(width="content", gap="xsmall") if until_broken else nullcontext():
            if cure and view.status is not Status.FAILED and not any(map(controls.hides, cure)):
                _offer(config, cure)
            origin.ask(config, view, until_broken)


def _offer(config: RunConfig, cure: Mapping[str, Any]) -> None:
    """Draw a button that sets the controls to what may help."""
    changes = ", ".join(setting_text(name, value) for name, value in cure.items())
    st.button(
        f"Try {changes}",
        key="try_cure",
        icon=":material/healing:",
        on_click=_try,
        args=[agree({**asdict(config), **cure})[0]],
    )


def _try(chosen: RunConfig) -> None:
    controls.set_config(chosen)
    rerun()


def _numbers(config: RunConfig, now: Snapshot | None, drawn: Sequence[Drawing]) -> None:
    """Draw the figures of the snapshot, and the network; for screen readers, also the charts."""
    names: tuple[str, ...] = ("squared error, held out", "of copying the input", "zero gradient")
    if not TASKS[config.task].series:
        names = ("training accuracy", "held-out accuracy", "zero gradient", "wrong, silent")
    numbers = dict.fromkeys(("loss", *names), "–")
    if now:
        scores = (
            (number(now.fit.error, 4), number(now.fit.copied, 4))
            if now.fit
            else (_accuracy(now, now.train_accuracy), _accuracy(now, now.test_accuracy))
        )
        census = (f"{now.census.zero_gradient:.1%}", f"{now.census.stuck:.1%}")
        numbers = dict(zip(numbers, (number(now.loss, 4), *scores, *census), strict=False))
    # One element instead of five metrics, which took a tenth of a frame's time.
    rows = (f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in numbers.items())
    numbers_of = f'<dl class="numbers">{"".join(rows)}</dl>'
    # Not in the charts' `alt`: for another text, the browser builds a chart again.
    sentences = "".join(f"<li>{drawing.sentence}</li>" for drawing in drawn if drawing.sentence)
    spoken = f'<ul class="unseen">{sentences}</ul>'
    st.html(f'<div class="look">{numbers_of}{network(config, now)}</div>{spoken}')


def _accuracy(now: Snapshot, value: float) -> str:
    """Return an accuracy as text; NaN if any prediction is NaN."""
    return "NaN" if now.saturation.nonfinite > 0 else f"{value:.1%}"


def _caption(config: RunConfig, now: Snapshot | None, on_chance: str) -> None:
    """Say which images the figures are of, and how much of them is chance."""
    if now is None:
        st.empty()
        return
    probe, train_size = len(now.gradients), config.train_size
    every = probe == train_size
    over = f"all {train_size:,}" if every else f"the first {probe:,} of {train_size:,}"
    what, measured = ("series", "squared error") if now.fit else ("images", "accuracy")
    held_out = f"held-out {measured}: over {now.test_examples:,} others"
    printed = ""
    if not now.fit and now.saturation.nonfinite > 0:
        accuracies = f"{now.train_accuracy:.1%} and {now.test_accuracy:.1%}"
        printed = f" A program that ignores NaN would print {accuracies}."
    grey = " Grey: the run before." if before() else ""
    st.caption(f"Over {over} training {what}; {held_out}.{printed} {on_chance}{grey}")


def before() -> list[Snapshot]:
    """Return the snapshots of the run before."""
    return on_screen().before


def _drawn(frame: Frame, view: View, now: Snapshot | None, copies: Errand | None) -> list[Drawing]:
    """Return the charts of a frame, made again only if something that they show is new."""
    config = frame.viewer.config

    def make() -> list[Drawing]:
        run_before = [s for s in before() if (s.fit is None) != TASKS[config.task].series]
        scrubbed = now.step if now and frame.at < config.steps else None
        ribbon = nudged.ribbon(copies)
        return drawings(config, view.snapshots, run_before, now, scrubbed, ribbon, frame.pins)

    last = view.snapshots[-1] if view.snapshots else None
    chance_known = copies is not None and copies.done
    then = before()
    return _once("drawn", (frame, last, then, chance_known, _loss_known(config)), make)


def drawings(
    config: RunConfig,
    snapshots: Sequence[Snapshot],
    before: Sequence[Snapshot],
    now: Snapshot | None,
    scrubbed: int | None,
    ribbon: Ribbon | None = None,
    pins: Sequence[Pin] = (),
) -> list[Drawing]:
    """Return the charts of a frame."""
    curves = (snapshots, before, config.steps, scrubbed)
    if TASKS[config.task].series:
        drawn = [
            charts.loss(*curves, pins, unit=charts.SQUARED),
            series.error(*curves, ribbon, pins),
            series.predictions(now),
            charts.gradients(*curves),
        ]
    else:
        drawn = _image_charts(config, curves, now, ribbon, pins)
    # Last, so that no chart moves when it comes; the strip of a healthy float32 gradient says
    # nothing.
    if now and (health.is_sick(now) or config.precision != "float32"):
        names = train.parameters(train.shape(config))
        drawn.append(health.health(snapshots, config.steps, names, scrubbed))
    return drawn


def _image_charts(
    config: RunConfig,
    curves: tuple[Sequence[Snapshot], Sequence[Snapshot], int, int | None],
    now: Snapshot | None,
    ribbon: Ribbon | None,
    pins: Sequence[Pin],
) -> list[Drawing]:
    """Return the charts of a run whose answers are right or wrong."""
    snapshots, before, steps, scrubbed = curves
    binary = TASKS[config.task].form == "binary"
    class_name = "“5 or more”" if binary else "the true digit"
    title = f"Probability of {class_name}"
    broken = charts.broken(snapshots)
    last = snapshots[-1] if charts.ended(snapshots, steps) else None
    report = REPORTS[config.report]
    return [
        charts.loss(
            *curves,
            pins,
            reports=report.other_logits,
            least_top=0.0 if report.scales else UNSCALED_TOP,
        ),
        charts.accuracy(*curves, ribbon, pins, reports=config.report != "true"),
        saturation.saturation(now, class_name, title, broken, last),
        charts.gradients(*curves),
        digits.digits(
            now,
            digits.widest(snapshots or before),  # without a snapshot, the axis of the run before
            f"logit of {class_name}" if binary else "margin",
            _zones(config) if binary else (),
            broken,
            chosen.mark(config, now),
            last,
        ),
        flow.flow(snapshots, steps, scrubbed, broken),
    ]


def _zones(config: RunConfig) -> list[digits.Zone]:
    """Return where a binary loss is silent, NaN or infinite, on the axis of its logit.

    Large logits favour label 1: images of label 0 are wrong there, and right at the other end.
    None are known where the loss is given something else than logits and labels.
    """
    dtype = PRECISIONS[config.precision].loss.dtype
    if not config.loss_as_written or not losses_ready("binary", dtype, config.loss):
        return []
    return [
        zone
        for label in (0, 1)
        for right in (False, True)
        for zone in chosen.zones(
            precision.edges("binary", config.loss, label, config.epsilon, dtype, right=right), right
        )
    ]


def _charts(viewer: Viewer, drawn: Sequence[Drawing]) -> None:
    columns = st.columns(2, gap="medium")  # two rows of two would take two more blocks a frame
    keyed = {f"chart_{drawing.key}": drawing for drawing in drawn}
    figures.note({key: (each.spec, each.tables, each.alt) for key, each in keyed.items()})
    specs = projector.charts([drawing.spec for drawing in drawn])
    for i, ((key, drawing), spec) in enumerate(zip(keyed.items(), specs, strict=True)):
        click = chosen.clicked("train", key, viewer, digits.at_margins)
        clicked = click if drawing.key == "digits" else None
        with columns[i % 2]:
            vega_lite_chart(spec, drawing.tables, key, drawing.alt, clicked, drawing.zoom)
