"""What is swept: a plan in its widgets, in its link, and in the session's memory."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import streamlit as st

from core.config import FIELDS, RunConfig, from_query, to_query
from core.data import Process
from core.fields import Choice, to_text
from core.parts.choices import TASKS
from core.parts.losses import losses_for
from core.presets import PRESETS
from core.study.sweep import SWEEPS, Plan
from ui.pieces.names import near_preset
from ui.pieces.widgets import LABELS, WIDGETS, value_text
from ui.state import PageState, Values, bound, key_of, put
from ui.trainer.controls import pinned
from ui.trainer.link import NAMES
from ui.trainer.runs import watched

OVER = "over_"  # prefix of an axis in a link
AXES = 3  # the most: two make a grid; for a third, grids are repeated or averaged
SEEDS = 1000  # the most seeds of a sweep, and values of an axis in a link
NOTES = 3  # the most that a link is told about the values of one axis
DEFAULT = next(iter(SWEEPS.values())).plan


def _to_query(values: Values) -> dict[str, str]:
    plan: Plan = values["plan"]
    if plan == DEFAULT:
        return {}
    axes = {OVER + name: ",".join(map(to_text, each)) for name, each in _grid(plan).items()}
    return {**to_query(plan.base), **axes}


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    if not query:
        return {"plan": DEFAULT}, []
    axis_texts = {n.removeprefix(OVER): text for n, text in query.items() if n.startswith(OVER)}
    rest = {n: text for n, text in query.items() if not n.startswith(OVER) and n not in NAMES}
    base, notes = from_query(rest)
    axes: dict[str, tuple[Any, ...]] = {}
    for name, text in list(axis_texts.items())[:AXES]:
        if name not in FIELDS:
            notes.append("an axis that is not a setting was ignored")
            continue
        values, more = parsed(name, _apart(text))
        notes += more[:NOTES]
        if len(values) > SEEDS:
            notes.append(f"{name}: the first {SEEDS:,} of {len(values):,} values are swept")
        if values:
            axes[name] = values[:SEEDS]
    plan, more = _plan(base, axes or {"seed": tuple(range(10))})
    return {"plan": plan or DEFAULT}, notes + more


def _apart(text: str) -> list[str]:
    """Split values at the commas between them; a formula has its own, between brackets."""
    texts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth <= 0:
            texts.append("")
        else:
            texts[-1] += character
    return texts


def parsed(name: str, texts: list[str]) -> tuple[tuple[Any, ...], list[str]]:
    """Return the values of an axis in these texts, and a note for each text that is not one."""
    values, notes = [], []
    for text in texts:
        try:
            value = FIELDS[name].parse(text)
        except ValueError:
            value = None
        if fault := FIELDS[name].fault(value):
            notes.append(f"{name}: one value is left out; {fault}")
        else:
            values.append(value)
    return tuple(dict.fromkeys(values)), notes


def _plan(base: RunConfig, axes: Mapping[str, tuple[Any, ...]]) -> tuple[Plan | None, list[str]]:
    """Return the plan if its cells fit together, or else why they do not."""
    try:
        plan = Plan(base=base, axes=dict(axes))
        plan.cells  # noqa: B018
    except ValueError as error:
        return None, [str(error)]
    return plan, []


STATE = PageState("sweep", ("plan",), _from_query, _to_query, LABELS)


def _grid(plan: Plan) -> dict[str, tuple[Any, ...]]:
    return {name: axis for name, axis in plan.axes.items() if isinstance(axis, tuple)}


def choose() -> Plan:
    """Draw the choice of a plan and return it."""
    STATE.take_over()
    plan: Plan = STATE.value("plan")
    presets = {row.plan: row for row in SWEEPS.values()}
    plans = list(dict.fromkeys([*presets, plan]))
    st.selectbox(
        "Start from",
        plans,
        plans.index(plan),
        key=STATE.key("plan"),
        format_func=lambda each: presets[each].label if each in presets else "your own sweep",
    )
    if plan in presets:
        st.caption(presets[plan].summary)
    left, right = st.columns(2, gap="medium")
    with left:
        _axes(plan)
    with right:
        _base(plan)
    for column, name in zip(
        st.columns(max(1, len(plan.axes)), gap="medium"), plan.axes, strict=True
    ):
        with column:
            _values(plan, name)
    STATE.write(STATE.values())
    STATE.tell_notes()
    return plan


def _axes(plan: Plan) -> None:
    ignored = [name for name in Process._fields if name in plan.base.ignored()]
    put("sweep_axes", list(plan.axes))
    st.multiselect(
        "What varies",
        [name for name in FIELDS if name not in ignored],
        list(plan.axes),
        format_func=LABELS.__getitem__,
        max_selections=AXES,
        **bound("sweep_axes", lambda: _axes_changed(plan)),
        help="Two axes make a grid, a third makes several; seeds are averaged beside two others.",
    )


def _axes_changed(plan: Plan) -> None:
    grid = _grid(plan)
    names = st.session_state[key_of("sweep_axes")]
    _set(plan.base, {name: grid.get(name) or first_values(plan.base, name) for name in names})


def first_values(base: RunConfig, name: str) -> tuple[Any, ...]:
    """Return the values of a new axis: those around the present one."""
    if name == "seed":
        return tuple(range(5))
    near = _options(base, name)
    own = base.effective(name)
    at = 0 if own is None else near.index(own)
    start = max(0, min(at - 2, len(near) - 5))
    return tuple(near[start : start + 5])


def _options(base: RunConfig, name: str) -> list[Any]:
    """Return the values that a widget offers for an axis."""
    if name == "loss":
        return list(dict.fromkeys([*losses_for(TASKS[base.task].form), base.loss]))
    allowed, own = FIELDS[name], base.effective(name)
    if isinstance(allowed, Choice):
        return list(allowed.registry)
    grid = {value for value in WIDGETS[name].grid if not allowed.fault(value)}
    return sorted(grid if own is None else {*grid, own})  # None: base's optimizer does not use it


def _base(plan: Plan) -> None:
    presets = [row.config for row in PRESETS.values()]
    configs = list(dict.fromkeys([plan.base, *pinned(), *reversed(watched()), *presets]))
    put("sweep_base", plan.base)
    st.selectbox(
        "All else as in",
        configs,
        configs.index(plan.base),
        format_func=near_preset,
        **bound("sweep_base", lambda: _set(st.session_state[key_of("sweep_base")], _grid(plan))),
        help="Set up any run in the trainer; it is offered here afterwards.",
    )


def _values(plan: Plan, name: str) -> None:
    own, values = f"sweep_values_{name}", _grid(plan)[name]
    changed = partial(_values_changed, plan, name)
    if name == "seed" and values == tuple(range(len(values))):
        put(own, len(values))
        st.number_input(
            "seeds, from 0 on",
            1,
            SEEDS,
            len(values),
            help=WIDGETS["seed"].help,
            **bound(own, changed),
        )
        return
    put(own, list(values))
    st.multiselect(
        LABELS[name],
        list(dict.fromkeys([*_options(plan.base, name), *values])),
        list(values),
        format_func=lambda value: (
            value
            if isinstance(value, str) and value not in _options(plan.base, name)
            else value_text(name, value)
        ),
        accept_new_options=not isinstance(FIELDS[name], Choice),
        help=WIDGETS[name].help,
        **bound(own, changed),
    )


def _values_changed(plan: Plan, name: str) -> None:
    chosen = st.session_state[key_of(f"sweep_values_{name}")]
    notes: list[str] = []
    if isinstance(chosen, int):
        values: tuple[Any, ...] = tuple(range(chosen))
    else:
        values, notes = parsed(name, [v if isinstance(v, str) else to_text(v) for v in chosen])
        if not isinstance(FIELDS[name], Choice):
            values = tuple(sorted(values))
    if not values:
        notes = [*notes, f"{name} stays as it was: an axis needs at least one value"]
        values = _grid(plan)[name]
    _set(plan.base, {**_grid(plan), name: values}, notes)


def _set(base: RunConfig, axes: Mapping[str, Any], notes: list[str] | None = None) -> None:
    """Take over a plan, if it is valid; only in a callback."""
    plan, why = _plan(base, axes)
    STATE.set({"plan": plan or STATE.value("plan")}, [*(notes or []), *why])
