"""RunConfig <-> widgets <-> URL, without an engine behind them."""

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.config import FIELDS, RunConfig, agree, to_query, unused_by_step
from core.data import Process
from core.fields import to_text
from core.parts.losses import FIRST
from core.parts.normalisations import NORM_FIELDS
from core.parts.optimizers import SETTINGS
from core.parts.reports import REPORTS
from core.presets import PRESETS
from tests.kit import ROOT, every
from tests.kit.pages import go, keyed, open_page, without_widgets
from ui.pieces import widgets
from ui.trainer import live

# SERIES is a run on series. OTHER has a value for every field that is neither the default nor in
# the grid of a slider.
SERIES = RunConfig(source="ou", task="next_value", model="gru", loss="mse_aligned")
OTHER = {
    "source": "full", "train_size": 1234, "task": "digits", "scaling": "unit", "model": "cnn",
    "widths": (300, 100), "initializer": "normal_0.01", "biases": "zeros",
    "initial_spread": 0.033, "activation": "tanh",
    "normalisation": "batch_norm", "norm_momentum": 0.97, "norm_epsilon": 3e-4,
    "norm_variance": "unbiased", "norm_test": "batch",
    "stream": "partitionable", "seed": 7, "loss": "from_logits", "epsilon": 3e-4,
    "dropout": "rate", "dropout_value": 0.33, "precision": "mixed_float16", "optimizer": "adam",
    "momentum": 0.77, "beta_2": 0.97, "optimizer_epsilon": 3e-6, "decay_form": "l2",
    "weight_decay": 0.03, "clip_form": "each_norm", "clip_norm": 0.3,
    "loss_input": "softmax", "reduction": "sum", "loss_weight": 0.03, "learning_rate": 0.0123,
    "label_smoothing": 0.03, "label_shift": 1, "last_batch": "kept",
    "batch_size": 123, "epochs": 7, "data_order": "sorted", "shuffle": "never",
    "shuffle_buffer": 77, "report": "nan_as_0", "x0": 0.3, "mu": 3.0, "tau": 1.5, "sigma": 0.3,
    "noise": 0.3, "dt": 0.3,
}  # fmt: skip

# What a field needs to have an effect.
NEEDS = {
    "initial_spread": {"initializer": "normal"},
    "epsilon": {"loss": "clip"}, "dropout_value": {"dropout": "rate"},
    "weight_decay": {"decay_form": "l2"}, "clip_norm": {"clip_form": "each_norm"},
    "data_order": {"batch_size": 100}, "shuffle": {"batch_size": 100},
    "shuffle_buffer": {"batch_size": 100, "shuffle": "buffer"}, "last_batch": {"batch_size": 300},
    **{name: {"normalisation": "batch_norm"} for name in NORM_FIELDS[1:]},
    **{name: {"optimizer": "adam"} for name in SETTINGS},
}  # fmt: skip


@pytest.fixture(autouse=True)
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """The configurations for which the trainer page asked its panel, which trains nothing here."""
    asked: list[RunConfig] = []
    monkeypatch.setattr(live, "panel", lambda title, config: asked.append(config))
    return asked


def trainer(**query: str) -> AppTest:
    page = open_page("pages/lab/train.py", **query)
    assert not page.exception
    return page


def widget(page: AppTest, name: str) -> Any:
    kinds = (page.select_slider, page.selectbox, page.number_input, page.button_group)
    return keyed((each for kind in kinds for each in kind), f"control_{name}")


def notes(page: AppTest) -> list[str]:
    """The lines of the toast, of which there may be only one."""
    assert len(page.toast) <= 1
    return [line for toast in page.toast for line in toast.value.split("  \n")]


def test_the_trainer_opens_with_the_defaults(chosen: list[RunConfig]) -> None:
    page = trainer()
    assert chosen[-1] == RunConfig() and page.query_params == {} and not notes(page)
    assert keyed(page.selectbox, "preset").value == "question"


def test_any_allowed_value_can_be_typed_beside_a_slider(chosen: list[RunConfig]) -> None:
    page = trainer()

    def type_rate(text: str) -> None:
        keyed(page.text_input, "control_learning_rate_typed").input(text)
        page.run()

    type_rate("0.0123")
    assert chosen[-1].learning_rate == 0.0123 and not notes(page)
    assert widget(page, "learning_rate").value == 0.0123
    assert page.query_params["learning_rate"] == "0.0123"
    type_rate("a tenth")
    assert chosen[-1].learning_rate == 0.0123
    assert notes(page)[0].startswith("learning rate cannot be “a tenth”")
    assert keyed(page.text_input, "control_learning_rate_typed").value == "0.0123"
    type_rate("1e99")
    assert chosen[-1].learning_rate == FIELDS["learning_rate"].high
    assert notes(page)[0].startswith("learning rate is now")


def test_every_field_has_a_widget() -> None:
    for config in (RunConfig(), SERIES):
        page = trainer(**to_query(config))
        hidden = set(config.ignored()) - {"epsilon", "dropout_value"}  # these are disabled
        hidden |= {"dropout_value"} if config is SERIES else set()
        for name in FIELDS.keys() - hidden:
            assert widget(page, name).value == getattr(config, name)


def _together() -> list[dict[str, Any]]:
    """Every field's other value, in as few runs as have an effect of all of their fields."""
    runs: list[dict[str, Any]] = []
    for name in FIELDS:
        needs = SERIES.differences() if name in Process._fields else NEEDS.get(name, {})
        needs = {**needs, name: OTHER[name]}
        fitting = (run for run in runs if _has_effect({**needs, **run}, needs))
        run = next(fitting, None)
        if run is None:
            runs.append(run := {})
        run.update(needs)
    return runs


def _has_effect(values: dict[str, Any], needs: dict[str, Any]) -> bool:
    """Whether a run can have these values, among them those needed, and ignores none."""
    config, told = agree({"loss": "from_logits", **values})
    kept = values.items() <= asdict(config).items() and needs.items() <= values.items()
    return kept and not told and values.keys() <= to_query(config).keys()


@pytest.mark.parametrize("values", _together(), ids=" ".join)
def test_url_sets_widgets_and_config(values: dict[str, Any], chosen: list[RunConfig]) -> None:
    config = RunConfig(**{"loss": "from_logits", **values})
    page = trainer(**to_query(config))
    assert chosen[-1] == config and not notes(page)
    assert page.query_params == to_query(config)
    for name, value in values.items():
        assert widget(page, name).value == value


def test_each_field_s_other_value_is_set() -> None:
    assert {name: OTHER[name] for name in FIELDS}.items() <= {
        (name, value) for run in _together() for name, value in run.items()
    }


def test_an_own_formula_is_typed_in_place_of_the_slider(chosen: list[RunConfig]) -> None:
    page = trainer(loss="clip", epsilon="1e-3")
    keyed(page.toggle, "control_own").set_value(True).run()
    assert chosen[-1] == RunConfig(loss=FIRST["binary"], epsilon=1e-7)
    box = keyed(page.text_input, "control_loss_formula")
    assert box.value == FIRST["binary"] and not page.warning
    box.set_value("(p-y)**2").run()
    assert chosen[-1] == RunConfig(loss="(p - y)**2") and not page.warning
    assert page.query_params == {"loss": "(p - y)**2"}
    keyed(page.text_input, "control_loss_formula").set_value("(p-y)**").run()
    assert chosen[-1].loss == "(p - y)**2" and "at character 8" in page.warning[0].value
    keyed(page.toggle, "control_own").set_value(False).run()
    assert chosen[-1] == RunConfig(loss="clip", epsilon=1e-7) and not page.warning
    keyed(page.toggle, "control_own").set_value(True).run()
    assert chosen[-1].loss == "(p - y)**2", "the last one is remembered"
    widget(page, "task").set_value("digits").run()
    assert chosen[-1].loss == "from_logits" and "cannot be used" in notes(page)[0]
    keyed(page.toggle, "control_own").set_value(True).run()
    assert chosen[-1].loss == FIRST["softmax"] and not page.exception


def test_batch_norm_s_numbers_are_asked_for_where_they_have_an_effect(
    chosen: list[RunConfig],
) -> None:
    page = trainer(norm_momentum="0.99")
    assert chosen[-1] == RunConfig()
    with pytest.raises(ValueError, match="not enough values"):  # it is not drawn
        widget(page, "norm_momentum")
    widget(page, "normalisation").set_value("batch_norm").run()
    widget(page, "norm_momentum").set_value(0.99).run()
    assert chosen[-1] == RunConfig(normalisation="batch_norm", norm_momentum=0.99)
    widget(page, "norm_test").set_value("batch").run()
    assert chosen[-1] == RunConfig(normalisation="batch_norm", norm_test="batch")
    for name in ("norm_momentum", "norm_variance"):
        with pytest.raises(ValueError, match="not enough values"):
            widget(page, name)
    widget(page, "model").set_value("cnn").run()
    assert chosen[-1] == RunConfig(model="cnn") and not page.exception


def test_an_optimizer_comes_with_its_own_settings(chosen: list[RunConfig]) -> None:
    page = trainer(optimizer="adam", momentum="0.5", optimizer_epsilon="1e-3")
    assert chosen[-1] == RunConfig(optimizer="adam", momentum=0.5, optimizer_epsilon=1e-3)
    assert widget(page, "momentum").value == 0.5 and widget(page, "beta_2").value == 0.999
    widget(page, "optimizer").set_value("rmsprop_keras").run()
    assert chosen[-1] == RunConfig(optimizer="rmsprop_keras") and not notes(page)
    assert page.query_params == {"optimizer": "rmsprop_keras"}
    shown = {name: widget(page, name).value for name in SETTINGS}
    assert shown == {"momentum": 0.0, "beta_2": 0.9, "optimizer_epsilon": 1e-7}
    widget(page, "momentum").set_value(0.9).run()
    assert chosen[-1] == RunConfig(optimizer="rmsprop_keras", momentum=0.9)
    widget(page, "optimizer").set_value("sgd").run()
    assert chosen[-1] == RunConfig() and page.query_params == {} and not page.exception


def test_controls_that_the_model_ignores_are_disabled(chosen: list[RunConfig]) -> None:
    page = trainer(model="cnn", dropout="rate", widths="8")
    assert chosen[-1] == RunConfig(model="cnn")
    unused = {*Process._fields, "shuffle_buffer", *unused_by_step(asdict(RunConfig()))}
    unused |= {*NORM_FIELDS[1:], "initial_spread"}
    shown = FIELDS.keys() - unused
    greyed = {name for name in shown if widget(page, name).disabled}
    of_batches = {"data_order", "shuffle", "last_batch"}  # there is one batch
    network = {"widths", "initializer", "biases", "activation", "normalisation"}
    assert greyed == {*network, "dropout", "dropout_value", *of_batches}
    widget(page, "model").set_value("mlp").run()
    assert not widget(page, "widths").disabled and chosen[-1] == RunConfig()
    widget(page, "batch_size").set_value(100).run()
    assert {name for name in of_batches if widget(page, name).disabled} == {"last_batch"}
    widget(page, "train_size").set_value(1024).run()
    assert not any(widget(page, name).disabled for name in of_batches)


def test_only_reports_that_differ_are_offered(chosen: list[RunConfig]) -> None:
    page = trainer(dropout="rate", report="dropout_on")
    assert chosen[-1] == RunConfig(dropout="rate", report="dropout_on")
    options = [REPORTS[key].label for key in ("true", "threshold", "dropout_on", "nan_as_0")]
    assert widget(page, "report").options == options
    widget(page, "dropout").set_value("off").run()
    assert chosen[-1] == RunConfig() and not page.exception
    assert notes(page) == [
        "reported accuracy is now “as it is”: with these settings “with units dropped” is the same"
    ]


def test_a_shuffle_buffer_is_asked_for_where_there_is_one(chosen: list[RunConfig]) -> None:
    page = trainer(batch_size="100")
    with pytest.raises(ValueError, match="not enough values"):  # it is not drawn
        widget(page, "shuffle_buffer")
    widget(page, "shuffle").set_value("buffer").run()
    widget(page, "shuffle_buffer").set_value(10).run()
    assert chosen[-1] == RunConfig(batch_size=100, shuffle="buffer", shuffle_buffer=10)
    widget(page, "shuffle").set_value("once").run()
    assert chosen[-1] == RunConfig(batch_size=100, shuffle="once")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss", "from_logits"), ("epsilon", 1e-3), ("learning_rate", 0.1), ("seed", 3),
        ("dropout", "keep_prob"), ("scaling", "unit"), ("optimizer", "momentum"),
        ("widths", (512, 512)), ("epochs", 20), ("batch_size", 100), ("stream", "partitionable"),
    ],
)  # fmt: skip
def test_widget_writes_config_and_url_and_back(
    name: str, value: Any, chosen: list[RunConfig]
) -> None:
    page = trainer()
    widget(page, name).set_value(value).run()
    assert chosen[-1] == RunConfig(**{name: value})
    assert page.query_params == {name: to_text(value)}
    widget(page, name).set_value(getattr(RunConfig(), name)).run()
    assert chosen[-1] == RunConfig() and page.query_params == {}
    assert not page.exception and not notes(page)


@pytest.mark.parametrize("preset", every(4, PRESETS))
def test_presets_reach_config_and_url(preset: str, chosen: list[RunConfig]) -> None:
    page = trainer(seed="5")
    assert keyed(page.selectbox, "preset").value is None
    keyed(page.selectbox, "preset").set_value(preset).run()
    config = PRESETS[preset].config
    assert chosen[-1] == config and page.query_params == to_query(config)
    assert keyed(page.selectbox, "preset").value == preset
    trainer(**page.query_params)
    assert chosen[-1] == config


@pytest.mark.parametrize(
    ("query", "note", "config"),
    [
        ({"loss": "junk"}, "loss cannot be “junk”; allowed are naive_exp, ", RunConfig()),
        ({"nope": "<script>"}, "“nope” is not a setting and was ignored", RunConfig()),
        ({"learning_rate": "nan"}, "learning rate cannot be “nan”", RunConfig()),
        ({"epochs": "100000"}, "epochs is now 1000 instead", RunConfig(epochs=1000)),
        ({"widths": "-"}, "hidden layers cannot be “-”", RunConfig()),
        ({"batch_size": "60000"}, "batch is now 1000", RunConfig()),
    ],
)
def test_junk_in_the_url_is_reported_once(
    query: dict[str, str], note: str, config: RunConfig, chosen: list[RunConfig]
) -> None:
    page = trainer(**query)
    assert [text for text in notes(page) if text.startswith(note)] == notes(page) and notes(page)
    assert chosen[-1] == config and page.query_params == to_query(config)
    page.run()
    assert not notes(page) and not page.exception


def test_the_last_of_repeated_parameters_counts() -> None:
    page = open_page("pages/lab/train.py")
    page.query_params["seed"] = ["1", "2"]
    without_widgets(page)
    assert not page.exception and widget(page, "seed").value == 2


def test_another_task_moves_the_loss_and_says_so(chosen: list[RunConfig]) -> None:
    page = trainer()
    widget(page, "task").set_value("digits").run()
    assert (chosen[-1].task, chosen[-1].loss) == ("digits", "from_logits")
    assert notes(page) == ["loss is now “From logits”: the other cannot be used for this task"]


def test_fewer_images_move_the_batch_and_say_so(chosen: list[RunConfig]) -> None:
    page = trainer()
    widget(page, "train_size").set_value(500).run()
    assert (chosen[-1].train_size, chosen[-1].batch_size) == (500, 500)
    assert notes(page) == ["batch is now 500: the whole training set"]


@pytest.mark.parametrize(
    ("typed", "widths", "note"),
    [
        ("300-100", (300, 100), ""),
        ("0-99999", (1, 16_384), "hidden layers is now 1-16384 instead of “0-99999”"),
        ("wide", (1000,), "hidden layers cannot be “wide”"),
    ],
)
def test_widths_can_be_typed(
    typed: str, widths: tuple[int, ...], note: str, chosen: list[RunConfig]
) -> None:
    page = trainer()
    box = widget(page, "widths")
    box.options.append(typed)  # AppTest only sends known options
    box.set_value(typed).run()
    assert chosen[-1].widths == widths and not page.exception
    assert all(text.startswith(note) for text in notes(page)) and bool(notes(page)) == bool(note)
    assert page.query_params == to_query(RunConfig(widths=widths))


def test_a_late_address_moves_no_control_back(chosen: list[RunConfig]) -> None:
    """A quick visitor's second change comes with the address from before the first change.

    So may a request that repeats a value. The back button asks for the page without widgets.
    """
    page = trainer()
    keyed(page.select_slider, "control_learning_rate").set_value(0.1).run()
    assert page.query_params == {"learning_rate": "0.1"}
    page.query_params.clear()
    keyed(page.number_input, "control_seed").set_value(3).run()
    assert chosen[-1] == RunConfig(learning_rate=0.1, seed=3)
    assert page.query_params == {"learning_rate": "0.1", "seed": "3"}
    page.query_params.clear()
    assert not page.run().exception and chosen[-1] == RunConfig(learning_rate=0.1, seed=3)
    page.query_params.clear()
    assert not without_widgets(page).exception and chosen[-1] == RunConfig()


def test_a_widget_that_the_page_sets_gets_a_new_key(chosen: list[RunConfig]) -> None:
    """What a browser still sends for the old widget is not taken for a visitor's change."""
    page = trainer()
    before = keyed(page.selectbox, "preset").key
    keyed(page.select_slider, "control_learning_rate").set_value(0.1).run()
    assert keyed(page.selectbox, "preset").key != before
    assert keyed(page.select_slider, "control_learning_rate").key == "control_learning_rate"


def test_going_to_another_page_and_back_keeps_the_settings(chosen: list[RunConfig]) -> None:
    page = trainer(seed="5")
    page.switch_page(str(ROOT / "pages/home.py"))
    page.query_params.clear()
    page.run()
    go(page, "pages/lab/train.py")
    assert chosen[-1] == RunConfig(seed=5) and page.query_params == {"seed": "5"}


def test_dropout_value_needs_dropout() -> None:
    page = trainer()
    assert widget(page, "dropout_value").disabled
    widget(page, "dropout").set_value("rate").run()
    assert not widget(page, "dropout_value").disabled


@pytest.mark.parametrize("name", ["learning_rate", "epsilon"])
def test_log_scales_cover_the_field(name: str) -> None:
    grid = widgets.decades(name)
    allowed = FIELDS[name]
    assert list(grid) == sorted(grid) and not any(allowed.fault(value) for value in grid)
    ratios = [b / a for a, b in pairwise(grid)]
    assert max(ratios) < 2.6 and min(ratios) > 1.9
    assert grid[0] / allowed.low < 2.6 and allowed.high / grid[-1] < 2.6


def test_five_faults_of_a_link_are_one_toast_in_the_page_s_words(chosen: list[RunConfig]) -> None:
    page = trainer(
        learning_rate="nan", widths="-", batch_size="x", train_size="99999", dropout="often"
    )
    assert len(page.toast) == 1 and chosen[-1] == RunConfig(train_size=4000)
    words = ("learning rate", "hidden layers", "batch", "training images", "dropout")
    assert {note.split(" cannot")[0].split(" is")[0] for note in notes(page)} == set(words)
