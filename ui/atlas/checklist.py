"""What a port changes without a word: a picture of the gaps, and a list with what to write."""

from collections.abc import Sequence
from html import escape

import numpy as np
import streamlit as st

from core.study.atlas.checklist import (
    HOW,
    Item,
    checklist,
    gap_words,
    kind_words,
    markdown,
    versions,
)
from core.study.atlas.comparisons import controls
from core.study.atlas.effects import Effect, Recorded
from core.study.atlas.piece import CONTEXTS, FRAMEWORKS
from core.study.atlas.pieces import PIECES
from ui.atlas.live import links
from ui.atlas.setting import Setting
from ui.charts import atlas as charts
from ui.pieces.draw import chart, code_html, colour_key


def differences(chosen: Setting, recorded: Recorded) -> None:
    """Draw what differs between the two frameworks, the largest measured effect first."""
    there, here = FRAMEWORKS[chosen.there].label, FRAMEWORKS[chosen.here].label
    if chosen.there == chosen.here:
        st.info("Choose two different frameworks.", icon=":material/info:")
        return
    items = checklist(PIECES.values(), chosen.there, chosen.here, recorded, chosen.uses)
    st.header(f"From {there} to {here}: {len(items)} defaults differ")
    if not items:
        st.info("No default in this atlas differs between these two.", icon=":material/info:")
        return
    _picture(items, recorded)
    st.markdown(HOW)
    entries = "".join(_entry(item, chosen) for item in items)
    st.html(f'<ol class="ports">{entries}</ol>')
    st.download_button(
        "Download the list as Markdown",
        markdown(items, chosen.there, chosen.here),
        f"{chosen.there}-to-{chosen.here}.md",
        "text/markdown",
        icon=":material/download:",
    )


def _picture(items: Sequence[Item], recorded: Recorded) -> None:
    """Draw the gaps of what was measured."""
    effects = [(item, effect) for item in items for effect in item.effects]
    if not effects:
        return
    shown = tuple(dict.fromkeys(item.piece.label for item, _ in effects))
    gaps = [_gap(item, effect) for item, effect in effects]
    used = {gap.run for gap in gaps}
    colour_key({run: colour for run, colour in charts.COLOURS.items() if run in used})
    spec, tables = charts.gaps_spec(shown), charts.gaps_tables(gaps, chance(recorded))
    first, effect = effects[0]
    alt = f"Gaps of {len(shown)} differences; the first is {first.piece.label}, {gap_words(effect)}"
    chart("atlas_gaps", spec, tables, alt)
    st.caption(
        "A network 784-512-512-10, or the CNN where the list says so, on the first 10,000 images "
        "of MNIST, 300 steps of 100, five seeds, every rule as its framework has it, but all in "
        f"JAX {recorded.made['jax']} on a {recorded.made['device'].upper()}, "
        f"{recorded.made['date']}. "
        "The axis is logarithmic beyond ±1; lines are the standard deviation of the gap over the "
        "seeds, by which each entry below is judged. Grey is what chance does to the run with "
        "Adam: rounding in the inner band, another seed in the outer."
    )
    if missing := [item.piece.label for item in items if not item.effects]:
        st.caption(f"Not measured: {', '.join(missing)}.")


def _gap(item: Item, effect: Effect) -> charts.Gap:
    context = CONTEXTS[effect.comparison.context].label
    run = context if context in charts.COLOURS else charts.OTHER
    return charts.Gap(item.piece.label, context, run, 100 * effect.gap, 100 * effect.spread)


def chance(recorded: Recorded) -> charts.Chance:
    """How far the run in which nothing is changed moves by rounding, and with another seed."""
    plain = controls()["adam"]
    accuracy, nudged = recorded.accuracy(plain), recorded.accuracy(plain, nudged=True)
    assert accuracy is not None and nudged is not None
    return charts.Chance(
        100 * float(np.abs(nudged - accuracy).max()),
        100 * float(accuracy.std(ddof=1)) * 2**0.5,  # of the difference of two
    )


def _entry(item: Item, chosen: Setting) -> str:
    """A difference as an entry of the list."""
    there, here = FRAMEWORKS[chosen.there].label, FRAMEWORKS[chosen.here].label
    words = kind_words(item, there, here)
    gaps = "".join(f"<li>{escape(gap_words(effect))}</li>" for effect in item.effects)
    keep = f"To keep what {there} does, write in {here}"
    if item.gains and item.kind not in ("small", "chance"):
        keep = f"To keep what {there} does, though it does worse here, write in {here}"
    write = _code(keep, item.write_here)
    other = _code(f"To have what {here} does, write in {there}", item.write_there)
    sources = "".join(_source(item, key) for key in (chosen.there, chosen.here))
    return (
        f"<li><h3>{escape(item.piece.label)} <small class='{item.kind}'>{words}</small></h3>"
        f"<p><b>{escape(there)}</b>: {escape(item.there.label)} · "
        f"<b>{escape(here)}</b>: {escape(item.here.label)}</p>"
        f"<p>{escape(item.piece.summary)}</p><ul>{gaps}</ul>{write}"
        f"<details><summary>To change {escape(there)} instead, and sources</summary>{other}"
        f"<ul>{sources}</ul></details>{_live(item, chosen)}</li>"
    )


def _code(what: str, text: str) -> str:
    return f"<p>{escape(what)}:</p>{code_html(text, what)}" if text else ""


def _source(item: Item, framework: str) -> str:
    fact = item.piece.defaults[framework]
    label, note = FRAMEWORKS[framework].label, f" {fact.note}" if fact.note else ""
    return (
        f"<li>{escape(label)} ({escape(versions(framework))}): "
        f"<code>{escape(fact.source)}</code>.{escape(note)}</li>"
    )


def _live(item: Item, chosen: Setting) -> str:
    """Links to the two runs side by side, one for each context."""
    there, here = (item.piece.defaults[key].value for key in (chosen.there, chosen.here))
    joined = " · ".join(links(item.piece, there, here))
    return f"<p>Train both, side by side: {joined}</p>" if joined else ""
