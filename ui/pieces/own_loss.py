"""A box in which a visitor types a loss of his own."""

from collections.abc import Callable

import streamlit as st

from core.parts.losses import FIRST, LOSSES, Form, FormulaError, fault
from core.parts.losses.formula import FUNCTIONS, LONGEST
from ui.state import PageState, bound, key_of, put

HELP = (
    "The loss of one example, in nats, from its logit z, its label y (0 or 1), its probability "
    "p = sigmoid(z), and eps. With ten classes z, y and p = softmax(z) are numbers of each class, "
    "y is 1 for the example's own, and the formula brings the classes together with sum, "
    "logsumexp, or max or min of one argument.\n\nThere are + - \\* / \\*\\*, numbers, and "
    + ", ".join(name.replace("_", "\\_") for name in FUNCTIONS)
    + "; where(z > 0, a, b) is a or b. Nothing of it is run as a program: it is read into a tree, "
    "and each operation of the tree is rounded by itself."
)


def box(
    state: PageState, name: str, form: Form, on_change: Callable[[], None], *, empty: bool = False
) -> None:
    """Draw a box for the formula that the setting `name` holds; if `empty`, it may hold none.

    A text that is no formula of the form stays in the box, with what is wrong with it, and the
    setting keeps the formula before.
    """
    text_name = f"{state.name(name)}_formula"
    tried = f"{text_name}_tried"  # the text that is no formula, and the setting's value meanwhile

    def take() -> None:
        text = st.session_state[key_of(text_name)].strip()
        st.session_state[tried] = None
        if not text and empty:
            state.put(name, "")
        elif fault(text, form):
            st.session_state[tried] = text, state.value(name)
            return
        else:
            state.put(name, LOSSES.spelled(text))
        on_change()

    value, shown = state.value(name), st.session_state.get(key_of(text_name), "")
    wrong, meanwhile = st.session_state.get(tried) or ("", None)
    if meanwhile != value:
        wrong = ""
    if not wrong and (LOSSES.spelled(shown.strip()) if shown.strip() else "") != value:
        shown = value
    put(text_name, shown)
    st.text_input(
        "own formula",
        shown,
        max_chars=LONGEST,
        placeholder=FIRST[form],
        help=HELP,
        **bound(text_name, take),
    )
    if wrong and (error := fault(wrong, form)):
        _told(error, value)


def _told(error: FormulaError, meanwhile: str) -> None:
    words = str(error).replace("_", "\\_")
    end = "" if words.endswith("?") else "."
    kept = " The formula before stays until then." if meanwhile else ""
    st.warning(f"This is no formula yet: {words}{end}{kept}", icon=":material/edit:")
    st.code(error.pointed, language=None)
