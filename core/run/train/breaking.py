"""The first step after which a weight is NaN or inf, between two looks.

A healthy run pays nothing for it: it is searched when a look has found such weights, in the same
steps taken again from the start.
"""

from collections.abc import Callable, Collection, Generator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.config import RunConfig
from core.run import diagnostics
from core.run.train.programs import Program
from core.run.train.vocabulary import DeviceData, Knobs, State, knobs


class Broke(NamedTuple):
    """A run around the step that broke its weights."""

    before: State  # all weights are finite
    after: State  # one step later some are not


def broke(
    config: RunConfig,
    program: Program,
    data: DeviceData,
    order: Callable[[int], Array],
    looked: Collection[int],
    until: int,
    stride: int,
) -> Generator[None, None, Broke | None]:
    """Take a run's first `until` steps again, and find the one after its last look that broke it.

    Args:
      order: from an epoch to the order of its images.
      looked: the steps that were looked at. They are taken as then, so that they round as then.
      stride: the most steps in one call.

    Yields None between pieces of work, and returns None if no step breaks the weights.
    """
    traced, state, step, last = knobs(config), program.init(knobs(config)), 0, max(looked)
    marks = sorted(looked)

    def batches(step: int) -> tuple[Array, Array, Array, Knobs]:
        epoch = order(step // config.steps_per_epoch)
        return data.train_images, data.train_labels, epoch, traced

    before = state
    while step <= last:
        if step in looked:
            before = state
            _, state = program.diagnose(state, *batches(step))
            step += 1
        else:
            end = (step // config.steps_per_epoch + 1) * config.steps_per_epoch
            stop = min(step + stride, end, next(mark for mark in marks if mark > step))
            state = program.advance(state, *batches(step), np.int32(stop))
            step = stop
        yield
    while diagnostics.all_finite(state.params):
        if step == until:
            return None
        before = jax.tree.map(jnp.copy, state)  # the arrays of `state` are gone after a step
        state = program.advance(state, *batches(step), np.int32(step + 1))
        step += 1
        yield
    return Broke(before, state)
