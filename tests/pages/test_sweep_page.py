"""The page of sweeps as a visitor sees it."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import streamlit
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, to_query
from core.study.sweep import BROKEN, SWEEPS, TRAINS, Memory, Plan, from_json, sweep, table, to_json
from tests.kit import MINUTE
from tests.kit.pages import go, keyed, open_page, stated, tables
from tests.kit.runs import configs, tiny
from ui.engine import engine
from ui.sweep import course, example, results, setting

PAGE = "pages/lab/sweep.py"
PLAN = Plan(base=tiny(), axes={"loss": ("clip", "from_logits"), "seed": tuple(range(4))})


def link(plan: Plan) -> dict[str, str]:
    return setting._to_query({"plan": plan})


def opened(plan: Plan) -> AppTest:
    page = open_page(PAGE, **link(plan))
    assert not page.exception
    return page


def press(page: AppTest, words: str) -> AppTest:
    button = next(button for button in page.button if button.label == words)
    page = button.click().run()
    assert not page.exception
    return page


def swept(page: AppTest) -> AppTest:
    """The page, once its sweep has ended."""
    deadline = time.monotonic() + 4 * MINUTE
    while any(button.label == "Pause" for button in page.button):
        assert time.monotonic() < deadline, "the sweep did not end"
        time.sleep(0.1)
        page.run()
        assert not page.exception
    return page


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


@pytest.fixture(scope="module", autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """Let no compilation outlive these tests: it could no longer write to its folder."""
    yield
    deadline = time.monotonic() + 4 * MINUTE
    while engine().errands.waiting() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture(scope="module")
def done() -> AppTest:
    return swept(press(opened(PLAN), "Start the sweep"))


@given(configs, st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True))
def test_a_link_restores_its_plan(base: RunConfig, seeds: list[int]) -> None:
    plan = Plan(base=base, axes={"seed": tuple(seeds), "learning_rate": (1e-8, 0.1, 1e3)})
    values, notes = setting._from_query(link(plan))
    assert values == {"plan": plan} and notes == []


def test_a_link_restores_losses_that_contain_commas() -> None:
    own = "max(z, 0) - z*y + log1p(exp(-abs(z)))"
    plan = Plan(base=tiny(loss=own), axes={"loss": ("clip", own, "where(y == 1, max(-z, 0), z)")})
    assert setting._from_query(link(plan)) == ({"plan": plan}, [])


def test_every_preset_has_its_own_link() -> None:
    assert link(setting.DEFAULT) == {}
    for row in SWEEPS.values():
        assert setting._from_query(link(row.plan)) == ({"plan": row.plan}, [])


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ({"over_seed": "0,x"}, "seed: one value is left out"),
        ({"over_nothing": "1"}, "an axis that is not a setting was ignored"),
        ({"over_loss": "clip,hinge"}, "loss: one value is left out"),
        ({"over_seed": ",".join(map(str, range(1500)))}, "seed: the first 1,000 of 1,500 values"),
        ({"over_batch_size": "10,5000"}, "batch_size is 5000; allowed is"),
        ({"colour": "red", "over_seed": "1"}, "is not a setting and was ignored"),
    ],
)
def test_a_bad_link_is_reported_and_still_gives_a_plan(query: dict[str, str], note: str) -> None:
    values, notes = setting._from_query(query)
    assert isinstance(values["plan"], Plan)
    assert any(note in each for each in notes), notes


def test_the_cost_is_shown_before_anything_starts() -> None:
    page = opened(PLAN)
    deadline = time.monotonic() + 2 * MINUTE
    while "The first one took" not in page.info[0].value:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        page.run()
    assert page.info[0].value.startswith("**8 runs**, compiled once. The first one took")
    assert "kept in memory" in page.caption[-1].value
    assert "Start the sweep" in labels(page)


def test_results_are_those_of_the_sweep_and_every_run_opens(done: AppTest) -> None:
    store = Memory()
    for _ in sweep(PLAN, store):
        pass
    rows = course.rows_of(engine().errands.peek(("sweep", PLAN.key)))
    assert table(PLAN, rows).equals(table(PLAN, store.done()))
    assert len(done.get("vega_lite_chart")) == 3
    (figures,) = tables(done)
    assert figures["loss"] == ["Clip, then naive", "From logits"]
    assert figures["runs"] == ["4", "4"]
    csv, parquet = results.files(PLAN, rows)
    assert pq.read_table(pa.BufferReader(parquet)).num_rows == 8
    assert pa.csv.read_csv(pa.BufferReader(csv)).num_rows == 8

    page = done.selectbox(key="sweep_by_name").set_value(5).run()
    (way,) = [link.proto for link in page.get("page_link") if "Open in" in link.proto.label]
    query = dict(parse_qsl(way.query_string))
    assert query.pop("until") == "end" and query == to_query(PLAN.cells[5])
    assert "seed 1" in way.label


def test_a_click_that_becomes_a_run_of_the_whole_page_is_answered_once(done: AppTest) -> None:
    """Streamlit makes one run of a click's and of the whole page's, if that waits."""

    def links() -> int:
        shown = [each.proto.label for each in done.run().get("page_link")]
        return sum("Open in the trainer" in label for label in shown)

    without = links()
    done.session_state[results.PICKED] = (0, 1)
    done.session_state[results.SHOWN] = False
    assert (links(), links()) == (without + 2, without)


def test_a_square_of_many_runs_lists_some_and_finds_the_others(
    done: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = course.rows_of(engine().errands.peek(("sweep", PLAN.key)))
    picked = results.runs_of(PLAN, rows)
    monkeypatch.setattr(results, "LINKS", 2)
    monkeypatch.setattr(results, "_link", lambda plan, run: streamlit.caption(f"run {run.cell}"))

    def dialog(plan: object, picked: object) -> None:
        from ui.sweep import results

        results._links(plan, picked)  # type: ignore[arg-type]

    page = AppTest.from_function(dialog, args=(PLAN, picked)).run()
    assert [each.value for each in page.caption] == ["run 0", "run 1"]
    assert len(page.selectbox(key="sweep_more").options) == len(picked) - 2


def test_a_paused_sweep_can_continue_and_a_forgotten_one_is_gone() -> None:
    plan = Plan(base=tiny(epochs=3), axes={"seed": tuple(range(40))})
    page = press(press(opened(plan), "Start the sweep"), "Pause")
    assert "Pause" not in labels(page) and "Forget it" in labels(page)
    if "Go on" in labels(page):  # unless the sweep has already ended
        page = press(page, "Go on")
    page = swept(page)
    assert tables(page)[0]["runs"] == ["1"] * 40
    other = opened(plan)
    assert "Forget it" not in labels(other) and "CSV" not in labels(page)
    assert any("started in another visit" in each.value for each in other.caption)
    page = press(page, "Forget it")
    assert "Start the sweep" in labels(page)
    assert engine().errands.peek(("sweep", plan.key)) is None


def test_a_run_that_is_still_to_come_is_not_shown_as_nan() -> None:
    plan = Plan(base=tiny(), axes={"loss": ("clip", "from_logits", "naive")})
    row: Any = {"outcome": TRAINS, "train_accuracy": 0.5}
    broken: Any = {"outcome": BROKEN, "train_accuracy": math.nan}
    runs = results.runs_of(plan, {0: row, 2: broken})
    found = results.lines(plan, results.roles(plan), runs)
    assert found["runs"] == ["1", "0", "1"]
    assert found["median"] == ["50.0%", results.NOT_YET, "NaN"]


def test_an_axis_is_chosen_and_an_empty_one_refused() -> None:
    page = open_page(PAGE)
    assert keyed(page.multiselect, "sweep_axes").value == ["loss", "seed"]
    page = keyed(page.multiselect, "sweep_axes").set_value(["optimizer", "seed"]).run()
    assert page.query_params["over_optimizer"].split(",")[0] == "sgd"
    page = keyed(page.number_input, "sweep_values_seed").set_value(2).run()
    assert page.query_params["over_seed"] == "0,1"
    page = keyed(page.multiselect, "sweep_values_optimizer").set_value([]).run()
    assert len(keyed(page.multiselect, "sweep_values_optimizer").value) > 1
    assert "an axis needs at least one value" in page.toast[0].value
    plan = stated(page, "sweep_plan")
    page = go(go(page, "pages/home.py"), PAGE)
    assert stated(page, "sweep_plan") == plan, "remembered while on another page"


@pytest.mark.slow
def test_too_many_cells_are_left_to_the_command() -> None:
    rates = tuple(i / 1000 for i in range(1, 101))
    page = opened(Plan(axes={"seed": tuple(range(100)), "learning_rate": rates}))
    assert "10,000 runs: this page sweeps up to 2,000" in page.warning[0].value
    assert not [label for label in labels(page) if "Start" in label]


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(course.FOLDER, "/proc/nowhere")
    plan = Plan(base=tiny(), axes={"seed": (7, 8)})
    page = press(opened(plan), "Start the sweep")
    page = swept(page)
    assert "/proc/nowhere" in page.error[0].value and "cannot be written to" in page.error[0].value
    monkeypatch.delenv(course.FOLDER)
    page = swept(press(page, "Go on"))
    assert not page.error and tables(page)


def test_the_host_s_folder_is_used_named_and_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(course.FOLDER, str(tmp_path))
    plan = Plan(base=tiny(), axes={"seed": (9, 10)})
    page = swept(press(opened(plan), "Start the sweep"))
    assert pq.read_table(tmp_path / plan.key / "table.parquet").num_rows == 2
    assert str(tmp_path) in course.where()
    press(page, "Forget it")
    assert list(tmp_path.iterdir()) == []


def test_only_the_host_sets_a_cluster_s_address_and_its_silence_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setenv(course.SCHEDULER, "tcp://127.0.0.1:1")
    monkeypatch.setattr("core.study.sweep.cluster.PATIENCE", 0.5)
    plan = Plan(base=tiny(), axes={"seed": (11, 12)})
    page = swept(press(opened(plan), "Start the sweep"))
    assert "No scheduler answers" in page.error[0].value
    assert not [box for box in page.text_input if "scheduler" in box.label.lower()]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ({"loss": ("clip", "naive"), "seed": (0, 1, 2)}, ("seed", "loss", "")),
        ({"seed": (0, 1)}, ("seed", "", "")),
        ({"loss": ("clip", "naive"), "epsilon": (0.1, 0.2, 0.3), "seed": (0, 1)},
         ("epsilon", "loss", "")),
        ({"loss": ("clip",), "epsilon": (0.1,), "precision": ("float32", "float16")},
         ("loss", "epsilon", "precision")),
    ],
)  # fmt: skip
def test_each_axis_has_a_role(axes: Any, expected: tuple[str, str, str]) -> None:
    assert tuple(results.roles(Plan(axes=axes))) == expected


def test_the_plan_can_be_taken_to_the_command() -> None:
    plan = Plan(base=tiny(), axes={"seed": (20, 21)})
    (button,) = opened(plan).get("download_button")
    assert button.proto.label == "plan.json"
    assert from_json(to_json(plan)) == plan


def test_an_example_is_shown_until_a_sweep_is_started() -> None:
    page = open_page(PAGE)
    assert any(each.value.startswith("An example, measured with JAX ") for each in page.caption)
    (figures,) = tables(page)
    assert figures["runs"] == ["10"] * 7 and len(page.get("vega_lite_chart")) == 3
    assert float(figures["highest"][figures["loss"].index("From logits")].rstrip("%")) > 85
    assert "Start the sweep" in labels(page) and "CSV" not in labels(page)
    other = opened(PLAN)
    assert not any("An example" in each.value for each in other.caption)


def test_the_example_is_complete_and_only_for_the_first_plan() -> None:
    plan = next(iter(SWEEPS.values())).plan
    assert sorted(example.rows_of(plan)) == list(range(plan.size))
    assert example.rows_of(PLAN) == {}
