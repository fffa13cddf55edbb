"""Charts for a projector: every size in pixels that a finished spec has, larger.

Here and nowhere else, because charts are built once, for all visitors.
"""

import re
from typing import Any

from ui.charts.once import once_for_each

LARGER = 1.6  # for a projector
# What is given in pixels and grows with the type; a point's `size` is an area.
GROWS = ("fontSize", "labelFontSize", "titleFontSize", "strokeWidth", "height", "offset", "dx",
         "dy", "columnPadding", "labelLimit", "titleLimit", "limit", "symbolStrokeWidth",
         "yOffset", "labelPadding", "titlePadding", "labelLineHeight", "labelOffset",
         "minExtent", "maxExtent", "titleX")  # fmt: skip
_FROM_EDGE = re.compile(r"\b(width|height) ([-+]) (\d+(?:\.\d+)?)")

_AT_MOST = re.compile(r"\bmin\((\d+)(?=, width)")  # type that is smaller where there is no room


KEPT = 128  # specs


@once_for_each(KEPT)
def enlarged(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a finished spec with LARGER type, lines and heights; the same object for the same one.

    Specs are constants, so what is made of one is kept with it.
    """
    larger: dict[str, Any] = _scaled(spec)
    config = larger.setdefault("config", {})
    for part, given in _DEFAULTS.items():
        config[part] = {**given, **config.get(part, {})}
    return larger


# What Streamlit's theme sets otherwise: small, or too pale to be read across a room.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "title": {"fontSize": 15 * LARGER},
    "axis": {
        "labelFontSize": 13 * LARGER, "titleFontSize": 13 * LARGER,
        "labelColor": "currentColor", "titleColor": "currentColor",
    },
    "legend": {
        "labelFontSize": 13 * LARGER, "titleFontSize": 13 * LARGER, "labelColor": "currentColor",
    },
    "header": {"labelFontSize": 13 * LARGER, "labelColor": "currentColor"},
    "text": {"fontSize": 12 * LARGER},
}  # fmt: skip


def _scaled(part: Any, name: str = "") -> Any:
    if isinstance(part, dict):
        if name == "labelOffset" and "expr" in part:
            return {"expr": f"{LARGER} * ({part['expr']})"}
        inside = ("value", "condition") if name in GROWS else ()  # of an encoding
        return {key: _scaled(value, name if key in inside else key) for key, value in part.items()}
    if isinstance(part, list):
        return [_scaled(each, name) for each in part]
    if isinstance(part, str):
        part = _FROM_EDGE.sub(lambda m: f"{m[1]} {m[2]} {LARGER * float(m[3]):g}", part)
        return _AT_MOST.sub(lambda m: f"min({LARGER * float(m[1]):g}", part)
    if isinstance(part, bool) or not isinstance(part, int | float):
        return part
    if name == "size":
        return part * LARGER**2
    return part * LARGER if name in GROWS else part
