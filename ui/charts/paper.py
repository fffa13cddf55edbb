"""A figure for paper or a slide: charts in light colours at a width in millimetres, with a caption.

The layout is in pixels of 1/96 inch. `laid_out` needs each chart as an SVG, which ui.charts.convert
makes of what `standalone` returns.
"""

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.registry import Registry, Row
from ui.charts.axes import BARE
from ui.charts.frame import Tables
from ui.charts.letters import wrapped

INCH = 25.4  # millimetres
PIXELS = 96  # to the inch
GAP, LINE, TITLE = 12, 12, 18  # pixels between charts, of a line of the caption, of a title
LETTERS = 9.5  # pixels of the caption's font
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK = "#1a2233"
RAISED, LOWERED = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "₋₀₁₂₃₄₅₆₇₈₉"
PLAIN = str.maketrans(RAISED + LOWERED, "−0123456789" * 2)
SHIFTED = 0.7  # the size of such a digit, of the letters before it
LIGHT: dict[str, Any] = {
    "background": "#ffffff",
    "font": FONT,
    "view": {"stroke": None},
    "title": {"anchor": "start", "color": INK, "fontSize": 13},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": "#e3e6ec",
        "domainColor": "#9aa3b5",
    },
}

# On a page, words are larger than in print.
SMALL: dict[str, Any] = {
    "axis": {"labelFontSize": 11, "titleFontSize": 11},
    "legend": {"labelFontSize": 11, "symbolSize": 60, "labelColor": INK},
}
TALLEST = 0.72  # of a chart's width, its height with its legend
NAME = 6.2  # pixels of a letter in a legend, with room to spare


@dataclass(frozen=True, kw_only=True)
class Size(Row):
    """Where a figure goes.

    Attributes:
      width: of the figure, in millimetres.
      zoom: how much larger than on paper its words and lines are.
      columns: how many charts stand side by side.
    """

    width: float
    zoom: float
    columns: int

    @property
    def pixels(self) -> float:
        """The width of the layout."""
        return self.width / INCH * PIXELS / self.zoom


SIZES: Registry[Size] = Registry(
    "size",
    [
        Size(key="column", label="a column, 86 mm", width=86, zoom=1, columns=1),
        Size(key="page", label="a page, 178 mm", width=178, zoom=1, columns=2),
        Size(key="slide", label="a slide, 254 mm", width=254, zoom=1.6, columns=2),
    ],
)


class Panel(NamedTuple):
    """A chart of a figure."""

    title: str
    spec: Mapping[str, Any]
    tables: Tables


def panel_width(size: Size, charts: int) -> float:
    """Return the width of each of so many charts, in pixels."""
    columns = min(size.columns, charts)
    return (size.pixels - GAP * (columns - 1)) / columns


def standalone(panel: Panel, width: float) -> dict[str, Any]:
    """Return a chart as a whole Vega-Lite spec of this width, with its data and a legend.

    On a page, colours are named beside the chart; here a legend in the chart names them, unless
    each curve has its name at its end. An axis that is named in the chart below has its name.
    """
    spec: dict[str, Any] = _with_axes(panel.spec)
    if "names" not in panel.tables or "pins" in panel.tables:
        spec = _with_legends(spec, width)
    config = _merged(_merged(LIGHT, spec.get("config", {})), SMALL)
    rows = {name: [_plain(row) for row in each.to_pylist()] for name, each in panel.tables.items()}
    whole = {**spec, "config": config, "datasets": rows}
    if not any(name in spec for name in ("hconcat", "vconcat", "concat", "facet", "repeat")):
        whole |= {"width": width, "autosize": {"type": "fit", "contains": "padding"}}
        if isinstance(height := whole.get("height"), int | float):
            whole["height"] = min(height, TALLEST * width)
    return whole


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, where they differ what is above."""
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it: NaN and infinities are missing, and drawn as gaps."""
    lost = {name for name, value in row.items() if isinstance(value, float) and _odd(value)}
    return {name: None if name in lost else value for name, value in row.items()}


def _odd(value: float) -> bool:
    return not math.isfinite(value)


def _with_axes(node: Any) -> Any:
    """Give every axis that is bare (ui.charts.axes.BARE) its title and labels."""
    if isinstance(node, list):
        return [_with_axes(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _with_axes(each) for name, each in node.items()}
    axis = found.get("axis")
    if isinstance(axis, dict) and BARE.items() <= axis.items():
        found["axis"] = {name: value for name, value in axis.items() if name not in BARE}
    return found


def _with_legends(node: Any, width: float) -> Any:
    """Give every colour that names several series a legend, where the page has left it out."""
    if isinstance(node, list):
        return [_with_legends(each, width) for each in node]
    if not isinstance(node, dict):
        return node
    found = {name: _with_legends(each, width) for name, each in node.items()}
    colour = found.get("color")
    if isinstance(colour, dict) and "field" in colour and colour.get("legend", 0) is None:
        names = (colour.get("scale") or {}).get("domain") or ()
        if len(names) > 1 and all(isinstance(name, str) for name in names):
            found["color"] = {**colour, "legend": _legend(names, width)}
    return found


def _legend(names: Sequence[str], width: float) -> dict[str, Any]:
    """Return a legend with as many columns as its names have room for."""
    fit = int(width / (30 + NAME * max(map(len, names))))
    looks = {"orient": "top", "title": None, "columns": max(1, min(fit, len(names)))}
    own = "datum.label == 'loss' ? 'this run' : datum.label"  # among pins, which have names
    return {**looks, "labelLimit": width - 60, "labelExpr": own}


def laid_out(
    svgs: Sequence[str],
    titles: Sequence[str],
    caption: str,
    size: Size,
    to_the_inch: float | None = None,
) -> str:
    """Return one SVG of these charts in rows, each below its title, and below them the caption.

    It is as wide as `size` says, in millimetres or in units of which so many go to the inch.
    """
    width, columns = panel_width(size, len(svgs)), min(size.columns, len(svgs))
    parts, top = list[str](), 0.0
    for first in range(0, len(svgs), columns):
        tallest = 0.0
        for i, svg in enumerate(svgs[first : first + columns]):
            left, title = i * (width + GAP), titles[first + i]
            own_width, own_height = _size(svg)
            height = own_height * width / own_width
            head = TITLE if title else 0
            if title:
                parts.append(_text(left, top + LINE, title, 'font-size="12" font-weight="bold"'))
            place = f'x="{left:.2f}" y="{top + head:.2f}" width="{width:.2f}" height="{height:.2f}"'
            box = f'viewBox="0 0 {own_width} {own_height}"'
            parts.append(re.sub("<svg[^>]*>", f"<svg {place} {box}>", _shifted(svg), count=1))
            tallest = max(tallest, head + height)
        top += tallest + GAP
    for text in caption.splitlines():
        for line in wrapped(text, size.pixels / LETTERS):
            parts.append(_text(0, top + LINE / 2, line, f'font-size="{LETTERS}"'))
            top += LINE
    width, unit = (
        (size.width, "mm") if to_the_inch is None else (size.width / INCH * to_the_inch, "")
    )
    scale = width / size.pixels
    ends = f'width="{size.pixels * scale:.2f}{unit}" height="{top * scale:.2f}{unit}"'
    box = f'viewBox="0 0 {size.pixels:.2f} {top:.2f}"'
    body = f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {ends} {box}>{body}</svg>'


def _text(left: float, base: float, words: str, style: str) -> str:
    place = f'x="{left:.2f}" y="{base:.2f}" font-family="{FONT}" fill="{INK}"'
    return _shifted(f"<text {place} {style}>{html.escape(words)}</text>")


def _shifted(svg: str) -> str:
    """Return an SVG whose raised and lowered digits are smaller plain ones.

    The only font that ui.charts.convert is sure to have, Liberation Sans, has none of those, nor
    the cross that marks wrong digits.
    """
    svg = svg.replace("✖", "×")
    return re.sub(f">[^<]*[{RAISED}{LOWERED}][^<]*<", lambda found: _in_spans(found[0]), svg)


def _in_spans(words: str) -> str:
    """Return words with each run of shifted digits in a tspan, and in another what follows."""

    def spans(found: re.Match[str]) -> str:
        digits, rest = found.groups()
        shift = -0.5 if digits[0] in RAISED else 0.3  # of the small letters' height
        small = f'<tspan dy="{shift}em" font-size="{SHIFTED:.0%}">{digits.translate(PLAIN)}</tspan>'
        return small + (f'<tspan dy="{-shift * SHIFTED:.2f}em">{rest}</tspan>' if rest else "")

    return re.sub(f"([{RAISED}]+|[{LOWERED}]+)([^<{RAISED}{LOWERED}]*)", spans, words)


def _size(svg: str) -> tuple[float, float]:
    """Return the width and height that an SVG has."""
    head = svg[: svg.index(">")]
    found = [re.search(rf' {side}="([\d.]+)', head) for side in ("width", "height")]
    assert all(found), head
    width, height = (float(each[1]) for each in found if each)
    return width, height
