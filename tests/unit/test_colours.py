"""A variant has one colour wherever it is drawn."""

import re
from collections.abc import Collection
from dataclasses import replace
from itertools import combinations

import pytest

from core.config import RunConfig, agree
from core.parts.losses import LOSSES, losses_for
from core.run.snapshot import Health
from ui.charts import batches, flow, frame, health, real, series
from ui.charts.palette import BROKEN, DEAD, HELD_OUT, LAYERS, TRAIN
from ui.microscope.setting import FIELDS
from ui.pieces.colours import FIRST, LOSS_COLOURS, loss_colours, run_colours
from ui.story.keep_or_drop import reporting

CLIPPED = RunConfig(loss="question_stable")
LOGITS = RunConfig(loss="keras_tf")


@pytest.mark.parametrize("key", LOSSES)
def test_a_loss_has_the_colour_of_what_it_works_on(key: str) -> None:
    assert loss_colours([key]) == {key: LOSS_COLOURS[LOSSES[key].works_on][0]}


@pytest.mark.parametrize("form", ["binary", "softmax", "regression"])
def test_no_two_losses_of_a_chart_share_a_colour(form: str) -> None:
    keys = losses_for(form)  # type: ignore[arg-type]
    most = min(FIELDS["losses"].most, len(keys))  # type: ignore[union-attr]
    for chosen in combinations(keys, most):
        assert len({*loss_colours(chosen).values()}) == most, chosen


@pytest.mark.parametrize("key", FIRST)
def test_losses_of_home_and_the_first_story_keep_their_colours(key: str) -> None:
    kind = LOSSES[key].works_on
    others = [other for other in losses_for("binary") if LOSSES[other].works_on == kind]
    assert loss_colours([*others[:5], key])[key] == LOSS_COLOURS[kind][0]


@pytest.mark.parametrize(
    ("page", "colours"),
    [
        ("trainer", LAYERS[:6]),
        ("trainer", [flow.BANDS["wrong, with gradient"], health.HEALTH[Health.INF][1]]),
        ("trainer", set(real.colours("Keras").values()) - {TRAIN}),
        ("CNN", batches.ORDERS.values()),
        ("GRU", series.SIGNS.values()),
        ("dropout", reporting.SERIES.values()),
    ],
)
def test_what_a_page_shows_besides_two_curves_has_other_colours(
    page: str, colours: Collection[str]
) -> None:
    """Training and held out, or the page's two runs, are blue and orange."""
    assert {*colours}.isdisjoint({TRAIN, HELD_OUT}), page


def test_what_is_true_or_seen_has_no_run_s_colour() -> None:
    assert {*series.VALUES.values()}.isdisjoint({TRAIN, *LOSS_COLOURS["predictions"]})


def test_two_runs_have_their_losses_colours_in_either_order() -> None:
    assert run_colours([CLIPPED, LOGITS]) == [HELD_OUT, TRAIN]
    assert run_colours([LOGITS, CLIPPED]) == [TRAIN, HELD_OUT]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("dropout", "keep_prob", "rate"), ("reduction", "mean", "sum"), ("learning_rate", 0.01, 0.1)],
)
def test_two_runs_of_one_loss_keep_their_colours_in_either_order(
    name: str, first: object, second: object
) -> None:
    a, b = (agree({**vars(CLIPPED), name: value})[0] for value in (first, second))
    assert a != b
    assert run_colours([a, b]) == [TRAIN, HELD_OUT]
    assert run_colours([b, a]) == [HELD_OUT, TRAIN]


def test_several_runs_have_different_colours() -> None:
    runs = [replace(CLIPPED, loss=key) for key in ("clip", "naive", "optax", "from_logits")]
    assert len({*run_colours(runs)}) == len(runs)


@pytest.mark.parametrize("words", ["NaN", "-inf in layer 1; 0 in layer 2", "exactly 0 in layer 1"])
def test_nan_and_inf_are_purple_where_a_curve_lacks_them(words: str) -> None:
    *_, drawn = frame.gap_marks(10, ("layer 1",), LAYERS[:1]).to_dict()["layer"]
    colour = drawn["encoding"]["color"]
    (pattern,) = re.findall(r"^test\(/(.*)/, datum\.first\)$", colour["condition"]["test"])
    lost = bool(re.search(pattern, words))
    assert (colour["condition"] if lost else colour)["value"] == (DEAD, BROKEN)[lost]
    assert lost == ("exactly" not in words)
