"""The frame that all pages share: settings, style, navigation. Each visitor's run starts here."""

from pathlib import Path

import streamlit as st

from ui import imports, projector
from ui.pages import ROOT, navigation
from ui.state import OWN
from ui.streamlit_privates import Stopped, forget_what_was_not_drawn, mend

FAILED = (
    "This page met something that it does not expect. Open it again by its link; if it stays so, "
    "that is a fault of this project. Please report it."
)


def failed(_error: Exception) -> bool:
    """Tell a visitor that the page has failed; what and where is in the log."""
    st.error(FAILED, icon=":material/error:")
    return True


def main() -> None:
    """Draw the page that the visitor is on."""
    mend()  # already done, unless this server runs a plain script
    st.session_state[OWN] = None
    imports.load()  # already done, unless nothing warmed this server up
    projector.take_over()
    st.set_page_config(
        page_title="Samenet",
        page_icon=ROOT / "assets/icon.svg",
        layout="wide",
        initial_sidebar_state="collapsed" if projector.on() else "auto",
    )
    st.html(Path(__file__).with_name("style.css"))
    projector.toggle()
    from ui.engine import engine  # heavy, but imported by now
    from ui.pieces import figures
    from ui.pieces.copy_link import copy_link

    with st.container(key="copy_link"):  # in the header, see style.css
        copy_link("copy_address")

    try:
        with engine().answering():
            page = st.navigation(navigation(), position="top")
            figures.begin()
            page.run()
            figures.offer(page.url_path or "home")
    except Stopped:
        forget_what_was_not_drawn()
        raise
    # If another run has begun meanwhile, this one ends here, before Streamlit takes the fragments
    # that are there for its own.
    _ = OWN in st.session_state


if __name__ == "__main__":  # run by Streamlit, not imported by app.py
    main()
