"""What the walk found: the stages in a row, what is blamed, and one side against the other."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from core.study.compare.beside import Example, guilty, losses, sides
from core.study.compare.report import (
    Report,
    Stage,
    Verdict,
    left_unexplained,
    numbers_sentence,
    shown,
    status_words,
)
from ui.charts import compare as charts
from ui.compare.files import SIDES, Walked
from ui.pieces.draw import chart, code_html, text_table
from ui.pieces.pictures import data_url

CLASSES = {
    "same": "same",
    "differs": "differs",
    "not recorded": "missing",
    "after the first difference": "behind",
}


def result(walked: Walked) -> None:
    """Draw a report: the answer first, then the walk, then the numbers behind it."""
    report = walked.report
    parted = next((stage for stage in report.stages if stage.status == "differs"), None)
    st.header(_answer(report, parted))
    st.caption(_names(report))
    if len(report.verdicts) > 1:
        st.markdown(plain(report.answer().partition(". ")[2]))
    if report.other:
        st.html(f'<ol class="walk">{"".join(map(_stage, report.stages))}</ol>')
    else:
        _described(report)
    if report.verdicts:
        entries = "".join(_verdict(each, report) for each in report.verdicts)
        st.html(f'<ol class="ports">{entries}</ol>')
    elif parted is not None:
        st.info(
            "No piece that this project knows explains the difference. The numbers below and the "
            "report say where it is.",
            icon=":material/help:",
        )
    if parted is not None:
        _numbers(walked, parted)
    _notes(report)
    _downloads(report)


def _answer(report: Report, parted: Stage | None) -> str:
    if not report.other:
        return "What this recording computes"
    return "The same, to rounding" if parted is None else f"They part at the {parted.name}"


def _names(report: Report) -> str:
    named = zip(SIDES, filter(None, (report.first, report.other)), strict=False)
    return " · ".join(f"{side}: {plain(name)}" for side, name in named)


def plain(text: str) -> str:
    """Return text in which nothing is Markdown: names in files and of files are a visitor's."""
    return "".join(f"\\{c}" if c.isascii() and not (c.isalnum() or c == " ") else c for c in text)


def _stage(stage: Stage) -> str:
    n = stage.numbers
    figure = f"<small>{shown(n.relative)}</small>" if n is not None else ""
    why = f' title="{escape(numbers_sentence(n))}"' if n is not None else ""
    return (
        f'<li class="{CLASSES[stage.status]}"{why}><b>{stage.name}</b>'
        f"<span>{status_words(stage)}</span>{figure}</li>"
    )


def _verdict(verdict: Verdict, report: Report) -> str:
    side = {"a": f"a: {report.first}", "b": f"b: {report.other}"}.get(verdict.side, "")
    figures = f"<p>{escape(left_unexplained(verdict))} {escape(verdict.matters)}</p>"
    write = code_html(verdict.write, f"What to write: {verdict.cause}") if verdict.write else ""
    return (
        f"<li><h3>{escape(verdict.cause.replace('_', ' '))} <small>{escape(side)}</small></h3>"
        f"<p>{escape(verdict.sentence)}</p>{figures}{write}</li>"
    )


def _numbers(walked: Walked, stage: Stage) -> None:
    """Draw the numbers of the stage at which two recordings part, one side against the other."""
    if stage.numbers is None or len(walked.recordings) < 2:
        return
    a, b = walked.recordings
    st.subheader(f"The {stage.name}, a against b")
    st.caption(plain(numbers_sentence(stage.numbers)))
    left, right = st.columns(2, gap="medium")
    with left:
        if stage.name == "loss":
            rows = {name: [_figure(x) for x in each] for name, each in losses(a, b).items()}
            text_table(rows, "Both losses")
        elif (both := sides(a, b, stage)) is not None:
            alt = f"{len(both.a):,} numbers, a against b; equal ones lie on the dashed line."
            chart("compare_sides", charts.sides_spec(), charts.sides_tables(*both), alt)
    if pictures := guilty(a, b, stage.name):
        with right:
            figures = [_guilt(each, stage.name) for each in pictures]
            alike = len({*figures}) == 1  # one line says it
            st.markdown(f"**{GUILTY[stage.name]}**" + f": {' '.join(figures[0])} each" * alike)
            cards = (_picture(each, () if alike else figure)
                     for each, figure in zip(pictures, figures, strict=True))  # fmt: skip
            st.html(f'<ul class="cards">{"".join(cards)}</ul>')


def _figure(value: float) -> str:
    """Return a number with five digits, NaN as NaN."""
    return f"{value:.5g}".replace("nan", "NaN")


GUILTY = {
    "outputs": "Examples of the first batch whose outputs differ most",
    "loss": "The examples that most of the loss of a comes from",
}


def _guilt(example: Example, stage: str) -> tuple[str, str]:
    """What makes an example guilty, and its figure."""
    if stage == "loss":
        return "p(label)", shown(max(0.0, 1 - example.figure))
    return "differs by", shown(example.figure)


def _picture(example: Example, figure: tuple[str, ...]) -> str:
    name = f"example {example.place}"
    told = f"<dl><dt>{figure[0]}</dt><dd>{figure[1]}</dd></dl>" if figure else ""
    return (
        f'<li><img src="{data_url(example.pixels)}" alt="{name} of the batch">'
        f"<div><b>{name}</b>{told}</div></li>"
    )


def _described(report: Report) -> None:
    """List what each stage of one recording computes."""
    told = {stage.name: stage.notes for stage in report.stages if stage.notes}
    text_table({"stage": list(told), "what it computes": ["; ".join(n) for n in told.values()]},
               "What each stage computes")  # fmt: skip


def _notes(report: Report) -> None:
    staged = (n for stage in report.stages for n in stage.notes if report.other)
    notes: Sequence[str] = (*report.notes, *staged)
    if notes:
        with st.expander("What was matched, and what was left out"):
            st.html(f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul>")


def _downloads(report: Report) -> None:
    with st.container(horizontal=True):
        for label, text, name, kind in (
            ("Report as Markdown", report.markdown(), "comparison.md", "text/markdown"),
            ("Report as JSON", report.json(), "comparison.json", "application/json"),
        ):
            st.download_button(
                label, text, name, kind, icon=":material/download:", on_click="ignore"
            )
