"""Take a run along: as a script or a notebook of a framework, and its data."""

import io
import zipfile
from functools import partial

import streamlit as st

from core import export
from core.config import RunConfig
from core.data import full_is_prepared
from ui.trainer import data_along

KEY = "take_along"


def offer(config: RunConfig) -> None:
    """Draw, once opened, what there is to download of the run of `config`."""
    label, icon = "Take it with you", ":material/download:"
    with st.expander(label, key=KEY, icon=icon, on_change="rerun") as box:
        if not box.open:  # because the lines are written on each run of the page
            return
        st.markdown(
            "The run as a program in one file, which needs its framework (JAX: and optax) and the "
            "files of the .zip, unpacked beside it. It prints the same numbers, up to rounding and "
            "what a chaotic run makes of it, unless this page says otherwise."
        )
        for framework, column in zip(
            export.FRAMEWORKS, st.columns(len(export.FRAMEWORKS)), strict=True
        ):
            with column:
                _framework(config, framework)
        st.divider()
        data_along.offer(config)


def _framework(config: RunConfig, framework: str) -> None:
    row, script = export.FRAMEWORKS[framework], export.script(config, framework)
    st.markdown(f"**{row.label}**")
    st.caption(row.summary)
    name = f"run_{framework}"
    _button("Script", script.text, f"{name}.py", "text/x-python")
    _button("Notebook", script.notebook, f"{name}.ipynb", "application/x-ipynb+json")
    there = config.source == "sample" or full_is_prepared()
    st.download_button(
        "Data" if row.draws else "Weights and data",
        partial(packed, config, framework),  # made when it is clicked
        f"{name}_files.zip",
        "application/zip",
        key=f"{KEY}_{name}_files.zip",
        on_click="ignore",
        disabled=not (there and script.whole),
        help=None if there else "Train the run first: full MNIST has not been prepared here.",
        width="stretch",
    )
    if script.cannot:
        faults = "\n".join(f"- {fault}" for fault in script.cannot)
        st.markdown(f"Its numbers are not those of the run:\n{faults}")


def _button(label: str, text: str, file: str, mime: str) -> None:
    st.download_button(
        label, text, file, mime, key=f"{KEY}_{file}", on_click="ignore", width="stretch"
    )


def packed(config: RunConfig, framework: str) -> bytes:
    """A .zip of what the script reads.

    Raises DataUnavailable.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as folder:  # the arrays inside are compressed already
        for name, content in export.files(config, framework).items():
            folder.writestr(name, content)
    return file.getvalue()
