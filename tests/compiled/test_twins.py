"""Twins, images without a gradient, and the swap, on the question itself and on small runs."""

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig
from core.data import Dataset, load
from core.study import twins
from core.study.reproduce.question import as_printed
from core.study.twins import Swap, stages, swap
from core.study.twins.parting import MOST
from tests.kit import more
from tests.kit.runs import order_of, tiny, trained

STABLE = RunConfig()
LOGITS = RunConfig(loss="from_logits")
SMALL = tiny(epochs=3)


@cache
def data_for(size: int) -> Dataset:
    return load("sample", size)


def diverge(a: RunConfig, b: RunConfig) -> twins.Divergence | None:
    search = twins.first_divergence(a, b, data_for(a.train_size))
    return next((found for found in search if found is not None), None)


# Which runs can be twins


def test_differences_name_both_values() -> None:
    assert twins.twin_differences(STABLE, replace(LOGITS, learning_rate=0.1)) == {
        "loss": ("question_stable", "from_logits"),
        "learning_rate": (0.01, 0.1),
    }
    assert twins.twin_differences(STABLE, STABLE) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1}, {"widths": (999,)}, {"scaling": "unit"}, {"batch_size": 500},
        {"initializer": "normal_0.01"}, {"stream": "partitionable"}, {"train_size": 2000},
        {"activation": "tanh"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("start", ["first_divergence", "swap"])
def test_runs_that_differ_in_more_than_a_twin_may_are_refused(
    start: str, change: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(change))} is .* twins may differ in loss"):
        list(getattr(twins, start)(STABLE, replace(STABLE, **change), data_for(1000)))


# The first divergence


def test_twice_the_learning_rate_moves_the_second_gradient_first() -> None:
    found = diverge(SMALL, replace(SMALL, learning_rate=0.02))
    assert found is not None and found.step == 1


def test_first_divergence_of_the_question() -> None:
    found = diverge(STABLE, LOGITS)
    assert found is not None
    assert (found.step, found.relative.shape) == (0, (2,))
    assert found.relative[found.layer] == found.relative.max() > 0.9
    samples = found.samples
    first = data_for(1000)
    np.testing.assert_array_equal(samples.images, first.train_images[samples.index])
    np.testing.assert_array_equal(samples.labels, first.train_labels[samples.index] >= 5)
    np.testing.assert_allclose(samples.logits[0][:, 0], trained(STABLE)[0].margins[samples.index])
    # The worst images are stuck in one run and entirely wrong in the other.
    assert len(samples.index) == MOST
    np.testing.assert_array_equal(samples.slopes[0], 0)
    np.testing.assert_array_equal(np.abs(samples.slopes[1]), 1)
    stuck = int(1000 * float(trained(STABLE)[0].census.stuck))
    assert stuck <= found.differing <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["optax", "torch_bce_logits", "keras_tf"])
def test_rounding_is_not_a_divergence(loss: str) -> None:
    assert diverge(LOGITS, replace(LOGITS, loss=loss)) is None


def test_mini_batches_name_images_by_their_place_in_the_data() -> None:
    a, b = SMALL, replace(SMALL, loss="naive", epsilon=1e-3)
    config = replace(b, loss="clip", epsilon=0.49)  # clips nearly everything at once
    found = diverge(a, config)
    assert found is not None
    assert found.step == 0
    assert set(found.samples.index.tolist()) <= set(order_of(a)[:20].tolist())
    assert found.samples.index.max() >= 20
    assert found.differing <= 20


def test_relative_differences() -> None:
    a = [(np.array([3.0, 0.0]), np.array([4.0])), (), (np.array([[1.0]]),)]
    b = [(np.array([3.0, 0.0]), np.array([3.0])), (), (np.array([[1.0]]),)]
    np.testing.assert_allclose(twins.relative_differences(a, b), [1 / 5, 0])
    nan = [(np.array([np.nan, 0.0]), np.array([4.0])), (), (np.array([[np.inf]]),)]
    np.testing.assert_array_equal(twins.relative_differences(nan, nan), [0, 0])
    np.testing.assert_array_equal(twins.relative_differences(a, nan), [np.inf, np.inf])


def test_twins_that_train_for_as_long_as_they_like_are_compared_to_the_end_of_either() -> None:
    assert diverge(SMALL, replace(SMALL, epochs=1)) is None


# Any two runs


@pytest.mark.parametrize(
    ("change", "first", "finding"),
    [
        ({"seed": 7}, "initial weights", r"differ by 1\d\d%"),
        more({"widths": (16,)}, "initial weights", "of other sizes"),
        more({"initializer": "keras"}, "initial weights", r"differ by [\d.]+%"),
        ({"batch_size": 100}, "first batch", "20 images are in both"),
        more({"train_size": 150}, "first batch", r"(no|\d+) images are in both"),
        ({"shuffle": "once"}, "first batch", "the same, but not that of step 5"),
        ({"shuffle": "never"}, "first batch", r"\d+ images are in both"),
        ({"scaling": "raw"}, "input", "differ by 99.6%"),
        ({"reduction": "sum"}, "gradient", "differ by 95%"),
        ({"epochs": 1}, None, ""),
        ({"learning_rate": 0.5}, None, ""),
        ({"loss": "optax"}, None, ""),
    ],
    ids=str,
)
def test_the_first_stage_at_which_two_runs_differ(
    change: dict[str, Any], first: str | None, finding: str
) -> None:
    a, b = SMALL, replace(SMALL, **change)
    *_, found = twins.first_stages(a, b, data_for(a.train_size), data_for(b.train_size))
    assert found is not None and len(found) == 6
    differing = [stage for stage in found if stage.differs]
    if first is None:
        assert not differing
    else:
        assert differing[0].name == first
        assert re.fullmatch(finding, differing[0].finding)


def test_weights_that_only_one_run_has_are_named_and_the_others_compared() -> None:
    """BatchNorm's weights, or the second biases of a GRU, make nothing else of other sizes."""
    array = np.ones((4, 3)), np.ones(3)
    plain, normed = [array, (), array], [array, array[1:] * 2, array]
    starts = [stages._Start(SMALL, params, *[None] * 4) for params in (plain, normed)]
    found = stages._weights(*starts)
    assert not found.differs
    assert found.finding == "the same, but only one has layer 1 beta and 1 more"
    wider = starts[0]._replace(params=[(np.ones((4, 5)), np.ones(5)), (), (np.ones((5, 3)), 0)])
    assert stages._weights(starts[0], wider).finding == "of other sizes"


def test_stages_of_different_tasks_are_not_compared() -> None:
    with pytest.raises(ValueError, match="task is 'binary' in one run and 'digits' in the other"):
        list(twins.first_stages(SMALL, tiny(task="digits"), data_for(100), data_for(100)))


# The swap


@pytest.mark.slow
def test_swapped_accuracy_follows_the_weights_not_the_evaluation() -> None:
    found = swap(STABLE, LOGITS, data_for(1000))
    start, stable, logits = (
        trained(config)[step].train_accuracy
        for config, step in [(LOGITS, 0), (STABLE, 10), (LOGITS, 10)]
    )
    assert found.initial == (start, start)
    assert found.final == (stable, logits)
    assert found.swapped == (logits, stable)


def test_weights_that_broke_score_nan_in_either_program() -> None:
    broken = swap(replace(STABLE, loss="naive"), LOGITS, data_for(1000))
    assert np.isnan([broken.final[0], broken.swapped[1]]).all()
    assert broken.final[1] == broken.swapped[0] > 0.9


def test_swap_as_the_question_prints_it() -> None:
    rows = as_printed(Swap(initial=(0.1, 0.2), final=(0.3, 0.4), swapped=(0.5, 0.6)))
    assert [(row.quantity, row.published, row.measured) for row in rows] == [
        ("Initial Keras accuracy", 0.435, 0.2),
        ("Initial JAX accuracy", 0.435, 0.1),
        ("Final JAX accuracy", 0.792, 0.3),
        ("Final Keras accuracy", 0.909, 0.4),
        ("JAX accuracy (Keras weights)", 0.909, 0.5),
        ("Keras accuracy (JAX weights)", 0.792, 0.6),
    ]
