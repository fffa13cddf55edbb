"""A network before its first step is the one that the first snapshot of its run shows."""

from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.study.initial import initial_answers
from tests.kit import more
from tests.kit.runs import tiny, trained


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        more(RunConfig(loss="from_logits", scaling="unit")),
        tiny(loss="naive", scaling="raw", seed=3),
        tiny(loss="question_stable", scaling="raw", dropout="older", dropout_value=0.5),
    ],
)
def test_it_is_the_first_snapshot_bit_for_bit(config: RunConfig) -> None:
    first, found = trained(config)[0], initial_answers(config)
    assert found.step == first.step == 0
    for name in ("margins", "labels", "correct", "gradients"):
        np.testing.assert_array_equal(getattr(found, name), getattr(first, name), name)


def test_more_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="task is 'digits'"):
        initial_answers(tiny(task="digits"))


@pytest.mark.parametrize(
    "change", [{"loss_input": "softmax"}, {"label_smoothing": 0.1}, {"label_shift": 1}], ids=str
)
def test_a_loss_that_is_not_as_written_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} is .*; allowed is "):
        initial_answers(tiny(**change))
