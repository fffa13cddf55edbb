"""Keras on its backends: our losses that compute the same, and the real Keras run here."""

import threading
from collections.abc import Mapping

import streamlit as st

from core.config import RunConfig
from core.data import load
from core.parts.losses import LOSSES
from core.run.job import Status, Viewer
from core.study import real_keras
from ui.charts import twins as charts
from ui.charts.palette import MORE, PINS
from ui.engine import engine
from ui.pieces.bars import Bars, bars
from ui.pieces.colours import LOSS_COLOURS
from ui.pieces.draw import chart, colour_key
from ui.state import rerun
from ui.story.twin import all_done, viewers, with_own_epsilon
from ui.story.watch import curve
from ui.trainer.live import POLL_SECONDS

one_at_a_time = threading.Lock()  # two frameworks at once would slow down all visitors' runs
WRITTEN = {
    "Keras 3 on TensorFlow": "keras_tf",
    "… with a layer after the sigmoid that makes a new tensor": "keras_tf_hidden",
    "Keras 3 on JAX": "keras_jax",
    "Keras 3 on PyTorch": "keras_torch",
}
BACKENDS = {"tensorflow": "keras_tf", "jax": "keras_jax", "torch": "keras_torch"}


def backends(shared: RunConfig) -> None:
    """Draw the final accuracy with the row of LOSSES that does what each backend does."""
    st.markdown("**Training accuracy at the end:**")
    configs = {name: with_own_epsilon(loss, shared) for name, loss in WRITTEN.items()}
    running = not all_done(viewers(configs))
    st.fragment(_backends, run_every=POLL_SECONDS if running else None)(configs, running)


def _backends(configs: Mapping[str, RunConfig], drawn_running: bool) -> None:
    by_name = viewers(configs)
    if drawn_running and all_done(by_name):
        rerun()
    rows = [
        Bars(name, {name: _final_accuracy(by_name[name])}, LOSSES[config.loss].summary)
        for name, config in configs.items()
    ]
    # Each bar has a name of its own; the colour says what the loss is computed from.
    taken = {name: LOSSES[config.loss].works_on for name, config in configs.items()}
    bars(rows, {name: LOSS_COLOURS[works_on][0] for name, works_on in taken.items()})


def _final_accuracy(viewer: Viewer) -> float | None:
    """The final training accuracy of a run; None before it has ended."""
    view = viewer.view()
    return view.snapshots[-1].train_accuracy if view.status is Status.DONE else None


def real(shared: RunConfig) -> None:
    """Draw a button that runs the real Keras, and then its accuracy over that of our loss."""
    installed = [backend for backend in real_keras.available_backends() if backend in BACKENDS]
    if not installed:
        st.caption("If Keras were installed on this server, the real one could be run here.")
        return
    backend = st.segmented_control(
        "the real Keras, on", installed, default=installed[0], key="keras_backend", required=True
    )
    st.button("Run the real Keras", icon=":material/play_circle:", on_click=_ask)
    if not st.session_state.get("keras_asked"):
        return
    config = with_own_epsilon(BACKENDS[backend], shared)
    try:
        keras_run = _keras(config, backend)
    except real_keras.KerasError as error:
        st.error(str(error), icon=":material/error:")
        return
    ours, theirs = f"our loss for {backend}", f"Keras {keras_run.version} on {backend}"
    viewer = viewers({f"keras {backend}": config})[f"keras {backend}"]
    run = engine().wait(viewer, snapshots=config.steps + 1, timeout=5.0).snapshots
    measured = (list(range(len(keras_run.accuracy))), keras_run.accuracy.tolist())
    curves = {theirs: measured, ours: curve(run, "accuracy")}
    spec = charts.curves_spec((theirs, ours), (PINS[3], MORE), config.steps)
    colour_key({theirs: PINS[3], ours: MORE})
    alt = f"Accuracy of {theirs} and of {ours}."
    chart("twins_keras", spec, charts.curves_tables(curves), alt)


def _ask() -> None:
    st.session_state["keras_asked"] = True


@st.cache_data(max_entries=32, show_spinner="starting Keras; this takes some seconds")
def _keras(config: RunConfig, backend: str) -> real_keras.KerasRun:
    with one_at_a_time:
        return real_keras.run(config, load(config.source, config.train_size), backend)
