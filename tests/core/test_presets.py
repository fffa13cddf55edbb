"""Every preset is a run, says only what differs, and gives the story its figures."""

from typing import Any

import pytest

from core.config import RunConfig
from core.presets import PRESETS
from core.run.train import snapshot_steps


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_preset_lists_only_what_differs(preset: Any) -> None:
    config = RunConfig(**preset.overrides)
    assert config.differences() == dict(preset.overrides)
    assert snapshot_steps(config)[-1] == config.steps


def test_presets_differ() -> None:
    assert len({RunConfig(**preset.overrides) for preset in PRESETS.values()}) == len(PRESETS)


def test_first_preset_is_what_a_visitor_finds() -> None:
    assert next(iter(PRESETS)) == "question" and not PRESETS["question"].overrides


def test_full_mnist_is_the_story_s_network() -> None:
    config = RunConfig(**PRESETS["full_mnist"].overrides)
    assert (config.source, config.widths, config.optimizer) == ("full", (512, 512), "adam")
    assert (config.learning_rate, config.batch_size, config.steps) == (1e-3, 100, 1800)


def test_the_keep_prob_question_is_whole() -> None:
    config = RunConfig(**PRESETS["keep_or_drop_full"].overrides)
    assert (config.source, config.train_size, config.epochs) == ("full_55000", 55_000, 30)
    assert (config.widths, config.initializer) == ((256,) * 4, "glorot_uniform")
    assert (config.optimizer, config.learning_rate, config.batch_size) == ("adam", 1e-3, 100)
    assert (config.scaling, config.loss, config.dropout_value) == ("unit", "from_logits", 0.7)
    sample = PRESETS["keep_or_drop"].overrides
    changes = {"source": "sample", "train_size": 4000, "epochs": 20}
    assert {**PRESETS["keep_or_drop_full"].overrides, **changes} == {**sample, "source": "sample"}
