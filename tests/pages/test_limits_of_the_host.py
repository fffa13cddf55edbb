"""What a visitor is told of the host's limits: as what this server does, not as an error."""

from types import SimpleNamespace

import pytest

from core.config import RunConfig, to_query
from core.run.budget import FULL
from core.study.sweep import Plan
from tests.kit.pages import open_page, viewer
from tests.kit.runs import tiny
from ui import home
from ui.engine import engine
from ui.sweep import setting
from ui.trainer import runs


def test_the_trainer_keeps_to_the_limits_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(epochs=8)
    most = 5 * config.steps_per_epoch
    monkeypatch.setenv("SAMENET_STEPS", str(most))
    monkeypatch.setenv("SAMENET_DATA", "ou")
    page = open_page("pages/lab/train.py", **to_query(config))
    assert not page.exception and not page.error
    assert viewer(page).config == tiny(epochs=5)
    assert f"epochs is now 5: this server trains up to {most} steps" in page.toast[0].value
    assert f"This server trains up to {most} steps." in [text.value for text in page.caption]
    offered = next(menu for menu in page.selectbox if menu.label == "data").options
    assert offered == ["Sample (5,000 images)", "Ornstein-Uhlenbeck series"]


def test_a_story_s_run_beyond_the_limits_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMENET_WIDTH", "8")
    page = open_page("pages/home.py")
    page.session_state[home.SEED] = 12_345  # that no other test of this engine has raced with
    page.run()
    assert not page.exception and not page.error
    told = [warning.value for warning in page.warning]
    assert told == ["This server trains layers of up to 8 units, and this run's widest has 1,000."]


@pytest.mark.parametrize(
    ("variable", "limit", "told"),
    [
        ("SAMENET_SWEEP_CELLS", "3", "4 runs: this page sweeps up to 3."),
        ("SAMENET_STEPS", "100", "This server trains up to 100 steps, and this run takes"),
    ],
)
def test_a_sweep_beyond_the_limits_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, variable: str, limit: str, told: str
) -> None:
    plan = Plan(base=tiny(), axes={"seed": (0, 1), "epochs": (3, 200)})
    query = setting._to_query({"plan": plan})
    monkeypatch.setenv(variable, limit)
    page = open_page("pages/lab/sweep.py", **query)
    assert not page.exception and not page.error
    assert "Start the sweep" not in [button.label for button in page.button]
    assert any(told in warning.value for warning in page.warning)


def test_nothing_is_said_of_limits_where_there_are_none() -> None:
    page = open_page("pages/lab/train.py", **to_query(tiny()))
    assert not any("This server trains" in text.value for text in page.caption)
    assert RunConfig() != tiny()


# Memory


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose memory is taken."""
    monkeypatch.setattr(engine().budget, "bytes", 1)
    monkeypatch.setattr(engine().budget, "used", lambda: 1)
    monkeypatch.setattr(engine().budget, "keep", lambda: True)  # other tests need what it has


@pytest.mark.usefixtures("full")
def test_a_full_server_tells_its_visitor_and_takes_the_run_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = open_page("pages/lab/train.py", **to_query(tiny(seed=31)))
    assert not page.exception and not page.error
    assert [text.value for text in page.warning] == [FULL]
    monkeypatch.setattr(engine().budget, "bytes", 2)
    page.run()
    assert not page.warning and viewer(page).alive()


@pytest.mark.usefixtures("full")
def test_a_full_server_says_that_a_sweep_waits() -> None:
    plan = Plan(base=tiny(seed=77), axes={"epochs": (1, 2)})
    page = open_page("pages/lab/sweep.py", **setting._to_query({"plan": plan}))
    start = next(button for button in page.button if button.label == "Start the sweep")
    page = start.click().run()
    assert not page.exception and not page.error
    assert page.get("progress")[0].proto.text == "0 of 2 runs, waiting: this server is full"
    next(button for button in page.button if button.label == "Forget it").click().run()


def test_the_runs_of_the_session_seen_longest_ago_are_thinned_first() -> None:
    looks = [SimpleNamespace(step=step, nbytes=1) for step in range(20)]
    old, new = runs.Watched({tiny(): looks[:9]}), runs.Watched({tiny(): looks, tiny(seed=1): []})
    old.used, new.used = 1.0, 2.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_everybodys", {1: new, 2: old})
        freed = [runs.let_go_of_looks() for _ in range(4)]
    assert freed == [4, 9, 5, None]
    assert [look.step for look in old[tiny()]] == [0, 2, 4, 6, 8]
    assert [look.step for look in new[tiny()]] == [0, 4, 8, 12, 16, 19]
