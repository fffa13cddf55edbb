"""Charts for a projector."""

from typing import Any

import pytest

from tests.unit.test_charts import drawings
from ui.charts import axes
from ui.charts.enlarged import GROWS, KEPT, LARGER, enlarged


def numbers(part: Any, name: str = "") -> list[tuple[str, float]]:
    """Every size in a spec, by its name."""
    if isinstance(part, dict):
        return [each for key in sorted(part) for each in numbers(part[key], key)]
    if isinstance(part, list):
        return [each for one in part for each in numbers(one, name)]
    return [(name, part)] if name in GROWS and isinstance(part, int | float) else []


@pytest.mark.parametrize("drawing", drawings(), ids=lambda drawing: drawing.key)
def test_all_type_and_lines_grow_and_the_data_stay(drawing: Any) -> None:
    spec = drawing.spec
    larger = enlarged(spec)
    sizes, grown = numbers(spec), numbers({**larger, "config": spec.get("config", {})})
    rest = {**spec, "config": {}}
    assert numbers({**larger, "config": {}}) == [
        (name, pytest.approx(LARGER * size)) for name, size in numbers(rest)
    ]
    assert len(sizes) == len(grown)
    assert larger["config"]["axis"]["labelFontSize"] >= 13 * LARGER
    assert larger["config"]["title"]["fontSize"] > 20


def test_a_constant_spec_is_made_larger_once() -> None:
    spec = {"mark": {"type": "text", "fontSize": 10, "size": 4, "clip": True}, "height": 100}
    larger = enlarged(spec)
    assert enlarged(spec) is larger
    assert larger["mark"] == {
        "type": "text", "fontSize": 10 * LARGER, "size": 4 * LARGER**2, "clip": True
    }  # fmt: skip
    assert larger["height"] == 100 * LARGER and spec["height"] == 100
    for i in range(2 * KEPT):
        enlarged({"height": i})
    assert enlarged(spec) is not larger


def test_room_that_is_left_at_an_edge_grows_with_the_words_in_it() -> None:
    spec = {"scale": {"range": [0, {"expr": "width - 100"}]}, "title": "width of 5 - 3"}
    larger = enlarged(spec)
    assert larger["scale"]["range"][1]["expr"] == f"width - {100 * LARGER:g}"
    assert larger["title"] == spec["title"]


def test_lines_grow_whose_width_is_encoded() -> None:
    wider = {"condition": [{"test": "datum.series == 'a'", "value": 7}], "value": 2}
    grown = enlarged({"encoding": {"strokeWidth": wider, "x": {"value": 7}}})["encoding"]
    assert grown["strokeWidth"]["condition"][0]["value"] == 7 * LARGER
    assert (grown["strokeWidth"]["value"], grown["x"]["value"]) == (2 * LARGER, 7)


def test_type_grows_as_far_as_there_is_room() -> None:
    larger = enlarged({"mark": {"type": "text", "fontSize": {"expr": "min(12, width / 20)"}}})
    assert larger["mark"]["fontSize"]["expr"] == f"min({12 * LARGER:g}, width / 20)"


def test_names_on_two_lines_stay_apart() -> None:
    axis, larger = (each["encoding"]["y"]["axis"] for each in _named())
    assert larger["labelLineHeight"] == LARGER * axis["labelLineHeight"]
    assert larger["labelOffset"]["expr"] == f"{LARGER} * ({axis['labelOffset']['expr']})"


def _named() -> tuple[dict[str, Any], dict[str, Any]]:
    spec = {"encoding": {"y": {"axis": axes.names(["the learning rate of Adam"]).to_dict()}}}
    return spec, enlarged(spec)
