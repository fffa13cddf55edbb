"""The comparison's page as a visitor sees it."""

import json
import time
import weakref
from html import unescape
from re import sub

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.parts.losses import losses_for
from core.study.compare.beside import guilty, losses, sides
from core.study.compare.examples import OWN, PAIRS
from core.study.compare.recording import read
from core.study.compare.report import STAGES, Numbers, Stage
from tests.kit import MINUTE
from tests.kit.pages import keyed, open_page, tables
from tests.kit.recorder import Program, recorded
from ui.compare import files, howto, setting
from ui.engine import engine

PAGE = "pages/lab/compare.py"


def shown(page: AppTest, mark: str) -> str:
    """The words of the HTML of the page in which `mark` is."""
    bodies = [each.proto.body for each in page.get("html")]
    return unescape(sub("<[^>]+>", " ", next(body for body in bodies if mark in body)))


def compared(page: AppTest) -> AppTest:
    deadline = time.monotonic() + 4 * MINUTE
    while not page.header and not page.error:
        assert time.monotonic() < deadline
        time.sleep(0.1)
        page.run()
        assert not page.exception
    return page


def opened(
    *recordings: bytes, names: tuple[str, ...] = ("a.safetensors", "b.safetensors")
) -> AppTest:
    page = open_page(PAGE)
    for side, name, data in zip(files.SIDES, names, recordings, strict=False):
        page.file_uploader(key=f"compare_{side}").upload(name, data, "application/octet-stream")
    return compared(page.run())


def test_before_anything_is_given_the_page_says_how_to_record() -> None:
    page = open_page(PAGE)
    assert not page.exception
    assert [tab.label for tab in page.tabs] == list(howto.RECORDERS)
    assert "recorder.before(x, y, outputs, loss)" in shown(page, "samenet_torch")
    for title, name in howto.RECORDERS.items():
        _, code, _ = howto._section(title)
        assert (name.removesuffix(".py") or "safetensors") in code


@pytest.mark.parametrize(
    "chosen",
    [
        *(setting.Setting(pair=pair) for pair in PAIRS),
        setting.Setting("logits", OWN, "float16", 1e-3),
    ],
)
def test_a_link_restores_the_choice(chosen: setting.Setting) -> None:
    values = chosen._asdict()
    assert setting._from_query(setting._to_query(values)) == (values, [])


def test_an_epsilon_that_is_not_tried_is_moved_to_the_next_one() -> None:
    values, notes = setting._from_query({"epsilon": "0.002"})
    assert values["epsilon"] == 1e-3 and notes == ["epsilon was set from 0.002 to 0.001"]


def test_the_example_opens_by_a_link_and_names_the_cause() -> None:
    page = compared(open_page(PAGE, pair="question"))
    assert page.header[0].value == "They part at the loss"
    stages = shown(page, 'class="walk"')
    assert all(stage in stages for stage in STAGES)
    blamed = shown(page, 'class="ports"')
    assert "logits lost" in blamed and "clip, epsilon 1e-06" in blamed
    assert "optax.sigmoid_binary_cross_entropy" in blamed


def test_a_recording_beside_itself_is_the_same() -> None:
    data = recorded(Program())
    page = opened(data, data)
    assert page.header[0].value == "The same, to rounding"


def test_one_recording_is_looked_at() -> None:
    page = opened(recorded(Program()))
    assert page.header[0].value == "What this recording computes"
    told = shown(page, "What each stage computes")
    assert "update" in told and "Adam" in told and "relu" in told


def test_a_file_that_is_no_recording_is_named_with_its_fault() -> None:
    page = opened(
        recorded(Program()), b"\x00" * 64, names=("a.safetensors", "<b>[x](y).safetensors")
    )
    assert r"\[x\]\(y\)\.safetensors" in page.error[0].value and not page.header


def test_names_in_a_file_are_text() -> None:
    """A framework's name and a parameter's name are a visitor's words."""
    data = recorded(Program())
    evil = data.replace(b'"framework":"keras"', b'"framework":"<b>_*"')
    assert evil != data
    page = opened(evil, data)
    assert r"\<b\>\_\*" in page.caption[0].value


def test_a_report_is_in_the_session_and_not_in_the_server() -> None:
    page = opened(recorded(Program()), recorded(Program(rate=0.02)))
    held = page.session_state[files.HELD]
    assert engine().errands.peek(held.key) is None and held.result is not None


def test_a_visitor_who_left_has_nothing_compared() -> None:
    held = files.Held([files.Given("a", "a", lambda: b"")], lambda *_: iter([0.5, 1.0]))
    of = weakref.ref(held)
    pieces = files._pieces(of)
    assert next(pieces) == 0.5
    del held
    assert list(pieces) == [] and list(files._pieces(of)) == []


def test_the_numbers_of_each_stage_stand_side_by_side() -> None:
    a, b = read(recorded(Program())), read(recorded(Program(rate=0.02)))
    for stage in ("initial weights", "gradients", "update"):
        name = next(iter(a.params(0)))
        both = sides(a, b, Stage(stage, "differs", Numbers(name, 0, 1.0, 1.0, 0.0)))
        assert both is not None and both.a.shape == both.b.shape and both.a.size
        ratio = 2 if stage == "update" else 1
        np.testing.assert_allclose(both.b, ratio * both.a, rtol=1e-3, atol=1e-6)
    for stage, tensor in (("batch", "inputs"), ("batch", "labels"), ("outputs", "outputs")):
        both = sides(a, b, Stage(stage, "differs", Numbers(tensor, 0, 1.0, 1.0, 0.0)))
        assert both is not None
        np.testing.assert_array_equal(both.a, both.b)
    assert sides(a, b, Stage("state", "differs", Numbers("x", 0, 1.0, 1.0, 0.0))) is None
    table = losses(a, b)
    assert table["step"] == list(range(a.steps)) and table["a"][0] == table["b"][0]


def test_pictures_are_of_the_examples_that_matter() -> None:
    a, b = (read(path) for path in PAIRS["question"].paths)
    outputs, labels = a.one(0, "outputs"), a.one(0, "labels")
    assert outputs is not None and labels is not None
    worst = guilty(a, b, "loss")
    assert [round(each.figure, 3) for each in worst] == sorted(
        (round(each.figure, 3) for each in worst), reverse=True
    )
    for each in worst:
        p, y = float(outputs[each.place, 0]), float(labels[each.place, 0])
        assert each.figure == pytest.approx(1 - p if y else p)
    assert guilty(a, b, "update") == [] and OWN in PAIRS
    assert json.loads(json.dumps([each.place for each in worst]))


# Logits and labels


@pytest.mark.slow
def test_the_questions_logits_are_counted_for_every_loss() -> None:
    page = compared(open_page(PAGE, given="logits", pair="question"))
    several = len(losses_for("binary"))
    assert (
        page.header[0].value
        == f"5 of {several} losses give these samples their gradient, in float32"
    )
    (told,) = (each.value for each in page.markdown if "**Break.**" in each.value)
    assert "42% with" in told and "“Keras 3 on JAX, ε = 1e-7”" in told
    formats, epsilons, figures = tables(page)
    row = figures["loss"].index('The question\'s "stable" loss')
    assert figures["wrong and silent"][row] == formats["float32"][row].split()[0] == "41.7%"
    assert figures["mean loss"][row] == "5.774", "what the recording says of its first step"
    assert figures["mean loss"][figures["loss"].index("Naive")] == "NaN"
    assert "ε = 0.001" in epsilons
    page.selectbox[0].select("from_logits").run()
    assert not page.exception
    keyed(page.segmented_control, "compare_dtype").select("float16").run()
    assert page.header[0].value.endswith("in float16")


def test_a_file_of_logits_is_read_or_its_fault_is_told() -> None:
    page = open_page(PAGE, given="logits")
    assert page.header[0].value == "How to save them"
    for data, words in (
        (b"logit,label\n3.5,1\n-2,1\n0.5,0\n", None),
        (b"logit,label\n3.5,<b>\n", r"\<b\>"),
        (b"logit,label\n3.5,2\n", "labels run from 2"),
    ):
        page.file_uploader(key="compare_logits").upload("a.csv", data, "text/csv")
        compared(page.run())
        if words is None:
            assert "3 samples of 2 classes" in sub(r"\\", "", page.caption[0].value)
        else:
            assert words in page.error[0].value or words in sub(r"\\", "", page.error[0].value)


def test_recordings_of_a_session_that_is_away_are_let_go_and_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = recorded(Program())
    page = opened(data, data)
    mine: files.Held = page.session_state[files.HELD]
    deleted: list[str] = []
    monkeypatch.setattr(files, "forget_files", lambda session, ids: deleted.extend(ids))
    monkeypatch.setattr(files, "_kept", weakref.WeakSet([mine]))
    assert files.let_go() is None and mine.result is not None  # it was here just now
    monkeypatch.setattr(files, "AWAY", -1.0)
    ids = mine.same
    assert files.let_go() == 2 * len(data) and files.let_go() is None
    assert deleted == ids and mine.gone and not mine.files and mine.result is None
    assert files.GONE in [note.value for note in page.run().info]
    assert files.let_go in engine().budget.stores
