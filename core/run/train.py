"""One step, one chunk, one run: a RunConfig in, snapshots out.

Everything scalar is traced (`Knobs`), so that moving a slider compiles nothing; what
fixes shapes or structure is static (`Shape`) and has one compiled `Program`.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from core.config import RunConfig
from core.data import SOURCES, Dataset
from core.parts import loss_scale
from core.parts.choices import SCALINGS, STREAMS, TASKS
from core.parts.dropout import DROPOUTS, Drop, meaning
from core.parts.losses import LOSSES, Form, loss_and_grad, losses_for
from core.parts.models import INITIALIZERS, MODELS, Hidden, Params, parameter_names
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS
from core.run import diagnostics
from core.run.snapshot import DROPPED, PROBE, Census, Largest, Saturation, Snapshot

SNAPSHOTS = 400  # the most a run yields, about what a chart can show
LOOKS = 5  # at an epoch: ten cost 15% of the training itself on full MNIST, five half of that
# What a look gives as a plain number or truth value.
PLAIN = (
    "loss",
    "train_accuracy",
    "one_answer",
    "dropped_accuracy",
    "flipped",
    "next_finite",
    "fixed",
    "vanished",
    "loss_scale",
)
CHUNK_SECONDS = 0.05  # so that stop and pause answer at once


class Shape(NamedTuple):
    """What a program is compiled for."""

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


class Knobs(NamedTuple):
    """The traced scalars of a run. Choices are positions in their registries."""

    seed: Any
    loss: Any
    epsilon: Any
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
    scaler: Any = ()  # a LossScale where the loss is scaled


class Look(NamedTuple):
    """What a step sees of its batch, and the gradient it follows."""

    logits: Array  # [batch, outputs], with units dropped where the run drops them
    loss: Array  # [batch]
    slope: Array  # dloss/dlogits, [batch, outputs]
    gradients: Params  # of the batch's mean loss


class Program(NamedTuple):
    """Compiled functions; `images` are uint8 [n, 784], `labels` the task's own, [n]."""

    init: Callable[..., State]  # knobs -> state
    order: Callable[..., Array]  # knobs, epoch -> int32 [train_size], the epoch's shuffle
    advance: Callable[..., State]  # state, images, labels, order, knobs, stop -> state at `stop`
    diagnose: Callable[..., Any]  # state, images, labels, order, knobs -> what is seen, next state
    accuracy: dict[int, Callable[..., Array]]  # number of images -> params, images, labels, knobs


def knobs(config: RunConfig) -> Knobs:
    """The traced part of a configuration."""
    scaling = SCALINGS[config.scaling]
    return Knobs(
        seed=np.int32(config.seed),
        loss=np.int32(losses_for(TASKS[config.task].form).index(config.loss)),
        epsilon=np.float32(config.epsilon),
        dropout=np.int32(list(DROPOUTS).index(config.dropout)),
        dropout_value=np.float32(config.dropout_value),
        learning_rate=np.float32(config.learning_rate),
        shift=np.float32(scaling.shift),
        scale=np.float32(scaling.scale),
    )


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


def labels_of(task: str, digits: np.ndarray) -> np.ndarray:
    """The task's labels, uint8 [n]: digit >= 5 (binary) or the digit itself."""
    return (digits >= 5).astype(np.uint8) if TASKS[task].form == "binary" else digits


def pixels(images: Array, knobs: Knobs) -> Array:
    """float32 [batch, 784]: (byte - shift) · scale."""
    return (images.astype(jnp.float32) - knobs.shift) * knobs.scale


def dropping(knobs: Knobs) -> Drop:
    """What dropout does, by the run's own number."""
    return meaning(knobs.dropout, knobs.dropout_value)


def losses_and_slopes(
    form: Form, logits: Array, labels: Array, knobs: Knobs
) -> tuple[Array, Array]:
    """The chosen loss per example [batch] and dloss/dlogits [batch, outputs]."""
    if form == "softmax":
        return loss_and_grad(form, knobs.loss, logits, labels.astype(jnp.int32), knobs.epsilon)
    loss, slope = loss_and_grad(
        form, knobs.loss, logits[:, 0], labels.astype(logits.dtype), knobs.epsilon
    )
    return loss, slope[:, None]


def forward(
    apply: Callable[..., Array], params: Params, x: Array, knobs: Knobs, key: Array
) -> tuple[Array, Callable[[Array], tuple[Params]]]:
    """Logits [batch, outputs] with units dropped, and the way back from their slopes."""
    drop = dropping(knobs)
    return jax.vjp(lambda params: apply(params, x, rng=key, drop=drop), params)


def look(
    form: Form,
    apply: Callable[..., Array],
    params: Params,
    x: Array,
    labels: Array,
    knobs: Knobs,
    key: Array,
    scaler: Any = (),
) -> Look:
    """A forward and a backward pass: logits, losses, and the mean loss's gradient.

    The loss's slope is taken per example first and pulled back through the network, so
    that what a loss does to one example stays visible.
    """
    logits, pull_back = forward(apply, params, x, knobs, key)
    loss, slope = losses_and_slopes(form, logits, labels, knobs)
    return Look(logits, loss, slope, mean_gradient(pull_back, slope, scaler))


def mean_gradient(
    pull_back: Callable[[Array], tuple[Params]], slope: Array, scaler: Any = ()
) -> Params:
    """The mean loss's gradient from each example's slope, scaled on its way where a run does so."""
    (gradient,) = pull_back(share_of_mean(slope, len(slope), scaler))
    return jax.tree.map(lambda g: g / scaler.scale, gradient) if scaler else gradient


def share_of_mean(slope: Array, examples: int, scaler: Any) -> Array:
    """The mean loss's derivative by each example's logits, times the loss scale."""
    return (scaler.scale * slope if scaler else slope) / examples


def clip_range(form: Form, knobs: Knobs, dtype: Any = jnp.float32) -> tuple[Array, Array]:
    """The interval that the chosen loss clips p to in its format; [0, 1] where it does not clip."""

    def of(row: Any) -> Callable[[Array], tuple[Array, Array]]:
        ends = row.clip_range or (lambda epsilon: (0.0, 1.0))
        return lambda epsilon: jax.tree.map(lambda end: jnp.asarray(end, dtype), ends(epsilon))

    epsilon = knobs.epsilon.astype(dtype)
    return lax.switch(knobs.loss, [of(LOSSES[key]) for key in losses_for(form)], epsilon)


def cast(numbers: Any, dtype: Any) -> Any:
    """Every array of a pytree in another format."""
    return jax.tree.map(lambda array: array.astype(dtype), numbers)


def functions(shape: Shape) -> dict[str, Callable[..., Any]]:
    """The program's functions, as Python."""
    form, outputs = TASKS[shape.task].form, TASKS[shape.task].outputs
    initializer = INITIALIZERS[shape.initializer]
    model_init, model_apply, model_units = MODELS[shape.model].build(
        shape.widths, outputs, initializer
    )
    precision = PRECISIONS[shape.precision]
    loss_dtype = precision.loss.dtype
    optimizer = OPTIMIZERS[shape.optimizer].transform()
    steps_per_epoch = shape.train_size // shape.batch_size
    probe = min(PROBE, shape.train_size)

    def root(knobs: Knobs) -> Array:
        return jax.random.PRNGKey(knobs.seed)  # the sources' own: their weights need it

    def init(knobs: Knobs) -> State:
        with jax.enable_x64(False):  # in 64-bit mode other numbers would be drawn
            _, drawn = model_init(root(knobs), (1, 784))
        params = cast(drawn, precision.weights.dtype)
        scaler = loss_scale.initial() if precision.scaled else ()
        return State(params, optimizer.init(params), jnp.int32(0), scaler)

    def apply(params: Params, x: Array, **options: Any) -> Array:
        """Logits in the loss's format, from passes in the run's."""
        params, x = cast((params, x), precision.compute.dtype)
        return model_apply(params, x, **options).astype(loss_dtype)

    def hidden(params: Params, x: Array, **options: Any) -> list[Hidden]:
        params, x = cast((params, x), precision.compute.dtype)
        return model_units(params, x, **options)

    def order(knobs: Knobs, epoch: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(root(knobs), 1), epoch)
        return jax.random.permutation(key, shape.train_size).astype(jnp.int32)

    def batch(
        state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[Array, Array, Array]:
        """The inputs, labels and dropout key of the step that comes next."""
        key = jax.random.fold_in(jax.random.fold_in(root(knobs), 2), state.step)
        if shape.batch_size == shape.train_size:  # the data's own order: its sums are the sources'
            return pixels(images, knobs), labels, key
        start = state.step % steps_per_epoch * shape.batch_size
        chosen = lax.dynamic_slice_in_dim(order, start, shape.batch_size)
        return pixels(images[chosen], knobs), labels[chosen], key

    def look_at_batch(
        state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> Look:
        x, some_labels, key = batch(state, images, labels, order, knobs)
        return look(form, apply, state.params, x, some_labels, knobs, key, state.scaler)

    def update(state: State, gradients: Params, knobs: Knobs) -> State:
        updates, slots = optimizer.update(gradients, state.slots, state.params)
        rate = knobs.learning_rate.astype(precision.weights.dtype)
        params = jax.tree.map(lambda w, u: w - rate * u, state.params, updates)
        after = State(params, slots, state.step + 1, state.scaler)
        return unless_broken(state, after, gradients) if state.scaler else after

    def unless_broken(before: State, after: State, gradients: Params) -> State:
        """A scaled step: where its gradient is NaN or inf, it halves the scale and no more."""
        finite = diagnostics.all_finite(gradients)
        params, slots = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old), after[:2], before[:2]
        )
        return State(params, slots, after.step, loss_scale.adjusted(before.scaler, finite))

    def step(state: State, images: Array, labels: Array, order: Array, knobs: Knobs) -> State:
        return update(state, look_at_batch(state, images, labels, order, knobs).gradients, knobs)

    def advance(
        state: State, images: Array, labels: Array, order: Array, knobs: Knobs, stop: Array
    ) -> State:
        return lax.while_loop(
            lambda state: state.step < stop,
            lambda state: step(state, images, labels, order, knobs),
            state,
        )

    def diagnose(
        state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], State]:
        """What there is to see, and the state after the next step, whose gradient was seen."""
        params, drop = state.params, dropping(knobs)
        x, batch_labels, key = batch(state, images, labels, order, knobs)
        batch_logits, pull_back = forward(apply, params, x, knobs, key)
        labels = labels[:probe]
        probed = pixels(images[:probe], knobs)
        logits = apply(params, probed, drop=drop)
        # One call for both: every row of LOSSES is compiled once less, a third of the time.
        both = jnp.concatenate([batch_logits, logits]), jnp.concatenate([batch_labels, labels])
        losses, slopes = losses_and_slopes(form, *both, knobs)
        loss, slope = losses[len(x) :], slopes[len(x) :]
        gradients = mean_gradient(pull_back, slopes[: len(x)], state.scaler)
        is_correct = diagnostics.correct(logits, labels)
        p, *ends = map(
            diagnostics.wide,
            (diagnostics.probability(logits, labels), *clip_range(form, knobs, loss_dtype)),
        )
        # As the weights see it, in the batch's mean: tiny slopes underflow here.
        mean_slope = share_of_mean(slope, shape.batch_size, state.scaler)
        mean_slope = mean_slope.astype(precision.compute.dtype)
        kinds = diagnostics.gradient_kinds(mean_slope)
        units = [layer.units for layer in hidden(params, probed, drop=drop)]
        after = update(state, gradients, knobs)
        wide = partial(jax.tree.map, diagnostics.wide)
        changes = jax.tree.map(jnp.subtract, wide(after.params), wide(params))
        seen = {
            "loss": jnp.mean(diagnostics.wide(loss)),
            "train_accuracy": jnp.mean(is_correct),
            "gradient_norms": diagnostics.norms(gradients),
            "weight_norms": diagnostics.norms(params),
            "update_norms": diagnostics.norms(changes),
            "dead_units": diagnostics.dead_units(units),
            "one_answer": diagnostics.one_answer(logits),
            **dropped(params, probed, logits, labels, knobs, key),
            "next_finite": diagnostics.all_finite(after.params),
            "fixed": diagnostics.same(state._replace(step=after.step), after),
            "saturation": diagnostics.saturation(p, kinds, *ends),
            "census": diagnostics.census(is_correct, kinds),
            "margins": diagnostics.margin(diagnostics.wide(logits), labels),
            "labels": labels,
            "correct": is_correct,
            "gradients": kinds,
            "health": diagnostics.health(gradients),
            "sample_health": diagnostics.sample_health(mean_slope),
            "loss_scale": state.scaler.scale if state.scaler else jnp.float32(1),
            **(
                beside_float32(state, x, probed, slopes[: len(x)], gradients, knobs, key)
                if precision.narrow
                else {
                    "largest": largest([units, logits], gradients, params),
                    "vanished": jnp.float32(jnp.nan),
                }
            ),
        }
        return seen, after

    def largest(activations: Any, gradients: Any, params: Any) -> Largest:
        return Largest(*map(diagnostics.largest, (activations, gradients, params)))

    def beside_float32(
        state: State,
        x: Array,
        probed: Array,
        slopes: Array,
        gradients: Params,
        knobs: Knobs,
        key: Array,
    ) -> dict[str, Any]:
        """What float32 makes of the same weights and slopes: its largest, and what 16 bits lost."""
        params, slopes = cast((state.params, slopes), jnp.float32)
        _, pull_back = forward(model_apply, params, x, knobs, key)
        exact = mean_gradient(pull_back, slopes)
        activations = [model_units(params, probed), model_apply(params, probed)]
        found = largest(activations, exact, params)
        if state.scaler:
            found = found._replace(gradient=found.gradient * state.scaler.scale)
        return {
            "largest": found,
            "vanished": diagnostics.vanished(gradients, exact),
        }

    def dropped(
        params: Params, x: Array, logits: Array, labels: Array, knobs: Knobs, key: Array
    ) -> dict[str, Array]:
        """What dropping does to the answers; NaN where no unit is dropped, which costs nothing."""
        drop = dropping(knobs)
        x, whole, labels = x[:DROPPED], diagnostics.answers(logits[:DROPPED]), labels[:DROPPED]

        def measured(params: Params) -> tuple[Array, Array]:
            left = diagnostics.answers(apply(params, x, rng=key, drop=drop))
            mean = partial(jnp.mean, dtype=jnp.float32)
            return mean(left == labels), mean(left != whole)

        nothing = (jnp.float32(jnp.nan),) * 2
        accuracy, flipped = lax.cond(drop.keep_prob < 1, measured, lambda params: nothing, params)
        return {"dropped_accuracy": accuracy, "flipped": flipped}

    def evaluate(params: Params, x: Array, knobs: Knobs) -> Array:
        """Logits [batch, outputs] as at test time."""
        return apply(params, x, drop=dropping(knobs))

    def accuracy(params: Params, images: Array, labels: Array, knobs: Knobs) -> Array:
        logits = evaluate(params, pixels(images, knobs), knobs)
        return jnp.mean(diagnostics.correct(logits, labels))

    return {
        "init": init,
        "order": order,
        "batch": batch,
        "hidden": hidden,
        "evaluate": evaluate,
        "look": look_at_batch,
        "update": update,
        "advance": advance,
        "diagnose": diagnose,
        "accuracy": accuracy,
    }


def _knob_types() -> Knobs:
    return jax.tree.map(lambda knob: jax.ShapeDtypeStruct((), knob.dtype), knobs(RunConfig()))


@contextmanager
def numerics(shape: Shape) -> Iterator[None]:
    """What a program must be traced under to give the run's own numbers."""
    with (
        jax.enable_x64(PRECISIONS[shape.precision].wide),
        jax.threefry_partitionable(STREAMS[shape.stream].partitionable),
        jax.default_matmul_precision("highest"),  # float32 means float32 on a GPU too
    ):
        yield


@lru_cache(maxsize=32)
def _compile(shape: Shape) -> Program:
    parts = functions(shape)
    knob_types, whole = _knob_types(), jax.ShapeDtypeStruct((), np.int32)

    def images(n: int) -> tuple[Any, Any]:
        return jax.ShapeDtypeStruct((n, 784), np.uint8), jax.ShapeDtypeStruct((n,), np.uint8)

    def compiled(name: str, *types: Any, donate: tuple[int, ...] = ()) -> Any:
        return jax.jit(parts[name], donate_argnums=donate).lower(*types).compile()

    with numerics(shape):
        state = jax.eval_shape(parts["init"], knob_types)
        epoch_order = jax.eval_shape(parts["order"], knob_types, whole)
        inputs = (*images(shape.train_size), epoch_order, knob_types)
        return Program(
            init=compiled("init", knob_types),
            order=compiled("order", knob_types, whole),
            advance=compiled("advance", state, *inputs, whole, donate=(0,)),
            diagnose=compiled("diagnose", state, *inputs),
            accuracy={
                n: compiled("accuracy", state.params, *images(n), knob_types)
                for n in {min(PROBE, shape.test_size), shape.test_size}
            },
        )


@lru_cache(maxsize=32)
def parameters(shape: Shape) -> tuple[str, ...]:
    """The names of the rows of a Snapshot's `health`."""
    with numerics(shape):
        state = jax.eval_shape(functions(shape)["init"], _knob_types())
    return tuple(parameter_names(state.params))


def bytes_needed(shape: Shape) -> int:
    """The memory that a run's weights take: themselves, their gradient, update and slots.

    Mixed, with the 16-bit weights and gradient of the passes.
    """
    with numerics(shape):
        state = jax.eval_shape(functions(shape)["init"], _knob_types())

    def size(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    precision = PRECISIONS[shape.precision]
    weights, compute = precision.weights.dtype, precision.compute.dtype
    rounded = size(state.params) * compute.itemsize // weights.itemsize
    return 3 * size(state.params) + size(state.slots) + (2 * rounded if compute != weights else 0)


def free_bytes() -> int:
    """Memory that the device, or on a CPU the machine, has left for runs."""
    if stats := jax.devices()[0].memory_stats():
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


_compiling = threading.Lock()


def program(shape: Shape) -> Program:
    """The compiled program for a shape; thirty callers at once compile it once."""
    with _compiling:
        return _compile(shape)


class DeviceData(NamedTuple):
    """A data set on the device, with the task's labels; images stay bytes."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


def on_device(task: str, data: Dataset) -> DeviceData:
    """Copy a data set to the accelerator."""
    return DeviceData(
        jnp.asarray(data.train_images),
        jnp.asarray(labels_of(task, data.train_labels)),
        jnp.asarray(data.test_images),
        jnp.asarray(labels_of(task, data.test_labels)),
    )


def snapshot_steps(config: RunConfig) -> list[int]:
    """The steps at which a run is looked at: first, last, ends of epochs, and evenly between.

    Before the first of these, ever more seldom: a long run is seen to move from its first second
    on. They depend on the configuration alone.
    """
    every = max(1, config.steps_per_epoch // LOOKS, -(-config.steps // SNAPSHOTS))
    early = {2**power for power in range(every.bit_length()) if 2**power < min(every, config.steps)}
    marks = {0, config.steps, *early, *range(0, config.steps, every)}
    if config.epochs <= SNAPSHOTS // LOOKS:
        marks |= {epoch * config.steps_per_epoch for epoch in range(config.epochs)}
    return sorted(marks)


def _snapshot(
    config: RunConfig, program: Program, state: State, data: DeviceData, order: Array, knobs: Knobs
) -> tuple[Snapshot, State]:
    """A look at a state, and the next state: the look's gradient is the next step's own."""
    step = int(state.step)
    ends_epoch = step > 0 and step % config.steps_per_epoch == 0
    examples = len(data.test_images) if ends_epoch else min(PROBE, len(data.test_images))
    seen, after = program.diagnose(state, data.train_images, data.train_labels, order, knobs)
    test_accuracy = program.accuracy[examples](
        state.params, data.test_images[:examples], data.test_labels[:examples], knobs
    )
    seen, test_accuracy = jax.device_get((seen, test_accuracy))
    # Plain numbers: a frame compares them by the thousand, and NumPy's own scalars are slow.
    plain = {name: seen.pop(name).item() for name in PLAIN}
    histogram, *ends = seen.pop("saturation")
    plain["saturation"] = Saturation(histogram, *(share.item() for share in ends))
    plain["largest"] = Largest(*(value.item() for value in seen.pop("largest")))
    plain["census"] = Census(*(share.item() for share in seen.pop("census")))
    snapshot = Snapshot(
        step=step,
        epoch=step / config.steps_per_epoch,
        **plain,
        test_accuracy=float(test_accuracy),
        test_examples=examples,
        **seen,
    )
    return snapshot, after


NextLook = Callable[[int], int]  # from a step, the next one to be looked at


def looks_of(config: RunConfig) -> NextLook:
    """The looks of `snapshot_steps`, one after the other."""
    marks = snapshot_steps(config)
    return lambda step: next(mark for mark in marks if mark > step)


def ticks(
    config: RunConfig,
    program: Program,
    data: DeviceData,
    start: State | None = None,
    next_look: NextLook | None = None,
) -> Iterator[Snapshot | None]:
    """Train, giving way every CHUNK_SECONDS or so: a Snapshot where one is due, else None.

    What `next_look` says (by default `snapshot_steps`) may change while the run goes on.
    From `start`, whose arrays are gone afterwards, or from the configuration's own weights. A look
    takes its step in a program of its own, which may round otherwise than the one without looks:
    tests/core/run/test_train.py holds how far the two may part.
    """
    traced = knobs(config)
    state = program.init(traced) if start is None else start
    next_look = next_look or looks_of(config)
    step, chunk, seen = 0, 1, -1

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Array:
        return program.order(traced, np.int32(epoch))

    while seen < config.steps:
        mark = 0 if seen < 0 else next_look(seen)
        if step < mark:
            epoch = step // config.steps_per_epoch
            stop = min(step + chunk, mark, (epoch + 1) * config.steps_per_epoch)
            started = time.perf_counter()
            state = program.advance(
                state, data.train_images, data.train_labels, order(epoch), traced, np.int32(stop)
            )
            jax.block_until_ready(state)
            seconds = time.perf_counter() - started
            chunk = max(1, min(2 * chunk, round((stop - step) * CHUNK_SECONDS / seconds)))
            step = stop
            if step < mark:
                yield None
            continue
        next_order = order(step // config.steps_per_epoch)
        snapshot, state = _snapshot(config, program, state, data, next_order, traced)
        seen, step = step, step + 1
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
