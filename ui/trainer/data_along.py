"""The data of a run: as tables, as JSON that opens it again, and as a recording to compare."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from core.config import RunConfig, from_json
from core.data import full_is_prepared
from core.fields import quoted
from core.run import tables, train
from core.run.command import as_json
from core.run.job import Viewer
from core.run.snapshot import Snapshot
from ui.pieces import aside
from ui.pieces.on_screen import on_screen
from ui.trainer import controls
from ui.trainer.link import END

KEY = "data_along"
MOST = 4_000_000  # bytes of a run as JSON; one with 400 looks has 300,000
RECORDABLE = 400e6  # bytes of weights, gradients and slots


def offer(config: RunConfig) -> None:
    """Draw what there is to download of the run that is shown, and where to open one."""
    viewer = on_screen().viewer
    if viewer is None:
        return
    st.markdown(
        "The run as data: loss, accuracies, silent images and norms at each look (Curves), where "
        "its predictions are (Histograms), and every image at the look that is shown (Images). A "
        "recording of its first steps can be compared with your own program's, on *Is it happening "
        "to you?*"
    )
    at = controls.looked_at()
    with st.container(horizontal=True):
        _button("Curves", "curves.csv", "text/csv", lambda: tables.curves(_looks(viewer)))
        if not _is_series(viewer):
            _button("Histograms", "histograms.csv", "text/csv", partial(_histograms, viewer))
            _button("Images", "images.csv", "text/csv", lambda: _images(viewer, at))
        _button("Run", "run.json", "application/json", lambda: _json(viewer))
        there = config.source != "full" or full_is_prepared()
        small = train.bytes_needed(train.shape(config)) < RECORDABLE
        _button(
            "Recording",
            "run.safetensors",
            "application/octet-stream",
            partial(recording, config),
            disabled=not (there and small),
            help="Its first steps are trained again, which takes up to a minute."
            if there and small
            else "The network is too large to be recorded here."
            if there
            else "Train the run first: full MNIST has not been prepared here.",
        )
    st.file_uploader(
        "Open a run from its .json", "json", key=KEY, on_change=_open, max_upload_size=4
    )


def _button(
    label: str,
    file: str,
    mime: str,
    make: Callable[[], str | bytes],
    disabled: bool = False,
    help: str | None = None,
) -> None:
    """Draw a button for what is made when it is clicked."""
    st.download_button(
        label, make, file, mime, key=f"{KEY}_{file}", on_click="ignore", disabled=disabled,
        help=help, icon=":material/download:",
    )  # fmt: skip


def _looks(viewer: Viewer) -> list[Snapshot]:
    return viewer.view().snapshots


def _is_series(viewer: Viewer) -> bool:
    looks = _looks(viewer)
    return bool(looks) and looks[0].fit is not None


def _histograms(viewer: Viewer) -> str:
    return tables.histogram(_looks(viewer))


def _images(viewer: Viewer, at: float) -> str:
    looks = _looks(viewer)
    shown = [look for look in looks if look.step <= at] or looks[:1]
    return tables.images(shown[-1])


def _json(viewer: Viewer) -> str:
    return json.dumps(as_json(viewer.config, _looks(viewer)), indent=1, allow_nan=False) + "\n"


def recording(config: RunConfig) -> bytes:
    """Return a recording of a run's first steps, made in another process.

    Raises Failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked, made = Path(folder) / "config.json", Path(folder) / "run.safetensors"
        asked.write_text(json.dumps(config.differences()))
        aside.run("core.study.record", str(asked), "--out", str(made))
        return made.read_bytes()


def _open() -> None:
    """Set the trainer to an uploaded run, which then plays to its end."""
    if (file := st.session_state[KEY]) is None:
        return
    try:
        config = read(file.getvalue())
    except ValueError as error:
        controls.STATE.note([f"{quoted(file.name)} is no run: {error}"])
        return
    controls.set_config(config)
    controls.set_until(END)


def read(content: bytes) -> RunConfig:
    """Return the configuration of a run that was written as JSON, or of its settings alone.

    Raises:
      ValueError: it is neither; says why, briefly and without markup.
    """
    if len(content) > MOST:
        raise ValueError(f"it has more than {MOST // 1_000_000} MB")
    try:
        return from_json(content.decode())
    except ValueError as error:  # also of bytes that are no text
        words = "".join(c if c.isalnum() or c in " .,:;'\"+-_()=" else " " for c in str(error))
        raise ValueError(words[:200]) from error
