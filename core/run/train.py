"""One step, one chunk, one run: a RunConfig in, snapshots out.

Everything scalar is traced (`Knobs`), so that moving a slider compiles nothing; what
fixes shapes or structure is static (`Shape`) and has one compiled `Program`.
"""

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from core.config import RunConfig
from core.data import SOURCES, Dataset
from core.parts import loss_scale
from core.parts.choices import REDUCTIONS, SCALINGS, STREAMS, TASKS
from core.parts.convolution import in_loop
from core.parts.dropout import DROPOUTS, Drop, meaning
from core.parts.losses import LOSSES, Form, loss_and_grad, losses_for
from core.parts.models import INITIALIZERS, MODELS, Hidden, Params, parameter_names
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS
from core.run import diagnostics, memory
from core.run.price import bytes_of, operations
from core.run.snapshot import DROPPED, PROBE, SHOWN, Census, Fit, Largest, Saturation, Snapshot

SNAPSHOTS = 400  # the most a run yields, about what a chart can show
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
# Kept for the next who asks, the newest in any case, for the two of a comparison take turns. One
# takes 1,000 memory maps, of which Linux gives a process 65,530.
PROGRAMS, PROGRAM_BYTES, NEWEST = 12, 400e6, 2
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
    scaler: Any = ()  # a LossScale where the loss is scaled


class Look(NamedTuple):
    """What a step sees of its batch, and the gradient it follows."""

    logits: Array  # [batch, outputs], with units dropped where the run drops them
    loss: Array  # [batch]
    slope: Array  # dloss/dlogits, [batch, outputs]
    gradients: Params  # of the batch's loss, its mean or its sum


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
    """The task's labels: uint8 [n], digit >= 5 (binary) or the digit itself; or the targets."""
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
    if form == "regression":
        return loss_and_grad(form, knobs.loss, logits, labels.astype(logits.dtype), knobs.epsilon)
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
    """A forward and a backward pass: logits, losses, and the gradient of the batch's loss.

    The loss's slope is taken per example first and pulled back through the network, so
    that what a loss does to one example stays visible.
    """
    logits, pull_back = forward(apply, params, x, knobs, key)
    loss, slope = losses_and_slopes(form, logits, labels, knobs)
    return Look(logits, loss, slope, batch_gradient(pull_back, slope, knobs, scaler))


def batch_gradient(
    pull_back: Callable[[Array], tuple[Params]], slope: Array, knobs: Knobs, scaler: Any = ()
) -> Params:
    """The gradient of the batch's loss from each example's slope, scaled where a run does so."""
    (gradient,) = pull_back(share_of_batch(slope, len(slope), knobs, scaler))
    return jax.tree.map(lambda g: g / scaler.scale, gradient) if scaler else gradient


def share_of_batch(slope: Array, examples: int, knobs: Knobs, scaler: Any) -> Array:
    """The derivative of the batch's loss by each example's logits, times the loss scale."""
    divisors = [reduction.divisor(examples) for reduction in REDUCTIONS.values()]
    divisor = jnp.asarray(divisors, slope.dtype)[knobs.reduction]
    return (scaler.scale * slope if scaler else slope) / divisor


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
    model = MODELS[shape.model]
    model_init, model_apply, model_units = model.build(shape.widths, outputs, initializer)
    precision = PRECISIONS[shape.precision]
    loss_dtype = precision.loss.dtype
    optimizer = OPTIMIZERS[shape.optimizer].transform()
    steps_per_epoch = shape.train_size // shape.batch_size
    probe = min(PROBE, shape.train_size)

    def root(knobs: Knobs) -> Array:
        return jax.random.PRNGKey(knobs.seed)  # the sources' own: their weights need it

    def draw(knobs: Knobs) -> State:
        """The state before the first step, for an optimizer without slots."""
        with jax.enable_x64(False):  # in 64-bit mode other numbers would be drawn
            _, drawn = model_init(root(knobs), (shape.batch_size, TASKS[shape.task].inputs))
        params = cast(drawn, precision.weights.dtype)
        scaler = loss_scale.initial() if precision.scaled else ()
        return State(params, (), jnp.int32(0), scaler)

    def init(knobs: Knobs) -> State:
        state = draw(knobs)
        return state._replace(slots=optimizer.init(state.params))

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
        with in_loop():
            return lax.while_loop(
                lambda state: state.step < stop,
                lambda state: step(state, images, labels, order, knobs),
                state,
            )

    def see(
        state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], Params]:
        """What there is to see without a step, and the gradient of the step that comes next.

        No optimizer and no learning rate has a part in it; `state.slots` may be left out.
        """
        params, drop = state.params, dropping(knobs)
        x, batch_labels, key = batch(state, images, labels, order, knobs)
        batch_logits, pull_back = forward(apply, params, x, knobs, key)
        labels = labels[:probe]
        probed = pixels(images[:probe], knobs)
        logits, units = model.at_test(partial(whole, params, drop=drop), probed)
        # One call for both: every row of LOSSES is compiled once less, a third of the time.
        both = jnp.concatenate([batch_logits, logits]), jnp.concatenate([batch_labels, labels])
        losses, slopes = losses_and_slopes(form, *both, knobs)
        loss, slope = losses[len(x) :], slopes[len(x) :]
        gradients = batch_gradient(pull_back, slopes[: len(x)], knobs, state.scaler)
        # As the weights see it, in the batch's loss: tiny slopes underflow in its mean.
        share = share_of_batch(slope, shape.batch_size, knobs, state.scaler)
        share = share.astype(precision.compute.dtype)
        kinds = diagnostics.gradient_kinds(share)
        of_gradients, of_params = map(diagnostics.measured, (gradients, params))
        seen = {
            "loss": jnp.mean(diagnostics.wide(loss)),
            "gradient_norms": of_gradients.norms,
            "weight_norms": of_params.norms,
            "dead_units": diagnostics.dead_units(units),
            **(
                diagnostics.unanswered(logits, kinds)
                if form == "regression"
                else answered(logits, labels, kinds, knobs)
                | dropped(params, probed, logits, labels, knobs, key)
            ),
            "gradients": kinds,
            "health": of_gradients.health,
            "sample_health": diagnostics.sample_health(share),
            "loss_scale": state.scaler.scale if state.scaler else jnp.float32(1),
            **(
                beside_float32(state, x, probed, slopes[: len(x)], gradients, knobs, key)
                if precision.narrow
                else {
                    "largest": Largest(
                        diagnostics.largest([units, logits]),
                        of_gradients.largest,
                        of_params.largest,
                    ),
                    "vanished": jnp.float32(jnp.nan),
                }
            ),
        }
        return seen, gradients

    def follow(state: State, gradients: Params, knobs: Knobs) -> tuple[dict[str, Any], State]:
        """The state after a step along these gradients, and what there is to see of the step."""
        after = update(state, gradients, knobs)
        new, old = (jax.tree.map(diagnostics.wide, each.params) for each in (after, state))
        finite, unmoved = diagnostics.finite_and_same(state.params, after.params)
        others, then = ((each.slots, each.scaler, after.step) for each in (state, after))
        seen = {
            "update_norms": diagnostics.measured(jax.tree.map(jnp.subtract, new, old)).norms,
            "next_finite": finite,
            "fixed": unmoved & diagnostics.same(others, then),
        }
        return seen, after

    def diagnose(
        state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], State]:
        """Both in one: what is seen, and the state after the step whose gradient was seen."""
        seen, gradients = see(state, images, labels, order, knobs)
        step, after = follow(state, gradients, knobs)
        return seen | step, after

    def whole(params: Params, x: Array, drop: Drop) -> tuple[Array, list[Array]]:
        """Logits, and the units of each hidden layer, in one pass."""
        units = [layer.units for layer in hidden(params, x, drop=drop)]
        return apply(params, x, drop=drop), units

    def answered(logits: Array, labels: Array, kinds: Array, knobs: Knobs) -> dict[str, Any]:
        """What is measured of answers that are right or wrong."""
        is_correct = diagnostics.correct(logits, labels)
        p, *ends = map(
            diagnostics.wide,
            (diagnostics.probability(logits, labels), *clip_range(form, knobs, loss_dtype)),
        )
        return {
            "train_accuracy": jnp.mean(is_correct),
            "one_answer": diagnostics.one_answer(logits),
            "saturation": diagnostics.saturation(p, kinds, *ends),
            "census": diagnostics.census(is_correct, kinds),
            "margins": diagnostics.margin(diagnostics.wide(logits), labels),
            "labels": labels,
            "correct": is_correct,
        }

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
        exact = batch_gradient(pull_back, slopes, knobs)
        activations = model.at_test(
            lambda x: [model_units(params, x), model_apply(params, x)], probed
        )
        found = Largest(*map(diagnostics.largest, (activations, exact, params)))
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
        return model.at_test(partial(apply, params, drop=dropping(knobs)), x)

    def accuracy(params: Params, images: Array, labels: Array, knobs: Knobs) -> Array:
        logits = evaluate(params, pixels(images, knobs), knobs)
        return jnp.mean(diagnostics.correct(logits, labels))

    def fit(params: Params, inputs: Array, targets: Array, knobs: Knobs) -> Fit:
        predictions = evaluate(params, inputs, knobs)
        return Fit(
            diagnostics.squared_error(predictions, targets),
            diagnostics.squared_error(inputs, targets),
            *(each[:SHOWN] for each in (inputs, targets, diagnostics.wide(predictions))),
        )

    return {
        "draw": draw,
        "slots": optimizer.init,
        "init": init,
        "order": order,
        "batch": batch,
        "apply": apply,
        "hidden": hidden,
        "evaluate": evaluate,
        "look": look_at_batch,
        "update": update,
        "advance": advance,
        "see": see,
        "follow": follow,
        "diagnose": diagnose,
        "accuracy": fit if form == "regression" else accuracy,
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


# For what looks at a run: without its fusion emitters XLA takes 1 to 44% less CPU to compile a look
# (six networks), and the look takes about as long as before. A step takes up to half as long again
# without them, so the loop over steps keeps them (two cores, JAX 0.10.2).
SELDOM: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
# For what runs once in a run or an epoch: the same bits, in less time to compile. A CNN's
# weights took 1.8 s of CPU in place of 10.3, on two cores with JAX 0.10.2.
ONCE: dict[str, Any] = {**SELDOM, "xla_backend_optimization_level": "1"}
# In one piece in place of 32 a look takes an eighth less of one core to compile, for the same
# bits; on two cores there is no difference, and on many the pieces go side by side.
FEW_CORES = 2
IN_ONE_PIECE: dict[str, Any] = {"xla_cpu_parallel_codegen_split_count": "1"}
_looks_lock, _loops_lock = threading.RLock(), threading.RLock()


def for_this_host(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that XLA is to compile with here: those of a CPU on a CPU alone.

    An accelerator's program has no use for them, and where JAX is newer than ours XLA may not
    know them: it then compiles nothing (H200, JAX 0.11.2).
    """
    if jax.default_backend() != "cpu":
        return {name: value for name, value in options.items() if not name.startswith("xla_cpu_")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    few = cores is not None and cores <= FEW_CORES
    return {**(IN_ONE_PIECE if few else {}), **options}


class Pieces:
    """The functions of a shape, each compiled when it is first asked for, once for all who ask."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.parts = shape, functions(shape)
        self.knobs, self.whole = _knob_types(), jax.ShapeDtypeStruct((), np.int32)
        self.state = start_types(shape)
        order = jax.ShapeDtypeStruct((shape.train_size,), np.int32)
        self.batches = (*self.images(shape.train_size), order, self.knobs)
        self.memory = 0  # bytes that the largest of the compiled ones computes in
        self.kept = 0  # bytes that the process has grown by while they were compiled
        self._lowered: dict[str, Any] = {}  # and not compiled yet
        self._compiled: dict[tuple[str, int], Any] = {}

    def images(self, n: int) -> tuple[Any, Any]:
        """The types of n images and their labels, or of n series and their targets."""
        task = TASKS[self.shape.task]
        dtype, each = (np.float32, (task.outputs,)) if task.series else (np.uint8, ())
        inputs = jax.ShapeDtypeStruct((n, task.inputs), dtype)
        return inputs, jax.ShapeDtypeStruct((n, *each), dtype)

    def has(self, name: str) -> bool:
        """Whether a function has been compiled."""
        return (name, 0) in self._compiled

    def lowered(self, name: str, *types: Any, donate: tuple[int, ...] = ()) -> Any:
        """A function as XLA is given it, to be priced before it is compiled."""
        if name not in self._lowered:
            with numerics(self.shape):
                function = jax.jit(self.parts[name], donate_argnums=donate)
                self._lowered[name] = function.lower(*types)
        return self._lowered[name]

    def compiled(
        self,
        name: str,
        *types: Any,
        examples: int = 0,
        lock: Any = _looks_lock,
        donate: tuple[int, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Any:
        """A function for arguments of these types; `examples` tells apart what it takes."""
        key = name, examples
        if key not in self._compiled:
            with lock:
                if key not in self._compiled:  # nobody has compiled it meanwhile
                    before = memory.resident()
                    lowered = self.lowered(name, *types, donate=donate)
                    self._lowered.pop(name, None)  # what it holds is needed no more
                    with numerics(self.shape):
                        compiled = lowered.compile(for_this_host(options or {}))
                    self.memory = max(self.memory, bytes_of(compiled))
                    self._compiled[key] = compiled
                    memory.give_back()
                    self.kept += max(0, memory.resident() - before)
        return self._compiled[key]


class Program:
    """The compiled functions of a shape; `images` are uint8 [n, 784], `labels` the task's own, [n].

    Of a regression, `images` are float32 [n, inputs] and `labels` float32 [n, outputs]. Each is
    compiled when it is first asked for, and what looks at a run once for all optimizers.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape, self._own = shape, Pieces(shape)
        looks = shape._replace(optimizer=next(iter(OPTIMIZERS)))
        self._looks = _looking.get(looks) or Pieces(looks)
        _looking[looks] = self._looks
        self._looked = False  # whether all that a first look takes is compiled
        self._in_order = jnp.arange(shape.train_size, dtype=jnp.int32)

    def compile_first_look(self) -> Iterator[float]:
        """Compile what the look before the first step takes: before each piece, the share done.

        Nothing is yielded where all of it is compiled.
        """
        pieces: list[Callable[[], Any]] = [
            lambda: self.see,
            lambda: self.draw,
            lambda: (self.slots, self.follow),
            lambda: (self.order, self.accuracy(min(PROBE, self.shape.test_size))),
        ]
        for i, piece in enumerate([] if self._looked else pieces, start=1):
            yield i / (len(pieces) + 1)
            piece()
        self._looked = True

    def init(self, knobs: Knobs) -> State:
        """The state before the first step."""
        state = self.draw(knobs)
        return state._replace(slots=self.slots(state.params))

    @property
    def draw(self) -> Callable[..., State]:
        """Of knobs the state before the first step, without the optimizer's slots."""
        return self._looks.compiled("draw", self._looks.knobs, options=ONCE)

    @property
    def slots(self) -> Callable[..., Any]:
        """Of params the optimizer's slots before the first step."""
        return self._own.compiled("slots", self._own.state.params, options=ONCE)

    @property
    def order(self) -> Callable[..., Array]:
        """Of knobs and epoch the epoch's shuffle, int32 [train_size]; full batches need none."""
        if self.shape.batch_size == self.shape.train_size:
            return lambda knobs, epoch: self._in_order
        pieces = self._looks
        return pieces.compiled("order", pieces.knobs, pieces.whole, options=ONCE)

    @property
    def see(self) -> Callable[..., tuple[dict[str, Any], Params]]:
        """Of a state without slots, images, labels, order and knobs what is seen, and gradients."""
        return self._looks.compiled("see", *self._seen(), options=SELDOM)

    @property
    def follow(self) -> Callable[..., tuple[dict[str, Any], State]]:
        """Of state, gradients and knobs what is seen of the step, and the state after it."""
        own = self._own
        types = own.state, own.state.params, own.knobs
        return own.compiled("follow", *types, options=SELDOM)

    def diagnose(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], State]:
        """What is seen, and the state after the next step, whose gradient was seen."""
        seen, gradients = self.see(state._replace(slots=()), images, labels, order, knobs)
        step, after = self.follow(state, gradients, knobs)
        return seen | step, after

    @property
    def advance(self) -> Callable[..., State]:
        """Of state, images, labels, order, knobs and a step the state at that step."""
        return self._own.compiled("advance", *self._steps(), lock=_loops_lock, donate=(0,))

    def whole(self) -> bool:
        """Whether all that a run takes is compiled, the steps between looks, too."""
        return self._looked and self._own.has("advance")

    def accuracy(self, examples: int) -> Callable[..., Any]:
        """Of params, so many images, labels and knobs the accuracy, or a regression's Fit."""
        pieces, together = self._looks, MODELS[self.shape.model].test_batch
        n = together or examples
        types = pieces.state.params, *pieces.images(n), pieces.knobs
        accuracy = pieces.compiled("accuracy", *types, examples=n, options=SELDOM)
        return in_batches(accuracy, together) if together else accuracy

    @cached_property
    def step_operations(self) -> float:
        """Floating-point operations of a step, by its shapes; nothing is compiled."""
        return operations(self._own.lowered("advance", *self._steps(), donate=(0,)))

    @cached_property
    def look_operations(self) -> float:
        """The same of a look at training images, which takes a step, too."""
        return operations(self._looks.lowered("see", *self._seen()))

    def memory(self) -> int:
        """Bytes that the largest of the compiled functions computes in."""
        return max(self._looks.memory, self._own.memory)

    def kept(self) -> dict[Pieces, int]:
        """Bytes that the compiled functions are kept in, some together with other programs."""
        return {pieces: pieces.kept for pieces in (self._looks, self._own)}

    def _seen(self) -> tuple[Any, ...]:
        return self._looks.state._replace(slots=()), *self._looks.batches

    def _steps(self) -> tuple[Any, ...]:
        return self._own.state, *self._own.batches, self._own.whole


_programs: OrderedDict[Shape, Program] = OrderedDict()  # the newest last
_looking: WeakValueDictionary[Shape, Pieces] = WeakValueDictionary()  # what these look with
_making = threading.RLock()


def program(shape: Shape) -> Program:
    """The program of a shape, one for all who ask; nothing of it is compiled by that."""
    with _making:
        if shape not in _programs:
            _programs[shape] = Program(shape)
        _programs.move_to_end(shape)
        while len(_programs) > NEWEST and (len(_programs) > PROGRAMS or _kept() > PROGRAM_BYTES):
            _programs.popitem(last=False)
        return _programs[shape]


def _kept() -> int:
    return sum({k: n for each in _programs.values() for k, n in each.kept().items()}.values())


def in_batches(accuracy: Callable[..., Any], size: int) -> Callable[..., Any]:
    """The accuracy of a multiple of `size` images, mixed as `Model.at_test` mixes them."""

    def of_all(params: Params, images: Array, labels: Array, knobs: Knobs) -> Any:
        each = [
            accuracy(params, *_batch(images, labels, np.int32(i), size), knobs)
            for i in range(len(images) // size)
        ]
        return np.mean(jax.device_get(each))

    return of_all


@partial(jax.jit, static_argnames="size")
def _batch(images: Array, labels: Array, i: Array, size: int) -> tuple[Array, Array]:
    """Every so many-th image and its label, from the i-th on."""
    return images.reshape(size, -1, images.shape[-1])[:, i], labels.reshape(size, -1)[:, i]


@lru_cache(maxsize=32)
def parameters(shape: Shape) -> tuple[str, ...]:
    """The names of the rows of a Snapshot's `health`."""
    return tuple(parameter_names(start_types(shape).params))


def start_types(shape: Shape) -> State:
    """A run's first state as shapes and formats."""
    with numerics(shape):
        return jax.eval_shape(functions(shape)["init"], _knob_types())


@lru_cache(maxsize=128)
def bytes_needed(shape: Shape) -> int:
    """The memory that a run's weights take: themselves, their gradient, update and slots.

    Mixed, with the 16-bit weights and gradient of the passes.
    """
    state = start_types(shape)

    def size(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    precision = PRECISIONS[shape.precision]
    weights, compute = precision.weights.dtype, precision.compute.dtype
    rounded = size(state.params) * compute.itemsize // weights.itemsize
    return 3 * size(state.params) + size(state.slots) + (2 * rounded if compute != weights else 0)


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
    looks = MODELS[config.model].looks
    every = max(1, config.steps_per_epoch // looks, -(-config.steps // SNAPSHOTS))
    early = {4**power for power in range(every.bit_length()) if 4**power < min(every, config.steps)}
    marks = {0, config.steps, *early, *range(0, config.steps, every)}
    if config.epochs <= SNAPSHOTS // looks:
        marks |= {epoch * config.steps_per_epoch for epoch in range(config.epochs)}
    return sorted(marks)


class Seen(NamedTuple):
    """A look at a state, before the step that comes next."""

    told: dict[str, Any]  # on the host
    held_out: Any  # an accuracy, or a regression's Fit
    gradients: Params


def _see(
    config: RunConfig, program: Program, state: State, data: DeviceData, order: Array, knobs: Knobs
) -> Seen:
    examples = _held_out_examples(config, int(state.step), data)
    told, gradients = program.see(
        state._replace(slots=()), data.train_images, data.train_labels, order, knobs
    )
    held_out = program.accuracy(examples)(
        state.params, data.test_images[:examples], data.test_labels[:examples], knobs
    )
    told, held_out = jax.device_get((told, held_out))
    return Seen(told, held_out, gradients)


def _held_out_examples(config: RunConfig, step: int, data: DeviceData) -> int:
    """All at the end of an epoch, else some."""
    if step and step % config.steps_per_epoch == 0:
        return len(data.test_images)
    return min(PROBE, len(data.test_images))


def first_look(config: RunConfig, program: Program, data: DeviceData, state: State) -> Seen:
    """The look before the first step. No optimizer, learning rate or epoch has a part in it."""
    traced = knobs(config)
    return _see(config, program, state, data, program.order(traced, np.int32(0)), traced)


def _snapshot(
    config: RunConfig, program: Program, state: State, data: DeviceData, seen: Seen, knobs: Knobs
) -> tuple[Snapshot, State]:
    """What a look tells, and the next state: the look's gradient is the next step's own."""
    step = int(state.step)
    followed, after = program.follow(state, seen.gradients, knobs)
    told = seen.told | jax.device_get(followed)
    fit, held_out = None, seen.held_out
    if isinstance(held_out, Fit):
        fit = held_out._replace(error=held_out.error.item(), copied=held_out.copied.item())
    # Plain numbers: a frame compares them by the thousand, and NumPy's own scalars are slow.
    plain = {name: told.pop(name).item() for name in PLAIN}
    histogram, *ends = told.pop("saturation")
    plain["saturation"] = Saturation(histogram, *(share.item() for share in ends))
    plain["largest"] = Largest(*(value.item() for value in told.pop("largest")))
    plain["census"] = Census(*(share.item() for share in told.pop("census")))
    snapshot = Snapshot(
        step=step,
        epoch=step / config.steps_per_epoch,
        **plain,
        test_accuracy=math.nan if fit else float(held_out),
        test_examples=_held_out_examples(config, step, data),
        fit=fit,
        **told,
    )
    return snapshot, after


NextLook = Callable[[int], int]  # from a step, the next one to be looked at
FirstLook = Callable[[RunConfig, Program, DeviceData, State], Seen]


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
    first: FirstLook = first_look,
) -> Iterator[Snapshot | None]:
    """Train, giving way every CHUNK_SECONDS or so: a Snapshot where one is due, else None.

    What `next_look` says (by default `snapshot_steps`) may change while the run goes on.
    From `start`, whose arrays are gone afterwards, or from the configuration's own weights, which
    `first` looks at. A look
    takes its step in a program of its own, which may round otherwise than the one without looks:
    tests/compiled/test_train.py holds how far the two may part.
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
        if seen < 0 and start is None:
            look = first(config, program, data, state)
        else:
            next_order = order(step // config.steps_per_epoch)
            look = _see(config, program, state, data, next_order, traced)
        snapshot, state = _snapshot(config, program, state, data, look, traced)
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
