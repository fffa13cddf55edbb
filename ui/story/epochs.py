"""The test accuracy after each epoch, published and measured here, and the time of an epoch."""

from collections.abc import Sequence

import streamlit as st

from core.config import RunConfig
from core.run.job import View
from core.run.snapshot import Snapshot
from core.study.reproduce.finding import Finding, Kind, near
from core.study.reproduce.printed import Printed
from ui.charts import errors
from ui.charts.palette import BEFORE
from ui.pieces.draw import chart, colour_key
from ui.pieces.glossary import explained
from ui.pieces.waiting import draw_until
from ui.story.cells import duration
from ui.story.published import beside_measured, settings
from ui.story.twin import Twin, Twins, all_done, snapshots, viewers_of

PRINTED = "printed in the post"
ROWS = (1, 2, 3)  # the epochs whose accuracies are told as bars, beside the best


def by_epoch(twins: Twins, post: Printed, full: RunConfig) -> None:
    """Draw the share of test images that are wrong after each epoch, as printed and live.

    Once all runs have ended, the accuracies of the first twin are drawn beside the post's.

    Args:
      twins: the post's network comes first.
      full: the run as the post trained it.
    """
    st.markdown("**Test images that are wrong, by epoch**", help=explained("held out", "epoch"))
    colour_key({PRINTED: BEFORE, **{twin.label: twin.colour for twin in twins}})
    if draw_until(lambda: all_done(viewers_of(twins)), lambda _: _by_epoch(twins, post)):
        _, here = _ends(twins[0], snapshots(twins[0]))
        title = f"Test accuracy of “{twins[0].label}”"
        beside_measured(_findings(post.test, here), title, settings(full, twins[0].config))


def _findings(stated: Sequence[float], here: Sequence[float]) -> list[Finding]:
    rows = [(f"after epoch {i}", stated[i - 1], here[i - 1]) for i in ROWS if i <= len(here)]
    rows.append(("the best epoch", max(stated), max(here)))
    return [near(name, Kind.PUBLISHED, stated, here, 0.005) for name, stated, here in rows]


def _by_epoch(twins: Twins, post: Printed) -> None:
    views = {label: viewer.view() for label, viewer in viewers_of(twins).items()}
    curves: dict[str, tuple[Sequence[int], Sequence[float]]] = {
        PRINTED: (range(1, len(post.test) + 1), post.test),
        **{twin.label: _ends(twin, views[twin.label].snapshots) for twin in twins},
    }
    epochs = max(len(post.test), *(twin.config.epochs for twin in twins))
    colours = (BEFORE, *(twin.colour for twin in twins))
    chart(
        "epochs",
        errors.spec(tuple(curves), colours, epochs),
        errors.tables(curves),
        "The share of the test images that are wrong after each epoch, on a log axis.",
    )
    times = " and ".join(f"{_epoch(views[twin.label])} ({twin.label})" for twin in twins)
    st.markdown(
        f"An epoch of {twins[0].config.train_size:,} images takes {times} here. On the post's "
        f"machine an epoch of 60,000 took {min(post.seconds):.0f} to {max(post.seconds):.0f} s."
    )


def _epoch(view: View) -> str:
    """The mean time of an epoch so far, including the time for snapshots."""
    epochs = view.snapshots[-1].epoch if view.snapshots else 0.0
    return duration(view.seconds / epochs) if epochs else "…"


def _ends(twin: Twin, run: Sequence[Snapshot]) -> tuple[list[int], list[float]]:
    """The epochs that have ended, and the test accuracy after each."""
    per_epoch = twin.config.steps_per_epoch
    ends = [snapshot for snapshot in run if snapshot.step and snapshot.step % per_epoch == 0]
    return [s.step // per_epoch for s in ends], [s.test_accuracy for s in ends]
