"""Links: what the pages' queries say, and that no text in one is too odd to be read."""

import math
import random
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import hypothesis.strategies as st
import pytest
from hypothesis import given

from core.config import FIELDS, RunConfig
from core.run.snapshot import Census
from tests.kit.runs import configs, look
from ui.atlas.setting import STATE as ATLAS
from ui.charts.palette import PINS as COLOURS
from ui.compare.setting import STATE as COMPARE
from ui.microscope.setting import STATE as MICROSCOPE
from ui.state import PageState
from ui.sweep.setting import STATE as SWEEP
from ui.trainer.lesson import HIDABLE, QUESTIONS, hides
from ui.trainer.link import END, NAMES, Opened, read, write
from ui.twins.pair import STATE as PAIR

SERIES = RunConfig(source="ou", task="next_value", model="gru", loss="mse_aligned")


@st.composite
def opened(draw: st.DrawFn) -> Opened:
    """What a link of ours may open."""
    config = draw(configs)
    until = draw(st.integers(0, config.steps) | st.just(END))
    step = draw(st.integers(0, config.steps - 1) | st.just(END))
    pins = tuple(draw(st.lists(configs, max_size=len(COLOURS), unique=True)))
    hide = draw(st.sets(st.sampled_from(list(HIDABLE))))
    asked = [key for key, row in QUESTIONS.items() if row.fits(config)]
    ask = draw(st.sampled_from(["", *asked]))
    return Opened(config, until, step, pins, tuple(key for key in HIDABLE if key in hide), ask)


@given(opened())
def test_a_link_opens_what_it_was_written_for(one: Opened) -> None:
    query = write(one.config, one.rest())
    again = dict(parse_qsl(urlencode(query)))  # as an address has it
    assert read(again) == (one if one.pins else one._replace(pins=None), [])


def test_a_link_leaves_out_what_is_not_said() -> None:
    assert write(RunConfig(), Opened(RunConfig(), pins=()).rest()) == {}
    pins = (RunConfig(), RunConfig(seed=3, loss="clip"))
    assert write(RunConfig(), Opened(RunConfig(), pins=pins).rest()) == {
        "pins": ".~~seed~3~loss~clip"
    }


@pytest.mark.parametrize(
    ("query", "until", "step"),
    [
        ({}, 0, END), ({"until": "end"}, END, END), ({"until": "4"}, 4, END),
        ({"step": "4"}, 4, END), ({"step": "4", "until": "end"}, END, 4),
        ({"step": "10", "until": "end"}, END, END), ({"until": "99999999999999"}, 10, END),
    ],
)  # fmt: skip
def test_a_link_opens_at_a_step(query: dict[str, str], until: float, step: float) -> None:
    found, notes = read(query)
    assert (found.until, found.step, notes) == (until, step, [])


@pytest.mark.parametrize(
    ("query", "note"),
    [
        ({"until": "²"}, "until must be a step or “end”; it was ignored"),
        ({"step": "end"}, "step must be a whole number; it was ignored"),
        ({"pins": "seed"}, "pins has parts that cannot be used; the others are pinned"),
        ({"pins": "seed~x"}, "pins has parts that cannot be used; the others are pinned"),
        ({"hide": "optimizer.<b>"}, "hide has nothing called “?b?”; it was ignored"),
        ({"ask": "why"}, f"ask cannot be “why”; allowed are {', '.join(QUESTIONS)}"),
        ({"ask": "copying"}, "ask cannot be copying of this run; it was ignored"),
    ],
)
def test_what_a_link_cannot_use_is_told_once(query: dict[str, str], note: str) -> None:
    found, notes = read(query)
    assert notes == [note] and found.config == RunConfig() and not found.ask
    assert found.hide == (("optimizer",) if "hide" in query else ())


def test_too_many_pins_are_left_out() -> None:
    runs = tuple(RunConfig(seed=seed) for seed in range(6))
    found, notes = read(write(RunConfig(), Opened(RunConfig(), pins=runs).rest()))
    assert found.pins == runs[: len(COLOURS)] and len(notes) == 1


def test_a_fold_hides_all_that_is_in_it() -> None:
    hidden = {name for name in FIELDS if hides(("optimizer",), name)}
    assert {"optimizer", "momentum", "clip_norm"} <= hidden
    assert not hidden & {"loss", "learning_rate", "seed", "batch_size", "dropout"}
    assert hides(("seed",), "seed") and not hides(("seed",), "epsilon")
    assert not hides((), "seed") and not hides(("optimizer",), "preset")


# Answers

WRONG = {"train_accuracy": 0.6, "test_accuracy": 0.61, "census": Census(0.4, 0.9, 0.1)}


@pytest.mark.parametrize(
    ("key", "last", "right"),
    [
        ("accuracy", {}, "80% to 95%"),
        ("accuracy", {"train_accuracy": 0.95}, "95% or more"),
        ("accuracy", {"train_accuracy": 0.1}, "less than half"),
        ("loss", {"loss": 0.2}, "fall"),
        ("loss", {"loss": 0.52}, "stay where it is, within a tenth"),
        ("loss", {"loss": 3.0}, "rise"),
        ("loss", {"loss": math.nan}, "become NaN or infinite"),
        ("silent", {}, "none"),
        ("silent", WRONG, "fewer than half"),
        ("silent", {"census": Census(0.4, 0.9, 0.2)}, "half or more"),
        ("held_out", WRONG, "about the same on both"),
        ("held_out", {"test_accuracy": 0.7}, "those it trained on"),
        ("held_out", {"train_accuracy": 0.7}, "the held-out ones"),
    ],
)
def test_the_right_answer_is_measured(key: str, last: dict[str, Any], right: str) -> None:
    question = QUESTIONS[key]
    answer = question.answer([look(0), look(10, **last)])
    assert answer.right == right and right in question.options
    assert re.search(r"\d", answer.measured)


def test_where_answers_are_nan_none_is_right() -> None:
    broken = look(10)._replace(saturation=look().saturation._replace(nonfinite=0.5))
    for key in ("accuracy", "held_out"):
        answer = QUESTIONS[key].answer([look(0), broken])
        assert answer.right in QUESTIONS[key].options and "NaN" in answer.right


def test_a_question_is_asked_of_runs_that_have_its_answer() -> None:
    assert [key for key, row in QUESTIONS.items() if row.fits(SERIES)] == ["loss", "copying"]
    assert not QUESTIONS["copying"].fits(RunConfig())


# Odd queries

STATES: dict[str, PageState] = {
    "microscope": MICROSCOPE, "sweep": SWEEP, "atlas": ATLAS, "compare": COMPARE, "pair": PAIR,
}  # fmt: skip
READERS: dict[str, Callable[[Mapping[str, str]], tuple[Any, list[str]]]] = {
    "trainer": read, **{name: state.from_query for name, state in STATES.items()}
}  # fmt: skip
WORDS = (
    *FIELDS, *NAMES, *HIDABLE, *QUESTIONS, *(f"b_{name}" for name in FIELDS),
    *(f"over_{name}" for name in FIELDS), "losses", "dtype", "label", "span", "axis", "there",
    "here", "uses", "pair", "nonsense", "__class__",
)  # fmt: skip
VALUES = (
    "", "0", "1", "-1", "1e999", "-inf", "nan", "0x10", "²", "٣", "1_000", "9" * 400, "end", ".",
    "~", "~~", "~~~", "..", "-", "300-100", "300-", "naive.clip", "clip", "digits", "adam", "full",
    "ou", "gru", "cnn", "None", "true", "[]", "{}", "<script>alert(1)</script>", "' OR 1=1 --",
    "../../etc/passwd", "{{7*7}}", "%00", "\x00", "\ud83d\ude00", "a" * 3000, "1,2,3", "1,,x", ",",
    "seed~3", "seed~3~~loss~clip", "loss~clip~pins~seed", "question",
)  # fmt: skip


def odd_query(seed: int) -> dict[str, str]:
    """A query of words that mean something somewhere and of others, in no order."""
    dice = random.Random(seed)
    return {
        dice.choice(WORDS): dice.choice(VALUES) if dice.random() < 0.8 else dice.choice(WORDS)
        for _ in range(dice.randrange(1, 8))
    }


def assert_readable(seeds: range) -> None:
    """Assert that every page reads these queries, and would write an address that it reads."""
    for seed in seeds:
        for name, reads in READERS.items():
            found, notes = reads(odd_query(seed))
            assert all(isinstance(note, str) and len(note) < 3000 for note in notes)
            if name == "trainer":
                query = write(found.config, {**found.rest(), "pins": found.pins or ()})
                again, more = read(query)
                assert again == found._replace(pins=found.pins or None) and not more
            else:
                query = STATES[name].to_query(found)
                assert STATES[name].from_query(query) == (found, []), (name, seed)


def test_no_query_is_too_odd() -> None:
    assert_readable(range(100))


@pytest.mark.slow
def test_none_of_ten_thousand_queries_is_too_odd() -> None:
    assert_readable(range(100, 10_000))
