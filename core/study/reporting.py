"""What two training loops report about the same training.

With dropout a batch has two accuracies: one in the training step, with units dropped, and one
after it, with all units. Keras's fit averages the first over an epoch. The TensorFlow loop of the
keep_prob question evaluates each batch again, after its update and with no unit dropped, and
averages that. Neither is the accuracy on held-out images.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from core.config import RunConfig
from core.run import diagnostics, train
from core.study.states import compiled_for

REPORTS_PER_EPOCH = 10
PIECE = 10  # steps between two yields


class Score(NamedTuple):
    """Means over batches."""

    accuracy: float
    loss: float  # in nats, as the chosen loss computes it


class Report(NamedTuple):
    """The last `batches` batches, each measured twice; `step` updates have been made."""

    step: int
    epoch: float
    batches: int
    dropping: Score  # before the update, with units dropped: what Keras's fit averages
    whole: Score  # the same batch after the update, with all units: what the TensorFlow loop prints
    test_accuracy: float  # on all held-out images at the end of an epoch, else NaN


def reports(
    config: RunConfig, data: train.DeviceData, reports_per_epoch: int = REPORTS_PER_EPOCH
) -> Iterator[Report | None]:
    """Train `config` and yield `reports_per_epoch` Reports an epoch, the last one at its end.

    If that is 1, a Report holds what each loop reports for a whole epoch. Yields None between
    pieces of work.
    """
    shape, knobs = train.shape(config), train.knobs(config)
    program, measured = train.program(shape), _measured_steps(shape)
    per_epoch = config.steps_per_epoch
    every = -(-per_epoch // reports_per_epoch)
    state, step = program.init(knobs), 0
    for epoch in range(config.epochs):
        order = program.order(data.arranged, knobs, np.int32(epoch))
        end = (epoch + 1) * per_epoch
        while step < end:
            first, mark, totals = step, min(step + every, end), np.zeros(4, np.float32)
            while step < mark:
                step = min(step + PIECE, mark)
                images, labels = data.train_images, data.train_labels
                state, more = measured(state, images, labels, order, knobs, np.int32(step))
                totals = totals + np.asarray(more)
                if step < mark:
                    yield None
            dropping, whole = (totals / (step - first)).reshape(2, 2).tolist()
            test = _test_accuracy(program, state, data, knobs) if step == end else np.nan
            scores = Score(*dropping), Score(*whole), test
            yield Report(step, step / per_epoch, step - first, *scores)


def _test_accuracy(
    program: train.Program, state: train.State, data: train.DeviceData, knobs: train.Knobs
) -> float:
    held_out = program.held_out(len(data.test_images))
    return float(held_out(state.weights, data.test_images, data.test_labels, knobs))


@lru_cache(maxsize=8)
def _measured_steps(shape: train.Shape) -> Callable[..., Any]:
    """Compiled: (state, images, labels, order, knobs, stop) -> state at `stop`, float32 [4].

    The four are sums over the batches: accuracy and loss with units dropped before the update,
    and with all units after it.
    """
    parts = train.Step(shape)

    def steps(
        state: train.State,
        images: Array,
        labels: Array,
        order: Array,
        knobs: train.Knobs,
        stop: Array,
    ) -> tuple[train.State, Array]:
        def step(carry: tuple[train.State, Array]) -> tuple[train.State, Array]:
            state, totals = carry
            x, batch_labels, _ = parts.batch(state, images, labels, order, knobs)
            before = parts.backprop(state, images, labels, order, knobs)
            after = parts.update(state, before.gradients, before.moments, knobs)
            logits = parts.evaluate(after.weights, x, knobs)
            loss, _ = train.losses_and_slopes(
                parts.form, logits, batch_labels, knobs, parts.shape.formula
            )
            filled = parts.filled(state)
            scores = [
                jnp.mean(values, where=filled)
                for values in (
                    diagnostics.correct(before.logits, batch_labels),
                    before.loss,
                    diagnostics.correct(logits, batch_labels),
                    loss,
                )
            ]
            return after, totals + jnp.stack(scores)

        nothing = jnp.zeros(4, jnp.float32)
        return lax.while_loop(lambda carry: carry[0].step < stop, step, (state, nothing))

    return compiled_for(shape, steps, train.OFTEN, donate_argnums=0)
