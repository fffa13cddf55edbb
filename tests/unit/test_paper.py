"""Figures for paper and slides."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from PIL import ImageFont

from tests.unit.test_charts import drawings
from ui.charts import spine
from ui.charts.letters import width, wrapped
from ui.charts.paper import GAP, LETTERS, SIZES, Panel, laid_out, panel_width, standalone

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


def test_an_axis_that_the_chart_below_names_has_its_name_in_a_figure() -> None:
    spec = spine.probability_spec(100.0)
    tables = spine.tables([spine.Curve("sigmoid(z)", np.array([0.0]), np.array([0.5]))])
    made = standalone(Panel("p", spec, tables), 300)
    on_page, in_figure = (each["layer"][0]["encoding"]["x"] for each in (spec, made))
    assert on_page["axis"]["title"] is None and not on_page["axis"]["labels"]
    assert in_figure["title"] == "logit z"
    assert in_figure["axis"]["values"] and not {"title", "labels", "ticks"} & {*in_figure["axis"]}


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
    full = [LETTERS * width(line) for line in texts[3:-1]]
    assert full and all(0.95 * right < each <= right for each in full), "all but the last are full"


FONT = "LiberationSans-Regular.ttf"


def test_letters_are_as_wide_as_the_font_s() -> None:
    try:
        font = ImageFont.truetype(FONT, 1000)
    except OSError:
        pytest.skip(f"needs {FONT}")
    letters = "".join(map(chr, range(32, 127)))
    for letter in letters:
        assert width(letter) * 1000 == pytest.approx(font.getlength(letter), abs=1), letter
    assert width(letters + "→") == pytest.approx(sum(map(width, letters)) + 1)


def test_words_are_wrapped_at_spaces_where_they_can_be() -> None:
    assert wrapped("ab ab  ab", width("ab ab")) == ["ab ab", "ab"]
    assert wrapped("ab " + "ab" * 3, width("abab")) == ["ab", "abab", "ab"]


def test_a_figure_has_its_width_in_points_or_dots() -> None:
    for to_the_inch, wide in ((72, "243.78"), (300, "1015.75")):
        root = ElementTree.fromstring(laid_out([SVG], ["one"], "", SIZES["column"], to_the_inch))
        assert root.get("width") == wide
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
