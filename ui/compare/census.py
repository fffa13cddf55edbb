"""What every loss makes of a visitor's logits: the answer, his samples on the axis, the shares."""

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np
import streamlit as st

from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, losses_for
from core.study import precision
from core.study.compare.examples import OWN
from core.study.compare.recording import Unusable
from core.study.logits.census import Tally, census, rounds
from core.study.logits.evaluate import Evaluated, evaluate
from core.study.logits.examples import question
from core.study.logits.report import (
    MEANS,
    Report,
    about,
    answer,
    by_epsilon,
    by_format,
    epsilon_of,
    notes,
    sentences,
    table,
    title,
    word,
)
from core.study.logits.samples import Samples, load
from ui.charts import logits as charts
from ui.charts.digits import Placed, Zone
from ui.charts.live import GRADIENTS
from ui.charts.palette import BEFORE, BROKEN, DEAD, MORE, PINS, TRAIN
from ui.compare.files import Given, Held, held
from ui.compare.result import plain
from ui.compare.setting import Setting
from ui.pieces.bars import Stack, stacks
from ui.pieces.chosen import zones
from ui.pieces.draw import chart, code, colour_key, text_table
from ui.pieces.glossary import explained

HELD = "logits_held"
FIRST = "keras_jax"  # the loss that colours the samples until another is chosen
PARTS = {  # the shares of a Tally, as the bars name them
    "silent_right": "right, gradient exactly 0",
    "silent_wrong": "wrong, gradient exactly 0",
    "half": "half the gradient",
    "weak": "less than half",
    "against": "wrong sign",
    "broken": "NaN or inf",
}
FULL = "has its gradient"
COLOURS = {
    FULL: TRAIN,
    **dict(zip(PARTS.values(), (BEFORE, DEAD, PINS[1], MORE, PINS[2], BROKEN), strict=True)),
}


def given(pair: str) -> Held | None:
    """Return the logits that the visitor gave, or those of the project's example."""
    if pair != OWN:
        return held([Given(pair, "the question's logits", bytes)], _example, HELD)
    up = st.file_uploader("Logits and labels", ["safetensors", "npz", "csv"], key="compare_logits")
    return held([Given(up.file_id, up.name, up.getvalue)] if up else [], _own, HELD)


def _example(names: Sequence[str], _: Sequence[bytes]) -> Iterator[float | Report]:
    return _counted(names[0], question())


def _own(names: Sequence[str], files: Sequence[bytes]) -> Iterator[float | Report | str]:
    try:
        found = load(names[0], files[0])
    except Unusable as fault:
        yield f"{names[0]}: {fault}"
        return
    yield from _counted(names[0], found)


def _counted(name: str, samples: Samples) -> Iterator[float | Report]:
    tallies: list[Tally] = []
    for done, some in enumerate(census(samples), 1):
        tallies += some
        yield done / rounds(samples.form)
    yield Report(name, samples, tuple(tallies))


def how_to_save() -> None:
    """Draw what a file has to hold, with a line that writes one."""
    st.header("How to save them")
    st.markdown(
        "`logits` is (n, classes), or (n,) for two classes: what the network gives before sigmoid "
        "or softmax. `labels` is (n,) whole numbers from 0, or one-hot. A `.csv` has a sample a "
        "line, and the labels in the last column or in one that is called `label`. A recording "
        "will do, too: its first step is taken."
    )
    code('np.savez("logits.npz", logits=np.asarray(logits), labels=np.asarray(labels))')


def result(report: Report, setting: Setting) -> None:
    """Draw a report in the format and with the epsilon of the setting."""
    tallies = report.of(setting.dtype, setting.epsilon)
    st.header(answer(tallies))
    told = " ".join((f"{report.name} · {about(report.samples)}", *report.samples.notes))
    st.caption(plain(told), help=explained("logit", "label"))
    for note in notes(report.samples):
        st.warning(plain(note), icon=":material/warning:")
    st.markdown("\n".join(f"- {sentence}" for sentence in sentences(tallies)))
    left, right = st.columns(2, gap="large")
    with left:
        _axis(report.samples, setting)
    with right:
        _shares(tallies)
    _tables(report, tallies, setting)
    _downloads(report, setting)


def _axis(samples: Samples, setting: Setting) -> None:
    """Draw where the samples are, in the colour of the gradient that a chosen loss gives them."""
    form = samples.form
    st.subheader("Where the samples are")
    key = st.selectbox(
        "coloured by the gradient from",
        losses_for(form),
        losses_for(form).index(FIRST),
        key=_loss_key(samples),
        format_func=lambda loss: LOSSES[loss].label,
    )
    epsilon = epsilon_of(key, setting.epsilon)
    given = evaluate(samples, key, DTYPES[setting.dtype].dtype, epsilon or 0.0)
    at = samples.logits if form == "binary" else samples.margins
    top = charts.end(at)
    placed = Placed(samples.rows, at, ~samples.wrong, _kinds(given))
    colour_key(GRADIENTS)
    title = "logit z" if form == "binary" else "margin: the label's logit against the others'"
    wrong = samples.wrong.mean()
    chart(
        "compare_logits_chart",
        charts.spec(top, title),
        charts.tables(placed, top, _zones(samples, key, setting.dtype, epsilon or 0.0)),
        f"Histogram of {len(at):,} samples by {title}, right ones above the line and wrong ones "
        f"below; {wrong:.0%} are wrong.",
    )


def _loss_key(samples: Samples) -> str:
    return f"compare_logits_loss_{samples.form}"


def _kinds(given: Evaluated) -> np.ndarray:
    """Return the Gradient of each sample."""
    slopes = np.where(given.silent, 0.0, np.where(given.broken, np.nan, 1.0))
    return precision.kinds(np.where(given.broken, np.nan, slopes))


def _zones(samples: Samples, key: str, dtype: str, epsilon: float) -> list[Zone]:
    """Return where the loss gives no gradient; with more classes a margin does not decide it."""
    if samples.form != "binary":
        return []
    return [
        zone
        for label in (0, 1)
        for right in (False, True)
        for zone in zones(
            precision.edges("binary", key, label, epsilon, DTYPES[dtype].dtype, right=right), right
        )
    ]


def _shares(tallies: Sequence[Tally]) -> None:
    """Draw what each loss gives all samples, as parts of a bar."""
    st.subheader("What each loss gives them", help=MEANS)
    rows, seen = [], {FULL}
    for each in tallies:
        parts = {words: getattr(each, name) for name, words in PARTS.items()}
        parts = {FULL: max(0.0, 1 - sum(parts.values())), **parts}
        seen |= {words for words, value in parts.items() if value > 0}
        rows.append(Stack(title(each), parts, word(each)))
    colour_key({words: colour for words, colour in COLOURS.items() if words in seen})
    stacks(rows, COLOURS)


def _tables(report: Report, tallies: Sequence[Tally], setting: Setting) -> None:
    """Draw the verdicts by format and by epsilon, and all figures of what is shown."""
    name = DTYPES[setting.dtype].label
    tables = {
        "By number format": by_format(report, setting.epsilon),
        f"By epsilon, {name}": by_epsilon(report, setting.dtype),
        f"All figures, {name}": table(tallies),
    }
    for tab, (what, columns) in zip(st.tabs(list(tables)), tables.items(), strict=True):
        with tab:
            text_table(columns, what)


def _downloads(report: Report, setting: Setting) -> None:
    key = st.session_state.get(_loss_key(report.samples), FIRST)
    with st.container(horizontal=True):
        for label, text, name, kind in (
            ("Report as Markdown", report.markdown(), "logits.md", "text/markdown"),
            ("Report as JSON", report.json(), "logits.json", "application/json"),
            (f"Samples under {LOSSES[key].label} as CSV", _rows(report.samples, key, setting),
             "samples.csv", "text/csv"),
        ):  # fmt: skip
            st.download_button(
                label, text, name, kind, icon=":material/download:", on_click="ignore"
            )


def _rows(samples: Samples, key: str, setting: Setting) -> str:
    """Return each sample as a line: its place in the file, and what the loss makes of it."""
    given = evaluate(
        samples, key, DTYPES[setting.dtype].dtype, epsilon_of(key, setting.epsilon) or 0.0
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "label", "margin", "wrong", "loss", "slope", "silent", "nan_or_inf"])
    columns = (
        samples.rows, samples.labels, samples.margins, samples.wrong.astype(int), given.loss,
        given.slope, given.silent.astype(int), given.broken.astype(int),
    )  # fmt: skip
    writer.writerows(zip(*(column.tolist() for column in columns), strict=True))
    return text.getvalue()
