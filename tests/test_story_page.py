"""The story of 79% or 91%, as a visitor reads it."""

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.run.snapshot import silent_and_wrong
from tests.conftest import open_page, settled
from ui.charts import twins as charts
from ui.pictures import contact_sheet
from ui.story import chance

PAGE = "pages/stories/jax_vs_keras.py"


def told(query: dict[str, str], guess: int = 1) -> AppTest:
    """The story after a guess, with every run at its end."""
    page = open_page(PAGE, **query)
    assert not page.exception and not page.get("vega_lite_chart"), "nothing before the guess"
    page.radio(key="guess").set_value(page.radio(key="guess").options[guess]).run()
    settled(page)  # the pair
    return settled(page)  # and the backends


def column(page: AppTest, name: str) -> list[str]:
    return next(t.value[name].tolist() for t in page.table if name in t.value.columns)


def test_the_story_as_it_was_asked() -> None:
    page = told({})
    assert "Keras ends at 90.9%: that was it." in page.success[0].value
    assert column(page, "JAX, clipped") == ["56.5%", "38.1%", "83.8%", "83.8%", "48.4%"]
    assert column(page, "Keras on TensorFlow")[-1] == "0.0%"
    assert any(
        "**484 of 1,000 digits are wrong and have no say" in text.value for text in page.markdown
    )
    mechanism = next(t.value for t in page.markdown if "No say is not no hope" in t.value)
    assert re.search(r"of these 484 images 3\d\d are right at step 10", mechanism)
    assert any("part at **step 0**" in text.value for text in page.markdown)
    assert column(page, "published") == ["43.5%", "43.5%", "79.2%", "90.9%", "90.9%", "79.2%"]
    measured = [float(text.rstrip("%")) for text in column(page, "measured here")]
    assert measured[:2] == [43.5, 43.5] and measured[3] == measured[4] == 90.9
    assert measured[2] == measured[5] and 51 <= measured[2] <= 85
    assert column(page, "final accuracy")[0] == "90.9%"


def test_pixels_from_0_to_1_make_the_gap_vanish() -> None:
    page = told({"scaling": "unit"}, guess=2)
    assert page.success[0].value.endswith("that was it.")
    assert any("every image that is wrong has a gradient" in t.value for t in page.markdown)
    assert not any("no say" in each.value for each in [*page.markdown, *page.header])


def test_a_wrong_guess_is_told() -> None:
    assert told({}, guess=0).success[0].value.endswith("look why not.")


def test_the_band_tells_fact_from_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "PERTURBATIONS", 7)
    monkeypatch.setattr(chance, "SEEDS", range(2))
    page = told({"seed": "3"})  # collapsed: also without chance
    next(b for b in page.button if b.label.startswith("Repeat both")).click().run()
    assert not page.exception
    says = [text.value for text in page.markdown if text.value.startswith("- **")]
    assert len(says) == 2 and all("a fact." in text for text in says)
    assert "51.0% every time" in says[0] and "90.7% every time" in says[1]


def test_band_tables_hold_the_whole_range() -> None:
    accuracy = np.array([[0.4, 0.7], [0.4, 0.5], [0.4, 0.9]])
    table = charts.band_tables([charts.Band("a", [0, 1], accuracy)])["band"].to_pylist()
    assert table[1] == {"series": "a", "step": 1, "low": 0.5, "high": 0.9, "own": 0.7}


def test_contact_sheet_is_ink_on_paper() -> None:
    images = np.zeros((5, 784), np.uint8)
    images[4] = 255
    sheet = contact_sheet(images, columns=3)
    assert sheet.shape == (2 * 32 * 4, 3 * 32 * 4)
    assert sheet[0, 0] == 255, "paper"
    assert sheet[32 * 4 + 64, 32 * 4 + 64] == 0, "the fifth is in the second row, second column"


def test_silent_digits_are_wrong_and_shown_surest_first() -> None:
    page = told({})
    first = page.session_state["story_viewers"][RunConfig()].view().snapshots[0]
    logits = first.margins[silent_and_wrong(first)]
    assert np.all((logits >= 0) != (first.labels[silent_and_wrong(first)] == 1))
    assert np.all(np.diff(np.abs(logits)) <= 0)
