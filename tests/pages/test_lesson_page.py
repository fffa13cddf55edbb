"""The trainer as a link opens it: with pins, at a step, less what is hidden, after a question."""

from urllib.parse import urlencode

from streamlit.testing.v1 import AppTest

from core.run.job import Status
from tests.kit import MINUTE
from tests.kit.pages import answers, keyed, open_page, settled, stated, viewer, without_widgets
from tests.kit.runs import tiny
from ui.engine import engine
from ui.trainer import runs
from ui.trainer.link import Opened, write

A, B = tiny(), tiny(learning_rate=1.0)
TRAINER = "pages/lab/train.py"


def opened(link: Opened) -> AppTest:
    page = open_page(TRAINER, **write(link.config, link.rest()))
    assert not page.exception
    return page


def ended(page: AppTest) -> AppTest:
    view = engine().wait(viewer(page), 10**9, 4 * MINUTE)
    assert view.status is Status.DONE
    return settled(page)


def test_a_link_with_pins_trains_them_and_keeps_them() -> None:
    page = opened(Opened(A, pins=(B,)))
    view = engine().wait(engine().submit(B), 10**9, 4 * MINUTE)
    page.run()
    assert page.session_state[runs.WATCHED][B][-1].step == view.steps == 10
    assert page.query_params["pins"] == write(A, Opened(A, pins=(B,)).rest())["pins"]
    keyed(page.multiselect, "shelf_pinned").set_value([]).run()
    assert "pins" not in page.query_params and stated(page, "control_pins") == ()
    page.button(key="pin").click().run()
    assert stated(page, "control_pins") == (A,)
    keyed(page.selectbox, "preset").set_value("question").run()
    assert page.query_params == {"pins": page.query_params["pins"]}
    page.button(key="reset").click().run()
    assert stated(page, "control_pins") == (A,) and "pins" in page.query_params


def test_a_link_says_what_step_is_looked_at() -> None:
    page = ended(opened(Opened(A, until=float("inf"), step=3)))
    assert any("After step 3:" in info.value for info in page.info)
    assert page.query_params["step"] == "3"
    keyed(page.slider, "scrubber").set_value(10).run()
    assert "step" not in page.query_params
    keyed(page.slider, "scrubber").set_value(4).run()
    assert page.query_params["step"] == "4"


def test_what_a_link_hides_keeps_its_value() -> None:
    hide = ("diagnosis", "optimizer", "loss", "learning_rate", "seed", "dropout")
    config = tiny(learning_rate=1.0, seed=3)
    page = opened(Opened(config, hide=hide))
    drawn = [
        each.key or "" for kind in ("select_slider", "number_input") for each in page.get(kind)
    ]
    assert not [key for key in drawn if key.startswith(("control_learning", "control_seed"))]
    assert "Optimizer" not in [each.label for each in page.expander]
    assert viewer(page).config == config
    assert not [each for each in page.info if each.value.startswith("After step")]
    keyed(page.select_slider, "control_epochs").set_value(3).run()
    assert viewer(page).config == tiny(learning_rate=1.0, seed=3, epochs=3)
    assert page.query_params["hide"] == ".".join(hide)
    page.button(key="show_all").click().run()
    assert keyed(page.number_input, "control_seed").value == 3
    assert "hide" not in page.query_params


def test_a_question_comes_before_the_run_and_its_answer_after() -> None:
    page = opened(Opened(A, ask="accuracy"))
    assert len(page.radio) == 1 and "on_screen" not in page.session_state
    page.radio[0].set_value("95% or more").run()
    assert not page.radio and page.query_params["ask"] == "accuracy"
    assert "Train the run to its end" in page.info[0].value and not answers(page)
    page.button(key="train").click().run()
    page = ended(page)
    assert "You said “95% or more”. The answer is “" in answers(page)[0]
    # Another link with the same question asks it again.
    page.query_params.clear()
    page.query_params.update(write(B, Opened(B, ask="accuracy").rest()))
    assert len(without_widgets(page).radio) == 1


def test_a_teacher_makes_a_link() -> None:
    page = opened(Opened(A, pins=(B,)))
    page.session_state["teach"] = True
    page.run()
    page.multiselect(key="teach_hide").set_value(["seed", "optimizer"])
    page.selectbox(key="teach_ask").set_value("held_out")
    page.number_input(key="teach_step").set_value(5).run()
    made = Opened(A, until=5, pins=(B,), hide=("optimizer", "seed"), ask="held_out")
    assert not page.exception
    (link,) = (each for each in page.get("bidi_component") if "teach" in str(each.proto))
    assert urlencode(write(A, made.rest())) in str(link.proto)
