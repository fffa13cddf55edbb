"""BatchNorm at test time: an answer depends on the other images in the batch."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from core.study.batch_norm import SIZES, Evaluated
from ui.charts import batches as charts
from ui.charts.frame import percent
from ui.pieces import predict
from ui.pieces.draw import chart, colour_key
from ui.pieces.waiting import draw_until
from ui.story.jax_cnn import after
from ui.story.twin import Twin, Twins

OPTIONS = ("About as many are right", "Some fewer are right", "Fewer than half are right")
USUAL = 100  # images in a test batch of the post


def together(twins: Twins) -> None:
    """Ask for a prediction about the first twin, then draw every twin's accuracy by batch size."""
    st.markdown(
        "`stax.BatchNorm` uses the mean and the variance of the batch that it is given, even when "
        "the network is tested: the answer to an image depends on the other images in its batch."
    )
    guess = predict.predict(
        "batch_norm",
        f"The post tests {USUAL} images together. What if its trained network is given the test "
        "images one at a time?",
        OPTIONS,
    )
    if guess is not None:
        colour_key(charts.ORDERS)
        done = draw_until(partial(after.done, twins), partial(_together, twins))
        if done and not after.failure(twins):
            guess.judge(*_solution(twins[0]))


def _together(twins: Twins, drawn_done: bool) -> None:
    if failed := after.failure(twins):
        st.error(failed, icon=":material/error:")
        return
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        with column:
            _one(twin, after.evaluated(twin.config))
    if not drawn_done:
        st.caption("Training again, then testing in batches. Other runs go first.")


def _solution(twin: Twin) -> tuple[str, str]:
    """Return the option that is right for a twin, and what was measured."""
    alone, usual = (_right(after.evaluated(twin.config), size) for size in (1, USUAL))
    return right_option(alone, usual), (
        f"One at a time, {percent(alone)} of the test images are right; {USUAL} at a time, "
        f"{percent(usual)} ({twin.label})"
    )


def _one(twin: Twin, evaluations: Sequence[Evaluated]) -> None:
    st.markdown(f"**{twin.label}**")
    orders = dict(zip(charts.ORDERS, (False, True), strict=True))
    curves = {
        order: {
            each.size: each.accuracy for each in reversed(evaluations) if each.by_class is by_class
        }
        for order, by_class in orders.items()
    }
    chart(
        f"batches_{twin.label}",
        charts.spec(tuple(sorted(SIZES))),
        charts.tables(curves),
        f"{twin.label}: the share of test images that are right, by how many are tested together.",
    )


def _right(evaluations: Sequence[Evaluated], size: int) -> float:
    return next(e.accuracy for e in evaluations if e.size == size and not e.by_class)


def right_option(alone: float, usual: float) -> str:
    """The right option, given the accuracies one at a time and USUAL at a time."""
    if alone < 0.5:
        return OPTIONS[2]
    return OPTIONS[0] if usual - alone <= predict.MARGIN else OPTIONS[1]
