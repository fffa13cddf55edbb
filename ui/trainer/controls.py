"""RunConfig <-> widgets <-> URL: the trainer's controls."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import streamlit as st

from core.config import (
    BY_SOURCE,
    FIELDS,
    RunConfig,
    agree,
    reports_for,
    rows_for,
    unused_by,
    unused_by_norm,
    unused_by_step,
    unused_by_weights,
)
from core.data import SOURCES
from core.fields import Choice, parse_query
from core.limits import limits
from core.parts.choices import TASKS
from core.parts.losses import FIRST, LOSSES, WORKS_ON, Form, Loss, losses_for, marked
from core.parts.optimizers import OPTIMIZERS, SETTINGS
from core.parts.precisions import PRECISIONS
from core.presets import PRESETS
from core.study import precision
from ui.engine import losses_ready
from ui.microscope import setting as microscope
from ui.pages import PAGES
from ui.pieces import own_loss
from ui.pieces.draw import code
from ui.pieces.inputs import integer, knob, menu, segments, slider
from ui.pieces.predict import forget
from ui.pieces.widgets import LABELS, WIDGETS
from ui.state import PageState, Values, bound, key_of, put
from ui.trainer import lesson, link
from ui.trainer.link import ASK, END, HIDE, LOOK, NAMES, PINS, UNTIL

QUESTION = "lesson"  # the key of the answer to what a link asks


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    opened, notes = link.read(query)
    return {**_in_full(opened.config), PINS: pinned(), **opened.rest()}, notes


def _to_query(values: Values) -> dict[str, str]:
    return link.write(agreed(values), values)


STATE = PageState("control", (*FIELDS, *NAMES), _from_query, _to_query, LABELS)


def _in_full(chosen: RunConfig) -> Values:
    """Return what each widget shows; one that is not drawn, of no use to the optimizer, has 0."""
    settings = {name: chosen.effective(name) or 0.0 for name in SETTINGS}
    return {**asdict(chosen), **settings}


def agreed(values: Mapping[str, Any]) -> RunConfig:
    """Return the RunConfig nearest to these values."""
    return agree({name: value for name, value in values.items() if name not in NAMES})[0]


def until() -> float:
    """Return the step that the visitor plays the run to; END if they let it go on."""
    return STATE.value(UNTIL)


def set_until(step: float) -> None:
    """Play the run to this step; only in a callback, because the link carries the step."""
    st.session_state[STATE.key(UNTIL)] = step if step == END else int(step)


def looked_at() -> float:
    """Return the step that the visitor looks back to; END if they follow the run."""
    return STATE.value(LOOK)


def set_look(step: float) -> None:
    """Look back to this step; only in a callback, because the link carries the step."""
    st.session_state[STATE.key(LOOK)] = step


def pinned() -> tuple[RunConfig, ...]:
    """Return the pinned runs, the oldest pin first; on other pages, too."""
    return st.session_state.get(STATE.key(PINS), ())


def pin(configs: Iterable[RunConfig]) -> None:
    """Pin these runs and no others; only in a callback, because the link carries them."""
    st.session_state[STATE.key(PINS)] = tuple(configs)


def question() -> str:
    """Return the key of what a teacher's link asks first; "" for nothing."""
    return STATE.value(ASK)


def hides(name: str) -> bool:
    """Whether a teacher's link hides a control, or another part of the page."""
    return lesson.hides(STATE.value(HIDE), name)


def _show_all() -> None:
    STATE.put(HIDE, ())


def _in_link() -> Values:
    """Return what the link holds besides the run."""
    return {name: STATE.value(name) for name in NAMES}


def config() -> RunConfig:
    """Draw the controls in the sidebar and return what they say."""
    if STATE.take_over():  # a link: its question has not been asked yet
        forget(QUESTION)
    with st.sidebar:
        _controls(agreed(STATE.values()))
        if allowed := limits().sentence():
            st.caption(allowed)
    chosen = agreed(STATE.values())
    STATE.write({**_in_full(chosen), **_in_link()})
    STATE.tell_notes()
    return chosen


def _controls(now: RunConfig) -> None:
    """Draw what sets the run; `now` is the run as set before any of it is drawn."""
    unread = now.ignored()
    if not hides(lesson.PRESET):
        _preset(now)
    _loss()
    if not hides("learning_rate"):
        slider(STATE, "learning_rate", on_change=_changed)
    if not hides("seed"):
        integer(STATE, "seed", on_change=_changed)
    _dropout(now, unread)
    for key, group in lesson.FOLDS.items():
        if not hides(key):
            with st.expander(group):
                _group(group, now, unread)
    if hidden := STATE.value(HIDE):
        st.caption(f"The link to this page hides {len(hidden)} of its parts.")
        st.button("Show all of it", key="show_all", type="tertiary", on_click=_show_all)


def set_config(chosen: RunConfig) -> None:
    """Set every widget, as far as the host allows; only in a callback."""
    _set(*agree(asdict(chosen)))


def _set(chosen: RunConfig, notes: list[str] | None = None) -> None:
    """Set every widget; a run that plays goes on playing, any other starts at step 0."""
    played = {UNTIL: END if until() == END else 0, LOOK: END}
    STATE.set({**_in_full(chosen), **_in_link(), **played}, notes)


def _changed() -> None:
    """Make the values fit together after any change, and say which had to move."""
    values = STATE.values()
    notes: list[str] = []
    if isinstance(typed := values["widths"], str):
        parsed, notes = parse_query(FIELDS, {"widths": typed})
        before = STATE.remembered() or asdict(RunConfig())
        values["widths"] = parsed.get("widths", before["widths"])
    chosen, moved = agree({name: values[name] for name in FIELDS})
    _set(chosen, notes + moved)


def _loss_changed() -> None:
    """Set the epsilon of the chosen loss's framework, too."""
    own = LOSSES[STATE.value("loss")].epsilon
    if own is not None:
        STATE.put("epsilon", own)
    _changed()


def _optimizer_changed() -> None:
    """Set the chosen optimizer's own settings, too."""
    row = OPTIMIZERS[STATE.value("optimizer")]
    for name in SETTINGS:
        STATE.put(name, row.own(name) or 0.0)
    _changed()


def move(name: str, value: Any) -> None:
    """Set one control as if the visitor had moved it; only in a callback."""
    STATE.put(name, value)
    {"loss": _loss_changed, "optimizer": _optimizer_changed}.get(name, _changed)()


def _apply_preset() -> None:
    if preset := st.session_state[key_of("preset")]:
        set_config(PRESETS[preset].config)


def _preset(now: RunConfig) -> None:
    same = (key for key, row in PRESETS.items() if row.config == now)
    preset = next(same, None)
    put("preset", preset)
    st.selectbox(
        "Start from",
        list(PRESETS),
        None if preset is None else list(PRESETS).index(preset),
        format_func=lambda key: PRESETS[key].label,
        placeholder="your own settings",
        **bound("preset", _apply_preset),
    )
    with st.container(key="preset_summary"):  # a fixed height keeps the sliders below in place
        st.caption(
            PRESETS[preset].summary if preset else "Changing a setting starts a new run at step 0."
        )


def loss_slider(state: PageState, task: str, on_change: Callable[[], None]) -> None:
    """Draw a slider over the losses of a task, in the order of what they work on."""
    keys, now = losses_for(TASKS[task].form), state.value("loss")
    st.select_slider(
        WIDGETS["loss"].label,
        keys if now in keys else (*keys, now),
        now,
        format_func=lambda key: LOSSES[key].label,
        help=WIDGETS["loss"].help,
        **state.bound("loss", on_change),
    )


def _loss() -> None:
    form = TASKS[STATE.value("task")].form
    none = LOSSES[STATE.value("loss")].epsilon is None
    if not hides("loss"):
        _loss_and_words(form)
    if not hides("epsilon"):
        slider(STATE, "epsilon", on_change=_changed, disabled=none)


def _loss_and_words(form: Form) -> None:
    row = LOSSES[STATE.value("loss")]
    with st.container(key="loss_or_own", gap=None):
        if row.formula is None:
            loss_slider(STATE, STATE.value("task"), _loss_changed)
        else:
            own_loss.box(STATE, "loss", form, _loss_changed)
        if form != "regression":
            _own_or_listed(row)
    where, dtype = "", PRECISIONS[STATE.value("precision")].loss.dtype
    if form != "regression" and losses_ready(form, dtype, row.key):
        where = precision.where(form, row.key, STATE.value("epsilon"), dtype)
    st.caption(f"Computed from **{WORKS_ON[row.works_on]}**.")
    # The text is folded, so that the other controls fit on the first screen.
    with st.popover("What it does, how it fails", icon=":material/function:"):
        st.markdown(f"{row.summary} *Failure:* {row.failure} {where}")
        _formula_and_code(row, form)
    if form != "regression":
        _under_the_microscope(row)


LAST = "control_loss_last"  # the loss of the table, and the formula of each task, chosen last


def _own_or_listed(row: Loss) -> None:
    """Draw a switch between the losses of the table and a formula of the visitor's own."""
    own, task = row.formula is not None, STATE.value("task")
    st.session_state.setdefault(LAST, {})[task, own] = row.key
    put("control_own", own)
    st.toggle("own formula", own, **bound("control_own", _own_toggled))


def _own_toggled() -> None:
    own, task = st.session_state[key_of("control_own")], STATE.value("task")
    form = TASKS[task].form
    first = FIRST[form] if own else losses_for(form)[-1]
    STATE.put("loss", st.session_state.get(LAST, {}).get((task, own), first))
    _loss_changed()


def _under_the_microscope(row: Loss) -> None:
    listed = () if row.formula is not None else (row.key,)
    near = microscope.Setting(
        task=STATE.value("task"),
        losses=tuple(dict.fromkeys([*listed, "from_logits"])),
        formula="" if listed else row.key,
        dtype=PRECISIONS[STATE.value("precision")].loss.key,
        epsilon=0.0 if row.epsilon in (None, STATE.value("epsilon")) else STATE.value("epsilon"),
    )
    st.page_link(
        PAGES["microscope"].path,
        label="See it under the microscope",
        icon=PAGES["microscope"].icon,
        query_params=microscope.link(near),
    )


def _formula_and_code(row: Loss, form: Form) -> None:
    """Show how a loss is written: on paper, and in this program."""
    if row.formula is not None:
        st.code(row.key, language=None, wrap_lines=True)
        return
    if row.latex:
        st.latex(row.latex)
    st.caption(f"Its code for “{TASKS[STATE.value('task')].label}”, after: {row.reference}.")
    code(marked(row, form), mark=row.kills)


def _dropout(now: RunConfig, unread: Collection[str]) -> None:
    if SOURCES[now.source].series:
        return  # a model of series has no dropout
    if not hides("dropout"):
        segments(STATE, "dropout", on_change=_changed, disabled="dropout" in unread)
    if not hides("dropout_value"):
        slider(STATE, "dropout_value", on_change=_changed, disabled=now.dropout == "off")


def _group(group: str, now: RunConfig, unread: Collection[str]) -> None:
    unused = (*unused_by(now.source), *unused_by_step(vars(now)))
    unused += (*unused_by_norm(vars(now)), *unused_by_weights(vars(now)))
    unused += ("shuffle_buffer",) if "shuffle_buffer" in unread else ()
    for name, row in WIDGETS.items():
        if row.group == group and name not in unused and not hides(name):
            _folded(name, now, unread)


def _folded(name: str, now: RunConfig, unread: Collection[str]) -> None:
    if name in BY_SOURCE:
        menu(STATE, name, on_change=_changed, keys=rows_for(name, now.source))
    elif name == "source":
        menu(STATE, name, on_change=_changed, keys=limits().data)
    elif name == "report":
        menu(STATE, name, on_change=_changed, keys=reports_for(vars(now)))
    elif name == "optimizer":
        menu(STATE, name, on_change=_optimizer_changed)
    elif isinstance(FIELDS[name], Choice):
        menu(STATE, name, on_change=_changed, disabled=name in unread)
    elif name == "batch_size":
        _batch_size()
    else:
        knob(STATE, name, on_change=_changed, disabled=name in unread)


def _batch_size() -> None:
    most = STATE.value("train_size")
    slider(
        STATE,
        "batch_size",
        on_change=_changed,
        grid=[n for n in {*WIDGETS["batch_size"].grid, most} if n <= most],
        text=lambda n: f"all {n:,}" if n == most else f"{n:,}",
    )
