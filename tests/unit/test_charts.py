"""Charts: specs are constant, tables are tidy, nothing is dropped, and colours can be seen."""

import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np
import pytest

from core.run.snapshot import BINS, Fit, Gradient, Saturation, Snapshot
from tests.kit import ROOT
from tests.kit.runs import look
from ui.charts import (  # fmt: skip
    batches,
    chosen,
    compare,
    digits,
    errors,
    flow,
    frame,
    health,
    live,
    logits,
    palette,
    real,
    relu,
    saturation,
    series,
    sweep,
    twins,
    windows,
)

NAN, INF = float("nan"), float("inf")
CURVES = {"loss": live.loss, "accuracy": live.accuracy, "gradients": live.gradients}
ZONES = [digits.Zone(8.0, INF, False, "exactly 0"), digits.Zone(-INF, -20.0, True, "NaN or inf")]
DIGIT = np.pad(np.full((1, 2), 255, np.uint8), ((3, 24), (5, 21)))
FILTERED, WINDOW = np.arange(14.0 * 14).reshape(14, 14), (range(-1, 4), range(1, 6))
SERIES = {"loss": 1, "accuracy": 2, "gradients": 2}


def snapshot(step: int, loss: float = 1.0, norms: tuple[float, ...] = (1.0, 2.0)) -> Snapshot:
    histogram = np.zeros((len(Gradient), BINS + 5), int)
    histogram[Gradient.ZERO, [0, 1]] = 15, 10
    histogram[Gradient.SOME, [0, 5, BINS + 2, BINS + 3]] = 5, 30, 10, 20
    histogram[Gradient.NONFINITE, BINS + 4] = 10
    return look(
        step, loss=loss, gradient_norms=np.float32(norms),
        saturation=Saturation(histogram, 0.2, 0.2, 0.6, 0),
    )  # fmt: skip


RUN = [snapshot(step) for step in range(5)]
BEFORE = [snapshot(step, loss=3.0) for step in range(3)]


def drawings(
    run: list[Snapshot] = RUN, before: list[Snapshot] = BEFORE, steps: int = 10
) -> list[live.Drawing]:
    curves = [draw(run, before, steps, None) for draw in CURVES.values()]
    now = run[-1] if run else None
    last = now if live.ended(run, steps) else None
    digit = digits.digits(now, 10.0, "z", ZONES, last=last)
    histogram = saturation.saturation(now, "p", last=last)
    paths = [chosen.paths(run, np.arange(3), 10, True, None)] if run else []
    pixels = windows.windows("windows", DIGIT, FILTERED, windows.Pixel(0, 1, *WINDOW, 0), "a net")
    of_run = [*curves, histogram, digit, flow.flow(run, steps, None), *paths]
    return [*of_run, *of_series(run, steps), pixels]


def of_series(run: list[Snapshot], steps: int) -> list[live.Drawing]:
    known = [each._replace(fit=fit(0.1 / (1 + each.step))) for each in run]
    now = known[-1] if run else None
    return [series.error(known, [], steps, None), series.predictions(now)]


def fit(error: float) -> Fit:
    values = np.linspace(0, 1, 36, dtype=np.float32).reshape(4, 9)
    return Fit(error, 0.036, values, values + 0.1, values * error)


def test_only_tables_change_while_a_run_grows() -> None:
    other = [snapshot(step, loss=NAN, norms=(0.0, INF)) for step in range(7)]
    for first, second in zip(drawings(), drawings(other), strict=True):
        assert first._replace(tables={}) == second._replace(tables={})
        assert "datasets" not in first.spec
    for draw in CURVES.values():  # the spec is the same at another step, but not with another axis
        assert draw(RUN, [], 10, 3).spec == draw(RUN, [], 10, None).spec
        assert draw(RUN, [], 20, None).spec != draw(RUN, [], 10, None).spec


@pytest.mark.parametrize("name", CURVES)
def test_a_run_before_does_not_change_the_spec(name: str) -> None:
    specs = [CURVES[name](RUN, before, 10, None).spec for before in (RUN[:3], [])]
    assert specs[0] == specs[1]


@pytest.mark.parametrize("drawing", drawings(), ids=lambda drawing: drawing.key)
def test_spec_is_vega_lite_and_names_its_tables(drawing: live.Drawing) -> None:
    alt.LayerChart.from_dict(drawing.spec, validate=True)
    named = {layer["data"]["name"] for layer in layers(drawing.spec) if "data" in layer}
    assert named == drawing.tables.keys()


def layers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """A spec and all layers inside it; a layer without data of its own gets its parent's."""
    parent = {"data": spec["data"]} if "data" in spec else {}
    inner = [found for layer in spec.get("layer", []) for found in layers({**parent, **layer})]
    return [spec, *inner]


@pytest.mark.parametrize("run", [RUN, []], ids=["run", "no step yet"])
def test_every_field_of_the_spec_is_a_column(run: list[Snapshot]) -> None:
    for drawing in drawings(run, []):
        for layer in layers(drawing.spec):
            table = drawing.tables.get(layer.get("data", {}).get("name"))
            for channel in layer.get("encoding", {}).values():
                for part in channel if isinstance(channel, list) else [channel]:
                    assert (
                        table is None
                        or part.get("field", table.column_names[0]) in table.schema.names
                    )


@pytest.mark.parametrize("name", CURVES)
def test_columns_of_curves(name: str) -> None:
    tables = CURVES[name](RUN, BEFORE, 10, 3).tables
    for which, snapshots in (("run", RUN), ("before", BEFORE)):
        table = tables[which]
        assert table.column_names == ["step", "value", "series"]
        assert len(set(table["series"].to_pylist())) == SERIES[name]
        assert table["step"].to_pylist() == SERIES[name] * [s.step for s in snapshots]
    assert tables["cursor"].to_pylist() == [{"step": 3}]
    assert CURVES[name](RUN, BEFORE, 10, None).tables["cursor"].num_rows == 0


@pytest.mark.parametrize("name", CURVES)
def test_every_look_is_drawn(name: str) -> None:
    run = [snapshot(step) for step in range(400)]
    tables = CURVES[name](run, run, 400, None).tables
    assert len(tables["run"]) == len(tables["before"]) == 400 * SERIES[name]


def test_the_text_tells_the_result_once_the_run_has_ended() -> None:
    run = [snapshot(step, loss=3.0 - step) for step in range(3)]
    running, ended = drawings(run), drawings(run, steps=2)
    assert [each.alt for each in running] == [each.alt for each in ended], (
        "a new text would rebuild the chart"
    )
    assert not any(drawing.sentence for drawing in running)
    told = {drawing.key: drawing.sentence for drawing in ended}
    assert told["loss"] == "Loss by step: from 3 nats to 1 nats, by step 2."
    assert told["accuracy"] == (
        "Accuracy by step: training from 90.0% to 90.0%; held out from 90.0% to 90.0%, by step 2."
    )
    assert told["gradients"].endswith("layer 1 from 1 to 1; layer 2 from 2 to 2, by step 2.")
    assert told["saturation"].startswith("Histogram of predictions after step 2: 20.0% exactly 0,")
    assert "30.0% between" in told["saturation"] and "10.0% NaN" in told["saturation"]
    assert "after step 2: 90 of 100 are right; 0 are wrong with" in told["digits"]
    assert told["flow"] == (
        "Shares of the images by step: right, with gradient from 90.0% to 90.0%; wrong, with "
        "gradient from 10.0% to 10.0%, by step 2."
    )


def test_the_text_of_a_run_that_broke_says_so() -> None:
    nan = Saturation(np.zeros((3, BINS + 5), int), 0, 0, 0, 0.5)
    run = [snapshot(0, norms=(1.0, 0.0)), look(1, loss=NAN, saturation=nan)]
    assert live.loss(run, [], 1, None).sentence == "Loss by step: from 1 nats to NaN, by step 1."
    assert "training from 90.0% to NaN" in live.accuracy(run, [], 1, None).sentence
    run[1] = snapshot(1, norms=(INF, NAN))
    gradients = live.gradients(run, [], 1, None)
    assert "layer 1 from 1 to inf; layer 2 from 0 to NaN" in gradients.sentence


def test_looking_back_leaves_the_text_of_the_whole_run() -> None:
    for draw in CURVES.values():
        assert draw(RUN, [], 4, 2).sentence == draw(RUN, [], 4, None).sentence
    assert flow.flow(RUN, 4, 2).sentence == flow.flow(RUN, 4, None).sentence
    for early in (RUN[0], RUN[2]):
        assert saturation.saturation(early, "p", last=RUN[-1]).sentence == (
            saturation.saturation(RUN[-1], "p", last=RUN[-1]).sentence
        )
        assert "after step 4" in digits.digits(early, 10.0, "z", last=RUN[-1]).sentence


def values(drawing: live.Drawing, series: str) -> list[float | None]:
    return [r["value"] for r in drawing.tables["run"].to_pylist() if r["series"] == series]


def gaps(drawing: live.Drawing) -> list[tuple[int, str, str]]:
    return [tuple(row.values()) for row in drawing.tables["gaps"].to_pylist()]


def test_nonfinite_losses_are_gaps_with_marks() -> None:
    losses = [1.0, NAN, NAN, INF, -INF, 2.0, NAN]
    drawing = live.loss([snapshot(i, loss) for i, loss in enumerate(losses)], [], 10, None)
    assert values(drawing, "loss") == [1.0, None, None, None, None, 2.0, None]
    assert [gap[:3] for gap in gaps(drawing)] == [
        (1, "NaN", "NaN, inf, -inf"), (2, "NaN", ""), (3, "inf", ""), (4, "-inf", ""),
        (6, "NaN", ""),
    ], "what was found is said once, or words would overlap"  # fmt: skip


def test_gradients_without_a_logarithm_are_gaps_with_marks() -> None:
    norms = [(1.0, 2.0), (0.0, 2.0), (0.0, 0.0), (NAN, 1.0), (INF, 1.0)]
    run = [snapshot(i, norms=pair) for i, pair in enumerate(norms)]
    drawing = live.gradients(run, [], 10, None)
    assert values(drawing, "layer 1") == [1.0, None, None, None, None]
    assert values(drawing, "layer 2") == [2.0, 2.0, None, 1.0, 1.0]
    assert [(gap[3], *gap[:2]) for gap in gaps(drawing)] == [
        ("layer 1", 1, "exactly 0"), ("layer 1", 2, "exactly 0"), ("layer 2", 2, "exactly 0"),
        ("layer 1", 3, "NaN"), ("layer 1", 4, "inf"),
    ], "a layer without a gradient is marked while another has one"  # fmt: skip
    for more, words in ((0, "0, NaN, inf"), (1, "0 in layer 1, layer 2; NaN in layer 1"),
                        (2, "exactly 0 in layer 1, layer 2")):  # fmt: skip
        first, *others = (gap[2] for gap in gaps(live.gradients(run[: 5 - more], [], 10, None)))
        assert first == words and not any(others), "once for all layers, and short on a phone"


def test_run_before_with_other_layers_is_left_out() -> None:
    other = [snapshot(0, norms=(1.0, 1.0, 1.0))]
    assert len(live.gradients(RUN, other, 10, None).tables["before"]) == 0


def test_a_run_without_a_step_keeps_the_axes_of_the_one_before() -> None:
    before = [snapshot(step, norms=(1.0, 2.0, 3.0)) for step in range(3)]
    drawn = live.gradients([], before, 10, None)
    assert drawn.spec == live.gradients(before[:1], before, 10, None).spec
    assert len(drawn.tables["before"]) == 9


def test_histogram_has_the_colour_of_each_sample_s_own_gradient() -> None:
    drawing = saturation.saturation(RUN[-1], "p")
    rows = drawing.tables["run"].to_pylist()
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    middles = {(place.left + place.right) / 2: place.name for place in saturation.PLACES}
    shown = [(middles[row["at"]], row["text"]) for row in drawing.tables["ends"].to_pylist()]
    low, high = "clipped at the low end", "clipped at the high end"
    assert shown == [
        ("exactly 0", "20%"), (low, "10%"), (high, "10%"), ("exactly 1", "20%"), ("NaN", "10%"),
    ]  # fmt: skip
    states = {
        state: {row["place"] for row in rows if row["state"] == state and row["share"]}
        for state in live.GRADIENTS
    }
    assert states["exactly 0"] == {"exactly 0", low}
    assert states["NaN or inf"] == {"NaN"}
    assert {"exactly 0", "exactly 1", high} < states["has a gradient"]
    for row in rows:  # a bar begins where those of the states before it end
        assert row["high"] - row["low"] == pytest.approx(row["share"])
    lows = [row["low"] for row in rows if row["place"] == "exactly 0"]
    np.testing.assert_allclose(lows, [0, 0.05, 0.2])


def test_the_histogram_names_the_step_that_it_shows() -> None:
    for now, step in [(RUN[0], 0), (RUN[-1], 4), (None, None)]:
        drawing = saturation.saturation(now, "p", "Probability")
        assert set(drawing.tables["run"]["step"].to_pylist()) == {step}
        title = drawing.spec["title"]["text"]["expr"]
        assert title.startswith("'Probability' + ") and " after step " in title
    assert "title" not in saturation.saturation(RUN[0], "p", "").spec, "a story's heading says it"


def test_places_do_not_overlap() -> None:
    assert len(saturation.PLACES) == BINS + 5
    for one, other in zip(saturation.PLACES, saturation.PLACES[1:], strict=False):
        assert one.left < one.right <= other.left


def test_the_legend_names_nan_when_it_can_be_drawn() -> None:
    fine = look(1, saturation=Saturation(np.ones((3, BINS + 5), int) * [[1], [1], [0]], 0, 0, 0, 0))
    for drawing, names in [
        (saturation.saturation(fine, "p"), 2),
        (saturation.saturation(RUN[-1], "p"), 3),
        (saturation.saturation(fine, "p", broken=True), 3),
    ]:
        bars = next(layer for layer in drawing.spec["layer"] if "color" in layer["encoding"])
        assert len(bars["encoding"]["color"]["legend"]["values"]) == names
    nonfinite = np.full(100, Gradient.NONFINITE, np.uint8)
    assert live.broken([look(0, gradients=nonfinite), look(1)]) and not live.broken([look(0)])


def ticks(spec: dict[str, Any]) -> list[float]:
    """The ticks on the y axis of a chart."""
    return next(
        layer["encoding"]["y"]["axis"]["values"]
        for layer in layers(spec)
        if "axis" in layer.get("encoding", {}).get("y", {})
    )


@pytest.mark.parametrize("top", live.LOSS_EDGES[1:])
def test_a_loss_axis_has_few_ticks(top: float) -> None:
    found = ticks(live.loss([look(loss=0.9 * top)], [], 10, None).spec)
    assert 3 <= len(found) <= frame.TICKS and top / 1e10 <= found[-1] <= top


EDGES = live.GRADIENT_EDGES


@pytest.mark.parametrize(
    ("low", "high"),
    dict.fromkeys([*pairwise(EDGES), *((EDGES[0], e) for e in EDGES[1:]),
                   *((e, EDGES[-1]) for e in EDGES[:-1])]),
)  # fmt: skip
def test_a_gradient_axis_has_few_ticks(low: float, high: float) -> None:
    found = ticks(live._gradient_spec(10, 2, low, high))
    assert 2 <= len(found) <= frame.TICKS and low <= found[0] < found[-1] <= high


def test_extremes_are_kept() -> None:
    steps = np.arange(400)
    values = np.stack([np.sin(steps / 7), np.where(steps == 123, 5.0, 0.0)])
    kept = frame.extremes(values, 120)
    assert kept[0] == 0 and kept[-1] == 399 and 123 in kept
    assert len(kept) <= 120 and (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(values[:, kept].max(axis=1), values.max(axis=1))
    np.testing.assert_array_equal(frame.extremes(values[:, :20], 120), steps[:20])


def test_accuracy_of_nan_is_a_gap_with_a_mark() -> None:
    nan = Saturation(np.zeros((3, BINS + 5), int), 0, 0, 0, 0.5)
    run = [look(0), look(1, saturation=nan), look(2, saturation=nan)]
    drawing = live.accuracy(run, [], 10, None)
    assert values(drawing, "training") == [0.9, None, None]
    assert values(drawing, "held out") == [0.9, None, None]
    assert [gap[:3] for gap in gaps(drawing)] == [(1, "NaN", "NaN"), (2, "NaN", "")]


def test_a_reported_accuracy_is_drawn_where_it_ever_differs() -> None:
    same = [look(step, reported=0.9) for step in range(3)]
    other = [*same[:2], look(2, reported=0.95)]
    curves = [live.accuracy(run, [], 2, None, reports=True) for run in (same, other)]
    assert curves[0].spec == curves[1].spec != live.accuracy(same, [], 2, None).spec
    assert [values(each, "reported") for each in curves] == [[], [0.9, 0.9, 0.95]]
    names = [each.tables["names"]["series"].to_pylist() for each in curves]
    assert ["reported" in each for each in names] == [False, True]
    assert "held out from 90.0% to 90.0%; reported from 90.0% to 95.0%" in curves[1].sentence
    (dashes,) = (
        encoding["strokeDash"]
        for layer in layers(curves[1].spec)
        if layer.get("data") == {"name": "run"} and (encoding := layer.get("encoding"))
    )
    assert dashes["value"] == [1, 0]
    assert dashes["condition"] == [{"test": 'datum.series == "reported"', "value": [7, 4]}]


def test_a_reported_loss_is_drawn_beside_the_true_one_where_it_ever_differs() -> None:
    losses = [(0.7, 0.7, 33.0), (0.5, NAN, 26.0), (0.3, 0.31, 45.0)]
    run = [
        look(step, loss=own, held_out_loss=true, reported_loss=said)
        for step, (own, true, said) in enumerate(losses)
    ]
    same = [each._replace(reported_loss=each.held_out_loss) for each in run]
    drawing, alike, unsaid = (
        live.loss(each, [], 2, None, reports=reports, least_top=300.0)
        for each, reports in ((run, True), (same, True), (run, False))
    )
    assert values(drawing, "held out") == [0.7, None, 0.31]
    assert values(drawing, "reported") == [33.0, 26.0, 45.0]
    assert values(alike, "reported") == values(unsaid, "reported") == []
    assert drawing.spec == alike.spec != unsaid.spec, "no axis moves when the curve comes"
    assert gaps(drawing) == [(1, "NaN", "NaN in held out", "held out")]
    assert drawing.sentence == (
        "Loss by step: training from 0.7 nats to 0.3 nats; held out from 0.7 nats to 0.31 nats; "
        "reported from 33 nats to 45 nats, by step 2."
    )
    assert unsaid.sentence == "Loss by step: from 0.7 nats to 0.3 nats, by step 2."


@pytest.mark.parametrize("axis", [live.symlog(300.0), live.linear(2.0), live.logarithmic(0.1, 9.0)])
def test_a_place_on_an_axis_is_that_of_its_value(axis: frame.Along) -> None:
    places = [0.0, 0.25, 1.0]
    np.testing.assert_allclose([axis.place(axis.value(each)) for each in places], places)


def test_an_accuracy_reported_of_nan_is_drawn_beside_the_gap() -> None:
    nan = Saturation(np.zeros((3, BINS + 5), int), 0, 0, 0, 1.0)
    run = [look(0, reported=0.9), look(1, saturation=nan, test_accuracy=0.1, reported=0.1)]
    drawing = live.accuracy(run, [], 10, None, reports=True)
    assert values(drawing, "held out") == [0.9, None]
    assert values(drawing, "reported") == [0.9, 0.1]
    silent = [look(0), look(1, saturation=nan)]
    assert values(live.accuracy(silent, [], 10, None, reports=True), "reported") == []


def test_a_ribbon_spans_the_range_of_the_copies() -> None:
    known = frame.Ribbon([0, 1], [0.4, 0.5], [0.4, 0.8])
    table = live.accuracy(RUN, [], 10, None, known).tables["ribbon"]
    assert table.to_pylist() == [
        {"step": 0, "low": 0.4, "high": 0.4}, {"step": 1, "low": 0.5, "high": 0.8},
    ]  # fmt: skip
    assert live.accuracy(RUN, [], 10, None).tables["ribbon"].num_rows == 0


def test_charts_of_no_run_are_empty() -> None:
    for drawing in drawings([], []):
        assert all(table.schema.names for table in drawing.tables.values())
        rows = [row for name in ("run", "bars", "flow") for row in _rows(drawing, name)]
        assert not any(row.get("share", row.get("images", 1)) for row in rows)


def _rows(drawing: live.Drawing, table: str) -> list[dict[str, Any]]:
    return drawing.tables[table].to_pylist() if table in drawing.tables else []


# The chart of digits, and the flow chart


def images(margins: list[float], correct: list[bool], kinds: list[int]) -> dict[str, Any]:
    return {
        "margins": np.float32(margins), "correct": np.array(correct), "gradients": np.uint8(kinds),
    }  # fmt: skip


def test_every_digit_is_in_one_bar() -> None:
    rng = np.random.default_rng(0)
    margins = np.float32(rng.normal(size=1000) * 10.0 ** rng.uniform(-3, 3, 1000))
    correct, kinds = rng.random(1000) < 0.5, rng.integers(0, 3, 1000).astype(np.uint8)
    now = look(margins=margins, correct=correct, gradients=kinds)
    rows = _rows(digits.digits(now, digits.widest([now]), "z"), "bars")
    assert sum(row["images"] for row in rows) == 1000 and len(rows) <= 360
    for row in rows:
        found = (margins >= row["left"]) & (margins < row["right"])
        found &= correct == (row["side"] == "right")
        found &= kinds == list(live.GRADIENTS).index(row["state"])
        assert found.sum() == row["images"] == abs(row["high"] - row["low"])
        assert (digits.members(digits.at_margins(now), row) == found).all(), (
            "a click finds the bar's images"
        )
        assert (row["high"] > 0) == (row["side"] == "right")


def test_bars_of_digits_are_stacked() -> None:
    now = look(**images([5, 5, 5, -5], [True, True, False, False], [0, 1, 0, 1]))
    rows = _rows(digits.digits(now, 5.0, "z"), "bars")
    assert [(row["low"], row["high"], row["state"]) for row in rows] == [
        (0, -1, "has a gradient"), (0, -1, "exactly 0"), (0, 1, "has a gradient"),
        (1, 2, "exactly 0"),
    ]  # fmt: skip


def test_the_chosen_are_marked_in_their_bars_and_a_click_is_told_the_look() -> None:
    now = look(**images([5, 5, 5, -5], [True, True, False, False], [0, 0, 0, 1]))
    mark = digits.Mark(step=7, turn=2, chosen=[0, 3])
    rows = _rows(digits.digits(now, 5.0, "z", mark=mark), "bars")
    assert [(row["side"], abs(row["marked"] - row["low"])) for row in rows] == [
        ("wrong", 0), ("wrong", 1), ("right", 1),
    ]  # fmt: skip
    assert {(row["step"], row["turn"]) for row in rows} == {(7, 2)}
    spec = digits.digits(now, 5.0, "z", mark=mark).spec
    assert spec == digits.digits(now, 5.0, "z").spec, "marks do not rebuild the chart"


def test_the_largest_float32_has_a_place_inside_the_axis() -> None:
    largest = float(np.finfo(np.float32).max)
    now = look(**images([largest, -largest], [True, False], [0, 0]))
    for row in _rows(digits.digits(now, largest, "z"), "bars"):
        assert digits.members(digits.at_margins(now), row).sum() == 1


def test_paths_are_the_logits_of_the_labels() -> None:
    run = [
        look(step, **images([3.0 * step, -2.0, NAN if step == 1 else 1.0], [True] * 3, [0, 1, 0]),
             labels=np.uint8([1, 0, 1]))
        for step in range(3)
    ]  # fmt: skip
    rows = _rows(chosen.paths(run, np.array([0, 1]), 10, True, None), "paths")
    paths = {(r["image"], r["step"], r["next"]): (r["logit"], r["then"], r["band"]) for r in rows}
    assert paths == {
        (0, 0, 1): (0, 3, "right, with gradient"), (0, 1, 2): (3, 6, "right, with gradient"),
        (1, 0, 1): (2, 2, "right, silent"), (1, 1, 2): (2, 2, "right, silent"),
    }  # fmt: skip
    assert not _rows(chosen.paths(run, np.array([2]), 10, True, None), "paths"), "NaN is a gap"
    margins = {
        r["logit"] for r in _rows(chosen.paths(run, np.array([1]), 10, False, None), "paths")
    }
    assert margins == {-2}, "with ten classes the margin is the logit's own"


def test_paths_of_a_long_run_are_short() -> None:
    run = [look(step) for step in range(400)]
    rows = _rows(chosen.paths(run, np.arange(24), 400, True, None), "paths")
    assert len(rows) == 24 * (chosen.MOST - 1)
    assert min(r["step"] for r in rows) == 0 and max(r["next"] for r in rows) == 399


def test_logits_that_are_not_finite_are_counted() -> None:
    now = look(**images([NAN, NAN, INF, -INF, 3.0], [False] * 5, [2, 2, 2, 2, 0]))
    drawing = digits.digits(now, digits.widest([now]), "z")
    assert [row["text"] for row in _rows(drawing, "lost")] == ["✖ 2 NaN, 1 -inf, 1 inf"]
    assert sum(row["images"] for row in _rows(drawing, "bars")) == 1
    assert digits.widest([now]) == 3 and digits.widest([]) == 0


def test_zones_are_cut_to_the_axis() -> None:
    rows = _rows(digits.digits(None, 10.0, "z", ZONES), "zones")
    assert [(row["left"], row["right"], row["high"] < 0) for row in rows] == [
        (8, 100, True), (-100, -20, False),
    ]  # fmt: skip


def test_flow_counts_each_image_once() -> None:
    now = look(
        3, **images([0.0] * 6, [True, True, False, False, False, True], [1, 0, 0, 1, 1, 2])
    )  # fmt: skip
    np.testing.assert_allclose(flow.shares([now])[:, 0] * 6, [1, 1, 1, 2, 1])
    rows = _rows(flow.flow([now], 10, None), "flow")
    assert {row["step"] for row in rows} == {3, 4}, "a single look can be seen"
    assert max(row["high"] for row in rows) == pytest.approx(1)
    assert min(row["low"] for row in rows) == 0


def test_an_image_is_in_the_band_that_counts_it() -> None:
    right, kinds = (grid.ravel() for grid in np.meshgrid([False, True], np.uint8([0, 1, 2])))
    now = look(3, n=6, correct=right, gradients=kinds)
    counts = np.bincount(flow.band(right, kinds), minlength=len(flow.BANDS))
    np.testing.assert_allclose(flow.shares([now])[:, 0] * 6, counts)
    assert list(flow.BANDS)[flow.band(np.array(False), np.array(Gradient.ZERO))] == "wrong, silent"


def test_flow_of_a_long_run_is_short_and_keeps_its_extremes() -> None:
    run = [look(step) for step in range(400)]
    run[123] = look(123, gradients=np.ones(100, np.uint8))
    rows = _rows(flow.flow(run, 400, None), "flow")
    assert len(rows) <= flow.STEPS * len(flow.BANDS)
    silent = {row["step"]: row["share"] for row in rows if row["band"] == "wrong, silent"}
    assert silent[123] == 0.1 and max(silent) >= 399


def test_values_that_are_not_finite_become_none() -> None:
    assert frame.finite([1, NAN, INF, -INF, 0.0]) == [1.0, None, None, None, 0.0]


# Colours


def luminance(colour: str) -> float:
    """The relative luminance by WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


COLOURS = {
    name if isinstance(value, str) else f"{name}[{i}]": colour
    for name, value in vars(palette).items()
    if name.isupper()
    for i, colour in enumerate([value] if isinstance(value, str) else value)
}


def test_contrast_is_measured_as_wcag_does() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("name", "colour"), COLOURS.items())
def test_colours_can_be_seen(name: str, colour: str, theme: str) -> None:
    config = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())
    assert contrast(colour, config["theme"][theme]["backgroundColor"]) >= 3


def test_layers_have_colours_of_their_own() -> None:
    assert len(set(palette.LAYERS)) == len(palette.LAYERS) >= 8


def test_the_health_strip_tells_nan_inf_zero_and_fine_apart() -> None:
    def sick(step: int, *rows: tuple[float, float, float, float]) -> Snapshot:
        return look(step, health=np.array(rows), sample_health=np.array([0, 0, 0.5, 0.5]))

    run = [sick(0, (0, 0, 0, 1), (0, 0, 1, 0)), sick(5, (1, 0, 0, 0), (0, 0.25, 0.25, 0.5))]
    drawing = health.health(run, 10, ("weights", "biases"), None)
    cells = drawing.tables["cells"].to_pylist()
    told = {(c["step"], c["of"], c["what"]): c["share"] for c in cells}
    assert told == {
        (0, "weights", "fine"): 1, (0, "biases", "exactly 0"): 1,
        (0, "images", "fine"): 0.5, (0, "images", "exactly 0"): 0.5,
        (5, "weights", "NaN"): 1, (5, "biases", "fine"): 0.5, (5, "biases", "exactly 0"): 0.25,
        (5, "biases", "inf"): 0.25, (5, "images", "fine"): 0.5, (5, "images", "exactly 0"): 0.5,
    }  # fmt: skip
    assert [c["next"] for c in cells if c["step"] == 0] == [5.0] * 4, "a look extends to the next"
    for row in ("weights", "biases", "images"):  # rows are stacked and never touch
        assert {int(c["low"]) for c in cells if c["of"] == row} == {
            int(c["high"]) for c in cells if c["of"] == row
        }
    long = [sick(step, (0, 0, 0, 1), (0, 0, 0, 1)) for step in range(400)]
    assert len(health.health(long, 400, ("weights", "biases"), None).tables["cells"]) < 2000


def test_the_crosses_of_a_run_have_its_colour() -> None:
    colours = {'Lasagne\'s "own"': "#111111", "b": "#222222"}
    runs = {name: ([0, 1], [0.5, NAN]) for name in colours}
    gaps = twins.curves_tables(runs)["gaps"].to_pylist()
    assert [gap["series"] for gap in gaps] == list(colours)
    assert [gap["first"] for gap in gaps] == ["NaN", ""]  # the labels of runs are too long here
    spec = twins.curves_spec(tuple(colours), tuple(colours.values()), 1)
    marks = [layer["mark"] for layer in spec["layer"][1]["layer"]]
    crosses = [mark["color"] for mark in marks if mark["type"] == "point"]
    assert crosses == list(colours.values())


def test_errors_are_drawn_beside_the_error_of_copying() -> None:
    runs = {"a": [look(step, fit=fit(0.1)) for step in range(3)], "b": [look(0, fit=fit(NAN))]}
    tables = series.errors_tables(runs)
    rows = [(row["series"], row["step"], row["value"]) for row in tables["run"].to_pylist()]
    assert rows[:4] == [("a", 0, 0.1), ("a", 1, 0.1), ("a", 2, 0.1), ("b", 0, None)]
    assert rows[4:] == [(series.BEATEN, step, 0.036) for step in range(3)]
    assert tables["gaps"].to_pylist() == [{"step": 0, "what": "NaN", "first": "NaN", "series": "b"}]
    spec = series.errors_spec(("a", "b"), ("#111111", "#222222"), 10, 0.2)
    alt.LayerChart.from_dict(spec, validate=True)


def test_series_are_side_by_side_with_each_value_at_its_own_time() -> None:
    drawing = series.following({"x": fit(0.5)}, {"x": "#111111"})
    rows = drawing.tables["run"].to_pylist()
    assert len(rows) == 3 * 36
    first = [row for row in rows if row["series"] == 1]
    at = {what: [row["at"] for row in first if row["what"] == what] for what in
          (series.SEEN, series.TRUE, "x")}  # fmt: skip
    assert at[series.SEEN] == list(range(12, 21))
    assert at[series.TRUE] == at["x"] == list(range(13, 22)), "a target is one step later"


def test_every_compared_pair_is_a_square() -> None:
    squares = np.where(np.eye(3, dtype=bool), 0.25, NAN)
    rows = series.compared_tables(squares)["pairs"].to_pylist()
    assert rows == [{"prediction": i, "target": i, "square": 0.25} for i in (1, 2, 3)]
    assert len(series.compared_tables(np.ones((3, 3)))["pairs"]) == 9
    alt.LayerChart.from_dict(series.compared_spec(3, 1.0, palette.TRAIN), validate=True)


def test_gates_are_squares_side_by_side() -> None:
    weights = {"update": np.array([[1.0, -2.0]]), "reset": np.array([[0.5, 0.0]])}
    rows = series.gates_tables(weights)["weights"].to_pylist()
    assert [(row["gate"], row["left"], row["sign"], row["size"]) for row in rows] == [
        ("update", -0.5, 1, 1.0), ("update", 0.5, -1, 2.0),
        ("reset", 2.5, 1, 0.5), ("reset", 3.5, 1, 0.0),
    ]  # fmt: skip
    alt.LayerChart.from_dict(series.gates_spec(tuple(weights), 1, 2, 2.0), validate=True)
    ends = series.ends_tables([("update", 0, 0.03)])["ends"].to_pylist()
    assert ends == [{"row": "update", "seed": 0, "error": 0.03}]
    alt.LayerChart.from_dict(series.ends_spec(("update",), ("#111111",), 0.03), validate=True)


# The charts of the post's story

POST = {
    "errors": (
        errors.spec(("printed", "here"), ("#000000", "#ffffff"), 10),
        errors.tables({"printed": ([1, 2], [0.9, NAN]), "here": ([], [])}),
    ),
    "relu": (relu.spec(), relu.tables(0.5, 1.0)),
    "batches": (batches.spec((1, 10)), batches.tables({"mixed": {1: 0.5, 10: NAN}})),
    "sides": (
        compare.sides_spec(),
        compare.sides_tables(np.array([1.0, NAN]), np.array([2.0, 3.0])),
    ),
    "no sides": (compare.sides_spec(), compare.sides_tables(np.array([NAN]), np.array([3.0]))),
    "logits": (
        logits.spec(100.0, "logit z"),
        logits.tables(
            digits.Placed(
                np.arange(2), np.array([3.0, -70.0]), np.array([True, False]), np.ones(2, int)
            ),
            100.0,
            [digits.Zone(-50.0, -16.0, False, "exactly 0")],
        ),
    ),
    "no batches": (batches.spec((1, 10)), batches.tables({"mixed": {}})),
    "both losses": (
        real.loss_spec(10, 100.0, "PyTorch 9", live.NATS),
        real.tables({real.OWN: ([0, 1], [2.0, NAN]), "PyTorch 9": ([0], [2.0])}),
    ),
    "differences": (
        real.difference_spec(10, real.top([0.0, NAN, 3e-4]), "PyTorch 9"),
        real.tables({"PyTorch 9": ([0, 1, 2], [0.0, NAN, 3e-4])}, zero=True),
    ),
}


@pytest.mark.parametrize("name", POST)
def test_the_posts_charts_are_vega_lite_over_their_own_columns(name: str) -> None:
    spec, tables = POST[name]
    chart = alt.LayerChart if "layer" in spec else alt.Chart
    chart.from_dict(spec, validate=True)
    for layer in layers(spec):
        table = tables.get(layer.get("data", {}).get("name"))
        for channel in layer.get("encoding", {}).values():
            for part in channel if isinstance(channel, list) else [channel]:
                assert table is None or part.get("field", "") in ["", *table.column_names]


def test_an_errors_chart_shows_the_share_that_is_wrong_and_nan_is_a_gap() -> None:
    rows = POST["errors"][1]["errors"].to_pylist()
    assert rows == [
        {"epoch": 1, "wrong": pytest.approx(0.1), "series": "printed"},
        {"epoch": 2, "wrong": None, "series": "printed"},
    ]
    assert [row["accuracy"] for row in POST["batches"][1]["batches"].to_pylist()] == [0.5, None]


def test_losses_that_are_the_same_are_marked_at_the_foot() -> None:
    gaps = POST["differences"][1]["gaps"].to_pylist()
    assert [(row["step"], row["what"]) for row in gaps] == [(0, "exactly 0"), (1, "NaN")]
    assert [real.top(each) for each in ([0.0, 3e-2], [NAN])] == [1e-1, 1e-3]


@pytest.mark.parametrize(("x", "slope", "at"), [(0.0, 0.5, 0.0), (2.0, 1.0, 2.0), (-1.0, 0.0, 0.0)])
def test_the_line_with_a_slope_goes_through_its_point(x: float, slope: float, at: float) -> None:
    tables = relu.tables(x, slope)
    assert tables["here"].to_pylist() == [{"x": x, "y": at}]
    _, _, _, left, right = tables["lines"].to_pylist()
    assert np.interp(x, [left["x"], right["x"]], [left["y"], right["y"]]) == pytest.approx(at)


def test_threads_that_ask_at_the_same_time_build_a_spec_once() -> None:
    built: list[int] = []
    at_once = threading.Barrier(8)

    @frame.built_once()
    def spec(steps: int) -> dict[str, int]:
        built.append(steps)
        time.sleep(0.05)
        return {"steps": steps}

    def ask(_: int) -> dict[str, int]:
        at_once.wait()
        return spec(7)

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(ask, range(8))] == [{"steps": 7}] * 8
    assert built == [7]


# A sweep

SQUARES = [sweep.Square("0.1", "clip", 0.5, 2, 3), sweep.Square("1", "clip", NAN, 1, 5)]
ENDS = [sweep.End("clip", 0.9, "trains", "seed 1", 4), sweep.End("naive", NAN, "broken", "", 5)]
SWEEP = {
    "squares": (sweep.grid_spec(("0.1", "1"), ("clip",), "rate", "viridis"),
                sweep.grid_tables(SQUARES, sweep.GOOD)),
    "many": (sweep.grid_spec(tuple(map(str, range(40))), ("clip",), "seed", "reds"),
             sweep.grid_tables([], sweep.BAD)),
    "ends": (sweep.ends_spec(("clip", "naive"), 0.4), sweep.ends_tables(ENDS)),
}  # fmt: skip


@pytest.mark.parametrize("name", SWEEP)
def test_a_sweep_s_charts_are_vega_lite_over_their_own_columns(name: str) -> None:
    spec, tables = SWEEP[name]
    alt.LayerChart.from_dict(spec, validate=True)
    (table,) = tables.values()
    for layer in layers(spec):
        assert layer.get("data", {}).get("name") in {None, *tables}
        for channel in layer.get("encoding", {}).values():
            for part in channel if isinstance(channel, list) else [channel]:
                assert part.get("field", "cell") in {*table.column_names, "at"}


def test_a_square_of_nan_says_so_and_each_number_can_be_read() -> None:
    half, nan = sweep.grid_tables(SQUARES, sweep.GOOD)["squares"].to_pylist()
    assert (half["text"], half["dark"], half["value"]) == ("50", True, 0.5)
    assert (nan["text"], nan["dark"], nan["value"]) == ("NaN", False, None)
    ends = sweep.ends_tables(ENDS)["ends"].to_pylist()
    assert [row["accuracy"] for row in ends] == [0.9, None]
    assert [row["outcome"] for row in ends] == ["has a gradient", "NaN or inf"]


@pytest.mark.parametrize("ends", [(0.5, 0.5, 0.5, 0.5), (0.0, 0.0), (1.0, 0.99, 1.0), (0.1, 0.9)])
def test_names_of_curves_are_inside_the_plot_and_do_not_overlap(ends: tuple[float, ...]) -> None:
    curves = {f"curve {i}": [0.3, end] for i, end in enumerate(ends)}
    (table,) = frame.names(curves, live.linear(1.0), frame.TALL).values()
    named = dict(zip(*(table[name].to_pylist() for name in ("series", "value")), strict=True))
    places = sorted(named.values())
    gap = frame.NAMES_GAP / (frame.TALL - frame.AROUND)
    half = gap / 2 - 1e-9  # a name that is nearer to an edge would be cut
    assert named.keys() == curves.keys() and half <= places[0] and places[-1] <= 1 - half
    assert all(high - low >= gap - 1e-9 for low, high in pairwise(places))
    from_below = [*reversed(curves)]  # at one place the first is highest
    ordered = sorted(named, key=lambda name: named[name])
    assert ordered == sorted(from_below, key=lambda name: curves[name][1])


def test_names_of_curves_that_are_lost_are_beside_their_crosses() -> None:
    lost = {"layer 1": [2.0, 1.0, NAN], "layer 2": [NAN, NAN, INF], "layer 3": [3.0, 2.0, 50.0]}
    (table,) = frame.names(lost, live.logarithmic(1.0, 100.0), frame.TITLED).values()
    named = dict(zip(*(table[name].to_pylist() for name in ("series", "value")), strict=True))
    # The crosses' rows are a little further from each other than the names.
    height = frame.TITLED - frame.AROUND
    place = live.logarithmic(1.0, 100.0).place
    assert height * place(named["layer 2"]) == pytest.approx(frame.FOOT)
    assert height * place(named["layer 1"]) == pytest.approx(frame.FOOT + frame.ROW, abs=3)
    assert named["layer 3"] == pytest.approx(50.0)
    assert not frame.names({"a": []}, live.linear(1.0), frame.TALL)["names"].num_rows


def test_the_frames_are_around_the_pixel_and_its_window() -> None:
    box = ("left", "right", "top", "bottom")
    for filtered in (FILTERED, FILTERED[:, :1]):
        at = windows.Pixel(3, filtered.shape[1] - 1, *WINDOW, turn=7)
        found = windows.windows("windows", DIGIT, filtered, at, "a net").tables
        pixels, around = found["map"].to_pylist(), found["frames"].select(box).to_pylist()
        (pixel,) = (p for p in pixels if (p["row"], p["column"]) == (4, filtered.shape[1]))
        assert len(pixels) == filtered.size and pixel["value"] == filtered[3, -1]
        assert {name: pixel[name] for name in box} == around[2] and pixel["turn"] == 7
        assert around[1] == {"left": 1, "right": 6, "top": -1, "bottom": 4}
        ink = found["digit"].to_pylist()[1:]
        assert [(p["left"], p["top"], p["ink"]) for p in ink] == [(5, 3, 255), (6, 3, 255)]
    assert set(windows.FIELDS) <= set(found["map"].column_names)
