"""The plan's cost and progress, and what has been measured so far."""

import streamlit as st

from core.run.errands import Errand
from core.study.sweep import Plan, Rows, to_json
from ui.state import rerun
from ui.sweep import course, example, results
from ui.sweep.course import POLL_SECONDS, rough_duration


def progress(plan: Plan) -> None:
    """Draw the buttons that start, pause and end a sweep, and how far it is."""
    if why := course.refusal(plan):
        st.warning(why, icon=":material/grid_off:")
        _plan_download(plan)
        return
    results.arrive()
    errand = course.course(plan)
    waits = errand is None or (course.wanted(plan) and not errand.done)
    _buttons(plan, errand)
    st.fragment(_watch, run_every=POLL_SECONDS if waits else None)(plan, waits)
    if errand is None and (rows := example.rows_of(plan)):
        st.fragment(_example)(plan, rows)


def _example(plan: Plan, rows: Rows) -> None:
    """Draw the recorded results of the plan, until somebody starts it here."""
    st.caption(
        f"An example, measured with {example.measured_with()}. Start the sweep to measure it here."
    )
    results.results(plan, rows, ended=True)


def _buttons(plan: Plan, errand: Errand | None) -> None:
    wanted = course.wanted(plan) and not (errand and errand.done)
    with st.container(horizontal=True, gap="small"):
        if errand and errand.done and not errand.failure:
            _downloads(plan, errand)
        elif wanted:
            st.button("Pause", icon=":material/pause:", on_click=course.pause, args=[plan])
        else:
            label = "Start the sweep" if errand is None else "Go on"
            st.button(
                label,
                icon=":material/play_arrow:",
                type="primary",
                on_click=course.start,
                args=[plan],
            )
            _plan_download(plan)
        if errand is not None and course.started(plan):
            st.button("Forget it", icon=":material/delete:", on_click=course.cancel, args=[plan])
    if errand is not None and not course.started(plan):
        st.caption("This sweep was started in another visit. Everybody on this server sees it.")


def _plan_download(plan: Plan) -> None:
    st.download_button(
        "plan.json",
        to_json(plan),
        "plan.json",
        "application/json",
        icon=":material/download:",
        on_click="ignore",
        help="To sweep without this page: python -m core.study.sweep plan.json",
    )


def _downloads(plan: Plan, errand: Errand) -> None:
    csv, parquet = results.files(plan, course.rows_of(errand))
    save = ":material/download:"
    st.download_button("CSV", csv, "sweep.csv", "text/csv", icon=save, on_click="ignore")
    st.download_button(
        "Parquet",
        parquet,
        "sweep.parquet",
        "application/vnd.apache.parquet",
        icon=save,
        on_click="ignore",
    )
    _plan_download(plan)


def _watch(plan: Plan, waited: bool) -> None:
    errand = course.course(plan)
    if errand is None:
        _cost(plan)
        return
    if waited and errand.done:
        rerun()
    if errand.failure:
        st.error(errand.failure.partition(": ")[2], icon=":material/error:")
    rows = course.rows_of(errand)
    if not errand.done:
        _progress_bar(plan, errand, len(rows))
    if rows:
        results.results(plan, rows, ended=errand.done or not waited)


def _progress_bar(plan: Plan, errand: Errand, done: int) -> None:
    seconds = course.left(errand, plan.size)
    text = f"{done:,} of {plan.size:,} runs"
    if not course.wanted(plan):
        text += ", paused"
    elif seconds is not None:
        text += f", about {rough_duration(seconds)} left; other runs go first"
    elif course.held_up(errand):
        text += ", waiting: this server is full"
    elif not done:
        text += ", compiling"
    st.progress(done / plan.size, text=text)


def _cost(plan: Plan) -> None:
    errand = course.cost(plan)
    if errand.failure:
        st.error(errand.failure.partition(": ")[2], icon=":material/error:")
        return
    if not errand.pieces:
        st.info(f"**{plan.size:,} runs.** Timing the first one.", icon=":material/timer:")
        return
    runs, groups, seconds = course.estimate(plan, errand.pieces[0])
    same = "" if runs == plan.size else f", {runs:,} of them different"
    programs = "compiled once" if groups == 1 else f"{groups} programs to compile"
    one = rough_duration(errand.pieces[0].step * plan.cells[0].steps)
    st.info(
        f"**{plan.size:,} runs**{same}, {programs}. The first one took {one} here, and compiling "
        f"it {rough_duration(errand.pieces[0].compiled)}: "
        f"**about {rough_duration(seconds)}** for all.",
        icon=":material/timer:",
    )
    st.caption(course.where())
