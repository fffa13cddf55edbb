"""How to record a program, as docs/recordings.md says it, with the files to download."""

import re
from functools import cache
from pathlib import Path

import streamlit as st

from ui.pieces.draw import code

ROOT = Path(__file__).parents[2]
RECORDERS = {
    "PyTorch": "samenet_torch.py",
    "JAX": "samenet_jax.py",
    "Keras": "samenet_keras.py",
    "Anything else": "",
}


@cache
def _section(title: str) -> tuple[str, str, str]:
    """Return a section of the page of docs: the words before its code, the code, those after."""
    text = (ROOT / "docs/recordings.md").read_text(encoding="utf-8")
    found = re.search(rf"^### {title}\n+(.*?)```python\n(.*?)```\n+(.*?)^##", text, re.M | re.S)
    assert found is not None, title
    before, after = (" ".join(part.split()) for part in found.group(1, 3))
    return before, found[2], after


def howto() -> None:
    """Draw a tab for each framework: its recorder, and where its lines go."""
    st.header("How to record")
    st.markdown("Put the recorder beside your program, and add the lines that are marked.")
    tabs = st.container(key="howto").tabs(list(RECORDERS))
    for tab, (title, name) in zip(tabs, RECORDERS.items(), strict=True):
        before, lines, after = _section(title)
        with tab:
            if name:
                st.download_button(
                    name,
                    (ROOT / "recorders" / name).read_bytes(),
                    name,
                    "text/x-python",
                    icon=":material/download:",
                    on_click="ignore",
                )
            if before:
                st.markdown(before)
            code(lines, mark="# +")
            if after:
                st.markdown(after)
