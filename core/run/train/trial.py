"""Would larger steps help? A run that has come to little is tried on with a larger learning rate.

Two copies start from the run's present state and take the same few batches, with the same units
dropped, one with the run's own learning rate and one with TIMES as much. The run itself goes on as
if nothing had been tried.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.config import FIELDS, RunConfig
from core.run.snapshot import Snapshot, Trial
from core.run.train.programs import Program
from core.run.train.vocabulary import DeviceData, State, knobs

STEPS = 10  # of each copy, at most
FEWEST = 3  # with fewer, a run is not tried
TIMES = 10  # as large a learning rate
AT = (0.5, 1.0)  # of a run's steps; a short run is tried at its end only
# Of a run's steps, the most that its trials may take. Only a run that has come to little is tried.
MOST = 0.1
MOST_LEFT = 0.5  # of the first loss: a run that has less left gets somewhere


def trial_steps(config: RunConfig, looks: list[int]) -> dict[int, int]:
    """From each look at which a run is tried, if it has come to little, to the steps of a copy.

    There are none where TIMES is too large, or where trials would take more than MOST of the steps.
    """
    if FIELDS["learning_rate"].fault(TIMES * config.learning_rate):
        return {}
    most = MOST * config.steps / 2
    at, each = (AT, STEPS) if STEPS * len(AT) <= most else (AT[-1:], min(STEPS, int(most)))
    if each < FEWEST:
        return {}
    marks = (next(step for step in looks if step >= share * config.steps) for share in at)
    return dict.fromkeys(marks, each)


def came_to_little(first_loss: float, look: Snapshot) -> bool:
    """Whether most of a run's first loss is left; False for a regression.

    Its targets have noise that nothing can predict, so a loss that is left may be the least.
    """
    known = look.fit is None and look.next_finite and math.isfinite(look.loss)
    return known and look.loss > MOST_LEFT * first_loss


def tried(
    config: RunConfig,
    program: Program,
    state: State,
    data: DeviceData,
    order: Callable[[int], Array],
    steps: int,
    looking: bool,
) -> Generator[None, None, Trial]:
    """Take so many steps of each copy, yield after each, and return what they came to.

    Args:
      order: from an epoch to the order of its images.
      looking: whether to take the steps of looks, which are dearer. A run that is looked at after
        every step has compiled no others.
    """
    losses = []
    for rate in (config.learning_rate, TIMES * config.learning_rate):
        traced, copy = knobs(replace(config, learning_rate=rate)), jax.tree.map(jnp.copy, state)
        start = int(state.step)
        for step in range(start, start + steps):
            epoch = order(step // config.steps_per_epoch)
            images = data.train_images, data.train_labels, epoch, traced
            if looking:
                _, copy = program.diagnose(copy, *images)
            else:
                copy = program.advance(copy, *images, np.int32(step + 1))
            yield
        epoch = order((start + steps) // config.steps_per_epoch)
        end = copy._replace(slots=())
        values, *_ = program.see(end, data.train_images, data.train_labels, epoch, traced)
        losses.append(values["loss"].item())
    return Trial(steps, TIMES, *losses)
