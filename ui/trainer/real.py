"""Run the real one: a run's exported script, in its framework and in a process of its own."""

import math
from functools import partial

import streamlit as st

from core.config import RunConfig
from core.export import REALS, real, recorded, script
from core.limits import limits
from core.parts.choices import TASKS
from core.run.errands import Errand
from core.run.snapshot import Snapshot
from ui.charts import live
from ui.charts import real as charts
from ui.engine import engine
from ui.pieces.draw import chart, colour_key
from ui.pieces.glossary import explained
from ui.pieces.on_screen import on_screen
from ui.state import rerun
from ui.trainer import nudged

KEY, ASKED = "real", "real_asked"  # the fold, and the runs and frameworks that were asked for
POLL_SECONDS = 1.0


def offer(config: RunConfig) -> None:
    """Draw, once opened, what a real framework makes of the run of `config`."""
    if not limits().framework_seconds:
        return
    with st.expander(
        "Run the real one", key=KEY, icon=":material/balance:", on_change="rerun"
    ) as box:
        if not box.open:
            return
        st.markdown(
            "The same run in its real framework: this server runs the script that “Take it with "
            "you” gives, from this run's own weights and batches, in a process of its own, and "
            "compares the losses step by step."
        )
        key = _choice(config)
        row, faults = REALS[key], real.cannot(config, REALS[key])
        if not script(config, row.framework).whole:
            st.info(faults[0])
            return
        if faults:
            st.markdown("Not the same:\n" + "\n".join(f"- {fault}" for fault in faults))
        if lacking := real.missing(row):
            packages = " and ".join(real.NAMES[name] for name in lacking)
            st.info(
                f"This server does not have {packages}. Its host can install what "
                f"`{real.REQUIREMENTS}` lists and restart it:"
            )
            st.code(f"pip install -r {real.REQUIREMENTS}", language=None)
            _recorded(config, key)
            return
        _asked(config, key)


def _recorded(config: RunConfig, key: str) -> None:
    """Say what was recorded elsewhere: of this run, or of the question's."""
    if (known := recorded.of(config, key)) is None:
        return
    whose = "this run" if known.config == config else "the question's run"
    words = f"Recorded of {whose} ({known.where}): **{known.sentence}**"
    st.markdown(words, help=explained("nudged copies"))


def _choice(config: RunConfig) -> str:
    """Draw the frameworks, and return the chosen one's key."""
    first = real.natural(config)
    key: str = st.segmented_control(
        "framework",
        list(REALS),
        default=first,
        required=True,
        format_func=lambda key: REALS[key].label,
        key=f"real_framework_{first}",
    )
    return key


def _asked(config: RunConfig, key: str) -> None:
    asked: set[tuple[RunConfig, str]] = st.session_state.setdefault(ASKED, set())
    errand = engine().errands.peek(("real", config, key))
    if (config, key) not in asked and errand is None:
        label = f"Run it in {real.version(REALS[key])}"
        st.button(label, key="real_run", on_click=asked.add, args=[(config, key)])
        return
    asked.add((config, key))
    done = errand is not None and errand.done
    st.fragment(_shown, run_every=None if done else POLL_SECONDS)(config, key, done)
    st.button(
        "Run it again",
        key="real_again",
        icon=":material/replay:",
        disabled=not done,
        on_click=engine().errands.forget,
        args=[("real", config, key)],
    )


def _shown(config: RunConfig, key: str, known_done: bool) -> None:
    """Draw how far it is; when it is done, the page runs again, and has no timer then."""
    name, errands = ("real", config, key), engine().errands
    seconds, full = limits().framework_seconds, engine().budget.full
    make = partial(real.looks, config, key, seconds, full, partial(errands.wanted, name))
    errand = errands.look(name, make)
    looks = [piece for piece in errand.pieces if isinstance(piece, real.Look)]
    failures = [piece.why for piece in errand.pieces if isinstance(piece, real.Failure)]
    if errand.failure:
        failures.append(errand.failure)
    for why in failures:
        st.warning(why.replace("`", "'").replace("$", "\\$"), icon=":material/error:")
    if not errand.done:
        at = f"step {looks[-1].step:,} of {config.steps:,}" if looks else "it starts"
        st.caption(f"{real.version(REALS[key])}: {at}. Everybody's runs go first.")
    viewer = on_screen().viewer
    if looks and viewer is not None and viewer.config == config:
        view = viewer.view()
        _compared(config, key, looks, view.snapshots)
        nudged.ask(config, view, nudged.copies(config, view), key="real_copies")
    if errand.done and not known_done:
        rerun()


def _compared(
    config: RunConfig, key: str, looks: list[real.Look], snapshots: list[Snapshot]
) -> None:
    name, own = real.version(REALS[key]), {each.step: each.loss for each in snapshots}
    found = real.agreement({look.step: look.loss for look in looks}, own)
    if not found.steps:
        st.caption("Train this run, too, to compare the two.")
        return
    chance = rounding(engine().errands.peek(("copies", config)), own)
    largest = max((d for d in chance.values() if math.isfinite(d)), default=None)
    said = real.sentence(name, found, largest)
    st.markdown(f"**{said}**", help=explained("nudged copies", "loss"))
    moved = {charts.NUDGED: (list(chance), list(chance.values()))} if chance else {}
    drawn = charts.colours(name)
    colour_key(drawn if moved else {n: c for n, c in drawn.items() if n != charts.NUDGED})
    unit = live.SQUARED if TASKS[config.task].series else live.NATS
    losses = {
        charts.OWN: (list(own), list(own.values())),
        name: ([look.step for look in looks], [look.loss for look in looks]),
    }
    every = [value for _, values in losses.values() for value in values]
    edge = live.loss_top if unit == live.NATS else live.error_top
    left, right = st.columns(2, gap="medium")
    with left:
        spec = charts.loss_spec(config.steps, edge(every), name, unit)
        chart("real_loss", spec, charts.tables(losses), "Both losses by step.")
    differences = {name: (found.steps, found.differences), **moved}
    every = [value for _, values in differences.values() for value in values]
    with right:
        spec = charts.difference_spec(config.steps, charts.top(every), name)
        chart("real_difference", spec, charts.tables(differences, zero=True), said)


def rounding(copies: Errand | None, own: dict[int, float]) -> dict[int, float]:
    """The largest relative difference of nudged copies from a run at each step; {} if unknown."""
    if copies is None or not copies.done or not copies.pieces:
        return {}
    each = [
        real.agreement(dict(zip(piece.steps.tolist(), piece.loss.tolist(), strict=True)), own)
        for piece in copies.pieces
    ]
    columns = zip(*(found.differences for found in each), strict=True)
    return {
        step: max((d for d in column if math.isfinite(d)), default=math.nan)
        for step, column in zip(each[0].steps, columns, strict=True)
    }
