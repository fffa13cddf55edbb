"""The comparison's page: recordings in and the cause out, or logits in and every loss tried."""

import streamlit as st

from ui.compare import census
from ui.compare.files import ready, recordings
from ui.compare.howto import howto
from ui.compare.result import plain, result
from ui.compare.setting import LOGITS, census_controls, choose
from ui.pieces.waiting import draw_until

st.title("Is it happening to you?")
chosen = choose()
logits = chosen.given == LOGITS
given = census.given(chosen.pair) if logits else recordings(chosen.pair)
if given is None:
    (census.how_to_save if logits else howto)()
else:
    if logits:
        census_controls()

    def draw(_: bool) -> None:
        """Draw what came of it, or that it is on its way."""
        if given.result is None:
            st.progress(given.done, text="At work, behind the runs of other visitors")
        elif isinstance(given.result, str):
            st.error(plain(given.result), icon=":material/error:")
        elif logits:
            census.result(given.result, chosen)
        else:
            result(given.result)

    draw_until(lambda: ready(given), draw)
