"""The microscope as a visitor sees it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, losses_for
from core.run.snapshot import Gradient, Snapshot
from core.study import precision
from core.study.lasagne import CLAIMS
from tests.kit import MINUTE
from tests.kit.pages import go, keyed, open_page, tables, viewer
from tests.kit.runs import DIGITS, look, trained
from ui.charts import digits
from ui.charts import microscope as charts
from ui.engine import engine
from ui.microscope import curves, samples
from ui.microscope.setting import AXES, STATE, Setting, link
from ui.pieces.chosen import AppliedLoss

PAGE = "pages/lab/microscope.py"


def strips(page: AppTest) -> str:
    """What a screen reader says of the strips: the dead zone of each loss."""
    texts = [chart.proto.alt for chart in page.get("vega_lite_chart")]
    return next(text for text in texts if text.startswith("The question's"))


def test_dead_zones_are_found_and_named() -> None:
    page = open_page(PAGE)
    assert not page.exception
    assert strips(page) == (
        'The question\'s "stable" loss: gradient exactly 0 up to z = -13.816; '
        "Keras 3 on JAX: gradient exactly 0 up to z = -16.118; From logits: never silent"
    )


def test_another_label_and_dtype_have_other_edges() -> None:
    page = open_page(PAGE, losses="question_stable", label="0")
    assert strips(page).endswith("z = 16.636")
    page.segmented_control(key="microscope_dtype").set_value("bfloat16").run()
    assert not page.exception
    assert "NaN or inf first at z = 5.5625" in strips(
        page
    )  # 1 - epsilon is 1, so nothing is clipped there
    assert page.query_params == {"losses": "question_stable", "label": "0", "dtype": "bfloat16"}


@pytest.mark.parametrize("task", ["binary", "digits"])
def test_every_loss_can_be_looked_at(task: str) -> None:
    for key in losses_for(Setting(task=task).form):
        found = curves.examine(Setting(task=task, losses=(key,)), key)
        assert found.label == LOSSES[key].label
        assert len(found.curve.gradient) == curves.POINTS


def test_the_calculator_knows_the_limits() -> None:
    page = open_page(PAGE)
    cells, edges = tables(page)
    assert cells["1 - ε is below 1"] == [
        "yes, needs ε > 2⁻²⁵", "NO, needs ε > 2⁻¹²", "NO, needs ε > 2⁻⁹", "yes, needs ε > 2⁻⁵⁴",
    ]  # fmt: skip
    assert [*edges][2:] == list(DTYPES)


def test_the_samples_are_those_of_the_question_s_first_network() -> None:
    page = open_page(PAGE)
    assert any("the question's initial network" in text.value for text in page.markdown)
    (share,) = re.findall(r"exactly 0: ([\d.]+)% with The question's", page.caption[-1].value)
    assert float(share) == pytest.approx(79.6, abs=0.3)


@pytest.mark.slow
def test_the_samples_are_those_of_the_run_in_the_trainer() -> None:
    page = open_page("pages/lab/train.py", loss="from_logits")
    engine().wait(viewer(page), 1, 4 * MINUTE)
    page.run()
    go(page, PAGE)
    assert any("the network in the trainer" in text.value for text in page.markdown)


def test_junk_is_reported_and_the_rest_is_used() -> None:
    page = open_page(PAGE, losses="nonsense", label="7", dtype="float8", epsilon="0.1")
    (toast,) = page.toast
    told = [line.split(" cannot")[0].split(" is")[0] for line in toast.value.split("  \n")]
    assert told == ["losses", "label", "number format"] and not page.exception
    assert page.session_state["microscope_label"] == 1
    assert page.session_state["microscope_epsilon"] == 0.1


def snapshot(margins: list[float], labels: list[int]) -> Snapshot:
    """A snapshot with these samples; a margin of 0 or more is right unless the label is 0."""
    right = (np.array(margins) >= 0) == (np.array(labels) > 0)
    return look(0, len(labels), margins=np.float32(margins), labels=np.uint8(labels), correct=right)


def test_only_samples_with_the_chosen_label_are_shown() -> None:
    seen = snapshot([-20, 3, 5, -1], [1, 1, 0, 0])
    place, margins, wrong = samples.samples(seen, Setting(label=1))
    assert place.tolist() == [0, 1]
    assert margins.tolist() == [-20, 3] and wrong.tolist() == [True, False]
    place, margins, wrong = samples.samples(seen, Setting(label=0))
    assert place.tolist() == [2, 3]
    assert margins.tolist() == [-5, 1] and wrong.tolist() == [True, False]
    ten = snapshot([-20, 3], [7, 2])
    for label in (0, 1):
        _, margins, wrong = samples.samples(ten, Setting(label=label))
        assert margins.tolist() == [-20, 3] and wrong.tolist() == [True, False]


def told(setting: Setting, margins: list[float], wrong: list[bool]) -> str:
    examined = [curves.examine(setting, key) for key in setting.losses]
    return samples.silent_sentence(setting, examined, np.array(margins), np.array(wrong))


def test_the_sentence_counts_samples_without_a_say_for_each_loss() -> None:
    assert told(Setting(), [-20, -15, 20, 3], [True, True, False, False]) == (
        "Of these 4 samples, wrong with gradient exactly 0: 50.0% with The question's "
        '"stable" loss, 25.0% with Keras 3 on JAX.'
    )
    nobody = "None of these 2 samples is wrong with gradient exactly 0."
    assert told(Setting(), [-3, 18], [True, False]) == nobody
    assert told(Setting(losses=("naive",)), [-3, 18], [True, False]) == (
        f"{nobody} Gradient NaN or inf: 50.0% with Naive."
    )
    assert told(Setting(task="digits", losses=("naive", "clip")), [-20, 3], [True, False]) == (
        "Of these 2 samples, wrong with gradient exactly 0: 50.0% with Clip, then naive. "
        "Not counted, because they depend on all the logits of a sample: Naive."
    )


@pytest.mark.parametrize(
    "config", [RunConfig(), replace(DIGITS, loss="clip", epsilon=1e-7, scaling="raw")]
)
def test_the_share_without_a_say_is_that_of_the_run(config: RunConfig) -> None:
    """Counted from the margins, the share is the one that the run's own gradients give."""
    first = trained(config)[0]
    for label in (0, 1) if config.task == "binary" else (1,):
        chosen = Setting(task=config.task, losses=(config.loss,), label=label)
        _, margins, wrong = samples.samples(first, chosen)
        slopes = samples.slopes(chosen, config.loss, margins)
        seen = first.labels == label if config.task == "binary" else slice(None)
        own = (~first.correct & (first.gradients == Gradient.ZERO))[seen]
        assert own.any() and ((wrong & (slopes == 0)) == own).all()


def test_many_images_without_a_say_end_right() -> None:
    """Many of the images that are wrong without a gradient before the first step end right."""
    first, *_, last = trained(RunConfig())
    silent = ~first.correct & (first.gradients == Gradient.ZERO)
    assert silent.sum() > 400 and last.correct[silent].mean() > 0.3


def test_a_clipped_loss_is_the_same_for_all_far_logits() -> None:
    for key in ("clip", "keras_jax", "keras_torch"):
        z = np.array([-20, -200], np.float32)
        loss, gradient = precision.evaluate("binary", key, z, 1, 1e-7)
        assert loss[0] == loss[1] and (gradient == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", AXES)
def test_a_broken_stretch_is_drawn_exactly_where_the_curve_is_broken(dtype: str, axis: str) -> None:
    for key in losses_for("binary"):
        chosen = Setting(losses=(key,), dtype=dtype, span=120, axis=axis)
        found = curves.examine(chosen, key)
        z = curves.grid(chosen).astype(float)
        inside = np.zeros(len(z), bool)
        for a, b in curves._broken(found, curves.grid(chosen)):
            inside |= (z >= min(a, b)) & (z <= max(a, b))
        finite = np.isfinite(found.curve.gradient) & np.isfinite(found.curve.loss)
        assert (inside == ~finite).all()


def placed(setting: Setting, run: RunConfig, seen: Snapshot) -> tuple[AppliedLoss, digits.Placed]:
    examined = [curves.examine(setting, key) for key in setting.losses]
    applied = samples.colouring(setting, examined, run)
    return applied, samples._placing(setting, applied)(seen)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("span", [30, 1000])
def test_every_logit_is_in_a_bar_or_counted(axis: str, span: int) -> None:
    margins = [-1e9, -span, 0.0, span - 0.1, span, np.inf, np.nan]
    seen = snapshot(margins, [1] * 7)
    _, images = placed(Setting(span=span, axis=axis), RunConfig(), seen)
    tables = digits.tables(images, digits.spaced(span, 61, axis), [], digits.Mark())
    bars = tables["bars"].to_pylist()
    assert sum(row["images"] for row in bars) == 6
    assert tables["lost"].to_pylist() == [{"text": "✖ 1 NaN"}]
    found = [digits.members(images, row) for row in bars]
    assert [each.sum() for each in found] == [row["images"] for row in bars]


def test_the_first_loss_colours_the_bars() -> None:
    seen = snapshot([-20, 3, 90], [1, 1, 1])
    for key, kinds in {
        "question_stable": [Gradient.ZERO, Gradient.SOME, Gradient.ZERO],
        "from_logits": [Gradient.SOME, Gradient.SOME, Gradient.ZERO],
        "naive": [Gradient.SOME, Gradient.SOME, Gradient.NONFINITE],
    }.items():
        applied, images = placed(Setting(losses=(key, "optax")), RunConfig(), seen)
        assert (applied.key, applied.own) == (key, False) and images.kinds.tolist() == kinds


def test_a_loss_whose_nan_depends_on_all_logits_does_not_colour() -> None:
    seen = snapshot([-20, 3], [7, 2])._replace(gradients=np.uint8([2, 1]))
    ten = RunConfig(task="digits", loss="naive")
    applied, images = placed(Setting(task="digits", losses=("naive", "clip")), ten, seen)
    assert applied.key == "clip" and images.kinds.tolist() == [Gradient.ZERO, Gradient.SOME]
    applied, images = placed(Setting(task="digits", losses=("naive",)), ten, seen)
    assert applied.own and images.kinds.tolist() == [2, 1], "then the run's own gradients colour"


def test_digits_can_be_chosen_without_a_mouse() -> None:
    page = open_page(PAGE)
    keyed(page.pills, "microscope_band").set_value("wrong, silent").run()
    assert not page.exception
    told = next(text.value for text in page.markdown if "wrong, silent at step 0" in text.value)
    assert told.startswith("**wrong, silent at step 0: 390 images.** Of these 390 images, 0 are")
    cards = next(html.proto.body for html in page.get("html") if "cards" in html.proto.body)
    assert cards.count("<img") == 24 and cards.count("<b>wrong</b>, label 1") == 24


def test_a_setting_keeps_only_losses_of_its_task() -> None:
    default = RunConfig()
    values, _ = STATE.from_query({"task": "digits", "losses": f"{default.loss}.mxnet"})
    assert all(key in losses_for("softmax") for key in values["losses"])


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("span", [5, 30, 1000])
def test_logits_are_spaced_as_they_are_drawn(axis: str, span: int) -> None:
    z = digits.spaced(span, 61, axis)
    assert (z[0], z[-1]) == (-span, span) and z[30] == pytest.approx(0, abs=1e-9)
    drawn = z if axis == "linear" else np.sign(z) * np.log1p(np.abs(z))
    assert np.diff(drawn) == pytest.approx(np.diff(drawn)[0])


def test_gradients_are_drawn_on_the_side_they_push_to() -> None:
    assert charts.slope_range(1, [np.array([-1, 0, np.nan])]) == (-1.1, 0.1)
    assert charts.slope_range(0, [np.array([0, 1.0])]) == (-0.1, 1.1)
    assert charts.slope_range(1, [np.array([-1, 0.5])]) == (-1.1, 1.1)


def test_the_link_contains_the_axis() -> None:
    page = open_page(PAGE, axis="linear", span="1000")
    assert not page.exception and page.query_params == {"axis": "linear", "span": "1000"}
    page.segmented_control(key="microscope_axis").set_value("symlog").run()
    assert not page.exception and page.query_params == {"span": "1000"}


def test_all_logits_of_the_first_network_are_in_the_first_view() -> None:
    first = trained(RunConfig())[0]
    assert np.abs(first.margins).max() < Setting().span


@pytest.mark.parametrize("key", CLAIMS)
def test_every_claim_of_the_thread_opens_here(key: str) -> None:
    chosen = Setting(**CLAIMS[key].microscope)
    values, notes = STATE.from_query(link(chosen))
    assert (Setting(**values), notes) == (chosen, [])


FORMULA = "-(y*log(p + eps) + (1 - y)*log(1 - p + eps))"


def test_an_own_formula_is_one_more_loss() -> None:
    page = open_page(PAGE, losses="from_logits")
    box = keyed(page.text_input, "microscope_formula_formula")
    box.set_value("-(y*log(p+eps)+(1-y)*log(1-p+eps))").run()
    assert not page.exception
    assert page.query_params == {"losses": "from_logits", "formula": FORMULA}
    alt = next(c.proto.alt for c in page.get("vega_lite_chart") if "silent" in c.proto.alt)
    assert alt.startswith("From logits: never silent; own: -(y·log(p + eps)"), alt
    assert "NaN" not in alt and "gradient exactly 0 up to z = -" in alt
    keyed(page.text_input, "microscope_formula_formula").set_value("").run()
    assert page.query_params == {"losses": "from_logits"}


def test_what_is_no_formula_is_told_at_its_place_and_changes_nothing() -> None:
    page = open_page(PAGE, losses="from_logits", formula=FORMULA)
    keyed(page.text_input, "microscope_formula_formula").set_value("log(__class__)").run()
    assert not page.exception and page.query_params["formula"] == FORMULA
    assert "at character 5, “\\_\\_class\\_\\_” is not known" in page.warning[0].value
    assert "The formula before stays" in page.warning[0].value
    assert page.code[0].value == "log(__class__)\n    ^"
    keyed(page.text_input, "microscope_formula_formula").set_value("(z - y)**2").run()
    assert not page.warning and page.query_params["formula"] == "(z - y)**2"
    page.segmented_control(key="microscope_task").set_value("digits").run()
    assert "formula" not in page.query_params and not page.exception, "it is of two classes"
