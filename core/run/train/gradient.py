"""The loss of each example, and the gradient of the batch's loss.

The derivative of each example's loss by its logits comes first and is then pulled back through the
network, so that what a loss does to one example can be seen.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from core.parts.choices import REDUCTIONS
from core.parts.loss_inputs import LOSS_INPUTS, LossInput
from core.parts.loss_scale import LossScale
from core.parts.losses import LOSSES, Form, loss_and_grad, losses_for, with_grad
from core.parts.models import Params
from core.run.train.vocabulary import Knobs, dropping, norming

Passed = Callable[..., tuple[Array, Any]]
PullBack = Callable[[Array], tuple[Params]]
Scaler = LossScale | tuple[()]


class Backprop(NamedTuple):
    """What a forward and a backward pass compute of a batch."""

    logits: Array  # [batch, outputs], with units dropped where the run drops them
    loss: Array  # [batch]
    slope: Array  # dloss/dlogits, [batch, outputs]
    gradients: Params  # of the batch's loss, its mean or its sum
    moments: Any = ()  # of each hidden layer in this batch, where they are normalised


def backprop(
    form: Form,
    passed: Passed,
    params: Params,
    x: Array,
    labels: Array,
    knobs: Knobs,
    key: Array,
    scaler: Scaler = (),
    filled: Array | None = None,
    formula: str = "",
) -> Backprop:
    """A forward and a backward pass: logits, losses, and the gradient of the batch's loss.

    `filled` [batch] says which places hold examples, where not all do; `formula` is the loss, if
    the table has none of it.
    """
    logits, pull_back, moments = forward(passed, params, x, knobs, key)
    loss, slope = losses_and_slopes(form, logits, labels, knobs, formula)
    gradient = batch_gradient(pull_back, slope, knobs, scaler, filled)
    return Backprop(logits, loss, slope, gradient, moments)


def forward(
    passed: Passed, params: Params, x: Array, knobs: Knobs, key: Array
) -> tuple[Array, PullBack, Any]:
    """Logits [batch, outputs] with units dropped, the function from slopes to gradients, moments.

    `passed` gives logits and moments; see `Step.passed`.
    """
    drop, norm = dropping(knobs), norming(knobs)
    return jax.vjp(
        lambda params: passed(params, x, rng=key, drop=drop, norm=norm), params, has_aux=True
    )


def losses_and_slopes(
    form: Form, logits: Array, labels: Array, knobs: Knobs, formula: str = ""
) -> tuple[Array, Array]:
    """The chosen loss, or `formula`, per example [batch] and dloss/dlogits [batch, outputs].

    With smoothing s, the target of each of K classes is (1 - s) [its label] + s/K, as in
    keras.losses.CategoricalCrossentropy, Keras 3.15, and torch.nn.CrossEntropyLoss, PyTorch 2.13;
    of two classes y becomes (1 - s) y + s/2, as in keras.losses.BinaryCrossentropy. A label shift
    moves each label to the next before that.
    """
    if form == "regression":
        return loss_and_grad(form, knobs.loss, logits, labels.astype(logits.dtype), knobs.epsilon)
    binary = form == "binary"
    z = logits[:, 0] if binary else logits

    def of_labels(labels: Array) -> tuple[Array, Array]:
        labels = labels.astype(z.dtype if binary else jnp.int32)
        return _loss_and_slope(form, z, labels, knobs, formula)

    classes = 2 if binary else z.shape[-1]
    taught = (labels.astype(jnp.int32) + knobs.label_shift) % classes
    loss, slope = smoothed(of_labels, z, taught, classes, knobs.label_smoothing)
    return loss, slope[:, None] if binary else slope


def smoothed(
    of_labels: Callable[[Array], tuple[Array, Array]],
    z: Array,
    labels: Array,
    classes: int,
    smoothing: Array,
) -> tuple[Array, Array]:
    """The loss and slope of smoothed labels: those of every class, weighted by its target.

    `of_labels` gives losses [like labels] and slopes [like the logits z], both in z's format. A
    cross-entropy is linear in its targets. Only a loop's body is compiled, and without smoothing it
    runs once, for the labels themselves, and multiplies by nothing.
    """
    share = smoothing / classes

    def add(carry: tuple[Array, Any]) -> tuple[Array, Any]:
        i, totals = carry
        target = jnp.where(i == 0, 1 - smoothing + share, share)

        def added(total: Array, each: Array) -> Array:
            part = jnp.where(smoothing == 0, each, target.astype(each.dtype) * each)
            return jnp.where(i == 0, part, total + part)

        return i + 1, jax.tree.map(added, totals, of_labels((labels + i) % classes))

    nothing = jnp.zeros(labels.shape, z.dtype), jnp.zeros_like(z)
    last = jnp.where(smoothing == 0, 1, classes)
    start: tuple[Array, Any] = jnp.int32(0), nothing
    totals: tuple[Array, Array] = lax.while_loop(lambda carry: carry[0] < last, add, start)[1]
    return totals


def _loss_and_slope(
    form: Form, z: Array, labels: Array, knobs: Knobs, formula: str
) -> tuple[Array, Array]:
    """The loss of these labels, and its derivative by z, of what the loss is given for z."""
    given = [getattr(row, form) for row in LOSS_INPUTS.values()]
    inputs = lax.switch(knobs.loss_input, given, z)
    if formula:
        own = with_grad(getattr(LOSSES[formula], form))
        loss, slope = own(inputs, labels, knobs.epsilon)
    else:
        loss, slope = loss_and_grad(form, knobs.loss, inputs, labels, knobs.epsilon)
    slope = lax.switch(knobs.loss_input, [_through(function) for function in given], z, slope)
    stands_in = [_stand_in(row, form) for row in LOSS_INPUTS.values()]
    loss, slope = lax.switch(knobs.loss_input, stands_in, z, labels, loss, slope)
    return loss, slope


def _through(function: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    """The function from z, and the slope by function(z), to the slope by z."""
    return lambda z, slope: jax.vjp(function, z)[1](slope)[0]


def _stand_in(row: LossInput, form: Form) -> Callable[..., tuple[Array, Array]]:
    """(z, labels, the chosen loss, its slope) -> those of the loss that this input is given to."""
    if row.instead is None:
        return lambda z, labels, loss, slope: (loss, slope)
    own = with_grad(row.instead[form])
    return lambda z, labels, loss, slope: own(z, labels, jnp.float32(0))


def batch_gradient(
    pull_back: PullBack,
    slope: Array,
    knobs: Knobs,
    scaler: Scaler = (),
    filled: Array | None = None,
) -> Params:
    """The gradient of the batch's loss, from the derivative of each example's by its logits.

    Places that are not `filled` have no part in it, and are not counted. A loss scale multiplies on
    the way back and is divided out at the end.
    """
    if filled is None:
        share = share_of_batch(slope, len(slope), knobs, scaler)
    else:
        share = share_of_batch(slope, jnp.sum(filled), knobs, scaler)
        share = jnp.where(filled[:, None], share, 0)
    (gradient,) = pull_back(share)
    return jax.tree.map(lambda g: g / scaler.scale, gradient) if scaler else gradient


def share_of_batch(slope: Array, examples: int | Array, knobs: Knobs, scaler: Scaler) -> Array:
    """The derivative of the batch's loss by each example's logits, times weight and loss scale."""
    outputs = slope.shape[-1]
    divisors = [reduction.divisor(examples, outputs) for reduction in REDUCTIONS.values()]
    divisor = jnp.asarray(divisors, slope.dtype)[knobs.reduction]
    weighted = knobs.loss_weight.astype(slope.dtype) * slope
    return (scaler.scale * weighted if scaler else weighted) / divisor


def clip_range(
    form: Form, knobs: Knobs, dtype: Any = jnp.float32, formula: str = ""
) -> tuple[Array, Array]:
    """The interval that the chosen loss clips p to in its format; [0, 1] where it does not clip.

    That of a formula is not known, and said to be [0, 1].

    A loss that is given softmax clips another p, that of the second softmax, and one that takes
    logits for probabilities clips no p at all.
    """

    def ends_of(row: Any) -> Callable[[Array], tuple[Array, Array]]:
        ends = row.clip_range or (lambda epsilon: (0.0, 1.0))
        return lambda epsilon: jax.tree.map(lambda end: jnp.asarray(end, dtype), ends(epsilon))

    if formula:
        return jnp.zeros((), dtype), jnp.ones((), dtype)
    epsilon = knobs.epsilon.astype(dtype)
    low, high = lax.switch(knobs.loss, [ends_of(LOSSES[key]) for key in losses_for(form)], epsilon)
    others = [key == "softmax" or row.instead is not None for key, row in LOSS_INPUTS.items()]
    another = jnp.array(others)[knobs.loss_input]
    return jnp.where(another, 0, low), jnp.where(another, 1, high)
