"""A run step by step, without snapshots, and functions compiled to round as the run does."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from core.config import RunConfig
from core.run import train


class At(NamedTuple):
    """A run before its next step."""

    state: train.State
    order: Any  # the order of the images in the next step's epoch


def states(config: RunConfig, data: train.DeviceData) -> Iterator[At]:
    """Yield a run's state before each step, and after the last.

    The arrays of a state are deleted when the next state is asked for.
    """
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    order = lru_cache(maxsize=1)(lambda epoch: program.order(data.arranged, knobs, np.int32(epoch)))
    state = program.init(knobs)
    for step in range(config.steps):
        at = At(state, order(step // config.steps_per_epoch))
        yield at
        images, labels = data.train_images, data.train_labels
        state = program.advance(state, images, labels, at.order, knobs, np.int32(step + 1))
    yield At(state, order(config.epochs))


def start_and_end(config: RunConfig, data: train.DeviceData) -> tuple[At, At]:
    """The first and the last state of a run."""
    end = deque(states(config, data), maxlen=1)[0]
    return next(states(config, data)), end


def compiled_for(
    shape: train.Shape,
    function: Callable[..., Any],
    options: Mapping[str, Any] = train.SELDOM,
    **others: Any,
) -> Any:
    """Return `function`, compiled on first use, with the numerics of this shape's program.

    Args:
      options: OFTEN, SELDOM or ONCE of `core.run.train`, by how often a run calls the function.
      others: arguments for `jax.jit`.
    """
    how = train.for_this_host(options)
    jitted = jax.jit(function, compiler_options=how, **others)

    def call(*arguments: Any) -> Any:
        with train.numerics(shape):
            return jitted(*arguments)

    return call
