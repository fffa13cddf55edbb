"""Fact or chance: each run repeated from nudged weights and from other seeds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.data import load
from core.run.errands import Errand
from core.study import band
from ui.charts import twins as charts
from ui.engine import engine
from ui.pieces.draw import chart, colour_key
from ui.pieces.waiting import draw_until
from ui.story.twin import Twins

PERTURBATIONS = 100
SEEDS = range(10)
SAME = 0.005  # final accuracies nearer to each other than this count as the same
# A verdict needs this many runs, the one with unchanged weights included. benchmarks.verdicts tried
# the question's ten seeds with both losses. In the worst case a chance result is called a fact 18
# times in 1,000 after 3 runs, twice in 1,000 after 4, and once in 10,000 after 5.
ENOUGH = 5
POLL_SECONDS = 1.0
KINDS = ("rounding", "seeds")


def repetitions(twins: Twins, published: Sequence[float], elsewhere: str) -> None:
    """Draw a button and, once it is pressed, each twin's repetitions as they end.

    Args:
      published: the final accuracies that the source reports.
      elsewhere: the source's settings where they are not the visitor's; then the published figures
        are told below and not drawn.
    """
    if any(not twin.config.full_batch or twin.config.dropout != "off" for twin in twins):
        st.caption("Only runs with full batches and without dropout can be repeated here.")
        return
    repeated: set[tuple[RunConfig, ...]] = st.session_state.setdefault("chance_asked", set())
    pair = tuple(twin.config for twin in twins)
    if pair not in repeated:
        st.button(
            f"Repeat both: {PERTURBATIONS} nudged copies, and {len(SEEDS)} seeds",
            icon=":material/repeat:",
            type="primary",
            on_click=repeated.add,
            args=[pair],
        )
        return

    def done() -> bool:
        return all(errand.done for errand in _errands(twins).values())

    beside = () if elsewhere else published
    draw_until(done, lambda drawn_done: _repetitions(twins, beside, drawn_done), POLL_SECONDS)
    if elsewhere:
        figures = " and ".join(f"{value:.1%}" for value in published)
        st.caption(f"Published with {elsewhere}: {figures}.")


def _errands(twins: Twins) -> dict[tuple[str, str], Errand]:
    """The errands that repeat each run, by twin and kind; all other runs go first."""
    look = engine().errands.look
    return {
        (twin.label, kind): look(
            (kind, twin.config, PERTURBATIONS, SEEDS), partial(_repeat, twin.config, kind)
        )
        for kind in KINDS
        for twin in twins
    }


def _repeat(config: RunConfig, kind: str) -> Iterator[band.Outcomes | None]:
    data = load(config.source, config.train_size)
    if kind == "seeds":
        return band.seed_strip(config, data, SEEDS)
    return band.rounding_band(config, data, PERTURBATIONS)


def _repetitions(twins: Twins, published: Sequence[float], drawn_done: bool) -> None:
    errands = _errands(twins)
    if failure := next((errand.failure for errand in errands.values() if errand.failure), ""):
        st.error(failure, icon=":material/error:")
        return
    rows = {key: band.collect(e.pieces).accuracy for key, e in errands.items() if e.pieces}
    if not drawn_done:
        runs = sum(len(accuracy) for accuracy in rows.values())
        total = len(twins) * (1 + PERTURBATIONS + len(SEEDS))
        st.progress(runs / total, text=f"{runs} of {total} runs. The runs on this page go first")
    # The first row is the run itself: without a nudged copy, nothing can be said about chance.
    shown = [twin for twin in twins if len(rows.get((twin.label, "rounding"), ())) > 1]
    if shown:
        _draw(shown, rows, published, drawn_done)


def _draw(
    twins: Twins,
    rows: Mapping[tuple[str, str], np.ndarray],
    published: Sequence[float],
    done: bool,
) -> None:
    steps = range(twins[0].config.steps + 1)
    bands = [charts.Band(twin.label, steps, rows[twin.label, "rounding"]) for twin in twins]
    colours, low = tuple(twin.colour for twin in twins), charts.axis_start(bands)
    verdicts = [verdict(each.accuracy[:, -1]) for each in bands]
    left, right = st.columns(2, gap="medium")
    with left:
        colour_key({twin.label: twin.colour for twin in twins})
        st.markdown(
            f"**The same run {PERTURBATIONS} times, from weights changed in the last digit**"
        )
        spec = charts.band_spec(tuple(t.label for t in twins), colours, steps[-1], low)
        # If this text changed with every run, the browser would build the chart again each time.
        alt = " ".join(verdicts) if done else "Accuracy of the repetitions by step."
        chart("twins_band", spec, charts.band_tables(bands), alt)
    with right:
        st.markdown("**Where they end**")
        strip = _strip(twins, rows)
        spec = charts.strip_spec(tuple(strip), colours, tuple(published), low)
        dashed = " and ".join(f"{value:.1%}" for value in published)
        alt = "Final accuracies of the repetitions."
        alt += f" Dashed: the published {dashed}." if published else ""
        chart("twins_strip", spec, charts.strip_tables(strip), alt)
    for twin, sentence in zip(twins, verdicts, strict=True):
        st.markdown(f"- **{twin.label}** {sentence}")


def _strip(
    twins: Twins, rows: Mapping[tuple[str, str], np.ndarray]
) -> dict[str, tuple[int, list[float], list[str]]]:
    """The rows of the strip chart, one for each twin and kind: (colour's index, ends, names)."""
    strip = {}
    for i, twin in enumerate(twins):
        for kind, kind_label in zip(KINDS, ("nudged copies", "ten seeds"), strict=True):
            ends = rows.get((twin.label, kind), np.empty((0, 1)))[:, -1]
            names = [f"seed {seed}" if kind == "seeds" else "" for seed in range(len(ends))]
            strip[f"{twin.label}, {kind_label}"] = (i, ends.tolist(), names)
    return strip


def verdict(ends: np.ndarray) -> str:
    """Tell whether the result is fact or chance, by the final accuracies of run and copies."""
    if np.ptp(ends) >= SAME:
        return (
            f"ends anywhere from {ends.min():.1%} to {ends.max():.1%}, on average "
            f"{ends.mean():.1%}: chance. It gives a range, not one number."
        )
    if len(ends) < ENOUGH:
        return f"ends at {ends.mean():.1%} so far, in {len(ends)} runs: too few to call it a fact."
    return f"ends at {ends.mean():.1%} every time: a fact."
