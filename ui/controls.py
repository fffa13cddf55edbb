"""RunConfig <-> widgets <-> URL: the trainer's controls."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import streamlit as st

from core.choices import SCALINGS, STREAMS, TASKS
from core.config import FIELDS, RunConfig, agree, from_query, to_query
from core.data import SOURCES
from core.dropout import DROPOUTS
from core.fields import Range, parse_query, to_text
from core.losses import LOSSES, losses_for
from core.models import INITIALIZERS
from core.optimizers import OPTIMIZERS
from core.presets import PRESETS
from core.registry import Registry
from ui.pages import PAGES
from ui.state import PageState, Values

SIZES = (100, 200, 500, 1000, 1024, 2000, 4000, 10_000, 30_000, 60_000)
BATCHES = (1, 10, 50, 100, 200, 512, 1000, 2000, 4000, 10_000, 60_000)
EPOCHS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
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
    with st.sidebar:
        _preset()
        _loss()
        _slider("learning_rate", "learning rate", decades("learning_rate"), format_func=number)
        _seed()
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


def number(value: float) -> str:
    """0.01 as 0.01, 1e-06 as 1e-6."""
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e")


def decades(name: str) -> list[float]:
    """1, 2, 5, 10, 20 … over the range of a field: a slider's log scale."""
    allowed = FIELDS[name]
    assert isinstance(allowed, Range)
    grid = [float(f"{digit}e{power}") for power in range(-12, 4) for digit in (1, 2, 5)]
    return [value for value in grid if allowed.low <= value <= allowed.high]


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


def _options(name: str, grid: Any) -> list[Any]:
    """The grid, with the value that a URL or preset has put beside it, as far as allowed."""
    allowed, value = FIELDS[name], STATE.value(name)
    return sorted({*(option for option in grid if not allowed.fault(option)), value})


def _slider(name: str, label: str, grid: Any, **kwargs: Any) -> None:
    st.select_slider(
        label, _options(name, grid), STATE.value(name), key=STATE.key(name), on_change=_changed,
        **kwargs,
    )  # fmt: skip


def _menu(name: str, label: str, registry: Registry[Any]) -> None:
    st.selectbox(
        label,
        list(registry),
        list(registry).index(STATE.value(name)),
        key=STATE.key(name),
        format_func=lambda key: registry[key].label,
        on_change=_changed,
        help="  \n".join(f"**{row.label}**: {row.summary}" for row in registry.values()),
    )


def _loss() -> None:
    form = TASKS[STATE.value("task")].form
    st.select_slider(
        "loss, from fragile to exact",
        losses_for(form),
        STATE.value("loss"),
        key=STATE.key("loss"),
        format_func=lambda key: LOSSES[key].label,
        on_change=_loss_changed,
    )
    row = LOSSES[STATE.value("loss")]
    st.caption(f"{row.summary} *Failure:* {row.failure}")
    st.page_link(
        PAGES["microscope"].file,
        label="See it under the microscope",
        icon=PAGES["microscope"].icon,
        query_params={
            "losses": ".".join(dict.fromkeys([row.key, "from_logits"])),
            "task": STATE.value("task"),
        },
    )
    _slider(
        "epsilon", "epsilon", decades("epsilon"), format_func=number,
        help="How far from 0 and 1 a clipping loss keeps the probability.",
        disabled=row.epsilon is None,
    )  # fmt: skip


def _seed() -> None:
    allowed = FIELDS["seed"]
    assert isinstance(allowed, Range)
    st.number_input(
        "seed", int(allowed.low), int(allowed.high), STATE.value("seed"),
        key=STATE.key("seed"), on_change=_changed,
        help="Decides the initial weights, the order of the images and the dropped units.",
    )  # fmt: skip


def _dropout() -> None:
    st.segmented_control(
        "dropout: what the number means",
        list(DROPOUTS),
        default=STATE.value("dropout"),
        key=STATE.key("dropout"),
        format_func=lambda key: DROPOUTS[key].label,
        on_change=_changed,
        required=True,
    )
    off = STATE.value("dropout") == "off"
    grid = [round(0.05 * i, 2) for i in range(1, 20)]
    _slider("dropout_value", "dropout value", grid, format_func=number, disabled=off)


def _network_and_data() -> None:
    _menu("source", "images", SOURCES)
    _slider("train_size", "training images", SIZES, format_func=lambda n: f"{n:,}")
    _menu("task", "task", TASKS)
    _menu("scaling", "pixels", SCALINGS)
    widths = _options("widths", WIDTHS)
    st.selectbox(
        "hidden layers", widths, widths.index(STATE.value("widths")), key=STATE.key("widths"),
        on_change=_changed, format_func=to_text, accept_new_options=True,
        help="Their widths. Type your own, as in 300-100.",
    )  # fmt: skip
    _menu("initializer", "initial weights", INITIALIZERS)
    _menu("optimizer", "optimizer", OPTIMIZERS)
    most = STATE.value("train_size")
    _slider(
        "batch_size", "batch", [n for n in {*BATCHES, most} if n <= most],
        format_func=lambda n: f"all {n:,}" if n == most else f"{n:,}",
    )  # fmt: skip
    _slider("epochs", "epochs", EPOCHS)
    _menu("stream", "random numbers", STREAMS)
