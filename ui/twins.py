"""Twins on a page: two runs that differ in one thing, watched side by side and taken apart."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import streamlit as st

from core import real_keras, twins
from core.choices import SCALINGS
from core.config import FIELDS, RunConfig
from core.data import load
from core.engine import Status, Viewer
from core.fields import parse_query, to_text
from core.losses import LOSSES
from core.snapshot import Snapshot
from ui import live
from ui.charts import live as live_charts
from ui.charts import twins as charts
from ui.controls import decades, number
from ui.live import POLL_SECONDS, engine
from ui.state import PageState, Values

KNOBS = ("seed", "learning_rate", "epsilon", "scaling")
PERTURBATIONS = 100
SEEDS = range(10)
_one_at_a_time = threading.Lock()  # two of the long jobs at once would starve everybody's runs
PUBLISHED = (0.792, 0.909)  # final accuracies, the question


class Twin(NamedTuple):
    """One of two runs, under the name that the story gives it."""

    label: str
    config: RunConfig


def _defaults() -> Values:
    return {name: getattr(RunConfig(), name) for name in KNOBS}


def _from_query(query: Mapping[str, str]) -> tuple[Values, list[str]]:
    values, notes = parse_query({name: FIELDS[name] for name in KNOBS}, query)
    return {**_defaults(), **values}, notes


def _to_query(values: Values) -> dict[str, str]:
    default = _defaults()
    return {name: to_text(value) for name, value in values.items() if value != default[name]}


STATE = PageState("twins", KNOBS, _from_query, _to_query)


def knobs() -> Values:
    """Draw the knobs that both twins share, and return what they say."""
    STATE.take_over()
    key, value = STATE.key, STATE.value

    def slider(name: str, label: str) -> None:
        grid = sorted({*decades(name), value(name)})
        st.select_slider(label, grid, value(name), key=key(name), format_func=number)

    with st.sidebar:
        st.markdown(
            "Both networks share these. Can you make the gap vanish? One of them does it alone."
        )
        st.number_input("seed", 0, int(FIELDS["seed"].high), value("seed"), key=key("seed"))
        slider("learning_rate", "learning rate")
        slider("epsilon", "epsilon")
        st.segmented_control(
            "pixels", list(SCALINGS), default=value("scaling"), key=key("scaling"),
            required=True, format_func=lambda scaling: SCALINGS[scaling].label,
        )  # fmt: skip
    values = STATE.values()
    STATE.write(values)
    STATE.tell_notes()
    return values


def viewers(configs: Mapping[str, RunConfig]) -> dict[str, Viewer]:
    """The session's viewers of these runs, by name; a changed configuration starts anew."""
    held: dict[str, Viewer] = st.session_state.setdefault("twin_viewers", {})
    for name, config in configs.items():
        viewer = held.get(name)
        if viewer is None or viewer.config != config or not viewer.alive():
            if viewer is not None:
                viewer.stop()
            held[name] = engine().submit(config)
    return {name: held[name] for name in configs}


def watch(pair: Sequence[Twin]) -> bool:
    """Both runs, live, with shared axes. True once both have ended."""
    held = viewers({twin.label: twin.config for twin in pair})
    ended = all(viewer.view().status is Status.DONE for viewer in held.values())
    st.fragment(_watch, run_every=None if ended else POLL_SECONDS)(pair, held, ended)
    return ended


def _watch(pair: Sequence[Twin], held: Mapping[str, Viewer], drawn_ended: bool) -> None:
    views = {label: viewer.view() for label, viewer in held.items()}
    if not drawn_ended and all(view.status is Status.DONE for view in views.values()):
        st.rerun()
    for view in views.values():
        if view.status is Status.FAILED:
            st.error(view.message)
    runs = {label: view.snapshots for label, view in views.items()}
    done = sum(len(snapshots) for snapshots in runs.values())
    steps = pair[0].config.steps
    if not drawn_ended:
        status = next(iter(views.values())).status
        st.progress(min(1.0, done / (2 * steps + 2)), text=f"{status}, both in lock step")
    labels = (pair[0].label, pair[1].label)
    for column, of in zip(st.columns(2, gap="medium"), ("accuracy", "loss"), strict=True):
        with column:
            st.markdown(f"**{'Training accuracy' if of == 'accuracy' else 'Loss, in nats'}**")
            curves = {label: curve(run, of) for label, run in runs.items()}
            every = [value for _, values in curves.values() for value in values]
            top = live_charts.loss_top(every) if of == "loss" else None
            spec, tables = charts.pair_spec(labels, steps, top), charts.pair_tables(curves)
            _chart(of, spec, tables, f"{of} of both over steps.")
    for column, twin in zip(st.columns(2, gap="medium"), pair, strict=True):
        with column:
            _saturation(twin, runs[twin.label][-1] if runs[twin.label] else None)


def curve(run: Sequence[Snapshot], of: str) -> tuple[list[int], list[float]]:
    """Steps and values of a run: "accuracy" on the training images, or "loss"."""
    values = [s.train_accuracy if of == "accuracy" else s.loss for s in run]
    return [s.step for s in run], values


def _saturation(twin: Twin, now: Snapshot | None) -> None:
    st.markdown(f"**{twin.label}: where its predictions stand**")
    drawing = live_charts.saturation(now, "predicted probability", live.clips(twin.config.loss), "")
    _chart(
        f"saturation_{twin.config.loss}",
        drawing.spec,
        drawing.tables,
        f"{twin.label}: {drawing.alt}",
    )


def _chart(key: str, spec: dict, tables: charts.Tables, alt: str) -> None:
    st.vega_lite_chart({**spec, "datasets": tables}, key=f"twins_{key}", alt=alt)


def snapshots(twin: Twin) -> list[Snapshot]:
    """All that the run of a twin has shown."""
    held: dict[str, Viewer] = st.session_state["twin_viewers"]
    return held[twin.label].view().snapshots


def census(pair: Sequence[Twin]) -> None:
    """Who still learns before the first step, in numbers."""
    rows = {
        "wrong": lambda s: s.census.wrong,
        "prediction exactly 0 or 1": lambda s: s.saturation.zero + s.saturation.one,
        "clipped by the loss": lambda s: s.saturation.clipped,
        "gradient exactly zero": lambda s: s.census.zero_gradient,
        "wrong and gradient exactly zero": lambda s: s.census.stuck,
    }
    columns: dict[str, list[str]] = {"before the first step": list(rows)}
    for twin in pair:
        first = snapshots(twin)[0]
        columns[twin.label] = [f"{float(value(first)):.1%}" for value in rows.values()]
    st.table(columns, hide_index=True)


def stuck_digits(twin: Twin) -> None:
    """The pictures that a run can never learn, because it gets no gradient from them."""
    first = snapshots(twin)[0]
    data = load(twin.config.source, twin.config.train_size)
    found = twins.stuck(twin.config, first, data)
    if not len(found.index):
        st.markdown("No digit is stuck: every wrong one has a gradient.")
        return
    count = round(float(first.census.stuck) * len(first.labels))
    st.markdown(
        f"**{count} of {len(first.labels):,} digits are stuck before the first step.** These are "
        f"the {len(found.index)} that the network is surest of, and wrong:"
    )
    st.image(
        contact_sheet(found.images),
        caption="their logits, left to right: "
        + ", ".join(f"{float(z):.0f}" for z in found.logits[0][:, 0]),
        width="stretch",
    )


def contact_sheet(images: np.ndarray, columns: int = 12) -> np.ndarray:
    """uint8 [k, 784] as one picture, ink on paper, `columns` a row, four pixels a pixel."""
    blank = np.zeros((-len(images) % columns, 784), np.uint8)
    tiles = np.concatenate([images, blank]).reshape(-1, columns, 28, 28)
    tiles = np.pad(tiles, ((0, 0), (0, 0), (2, 2), (2, 2)))
    sheet = tiles.transpose(0, 2, 1, 3).reshape(len(tiles) * 32, columns * 32)
    return 255 - sheet.repeat(4, axis=0).repeat(4, axis=1)


def parting(pair: Sequence[Twin]) -> None:
    """The first step at which the gradients differ, in which layer, by whose doing."""
    found = _divergence(pair[0].config, pair[1].config)
    if found is None:
        st.markdown("Their gradients agree to rounding at every step: here they *are* the same.")
        return
    samples = found.samples
    st.markdown(
        f"Their gradients part at **step {found.step}**, most in layer {found.layer + 1} "
        f"(relative difference {found.relative[found.layer]:.2g}), by the doing of "
        f"{found.differing:,} samples. The first of them:"
    )
    k = min(6, len(samples.index))
    columns = {
        "digit": [f"image {i}" for i in samples.index[:k]],
        "label": [str(int(y)) for y in samples.labels[:k]],
        "logit": [f"{z:.1f}" for z in samples.logits[0][:k, 0]],
        f"dL/dz, {pair[0].label}": [f"{g + 0:.3g}" for g in samples.slopes[0][:k, 0]],
        f"dL/dz, {pair[1].label}": [f"{g + 0:.3g}" for g in samples.slopes[1][:k, 0]],
    }
    st.image(contact_sheet(samples.images[:k], columns=k), width=110 * k)
    st.table(columns, hide_index=True)


@st.cache_data(max_entries=64, show_spinner="looking for the first gradient that differs")
def _divergence(a: RunConfig, b: RunConfig) -> twins.Divergence | None:
    search = twins.first_divergence(a, b, load(a.source, a.train_size))
    return next((found for found in search if found is not None), None)


@st.cache_data(max_entries=64, show_spinner="swapping the weights")
def _swap(a: RunConfig, b: RunConfig) -> list[twins.SwapRow]:
    return twins.swap(a, b, load(a.source, a.train_size))


def swap_table(pair: Sequence[Twin]) -> None:
    """What the question prints, published next to measured."""
    rows = _swap(pair[0].config, pair[1].config)
    st.table(
        {
            "as the question prints it": [row.label for row in rows],
            "published": [f"{row.published:.3f}" for row in rows],
            "measured here": [f"{row.measured:.3f}" for row in rows],
        },
        hide_index=True,
    )


def final_accuracies(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """The final training accuracy of each run as text, or how far it is."""
    texts = {}
    for name, viewer in viewers(configs).items():
        view = viewer.view()
        done = view.status is Status.DONE
        texts[name] = f"{view.snapshots[-1].train_accuracy:.3f}" if done else str(view.status)
    return texts


def backends(values: Values, rows: Mapping[str, str]) -> None:
    """The same Keras code on its backends: `rows` maps what is written to a loss."""
    configs = {name: _with_own_epsilon(loss, values) for name, loss in rows.items()}
    running = any(viewer.view().status is not Status.DONE for viewer in viewers(configs).values())
    st.fragment(_backends, run_every=POLL_SECONDS if running else None)(configs, running)


def _with_own_epsilon(loss: str, values: Values) -> RunConfig:
    own = LOSSES[loss].epsilon
    return RunConfig(loss=loss, **(values if own is None else {**values, "epsilon": own}))


def _backends(configs: Mapping[str, RunConfig], drawn_running: bool) -> None:
    texts = final_accuracies(configs)
    states = [viewer.view().status for viewer in viewers(configs).values()]
    if drawn_running and all(status is Status.DONE for status in states):
        st.rerun()
    st.table(
        {
            "written": list(configs),
            "what it does": [LOSSES[config.loss].summary for config in configs.values()],
            "final accuracy": [texts[name] for name in configs],
        },
        hide_index=True,
    )


def real(values: Values, rows: Mapping[str, str]) -> None:
    """A button that runs the real Keras here and lays it over our row of its backend.

    `rows` maps a Keras backend to the loss that says what it does.
    """
    installed = [backend for backend in real_keras.available_backends() if backend in rows]
    if not installed:
        st.caption("With Keras installed beside Samenet, the real one could be run here.")
        return
    backend = st.segmented_control("the real Keras, on", installed, default=installed[0],
                                   key="keras_backend", required=True)  # fmt: skip
    if st.button("Run it in a process of its own", icon=":material/play_circle:"):
        st.session_state["keras_asked"] = True
    if not st.session_state.get("keras_asked"):
        return
    config = _with_own_epsilon(rows[backend], values)
    try:
        found = _keras(config, backend)
    except real_keras.KerasError as error:
        st.error(str(error), icon=":material/error:")
        return
    ours, theirs = f"our row for {backend}", f"Keras {found.version} on {backend}"
    held = viewers({f"keras {backend}": config})[f"keras {backend}"]
    run = engine().wait(held, snapshots=config.steps + 1, timeout=5.0).snapshots
    measured = (list(range(len(found.accuracy))), found.accuracy.tolist())
    curves = {theirs: measured, ours: curve(run, "accuracy")}
    _chart("keras", charts.pair_spec((theirs, ours), config.steps), charts.pair_tables(curves),
           f"Accuracy of {theirs} and of {ours}.")  # fmt: skip


@st.cache_data(max_entries=32, show_spinner="starting Keras; this takes some seconds")
def _keras(config: RunConfig, backend: str) -> real_keras.KerasRun:
    with _one_at_a_time:
        return real_keras.run(config, load(config.source, config.train_size), backend)


# --- the band: fact or chance --------------------------------------------------------------------


@st.cache_resource
def _kept() -> dict[tuple[RunConfig, str], twins.Outcomes]:
    """Finished bands and strips, for all visitors."""
    return {}


def _collect(config: RunConfig, kind: str) -> Iterator[tuple[float, twins.Outcomes | None]]:
    """(fraction done, None) as it goes and (1, outcomes) at the end; kept for the next visitor."""
    data = load(config.source, config.train_size)
    if kind == "seeds":
        pieces, runs = twins.seed_strip(config, data, SEEDS), len(SEEDS)
    else:
        pieces, runs = twins.rounding_band(config, data, PERTURBATIONS), 1 + PERTURBATIONS
    found: list[twins.Outcomes] = []
    with _one_at_a_time:
        for piece in pieces:
            if piece is not None:
                found.append(piece)
            yield sum(len(one.accuracy) for one in found) / runs, None
    _kept()[config, kind] = outcomes = twins.collect(found)
    while len(_kept()) > 64:
        _kept().pop(next(iter(_kept())))
    yield 1.0, outcomes


def chance(pair: Sequence[Twin]) -> None:
    """A button, and then the band of both twins and their strip over seeds."""
    wanted = [(twin.config, kind) for kind in ("seeds", "rounding") for twin in pair]
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
                name = LOSSES[config.loss].label
                bar.progress((i + fraction) / len(missing), text=f"{name}: {kind}")
        st.rerun()
    _draw_chance(pair)


def _draw_chance(pair: Sequence[Twin]) -> None:
    bands = [charts.Band(twin.label, _kept()[twin.config, "rounding"].accuracy) for twin in pair]
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"**The same run {PERTURBATIONS} times, its weights moved by one rounding**")
        steps = pair[0].config.steps
        labels = (pair[0].label, pair[1].label)
        low, high = bands[0].accuracy[:, -1].min(), bands[0].accuracy[:, -1].max()
        _chart("band", charts.band_spec(labels, steps), charts.band_tables(bands),
               f"{labels[0]} ends anywhere from {low:.3f} to {high:.3f}.")  # fmt: skip
    with right:
        st.markdown("**Where they end**")
        strip = {}
        for i, twin in enumerate(pair):
            ends = _kept()[twin.config, "rounding"].accuracy[:, -1]
            seeds = _kept()[twin.config, "seeds"].accuracy[:, -1]
            strip[f"{twin.label}, one rounding"] = (i, ends.tolist(), [""] * len(ends))
            names = [f"seed {seed}" for seed in SEEDS]
            strip[f"{twin.label}, ten seeds"] = (i, seeds.tolist(), names)
        spec = charts.strip_spec(tuple(strip), PUBLISHED)
        words = "Final accuracies of the repetitions; dashed: the published 0.792 and 0.909."
        _chart("strip", spec, charts.strip_tables(strip), words)
    for band in bands:
        ends = band.accuracy[1:, -1]
        if np.ptp(ends) < 0.005:
            says = f"ends at {ends.mean():.3f} every time: a fact."
        else:
            says = (
                f"ends anywhere from {ends.min():.3f} to {ends.max():.3f}, on average "
                f"{ends.mean():.3f}: chance. No digit of it is a constant."
            )
        st.markdown(f"- **{band.label}** {says}")
