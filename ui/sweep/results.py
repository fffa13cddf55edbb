"""What a sweep has found: squares of a grid, where each run ended, and a way to open a run."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import streamlit as st

from core.config import to_query
from core.parts.choices import TASKS
from core.study.sweep import BROKEN, SILENT, TRAINS, Plan, Rows, table, to_csv, to_parquet
from core.study.sweep.table import RunRow
from ui.charts import sweep as charts
from ui.charts.frame import percent
from ui.pages import PAGES
from ui.pieces.draw import chart, colour_key, text_table
from ui.pieces.widgets import LABELS, value_text
from ui.trainer.link import UNTIL

GRIDS = 6  # the most grids that are drawn
LINKS = 12  # the most runs of a square that are listed; the others are found by name
PICKED = "sweep_picked"  # the cells that were clicked
SHOWN = "sweep_shown"  # whether the page has answered the click
TURN = "sweep_turn"  # how often clicks have been forgotten: part of the charts' keys


class Roles(NamedTuple):
    """Which axis is the columns, the rows and the facets: its name, or "" for none."""

    column: str
    row: str
    facet: str


def roles(plan: Plan) -> Roles:
    """Give each axis its role.

    Seeds are averaged if two other axes make a grid; of these, the columns have more values.
    """
    names = [name for name in plan.axes if name != "seed"]
    if len(names) < 2 and "seed" in plan.axes:
        names.append("seed")
    column, row, facet = (*names, "", "")[:3]
    if row and _many(plan, row) > _many(plan, column):
        column, row = row, column
    return Roles(column, row, facet)


def _many(plan: Plan, name: str) -> int:
    return len({values[list(plan.axes).index(name)] for values in plan.values})


def files(plan: Plan, rows: Rows) -> tuple[bytes, bytes]:
    """Return the table as CSV and as Parquet."""
    full_table = table(plan, rows)
    return to_csv(full_table), to_parquet(full_table)


NOT_YET = "–"  # for a figure that has not been measured yet


class Run(NamedTuple):
    """A cell that has been measured."""

    cell: int
    values: dict[str, str]  # the axes' values in the page's words
    row: RunRow

    @property
    def accuracy(self) -> float:
        """The training accuracy; NaN if the run broke, as in the trainer."""
        return math.nan if self.row["outcome"] == BROKEN else self.row["train_accuracy"]


def results(plan: Plan, rows: Rows, ended: bool) -> None:
    """Draw what there is so far, and the table once the sweep has ended."""
    if TASKS[plan.base.task].series:
        st.info("Series have no accuracy to draw: their errors are in the table.")
        return
    runs = runs_of(plan, rows)
    shown = roles(plan)
    facets = _labels(plan, shown.facet) or ("",)
    for at, facet in enumerate(facets[:GRIDS]):
        some = [run for run in runs if not facet or run.values[shown.facet] == facet]
        if facet:
            st.markdown(f"**{LABELS[shown.facet]}: {facet}**")
        _grids(plan, shown, some, at)
    if len(facets) > GRIDS:
        st.caption(f"{len(facets) - GRIDS} more grids are in the table.")
    _ends(plan, shown, runs)
    if picked := [run for run in runs if run.cell in st.session_state.get(PICKED, ())]:
        _open(plan, picked)
    if ended:
        text_table(lines(plan, shown, runs), "Where the runs of each variant ended")
        _find_by_name(plan, runs, f"{len(runs):,} runs", "sweep_by_name")


def runs_of(plan: Plan, rows: Rows) -> list[Run]:
    """Return what is measured so far, in the plan's order."""
    return [Run(cell, _value_texts(plan, cell), rows[cell]) for cell in sorted(rows)]


def _value_texts(plan: Plan, cell: int) -> dict[str, str]:
    values = zip(plan.axes, plan.values[cell], strict=True)
    return {name: value_text(name, value) for name, value in values}


def _labels(plan: Plan, name: str) -> tuple[str, ...]:
    """Return the values of an axis in their order."""
    if not name:
        return ()
    at = list(plan.axes).index(name)
    return tuple(dict.fromkeys(value_text(name, values[at]) for values in plan.values))


def _grids(plan: Plan, shown: Roles, runs: Sequence[Run], at: int) -> None:
    columns, rows = _labels(plan, shown.column), _labels(plan, shown.row) or ("",)
    by_place: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        by_place[run.values[shown.column], run.values.get(shown.row, "")].append(run)
    accuracies, dead = [], []
    for (column, row), those in by_place.items():
        dead_share = float(np.mean([run.row["outcome"] != TRAINS for run in those]))
        known = [run.accuracy for run in those if not math.isnan(run.accuracy)]
        mean = float(np.mean(known)) if known else math.nan
        place = (column, row)
        accuracies.append(charts.Square(*place, mean, len(those), those[0].cell))
        dead.append(charts.Square(*place, dead_share, len(those), those[0].cell))
    x = LABELS[shown.column]
    grids = (
        ("accuracy", "Mean final accuracy, %", "Final training accuracy", charts.GOOD, accuracies),
        ("dead", "Dead runs, %: gradient exactly 0, or NaN", "Dead runs", charts.BAD, dead),
    )
    for half, grid in zip(st.columns(2, gap="medium"), grids, strict=True):
        name, title, what, scheme, squares = grid
        key = _key(f"{name}_{at}")
        with half:
            st.markdown(title)
            chart(
                key,
                charts.grid_spec(columns, rows, x, scheme),
                charts.grid_tables(squares, scheme),
                f"{what} by {x}: the table below has the figures.",
                partial(_click, plan, key, True),
            )


def _ends(plan: Plan, shown: Roles, runs: Sequence[Run]) -> None:
    by = shown.row or shown.column
    known = [run.accuracy for run in runs if not math.isnan(run.accuracy)]
    low = max(0.0, math.floor(10 * min(known, default=0.0) - 1e-9) / 10)
    ends = [
        charts.End(
            run.values[by], run.accuracy, run.row["outcome"], _name(run, besides=by), run.cell
        )
        for run in sorted(runs, key=lambda run: run.row["outcome"] != TRAINS)  # dead ones on top
    ]
    st.markdown("**Where every run ended.** Click one, or a square above: it opens in the trainer.")
    colour_key(dict(zip(charts.NAMES.values(), charts.OUTCOMES.values(), strict=True)))
    alt = f"Final training accuracy of every run by {LABELS[by]}."
    spec = charts.ends_spec(_labels(plan, by), low)
    key = _key("ends")
    click = partial(_click, plan, key, False)
    chart(key, spec, charts.ends_tables(ends), alt, click)


def _name(run: Run, besides: str = "") -> str:
    return ", ".join(f"{LABELS[n]} {v}" for n, v in run.values.items() if n != besides)


def _click(plan: Plan, key: str, square: bool) -> None:
    """Remember the run of a clicked tick, or those of a clicked square."""
    points = st.session_state[key].selection.get(charts.PICKED)
    if not points:
        st.session_state[PICKED] = ()
        return
    st.session_state[SHOWN] = False
    cell = int(points[0]["cell"])
    averaged = {"seed"} if square and "seed" not in roles(plan)[:2] else set()
    st.session_state[PICKED] = tuple(
        other
        for other, values in enumerate(plan.values)
        if all(
            mine == its
            for name, mine, its in zip(plan.axes, plan.values[cell], values, strict=True)
            if name not in averaged
        )
    )


def _open(plan: Plan, picked: Sequence[Run]) -> None:
    """Open the clicked run in the trainer; if there are several, list them over the charts."""
    st.session_state[SHOWN] = True
    if len(picked) == 1:
        unpick()
        st.switch_page(PAGES["train"].path, query_params=_query(plan, picked[0]))
    st.dialog("Runs of this square", on_dismiss=unpick)(_links)(plan, picked)


def arrive() -> None:
    """Forget a click that was answered, such as that on the run a visitor comes back from.

    One that was not keeps: its own run of the script may have become one with the whole page's.
    """
    if st.session_state.get(SHOWN, True):
        unpick()


def unpick() -> None:
    """Forget what was clicked, and give charts new keys: an old chart keeps its selection."""
    if st.session_state.get(PICKED):
        st.session_state[PICKED] = ()
        st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def _key(name: str) -> str:
    """Return the key of a chart that can be clicked."""
    return f"sweep_{name}_{st.session_state.get(TURN, 0)}"


def _links(plan: Plan, picked: Sequence[Run]) -> None:
    for run in picked[:LINKS]:
        _link(plan, run)
    if more := picked[LINKS:]:
        _find_by_name(plan, more, f"{len(more):,} more", "sweep_more")


def _link(plan: Plan, run: Run) -> None:
    """Draw a link that opens a run in the trainer."""
    page = PAGES["train"]
    st.page_link(
        page.path,
        icon=page.icon,
        query_params=_query(plan, run),
        label=f"Open in the trainer: {_name(run)}: {_ending(run)}",
    )


def _query(plan: Plan, run: Run) -> dict[str, str]:
    return {**to_query(plan.cells[run.cell]), UNTIL: "end"}


def _ending(run: Run) -> str:
    note = {TRAINS: "", SILENT: ", gradient exactly 0", BROKEN: ""}[run.row["outcome"]]
    return percent(run.accuracy) + note


def _find_by_name(plan: Plan, runs: Sequence[Run], placeholder: str, key: str) -> None:
    """Draw a way to find a run without a mouse."""
    by_cell = {run.cell: run for run in runs}
    cell = st.selectbox(
        "Find a run by name",
        list(by_cell),
        index=None,
        key=key,
        placeholder=placeholder,
        format_func=lambda cell: f"{_name(by_cell[cell])}: {_ending(by_cell[cell])}",
    )
    if cell is not None:
        _link(plan, by_cell[cell])


def lines(plan: Plan, shown: Roles, runs: Sequence[Run]) -> dict[str, list[str]]:
    """Return the table by column, with a line per variant."""
    by = shown.row or shown.column
    columns: dict[str, list[str]] = defaultdict(list)
    for label in _labels(plan, by):
        those = [run for run in runs if run.values[by] == label]
        outcomes = [run.row["outcome"] for run in those]
        known = sorted(run.accuracy for run in those if not math.isnan(run.accuracy))
        columns[LABELS[by]].append(label)
        columns["runs"].append(str(len(those)))
        for heading, outcome in (("gradient 0", SILENT), ("NaN", BROKEN)):
            columns[heading].append(str(outcomes.count(outcome)))
        nothing = "NaN" if those else NOT_YET
        columns["lowest"].append(percent(known[0]) if known else nothing)
        columns["median"].append(percent(float(np.median(known))) if known else nothing)
        columns["highest"].append(percent(known[-1]) if known else nothing)
    return dict(columns)
