"""The stories as a visitor reads them."""

import html
import inspect
import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.presets import PRESETS
from core.run.prepare import device_data
from core.run.snapshot import silent_and_wrong
from core.study import basics, masks
from core.study.convolutions import Window
from core.study.lasagne import CLAIMS
from core.study.twins import Swap
from tests.kit import ROOT
from tests.kit.pages import answers, bars, bodies, go, keyed, open_page, settled, tables
from tests.kit.runs import look, righted
from tests.kit.small import SMALL
from ui.charts import twins as charts
from ui.charts.palette import HELD_OUT, TRAIN
from ui.engine import engine
from ui.pages import PAGES
from ui.state import key_of
from ui.story import parting
from ui.story.jax_cnn import batches, sights, windows
from ui.story.jax_vs_keras import repetitions, swap
from ui.story.keep_or_drop import readings
from ui.story.twin import Twin
from ui.story.watch import hidden
from ui.story.what_if import ALIKE, GOES, PARTS, STAYS, TURNS, _right_option

QUESTION, NUMBER, EPSILON = "jax_vs_keras", "keep_or_drop", "epsilon"
BASICS, PICTURES = "jax_basics", "jax_cnn"
pytestmark = pytest.mark.timeout(900)  # a slow machine takes minutes to compile a CNN
STORIES = {key: row for key, row in PAGES.items() if row.section == "Stories"}


def told(story: str, query: dict[str, str], guess: int = 1) -> AppTest:
    """A story after a guess, once every run and errand has ended."""
    page = open_page(PAGES[story].file, **query)
    assert not page.exception and not page.get("vega_lite_chart"), (
        "no chart is shown before the guess"
    )
    radio = page.radio(key=f"guess_{story}_widget")
    radio.set_value(radio.options[guess]).run()
    settled(page)  # until the pair has ended
    return settled(page)  # until what follows from the pair has ended


def said(page: AppTest) -> str:
    return "\n".join(text.value for text in page.markdown)


@pytest.mark.parametrize("story", STORIES)
def test_a_story_page_is_short(story: str) -> None:
    assert len((ROOT / PAGES[story].file).read_text().splitlines()) < 80


def test_the_story_of_the_question_has_its_published_figures() -> None:
    page = told(QUESTION, {})
    assert "and that is right. “JAX, clipped” ends at" in answers(page)[0]
    assert "**JAX, clipped: predictions after step 10**" in said(page)
    assert bars(page, "wrong") == {"JAX, clipped": "56.5%", "Keras on TensorFlow": "56.5%"}
    assert bars(page, "wrong and silent") == {
        "JAX, clipped": "48.4%",
        "Keras on TensorFlow": "0.0%",
    }
    assert "After step 0, 484 images (48%) are wrong, at logits where the slope is" in said(page)
    clipped = page.session_state["story_viewers"][RunConfig()].view().snapshots
    assert f"of these 484 images {righted(clipped)} are right at step 10" in said(page)
    gap = r"step 0\*\* on, most in layer 2, where the difference is (\S+)% of the larger gradient"
    assert (found := re.search(gap, said(page))) and 0 < float(found[1]) <= 200
    assert bars(page, "Initial JAX accuracy") == {"published": "43.5%", "measured here": "43.5%"}
    assert bars(page, "Final Keras accuracy") == {"published": "90.9%", "measured here": "90.9%"}
    here = bars(page, "Final JAX accuracy")
    assert here["published"] == "79.2%" and 51 <= float(here["measured here"][:-1]) <= 85
    both = f"from “JAX, clipped” score {here['measured here']} in both programs, and those from"
    assert f"{both} “Keras on TensorFlow” 90.9%" in said(page)
    assert bars(page, "Keras 3 on TensorFlow") == {"Keras 3 on TensorFlow": "90.9%"}
    cards = re.findall(r'<ul class="cards wide">(.*?)</ul>', bodies(page))[0]
    assert "slope, JAX, clipped</dt><dd>0<" in cards


@pytest.mark.parametrize(
    ("final", "swapped", "says"),
    [
        ((0.776, 0.909), (0.909, 0.776), "“a” score 77.6% in both programs, and those from “b” 90"),
        ((np.nan, 0.909), (0.909, np.nan), "“a” score NaN in both programs, and those from “b” 90"),
        ((0.776, 0.909), (0.776, 0.909), "“a” scores 77.6% with either weights, and “b” 90.9%"),
        ((0.565, 0.565), (0.565, 0.565), "All four are 56.5%: here a swap cannot tell"),
        ((0.776, 0.909), (0.909, 0.909), "“a” scores 90.9% instead of 77.6%, and “b” 90.9% inst"),
        ((0.565, 0.565), (0.776, 0.909), "“a” scores 77.6% instead of 56.5%, and “b” 90.9% inst"),
    ],
)
def test_a_swap_is_told_as_it_came_out(
    final: tuple[float, float], swapped: tuple[float, float], says: str
) -> None:
    assert says in swap.seen("a", "b", Swap((0.4, 0.4), final, swapped))


def test_a_gap_between_gradients_says_of_what_it_is_a_share() -> None:
    assert parting._gap(1.0) == "the difference is 100% of the larger gradient (by norm)"
    assert parting._gap(np.inf) == "NaN or infinities are not in the same places"


def test_a_later_step_says_how_many_silent_images_became_right() -> None:
    page = told(QUESTION, {})
    page.select_slider(key="spine_step").set_value(10).run()
    assert not page.exception
    now = next(t.value for t in page.markdown if t.value.startswith("After step 10,"))
    clipped = page.session_state["story_viewers"][RunConfig()].view().snapshots
    assert f"Of the 484 that were silent at the start, {righted(clipped)} are right now" in now


@pytest.mark.slow
def test_pixels_from_0_to_1_close_the_gap() -> None:
    page = told(QUESTION, {"scaling": "unit"}, guess=2)
    assert "and that is right" in answers(page)[0]
    assert "every image that is wrong has a gradient" in said(page)
    assert "no wrong image has a slope of exactly 0" in said(page)
    assert not any("are silent" in each.value for each in page.header)
    assert "from 0 to 255?" in page.radio(key="guess_pixels_raw_alike_widget").label


@pytest.mark.slow
def test_the_second_prediction_is_asked_before_its_answer_is_shown() -> None:
    page = told(QUESTION, {})
    charts_before = len(page.get("vega_lite_chart"))
    radio = page.radio(key="guess_pixels_unit_widget")
    assert radio.options == [STAYS, GOES, TURNS] and radio.value is None
    radio.set_value(GOES).run()
    page = settled(page)
    assert len(page.get("vega_lite_chart")) > charts_before
    assert "and that is right" in answers(page)[-1]


def test_answers_of_a_second_prediction() -> None:
    assert _right_option(0.1, 0.01) == GOES and _right_option(0.1, 0.2) == STAYS
    assert _right_option(-0.1, -0.03) == STAYS and _right_option(0.1, -0.2) == TURNS
    assert _right_option(0.0, 0.0) == ALIKE and _right_option(0.01, 0.2) == PARTS, (
        "there was no clear lead before"
    )


def test_a_wrong_guess_is_corrected_and_kept_on_another_page() -> None:
    page = told(QUESTION, {}, guess=0)
    assert "The answer is “Keras: something in it keeps learning”" in answers(page)[0]
    page = go(go(page, "pages/home.py"), PAGES[QUESTION].file)
    assert page.radio(key=f"guess_{QUESTION}_widget").value == "JAX: its loss was made stable"


@pytest.mark.slow
def test_the_band_tells_fact_from_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetitions, "PERTURBATIONS", 2)
    monkeypatch.setattr(repetitions, "SEEDS", range(1))
    monkeypatch.setattr(repetitions, "ENOUGH", 3)
    page = told(QUESTION, {"seed": "3"})  # a seed that collapses every time
    next(b for b in page.button if b.label.startswith("Repeat both")).click().run()
    page = settled(page)
    says = [text.value for text in page.markdown if text.value.startswith("- **")][:2]
    assert all("a fact." in text for text in says)
    assert "51.0% every time" in says[0] and "90.7% every time" in says[1]


def test_few_runs_are_not_called_a_fact_and_different_ends_are_chance() -> None:
    few = np.full(repetitions.ENOUGH - 1, 0.795)
    assert repetitions.verdict(few) == (
        f"ends at 79.5% so far, in {len(few)} runs: too few to call it a fact."
    )
    assert repetitions.verdict(np.append(few, 0.795)) == "ends at 79.5% every time: a fact."
    assert "from 74.1% to 79.5%" in repetitions.verdict(np.append(few, 0.741))


def test_band_tables_hold_the_whole_range_and_nan_is_a_gap() -> None:
    accuracy = np.array([[0.4, 0.7], [0.4, 0.5], [0.4, np.nan]])
    tables = charts.band_tables([charts.Band("a", [0, 5], accuracy)])
    first, last = tables["band"].to_pylist()
    assert [(gap["step"], gap["what"]) for gap in tables["gaps"].to_pylist()] == [(5, "NaN")]
    assert first == {"series": "a", "step": 0, "low": 0.4, "high": 0.4, "own": 0.4}
    assert last == {"series": "a", "step": 5, "low": None, "high": None, "own": 0.7}


def test_silent_digits_are_wrong_and_shown_surest_first() -> None:
    page = told(QUESTION, {})
    first = page.session_state["story_viewers"][RunConfig()].view().snapshots[0]
    logits = first.margins[silent_and_wrong(first)]
    assert np.all((logits >= 0) != (first.labels[silent_and_wrong(first)] == 1))
    assert np.all(np.diff(np.abs(logits)) <= 0)


START = RunConfig(**{**PRESETS["keep_or_drop"].overrides, **SMALL["keep_or_drop"]})


@pytest.mark.slow
def test_the_story_of_one_number_shows_both_readings() -> None:
    page = told(NUMBER, {})
    left = re.search(r"leaves (\d+) in TensorFlow and (\d+) in Keras; chance", answers(page)[0])
    assert left and 150 <= int(left[1]) <= 205 and 50 <= int(left[2]) <= 105
    page.select_slider(key="keep_or_drop_step").set_value(80).run()
    strong = [info.value for info in page.info if "Dropout is too strong" in info.value]
    assert len(strong) == 1 and strong[0].startswith("**dropped: Keras**")
    assert said(page).count("this training has three accuracies") == 2
    assert "stax.Dropout(rate)` keeps the share `rate`" in said(page)


@pytest.mark.slow
def test_the_cards_show_the_masks_of_the_training_itself() -> None:
    page = told(NUMBER, {})
    shown = re.findall(r"(\d+) of 256 units survive this step, each × ([\d.]+)", bodies(page))
    assert len(shown) == len(readings.FORMS)
    for form, (count, factor) in zip(readings.FORMS, shown, strict=True):
        config = replace(START, dropout=form)
        data = device_data(config)
        multipliers = masks.multipliers(config, data, 0)[0][0]
        assert int(count) == np.count_nonzero(multipliers)
        assert float(factor) == pytest.approx(multipliers.max(), rel=5e-3)


@pytest.mark.slow
def test_a_card_s_digit_is_the_one_whose_units_it_shows() -> None:
    data = device_data(START)
    step = next(masks.passes(START, data, [0]))
    for i in range(3):
        layer = readings._layer(START, i, 0)
        assert layer.image == step.places[i]
        assert np.array_equal(layer.units, step.layers[0].units[i])
    assert list(step.places[:3]) != [0, 1, 2], "the batch is in another order than the images"


@pytest.mark.slow
def test_at_one_half_both_readings_are_the_same() -> None:
    config = replace(START, dropout_value=0.5)
    kept, dropped = (readings.survivors(replace(config, dropout=f)) for f in ("keep_prob", "rate"))
    assert kept == dropped
    here = readings.charts.tables(0.5)["here"].to_pylist()
    assert [row["kept"] for row in here] == [0.5, 0.5]


def test_the_story_of_epsilon_shows_a_finite_loss_with_a_nan_gradient() -> None:
    page = told(EPSILON, {}, guess=2)
    measured = r"that is right. The loss is 11\d\.\d, and 100% of its gradient is NaN"
    assert re.search(measured, answers(page)[0])
    words = said(page)
    assert re.search(r"Without a clip 100% of the gradient is NaN. With it 0% is NaN, and", words)
    verdicts = [
        text for text in words.splitlines() if "Holds.**" in text or "Does not hold.**" in text
    ]
    assert len(verdicts) == len(CLAIMS)
    silent = next(info.value for info in page.info if info.value.startswith("**Keras, clipped**"))
    assert "gradient" in silent
    strips = [c for c in page.get("vega_lite_chart") if "exactly 0, inf or NaN" in c.proto.alt]
    assert len(strips) == 3


@pytest.mark.slow
def test_pixels_from_0_to_1_leave_no_nan_and_nothing_to_trade() -> None:
    page = told(EPSILON, {"scaling": "unit"}, guess=2)
    assert "Without a clip 0% of the gradient is NaN" in said(page)
    assert "is now a gradient of exactly zero" not in said(page)
    assert any("Here the clip trades no NaN for silence" in each.value for each in page.header)


def test_both_batches_can_be_looked_at() -> None:
    page = told(EPSILON, {}, guess=2)
    losses = re.findall(r": loss ([\d.]+)", said(page))
    assert len(losses) == 4
    page.session_state["gradients_batch"] = 1
    page.run()
    assert not page.exception
    assert re.findall(r": loss ([\d.]+)", said(page)) != losses


def test_a_curve_that_another_hides_is_named() -> None:
    twins = [Twin(name, RunConfig(), "red") for name in ("a", "b", "c")]
    same = [look(0, loss=2.0), look(1, loss=1.0)]
    other = [look(0, loss=2.0), look(1, loss=1.5)]
    lost = [look(0, loss=np.nan), look(1, loss=np.nan)]
    assert hidden(twins, {"a": same, "b": other, "c": same}) == "“a” lies under “c”."
    assert hidden(twins, {"a": same, "b": other, "c": lost}) == ""
    assert hidden(twins, {"a": same, "b": same[:1], "c": []}) == ""


def test_the_post_s_third_line_gives_a_function_and_its_second_ignores_its_batch() -> None:
    page = told(BASICS, {})
    assert "You said “A function”, and that is right. `out` is `PjitFunction`" in answers(page)[0]
    assert "and that is right" in answers(page)[0]
    own, zeros, mended = (table["largest difference from the loop"] for table in tables(page))
    assert own[2] == zeros[2] == "–" and float(own[1]) < 1e-3 < 1 < float(zeros[1])
    assert [float(apart) for apart in mended] == [0, 0, 0]
    assert "`weights[:32] == X` is **True**" in said(page)


def test_cells_show_the_code_that_was_measured() -> None:
    page = told(BASICS, {})
    for times in (basics.jit_times, basics.product_times, basics.layer_times):
        first = inspect.getsource(times).splitlines()[0]
        assert html.escape(first) in bodies(page)
        for what, _ in engine().errands.look(("times", times.__name__, None), times).pieces:
            assert f"<span>{html.escape(what)}</span>" in bodies(page)
    page.button(key="product_times").click().run()
    assert engine().errands.waiting()
    settled(page)


def test_the_slope_at_the_corner_is_shown_for_each_method() -> None:
    page = told(BASICS, {})
    page.select_slider(key="basics_x").set_value(0.0).run()
    numbers = next(
        each.proto.body for each in page.get("html") if "<dt>grad(ReLU)" in each.proto.body
    )
    assert re.findall("<dd>(.*?)</dd>", numbers) == ["0.5", "0.5", "0"]


@pytest.mark.slow
def test_sum_and_mean_are_compared_under_adam_and_sgd() -> None:
    page = told(BASICS, {})
    radio = page.radio(key="guess_reduction_widget")
    assert radio.options == ["The sum", "The mean", "Neither: they end alike"]
    radio.set_value(radio.options[2]).run()
    page = settled(page)
    measured = re.search(r"“sum” ends at ([\d.]+)%, “mean” ends at ([\d.]+)%", answers(page)[-1])
    assert measured and min(map(float, measured.groups())) > 80
    assert "An epoch of 4,000 images takes" in said(page)
    radio = page.radio(key="guess_sgd_alike_widget")
    assert radio.options == [ALIKE, PARTS], "nobody is ahead under Adam"
    radio.set_value(PARTS).run()
    page = settled(page)
    assert "and that is right" in answers(page)[-1] and "“mean” ends at" in answers(page)[-1]


@pytest.mark.slow
def test_a_filter_of_the_posts_network_is_a_strip() -> None:
    page = told(PICTURES, {})
    assert "(5, 5, 28, 32), and its output (1, 14, 32)." in answers(page)[0]
    assert "its 32 filters, where they meet the picture: 5 high, 28 wide" in bodies(page)
    assert "its 32 filters, where they meet the picture: 5 high, 5 wide" in bodies(page)
    assert bars(page, "axes of the post") == {sights.MOVED: "20.0%"}
    assert bars(page, "axes put right")[sights.MOVED] == "100.0%"
    here = bars(page, "after epoch 1")
    assert [*here] == ["measured here"] and 0 < float(here["measured here"].rstrip("%")) < 100
    assert "Test accuracy of “axes of the post”, measured here" in said(page)
    post = next(each.value for each in page.caption if "Published with" in each.value)
    assert "training images 60000" in post and "after epoch 1 96.8%" in post
    cards = re.findall(r'<ol class="shapes">(.*?)</ol>', bodies(page))
    assert "28 × 28, 1 deep" in cards[1] and "1 × 28, 28 deep" in cards[0]
    assert HELD_OUT in cards[0] and TRAIN in cards[1], "each in the colour of its curves"
    for name, value in {"filter": 3, "row": 5, "column": 4}.items():
        page = keyed(page.slider, f"windows_{name}").set_value(value).run()
    assert looks_at(page) == [
        "rows 8 to 12 and all 28 columns at once: 140 pixels.",
        "rows 8 to 12 and columns 6 to 10: 25 pixels.",
    ]


def looks_at(page: AppTest) -> list[str]:
    begins = "This pixel looks at "
    return [t.value.removeprefix(begins) for t in page.markdown if t.value.startswith(begins)]


@pytest.mark.parametrize(
    ("rows", "columns", "says"),
    [
        (range(1, 6), range(28), "rows 2 to 6 and all 28 columns at once: 140 pixels."),
        (range(-1, 4), range(28), "rows 1 to 4 and all 28 columns at once: 112 pixels. The rest"),
        (range(7, 12), range(25, 30), "rows 8 to 12 and columns 26 to 28: 15 pixels. The rest"),
        (range(25, 30), range(-1, 4), "rows 26 to 28 and columns 1 to 4: 12 pixels. The rest"),
        (range(23, 28), range(23, 28), "rows 24 to 28 and columns 24 to 28: 25 pixels."),
    ],
)
def test_a_window_is_told_as_far_as_it_lies_on_the_digit(
    rows: range, columns: range, says: str
) -> None:
    whole = f"This pixel looks at {says}".replace(
        "The rest", "The rest of its window is padding: zeros."
    )
    assert windows.sentence(Window(rows, columns)) == whole


def test_a_clicked_pixel_moves_the_sliders(monkeypatch: pytest.MonkeyPatch) -> None:
    session: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", session)

    def click(columns: int, *pixels: dict[str, int]) -> tuple[int, ...]:
        session["map"] = SimpleNamespace(selection={windows.charts.PIXEL: list(pixels)})
        windows._click("map", columns)
        return tuple(session[key_of(f"windows_{name}")] for name in ("row", "column"))

    assert click(14, {"row": 4, "column": 9}) == (4, 9)
    assert click(1, {"row": 6, "column": 1}) == (6, 9), "a line has no columns to choose from"
    turn = session[windows.TURN]
    assert click(14) == (6, 9) and session[windows.TURN] == turn, "beside the map"


@pytest.mark.slow
def test_a_batch_of_one_has_other_statistics() -> None:
    page = told(PICTURES, {})
    assert not any("of the test images are right" in each for each in answers(page))
    page.radio(key="guess_batch_norm_widget").set_value(batches.OPTIONS[0]).run()
    page = settled(page)
    says = re.search(r"One at a time, ([\d.]+)% of .* are right; 100 at a time, ([\d.]+)%",
                     answers(page)[-1])  # fmt: skip
    assert says
    right = batches.right_option(float(says[1]) / 100, float(says[2]) / 100)
    assert (right == batches.OPTIONS[0]) == ("and that is right" in answers(page)[-1])
    assert len([c for c in page.get("vega_lite_chart") if "tested together" in c.proto.alt]) == 2


@pytest.mark.parametrize(
    ("high", "wide", "across"), [(5, 5, 8), (5, 28, 4), (14, 14, 8), (14, 1, 16), (1, 1, 8)]
)
def test_sheets_of_filters_arrange_them_in_rows(high: int, wide: int, across: int) -> None:
    sheet = sights._sheet(np.ones((32, high, wide)), 1.0)
    assert sheet.shape == ((32 // across) * (high + 1) - 1, across * (wide + 1) - 1, 4)
    assert (sheet[:high, :wide, 3] == 255).all() and sheet[:, wide, 3].max(initial=0) == 0


@pytest.mark.usefixtures("no_full_mnist")
@pytest.mark.parametrize(
    ("story", "source", "guesses"),
    [(NUMBER, "full", [NUMBER]), (BASICS, "full_55000", [BASICS, "reduction"])],
)
def test_a_link_to_another_full_set_opens(story: str, source: str, guesses: list[str]) -> None:
    page = open_page(PAGES[story].file, source=source)
    for guess in guesses:
        radio = page.radio(key=f"guess_{guess}_widget")
        radio.set_value(radio.options[0]).run()
    assert not page.exception
    own = next(each for each in page.button_group if each.key == f"{story}_source")
    assert own.value == {NUMBER: "full_55000", BASICS: "full"}[story]


def test_one_image_is_worked_through() -> None:
    page = told(QUESTION, {})
    (worked,) = (each.value for each in page.markdown if each.value.startswith("One of them: "))
    found = re.fullmatch(
        r"One of them: its label is ([01]) and its logit z = (\S+), so p = (\S+)\. The clip "
        r"replaces p by (\S+), the same for any z so far out, so the slope dL/dz is 0\. "
        r"Without the clip it is p - y = (\S+)\.", worked,
    )  # fmt: skip
    assert found
    label, z, p, clipped, slope = map(float, found.groups())
    assert (z < 0) == (label == 1) and abs(z) > 13, "wrong, and beyond where the clip is flat"
    assert p == pytest.approx(1 / (1 + math.exp(-z)), abs=1e-6) and slope == round(p - label, 2)
    assert clipped == pytest.approx(1e-6 if label else 1 - 1e-7, rel=1e-9)
    assert "logits about 255 times as small" in said(page)
