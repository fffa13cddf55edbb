"""Every preset can be run, lists only what differs, and has the settings of its story."""

from dataclasses import replace
from typing import Any

import pytest

from core.data import Process
from core.presets import PRESETS
from core.run.train import snapshot_steps


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_preset_lists_only_what_differs(preset: Any) -> None:
    config = preset.config
    assert config.differences() == dict(preset.overrides)
    assert snapshot_steps(config)[-1] == config.steps


def test_presets_differ() -> None:
    assert len({preset.config for preset in PRESETS.values()}) == len(PRESETS)


def test_first_preset_is_what_a_visitor_finds() -> None:
    assert next(iter(PRESETS)) == "question" and not PRESETS["question"].overrides


def test_full_mnist_has_the_settings_of_its_story() -> None:
    config = PRESETS["full_mnist"].config
    assert (config.source, config.widths, config.optimizer) == ("full", (512, 512), "adam")
    assert (config.learning_rate, config.batch_size, config.steps) == (1e-3, 100, 1800)


def test_the_gru_has_the_post_s_settings_and_five_thousand_batches() -> None:
    config = PRESETS["gru"].config
    assert (config.model, config.widths, config.batch_size) == ("gru_reused", (12, 12), 64)
    assert (config.optimizer, config.learning_rate, config.steps) == ("adam", 1e-4, 5000)
    assert (config.loss, config.process) == ("mse_broadcast", Process())


def test_the_keep_prob_presets_have_the_settings_of_the_question() -> None:
    config = PRESETS["keep_or_drop_full"].config
    assert (config.source, config.train_size, config.epochs) == ("full_55000", 55_000, 30)
    assert (config.widths, config.initializer) == ((256,) * 4, "glorot_uniform")
    assert (config.optimizer, config.learning_rate, config.batch_size) == ("adam", 1e-3, 100)
    assert (config.scaling, config.loss, config.dropout_value) == ("unit", "from_logits", 0.7)
    sample = PRESETS["keep_or_drop"].overrides
    changes = {"source": "sample", "train_size": 4000, "epochs": 20}
    assert {**PRESETS["keep_or_drop_full"].overrides, **changes} == {**sample, "source": "sample"}


@pytest.mark.parametrize(
    ("key", "model"),
    [("jax_mlp", "mlp"), ("jax_cnn", "cnn"), ("jax_cnn_28_channels", "cnn_28_channels")],
)
def test_the_post_s_networks_are_as_it_has_them(key: str, model: str) -> None:
    full, sample = (PRESETS[name].config for name in (f"{key}_full", key))
    assert (full.model, full.source, full.train_size, full.epochs) == (model, "full", 60_000, 10)
    assert (full.optimizer, full.learning_rate, full.batch_size) == ("adam_step_0", 1e-3, 100)
    assert (full.loss, full.reduction, full.scaling) == ("from_logits", "sum", "standardised")
    assert (full.stream, full.seed) == ("partitionable", 1)
    if model == "mlp":
        assert (full.widths, full.initializer) == ((512, 512), "normal_0.01")
    assert replace(full, source="sample", train_size=4000) == sample
