"""The microscope's setting, the widgets that change it, and the link that holds it."""

from collections.abc import Mapping
from typing import NamedTuple

import streamlit as st

from core.fields import Choice, Choices, Field, Range, number, parse_query, to_text
from core.parts.choices import TASKS
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, OWN, Form, fault, losses_for
from core.registry import Registry, Row
from ui.charts.digits import AxisType
from ui.pieces import own_loss
from ui.pieces.inputs import with_box
from ui.pieces.widgets import decades
from ui.state import PageState, Values

SPANS = (5, 10, 20, 30, 50, 120, 300, 1000)
AXES = Registry(
    "axis",
    [
        Row(key="linear", label="linear", summary="All logits are equally far apart."),
        Row(
            key="symlog",
            label="symlog",
            summary="Linear near 0 and logarithmic further out: logits in the hundreds fit.",
        ),
    ],
)

ANSWERED = Registry("task", [row for row in TASKS.values() if not row.series])
MOST = 6  # losses
FIELDS: dict[str, Field] = {
    "task": Choice(ANSWERED),
    "losses": Choices(LOSSES, MOST),
    "formula": Choice(OWN),
    "dtype": Choice(DTYPES),
    "label": Range(0, 1, whole=True),
    "epsilon": Range(0, 0.499),
    "span": Range(SPANS[0], SPANS[-1], whole=True),
    "axis": Choice(AXES),
}


class Setting(NamedTuple):
    """What the microscope shows, and how."""

    task: str = "binary"
    losses: tuple[str, ...] = ("question_stable", "keras_jax", "from_logits")
    formula: str = ""  # one more loss, which the visitor has typed
    dtype: str = "float32"
    label: int = 1  # 1: a large logit is right; 0: a large logit is wrong
    epsilon: float = 0.0  # 0: each loss has its own
    span: int = 300  # logits from -span to span; 300 shows all of the question's first network
    axis: AxisType = "symlog"

    @property
    def form(self) -> Form:
        """The form of the losses that the task has."""
        return TASKS[self.task].form

    @property
    def keys(self) -> tuple[str, ...]:
        """The losses that are shown, with the visitor's own."""
        return (*self.losses, *filter(None, [self.formula]))

    @property
    def class_index(self) -> int:
        """The label for core.study.precision, whose softmax takes z as the logit of class 0."""
        return self.label if self.form == "binary" else 1 - self.label

    def epsilon_of(self, key: str) -> float:
        """The epsilon that a loss is shown with; 1e-7 for a loss that ignores it."""
        own = LOSSES[key].epsilon
        return 1e-7 if own is None else self.epsilon or own


def _fit(values: Values) -> Setting:
    """The setting with these values, less the losses that the task does not have.

    There are MOST with the visitor's own formula.
    """
    setting = Setting(**values)
    allowed, formula = losses_for(setting.form), setting.formula
    if formula and fault(formula, setting.form):
        formula = ""
    kept = tuple(key for key in setting.losses if key in allowed) or allowed[-1:]
    return setting._replace(losses=kept[: MOST - bool(formula)], formula=formula)


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    values, notes = parse_query(FIELDS, query)
    return _fit({**Setting()._asdict(), **values})._asdict(), notes


def _to_query(values: Values) -> dict[str, str]:
    default = Setting()._asdict()
    return {name: to_text(value) for name, value in values.items() if value != default[name]}


def link(chosen: Setting) -> dict[str, str]:
    """The query of a link to this setting, as the page itself would write it.

    If it held defaults, the page would rewrite its address, and Back would need a second click.
    """
    return _to_query(chosen._asdict())


LABELS = {"dtype": "number format", "span": "logits shown", "axis": "logit axis"}
STATE = PageState("microscope", Setting._fields, _from_query, _to_query, LABELS)


def setting() -> Setting:
    """Draw the controls in the sidebar and return the setting that they give."""
    STATE.take_over()
    with st.sidebar:
        _loss_controls()
        _axis_controls()
    chosen = _fit(_values())
    STATE.write(chosen._asdict())
    STATE.tell_notes()
    return chosen


def _loss_controls() -> None:
    """Draw what is shown: which losses, for which label, with which epsilon."""
    value = STATE.value
    form = TASKS[value("task")].form
    st.multiselect(
        "losses",
        losses_for(form),
        value("losses"),
        **STATE.bound("losses", _changed),
        max_selections=MOST - bool(value("formula")),
        format_func=lambda loss: LOSSES[loss].label,
    )
    own_loss.box(STATE, "formula", form, _changed, empty=True)
    st.segmented_control(
        "label",
        [1, 0],
        default=value("label"),
        required=True,
        format_func=lambda y: f"y = {y}" if form == "binary" else ("others'", "z's own")[y],
        help="The right answer. With label 1, a logit is more wrong the further left it is.",
        **STATE.bound("label", _changed),
    )
    with with_box(STATE, "epsilon", "epsilon", FIELDS["epsilon"], _changed):
        st.select_slider(
            "epsilon",
            sorted({0.0, *decades("epsilon"), value("epsilon")}),
            value("epsilon"),
            **STATE.bound("epsilon", _changed),
            format_func=lambda e: number(e) if e else "each its own",
        )


def _axis_controls() -> None:
    """Draw where it is shown: the number format, the logits, their axis, and the task."""
    value = STATE.value
    st.segmented_control(
        LABELS["dtype"],
        list(DTYPES),
        default=value("dtype"),
        required=True,
        **STATE.bound("dtype", _changed),
    )
    with with_box(STATE, "span", LABELS["span"], FIELDS["span"], _changed):
        st.select_slider(
            LABELS["span"],
            sorted({*SPANS, value("span")}),
            value("span"),
            format_func=lambda span: f"±{span}",
            **STATE.bound("span", _changed),
        )
    st.segmented_control(
        LABELS["axis"],
        list(AXES),
        default=value("axis"),
        required=True,
        **STATE.bound("axis", _changed),
        help="  \n".join(f"**{row.label}**: {row.summary}" for row in AXES.values()),
    )
    st.segmented_control(
        "task",
        list(ANSWERED),
        default=value("task"),
        required=True,
        **STATE.bound("task", _changed),
        format_func=lambda task: TASKS[task].label,
    )


def _values() -> Values:
    return {**STATE.values(), "losses": tuple(STATE.values()["losses"])}


def _changed() -> None:
    values = _values()
    if not values["losses"]:
        values["losses"] = ("from_logits",)
    STATE.set(_fit(values)._asdict())
