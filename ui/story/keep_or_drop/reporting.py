"""The accuracies that two training loops print: with units dropped, and after the update."""

import math
from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from core.config import RunConfig
from core.run.errands import Errand
from core.run.prepare import device_data
from core.study import reporting
from ui.charts import twins as charts
from ui.charts.palette import PINS
from ui.engine import engine
from ui.pieces.draw import chart, colour_key
from ui.pieces.waiting import draw_until
from ui.story.twin import Twin, Twins

SERIES = {
    "in training, with units dropped: what Keras's fit prints": PINS[2],
    "the same batches after the update, all units: what the TensorFlow loop prints": PINS[3],
    "the test images, all units": PINS[0],
}


def trap(twins: Twins, small: RunConfig) -> None:
    """Draw both accuracies of every twin's batches as they are measured.

    Each twin's dropout and seed are put into the run `small`, because every twin trains again.
    """
    twins = [
        twin._replace(
            config=replace(
                small,
                dropout=twin.config.dropout,
                dropout_value=twin.config.dropout_value,
                seed=twin.config.seed,
            )
        )
        for twin in twins
    ]
    colour_key(SERIES)

    def errands() -> list[Errand]:
        return [_errand(twin.config) for twin in twins]

    draw_until(lambda: all(each.done for each in errands()), lambda _: _trap(twins, errands()))


def _errand(config: RunConfig) -> Errand:
    return engine().errands.look(
        ("reports", config),
        lambda: reporting.reports(config, device_data(config), reports_per_epoch=2),
    )


def _trap(twins: Twins, errands: Sequence[Errand]) -> None:
    columns = st.columns(len(twins), gap="medium")
    for column, twin, errand in zip(columns, twins, errands, strict=True):
        with column:
            _one(twin, errand)


def _one(twin: Twin, errand: Errand) -> None:
    st.markdown(f"**{twin.label}**")
    if errand.failure:
        st.error(errand.failure, icon=":material/error:")
        return
    reports: list[reporting.Report] = errand.pieces
    ends = [report for report in reports if not math.isnan(report.test_accuracy)]
    dropping, whole, test = SERIES
    curves = {
        dropping: ([r.step for r in reports], [r.dropping.accuracy for r in reports]),
        whole: ([r.step for r in reports], [r.whole.accuracy for r in reports]),
        test: ([r.step for r in ends], [r.test_accuracy for r in ends]),
    }
    spec = charts.curves_spec(tuple(SERIES), tuple(SERIES.values()), twin.config.steps)
    chart(f"reports_{twin.label}", spec, charts.curves_tables(curves), "Accuracies by step.")
    if not ends:
        st.caption("Training again, and measuring every batch twice. Other runs go first.")
        return
    last, end = reports[-1], ends[-1]
    st.markdown(
        f"At step {last.step:,} this training has three accuracies: **"
        f"{last.dropping.accuracy:.1%}** with units dropped, **{last.whole.accuracy:.1%}** after "
        f"the update with all units, and **{end.test_accuracy:.1%}** on test images."
    )
