"""The stories, as a visitor reads them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.presets import PRESETS
from core.run.prepare import device_data
from core.run.snapshot import silent_and_wrong
from core.study import masks
from core.study.lasagne import CLAIMS
from tests.conftest import ROOT, bars, bodies, go, open_page, settled
from ui.charts import twins as charts
from ui.pages import PAGES
from ui.story import chance, readings
from ui.story.chapters import CHAPTERS
from ui.story.what_if import GOES, STAYS, TURNS, _answer

QUESTION, NUMBER, EPSILON = "jax_vs_keras", "keep_or_drop", "epsilon"
STORIES = {key: row for key, row in PAGES.items() if row.section == "Stories"}


def told(story: str, query: dict[str, str], guess: int = 1) -> AppTest:
    """A story after a guess, with every run and errand at its end."""
    page = open_page(PAGES[story].file, **query)
    assert not page.exception and not page.get("vega_lite_chart"), "nothing before the guess"
    radio = page.radio(key=f"guess_{story}_widget")
    radio.set_value(radio.options[guess]).run()
    settled(page)  # the pair
    return settled(page)  # and what it brings


def said(page: AppTest) -> str:
    return "\n".join(text.value for text in page.markdown)


@pytest.mark.parametrize("story", STORIES)
def test_every_story_has_the_same_shape(story: str) -> None:
    page = told(story, {})
    chapters = re.findall(r'class="kicker">\d · (.*?)</p>', bodies(page))
    assert chapters == list(CHAPTERS.values())
    assert len(page.header) == len(CHAPTERS)
    others = {row.label for key, row in STORIES.items() if key != story}
    assert others <= {link.proto.label for link in page.get("page_link")}


@pytest.mark.parametrize("story", STORIES)
def test_a_story_page_only_wires(story: str) -> None:
    assert len((ROOT / PAGES[story].file).read_text().splitlines()) < 80


def test_the_question_as_it_was_asked() -> None:
    page = told(QUESTION, {})
    assert "Keras on TensorFlow ends at 90.9%: that was it." in page.success[0].value
    assert bars(page, "wrong") == {"JAX, clipped": "56.5%", "Keras on TensorFlow": "56.5%"}
    assert bars(page, "wrong and no say") == {
        "JAX, clipped": "48.4%",
        "Keras on TensorFlow": "0.0%",
    }
    assert "After step 0, 484 images (48%) are wrong and stand where the slope is" in said(page)
    mechanism = next(t.value for t in page.markdown if "No say is not no hope" in t.value)
    assert re.search(r"of these 484 images 3\d\d are right at step 10", mechanism)
    assert "part at **step 0**" in said(page)
    assert bars(page, "Initial JAX accuracy") == {"published": "43.5%", "measured here": "43.5%"}
    assert bars(page, "Final Keras accuracy") == {"published": "90.9%", "measured here": "90.9%"}
    here = bars(page, "Final JAX accuracy")
    assert here["published"] == "79.2%" and 51 <= float(here["measured here"][:-1]) <= 85
    assert bars(page, "Keras 3 on TensorFlow") == {"training accuracy at the end": "90.9%"}
    cards = re.findall(r'<ul class="cards wide">(.*?)</ul>', bodies(page))[0]
    assert "slope, JAX, clipped</dt><dd>0<" in cards


def test_the_steps_of_the_spine_say_who_was_carried_along() -> None:
    page = told(QUESTION, {})
    page.select_slider(key="spine_step").set_value(10).run()
    assert not page.exception
    now = next(t.value for t in page.markdown if t.value.startswith("After step 10,"))
    assert re.search(r"Of the 484 that stood so at the start, 3\d\d are right by now", now)
    page.button(key="spine_play").click().run()
    for _ in range(11):  # AppTest fires no timer: it reruns
        page.run()
    assert page.session_state["spine_step"] == 10 and not page.session_state["spine_plays"]


def test_pixels_from_0_to_1_make_the_gap_vanish() -> None:
    page = told(QUESTION, {"scaling": "unit"}, guess=2)
    assert page.success[0].value.endswith("that was it.")
    assert "every image that is wrong has a gradient" in said(page)
    assert "no image is wrong without a slope" in said(page)
    assert not any("no say" in each.value for each in page.header)


def test_the_second_prediction_is_asked_before_it_can_be_seen() -> None:
    page = told(QUESTION, {})
    charts_before = len(page.get("vega_lite_chart"))
    radio = page.radio(key="guess_pixels_widget")
    assert radio.options == [STAYS, GOES, TURNS] and radio.value is None
    assert not any("scaling" in str(each.key) for each in page.get("button_group"))
    radio.set_value(GOES).run()
    page = settled(page)
    assert len(page.get("vega_lite_chart")) > charts_before
    assert page.success[-1].value.endswith("that was it.")


def test_answers_of_a_second_prediction() -> None:
    assert _answer(0.1, 0.01) == GOES and _answer(0.1, 0.2) == STAYS
    assert _answer(-0.1, -0.03) == STAYS and _answer(0.1, -0.2) == TURNS


def test_a_wrong_guess_is_told_and_kept_on_another_page() -> None:
    page = told(QUESTION, {}, guess=0)
    assert "the answer is “Keras: something in it keeps learning”" in page.success[0].value
    page = go(go(page, "pages/home.py"), PAGES[QUESTION].file)
    assert page.radio(key=f"guess_{QUESTION}_widget").value == "JAX: its loss was made stable"


def test_the_band_tells_fact_from_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "PERTURBATIONS", 7)
    monkeypatch.setattr(chance, "SEEDS", range(2))
    page = told(QUESTION, {"seed": "3"})  # collapsed: also without chance
    next(b for b in page.button if b.label.startswith("Repeat both")).click().run()
    page = settled(page)
    says = [text.value for text in page.markdown if text.value.startswith("- **")][:2]
    assert all("a fact." in text for text in says)
    assert "51.0% every time" in says[0] and "90.7% every time" in says[1]


def test_band_tables_hold_the_whole_range_and_nan_is_a_gap() -> None:
    accuracy = np.array([[0.4, 0.7], [0.4, 0.5], [0.4, np.nan]])
    first, last = charts.band_tables([charts.Band("a", [0, 5], accuracy)])["band"].to_pylist()
    assert first == {"series": "a", "step": 0, "low": 0.4, "high": 0.4, "own": 0.4}
    assert last == {"series": "a", "step": 5, "low": None, "high": None, "own": 0.7}


def test_silent_digits_are_wrong_and_shown_surest_first() -> None:
    page = told(QUESTION, {})
    first = page.session_state["story_viewers"][RunConfig()].view().snapshots[0]
    logits = first.margins[silent_and_wrong(first)]
    assert np.all((logits >= 0) != (first.labels[silent_and_wrong(first)] == 1))
    assert np.all(np.diff(np.abs(logits)) <= 0)


START = RunConfig(**PRESETS["keep_or_drop"].overrides)


def test_one_number_and_both_readings() -> None:
    page = told(NUMBER, {})
    left = re.search(
        r"leaves (\d+) in the one and (\d+) in the other: that was", page.success[0].value
    )
    assert left and 150 <= int(left[1]) <= 205 and 50 <= int(left[2]) <= 105
    starved = [info.value for info in page.info if "Dropping starves it" in info.value]
    assert len(starved) == 1 and starved[0].startswith("**dropped: Keras**")
    assert said(page).count("one training has three accuracies") == 2
    assert "stax.Dropout(rate)` keeps its rate" in said(page)


def test_the_cards_show_the_masks_of_the_training_itself() -> None:
    page = told(NUMBER, {})
    shown = re.findall(r"(\d+) of 256 units survive this step, each × ([\d.]+)", bodies(page))
    assert len(shown) == len(readings.FORMS)
    for form, (count, factor) in zip(readings.FORMS, shown, strict=True):
        config = replace(START, dropout=form)
        data = device_data(config, lambda fraction, text: None)
        multipliers = masks.multipliers(config, data, 0)[0][0]
        assert int(count) == np.count_nonzero(multipliers)
        assert float(factor) == pytest.approx(multipliers.max(), rel=5e-3)


def test_at_one_half_both_readings_are_one() -> None:
    config = replace(START, dropout_value=0.5)
    kept, dropped = (readings.survivors(replace(config, dropout=f)) for f in ("keep_prob", "rate"))
    assert kept == dropped
    here = readings.charts.tables(0.5)["here"].to_pylist()
    assert [row["kept"] for row in here] == [0.5, 0.5]


def test_finite_loss_and_a_gradient_of_nan() -> None:
    page = told(EPSILON, {}, guess=2)
    assert re.search(
        r"The loss is 11\d\.\d, and 100% of its gradient is NaN: that was it", page.success[0].value
    )
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


def test_pixels_from_0_to_1_turn_nan_into_agreement() -> None:
    page = told(EPSILON, {"scaling": "unit"}, guess=2)
    assert "Without a clip 0% of the gradient is NaN" in said(page)
