"""The loop of one run: one compiled call for each chunk of steps, one Snapshot for each look."""

import math
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from core.config import RunConfig
from core.data import Dataset
from core.parts.models import MODELS, Params
from core.run.snapshot import PROBE, Ahead, Census, Fit, Largest, Saturation, Snapshot
from core.run.train.breaking import broke
from core.run.train.programs import Program, program
from core.run.train.trial import came_to_little, trial_steps, tried
from core.run.train.vocabulary import DeviceData, Knobs, State, knobs, on_device, shape

SNAPSHOTS = 400  # of a run, besides those at the ends of epochs: about what a chart can show
STRETCH = 100  # images that a look counts labels in, if the batch has fewer
CHUNK_SECONDS = 0.05  # of steps in one call, so that stop and pause answer at once
# The fields of a Snapshot that are a plain number or truth value.
PLAIN = (
    "loss", "train_accuracy", "next_label", "one_answer", "dropped_accuracy", "flipped",
    "next_finite", "fixed", "vanished", "loss_scale", "batch_accuracy",
)  # fmt: skip


def look_interval(config: RunConfig) -> int:
    """The steps from one look to the next, after the early ones."""
    looks = MODELS[config.model].looks_per_epoch
    return max(1, config.steps_per_epoch // looks, -(-config.steps // SNAPSHOTS))


def looks_at_epochs(config: RunConfig) -> bool:
    """Whether every end of an epoch is looked at, too."""
    return config.epochs <= SNAPSHOTS // MODELS[config.model].looks_per_epoch


def snapshot_steps(config: RunConfig) -> list[int]:
    """The steps at which a run is looked at: first, last, ends of epochs, and evenly between.

    Looks at steps 1, 4, 16, ... come before the first of these, so that a long run is seen to move
    at once. All depend on the configuration alone.
    """
    every = look_interval(config)
    early = {4**power for power in range(every.bit_length()) if 4**power < min(every, config.steps)}
    marks = {0, config.steps, *early, *range(0, config.steps, every)}
    if looks_at_epochs(config):
        marks |= {epoch * config.steps_per_epoch for epoch in range(config.epochs)}
    return sorted(marks)


class Measurements(NamedTuple):
    """What is measured of a state, and the gradient of the step that comes next."""

    values: dict[str, Any]  # fields of a Snapshot, on the host
    held_out: Any  # an accuracy, or a regression's Fit
    reports: Any  # what `Looking.reports` gives; NaN if the program reports the truth
    gradients: Params
    moments: Any  # of that step's batch, of each hidden layer that is normalised


def _measure(
    config: RunConfig, program: Program, state: State, data: DeviceData, order: Array, knobs: Knobs
) -> Measurements:
    examples = _held_out_examples(config, int(state.step), data)
    values, gradients, moments = program.see(
        state._replace(slots=()), data.train_images, data.train_labels, order, knobs
    )
    others = data.test_images[:examples], data.test_labels[:examples]
    held_out = program.held_out(examples)(state.weights, *others, knobs)
    reports = np.full(3, np.nan, np.float32)
    if config.report != "true":
        reports = program.reports(examples)(state.weights, *others, knobs)
    values, held_out, reports = jax.device_get((values, held_out, reports))
    return Measurements(values, held_out, reports, gradients, moments)


def _held_out_examples(config: RunConfig, step: int, data: DeviceData) -> int:
    """The number of held-out images to look at: all at the end of an epoch, else some."""
    if step and step % config.steps_per_epoch == 0:
        return len(data.test_images)
    return min(PROBE, len(data.test_images))


def first_look(config: RunConfig, program: Program, data: DeviceData, state: State) -> Measurements:
    """The look before the first step, which no optimizer, learning rate or epoch changes."""
    traced = knobs(config)
    order = program.order(data.arranged, traced, np.int32(0))
    return _measure(config, program, state, data, order, traced)


def ahead(config: RunConfig, labels: np.ndarray, order: np.ndarray, step: int) -> Ahead:
    """The labels in the stretch of an epoch's order in which a step's batch lies.

    A small batch has few labels by chance, so the stretch has up to STRETCH images.
    """
    size = max(config.batch_size, min(STRETCH, config.train_size // 10))
    start = step % config.steps_per_epoch * config.batch_size
    start = min(start, config.train_size - size)
    counts = np.bincount(labels[order[start : start + size]])
    label = int(counts.argmax())
    return Ahead(size, label, float(counts[label] / size), float(np.mean(labels == label)))


def _snapshot(
    config: RunConfig,
    program: Program,
    state: State,
    data: DeviceData,
    look: Measurements,
    order: Array,
    knobs: Knobs,
) -> tuple[Snapshot, State]:
    """The Snapshot of a look, and the state after a step along the gradient that was seen."""
    step, labels = int(state.step), np.asarray(data.train_labels)
    followed, after = program.follow(state, look.gradients, look.moments, knobs)
    values = look.values | jax.device_get(followed)
    fit, held_out = None, look.held_out
    if isinstance(held_out, Fit):
        fit = held_out._replace(error=held_out.error.item(), copied=held_out.copied.item())
    # Plain numbers: a frame compares them by the thousand, and NumPy's own scalars are slow.
    plain = {name: values.pop(name).item() for name in PLAIN if name in values}
    histogram, *ends = values.pop("saturation")
    plain["saturation"] = Saturation(histogram, *(share.item() for share in ends))
    plain["largest"] = Largest(*(value.item() for value in values.pop("largest")))
    plain["census"] = Census(*(share.item() for share in values.pop("census")))
    reported, reported_loss, held_out_loss = map(float, look.reports)
    snapshot = Snapshot(
        step=step,
        epoch=step / config.steps_per_epoch,
        **plain,
        test_accuracy=math.nan if fit else float(held_out),
        test_examples=_held_out_examples(config, step, data),
        reported=reported,
        reported_loss=reported_loss,
        held_out_loss=held_out_loss,
        fit=fit,
        ahead=None if fit else ahead(config, labels, np.asarray(order), step),
        **values,
    )
    return snapshot, after


NextLook = Callable[[int], int]  # from a step, the next one to be looked at
FirstLook = Callable[[RunConfig, Program, DeviceData, State], Measurements]


def looks_of(config: RunConfig) -> NextLook:
    """Return the function that gives the looks of `snapshot_steps`, one after the other."""
    marks = snapshot_steps(config)
    return lambda step: next(mark for mark in marks if mark > step)


def _timed(advance: Callable[..., State], *arguments: Any) -> tuple[State, float]:
    """A run's state after some steps, and the seconds that they took."""
    started = time.perf_counter()
    state = jax.block_until_ready(advance(*arguments))
    return state, time.perf_counter() - started


def _looked_at(
    config: RunConfig,
    program: Program,
    data: DeviceData,
    state: State,
    order: Callable[[int], Array],
    measure: FirstLook | None,
) -> tuple[Snapshot, State]:
    """The Snapshot of a state, and the state after the step that was looked at."""
    traced, next_order = knobs(config), order(int(state.step) // config.steps_per_epoch)
    if measure:
        look = measure(config, program, data, state)
    else:
        look = _measure(config, program, state, data, next_order, traced)
    return _snapshot(config, program, state, data, look, next_order, traced)


def ticks(
    config: RunConfig,
    program: Program,
    data: DeviceData,
    start: State | None = None,
    next_look: NextLook | None = None,
    first: FirstLook = first_look,
) -> Iterator[Snapshot | None]:
    """Train, and yield every CHUNK_SECONDS or so: a Snapshot if one is due, else None.

    The run starts from `start`, whose arrays are gone afterwards, or from the configuration's own
    weights, which `first` looks at. What `next_look` says (by default `snapshot_steps`) may change
    during the run. Where a look finds weights that are NaN or inf, the step that made them so is
    looked at first, on both sides.

    A look takes its step in a program of its own, which may round differently from the one without
    looks; tests/compiled/test_train.py limits how far apart they may be.
    """
    traced = knobs(config)
    state = program.init(traced) if start is None else start
    next_look = next_look or looks_of(config)
    step, chunk, last_look, first_loss, finite = 0, 1, -1, math.nan, True
    to_try = trial_steps(config, snapshot_steps(config)) if start is None else {}
    every_step = look_interval(config) == 1
    looked: list[int] = []

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Array:
        return program.order(data.arranged, traced, np.int32(epoch))

    def looked_at(state: State, measure: FirstLook | None = None) -> tuple[Snapshot, State]:
        return _looked_at(config, program, data, state, order, measure)

    while last_look < config.steps:
        mark = 0 if last_look < 0 else next_look(last_look)
        if step < mark:
            epoch = step // config.steps_per_epoch
            stop = min(step + chunk, mark, (epoch + 1) * config.steps_per_epoch)
            batches = data.train_images, data.train_labels, order(epoch), traced
            state, seconds = _timed(program.advance, state, *batches, np.int32(stop))
            chunk = max(1, min(2 * chunk, round((stop - step) * CHUNK_SECONDS / seconds)))
            step = stop
            if step < mark:
                yield None
            continue
        before = state
        snapshot, state = looked_at(before, first if last_look < 0 and start is None else None)
        first_loss = snapshot.loss if last_look < 0 else first_loss
        if step in to_try and came_to_little(first_loss, snapshot):
            tries = to_try[step], every_step
            trial = yield from tried(config, program, before, data, order, *tries)
            snapshot = snapshot._replace(trial=trial)
        del before  # frees its memory
        was_finite, finite = finite, bool(np.isfinite(snapshot.weight_norms).all())
        if was_finite and not finite and start is None and step > last_look + 1:
            between = yield from broke(config, program, data, order, looked, step, chunk)
            yield from (looked_at(at)[0] for at in between or () if last_look < at.step < step)
        looked.append(step)
        last_look, step = step, step + 1
        yield snapshot


def run(config: RunConfig, data: Dataset) -> Iterator[Snapshot]:
    """Train `config` on `data` and yield a Snapshot at each of `snapshot_steps(config)`.

    The same configuration gives the same snapshots on the same device and version.
    """
    if len(data.train_images) != config.train_size:
        raise ValueError(
            f"the data has {len(data.train_images)} images, the run {config.train_size}"
        )
    training = ticks(config, program(shape(config)), on_device(config.task, data))
    return (snapshot for snapshot in training if snapshot is not None)
