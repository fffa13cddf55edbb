"""Figures for paper and slides."""

import json
import re
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from tests.unit.test_charts import drawings
from ui.charts.paper import GAP, SIZES, Panel, laid_out, panel_width, standalone

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"><rect/></svg>'
NAMES = {"field": "series", "scale": {"domain": ["loss", "the other"]}, "legend": None}
SPEC = {
    "layer": [{"mark": "line", "encoding": {"x": {"field": "step"}, "color": NAMES}}],
    "data": {"name": "run"},
    "config": {"axis": {"labelFontSize": 13, "grid": False}},
}
RUN = pa.table({"step": [0, 1], "value": [float("nan"), 1.0], "series": ["loss", "the other"]})


def colour(spec: dict[str, object]) -> dict[str, object]:
    return spec["layer"][0]["encoding"]["color"]  # type: ignore[index]


def test_a_chart_carries_its_data_and_names_its_colours() -> None:
    made = standalone(Panel("a chart", SPEC, {"run": RUN}), 300)
    assert made["datasets"]["run"][0] == {"step": 0, "value": None, "series": "loss"}
    assert colour(made)["legend"]["columns"] == 2  # type: ignore[index]
    axis = made["config"]["axis"]
    assert (axis["labelFontSize"], axis["grid"], axis["labelColor"]) == (11, False, "#1a2233")
    assert colour(SPEC)["legend"] is None, "the page's own chart stays as it is"
    at_the_ends = standalone(Panel("a chart", SPEC, {"run": RUN, "names": RUN}), 300)
    assert colour(at_the_ends)["legend"] is None


def test_every_live_chart_can_be_written_as_json() -> None:
    for drawing in drawings():
        whole = standalone(Panel("", drawing.spec, drawing.tables), 300)
        assert json.loads(json.dumps(whole, allow_nan=False))["width"] == 300


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_a_figure_has_its_width_and_all_its_charts(size) -> None:  # type: ignore[no-untyped-def]
    words = "Seed 3 & a <b>.\nhttps://samenet.example/train?" + "x" * 300
    root = ElementTree.fromstring(laid_out([SVG] * 3, ["one", "", "three"], words, size))
    assert root.get("width") == f"{size.width:.2f}mm"
    *_, right, foot = map(float, root.get("viewBox", "").split())
    panels = [each for each in root if each.tag.endswith("svg")]
    assert len(panels) == 3
    for panel in panels:
        x, y, wide, high = (float(panel.get(name, "")) for name in ("x", "y", "width", "height"))
        assert (
            wide == pytest.approx(panel_width(size, 3), abs=0.01) == pytest.approx(2 * high, 0.01)
        )
        assert x + wide <= right + 0.1 and y + high + GAP <= foot
    texts = [each.text or "" for each in root if each.tag.endswith("text")]
    assert texts[:2] == ["one", "three"] and texts[2] == "Seed 3 & a <b>."
    assert "".join(texts[3:]).count("x") == 300 + len(re.findall("x", "example"))


def test_a_figure_has_its_width_in_points_or_dots() -> None:
    for to_the_inch, width in ((72, "243.78"), (300, "1015.75")):
        root = ElementTree.fromstring(laid_out([SVG], ["one"], "", SIZES["column"], to_the_inch))
        assert root.get("width") == width
        assert root.get("viewBox", "").split()[2] == f"{SIZES['column'].pixels:.2f}"


def test_raised_digits_are_small_plain_ones() -> None:
    """The converter's own font has none, and a server may have no other."""
    chart = SVG.replace("<rect/>", '<g aria-label="10⁴"/><text>10⁻³ to 10⁴</text><text>100</text>')
    made = laid_out([chart], ["over β₂"], "", SIZES["column"])
    texts = [each for each in ElementTree.fromstring(made).iter() if each.tag.endswith("text")]
    assert ["".join(each.itertext()) for each in texts] == ["over β2", "10−3 to 104", "100"]
    raised, after, last = (float(each.get("dy", "")[:-2]) for each in texts[1])
    assert raised == last < 0 < after == pytest.approx(-raised * 0.7)
    assert 'aria-label="10⁴"' in made
