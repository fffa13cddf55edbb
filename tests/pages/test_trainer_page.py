"""The trainer as a visitor sees it, with the real engine; and every page opens."""

import io
import json
import math
import re
import time
import zipfile
from functools import partial
from typing import Any, cast

import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig, to_query
from core.export import FRAMEWORKS, files, shared
from core.parts.choices import TASKS
from core.presets import PRESETS
from core.run.command import as_json
from core.run.job import Status, View, Viewer
from tests.kit import MINUTE, more
from tests.kit.pages import go, keyed, open_page, seen, settled, viewer
from tests.kit.runs import tiny, trained
from ui.charts.live import Drawing
from ui.engine import engine
from ui.pages import PAGES
from ui.trainer import controls, data_along, frame, nudged, phone, take_along

FAST = to_query(tiny())
LONG = to_query(tiny(epochs=1000))


def trainer(**query: str) -> AppTest:
    page = open_page("pages/lab/train.py", **query)
    return seen(page, 1)


def ended(page: AppTest) -> View:
    return engine().wait(viewer(page), 10**9, 4 * MINUTE)


def press(page: AppTest, button: str) -> AppTest:
    page.button(key=button).click().run()
    assert not page.exception
    return page


def opened(page: AppTest, expander: str) -> AppTest:
    """The page after a click on the head of an expander."""
    page.session_state[expander] = True
    page.run()
    assert not page.exception
    return page


def metrics(page: AppTest) -> dict[str, str]:
    figures = next(html for html in page.get("html") if "numbers" in html.proto.body)
    return dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", figures.proto.body))


def disabled(page: AppTest) -> dict[str, bool]:
    keys = ("train", "pause", "step", "reset")
    return {button.key: button.disabled for button in page.button if button.key in keys}


def text(page: AppTest) -> str:
    return " ".join(info.value for info in page.info)


@pytest.mark.parametrize("file", ["pages/home.py", *(row.file for row in PAGES.values())])
def test_page_opens(file: str) -> None:
    page = open_page(file)
    assert not page.exception and page.title


QUICK = ("question", "full_mnist", "gru")  # the others take minutes to compile


@pytest.mark.parametrize("preset", [k if k in QUICK else more(k) for k in PRESETS])
@pytest.mark.usefixtures("no_full_mnist")
def test_trainer_opens_on_every_preset(preset: str) -> None:
    config = PRESETS[preset].config
    page = trainer(**to_query(config))
    assert viewer(page).config == config
    if config.source.startswith("full"):  # this test pretends that it is not on this machine
        assert len(page.error) == 1
        assert "Full MNIST is not on this machine" in page.error[0].value
        assert "sample" in page.error[0].value
    else:
        series = TASKS[config.task].series
        of = "squared error, held out" if series else "training accuracy"
        assert re.fullmatch(r"0\.\d+" if series else r"\d+\.\d%", metrics(page)[of])
        assert text(page).startswith("After step 0: ")
    # From there a visitor can change to another preset.
    keyed(page.selectbox, "preset").set_value("question").run()
    assert "48% of the images are wrong and silent" in text(seen(page, 1))


def test_train_to_the_end() -> None:
    page = trainer()
    assert metrics(page) == {
        "loss": "7.584", "training accuracy": "43.5%", "held-out accuracy": "40.6%",
        "zero gradient": "83.8%", "wrong, silent": "48.4%",
    }  # fmt: skip
    assert text(page).startswith(
        "After step 0: **48% of the images are wrong and silent: their gradient is exactly "
        "zero, so this step learns nothing from them.**"
    )
    assert disabled(page) == {"train": False, "pause": True, "step": False, "reset": False}
    press(page, "train")
    assert ended(page).status is Status.DONE
    page.run()
    assert 55 <= float(metrics(page)["training accuracy"].rstrip("%")) <= 85
    assert disabled(page) == {"train": True, "pause": True, "step": True, "reset": False}
    assert "step 10 of 10, done" in page.get("progress")[0].proto.text


@pytest.mark.slow
def test_moving_the_loss_slider_trains_another_run() -> None:
    page = trainer()
    press(page, "train")
    ended(page)
    keyed(page.select_slider, "control_loss").set_value("from_logits").run()
    assert viewer(page).config == RunConfig(loss="from_logits")
    assert page.query_params == {"loss": "from_logits", "until": "end"}
    assert ended(page).status is Status.DONE, "the new run plays too"
    page.run()
    assert metrics(page)["training accuracy"] == "90.9%"
    assert page.session_state["on_screen"].before[-1].step == 10, "the run before is drawn in grey"


def test_a_cure_sets_the_controls() -> None:
    page = trainer(learning_rate="100")
    assert page.button(key="try_cure").label == ("Try the loss “From logits”, learning rate 0.01")
    press(page, "try_cure")
    assert viewer(page).config == RunConfig(loss="from_logits")
    assert keyed(page.select_slider, "control_loss").value == "from_logits"
    assert page.query_params == {"loss": "from_logits"}
    assert "try_cure" not in [button.key for button in seen(page, 1).button]


def caption_when_copied(page: AppTest) -> str:
    """The caption under the figures, once the copies of the run are there if they come at all."""
    ended(page)
    deadline = time.monotonic() + 4 * MINUTE
    while True:
        page.run()
        told = next(each.value for each in page.caption if each.value.startswith("Over "))
        if "Measuring" not in told or time.monotonic() > deadline:
            return told
        time.sleep(0.1)


def test_chance_is_measured_on_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudged, "CHEAP", math.inf)  # however slow this machine is
    assert "Steady: 7 nudged copies" in caption_when_copied(press(trainer(**FAST), "train"))
    broken = to_query(tiny(loss="naive", scaling="raw", learning_rate=10.0))
    told = caption_when_copied(press(trainer(**broken), "train"))
    assert "All 7 nudged copies end in NaN." in told


@pytest.mark.slow
def test_chance_of_the_question_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudged, "CHEAP", math.inf)
    told = caption_when_copied(press(trainer(), "train"))
    assert "Chaotic: 7 nudged copies end anywhere from" in told
    assert "Over all 1,000 training images; held-out accuracy: over 1,000 others." in told


def test_costly_copies_are_trained_only_on_request() -> None:
    page = press(trainer(**FAST), "train")
    assert "has not been measured" in caption_when_copied(page)
    page.button(key="copies").click().run()
    assert "Steady: 7 nudged copies" in caption_when_copied(page)


def test_naive_is_shown_as_nan() -> None:
    page = press(trainer(loss="naive"), "train")
    ended(page)
    page.run()
    assert (metrics(page)["loss"], metrics(page)["training accuracy"]) == (
        "NaN",
        "NaN",
    )
    printed = "A program that ignores NaN would print 51.0% and"
    assert any(printed in each.value for each in page.caption)
    assert "100% of the predictions are NaN" in text(page)


def test_step_pause_and_reset() -> None:
    page = trainer(**LONG, seed="10")  # with 0, another file may have trained it to its end
    for step in (1, 2):
        press(page, "step")
        seen(page, step + 1)
        assert f"After step {viewer(page).view().snapshots[-1].step}:" in text(page)
        assert len(viewer(page).view().snapshots) == step + 1
        assert viewer(page).view().status is Status.PAUSED
    press(page, "train")
    assert disabled(page)["train"] and not disabled(page)["pause"]
    seen(page, 4)
    press(page, "pause")
    held = viewer(page).view()
    assert held.status is Status.PAUSED or held.snapshots[-1].step == held.steps
    press(page, "reset")
    assert "After step 0:" in text(seen(page, 1))
    assert disabled(page)["pause"]


def test_a_link_joins_the_run_where_it_is() -> None:
    first = trainer(**LONG, seed="11")
    assert "until" not in first.query_params
    press(first, "step")
    press(seen(first, 2), "step")
    assert first.query_params["until"] == "2"
    reloaded = seen(open_page("pages/lab/train.py", **first.query_params), 3)
    assert "After step 2:" in text(reloaded)
    press(first, "train")
    assert first.query_params["until"] == "end"
    second_tab = seen(open_page("pages/lab/train.py", **first.query_params), 5)
    assert viewer(second_tab).job is viewer(first).job
    assert disabled(second_tab)["train"] and not disabled(second_tab)["pause"]
    press(first, "reset")
    assert "until" not in first.query_params


def test_another_setting_starts_at_step_0_unless_the_run_plays() -> None:
    page = press(trainer(**LONG, seed="12"), "step")
    keyed(page.number_input, "control_seed").set_value(13).run()
    assert "until" not in page.query_params and "After step 0:" in text(seen(page, 1))


@pytest.mark.parametrize("junk", ["-1", "soon", "1e9", "９"])
def test_junk_in_until_is_reported(junk: str) -> None:
    page = seen(open_page("pages/lab/train.py", until=junk), 1)
    assert (
        any("until is a step or" in toast.value for toast in page.toast) or page.query_params == {}
    )
    assert "until" not in page.query_params and "After step 0:" in text(page)


def pictures(page: AppTest) -> list[str]:
    """Which images are shown, by their places."""
    return re.findall('data-image="(\\d+)"', " ".join(html.proto.body for html in page.get("html")))


def held(page: AppTest) -> str:
    """What is said about the images that are held."""
    return next((text.value for text in page.markdown if "**wrong, silent at" in text.value), "")


def test_chosen_digits_stay_while_runs_go_on_and_change() -> None:
    page = trainer()
    keyed(page.pills, "train_band").set_value("wrong, silent").run()
    assert held(page) == (
        "**wrong, silent at step 0: 484 images.** Of these 484 images, 0 are right at step 0; "
        "gradient exactly 0: 484."
    )
    shown = pictures(page)
    assert len(set(shown)) == 24
    press(page, "train")
    ended(page)
    page.run()
    assert pictures(page) == shown
    assert re.search("Of these 484 images, [1-9]\\d+ are right at step 10", held(page))
    keyed(page.slider, "scrubber").set_value(0).run()
    assert "0 are right at step 0" in held(page)
    keyed(page.slider, "scrubber").set_value(10).run()
    keyed(page.select_slider, "control_loss").set_value("from_logits").run()
    ended(page)
    page.run()
    assert pictures(page) == shown and "right at step 10" in held(page), (
        "although the run is another one"
    )
    go(page, "pages/lab/microscope.py")
    assert not page.exception and pictures(page) == shown, "under the microscope too"
    go(page, "pages/lab/train.py")
    assert pictures(page) == shown
    press(page, "train_close")
    assert pictures(page) == [] and "train_close" not in [button.key for button in page.button]


def test_the_scrubber_looks_back() -> None:
    page = press(trainer(**FAST), "train")
    ended(page)
    page.run()
    last = metrics(page)
    keyed(page.slider, "scrubber").set_value(3).run()
    assert "After step 3:" in text(page) and metrics(page) != last
    keyed(page.slider, "scrubber").set_value(10).run()
    assert metrics(page) == last


def test_junk_in_the_url_trains_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    # Recorded when they are sent, because the page may have run again before one can look.
    toasts: list[str] = []
    monkeypatch.setattr("streamlit.toast", lambda text, **looks: toasts.append(text))
    page = open_page("pages/lab/train.py", loss="<b>", seed="1", learning_rate="1e99")
    (toast,) = toasts
    told = toast.split("  \n")
    assert len(told) == 2 and told[0].startswith("loss cannot be “?b?”")
    assert "84%" not in told and viewer(page).config == RunConfig(seed=1, learning_rate=1000.0)
    assert not seen(page, 1).exception


def test_a_failure_is_reported_and_another_setting_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.run.prepare.free_bytes", lambda: 1e6)
    page = press(trainer(seed="99"), "train")  # a run that no other test has
    assert "Make the layers narrower" in page.error[0].value
    monkeypatch.undo()
    keyed(page.number_input, "control_seed").set_value(1).run()
    assert ended(page).status is Status.DONE
    page.run()
    assert not page.error and not page.exception


def test_two_visitors_share_one_run() -> None:
    first, second = trainer(**FAST), trainer(**FAST)
    press(first, "train")
    ended(first)
    assert "After step 0:" in text(seen(second, 1)), "each visitor plays separately"
    assert viewer(first).job is viewer(second).job


def test_a_phone_has_the_panel_s_charts_in_the_same_order() -> None:
    config = tiny(precision="float16")
    run = trained(config)
    drawn = frame.drawings(config, run, [], run[-1], None)
    assert [drawing.key for drawing in drawn] == list(phone.CHARTS)


def _frame() -> None:
    import streamlit as st

    from ui.trainer import frame

    frame.in_turn(st.session_state["frame"])


def test_a_frame_without_a_new_look_makes_no_chart_again(monkeypatch: pytest.MonkeyPatch) -> None:
    config, made = tiny(), [0]
    run = trained(config)
    looks = run[:2]

    class Watching:
        config = tiny()

        def view(self) -> View:
            return View(Status.PAUSED, list(looks), config.steps)

    def drawings(*args: Any) -> list[Drawing]:
        made[0] += 1
        return drawn(*args)

    drawn = frame.drawings
    monkeypatch.setattr(frame, "drawings", drawings)
    monkeypatch.setattr(frame, "waits", lambda config, view: False)
    monkeypatch.setattr(frame, "losses_ready", lambda *args: False)
    monkeypatch.setattr(controls, "hides", lambda name: False)
    page = AppTest.from_function(_frame, default_timeout=4 * MINUTE)
    watching = frame.Frame(cast("Viewer", Watching()), Status.PAUSED, False, 10**9, [], None)
    page.session_state["frame"] = watching
    charts = [[each.proto for each in page.run().get("vega_lite_chart")] for _ in range(3)]
    assert not page.exception and len(charts[0]) == 6
    assert made == [1] and charts[0] == charts[1] == charts[2]
    looks.append(run[2])
    after = [each.proto for each in page.run().get("vega_lite_chart")]
    assert made == [2] and after != charts[0], "a new look is drawn"
    page.session_state["frame"] = watching._replace(at=0)
    assert page.run().get("vega_lite_chart") and made == [3], "so is an older one"


@pytest.mark.parametrize(
    ("steps", "words"),
    [(0.0567, "0.057"), (2.0, "2"), (9.96, "10"), (12.3, "12"), (1234.4, "1,234")],
)
def test_a_slow_run_s_pace_is_not_0(steps: float, words: str) -> None:
    assert frame.pace(steps) == words


def test_a_nan_is_traced_to_its_operation() -> None:
    page = press(trainer(**to_query(tiny(loss="naive", scaling="raw"))), "origin")
    page = settled(page)
    (told,) = (each.value for each in page.warning if "The first NaN" in each.value)
    assert "At step 0, in the loss" in told and "0 · (-inf) = NaN" in told


def test_nothing_is_asked_of_a_run_without_nan() -> None:
    assert "origin" not in {button.key for button in trainer(**FAST).button}


def test_a_run_can_be_taken_along() -> None:
    config = tiny(optimizer="adam_keras")
    page = opened(trainer(**to_query(config)), take_along.KEY)
    offered = {each.proto.label: each.proto for each in page.get("download_button")}
    data = {"Curves", "Histograms", "Images", "Run", "Recording"}
    assert {*offered} == {"Script", "Notebook", "Data", "Weights and data", *data}
    assert len(page.get("download_button")) == 3 * len(FRAMEWORKS) + len(data)
    assert not any(each.proto.disabled for each in page.get("download_button"))
    assert all(offered[name].deferred_file_id for name in ("Data", *data)), "made when clicked"
    told = " ".join(each.value for each in page.markdown)
    assert "PyTorch has no optimizer 'Adam, Keras'" in told
    assert "Keras has no optimizer" not in told


def test_a_run_that_was_taken_along_opens_again() -> None:
    page = opened(trainer(), take_along.KEY)
    upload = page.file_uploader(key=data_along.KEY).upload
    upload("junk.json", b'{"seed": "<b>"}', "application/json").run()
    assert not page.exception and viewer(page).config == RunConfig()
    assert "“junk.json” is no run: seed is" in page.toast[0].value
    taken = json.dumps(as_json(tiny(seed=3, optimizer="adam"), [])).encode()
    page.file_uploader(key=data_along.KEY).upload("run.json", taken, "application/json").run()
    assert not page.exception and viewer(page).config == tiny(seed=3, optimizer="adam")
    assert page.query_params["until"] == "end"


def test_nothing_is_written_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_along.export, "script", None)
    monkeypatch.setattr(take_along.export, "files", None)
    assert not trainer(**FAST).get("download_button")


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_a_script_reads_is_packed(framework: str) -> None:
    config = tiny()
    with zipfile.ZipFile(io.BytesIO(take_along.packed(config, framework))) as folder:
        content = {name: folder.read(name) for name in folder.namelist()}
    assert content == files(config, framework)


def test_a_run_without_a_script_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "It is not written so far."
    monkeypatch.setattr(take_along.export, "script", partial(shared.unwritten, why=why))
    page = AppTest.from_function(_offered, kwargs={"query": {}}).run()
    page = opened(page, take_along.KEY)
    assert sum(why in each.value for each in page.markdown) == len(FRAMEWORKS)
    *_, last = page.get("download_button")
    assert last.proto.disabled


def _offered(query: dict[str, str]) -> None:
    from core.config import from_query
    from ui.trainer.take_along import offer

    offer(from_query(query)[0])
