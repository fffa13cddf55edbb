"""Each twin's final weights, evaluated by the other's program."""

import math
from typing import NamedTuple

from core.config import RunConfig
from core.data import Dataset
from core.run import train
from core.study.states import At, start_and_end
from core.study.twins.differences import twin_differences


class Swap(NamedTuple):
    """Accuracies over the first PROBE images, as (a, b); NaN if any prediction is NaN."""

    initial: tuple[float, float]  # each with its own first weights
    final: tuple[float, float]  # each with its own last weights
    swapped: tuple[float, float]  # each with the other's last weights


def swap(a: RunConfig, b: RunConfig, data: Dataset) -> Swap:
    """Train both, then let each run's program evaluate the other's final weights as well.

    The accuracies follow the weights: it is the training that differs, not the prediction.

    Raises ValueError as `twin_differences` does.
    """
    twin_differences(a, b)
    on_device = train.on_device(a.task, data)
    (start_a, end_a), (start_b, end_b) = start_and_end(a, on_device), start_and_end(b, on_device)

    def accuracy(config: RunConfig, weights: At) -> float:
        program = train.program(train.shape(config))
        own = program.init(train.knobs(config))  # for slots of the right kind
        state = own._replace(params=weights.state.params, running=weights.state.running)
        inputs = (on_device.train_images, on_device.train_labels, weights.order)
        measured = program.diagnose(state, *inputs, train.knobs(config))[0]
        broken = measured["saturation"].nonfinite > 0
        return math.nan if broken else float(measured["train_accuracy"])

    return Swap(
        initial=(accuracy(a, start_a), accuracy(b, start_b)),
        final=(accuracy(a, end_a), accuracy(b, end_b)),
        swapped=(accuracy(a, end_b), accuracy(b, end_a)),
    )
