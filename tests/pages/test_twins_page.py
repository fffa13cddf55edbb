"""Pins, the session's runs, and the page that takes two apart, as a visitor sees them."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, to_query
from core.study.twins import differing_fields, nearest_twin, twin_differences
from tests.kit import MINUTE
from tests.kit.pages import bars, go, keyed, open_page, settled, stated, viewer
from tests.kit.runs import configs, tiny
from tests.kit.runs import trained as trained_looks
from ui.charts.palette import PINS
from ui.engine import engine
from ui.trainer import nudged, runs
from ui.twins import pair

PAGE, TRAINER = "pages/lab/twins.py", "pages/lab/train.py"
A, B = tiny(learning_rate=0.1), tiny(loss="clip", learning_rate=0.1)


def said(page: AppTest) -> str:
    return " ".join(text.value for text in [*page.markdown, *page.caption, *page.warning])


def trained(page: AppTest) -> AppTest:
    engine().wait(viewer(page), 10**9, 4 * MINUTE)
    page.run()
    assert not page.exception
    return page


@given(configs, configs)
def test_a_link_restores_both_runs(a: RunConfig, b: RunConfig) -> None:
    values, notes = pair._from_query(pair.link(a, b))
    assert values == {"a": a, "b": b} and notes == []


def test_the_default_pair_is_the_questions() -> None:
    page = open_page(PAGE)
    assert not page.query_params
    page = settled(page)
    words = 'They differ in one thing, loss: **The question\'s "stable" loss** and **From logits**.'
    assert words in said(page)
    assert "Their gradients differ from **step 0** on" in said(page)
    assert bars(page, "wrong and silent") == {
        'The question\'s "stable" loss': "48.4%", "From logits": "0.0%"
    }  # fmt: skip


def test_runs_that_agree_are_said_to_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudged, "CHEAP", math.inf)
    page = settled(open_page(PAGE, **pair.link(A, replace(A, loss="optax"))))
    assert "Their gradients agree at every step, up to rounding" in said(page)
    assert said(page).count("Steady: 7 nudged copies") == 2
    assert "They end **0.0 points apart** in training accuracy. Two controls:" in said(page)
    assert "(7 nudged copies), another seed by up to" in said(page)
    drawn = [chart.proto.alt for chart in page.get("vega_lite_chart")]
    assert "Accuracy of the nudged copies by step." in drawn


def test_twins_that_only_report_otherwise_agree_and_what_is_reported_is_drawn() -> None:
    page = settled(open_page(PAGE, **pair.link(A, replace(A, report="threshold"))))
    assert "Their gradients agree at every step, up to rounding" in said(page)
    assert "Dashed: the accuracy on held-out images that a program reports." in said(page)
    (alt,) = (
        chart.proto.alt
        for chart in page.get("vega_lite_chart")
        if chart.proto.alt.startswith("Training accuracy by step")
    )
    reported = trained_looks(replace(A, report="threshold"))[-1].reported
    assert "reported accuracy logit over 0.5, reported from" in alt
    assert f"to {reported:.1%}, by step" in alt
    assert "Dashed" not in said(settled(open_page(PAGE, **pair.link(A, B))))


def test_a_different_learning_rate_parts_twins_after_the_first_update() -> None:
    page = settled(open_page(PAGE, **pair.link(A, replace(A, learning_rate=0.5))))
    assert "Their gradients differ from **step 1** on" in said(page)
    assert "Both have the same loss" in said(page)


def test_any_two_runs_are_compared_stage_by_stage_and_the_nearest_pair_is_offered() -> None:
    page = settled(open_page(PAGE, **pair.link(A, replace(B, seed=7, scaling="raw"))))
    assert "They differ before the first step, first in the **initial weights**" in said(page)
    table = next(
        html.proto.body for html in page.get("html") if "initial weights" in html.proto.body
    )
    assert "norm 4.27" in table and "from another batch" in table
    assert "These two differ in pixels and seed, too" in said(page)
    offer = next(b for b in page.button if b.label.startswith("Give the first run a twin"))
    assert "Clip, then naive" in offer.label
    page = settled(offer.click().run())
    assert "Their gradients" in said(page)
    assert page.query_params == pair.link(A, B)


def test_no_twin_is_offered_if_the_rest_is_the_same() -> None:
    page = settled(open_page(PAGE, **pair.link(A, replace(A, seed=7))))
    assert "Apart from seed, they are the same run" in said(page)
    assert not any(b.label.startswith("Give the first run") for b in page.button)
    page = open_page(PAGE, **pair.link(A, A))
    assert "Both are the same run" in page.info[0].value


def test_runs_that_learn_different_things_are_refused() -> None:
    page = open_page(PAGE, **pair.link(A, tiny(task="digits", loss="from_logits")))
    assert not page.exception and not page.get("vega_lite_chart")
    assert "These two learn different things: 5 or more? and which digit?" in page.warning[0].value


@given(configs, configs)
def test_the_nearest_twin_is_a_twin(a: RunConfig, b: RunConfig) -> None:
    twin_differences(a, near := nearest_twin(a, b))  # `twin_differences` raises unless it is a twin
    assert nearest_twin(a, near) == near
    if differing_fields(a, b).keys() <= {"learning_rate", "optimizer"}:
        assert near == b


def test_a_pasted_link_is_read_and_junk_is_reported() -> None:
    page = settled(open_page(PAGE, **pair.link(A, B)))
    query = "&".join(f"{k}={v}" for k, v in to_query(replace(A, learning_rate=0.2)).items())
    box = page.text_input(key="pasted_b")
    page = settled(box.set_value(f"https://samenet.example/train?{query}&until=end").run())
    assert stated(page, "pair_b").learning_rate == 0.2
    for junk in ("hello", "__import__('os')", "http://[", "?" * 1999):
        page.text_input(key="pasted_a").set_value(junk).run()
        assert not page.exception
        assert stated(page, "pair_a") == A and page.toast


def test_a_pinned_run_can_be_opened_again_and_unpinned() -> None:
    page = open_page(TRAINER, until="end", **to_query(A))
    page = trained(page)
    assert stated(page, "control_pins") == ()
    page.button(key="pin").click().run()
    assert stated(page, "control_pins") == (A,)
    keyed(page.select_slider, "control_learning_rate").set_value(1.0).run()
    page = trained(page)
    page.button(key="pin").click().run()
    second = replace(A, learning_rate=1.0)
    assert stated(page, "control_pins") == (A, second)
    keyed(page.selectbox, "shelf_open").set_value(A).run()
    assert not page.exception and viewer(page).config == A
    page.button(key="pin").click().run()
    assert stated(page, "control_pins") == (second,), "a second press unpins"
    keyed(page.multiselect, "shelf_pinned").set_value([A, second]).run()
    assert stated(page, "control_pins") == (A, second)
    page.query_params.clear()
    page = settled(go(page, PAGE))
    assert stated(page, "pair_a") == RunConfig(), "the page has its own link and settings"
    options = page.selectbox(key="pair_a").options
    assert sum("learning rate 1" in option.split(", ") for option in options) == 1


@pytest.mark.slow
def test_the_last_runs_and_the_pinned_ones_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "LAST", 3)
    page = trained(open_page(TRAINER, until="end", **to_query(A)))
    page.button(key="pin").click().run()
    for rate in (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0):
        keyed(page.select_slider, "control_learning_rate").set_value(rate).run()
        page = trained(page)
        if rate < 10:
            page.button(key="pin").click().run()
    assert len(stated(page, "control_pins")) == len(PINS)
    assert set(stated(page, "control_pins")) <= set(page.session_state[runs.WATCHED])
    assert len(page.session_state[runs.WATCHED]) == runs.LAST + len(PINS)
