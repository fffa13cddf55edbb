"""The microscope as a visitor finds it."""

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, losses_for
from core.run.snapshot import Snapshot
from tests.conftest import MINUTE, look, open_page
from ui.charts import microscope as charts
from ui.engine import engine
from ui.microscope import curves, samples
from ui.microscope.setting import STATE, Setting

PAGE = "views/lab/microscope.py"


def strips(page: AppTest) -> str:
    """What a screen reader hears of the strips: the dead zone of each loss."""
    texts = [chart.proto.alt for chart in page.get("vega_lite_chart")]
    return next(text for text in texts if text.startswith("The question's"))


def test_dead_zones_are_found_and_named() -> None:
    page = open_page(PAGE)
    assert not page.exception
    assert strips(page) == (
        'The question\'s "stable" loss: gradient exactly 0 from z = -13.816; '
        "Keras 3 on JAX: gradient exactly 0 from z = -16.118; From logits: never silent"
    )


def test_another_label_and_dtype_have_other_edges() -> None:
    page = open_page(PAGE, losses="question_stable", label="0")
    assert strips(page).endswith("z = 16.636")
    page.segmented_control(key="microscope_dtype").set_value("bfloat16").run()
    assert not page.exception
    assert "NaN or inf from z = " in strips(page)  # 1 - epsilon is 1: nothing is clipped there
    assert page.query_params == {"losses": "question_stable", "label": "0", "dtype": "bfloat16"}


@pytest.mark.parametrize("task", ["binary", "digits"])
def test_every_loss_can_be_looked_at(task: str) -> None:
    for key in losses_for(Setting(task=task).form):
        found = curves.look(Setting(task=task, losses=(key,)), key)
        assert found.label == LOSSES[key].label
        assert len(found.curve.gradient) == curves.POINTS


def test_the_calculator_knows_the_limits() -> None:
    page = open_page(PAGE)
    cells = page.table[0].value
    assert cells["keeps p below 1"].tolist() == [
        "yes, needs ε > 2^-25", "NO, needs ε > 2^-12", "NO, needs ε > 2^-9", "yes, needs ε > 2^-54",
    ]  # fmt: skip
    assert list(page.table[1].value.columns[2:]) == list(DTYPES)


def test_the_rug_shows_the_question_s_first_network() -> None:
    page = open_page(PAGE)
    engine().wait(page.session_state["microscope_viewer"], 1, MINUTE)
    page.run()
    assert any("the question's initial network" in text.value for text in page.markdown)
    assert any("80% get gradient 0" in caption.value for caption in page.caption)


def test_the_rug_shows_the_run_in_the_trainer() -> None:
    page = open_page("views/lab/train.py", loss="from_logits")
    engine().wait(page.session_state["viewer"], 1, MINUTE)
    page.run()
    page.switch_page(PAGE).run()
    assert any("the network in the trainer" in text.value for text in page.markdown)


def test_junk_is_told_and_the_rest_used() -> None:
    page = open_page(PAGE, losses="nonsense", label="7", dtype="float8", epsilon="0.1")
    assert len(page.toast) == 3 and not page.exception
    assert page.session_state["microscope_label"] == 1
    assert page.session_state["microscope_epsilon"] == 0.1


def snapshot(margins: list[float], labels: list[int]) -> Snapshot:
    return look(0, len(labels), margins=np.float32(margins), labels=np.uint8(labels))


def test_samples_are_those_with_the_label_looked_at() -> None:
    seen = snapshot([-20, 3, 5, -1], [1, 1, 0, 0])
    z, wrong = samples.samples(seen, Setting(label=1))
    assert z.tolist() == [-20, 3] and wrong.tolist() == [True, False]
    z, wrong = samples.samples(seen, Setting(label=0))
    assert z.tolist() == [5, -1] and wrong.tolist() == [True, False]
    ten = snapshot([-20, 3], [7, 2])
    assert samples.samples(ten, Setting(label=1))[0].tolist() == [-20, 3]
    assert samples.samples(ten, Setting(label=0))[0].tolist() == [20, -3]


def test_who_is_in_the_dead_zone() -> None:
    z = np.array([-20.0, -13.0, 20.0])
    assert samples.in_dead_zone(z, -13.8, 1).tolist() == [True, False, False]
    assert samples.in_dead_zone(z, 16.6, 0).tolist() == [False, False, True]
    assert not samples.in_dead_zone(z, None, 1).any()


def test_no_logit_is_lost_from_the_rug() -> None:
    z = np.array([-1e9, -30.0, 0.0, 29.9, 30.0, np.inf])
    table = charts.rug_tables(z, z < 0, 30)["rug"]
    assert sum(table["count"].to_pylist()) == len(z)


def test_a_setting_keeps_only_losses_of_its_task() -> None:
    default = RunConfig()
    values, _ = STATE.from_query({"task": "digits", "losses": f"{default.loss}.mxnet"})
    assert all(key in losses_for("softmax") for key in values["losses"])
