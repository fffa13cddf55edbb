"""The live panel: polls a run and draws it.

The run belongs to the engine; the session holds a Viewer of it. Controls stay outside the polling
fragment. When the run ends, one full rerun removes the timer.
"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from core.config import RunConfig
from core.parts.choices import TASKS
from core.run.job import Status, View, Viewer
from ui.engine import engine
from ui.pieces import chosen
from ui.pieces.glossary import explained
from ui.pieces.names import names
from ui.pieces.on_screen import OnScreen, on_screen
from ui.state import bound, key_of, put
from ui.trainer import controls, frame, phone, runs
from ui.trainer.link import END
from ui.twins import pair

POLL_SECONDS = 0.3
PAUSED_POLL_SECONDS = 5.0  # keeps the lease while the tab is open
WAITING_POLL_SECONDS = 1.0
# How long a changed control waits for the new run's first snapshot, with the charts of the run
# before on the screen; and how long it waits if something must be compiled first.
FIRST_FRAME_SECONDS, READYING_SECONDS = 2.0, 0.15
POLLS_A_SECOND = 30.0  # of all visitors together: a frame takes about 10 ms of one core
MOVING = (*frame.READYING, Status.QUEUED, Status.RUNNING)


def panel(title: str, config: RunConfig) -> None:
    """Draw the page for the run of `config`, from its title down."""
    viewer = _viewer(config)
    status = _first_frame(viewer).status
    _transport(title, status)
    _terms_explained()
    at = _looking_at(config)
    phone.one_control_over_one_chart(config)
    runs.train_pins()
    with st.container(key="live", gap="xsmall"):
        waits = frame.waits(config, viewer.view())
        every = _poll_seconds(status)
        if waits:
            every = min(every or WAITING_POLL_SECONDS, WAITING_POLL_SECONDS)
        pins = runs.pins(TASKS[config.task].series)
        drawn_from = frame.Frame(viewer, status, waits, at, pins, chosen.chosen_images())
        st.fragment(frame.in_turn, run_every=every)(drawn_from)
    _scrubber(config.steps, at)
    if not TASKS[config.task].series:
        chosen.gallery("train", viewer, at, every, chosen.own_loss(config))
    _shelf(viewer)


def _viewer(config: RunConfig) -> Viewer:
    """Return the session's viewer, with a new run if a control has changed."""
    mine = on_screen()
    with mine.lock:
        until = controls.until()  # ends this run of the script if another has begun meanwhile
        if mine.viewer is None or mine.viewer.config != config or not mine.viewer.alive():
            _leave(mine)
            mine.viewer = engine().submit(config, until)
        return mine.viewer


def _first_frame(viewer: Viewer) -> View:
    view = engine().wait(viewer, snapshots=1, timeout=READYING_SECONDS)
    if view.snapshots or view.status in frame.READYING:
        return view
    return engine().wait(viewer, snapshots=1, timeout=FIRST_FRAME_SECONDS)


def _leave(mine: OnScreen) -> None:
    """Leave the run; its curves stay in grey behind those of the next one."""
    with mine.lock:
        if (viewer := mine.viewer) is None:
            return
        _remember(viewer)
        if snapshots := viewer.view().snapshots:
            mine.before, mine.config = snapshots, viewer.config
        viewer.stop()
        mine.viewer = None


def _remember(viewer: Viewer) -> None:
    """Remember a run that has trained."""
    if (snapshots := viewer.view().snapshots) and snapshots[-1].step:
        runs.remember(viewer.config, snapshots)


def _poll_seconds(status: Status) -> float | None:
    if status in MOVING:  # while a run compiles, frequent looks would slow it
        polls = POLLS_A_SECOND / 3 if status in frame.READYING else POLLS_A_SECOND
        return max(POLL_SECONDS, engine().viewers() / polls)
    return PAUSED_POLL_SECONDS if status in (Status.PAUSED, Status.REFUSED) else None


# In these callbacks there may be no viewer: a second click may come before the script has made one.


def _train() -> None:
    controls.set_until(END)
    if viewer := on_screen().viewer:
        viewer.resume()


def _hold_at(move: Callable[[Viewer], None]) -> None:
    """Move the viewer to a step where it stays, and put that step into the link."""
    if viewer := on_screen().viewer:
        move(viewer)
        controls.set_until(viewer.limit)
    else:
        controls.set_until(0)


def _reset() -> None:
    controls.set_until(0)
    _leave(on_screen())


def _pin() -> None:
    """Keep the run in the charts, or remove it from them."""
    if viewer := on_screen().viewer:
        runs.toggle(viewer.config, viewer.view().snapshots)


def _open(config: RunConfig) -> None:
    """Go back to a run of this session, and let it go on to its end."""
    controls.set_config(config)
    controls.set_until(END)


def _abandon() -> None:
    """Go back to the last settings that had something to show."""
    _reset()
    controls.set_config(on_screen().config or RunConfig())


def _transport(title: str, status: Status) -> None:
    """Draw the title and the buttons, each with its shortcut."""
    playing, done = controls.until() == END, status is Status.DONE
    with st.container(horizontal=True, vertical_alignment="center", key="transport", gap="small"):
        st.title(title, width="stretch", anchor=False)
        st.button(
            "Train",
            icon=":material/play_arrow:",
            on_click=_train,
            type="primary",
            key="train",
            disabled=playing or done,
            shortcut="T",
        )
        if status in frame.READYING:
            st.button(
                "Abandon", icon=":material/close:", on_click=_abandon, key="abandon", shortcut="P"
            )
        else:
            st.button(
                "Pause",
                icon=":material/pause:",
                on_click=_hold_at,
                args=[Viewer.pause],
                key="pause",
                disabled=not playing or done,
                shortcut="P",
            )
        st.button(
            "Step",
            icon=":material/skip_next:",
            on_click=_hold_at,
            args=[Viewer.step],
            key="step",
            disabled=playing or done,
            shortcut="S",
            help="One update of the weights.",
        )
        st.button(
            "Next",
            icon=":material/fast_forward:",
            on_click=_hold_at,
            args=[Viewer.look],
            key="look",
            disabled=playing or done,
            shortcut="N",
            help="Jump to the next measurement: many updates in a long run.",
        )
        st.button(
            "Pin",
            icon=":material/keep:",
            on_click=_pin,
            key="pin",
            shortcut="I",
            help="Keep this run in the charts while others come and go, or remove it. Up to "
            "four runs can be pinned.",
        )
        st.button("Reset", icon=":material/replay:", on_click=_reset, key="reset", shortcut="X")


def _terms_explained() -> None:
    """Explain the page's words, outside the frames, which are drawn again and again."""
    label, icon = "What do these words mean?", ":material/help:"
    with st.popover(label, icon=icon, type="tertiary", key="terms"):
        st.markdown(
            explained(
                "loss",
                "nats",
                "share right",
                "held out",
                "gradient",
                "zero gradient",
                "silent",
                "saturated",
                "clipped",
                "logit",
                "margin",
                "gradient norm",
                "nudged copies",
                "NaN",
                "squared error",
            )
        )


def _looking_at(config: RunConfig) -> int:
    """Return the step to look at; the run's last step means the newest snapshot."""
    at = int(min(controls.looked_at(), config.steps))
    put("scrubber", at)
    return at


def _scrubbed(steps: int) -> None:
    """Put the step that is looked at into the link; the last step follows the run."""
    at = st.session_state[key_of("scrubber")]
    controls.set_look(END if at == steps else at)


def _scrubber(steps: int, at: int) -> None:
    label = "look back to step (far right: the newest)"
    st.slider(label, 0, steps, at, **bound("scrubber", partial(_scrubbed, steps)))


def _shelf(viewer: Viewer) -> None:
    """Draw the session's runs, and a link to the twins page.

    The link compares the last two pinned runs, or this run and the only pinned one.
    """
    _remember(viewer)
    runs.shelf(_open, viewer.config)
    *_, a, b = [viewer.config, viewer.config, *controls.pinned()]
    if a != b:
        pair.page_link(a, b, "Take two apart: " + " against ".join(names([a, b])))
