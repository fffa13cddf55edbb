"""The atlas: which runs are compared, how gaps are judged, and what a checklist says."""

import json
from itertools import permutations
from pathlib import Path
from textwrap import wrap

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import load
from core.study.atlas.before import Before, Pair, before, pairs
from core.study.atlas.checklist import checklist, kind_words, markdown
from core.study.atlas.comparisons import (
    BASE,
    LIVE,
    SEEDS,
    Comparison,
    compared,
    comparisons,
    controls,
    longer,
    name,
)
from core.study.atlas.effects import ASSET, KINDS, Effect, Recorded, recorded, verdict
from core.study.atlas.measure import collect, known, runs, runs_longer, score
from core.study.atlas.piece import CONTEXTS, FRAMEWORKS, TOPICS, Piece
from core.study.atlas.pieces import PIECES
from ui.charts import atlas

EVERY = pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
STEADY = np.array([0.0010, -0.0005, 0.0001, 0.0, 0.0002])  # what rounding does


@EVERY
def test_a_piece_names_what_there_is(piece: Piece) -> None:
    assert piece.topic in TOPICS and set(piece.contexts) <= CONTEXTS.keys()
    assert piece.defaults.keys() <= FRAMEWORKS.keys()
    assert len(piece.defaults) != 1  # none: nobody's default, but people do it
    assert {fact.value for fact in piece.defaults.values()} <= piece.values.keys()
    assert all(value.write.keys() <= FRAMEWORKS.keys() for value in piece.values.values())
    assert all(set(pair) <= piece.values.keys() for pair in piece.unchanged)
    assert all(fact.source for fact in piece.defaults.values())


@EVERY
def test_a_framework_can_write_what_it_does(piece: Piece) -> None:
    for framework, default in piece.defaults.items():
        if any(framework in value.write for value in piece.values.values()):
            assert framework in piece.values[default.value].write


@EVERY
def test_settings_make_runs_that_differ(piece: Piece) -> None:
    """A value whose settings change nothing is one that the run ignores."""
    for there, here in permutations(piece.values, 2):
        for base in (BASE, LIVE):
            for c in compared(piece, there, here, base):
                assert c.original != c.ported, (there, here, c.context)


def test_every_comparison_is_recorded() -> None:
    """Whoever adds a piece runs `python -m core.study.atlas`."""
    known = recorded()
    missing = [c[:4] for c in comparisons(PIECES.values()) if known.effect(c) is None]
    assert missing == []


def test_every_gap_that_matters_was_given_more_time() -> None:
    known = recorded()
    effects = [known.effect(c) for c in comparisons(PIECES.values())]
    assert all(effect.longer is not None for effect in effects if effect and effect.matters)


def effect(gaps: list[float], start: float = 0.9, more: float | None = None) -> Effect:
    original = np.full(len(SEEDS), start)
    long = None if more is None else np.full(len(SEEDS), more)
    pair = Comparison("piece", "adam", "a", "b", BASE, BASE)
    return Effect(pair, original, original + gaps, STEADY, long)


@pytest.mark.parametrize(
    ("gaps", "more", "kind"),
    [
        ([-0.8, -0.7, -0.8, -0.8, -0.7], 0.2, "ruins"),
        ([-0.8, -0.7, -0.8, -0.8, -0.7], 0.6, "delays"),  # half of the gap is made up
        ([-0.02, -0.01, -0.02, -0.03, -0.02], 0.88, "costs"),
        ([-0.02, -0.01, -0.02, -0.03, -0.02], 0.95, "delays"),
        ([0.02, -0.01, 0.02, -0.03, -0.02], 0.88, "chance"),  # seeds disagree
        ([-0.002, -0.003, -0.002, -0.003, -0.002], None, "small"),
        ([-0.0009, -0.0008, -0.0009, -0.0008, -0.0009], None, "chance"),  # rounding does as much
        ([0.7, 0.7, 0.6, 0.7, 0.7], 0.95, "ruins"),  # the original was the worse one
    ],
)
def test_a_gap_is_judged_by_its_size_its_controls_and_what_time_makes_up(
    gaps: list[float], more: float | None, kind: str
) -> None:
    start = 0.2 if gaps[0] > 0.5 else 0.9
    if kind == "ruins" and start == 0.2:
        more = 0.3
    assert effect(gaps, start, more).kind == kind


def test_what_ruins_sgd_alone_is_said_to() -> None:
    ruin, mild = effect([-0.8] * 5, more=0.1), effect([-0.02, -0.01, -0.02, -0.03, -0.02], more=0.9)
    sgd = Effect(ruin.comparison._replace(context="sgd"), *_arrays(ruin))
    assert verdict([mild, sgd]) == "ruins_sgd"
    assert verdict([ruin, sgd]) == "ruins"
    assert verdict([sgd]) == "ruins"  # nothing is known of Adam
    assert verdict([mild]) == "delays"
    by_order = Effect(ruin.comparison._replace(context="sorted"), *_arrays(ruin))
    assert verdict([mild, by_order]) == "ruins"  # with Adam, too


def _arrays(e: Effect) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    return e.original, e.ported, e.nudged, e.longer


@given(st.lists(st.floats(-0.9, 0.1), min_size=5, max_size=5))
def test_the_way_back_has_the_opposite_gap_and_the_same_kind(gaps: list[float]) -> None:
    there = effect(gaps, more=0.5)
    back = Effect(there.comparison, there.ported, there.original, there.nudged, there.longer)
    assert back.kind == there.kind in KINDS
    assert back.gap == pytest.approx(-there.gap)


def test_a_run_is_named_by_what_differs_from_the_base() -> None:
    assert name(BASE) == "{}"
    assert json.loads(name(longer(controls()["sgd"]))) == {
        "optimizer": "sgd", "learning_rate": "0.1", "epochs": "9"
    }  # fmt: skip


def test_what_the_table_has_is_not_measured_again(tmp_path: Path) -> None:
    had = known(ASSET)
    if had is None:
        pytest.skip("the table was made by another version of JAX, or on another device")
    pieces = list(PIECES.values())
    each = runs(pieces)
    more = runs_longer(pieces, collect(each, tmp_path, had))  # a run that is measured needs a file
    assert Recorded(collect([*each, *more], tmp_path, had))._accuracy == had._accuracy
    assert known(tmp_path / "none.parquet") is None


def test_a_regression_is_scored_by_the_variance_that_it_explains() -> None:
    config = controls()["gru"]
    targets = load("ou", process=config.process).test_labels
    assert score(config, 0.0) == 1
    assert score(config, float(np.mean((targets - targets.mean()) ** 2))) == pytest.approx(0)
    assert score(BASE, 0.9) == 0.9


def test_a_table_without_runs_has_no_effects() -> None:
    schema = pa.schema(
        {"run": pa.string(), "nudged": pa.bool_(), "seed": pa.int64(), "accuracy": pa.float32()},
        metadata={b"samenet": b"{}"},
    )
    empty = Recorded(schema.empty_table())
    assert all(empty.effect(c) is None for c in comparisons(PIECES.values()))
    items = checklist(PIECES.values(), "keras", "torch", empty, list(TOPICS))
    assert items and all(item.kind is None for item in items)


@pytest.mark.parametrize(("there", "here"), list(permutations(FRAMEWORKS, 2)))
def test_a_checklist_says_the_gravest_first_and_both_ways_the_same(there: str, here: str) -> None:
    known, every = recorded(), list(TOPICS)
    items = checklist(PIECES.values(), there, here, known, every)
    back = checklist(PIECES.values(), here, there, known, every)
    assert {item.piece.key for item in items} == {item.piece.key for item in back}
    ruined = [item.kind in ("ruins", "ruins_sgd") for item in items]
    assert ruined == sorted(ruined, reverse=True)
    measured = [item.kind is not None for item in items]
    assert measured == sorted(measured, reverse=True)
    text = markdown(items, there, here)
    assert text.count("- [ ]") == len(items)
    assert all(item.piece.label in text for item in items)


def test_a_checklist_leaves_out_what_a_program_does_not_use() -> None:
    few = checklist(PIECES.values(), "keras", "torch", recorded(), ())
    assert all(TOPICS[item.piece.topic].always for item in few)
    more = checklist(PIECES.values(), "keras", "torch", recorded(), ("adam",))
    assert {item.piece.topic for item in more} - {item.piece.topic for item in few} == {"adam"}


def test_what_was_measured_before_is_compared_again() -> None:
    both = pairs(PIECES.values(), recorded())
    assert len(both) == len(before()) >= 60
    assert sum(pair.agrees for pair in both) >= 0.8 * len(both)


@pytest.mark.parametrize(
    ("then", "now", "agrees"),
    [(0.001, -0.004, True), (-0.2, -0.11, True), (-0.2, -0.09, False), (0.02, -0.02, False)],
)
def test_gaps_agree_if_small_or_alike(then: float, now: float, agrees: bool) -> None:
    row = Before("piece", "adam", "a", "b", then, 0.01, 3)
    assert Pair(row, effect([now] * 5)).agrees == agrees


def test_a_difference_is_blamed_on_the_framework_that_does_worse() -> None:
    """Keras's loader gives bytes and PyTorch's numbers to 1, which plain SGD needs."""
    for there, here in permutations(("keras", "torch")):
        items = checklist(PIECES.values(), there, here, recorded(), ())
        pixels = next(item for item in items if item.piece.key == "pixels")
        assert pixels.gains == (there == "keras")
        words = kind_words(pixels, there, here)
        assert words == "ruins plain SGD in keras"
    small = pixels._replace(kind="chance")
    assert kind_words(small, "a", "b") == "cannot be told from chance"
    assert kind_words(small._replace(kind=None), "a", "b") == "not measured"


def test_names_of_pieces_have_two_lines_at_most_beside_the_chart() -> None:
    for piece in PIECES.values():
        assert len(wrap(piece.label, atlas.LETTERS)) <= 2, piece.label
