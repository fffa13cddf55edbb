"""The network as a row of boxes, from data to output, coloured by what a step does to it."""

import math
from html import escape

from core.config import RunConfig
from core.fields import number
from core.parts.choices import TASKS
from core.parts.models import MODELS
from core.run.snapshot import Snapshot
from ui.charts.palette import BROKEN, DEAD, TRAIN

SLOW, FAST = -6.0, -1.0  # log10 of a weight's relative move, for the palest and the fullest box
FULL = 85  # per cent of the colour in the fullest box
OUTPUTS = {"binary": 1, "softmax": 10, "regression": 1}


def network(config: RunConfig, now: Snapshot | None) -> str:
    """Return HTML: the layers with their widths, and what the next step does to each.

    A box is filled with blue by how far the step moves the layer's weights, relative to their norm,
    and from below with red by the share of its units that are dead. Its frame is red if its
    gradient is exactly 0, and purple if it has NaN or inf. Words say the same as the colours.
    """
    if now is None:
        layers = [_box(width, "", "") for width in _widths(config)]
    else:
        layers = [_layer(config, now, layer) for layer in range(len(now.gradient_norms))]
    data = _box("series" if TASKS[config.task].series else "28 × 28", "", "")
    return (
        '<div class="network"><span>the network, and what the next step does to it</span>'
        f"<ol>{data}{''.join(layers)}</ol></div>"
    )


def _layer(config: RunConfig, now: Snapshot, layer: int) -> str:
    gradient = float(now.gradient_norms[layer])
    moved = float(now.update_norms[layer]) / max(float(now.weight_norms[layer]), 1e-30)
    dead = float(now.dead_units[layer]) if layer < len(now.dead_units) else 0.0
    width = dict(enumerate(_widths(config))).get(layer, "")
    notes = [f"layer {layer + 1}"]
    if dead:
        notes.append(f"{dead:.0%} of its units are dead")
    frame = ""
    if not math.isfinite(gradient):
        frame = BROKEN
        notes.append("its gradient has NaN or inf")
    elif gradient == 0:
        frame = DEAD
        notes.append("its gradient is exactly 0")
    if math.isfinite(moved):
        notes.append(f"the step moves its weights by {number(100 * moved, 2)}% of their norm")
    blue = f"color-mix(in srgb, {TRAIN} {_fullness(moved):.0f}%, transparent)"
    red = f"color-mix(in srgb, {DEAD} 80%, transparent) {100 * dead:.0f}%"
    style = f"background: linear-gradient(0deg, {red}, {blue} 0)" if dead else f"background: {blue}"
    if frame:
        style += f"; outline: 2px solid {frame}"
    return _box(width or str(layer + 1), "; ".join(notes), style)


def _widths(config: RunConfig) -> list[str]:
    """Return how many units each layer of an MLP has; nothing for other networks."""
    if MODELS[config.model].kind != "dense":
        return []
    return [f"{width:,}" for width in (*config.widths, OUTPUTS[TASKS[config.task].form])]


def _fullness(moved: float) -> float:
    """Return the per cent of the colour for a relative move; 0 if it is 0, NaN or infinite."""
    if not math.isfinite(moved) or moved <= 0:
        return 0.0
    place = (math.log10(moved) - SLOW) / (FAST - SLOW)
    return FULL * min(1.0, max(0.1, place))


def _box(name: str, text: str, style: str) -> str:
    if not text:
        return f"<li>{escape(name)}</li>"
    spoken = f'<span class="unseen">: {escape(text)}</span>'
    return f'<li style="{style}" title="{escape(text)}">{escape(name)}{spoken}</li>'
