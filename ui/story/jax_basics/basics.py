"""The results of the post's first lines, a reused key, and ReLU's slope at a point."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from jax import Array

from core.study import basics
from ui.charts import relu
from ui.pieces.draw import chart, colour_key, text_table
from ui.pieces.glossary import explained

H = 1e-3  # half of the finite difference's step
POINTS = (-2.0, -1.0, -0.5, -H, -H / 2, 0.0, H / 2, H, 0.5, 1.0, 2.0)


class Out(NamedTuple):
    """The result of one line."""

    line: str
    what: str
    difference: float | None  # the largest difference from the loop's result; None for a function
    called: bool  # False if the result is a function that nobody called


def outs(cell: str, zeros: bool = False) -> None:
    """Draw `out` after each line of a cell of core.study.basics, run on its batch or zeros."""
    results = _outs(cell, zeros)
    text_table(
        {
            "the line": [out.line for out in results],
            "out": [f"`{out.what}`" for out in results],
            "largest difference from the loop": [
                "–" if out.difference is None else f"{out.difference:.3g}" for out in results
            ],
        },
        "What `out` is after each line",
    )


def solution(options: Sequence[str]) -> tuple[str, str]:
    """Return the right option, numbers or a function, and what was measured."""
    last = _outs("post", zeros=False)[-1]
    return options[0] if last.called else options[1], f"`out` is `{last.what}`"


@st.cache_data(show_spinner="running the cell")
def _outs(cell: str, zeros: bool) -> list[Out]:
    run: Callable[[Array], Mapping[str, Any]] = getattr(basics, cell)
    X, _ = basics.batch_and_layer()
    results = run(0 * X if zeros else X)
    loop = np.asarray(results["a loop"])
    return [_out(line, value, loop) for line, value in results.items()]


def _out(line: str, value: Any, loop: np.ndarray) -> Out:
    if callable(value):
        return Out(line, type(value).__name__, None, False)
    difference = float(np.abs(np.asarray(value) - loop).max())
    return Out(line, f"{value.dtype} {list(value.shape)}", difference, True)


def reused() -> None:
    """Tell that the batch and the weights, drawn with the same key, share their numbers."""
    rows = "".join(f"- `{what}` is **{same}**\n" for what, same in _reused().items())
    st.markdown(
        f"{rows}\nA key that is used twice gives the same numbers twice"
        + (": the first 32 units' weights equal the 32 images." if all(_reused().values()) else ".")
    )


@st.cache_data(show_spinner=False)
def _reused() -> dict[str, bool]:
    return basics.key_reused()


def slopes() -> None:
    """Draw ReLU, and its slope computed in several ways at a point that the visitor moves."""
    st.fragment(_slopes)()


def _slopes() -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        x = st.select_slider("x", POINTS, 1.0, key="basics_x", format_func=lambda x: f"{x:g}")
        by_way = basics.slopes(x)
        rows = (f"<div><dt>{way}</dt><dd>{slope:.7g}</dd></div>" for way, slope in by_way.items())
        st.html(f'<dl class="numbers">{"".join(rows)}</dl>')
        st.markdown(
            "At 0 ReLU has a corner and no slope. There `jnp.maximum` splits its gradient between "
            "its two equal arguments, half to each; `jax.nn.relu` is defined to give 0. A finite "
            "difference whose step reaches across 0 gives a mean of both sides."
        )
    with right:
        st.markdown("**ReLU, and its slope at x**", help=explained("gradient"))
        colour_key(relu.LINES)
        chart(
            "basics_relu",
            relu.spec(),
            relu.tables(x, by_way["grad(ReLU)"]),
            "ReLU over x, and a straight line at x with the slope that grad gives.",
        )
