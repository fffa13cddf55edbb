"""A network before its first step: its answer to each image, and each image's gradient.

These are also in a run's first snapshot, but a snapshot needs more to be compiled, which on a slow
host takes most of the time before the first picture.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import numpy as np
from jax import Array

from core.config import RunConfig
from core.parts.choices import TASKS
from core.parts.precisions import PRECISIONS
from core.run import diagnostics, train
from core.run.prepare import device_data
from core.run.snapshot import PROBE, Answers
from core.study import precision
from core.study.states import compiled_for


@lru_cache(maxsize=8)
def initial_answers(config: RunConfig) -> Answers:
    """What a run's first snapshot says about each image, for a task of two classes.

    Raises:
      ValueError: the task has more classes, or none; then the gradient depends on all logits. Or
        the loss is given no logits, or labels that are smoothed or moved.
    """
    task = TASKS[config.task]
    if task.form != "binary":
        raise ValueError(f"task is {config.task!r}, of form {task.form}; allowed is binary")
    for name in ("loss_input", "label_smoothing", "label_shift"):
        if (value := getattr(config, name)) != (allowed := getattr(RunConfig, name)):
            raise ValueError(f"{name} is {value!r}; allowed is {allowed}")
    data, knobs = device_data(config), train.knobs(config)
    images, labels = data.train_images[:PROBE], data.train_labels[:PROBE]
    weights = train.program(train.shape(config)).draw(knobs).weights
    margins, correct = jax.device_get(_margins(train.shape(config))(weights, images, labels, knobs))
    known = np.asarray(labels)
    return Answers(0, margins, known, correct, _gradients(config, margins, known))


@lru_cache(maxsize=8)
def _margins(shape: train.Shape) -> Callable[..., tuple[Array, Array]]:
    evaluate = train.Step(shape).evaluate

    def margins_and_correct(
        weights: train.Weights, images: Array, labels: Array, knobs: train.Knobs
    ) -> tuple[Array, Array]:
        logits = evaluate(weights, train.pixels(images, knobs), knobs)
        margins = diagnostics.margin(diagnostics.wide(logits), labels)
        return margins, diagnostics.correct(logits, labels)

    return compiled_for(shape, margins_and_correct)


def _gradients(config: RunConfig, margins: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The Gradient of each image: int [probe]."""
    towards = np.where(labels, margins, -margins).astype(float)
    dtype = PRECISIONS[config.precision].loss.dtype
    zero, one = (
        precision.slopes("binary", config.loss, towards, label, config.epsilon, dtype)
        for label in (0, 1)
    )
    return precision.kinds(np.where(labels, one, zero))
