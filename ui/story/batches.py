"""BatchNorm at test time: what an image's answer owes to the images that it is evaluated with."""

from collections.abc import Sequence

import streamlit as st

from core.study.batch_norm import SIZES, Evaluated
from ui.charts import batches as charts
from ui.charts.frame import share
from ui.draw import chart, colour_key
from ui.state import rerun
from ui.story import after, predict
from ui.story.twin import Twin, Twins

OPTIONS = ("About as many are right", "Some fewer are right", "Fewer than half are right")
USUAL = 100  # images together, as the post evaluates them


def together(twins: Twins) -> None:
    """A prediction, and then accuracy against the number of images evaluated together.

    What is predicted is of the first twin.
    """
    st.markdown(
        "`stax.BatchNorm` takes the mean and the variance of the batch that it is given, when the "
        "network is tested, too: an image's answer depends on the images beside it."
    )
    guess = predict.predict(
        "batch_norm",
        f"The post evaluates {USUAL} test images together. And a trained network that gets them "
        "one at a time?",
        OPTIONS,
    )
    if guess is not None:
        done = after.done(twins)
        colour_key(charts.ORDERS)
        st.fragment(_together, run_every=None if done else after.POLL_SECONDS)(twins, done)
        if done and not after.failure(twins):
            guess.judge(*_measured(twins[0]))


def _together(twins: Twins, drawn_done: bool) -> None:
    if not drawn_done and after.done(twins):
        rerun()
    if failed := after.failure(twins):
        st.error(failed, icon=":material/error:")
        return
    for column, twin in zip(st.columns(len(twins), gap="medium"), twins, strict=True):
        with column:
            _one(twin, after.evaluated(twin.config))
    if not drawn_done:
        st.caption("Training once more, then testing in batches; waiting: other runs go first.")


def _measured(twin: Twin) -> tuple[str, str]:
    """Which of the OPTIONS is right of a twin, and what was measured."""
    alone, usual = (_right(after.evaluated(twin.config), size) for size in (1, USUAL))
    return answer(alone, usual), (
        f"Of the test images {share(alone)} are right one at a time, {share(usual)} by {USUAL} "
        f"({twin.label})"
    )


def _one(twin: Twin, found: Sequence[Evaluated]) -> None:
    st.markdown(f"**{twin.label}**")
    orders = dict(zip(charts.ORDERS, (False, True), strict=True))
    curves = {
        order: {each.size: each.accuracy for each in reversed(found) if each.by_class is by_class}
        for order, by_class in orders.items()
    }
    chart(
        f"batches_{twin.label}", charts.spec(tuple(sorted(SIZES))), charts.tables(curves),
        f"{twin.label}: test images right by how many are evaluated together.",
    )  # fmt: skip


def _right(found: Sequence[Evaluated], size: int) -> float:
    return next(e.accuracy for e in found if e.size == size and not e.by_class)


def answer(alone: float, usual: float) -> str:
    """Which of the OPTIONS is right, from the accuracies one at a time and as usual."""
    if alone < 0.5:
        return OPTIONS[2]
    return OPTIONS[0] if usual - alone <= predict.MARGIN else OPTIONS[1]
