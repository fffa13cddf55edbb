"""The arguments of compiled programs: a run's shape, its knobs, its data and its state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.config import FIELDS, RunConfig
from core.data import SOURCES, Dataset
from core.fields import Choice
from core.parts.choices import SCALINGS, TASKS
from core.parts.dropout import Drop, meaning
from core.parts.loss_scale import LossScale
from core.parts.losses import losses_for
from core.parts.models import Params
from core.parts.order import DATA_ORDERS


class Shape(NamedTuple):
    """What a program is compiled for. Each field of RunConfig that is named here is static."""

    task: str
    model: str
    widths: tuple[int, ...]
    initializer: str
    activation: str
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
    """The scalars of a run that a program is given. Each field of RunConfig named here is traced.

    Choices are positions in their registries.
    """

    seed: Any
    loss: Any
    epsilon: Any
    reduction: Any
    dropout: Any
    dropout_value: Any
    learning_rate: Any
    data_order: Any
    shuffle: Any
    shuffle_buffer: Any
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
    arranged: Array  # int32 [data orders, n], positions of the training images in each data order


def shape(config: RunConfig) -> Shape:
    """The static part of a configuration."""
    fields = {name: getattr(config, name) for name in Shape._fields if name in FIELDS}
    return Shape(**fields, test_size=SOURCES[config.source].test_size)


def knobs(config: RunConfig) -> Knobs:
    """The traced part of a configuration."""
    traced = {name: _traced(config, name) for name in Knobs._fields if name in FIELDS}
    scaling = SCALINGS[config.scaling]
    return Knobs(**traced, shift=np.float32(scaling.shift), scale=np.float32(scaling.scale))


def _traced(config: RunConfig, name: str) -> np.int32 | np.float32:
    """A field as a scalar: a choice's position, among those of the task if it is a loss."""
    value, allowed = getattr(config, name), FIELDS[name]
    if name == "loss":
        return np.int32(losses_for(TASKS[config.task].form).index(value))
    if isinstance(allowed, Choice):
        return np.int32(list(allowed.registry).index(value))
    return np.int32(value) if isinstance(value, int) else np.float32(value)


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
    labels = labels_of(task, data.train_labels)
    return DeviceData(
        jnp.asarray(data.train_images),
        jnp.asarray(labels),
        jnp.asarray(data.test_images),
        jnp.asarray(labels_of(task, data.test_labels)),
        jnp.asarray(_arranged(np.zeros(len(labels)) if TASKS[task].series else labels)),
    )


def _arranged(labels: np.ndarray) -> np.ndarray:
    """The training images in each of DATA_ORDERS: int32 [data orders, n]."""
    return np.array([row.arrange(labels) for row in DATA_ORDERS.values()], np.int32)
