"""The picture of the network: its widths, and what it says of each layer."""

import html
import re

import numpy as np
import pytest

from core.config import RunConfig
from tests.kit.runs import look
from ui.charts.palette import BROKEN, DEAD
from ui.pieces.network import FULL, _fullness, network

QUESTION = RunConfig()


def boxes(drawn: str) -> list[tuple[str, str, str]]:
    """The (style, title, name) of each box."""
    found = re.findall(r"<li(?: style=\"(.*?)\" title=\"(.*?)\")?>(.*?)(?:<span.*?)?</li>", drawn)
    return [(style, html.unescape(title), name) for style, title, name in found]


def test_before_the_first_look_the_widths_are_known() -> None:
    assert [name for *_, name in boxes(network(QUESTION, None))] == ["28 × 28", "1,000", "1"]
    digits = RunConfig(task="digits", widths=(512, 512), loss="from_logits")
    assert [name for *_, name in boxes(network(digits, None))] == ["28 × 28", "512", "512", "10"]


def test_what_the_next_step_does_is_described_and_coloured() -> None:
    now = look(
        gradient_norms=np.float32([0.0, np.nan]), weight_norms=np.float32([10.0, 1.0]),
        update_norms=np.float32([0.0, 0.025]), dead_units=np.float32([0.25]),
    )  # fmt: skip
    _, (first, says, _), (last, last_says, _) = boxes(network(QUESTION, now))
    assert says == (
        "layer 1; 25% of its units are dead; its gradient is exactly 0; the step moves its weights "
        "by 0% of their norm"
    )
    assert f"outline: 2px solid {DEAD}" in first and "25%, " in first
    assert last_says == (
        "layer 2; its gradient has NaN or inf; the step moves its weights by 2.5% of their norm"
    )
    assert f"outline: 2px solid {BROKEN}" in last


def test_layers_of_convolutions_are_numbered() -> None:
    cnn = RunConfig(task="digits", loss="from_logits", model="cnn")
    three = np.ones(3, np.float32)
    now = look(gradient_norms=three, weight_norms=three, update_norms=three, dead_units=three[:2])
    assert [name for *_, name in boxes(network(cnn, now))] == ["28 × 28", "1", "2", "3"]


@pytest.mark.parametrize(
    ("moved", "full"),
    [(0.0, 0), (np.nan, 0), (1e-9, 0.1 * FULL), (1e-6, 0.1 * FULL), (0.1, FULL), (9.0, FULL)],
)
def test_a_layer_is_filled_by_how_far_its_weights_move(moved: float, full: float) -> None:
    assert _fullness(moved) == pytest.approx(full)
