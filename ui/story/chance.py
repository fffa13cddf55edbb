"""Fact or chance: the same runs from weights moved by one rounding, and from other seeds."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.data import load
from core.study import band
from ui.charts import twins as charts
from ui.draw import chart, colour_key
from ui.story.twin import Twins

PERTURBATIONS = 100
SEEDS = range(10)
one_at_a_time = threading.Lock()  # two of the long jobs at once would starve everybody's runs


@st.cache_resource
def _kept() -> dict[tuple[RunConfig, str], band.Outcomes]:
    """Finished bands and strips, for all visitors."""
    return {}


def _collect(config: RunConfig, kind: str) -> Iterator[tuple[float, band.Outcomes | None]]:
    """(fraction done, None) as it goes and (1, outcomes) at the end; kept for the next visitor."""
    data = load(config.source, config.train_size)
    if kind == "seeds":
        pieces, runs = band.seed_strip(config, data, SEEDS), len(SEEDS)
    else:
        pieces, runs = band.rounding_band(config, data, PERTURBATIONS), 1 + PERTURBATIONS
    found: list[band.Outcomes] = []
    with one_at_a_time:
        for piece in pieces:
            if piece is not None:
                found.append(piece)
            yield sum(len(one.accuracy) for one in found) / runs, None
    _kept()[config, kind] = outcomes = band.collect(found)
    while len(_kept()) > 64:
        _kept().pop(next(iter(_kept())))
    yield 1.0, outcomes


def chance(twins: Twins, published: Sequence[float]) -> None:
    """A button, and then the band of every twin and its strip over seeds.

    `published` are final accuracies that the source reports.
    """
    if any(not twin.config.full_batch or twin.config.dropout != "off" for twin in twins):
        st.caption("Only runs on full batches, without dropout, are repeated here.")
        return
    wanted = [(twin.config, kind) for kind in ("seeds", "rounding") for twin in twins]
    missing = [job for job in wanted if job not in _kept()]
    if missing and not st.button(
        f"Repeat both: {PERTURBATIONS} times one rounding, and {len(SEEDS)} seeds",
        icon=":material/repeat:", type="primary",
    ):  # fmt: skip
        return
    if missing:
        st.button("Cancel", icon=":material/close:")  # any click ends this script run
        bar = st.progress(0.0)
        for i, (config, kind) in enumerate(missing):
            for fraction, _ in _collect(config, kind):
                name = next(twin.label for twin in twins if twin.config == config)
                bar.progress((i + fraction) / len(missing), text=f"{name}: {kind}")
        st.rerun()
    _draw_chance(twins, published)


def _draw_chance(twins: Twins, published: Sequence[float]) -> None:
    kept = [(twin, _kept()[twin.config, "rounding"].accuracy) for twin in twins]
    bands = [charts.Band(t.label, range(t.config.steps + 1), rows) for t, rows in kept]
    colours, low = tuple(twin.colour for twin in twins), charts.axis_start(bands)
    left, right = st.columns(2, gap="medium")
    with left:
        colour_key(dict(zip((each.label for each in bands), colours, strict=True)))
        st.markdown(f"**The same run {PERTURBATIONS} times, its weights moved by one rounding**")
        labels, steps = tuple(each.label for each in bands), twins[0].config.steps
        spec = charts.band_spec(labels, colours, steps, low)
        chart("twins_band", spec, charts.band_tables(bands), " ".join(map(_verdict, bands)))
    with right:
        st.markdown("**Where they end**")
        strip = {}
        for i, twin in enumerate(twins):
            ends = _kept()[twin.config, "rounding"].accuracy[:, -1]
            seeds = _kept()[twin.config, "seeds"].accuracy[:, -1]
            strip[f"{twin.label}, one rounding"] = (i, ends.tolist(), [""] * len(ends))
            names = [f"seed {seed}" for seed in SEEDS]
            strip[f"{twin.label}, ten seeds"] = (i, seeds.tolist(), names)
        spec = charts.strip_spec(tuple(strip), colours, tuple(published), low)
        dashed = " and ".join(f"{value:.1%}" for value in published)
        words = "Final accuracies of the repetitions."
        words += f" Dashed: the published {dashed}." if published else ""
        chart("twins_strip", spec, charts.strip_tables(strip), words)
    for each in bands:
        st.markdown(f"- **{each.label}** {_verdict(each)}")


def _verdict(repeated: charts.Band) -> str:
    """Fact or chance, by where the perturbed runs end."""
    ends = repeated.accuracy[1:, -1]
    if np.ptp(ends) < 0.005:
        return f"ends at {ends.mean():.1%} every time: a fact."
    return (
        f"ends anywhere from {ends.min():.1%} to {ends.max():.1%}, on average "
        f"{ends.mean():.1%}: chance. No digit of it is a constant."
    )
