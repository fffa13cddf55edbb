"""The live panel: polls a run and draws it.

The run belongs to the engine; the session holds a Viewer of it. Controls stay outside the polling
fragment. When the run ends, one full rerun removes the timer.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import jax
import streamlit as st

from core.config import RunConfig, agree
from core.fields import number
from core.parts.choices import TASKS
from core.parts.precisions import PRECISIONS
from core.run import train
from core.run.diagnosis import diagnose
from core.run.engine import COURTESY_SECONDS
from core.run.job import Status, View, Viewer
from core.run.snapshot import Snapshot
from core.study import precision
from ui.charts import digits, flow, health, series
from ui.charts import live as charts
from ui.charts.frame import Ribbon
from ui.charts.live import Drawing, Pin
from ui.charts.palette import PINS, TRAIN
from ui.engine import engine, losses_ready
from ui.pieces import chosen
from ui.pieces.draw import colour_key
from ui.pieces.names import names
from ui.pieces.network import network
from ui.pieces.widgets import named
from ui.pieces.words import explained
from ui.state import rerun
from ui.trainer import chance, controls, origin, phone, runs
from ui.twins import pair

POLL_SECONDS = 0.3
PAUSED_POLL_SECONDS = 5.0  # keeps the lease while the tab is open
WAITING_POLL_SECONDS = 1.0
# How long a changed control waits for the new run's first snapshot, with the charts of the run
# before on the screen; and how long it waits if something must be compiled first.
FIRST_FRAME_SECONDS, READYING_SECONDS = 2.0, 0.15
POLLS_A_SECOND = 30.0  # of all visitors together: a frame takes about 12 ms of one core
NOTABLE_SECONDS = 2.0  # a shorter time to the end is not shown
COMPILING = "compiling the training step for this network"
READYING = (Status.PREPARING, Status.COMPILING)
MOVING = (*READYING, Status.QUEUED, Status.RUNNING)


def device() -> str:
    """Return the device in use, in words."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        return f"CPU, {os.cpu_count()} cores"
    return f"{first.platform.upper()}, {first.device_kind}"


def panel(title: str, config: RunConfig) -> None:
    """Draw the page for the run of `config`, from its title down."""
    viewer = _viewer(config)
    status = _first_frame(viewer).status
    _transport(title, status)
    _words_explained()
    at = _looking_at(config)
    phone.one_control_over_one_chart(config)
    with st.container(key="live", gap="xsmall"):
        waits = _waits(config, viewer.view())
        every = _poll_seconds(status)
        if waits:
            every = min(every or WAITING_POLL_SECONDS, WAITING_POLL_SECONDS)
        pins = runs.pins(TASKS[config.task].series)
        frame = Frame(viewer, status, waits, at, pins, chosen.held())
        st.fragment(_frame_in_turn, run_every=every)(frame)
    _scrubber(config)
    if not TASKS[config.task].series:
        chosen.panel("train", viewer, at, every, chosen.judge(config))
    _shelf(viewer)


def _viewer(config: RunConfig) -> Viewer:
    """Return the session's viewer, with a new run if a control has changed."""
    viewer: Viewer | None = st.session_state.get("viewer")
    if viewer is not None and viewer.config == config and viewer.alive():
        return viewer
    if viewer is not None:
        _let_go(viewer)
    st.session_state["viewer"] = viewer = engine().submit(config, until=controls.until())
    return viewer


def _first_frame(viewer: Viewer) -> View:
    view = engine().wait(viewer, snapshots=1, timeout=READYING_SECONDS)
    if view.snapshots or view.status in READYING:
        return view
    return engine().wait(viewer, snapshots=1, timeout=FIRST_FRAME_SECONDS)


def _let_go(viewer: Viewer) -> None:
    """Leave a run; its curves stay in grey behind those of the next one."""
    if snapshots := viewer.view().snapshots:
        st.session_state["before"] = snapshots
        st.session_state["shown_config"] = viewer.config
        _remember(viewer)
    viewer.stop()


def _remember(viewer: Viewer) -> None:
    """Remember a run that has trained."""
    if (snapshots := viewer.view().snapshots) and snapshots[-1].step:
        runs.remember(viewer.config, snapshots)


def _waits(config: RunConfig, view: View) -> bool:
    """True if something is on its way that is computed behind everybody's runs."""
    form, dtype = TASKS[config.task].form, PRECISIONS[config.precision].loss.dtype
    losses_known = form == "regression" or losses_ready(form, dtype)
    return not losses_known or chance.waits(config, view) or origin.waits(config, view)


def _poll_seconds(status: Status) -> float | None:
    if status in MOVING:  # while a run compiles, frequent looks would slow it
        polls = POLLS_A_SECOND / 3 if status in READYING else POLLS_A_SECOND
        return max(POLL_SECONDS, engine().viewers() / polls)
    return PAUSED_POLL_SECONDS if status is Status.PAUSED else None


# In these callbacks there may be no viewer: a second click may come before the script has made one.


def _train() -> None:
    controls.set_until(controls.END)
    if viewer := st.session_state.get("viewer"):
        viewer.resume()


def _held(move: Callable[[Viewer], None]) -> None:
    """Move the viewer to a step where it stays, and put that step into the link."""
    if viewer := st.session_state.get("viewer"):
        move(viewer)
        controls.set_until(viewer.limit)
    else:
        controls.set_until(0)


def _reset() -> None:
    controls.set_until(0)
    if viewer := st.session_state.pop("viewer", None):
        _let_go(viewer)


def _pin() -> None:
    """Keep the run in the charts, or remove it from them."""
    if viewer := st.session_state.get("viewer"):
        runs.toggle(viewer.config, viewer.view().snapshots)


def _open(config: RunConfig) -> None:
    """Go back to a run of this session, and let it go on to its end."""
    controls.set_config(config)
    controls.set_until(controls.END)


def _abandon() -> None:
    """Go back to the last settings that had something to show."""
    _reset()
    controls.set_config(st.session_state.get("shown_config", RunConfig()))


def _transport(title: str, status: Status) -> None:
    """Draw the title and the buttons, each with its shortcut."""
    playing, done = controls.until() == controls.END, status is Status.DONE
    with st.container(horizontal=True, vertical_alignment="center", key="transport", gap="small"):
        st.title(title, width="stretch", anchor=False)
        st.button("Train", icon=":material/play_arrow:", on_click=_train, type="primary",
                  key="train", disabled=playing or done, shortcut="T")  # fmt: skip
        if status in READYING:
            st.button("Abandon", icon=":material/close:", on_click=_abandon, key="abandon",
                      shortcut="P")  # fmt: skip
        else:
            st.button("Pause", icon=":material/pause:", on_click=_held, args=[Viewer.pause],
                      key="pause", disabled=not playing or done, shortcut="P")  # fmt: skip
        st.button("Step", icon=":material/skip_next:", on_click=_held, args=[Viewer.step],
                  key="step", disabled=playing or done, shortcut="S",
                  help="One update of the weights.")  # fmt: skip
        st.button("Next", icon=":material/fast_forward:", on_click=_held, args=[Viewer.look],
                  key="look", disabled=playing or done, shortcut="N",
                  help="Jump to the next measurement: many updates in a long run.")  # fmt: skip
        st.button("Pin", icon=":material/keep:", on_click=_pin, key="pin", shortcut="I",
                  help="Keep this run in the charts while others come and go, or remove it. Up to "
                  "four runs can be pinned.")  # fmt: skip
        st.button("Reset", icon=":material/replay:", on_click=_reset, key="reset", shortcut="X")


def _words_explained() -> None:
    """Explain the page's words, outside the frames, which are drawn again and again."""
    label, icon = "What do these words mean?", ":material/help:"
    with st.popover(label, icon=icon, type="tertiary", key="terms"):
        st.markdown(
            explained(
                "loss", "nats", "share right", "held out", "gradient", "zero gradient", "silent",
                "saturated", "clipped", "logit", "margin", "gradient norm",
                "nudged copies", "NaN", "squared error",
            )
        )  # fmt: skip


def _looking_at(config: RunConfig) -> int:
    """Return the step to look at; the run's last step means the newest snapshot."""
    known = "scrubber" in st.session_state  # Streamlit drops it on other pages
    if not known or st.session_state.get("scrubbed_steps") != config.steps:
        st.session_state["scrubbed_steps"] = st.session_state["scrubber"] = config.steps
    return st.session_state["scrubber"]


def _scrubber(config: RunConfig) -> None:
    st.slider(
        "look back to step", 0, config.steps, st.session_state["scrubber"], key="scrubber",
        help="Drag it fully right to follow the run.",
    )  # fmt: skip


def _shelf(viewer: Viewer) -> None:
    """Draw the session's runs, and a link to the twins page.

    The link compares the last two pinned runs, or this run and the only pinned one.
    """
    _remember(viewer)
    runs.shelf(_open, viewer.config)
    *_, a, b = [viewer.config, viewer.config, *runs.pinned()]
    if a != b:
        pair.page_link(a, b, "Take two apart: " + " against ".join(names([a, b])))


class Frame(NamedTuple):
    """What a frame is drawn from, besides the run itself."""

    viewer: Viewer
    drawn_as: Status  # the status for which buttons and timer were drawn
    waited: bool  # whether the timer waits for something behind the runs, see `_waits`
    at: int  # the step that is looked at
    pins: list[Pin]
    held: chosen.Chosen | None  # the chosen digits, drawn below


_one_frame = threading.Lock()
TURN_SECONDS = 0.02  # how often a waiting frame checks whether its own visitor has clicked


def _frame_in_turn(frame: Frame) -> None:
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
    _ = "viewer" in st.session_state


def _frame(frame: Frame) -> None:
    """Draw one frame; runs alone, several times a second."""
    view, config, at = frame.viewer.view(), frame.viewer.config, frame.at
    other_buttons = _buttons(view.status) != _buttons(frame.drawn_as)
    if other_buttons or _waits(config, view) != frame.waited:
        rerun()  # for other buttons, another timer, or what was waited for
    if chosen.held() is not frame.held:
        rerun()  # for other digits below
    shown = [snapshot for snapshot in view.snapshots if snapshot.step <= at]
    now = shown[-1] if shown else None
    _progress(view)
    _words(config, view, shown)
    origin.panel(config, view, shown)
    _numbers(config, now)
    copies = chance.copies(config, view)
    with st.container(horizontal=True, vertical_alignment="center", key="chance", gap="small"):
        _caption(config, now, chance.words(view, copies))
        chance.ask(config, view, copies)
        if frame.pins:
            named = zip((pin.name for pin in frame.pins), PINS, strict=False)
            colour_key({"this run": TRAIN, **dict(named)})
    before = [s for s in _before() if (s.fit is None) != TASKS[config.task].series]
    scrubbed = now.step if now and at < config.steps else None
    ribbon = chance.ribbon(copies)
    drawn = drawings(config, view.snapshots, before, now, scrubbed, ribbon, frame.pins)
    _charts(frame.viewer, drawn)


def _buttons(status: Status) -> Status:
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


def _words(config: RunConfig, view: View, shown: Sequence[Snapshot]) -> None:
    """Say the diagnosis that fits first, then the others, and offer what may help as a button."""
    findings = diagnose(config, shown) if shown else []
    with st.container(horizontal=True, vertical_alignment="center", key="words", gap="small"):
        if view.status is Status.FAILED:
            st.error(view.message, icon=":material/error:")
        elif not findings:
            st.info("The first measurement comes in a moment.", icon=":material/search:")
        else:
            first, *others = findings
            says = f"After step {shown[-1].step:,}: **{first.sentence}**"
            if others:
                says += "  \n" + " ".join(f":small[{other.sentence}]" for other in others)
            st.info(says, icon=":material/stethoscope:")
        cure = next((found.cure for found in findings if found.cure), None)
        if cure and view.status is not Status.FAILED:
            _offer(config, cure)


def _offer(config: RunConfig, cure: Mapping[str, Any]) -> None:
    """Draw a button that sets the controls to what may help."""
    words = ", ".join(named(name, value) for name, value in cure.items())
    if st.button(f"Try {words}", key="try_cure", icon=":material/healing:"):
        st.session_state["cure"] = agree({**asdict(config), **cure})[0]
        rerun()


def _numbers(config: RunConfig, now: Snapshot | None) -> None:
    """Draw the figures of the snapshot, and the network."""
    names: tuple[str, ...] = ("squared error, held out", "of copying the input", "zero gradient")
    if not TASKS[config.task].series:
        names = ("training accuracy", "held-out accuracy", "zero gradient", "wrong, silent")
    numbers = dict.fromkeys(("loss", *names), "–")
    if now:
        told = (number(now.fit.error, 4), number(now.fit.copied, 4)) if now.fit else (
            _accuracy(now, now.train_accuracy), _accuracy(now, now.test_accuracy),
        )  # fmt: skip
        census = (f"{now.census.zero_gradient:.1%}", f"{now.census.stuck:.1%}")
        numbers = dict(zip(numbers, (number(now.loss, 4), *told, *census), strict=False))
    # One element instead of five metrics, which took a tenth of a frame's time.
    rows = (f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in numbers.items())
    numbers_of = f'<dl class="numbers">{"".join(rows)}</dl>'
    st.html(f'<div class="look">{numbers_of}{network(config, now)}</div>')


def _accuracy(now: Snapshot, value: float) -> str:
    """Return an accuracy as text; NaN if any prediction is NaN."""
    return "NaN" if now.saturation.nonfinite > 0 else f"{value:.1%}"


def _caption(config: RunConfig, now: Snapshot | None, on_chance: str) -> None:
    """Say which images the figures are of, and how much of them is chance."""
    if now is None:
        st.empty()
        return
    probe, of = len(now.gradients), config.train_size
    over = f"all {of:,}" if probe == of else f"the first {probe:,} of {of:,}"
    what, measured = ("series", "squared error") if now.fit else ("images", "accuracy")
    held_out = f"held-out {measured}: over {now.test_examples:,} others"
    printed = ""
    if not now.fit and now.saturation.nonfinite > 0:
        accuracies = f"{now.train_accuracy:.1%} and {now.test_accuracy:.1%}"
        printed = f" A program that ignores NaN would print {accuracies}."
    grey = " Grey: the run before." if _before() else ""
    st.caption(f"Over {over} training {what}; {held_out}.{printed} {on_chance}{grey}")


def _before() -> list[Snapshot]:
    """Return the snapshots of the run before."""
    return st.session_state.get("before", [])


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
        drawn = _of_images(config, curves, now, ribbon, pins)
    # Last, so that no chart moves when it comes; the strip of a healthy float32 gradient says
    # nothing.
    if now and (health.is_sick(now) or config.precision != "float32"):
        names = train.parameters(train.shape(config))
        drawn.append(health.health(snapshots, config.steps, names, scrubbed))
    return drawn


def _of_images(
    config: RunConfig,
    curves: tuple[Sequence[Snapshot], Sequence[Snapshot], int, int | None],
    now: Snapshot | None,
    ribbon: Ribbon | None,
    pins: Sequence[Pin],
) -> list[Drawing]:
    """Return the charts of a run whose answers are right or wrong."""
    snapshots, before, steps, scrubbed = curves
    binary = TASKS[config.task].form == "binary"
    of = "“5 or more”" if binary else "the true digit"
    broken = charts.broken(snapshots)
    last = snapshots[-1] if charts.ended(snapshots, steps) else None
    return [
        charts.loss(*curves, pins),
        charts.accuracy(*curves, ribbon, pins),
        charts.saturation(now, of, f"Predicted probability of {of}", broken, last),
        charts.gradients(*curves),
        digits.digits(
            now,
            digits.widest(snapshots or before),  # without a snapshot, the axis of the run before
            f"logit of {of}" if binary else "margin",
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
    """
    dtype = PRECISIONS[config.precision].loss.dtype
    if not losses_ready("binary", dtype):
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
    for i, drawing in enumerate(drawn):
        key = f"chart_{drawing.key}"
        click = chosen.clicked("train", key, viewer, digits.images)
        columns[i % 2].vega_lite_chart(
            {**drawing.spec, "datasets": drawing.tables},
            key=key,
            alt=drawing.alt,
            on_select=click if drawing.key == "digits" else "rerun" if drawing.zoom else "ignore",
        )
    # Beside the charts and not in their `alt`: for another text, the browser builds a chart again.
    said = "".join(f"<li>{drawing.says}</li>" for drawing in drawn if drawing.says)
    st.html(f'<ul class="unseen">{said}</ul>')
