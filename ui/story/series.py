"""Pieces for twins that predict series: their errors, what a loss compares, the gates' weights."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.gru import Gate
from core.run.errands import Errand
from core.run.prepare import device_data
from core.run.snapshot import Fit, Snapshot
from core.shapes import explain_shapes
from core.study import series
from ui.charts import live
from ui.charts import series as charts
from ui.charts.frame import curves_sentence
from ui.charts.palette import PINS
from ui.engine import engine
from ui.pieces.draw import chart, code, colour_key
from ui.pieces.glossary import explained
from ui.pieces.waiting import draw_until
from ui.story.twin import Twin, Twins, snapshots

SEEDS = range(5)
BETTER, SAME, WORSE = "Nearer to the truth", "About as near", "Further from the truth"
CLOSE = 0.05  # an error within this share of the error of copying counts as the same


def watch_series(
    twins: Twins, runs: Mapping[str, Sequence[Snapshot]], ended: bool, key: str
) -> None:
    """Draw the twins' errors beside the error of copying, and the series that they predict."""
    fits = {label: [s.fit for s in run if s.fit] for label, run in runs.items()}
    fits = {label: run_fits for label, run_fits in fits.items() if run_fits}
    left, right = st.columns(2, gap="medium")
    colours = {twin.label: twin.colour for twin in twins}
    steps = max(twin.config.steps for twin in twins)
    with left:
        st.markdown(
            f"**Squared error by step, held out; grey: {charts.BEATEN}**",
            help=explained("squared error", "held out"),
        )
        if fits:
            tables = charts.errors_tables({label: runs[label] for label in fits})
            errors = {label: [fit.error for fit in each] for label, each in fits.items()}
            top = live.error_top([value for each in errors.values() for value in each])
            names = tuple(colours)
            spec = charts.errors_spec(names, tuple(colours.values()), steps, top)
            sentence = curves_sentence(
                "Squared error", errors if ended else {}, steps, charts.error_text
            )
            chart(f"{key}_errors", spec, tables, sentence or "Squared error by step.")
    with right:
        st.markdown(
            "**Held-out series, as each network predicts them**", help=explained("teacher forcing")
        )
        colour_key(charts.VALUES)
        drawing = charts.following({label: each[-1] for label, each in fits.items()}, colours)
        chart(f"{key}_series", drawing.spec, drawing.tables, drawing.alt)


def _error(twin: Twin) -> Fit:
    fit = snapshots(twin)[-1].fit
    assert fit is not None
    return fit


def nearer(twin: Twin) -> str:
    """Return BETTER, SAME or WORSE: how a run's final error compares with that of copying."""
    fit = _error(twin)
    if abs(fit.error / fit.copied - 1) <= CLOSE:
        return SAME
    return BETTER if fit.error < fit.copied else WORSE


def errors_sentence(twins: Twins) -> str:
    """The sentence that tells at which errors runs ended, and the error of copying."""
    ends = ", ".join(f"“{twin.label}” ends at {_error(twin).error:.3f}" for twin in twins)
    return f"{ends}, copying at {_error(twins[0]).copied:.3f}"


def comparisons(twins: Twins) -> None:
    """Draw the pairs that each twin's loss compares in one held-out series, after training."""
    colour_key({twin.label: twin.colour for twin in twins})
    fits = [_error(twin) for twin in twins]
    squares = [
        series.compared(twin.config.loss, fit.predictions[0], fit.targets[0])
        for twin, fit in zip(twins, fits, strict=True)
    ]
    highest = float(np.nanmax(squares))
    for column, twin, each in zip(
        st.columns(len(twins), gap="medium"), twins, squares, strict=True
    ):
        pairs, own = int(np.isfinite(each).sum()), len(each)
        with column:
            st.markdown(f"**{twin.label}: {pairs} pairs, of which {own} belong together**")
            spec = charts.compared_spec(own, highest, twin.colour)
            alt = f"{twin.label} compares {pairs} pairs of a prediction and a target."
            chart(f"compared_{twin.label}", spec, charts.compared_tables(each), alt)
    st.caption(
        "The first held-out series. A square is a pair that the loss compares; the stronger its "
        "colour, the larger the squared difference. Framed are the pairs of a prediction and its "
        "own target."
    )


def mse_loss(preds: jax.Array, targets: jax.Array) -> jax.Array:
    """The post's loss."""
    return jnp.mean((preds - targets) ** 2)


LOSS = """def mse_loss(params, inputs, targets):
    preds = gru_rnn(params, inputs)
    return np.mean((preds - targets)**2)"""


def shapes(times: int, batch: int) -> None:
    """Draw what `explain_shapes` says of the post's loss, run here."""
    report = explain_shapes(mse_loss, jnp.ones((times, batch, 1)), jnp.ones((batch, times)))
    code(
        "\n".join(
            [
                "print(explain_shapes(mse_loss, preds, targets))",
                "",
                *(line.text for line in report.lines),
            ]
        ),
        mark=report.lines[0].text,
    )
    warning = report.warnings[0].partition(": ")[2]
    st.warning(warning, icon=":material/warning:")


def gates(config: RunConfig) -> None:
    """Draw the gates' initial weights, from one key and from split keys."""
    by_keys = {
        keys: series.gates(replace(config, model=model)) for keys, model in series.KEYS.items()
    }
    drawn = {keys: {n: _square(g) for n, g in each.items()} for keys, each in by_keys.items()}
    highest = max(float(np.abs(m).max()) for each in drawn.values() for m in each.values())
    colour_key(charts.SIGNS)
    for column, (keys, each) in zip(st.columns(2, gap="medium"), drawn.items(), strict=True):
        first, *others = each.values()
        rows, width = first.shape
        same = all(np.array_equal(first, other) for other in others)
        with column:
            how = "all three are equal" if same else "they differ"
            st.markdown(f"**{keys.capitalize()}: {how}**")
            spec = charts.gates_spec(tuple(each), rows, width, highest)
            chart(
                f"gates_{keys}",
                spec,
                charts.gates_tables(each),
                f"The initial weights of three gates from {keys}.",
            )


def _square(gate: Gate) -> np.ndarray:
    """A gate's weights, those of the inputs above those of the states."""
    return np.concatenate([gate.inputs, gate.states])


def key_reuse(config: RunConfig) -> None:
    """Draw a button and, once pressed, the errors from one key and from split keys, by seed."""
    repeated: set[RunConfig] = st.session_state.setdefault("key_reuse_asked", set())
    if config not in repeated:
        st.button(
            f"Train both for {len(SEEDS)} seeds",
            icon=":material/repeat:",
            type="primary",
            key="key_reuse",
            on_click=repeated.add,
            args=[config],
        )
        return
    draw_until(lambda: _ends(config).done, lambda _: _key_reuse(_ends(config)))


def _ends(config: RunConfig) -> Errand:
    def run() -> Iterator[series.End | None]:
        data = device_data(config)
        return series.ends(config, data, SEEDS)

    return engine().errands.look(("key reuse", config, SEEDS), run)


def _key_reuse(errand: Errand) -> None:
    if errand.failure:
        st.error(errand.failure, icon=":material/error:")
        return
    ends: list[series.End] = errand.pieces
    total = len(SEEDS) * len(series.KEYS)
    if not errand.done:
        st.progress(
            len(ends) / total, text=f"{len(ends)} of {total} runs. The runs on this page go first"
        )
    if not ends:
        return
    spec = charts.ends_spec(tuple(series.KEYS), (PINS[2], PINS[1]), ends[0].copied)
    rows = [(end.keys, end.seed, end.error) for end in ends]
    chart("key_reuse", spec, charts.ends_tables(rows), "Squared errors at the end, seed by seed.")
    if errand.done:
        st.markdown(verdict(ends))


def verdict(ends: Sequence[series.End]) -> str:
    """Tell whether the reused key matters after training, by the runs of several seeds."""
    one, split = ([e.error for e in ends if e.keys == keys] for keys in series.KEYS)
    sentence = (
        f"After {len(one)} seeds each, one key ends at {np.mean(one):.5f} ({min(one):.5f} to "
        f"{max(one):.5f}) and split keys at {np.mean(split):.5f} ({min(split):.5f} to "
        f"{max(split):.5f}); copying is at {ends[0].copied:.5f}."
    )
    gap, within = abs(np.mean(one) - np.mean(split)), max(np.ptp(one), np.ptp(split))
    if max(one) < min(split) or max(split) < min(one):
        return f"{sentence} The two do not overlap: here the reused key **matters in the end**."
    return (
        f"{sentence} The two overlap. Their means differ by {gap:.5f}, and seeds of one kind by up "
        f"to {within:.5f}: here the reused key **does not matter in the end**."
    )
