"""Pages whose visitor is quicker than they are.

The browser's next request ends the script's run where that next uses the session's state.
"""

import ast
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx
from streamlit.runtime.state.common import user_key_from_element_id
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.testing.v1 import AppTest

from core.config import to_query
from core.parts.losses import LOSSES
from core.run.engine import Engine
from core.run.job import Viewer
from tests.kit import ROOT
from tests.kit.pages import keyed, open_page, seen, viewer
from tests.kit.runs import tiny
from ui import home
from ui.pieces.chosen import KEY as CHOSEN
from ui.state import PageState
from ui.streamlit_privates import let_callbacks_end
from ui.trainer.link import LOOK

CONFIG = tiny(epochs=1000)


@pytest.fixture(autouse=True)
def as_served(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SafeSessionState.on_script_will_rerun
    monkeypatch.setattr(SafeSessionState, "on_script_will_rerun", whole)
    let_callbacks_end()


def trainer() -> AppTest:
    page = open_page("pages/lab/train.py", **to_query(CONFIG), until="end")
    assert viewer(page).config == CONFIG
    return page


def asked_for_meanwhile(
    patch: pytest.MonkeyPatch, owner: Any, name: str, widgets: WidgetStates
) -> list[Any]:
    """Have the browser's next request come while `owner.name` is called for the first time.

    Returns a list, which that call adds its result to.
    """
    returned, function = list[Any](), getattr(owner, name)

    def slow(*args: Any, **others: Any) -> Any:
        patch.setattr(owner, name, function)
        context = get_script_run_ctx()
        assert context is not None and context.script_requests is not None
        context.script_requests.request_rerun(
            RerunData(context.query_string, widgets, context.page_script_hash)
        )
        returned.append(function(*args, **others))
        return returned[-1]

    patch.setattr(owner, name, slow)
    return returned


def test_going_back_to_a_run_while_the_next_one_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = trainer()
    asked: list[Viewer] = asked_for_meanwhile(
        monkeypatch, Engine, "submit", page._tree.get_widget_states()
    )
    keyed(page.number_input, "control_seed").set_value(5).run()
    assert not page.exception
    assert asked[0].config == tiny(epochs=1000, seed=5) and asked[0].stopped
    assert viewer(page).config == CONFIG and not viewer(page).stopped


def test_a_loss_brings_its_epsilon_whatever_is_changed_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = trainer()
    loss, seed = keyed(page.select_slider, "control_loss"), keyed(page.number_input, "control_seed")
    loss.set_value("mxnet")
    seed.set_value(5)
    both = page._tree.get_widget_states()
    seed.set_value(CONFIG.seed)
    asked_for_meanwhile(monkeypatch, PageState, "value", both)
    page.run()
    assert not page.exception
    own = LOSSES["mxnet"].epsilon
    assert own != CONFIG.epsilon
    assert viewer(page).config == tiny(epochs=1000, loss="mxnet", epsilon=own, seed=5)


def test_a_new_run_is_followed_though_the_browser_still_says_that_the_visitor_looks_back() -> None:
    page = trainer()
    keyed(page.slider, "scrubber").set_value(3).run()
    assert page.query_params[LOOK] == "3"
    keyed(page.number_input, "control_seed").set_value(5)
    before = page._tree.get_widget_states()
    page.run()
    assert LOOK not in page.query_params
    page._run(before)
    assert not page.exception and viewer(page).config == tiny(epochs=1000, seed=5)
    assert LOOK not in page.query_params


def still_said(page: AppTest, said: WidgetStates, name: str) -> WidgetStates:
    """What a browser sends now that has not heard yet what became of what it `said` of a widget."""
    (old,) = (each for each in said.widgets if user_key_from_element_id(each.id) == name)
    now = [each for each in page._tree.get_widget_states().widgets if each.id != old.id]
    return WidgetStates(widgets=[*now, old])


def test_a_visitor_goes_back_to_a_run_once_however_often_the_browser_says_so() -> None:
    page = seen(trainer(), 2)
    seen(keyed(page.number_input, "control_seed").set_value(5).run(), 2)
    keyed(page.selectbox, "shelf_open").set_value(CONFIG)
    said = page._tree.get_widget_states()
    page.run()
    assert viewer(page).config == CONFIG
    for seed in (7, 8):
        keyed(page.number_input, "control_seed").set_value(seed)
        page._run(still_said(page, said, "shelf_open"))
        assert not page.exception and viewer(page).config == tiny(epochs=1000, seed=seed)


def test_images_that_were_let_go_of_are_not_chosen_again_by_what_the_browser_still_says() -> None:
    page = seen(trainer(), 1)
    keyed(page.pills, "train_band").set_value("wrong, with gradient").run()
    said = page._tree.get_widget_states()
    page.button(key="train_close").click().run()
    assert page.session_state[CHOSEN] is None
    page._run(still_said(page, said, "train_band"))
    assert not page.exception and page.session_state[CHOSEN] is None


def test_a_click_counts_although_more_is_asked_for_before_the_page_gets_to_its_button(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = open_page("pages/home.py")
    asked_for_meanwhile(monkeypatch, home, "_draw", page._tree.get_widget_states())
    page.button(key="race_button").click().run()
    assert not page.exception
    assert page.session_state[home.SEED] == 0


def test_every_button_acts_in_a_callback() -> None:
    """Only a callback is run to its end, whatever is asked for meanwhile."""
    calls = [
        (file.relative_to(ROOT).as_posix(), call.lineno, {each.arg for each in call.keywords})
        for folder in ("ui", "pages")
        for file in (ROOT / folder).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "button"
    ]
    assert len(calls) > 20
    assert [place for *place, settings in calls if "on_click" not in settings] == []
