"""The order in which a run takes its examples: permutations, as each setting says."""

from dataclasses import replace
from functools import partial
from itertools import permutations, product
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig
from core.data import load
from core.parts.order import DATA_ORDERS, SHUFFLES, through_slots
from core.run import train
from core.study import lanes, states
from tests.kit.runs import SERIES, order_of, quick, tiny

LABELS = train.labels_of("binary", load("sample", 100).train_labels)
seeds = st.integers(0, 2**31 - 1)
epochs = st.integers(0, 999)
configs = st.builds(
    tiny,
    data_order=st.sampled_from(list(DATA_ORDERS)),
    shuffle=st.sampled_from(list(SHUFFLES)),
    shuffle_buffer=st.integers(1, 120),
    seed=seeds,
)


def found(config: RunConfig, epoch: int = 0) -> list[int]:
    return np.asarray(order_of(config, epoch)).tolist()


@given(configs, epochs)
def test_every_epoch_has_each_image_once(config: RunConfig, epoch: int) -> None:
    assert sorted(found(config, epoch)) == list(range(100))


@given(configs, epochs)
def test_data_are_sorted_before_they_are_shuffled(config: RunConfig, epoch: int) -> None:
    """The same places are drawn, of the data as they lie or as they are sorted."""
    as_is, by_label = (found(replace(config, data_order=key), epoch) for key in DATA_ORDERS)
    assert np.argsort(LABELS, kind="stable")[as_is].tolist() == by_label


@given(seeds, epochs)
def test_by_default_the_order_is_jax_s_own_permutation(seed: int, epoch: int) -> None:
    with jax.threefry_partitionable(False):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.PRNGKey(seed), 1), epoch)
        assert found(tiny(seed=seed), epoch) == jax.random.permutation(key, 100).tolist()


@given(seeds, epochs)
def test_only_some_shuffles_change_from_epoch_to_epoch(seed: int, epoch: int) -> None:
    start = tiny(data_order="sorted", shuffle_buffer=10, seed=seed)
    for key in SHUFFLES:
        config = replace(start, shuffle=key)
        changes = key in ("every_epoch", "buffer")
        assert (found(config, epoch) != found(config, epoch + 1)) == changes
    assert found(replace(start, shuffle="once"), epoch) == found(start, 0)
    never = found(replace(start, shuffle="never"), epoch)
    assert never == np.argsort(LABELS, kind="stable").tolist()


def walked(slots: list[int], size: int) -> list[int]:
    """What comes out of a shuffle buffer, one example after the other."""
    buffer, ahead, given = list(range(size)), iter(range(size, len(slots))), []
    for slot in slots:
        given.append(buffer[slot])
        buffer[slot] = next(ahead, -1)
    return given


compiled_through_slots = quick(through_slots)


@st.composite
def openings(draw: st.DrawFn) -> tuple[list[int], int]:
    """Which slots 30 examples come from, at the end each slot once, and how many there are."""
    size = draw(st.integers(1, 30))
    during = draw(st.lists(st.integers(0, size - 1), min_size=30 - size, max_size=30 - size))
    return during + draw(st.permutations(range(size))), size


@given(openings())
def test_a_buffer_gives_what_a_walk_gives(opened: tuple[list[int], int]) -> None:
    slots, size = opened
    given = compiled_through_slots(np.array(slots, np.int32), np.int32(size))
    assert given.tolist() == walked(slots, size)


@given(st.integers(1, 120), seeds, epochs)
def test_an_image_comes_earlier_by_less_than_the_buffer(size: int, seed: int, epoch: int) -> None:
    config = tiny(shuffle="buffer", shuffle_buffer=size, seed=seed)
    earlier = np.array(found(config, epoch)) - np.arange(100)
    assert earlier.max() < size
    assert size > 1 or not earlier.any(), "a buffer of one gives the next image"


@pytest.mark.parametrize("size", [2, 4, 7])
def test_what_a_buffer_gives_is_as_likely_as_it_should_be(size: int) -> None:
    """All outcomes of four examples; a buffer for all of them gives each permutation alike."""
    n, draws, slots = 4, 8000, min(size, 4)
    outcomes = [
        tuple(walked([*during, *end], slots))
        for during in product(range(slots), repeat=n - slots)
        for end in permutations(range(slots))
    ]

    def order(key: jax.Array) -> jax.Array:
        permuted, drawn = jax.random.split(key)
        return SHUFFLES["buffer"].draw(jax.random.permutation(permuted, n), drawn, size)

    orders = quick(jax.vmap(order))(jax.random.split(jax.random.key(size), draws))
    seen = [tuple(each) for each in orders.tolist()]
    assert set(seen) == set(outcomes)
    for outcome in set(outcomes):
        share = outcomes.count(outcome) / len(outcomes)
        spread = (draws * share * (1 - share)) ** 0.5
        assert abs(seen.count(outcome) - draws * share) < 5 * spread


def test_series_are_shuffled_and_never_sorted() -> None:
    never, buffer = (replace(SERIES, shuffle=key, shuffle_buffer=5) for key in ("never", "buffer"))
    assert found(never) == list(range(96)) != found(buffer)


def test_full_batches_keep_the_data_s_own_order() -> None:
    full = tiny(batch_size=100, data_order="sorted", shuffle="buffer", shuffle_buffer=3)
    assert full == tiny(batch_size=100) and found(full) == list(range(100))


@pytest.mark.slow
def test_runs_beside_each_other_have_their_own_orders() -> None:
    data = train.on_device("binary", load("sample", 100))
    start = partial(tiny, data_order="sorted", shuffle_buffer=7)
    runs, ends = [tiny(), *(start(shuffle=key) for key in SHUFFLES)], []
    together = [each.metrics.loss[:, -1] for each in lanes.runs(runs, data) if each is not None]
    for run in runs:
        *_, end = states.states(run, data)
        program, knobs = train.program(train.shape(run)), train.knobs(run)
        images = data.train_images, data.train_labels
        ends.append(float(program.diagnose(end.state, *images, end.order, knobs)[0]["loss"]))
    assert np.concatenate(together).tolist() == ends and len(set(ends)) == len(runs)


# Held-out accuracy of sorted images, never shuffled and shuffled in every epoch: where the mean of
# 20 seeds must be. Found were 0.547 (a run's standard deviation 0.032), 0.899, 0.866 and 0.912.
TAUGHT = [
    ({"optimizer": "sgd", "learning_rate": 0.1}, (0.52, 0.57), (0.89, 0.91)),
    ({"optimizer": "adam", "learning_rate": 1e-3}, (0.855, 0.88), (0.90, 0.92)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "never", "every_epoch"), TAUGHT, ids=["sgd", "adam"])
def test_sorted_images_that_nobody_shuffles_cost_sgd_more_than_adam(
    settings: dict[str, Any], never: tuple[float, float], every_epoch: tuple[float, float]
) -> None:
    start = RunConfig(
        task="digits", train_size=4000, scaling="unit", widths=(64,), initializer="keras",
        loss="from_logits", batch_size=100, data_order="sorted", **settings,
    )  # fmt: skip
    data = train.on_device("digits", load("sample", 4000))
    for shuffle, (low, high) in (("never", never), ("every_epoch", every_epoch)):
        runs = [replace(start, shuffle=shuffle, seed=seed) for seed in range(20)]
        ends = [each.held_out for each in lanes.runs(runs, data) if each is not None]
        assert low < np.mean(np.concatenate(ends)) < high
