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
from core.parts.losses import LOSSES, losses_for
from core.parts.models import Params
from core.parts.normalisations import NORM_TESTS, Norm
from core.parts.optimizers import SETTINGS
from core.parts.order import DATA_ORDERS, LAST_BATCHES
from core.parts.precisions import PRECISIONS, Precision


class Shape(NamedTuple):
    """What a program is compiled for. Each field of RunConfig that is named here is static."""

    task: str
    model: str
    widths: tuple[int, ...]
    initializer: str
    biases: str
    activation: str
    normalisation: str
    precision: str
    optimizer: str
    decay_form: str
    clip_form: str
    stream: str
    train_size: int
    test_size: int
    batch_size: int
    last_batch: str
    formula: str = ""  # of a loss that is none of the table's

    @property
    def full_batch(self) -> bool:
        """Whether every step uses all images."""
        return self.batch_size == self.train_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches in the training set: the whole ones, and the last one if it is kept."""
        return self.train_size // self.batch_size + self.partial_batch

    @property
    def partial_batch(self) -> bool:
        """Whether the last batch of an epoch has fewer images than the others."""
        return LAST_BATCHES[self.last_batch].kept and self.train_size % self.batch_size > 0


class Knobs(NamedTuple):
    """The numbers of a run that a program is given. Each field of RunConfig named here is traced.

    Choices are positions in their registries, and the optimizer's settings are as `several` writes
    them.
    """

    seed: Any
    initial_spread: Any
    loss: Any
    epsilon: Any
    loss_input: Any
    reduction: Any
    loss_weight: Any
    label_smoothing: Any
    label_shift: Any
    dropout: Any
    dropout_value: Any
    norm_momentum: Any
    norm_epsilon: Any
    norm_variance: Any
    norm_test: Any
    report: Any
    learning_rate: Any
    data_order: Any
    shuffle: Any
    shuffle_buffer: Any
    momentum: Any
    beta_2: Any
    optimizer_epsilon: Any
    weight_decay: Any
    clip_norm: Any
    momentum_rest: Any
    beta_2_rest: Any
    shift: Any
    scale: Any


class Weights(NamedTuple):
    """What a network is tested with."""

    params: Params
    running: Any = ()  # Moments of each hidden layer, where they are normalised


class State(NamedTuple):
    """What a step changes."""

    params: Params
    slots: Any  # the optimizer's own
    step: Array  # updates done
    scaler: LossScale | tuple[()] = ()  # empty where the loss is not scaled
    running: Any = ()  # averages of each hidden layer's Moments, where they are normalised

    @property
    def weights(self) -> Weights:
        """What the network is tested with after these steps."""
        return Weights(self.params, self.running)


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
    formula = config.loss if LOSSES[config.loss].formula is not None else ""
    return Shape(**fields, test_size=SOURCES[config.source].test_size, formula=formula)


def knobs(config: RunConfig) -> Knobs:
    """The traced part of a configuration."""
    traced = {name: _traced(config, name) for name in Knobs._fields if name in FIELDS}
    scaling = SCALINGS[config.scaling]
    rest = {f"{name}_rest": several(1 - _own(config, name), config) for name in POWERS}
    return Knobs(**traced, **rest, shift=np.float32(scaling.shift), scale=np.float32(scaling.scale))


POWERS = ("momentum", "beta_2")  # the optimizer's settings whose powers are taken


def several(value: float, config: RunConfig) -> np.ndarray:
    """float32 [4]: a number as the weights' format rounds it, and three whose sum is the number.

    The sum is exact in float64, so that a run in 64 bits loses no digit.
    """
    rounded = np.float32(np.asarray(value, PRECISIONS[config.precision].weights.dtype))
    first = np.float32(value)
    second = np.float32(value - float(first))
    third = np.float32(value - float(first) - float(second))
    return np.array([rounded, first, second, third])


def in_weights(knob: Array, precision: Precision) -> Array:
    """One of `several`, in the weights' number format."""
    return wide(knob, precision) if precision.wide else knob[0].astype(precision.weights.dtype)


def wide(knob: Array, precision: Precision) -> Array:
    """One of `several`, in float32 or, if the weights are so, in float64."""
    return jnp.sum(knob[1:].astype(jnp.float64)) if precision.wide else knob[1]


def _own(config: RunConfig, name: str) -> float:
    """A setting of the optimizer; 0 if it does not use it."""
    return config.effective(name) or 0.0


def _traced(config: RunConfig, name: str) -> np.int32 | np.float32 | np.ndarray:
    """A field as a scalar: a choice's position, among those of the task if it is a loss.

    A formula has none: the program is compiled for it.
    """
    value, allowed = getattr(config, name), FIELDS[name]
    if name == "loss":
        keys = losses_for(TASKS[config.task].form)
        return np.int32(keys.index(value) if value in keys else -1)
    if name in SETTINGS:
        return several(_own(config, name), config)
    if isinstance(allowed, Choice):
        return np.int32(list(allowed.registry).index(value))
    return np.int32(value) if isinstance(value, int) else np.float32(value)


def knob_types() -> Knobs:
    """The shapes and formats of knobs, the same for every configuration."""
    return jax.tree.map(
        lambda knob: jax.ShapeDtypeStruct(knob.shape, knob.dtype), knobs(RunConfig())
    )


def pixels(images: Array, knobs: Knobs) -> Array:
    """float32 [batch, 784]: (byte - shift) · scale."""
    return (images.astype(jnp.float32) - knobs.shift) * knobs.scale


def dropping(knobs: Knobs) -> Drop:
    """What dropout does with the run's number."""
    return meaning(knobs.dropout, knobs.dropout_value)


def norming(knobs: Knobs, running: Any = ()) -> Norm:
    """The numbers of a normalisation: with running averages at test time, in training without."""
    if not running:
        return Norm(knobs.norm_epsilon)
    own = jnp.array([row.own for row in NORM_TESTS.values()])[knobs.norm_test]
    return Norm(knobs.norm_epsilon, running, own)


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
