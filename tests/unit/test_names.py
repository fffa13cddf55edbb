"""Runs are named by what differs, and no two have the same name."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig
from core.presets import PRESETS
from tests.kit.runs import configs
from ui.pieces.names import names

QUESTION = RunConfig()


def test_few_differences_are_named_and_nothing_else() -> None:
    logits = replace(QUESTION, loss="from_logits")
    assert names([QUESTION, logits]) == ['The question\'s "stable" loss', "From logits"]
    slower = replace(logits, learning_rate=0.001)
    assert names([logits, slower]) == ["learning rate 0.01", "learning rate 0.001"]


def test_one_alone_and_runs_far_apart_are_named_by_their_presets() -> None:
    assert names([QUESTION]) == [PRESETS["question"].label]
    digits = PRESETS["digits"].config
    two = [replace(QUESTION, seed=3), digits]
    assert names(two) == ["The question: 79% or 91%?, seed 3", "Digits on the sample"]


def test_a_setting_that_a_run_ignores_is_not_in_its_name() -> None:
    clipped = replace(QUESTION, epsilon=1e-3)
    assert "epsilon" not in names([clipped, replace(QUESTION, loss="naive")])[1]


@given(st.lists(configs, min_size=1, max_size=6, unique=True))
def test_different_runs_have_different_names(found: list[RunConfig]) -> None:
    told = names(found)
    assert len(set(told)) == len(found) and all(told)
