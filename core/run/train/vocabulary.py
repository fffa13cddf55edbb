"""The arguments of compiled programs: a run's shape, its knobs, its data and its state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.config import RunConfig
from core.data import SOURCES, Dataset
from core.parts.choices import REDUCTIONS, SCALINGS, TASKS
from core.parts.dropout import DROPOUTS, Drop, meaning
from core.parts.loss_scale import LossScale
from core.parts.losses import losses_for
from core.parts.models import Params


class Shape(NamedTuple):
    """What a program is compiled for: the static part of a configuration."""

    task: str
    model: str
    widths: tuple[int, ...]
    initializer: str
    precision: str
    optimizer: str
    stream: str
    train_size: int
    test_size: int
    batch_size: int

    @property
    def full_batch(self) -> bool:
        """Whether every step uses all images."""
        return self.batch_size == self.train_size

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the training set."""
        return self.train_size // self.batch_size


class Knobs(NamedTuple):
    """The traced scalars of a run. Choices are positions in their registries."""

    seed: Any
    loss: Any
    epsilon: Any
    reduction: Any
    dropout: Any
    dropout_value: Any
    learning_rate: Any
    shift: Any
    scale: Any


class State(NamedTuple):
    """What a step changes."""

    params: Params
    slots: Any  # the optimizer's own
    step: Array  # updates done
    scaler: LossScale | tuple[()] = ()  # empty where the loss is not scaled


class DeviceData(NamedTuple):
    """A data set on the device, with the task's labels; images stay bytes."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


def shape(config: RunConfig) -> Shape:
    """The static part of a configuration."""
    return Shape(
        task=config.task,
        model=config.model,
        widths=config.widths,
        initializer=config.initializer,
        precision=config.precision,
        optimizer=config.optimizer,
        stream=config.stream,
        train_size=config.train_size,
        test_size=SOURCES[config.source].test_size,
        batch_size=config.batch_size,
    )


def knobs(config: RunConfig) -> Knobs:
    """The traced part of a configuration."""
    scaling = SCALINGS[config.scaling]
    return Knobs(
        seed=np.int32(config.seed),
        loss=np.int32(losses_for(TASKS[config.task].form).index(config.loss)),
        epsilon=np.float32(config.epsilon),
        reduction=np.int32(list(REDUCTIONS).index(config.reduction)),
        dropout=np.int32(list(DROPOUTS).index(config.dropout)),
        dropout_value=np.float32(config.dropout_value),
        learning_rate=np.float32(config.learning_rate),
        shift=np.float32(scaling.shift),
        scale=np.float32(scaling.scale),
    )


def knob_types() -> Knobs:
    """The shapes and formats of knobs, the same for every configuration."""
    return jax.tree.map(lambda knob: jax.ShapeDtypeStruct((), knob.dtype), knobs(RunConfig()))


def pixels(images: Array, knobs: Knobs) -> Array:
    """float32 [batch, 784]: (byte - shift) · scale."""
    return (images.astype(jnp.float32) - knobs.shift) * knobs.scale


def dropping(knobs: Knobs) -> Drop:
    """What dropout does with the run's number."""
    return meaning(knobs.dropout, knobs.dropout_value)


def labels_of(task: str, digits: np.ndarray) -> np.ndarray:
    """The task's labels: uint8 [n], digit >= 5 (binary) or the digit itself; or the targets."""
    return (digits >= 5).astype(np.uint8) if TASKS[task].form == "binary" else digits


def on_device(task: str, data: Dataset) -> DeviceData:
    """Copy a data set to the accelerator."""
    return DeviceData(
        jnp.asarray(data.train_images),
        jnp.asarray(labels_of(task, data.train_labels)),
        jnp.asarray(data.test_images),
        jnp.asarray(labels_of(task, data.test_labels)),
    )
