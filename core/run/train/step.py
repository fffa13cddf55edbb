"""The training step as JAX functions, and the types of the weights before any are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from core.parts import loss_scale
from core.parts.activations import ACTIVATIONS
from core.parts.choices import STREAMS, TASKS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.dropout import NOTHING, Drop
from core.parts.initializers import INITIALIZERS, SPREAD, uses_spread
from core.parts.models import MODELS, Functions, Hidden, Params, parameter_names
from core.parts.normalisations import NORM_VARIANCES, NORMALISATIONS, Norm, averaged
from core.parts.optimizers import OPTIMIZERS
from core.parts.order import SHUFFLES
from core.parts.precisions import PRECISIONS
from core.parts.rules import Settings
from core.run import diagnostics
from core.run.train.gradient import Backprop, backprop
from core.run.train.vocabulary import (
    Knobs,
    Shape,
    State,
    Weights,
    dropping,
    in_weights,
    knob_types,
    norming,
    pixels,
    wide,
)


class Batch(NamedTuple):
    """The examples of one step."""

    x: Array  # [batch, inputs]
    labels: Array
    key: Array  # of its dropout


class Step:
    """The functions that train all runs of a shape; they are pure, and compiled elsewhere.

    `images` are uint8 [n, 784] and `labels` the task's own, [n]; of a regression they are float32
    [n, inputs] and float32 [n, outputs].
    """

    def __init__(self, shape: Shape) -> None:
        task = TASKS[shape.task]
        self.shape, self.form, self.inputs = shape, task.form, task.inputs
        self.precision, self.norm = PRECISIONS[shape.precision], NORMALISATIONS[shape.normalisation]
        model = MODELS[shape.model]
        self.model = replace(model, test_batch=model.test_batch or self.norm.test_batch)
        self.outputs = task.outputs
        self.network = self._built(SPREAD)
        self.optimizer = OPTIMIZERS[shape.optimizer]
        self.decay, self.clip = DECAY_FORMS[shape.decay_form], CLIP_FORMS[shape.clip_form]

    def _built(self, spread: Any) -> Functions:
        """The network's functions; the spread has an effect on its initial weights only."""
        shape = self.shape
        drawing = INITIALIZERS[shape.initializer].drawing(shape.biases, spread)
        activation = ACTIVATIONS[shape.activation]
        return self.model.build(shape.widths, self.outputs, drawing, activation, self.norm)

    def draw(self, knobs: Knobs) -> State:
        """The state before the first step, for an optimizer without slots."""
        chosen = uses_spread(self.shape.initializer, self.shape.biases)
        network = self._built(knobs.initial_spread) if chosen else self.network
        with jax.enable_x64(False):  # in 64-bit mode other numbers would be drawn
            _, drawn = network.init(_root(knobs), (self.shape.batch_size, self.inputs))
        params = cast(drawn, self.precision.weights.dtype)
        scaler = loss_scale.initial() if self.precision.scaled else ()
        return State(params, (), jnp.int32(0), scaler, self._running())

    def _running(self) -> Any:
        """The running averages before the first batch, in float32 at least; () if there are none.

        A narrower format would round away what a batch adds.
        """
        if not self.normalises:
            return ()
        dtype = jnp.promote_types(self.precision.weights.dtype, jnp.float32)
        return tuple(self.norm.start(width, dtype) for width in self.shape.widths)

    @property
    def drops(self) -> bool:
        """Whether the network has dropout, which a run may switch off."""
        return "dropout" not in self.model.ignores

    @property
    def normalises(self) -> bool:
        """Whether the hidden layers are normalised, and so have running averages."""
        return self.norm.test_batch is not None

    def init(self, knobs: Knobs) -> State:
        """The state before the first step."""
        state = self.draw(knobs)
        return state._replace(slots=self.optimizer.init(state.params))

    def apply(
        self,
        params: Params,
        x: Array,
        rng: Array | None = None,
        drop: Drop = NOTHING,
        norm: Norm | None = None,
    ) -> Array:
        """The logits in the loss's number format, of a pass in the run's own."""
        params, x = cast((params, x), self.precision.compute.dtype)
        logits = self.network.apply(params, x, rng=rng, drop=drop, norm=norm)
        return logits.astype(self.precision.loss.dtype)

    def hidden(
        self,
        params: Params,
        x: Array,
        rng: Array | None = None,
        drop: Drop = NOTHING,
        norm: Norm | None = None,
    ) -> list[Hidden]:
        """The hidden layers of the pass that gives these logits."""
        return self.logits_and_layers(params, x, rng=rng, drop=drop, norm=norm)[1]

    def logits_and_layers(self, params: Params, x: Array, **how: Any) -> tuple[Array, list[Hidden]]:
        """The same logits and those hidden layers, from one pass."""
        params, x = cast((params, x), self.precision.compute.dtype)
        logits, hidden = self.network.passed(params, x, **how)
        return logits.astype(self.precision.loss.dtype), hidden

    def passed(self, params: Params, x: Array, **how: Any) -> tuple[Array, Any]:
        """The same logits, and the Moments of each hidden layer; () if they are not normalised."""
        if not self.normalises:
            return self.apply(params, x, **how), ()
        logits, hidden = self.logits_and_layers(params, x, **how)
        return logits, tuple(each.moments for each in hidden)

    def evaluate(self, weights: Weights, x: Array, knobs: Knobs, key: Array | None = None) -> Array:
        """Logits [batch, outputs] as at test time; with a key, units are dropped all the same."""
        drop, norm = dropping(knobs), norming(knobs, weights.running)
        apply = partial(self.apply, weights.params, rng=key, drop=drop, norm=norm)
        return self.model.at_test(apply, x)

    def order(self, arranged: Array, knobs: Knobs, epoch: Array) -> Array:
        """(arranged, knobs, epoch) -> int32 [train_size], the order of the images in that epoch."""
        rows = list(SHUFFLES.values())
        epoch = jnp.where(jnp.array([row.repeats for row in rows])[knobs.shuffle], 0, epoch)
        own, of_buffer = (
            jax.random.fold_in(jax.random.fold_in(_root(knobs), use), epoch) for use in (1, 3)
        )
        permutation = jax.random.permutation(own, self.shape.train_size).astype(jnp.int32)
        draws = [row.draw for row in rows]
        drawn = lax.switch(knobs.shuffle, draws, permutation, of_buffer, knobs.shuffle_buffer)
        return arranged[knobs.data_order][drawn]

    def batch(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> Batch:
        """The examples of the next step; places that are not `filled` hold the last image again."""
        key = jax.random.fold_in(jax.random.fold_in(_root(knobs), 2), state.step)
        if self.shape.full_batch:  # the data's own order: its sums are the sources'
            return Batch(pixels(images, knobs), labels, key)
        if self.shape.partial_batch:
            chosen = order[jnp.minimum(self._places(state), self.shape.train_size - 1)]
        else:
            start = state.step % self.shape.steps_per_epoch * self.shape.batch_size
            chosen = lax.dynamic_slice_in_dim(order, start, self.shape.batch_size)
        return Batch(pixels(images[chosen], knobs), labels[chosen], key)

    def filled(self, state: State) -> Array | None:
        """Which places of the next step's batch hold an example of its own: bool [batch].

        None where all of them do in every step.
        """
        if not self.shape.partial_batch:
            return None
        return self._places(state) < self.shape.train_size

    def _places(self, state: State) -> Array:
        """Where the next step's batch lies in the epoch's order, or beyond its end: [batch]."""
        start = state.step % self.shape.steps_per_epoch * self.shape.batch_size
        return start + jnp.arange(self.shape.batch_size, dtype=jnp.int32)

    def backprop(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> Backprop:
        """The forward and the backward pass of the next step."""
        batch = self.batch(state, images, labels, order, knobs)
        return backprop(
            self.form,
            self.passed,
            state.params,
            batch.x,
            batch.labels,
            knobs,
            batch.key,
            state.scaler,
            self.filled(state),
            self.shape.formula,
        )

    def update(self, state: State, gradients: Params, moments: Any, knobs: Knobs) -> State:
        """The state after a step along these gradients, in a batch with these moments.

        A step that a loss scale skips counts in the running averages, because its forward pass has
        been made.
        """
        settings, old = self._settings(knobs), state.params
        clipped = self.clip.clip(gradients, knobs.clip_norm)
        given = self.decay.gradient(clipped, old, knobs.weight_decay)
        steps, slots = self.optimizer.step(given, state.slots, settings)
        steps = self.decay.step(steps, old, knobs.weight_decay, settings.rate)
        params = jax.tree.map(jnp.subtract, old, steps)
        running = self._averaged(state.running, moments, knobs)
        after = State(params, slots, state.step + 1, state.scaler, running)
        if not state.scaler:
            return after
        finite = diagnostics.all_finite(gradients)  # else the step halves the scale and no more
        params, slots = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old), after[:2], state[:2]
        )
        scaler = loss_scale.adjusted(state.scaler, finite)
        return after._replace(params=params, slots=slots, scaler=scaler)

    def _averaged(self, running: Any, moments: Any, knobs: Knobs) -> Any:
        """The running averages after a batch with these moments."""
        if not self.normalises:
            return ()
        factors = [row.factor(self.shape.batch_size) for row in NORM_VARIANCES.values()]
        factor = jnp.array(factors)[knobs.norm_variance]
        return averaged(running, moments, knobs.norm_momentum, factor)

    def _settings(self, knobs: Knobs) -> Settings:
        """The numbers of the optimizer's rule."""
        weights = partial(in_weights, precision=self.precision)
        powers = partial(wide, precision=self.precision)
        return Settings(
            rate=knobs.learning_rate.astype(self.precision.weights.dtype),
            momentum=weights(knobs.momentum),
            momentum_rest=weights(knobs.momentum_rest),
            beta_2=weights(knobs.beta_2),
            beta_2_rest=weights(knobs.beta_2_rest),
            epsilon=weights(knobs.optimizer_epsilon),
            wide_momentum=powers(knobs.momentum),
            wide_beta_2=powers(knobs.beta_2),
        )

    def advance(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs, stop: Array
    ) -> State:
        """The state at step `stop`."""

        def step(state: State) -> State:
            passed = self.backprop(state, images, labels, order, knobs)
            return self.update(state, passed.gradients, passed.moments, knobs)

        return lax.while_loop(lambda state: state.step < stop, step, state)


def _root(knobs: Knobs) -> Array:
    return jax.random.PRNGKey(knobs.seed)  # the sources' own: their weights need it


def test_key(knobs: Knobs) -> Array:
    """The key of units that are dropped at test time, the same at each look."""
    return jax.random.fold_in(_root(knobs), 4)


def cast(numbers: Any, dtype: Any) -> Any:
    """Every array of a pytree in another format."""
    return jax.tree.map(lambda array: array.astype(dtype), numbers)


@contextmanager
def numerics(shape: Shape) -> Iterator[None]:
    """Trace inside this context to get the run's own numbers."""
    with (
        jax.enable_x64(PRECISIONS[shape.precision].wide),
        jax.threefry_partitionable(STREAMS[shape.stream].partitionable),
        jax.default_matmul_precision("highest"),  # float32 means float32 on a GPU too
    ):
        yield


def start_types(shape: Shape) -> State:
    """The shapes and formats of a run's first state."""
    with numerics(shape):
        return jax.eval_shape(Step(shape).init, knob_types())


@lru_cache(maxsize=32)
def parameters(shape: Shape) -> tuple[str, ...]:
    """The names of the rows of a Snapshot's `health`."""
    return tuple(parameter_names(start_types(shape).params))


@lru_cache(maxsize=128)
def bytes_needed(shape: Shape) -> int:
    """The memory that a run's weights take: themselves, their gradient, update and slots.

    A mixed run also has the 16-bit weights and gradient of its passes.
    """
    state = start_types(shape)

    def size(tree: Any) -> int:
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))

    precision = PRECISIONS[shape.precision]
    weights, compute = precision.weights.dtype, precision.compute.dtype
    rounded = size(state.params) * compute.itemsize // weights.itemsize
    return 3 * size(state.params) + size(state.slots) + (2 * rounded if compute != weights else 0)
