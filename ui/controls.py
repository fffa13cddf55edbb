"""RunConfig <-> widgets <-> URL: the trainer's controls."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import streamlit as st

from core.config import FIELDS, RunConfig, agree, from_query, to_query
from core.fields import Choice, parse_query, to_text
from core.parts.choices import TASKS
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, WORKS_ON, losses_for
from core.presets import PRESETS
from core.study import precision
from ui.engine import engine
from ui.microscope import setting as microscope
from ui.pages import PAGES
from ui.state import PageState, Values
from ui.widgets import WIDGETS, integer, menu, number, options, segments, slider

WIDTHS = ((32,), (256,), (1000,), (1024,), (256, 256), (512, 512), (256,) * 4, (512,) * 4)


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    config, notes = from_query(query)
    return asdict(config), notes


STATE = PageState("control", tuple(FIELDS), _from_query, lambda values: to_query(agreed(values)))


def agreed(values: Mapping[str, Any]) -> RunConfig:
    """The RunConfig nearest to these values."""
    return agree(values)[0]


def config() -> RunConfig:
    """Draw the controls in the sidebar and return what they say."""
    STATE.take_over()
    if (cure := st.session_state.pop("cure", None)) is not None:
        set_config(cure)
    with st.sidebar:
        _preset()
        _loss()
        slider(STATE, "learning_rate", on_change=_changed)
        integer(STATE, "seed", on_change=_changed)
        _dropout()
        with st.expander("Network and data"):
            _network_and_data()
    chosen = agreed(STATE.values())
    STATE.write(asdict(chosen))
    STATE.tell_notes()
    return chosen


def set_config(chosen: RunConfig) -> None:
    """Set every widget; only before they are drawn, or in a callback."""
    STATE.set(asdict(chosen))


def named(name: str, value: Any) -> str:
    """A setting in the words of its widget, as in: learning rate 0.01."""
    allowed = FIELDS[name]
    if name == "loss":
        return f"the loss “{LOSSES[value].label}”"
    shown = allowed.registry[value].label if isinstance(allowed, Choice) else number(value)
    return f"{WIDGETS[name].label} {shown}"


def _changed() -> None:
    """After any widget: make the values fit together and say what had to move."""
    values = STATE.values()
    notes = []
    if isinstance(typed := values["widths"], str):
        parsed, notes = parse_query(FIELDS, {"widths": typed})
        before = STATE.remembered() or asdict(RunConfig())
        values["widths"] = parsed.get("widths", before["widths"])
    chosen, moved = agree(values)
    STATE.set(asdict(chosen), notes + moved)


def _loss_changed() -> None:
    """A loss comes with its own epsilon, as its framework has it."""
    own = LOSSES[STATE.value("loss")].epsilon
    if own is not None:
        st.session_state[STATE.key("epsilon")] = own
    _changed()


def _apply_preset() -> None:
    if preset := st.session_state["preset"]:
        set_config(RunConfig(**PRESETS[preset].overrides))


def _preset() -> None:
    now = agreed(STATE.values())
    same = (key for key, row in PRESETS.items() if RunConfig(**row.overrides) == now)
    st.session_state["preset"] = next(same, None)
    st.selectbox(
        "Start from",
        list(PRESETS),
        key="preset",
        format_func=lambda key: PRESETS[key].label,
        placeholder="your own settings",
        on_change=_apply_preset,
    )
    if preset := st.session_state["preset"]:
        st.caption(PRESETS[preset].summary)


def _loss() -> None:
    form = TASKS[STATE.value("task")].form
    st.select_slider(
        "loss, by what it works on",
        losses_for(form),
        STATE.value("loss"),
        key=STATE.key("loss"),
        format_func=lambda key: LOSSES[key].label,
        on_change=_loss_changed,
    )
    row = LOSSES[STATE.value("loss")]
    engine()  # before anything is compiled: it decides where compiled programs are kept
    where = precision.where(form, row.key, STATE.value("epsilon"), DTYPES["float32"].dtype)
    st.caption(
        f"Works on **{WORKS_ON[row.works_on]}**. {row.summary} *Failure:* {row.failure} {where}"
    )
    near = microscope.Setting(
        task=STATE.value("task"),
        losses=tuple(dict.fromkeys([row.key, "from_logits"])),
        epsilon=0.0 if row.epsilon in (None, STATE.value("epsilon")) else STATE.value("epsilon"),
    )
    st.page_link(
        PAGES["microscope"].path,
        label="See it under the microscope",
        icon=PAGES["microscope"].icon,
        query_params=microscope.link(near),
    )
    slider(STATE, "epsilon", on_change=_changed, disabled=row.epsilon is None)


def _dropout() -> None:
    segments(STATE, "dropout", on_change=_changed)
    off = STATE.value("dropout") == "off"
    slider(STATE, "dropout_value", on_change=_changed, disabled=off)


def _network_and_data() -> None:
    menu(STATE, "source", on_change=_changed)
    slider(STATE, "train_size", on_change=_changed)
    menu(STATE, "task", on_change=_changed)
    menu(STATE, "scaling", on_change=_changed)
    widths = options(STATE, "widths", WIDTHS)
    st.selectbox(
        "hidden layers", widths, widths.index(STATE.value("widths")), key=STATE.key("widths"),
        on_change=_changed, format_func=to_text, accept_new_options=True,
        help="Their widths. Type your own, as in 300-100.",
    )  # fmt: skip
    menu(STATE, "initializer", on_change=_changed)
    menu(STATE, "optimizer", on_change=_changed)
    most = STATE.value("train_size")
    slider(
        STATE, "batch_size", on_change=_changed,
        grid=[n for n in {*WIDGETS["batch_size"].grid, most} if n <= most],
        text=lambda n: f"all {n:,}" if n == most else f"{n:,}",
    )  # fmt: skip
    slider(STATE, "epochs", on_change=_changed)
    menu(STATE, "stream", on_change=_changed)
