"""The comparison's page: two recordings in, the cause out."""

import streamlit as st

from ui.compare.files import held, walked
from ui.compare.howto import howto
from ui.compare.result import plain, result
from ui.compare.setting import choose
from ui.pieces.waiting import draw_until

st.title("Is it happening to you?")
st.markdown(
    "Record the first steps of both programs. Weights, batch, outputs, loss, gradients and update "
    "are laid side by side; where they part, pieces of the frameworks are tried on your numbers, "
    "to find one that explains them."
)
given = held(choose().pair)
if given is None:
    howto()
else:

    def draw(_: bool) -> None:
        """Draw what came of it, or that it is on its way."""
        if given.result is None:
            st.progress(0, text="Comparing, behind the runs of other visitors")
        elif isinstance(given.result, str):
            st.error(plain(given.result), icon=":material/error:")
        else:
            result(given.result)

    draw_until(lambda: walked(given), draw)
