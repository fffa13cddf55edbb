"""Would larger steps help? A run that has come to little is tried on with a larger learning rate.

Two copies start from the run's present state and take the same few batches, with the same units
dropped, one with the run's own learning rate and one with TIMES as much. They take the steps of a
look, whose programs are compiled already. The run itself goes on as if nothing had been tried.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import replace

from jax import Array

from core.config import FIELDS, RunConfig
from core.run.snapshot import Snapshot, Trial
from core.run.train.programs import Program
from core.run.train.vocabulary import DeviceData, State, knobs

STEPS = 10  # of each copy
TIMES = 10  # as large a learning rate
AT = (0.5, 1.0)  # of a run's steps
# Of a run's steps, the most that its trials may take. They are as dear as looks: with three trials,
# the ten steps of the question took 3.5 times the CPU time (JAX 0.10.2, two cores).
MOST = 0.05
MOST_LEFT = 0.5  # of the first loss: a run that has less left gets somewhere


def trial_steps(config: RunConfig, looks: list[int]) -> set[int]:
    """The looks at which a run is tried if it has come to little.

    There are none where TIMES is too large, or where trials would take more than MOST of the steps.
    """
    if 2 * STEPS * len(AT) > MOST * config.steps:
        return set()
    if FIELDS["learning_rate"].fault(TIMES * config.learning_rate):
        return set()
    return {next(step for step in looks if step >= share * config.steps) for share in AT}


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
) -> Generator[None, None, Trial]:
    """Take the steps of both copies, yield after each, and return what they came to.

    Args:
      order: from an epoch to the order of its images.
    """
    start, losses = int(state.step), []
    for each in (config, replace(config, learning_rate=TIMES * config.learning_rate)):
        traced, copy = knobs(each), state
        for step in range(start, start + STEPS):
            epoch = order(step // config.steps_per_epoch)
            _, copy = program.diagnose(copy, data.train_images, data.train_labels, epoch, traced)
            yield
        epoch = order((start + STEPS) // config.steps_per_epoch)
        end = copy._replace(slots=())
        values, *_ = program.see(end, data.train_images, data.train_labels, epoch, traced)
        losses.append(values["loss"].item())
    return Trial(STEPS, TIMES, *losses)
