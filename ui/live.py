"""The live panel: polls a run and draws it.

The run belongs to the engine; the session holds a Viewer of it. Controls stay outside the
polling fragment. When the run ends, one full rerun takes the timer away.
"""

import math
import os
import threading
from collections.abc import Sequence

import jax
import streamlit as st

from core.config import RunConfig
from core.parts.choices import TASKS
from core.parts.losses import LOSSES
from core.run.job import Status, View, Viewer
from core.run.snapshot import Snapshot, diagnosis, is_chaotic
from ui import controls
from ui.charts import live as charts
from ui.charts.live import Drawing
from ui.engine import engine
from ui.pages import PAGES

POLL_SECONDS = 0.3
PAUSED_POLL_SECONDS = 5.0  # keeps the lease while the tab is open
FIRST_FRAME_SECONDS = 0.15  # how long a changed control waits for the new run's first step
POLLS_A_SECOND = 30.0  # of all visitors together: a frame takes about 12 ms of one core
READYING = (Status.PREPARING, Status.COMPILING)
MOVING = (*READYING, Status.QUEUED, Status.RUNNING)


def device() -> str:
    """The accelerator in use, in words."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        return f"CPU, {os.cpu_count()} cores"
    return f"{first.platform.upper()}, {first.device_kind}"


def panel(config: RunConfig) -> None:
    """Transport, progress, diagnosis and the four charts of the run of `config`."""
    viewer = _viewer(config)
    status = engine().wait(viewer, snapshots=1, timeout=FIRST_FRAME_SECONDS).status
    _transport(status)
    at = _scrubber(config)
    with st.container(key="live"):
        st.fragment(_frame_in_turn, run_every=_poll_seconds(status))(viewer, status, at)


def _viewer(config: RunConfig) -> Viewer:
    """The session's viewer, of a new run if a control has changed."""
    viewer: Viewer | None = st.session_state.get("viewer")
    if viewer is not None and viewer.config == config and viewer.alive():
        return viewer
    if viewer is not None:
        _let_go(viewer)
    playing = st.session_state.setdefault("playing", False)
    st.session_state["viewer"] = viewer = engine().submit(config, play=playing)
    return viewer


def _let_go(viewer: Viewer) -> None:
    """Leave a run; what it has shown stays as the grey curves behind the next one."""
    if snapshots := viewer.view().snapshots:
        st.session_state["before"] = snapshots
        st.session_state["shown_config"] = viewer.config
    viewer.stop()


def _poll_seconds(status: Status) -> float | None:
    if status in MOVING:
        return max(POLL_SECONDS, engine().viewers() / POLLS_A_SECOND)
    return PAUSED_POLL_SECONDS if status is Status.PAUSED else None


# A second click may come before the script has got a new viewer after the first.


def _train() -> None:
    st.session_state["playing"] = True
    if viewer := st.session_state.get("viewer"):
        viewer.resume()


def _pause() -> None:
    st.session_state["playing"] = False
    if viewer := st.session_state.get("viewer"):
        viewer.pause()


def _step() -> None:
    st.session_state["playing"] = False
    if viewer := st.session_state.get("viewer"):
        viewer.step()


def _reset() -> None:
    st.session_state["playing"] = False
    if viewer := st.session_state.pop("viewer", None):
        _let_go(viewer)


def _abandon() -> None:
    """Back to the last settings that had something to show."""
    _reset()
    controls.set_config(st.session_state.get("shown_config", RunConfig()))


def _transport(status: Status) -> None:
    playing = st.session_state["playing"]
    with st.container(horizontal=True, key="transport"):
        st.button("Train", icon=":material/play_arrow:", on_click=_train, type="primary",
                  key="train", disabled=playing or status is Status.DONE)  # fmt: skip
        if status in READYING:
            st.button("Abandon", icon=":material/close:", on_click=_abandon, key="abandon")
        else:
            st.button("Pause", icon=":material/pause:", on_click=_pause, key="pause",
                      disabled=not playing or status is Status.DONE)  # fmt: skip
        st.button("Step", icon=":material/skip_next:", on_click=_step, key="step",
                  disabled=playing or status is Status.DONE)  # fmt: skip
        st.button("Reset", icon=":material/replay:", on_click=_reset, key="reset")


def _scrubber(config: RunConfig) -> int:
    """The step to look at: the last one means the newest there is."""
    if st.session_state.get("scrubbed_steps") != config.steps:
        st.session_state["scrubbed_steps"] = st.session_state["scrubber"] = config.steps
    return st.slider(
        "look back to step", 0, config.steps, st.session_state["scrubber"], key="scrubber",
        help="At its right end it follows the run.",
    )  # fmt: skip


_one_frame = threading.Lock()


def _frame_in_turn(viewer: Viewer, drawn_as: Status, at: int) -> None:
    """A frame at a time: thirty that fight for the interpreter take twice the CPU of a queue."""
    with _one_frame:
        _frame(viewer, drawn_as, at)


def _frame(viewer: Viewer, drawn_as: Status, at: int) -> None:
    """One frame. Runs alone, several times a second."""
    view = viewer.view()
    if _buttons(view.status) != _buttons(drawn_as):
        st.rerun()
    shown = [snapshot for snapshot in view.snapshots if snapshot.step <= at]
    now = shown[-1] if shown else None
    _progress(view)
    _words(view, now)
    _numbers(now)
    _caution(view)
    before = st.session_state.get("before", [])
    scrubbed = now.step if now and at < viewer.config.steps else None
    _charts(drawings(viewer.config, view.snapshots, before, now, scrubbed))


def _buttons(status: Status) -> Status:
    """Statuses that draw the same buttons are one."""
    if status in READYING:
        return Status.PREPARING
    return Status.RUNNING if status is Status.QUEUED else status


def _progress(view: View) -> None:
    step = view.snapshots[-1].step if view.snapshots else 0
    fraction = step / view.steps
    match view.status:
        case Status.QUEUED:
            text = f"number {view.place} in the queue, others are training"
        case Status.PREPARING:
            text, fraction = view.message or "preparing data", view.fraction
        case Status.COMPILING:
            text = "compiling the training step for this network"
        case status:
            text = f"step {step:,} of {view.steps:,}, {status}"
    if view.status is Status.RUNNING and view.steps_per_second:
        text += f" · {view.steps_per_second:,.0f} steps/s · {view.seconds_left:.0f} s left"
    st.progress(min(1.0, fraction), text=f"{text} · {device()}")


def _words(view: View, now: Snapshot | None) -> None:
    if view.status is Status.FAILED:
        st.error(view.message, icon=":material/error:")
    elif now is None:
        st.info("The first look at the network comes in a moment.", icon=":material/search:")
    else:
        st.info(f"After step {now.step:,}: {diagnosis(now)}", icon=":material/stethoscope:")


def _numbers(now: Snapshot | None) -> None:
    numbers = {"loss": "–", "training accuracy": "–", "held-out accuracy": "–",
               "zero gradient": "–", "wrong, zero gradient": "–"}  # fmt: skip
    if now:
        numbers = {
            "loss": "NaN" if math.isnan(now.loss) else f"{now.loss:.4g}",
            "training accuracy": f"{now.train_accuracy:.3f}",
            "held-out accuracy": f"{now.test_accuracy:.3f}",
            "zero gradient": f"{now.census.zero_gradient:.1%}",
            "wrong, zero gradient": f"{now.census.stuck:.1%}",
        }
    # One element in place of five metrics, which took a tenth of a frame's time.
    rows = (f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in numbers.items())
    st.html(f'<dl class="numbers">{"".join(rows)}</dl>')


def _caution(view: View) -> None:
    if view.snapshots and is_chaotic(view.snapshots[0]):
        st.caption(
            "This run is chaotic: its loss clips most predictions from the start, and rounding "
            "alone moves where it ends. Its accuracy is an example and not a constant; the story "
            f"[{PAGES['jax_vs_keras'].label}](/jax_vs_keras) repeats it."
        )
    else:
        st.empty()  # holds the place: the browser builds anew what moves up or down a place


def drawings(
    config: RunConfig,
    snapshots: Sequence[Snapshot],
    before: Sequence[Snapshot],
    now: Snapshot | None,
    scrubbed: int | None,
) -> list[Drawing]:
    """The four charts of a frame."""
    binary = TASKS[config.task].form == "binary"
    of = "“5 or more”" if binary else "the true digit"
    curves = (snapshots, before, config.steps, scrubbed)
    return [
        charts.loss(*curves),
        charts.accuracy(*curves),
        charts.saturation(now, f"predicted probability of {of}", clips(config.loss)),
        charts.gradients(*curves),
    ]


def clips(loss: str) -> bool:
    """Whether a loss gives no gradient where it clips the probability."""
    return LOSSES[loss].clip_range is not None


def _charts(drawn: Sequence[Drawing]) -> None:
    columns = st.columns(2, gap="medium")  # two rows of two take two more blocks a frame
    for i, drawing in enumerate(drawn):
        columns[i % 2].vega_lite_chart(
            {**drawing.spec, "datasets": drawing.tables},
            key=f"chart_{drawing.key}",
            alt=drawing.alt,
            on_select="rerun" if drawing.zoom else "ignore",
        )
