"""The home page: a recorded race, and the same race live."""

import json

from core.run.job import Status
from tests.kit import MINUTE
from tests.kit.pages import open_page
from ui.charts import home
from ui.engine import engine
from ui.home import RECORDED, RUNS, STEPS


def test_the_race_is_recorded_and_then_live() -> None:
    page = open_page("pages/home.py")
    assert not page.exception
    assert any(each.value.startswith("Measured with JAX") for each in page.caption)
    page.button(key="race_button").click().run()
    viewers = page.session_state["story_viewers"].values()
    ended = [viewer.view().status is Status.DONE for viewer in viewers]
    assert page.button(key="race_button").disabled or all(ended)  # if a test has trained them
    for viewer in viewers:
        assert engine().wait(viewer, 10**9, 4 * MINUTE).status is Status.DONE
    page.run()
    assert not page.exception
    assert any(each.value.startswith("Live, seed 0, done: JAX on") for each in page.caption)
    assert page.button(key="race_button").label == "Another seed"
    page.button(key="race_button").click().run()
    assert {viewer.config.seed for viewer in page.session_state["story_viewers"].values()} == {0, 1}


def test_the_record_shows_the_home_page_s_runs() -> None:
    rows = json.loads(RECORDED.read_text())["rows"]
    assert [row["loss"] for row in rows] == [label for label in RUNS for _ in range(STEPS + 1)]
    assert [row["step"] for row in rows] == [*range(STEPS + 1)] * len(RUNS)
    textbook = [row["accuracy"] for row in rows if row["loss"] == "as in the textbook"]
    assert textbook[0] == 0.435 and textbook[1:] == [None] * STEPS, (
        "an accuracy of NaN predictions is missing"
    )
    assert home.table(rows).num_rows == len(rows)
