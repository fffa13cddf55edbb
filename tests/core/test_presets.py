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
