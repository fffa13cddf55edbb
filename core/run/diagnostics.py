"""Measurements of a network's outputs and gradients: saturation, census, gradient norms.

Pure array functions that run inside the compiled program; `p` is the network's probability of
label 1 (binary) or of the true class (softmax).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from core.parts.models import Params, layers
from core.parts.reports import answers
from core.run.snapshot import BINS, Census, Gradient, Saturation


def wide(x: Array) -> Array:
    """Convert to at least float32, in which no sum of 16-bit numbers overflows or stops growing."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def probability(logits: Array, labels: Array) -> Array:
    """p per example: sigmoid(z) for logits [batch, 1], else softmax(z)[label]."""
    if logits.shape[-1] == 1:
        return jax.nn.sigmoid(logits[:, 0])
    return jnp.take_along_axis(jax.nn.softmax(logits), labels[:, None], axis=-1)[:, 0]


def correct(logits: Array, labels: Array) -> Array:
    """Whether the predicted class is the label."""
    return answers(logits) == labels


def margin(logits: Array, labels: Array) -> Array:
    """The logit of p: z for logits [batch, 1], else z_label - log(sum of the others' e^z)."""
    if logits.shape[-1] == 1:
        return logits[:, 0]
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(own, -jnp.inf, logits), axis=-1)
    return jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0] - others


def saturation(p: Array, kinds: Array, low: Array, high: Array) -> Saturation:
    """Histogram of p [batch] by each example's Gradient, and the shares at both ends.

    The loss clips p to [low, high].
    """
    place = 2 + jnp.clip((p * BINS).astype(int), 0, BINS - 1)
    place = jnp.where(p < low, 1, jnp.where(p > high, BINS + 2, place))
    place = jnp.where(p == 0, 0, jnp.where(p == 1, BINS + 3, place))
    place = jnp.where(jnp.isnan(p), BINS + 4, place)
    zero, one, clipped, nonfinite = _shares(p == 0, p == 1, (p < low) | (p > high), jnp.isnan(p))
    return Saturation(_counts(place, kinds), zero, one, clipped, nonfinite)


def unanswered(predictions: Array, kinds: Array) -> dict[str, Any]:
    """The measurements of answers for a regression: only the shares of zero gradients and of NaN.

    Other shares are NaN, and arrays with a number for each image are empty.
    """
    nan, none = jnp.float32(jnp.nan), jnp.zeros(0)
    nowhere = jnp.zeros((len(Gradient), BINS + 5), jnp.int32)
    broken = jnp.any(jnp.isnan(predictions), axis=-1)
    shares = ("train_accuracy", "next_label", "one_answer", "dropped_accuracy", "flipped")
    return {
        **dict.fromkeys(shares, nan),
        "saturation": Saturation(nowhere, nan, nan, nan, jnp.mean(broken)),
        "census": Census(nan, jnp.mean(kinds == Gradient.ZERO), nan),
        "margins": none.astype(jnp.float32),
        "labels": none.astype(jnp.uint8),
        "correct": none.astype(bool),
    }


def squared_error(predictions: Array, targets: Array) -> Array:
    """The mean of (prediction - target)² over all, each prediction against its own target."""
    return jnp.mean((wide(predictions) - targets) ** 2)


def _counts(place: Array, kinds: Array) -> Array:
    """How many examples of each Gradient are in each place: int32 [len(Gradient), BINS + 5]."""
    size = (len(Gradient), BINS + 5)
    cell = kinds.astype(int) * size[1] + place
    return jnp.bincount(cell, length=size[0] * size[1]).reshape(size).astype(jnp.int32)


def one_answer(logits: Array) -> Array:
    """The share of the examples that get the most frequent answer."""
    classes = max(2, logits.shape[-1])
    return jnp.max(jnp.bincount(answers(logits), length=classes)) / len(logits)


def next_label(logits: Array, labels: Array) -> Array:
    """The share of the examples whose answer is the label after theirs; the first follows the last.

    Of two labels it is the other one.
    """
    following = (labels.astype(jnp.int32) + 1) % max(2, logits.shape[-1])
    return jnp.mean(answers(logits) == following)


def dead_units(hidden: list[Array]) -> Array:
    """The share of each hidden layer's units [batch, ..., width] that are 0 for all: [layers].

    A filter of a convolution (the last axis) is one unit, which must be 0 everywhere in a picture.
    """
    return jnp.stack(
        [jnp.mean(jnp.all(units == 0, axis=tuple(range(units.ndim - 1)))) for units in hidden]
    )


def all_finite(tree: Any) -> Array:
    """Whether no number in a pytree is NaN or inf."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def same(before: Any, after: Any) -> Array:
    """Whether two pytrees hold equal numbers; NaN is equal to nothing."""
    equal = jax.tree.map(lambda a, b: jnp.all(a == b), before, after)
    return jnp.all(jnp.stack(jax.tree.leaves(equal)))


class Moved(NamedTuple):
    """What a step makes of the weights."""

    finite: Array  # whether all are finite after it
    unmoved: Array  # whether it changes none of them
    # Of the weights of each layer that have a gradient, neither 0 nor NaN nor inf, the share that
    # it leaves exactly where they are: float32 [layers], NaN where none has one.
    rounded_away: Array


def moved(gradients: Params, before: Params, after: Params) -> Moved:
    """Compare the weights before and after a step, in one pass over each array."""

    def counted(gradient: Array, old: Array, new: Array) -> Sequence[Array]:
        led = jnp.isfinite(gradient) & (gradient != 0)
        return _counted(~jnp.isfinite(new), new != old, led, led & (new == old))

    by_layer = []
    for layer in zip(*map(layers, (gradients, before, after)), strict=True):
        arrays = zip(*map(jax.tree.leaves, layer), strict=True)
        counts = zip(*(counted(*each) for each in arrays), strict=True)
        by_layer.append([sum(each, jnp.int32(0)) for each in counts])
    broken, changed, led, stayed = map(jnp.stack, zip(*by_layer, strict=True))
    return Moved(jnp.all(broken == 0), jnp.all(changed == 0), stayed.astype(jnp.float32) / led)


def gradient_kinds(dloss_dlogits: Array) -> Array:
    """The Gradient of each example: dloss/dlogits [batch, outputs] -> uint8 [batch]."""
    broken = jnp.any(~jnp.isfinite(dloss_dlogits), axis=-1)
    zero = jnp.all(dloss_dlogits == 0, axis=-1)
    kinds = jnp.where(zero, Gradient.ZERO, Gradient.SOME)
    return jnp.where(broken, Gradient.NONFINITE, kinds).astype(jnp.uint8)


def census(is_correct: Array, gradients: Array) -> Census:
    """The shares of examples that are wrong, that are silent (gradient exactly 0), and both."""
    dead = gradients == Gradient.ZERO
    return Census(*_shares(~is_correct, dead, dead & ~is_correct))


class Measured(NamedTuple):
    """What is measured of the weights, of their gradient or of their update."""

    norms: Array  # Euclidean, of each layer, weights and biases together: [layers]
    largest: Array  # magnitude; NaN if any number is NaN
    # The shares of each leaf that are NaN, inf, exactly 0 and fine, in the order of
    # core.run.snapshot.Health: float32 [leaves, len(Health)].
    health: Array


def measured(params: Params) -> Measured:
    """Measure norms, the largest magnitude and health in one pass over each array.

    Separate passes took three times as long to compile. Squares are summed in float64, in which
    those of narrower formats neither overflow nor vanish.
    """
    passes = [[_totals(leaf) for leaf in jax.tree.leaves(layer)] for layer in layers(params)]
    flat = [each for layer in passes for each in layer]
    dtype = jnp.result_type(jnp.float32, *jax.tree.leaves(params))
    with jax.enable_x64(True):
        norms = jnp.stack([jnp.sqrt(sum(each.squares for each in layer)) for layer in passes])
        largest = jnp.max(jnp.stack([each.largest for each in flat]))
        norms, largest = norms.astype(dtype), largest.astype(dtype)
    return Measured(norms, largest, jnp.stack([each.health for each in flat]))


class _Totals(NamedTuple):
    squares: Array  # their sum, float64
    largest: Array  # float64
    health: Array


def _totals(leaf: Array) -> _Totals:
    counted = [kind.astype(jnp.int32) for kind in (jnp.isnan(leaf), jnp.isinf(leaf), leaf == 0)]
    with jax.enable_x64(True):
        magnitude = jnp.abs(leaf).astype(jnp.float64)
        totals = [magnitude * magnitude, magnitude, *counted]
        # Reducing the last axis first halves the running time.
        for axes in ((leaf.ndim - 1,), tuple(range(leaf.ndim - 1))):
            totals = lax.reduce(totals, [np.float64(0)] * 2 + [np.int32(0)] * 3, _joined, axes)
    squares, largest, *counts = totals
    return _Totals(squares, largest, _shares_of_kinds(counts, leaf.size))


def _joined(a: Sequence[Array], b: Sequence[Array]) -> list[Array]:
    return [a[0] + b[0], jnp.maximum(a[1], b[1]), *map(jnp.add, a[2:], b[2:])]


def largest(tree: Any) -> Array:
    """The largest magnitude in a pytree; NaN if it holds a NaN."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(wide(leaf))) for leaf in jax.tree.leaves(tree)]))


def sample_health(dloss_dlogits: Array) -> Array:
    """The share of examples in each Health: dloss/dlogits [batch, outputs] -> [len(Health)].

    An example is NaN or inf if any logit's is, and zero if every logit's is exactly 0.
    """
    nan = jnp.any(jnp.isnan(dloss_dlogits), axis=-1)
    inf = jnp.any(jnp.isinf(dloss_dlogits), axis=-1) & ~nan
    zero = jnp.all(dloss_dlogits == 0, axis=-1)
    return _shares_of_kinds(_counted(nan, inf, zero), len(zero))


def _shares_of_kinds(counts: Sequence[Array], size: int) -> Array:
    """The share of each kind (no two may overlap), and of the rest: float32."""
    return (jnp.stack([*counts, size - sum(counts)]) / size).astype(jnp.float32)


def _shares(*masks: Array) -> list[Array]:
    """The share of entries that are true in each mask; all have one shape."""
    return [count / masks[0].size for count in _counted(*masks)]


def _counted(*masks: Array) -> Sequence[Array]:
    """How many entries are true in each mask; all have one shape.

    Counted in one pass, because separate ones took four times as long to compile, and also to run
    if the masks are large.
    """
    numbers = [mask.astype(jnp.int32) for mask in masks]
    zeros = [jnp.int32(0)] * len(masks)
    axes = tuple(range(masks[0].ndim))
    return lax.reduce(numbers, zeros, lambda a, b: [x + y for x, y in zip(a, b, strict=True)], axes)


def vanished(narrow: Any, exact: Any) -> Array:
    """The share of a gradient's entries that are 0, but would not be in float32."""
    pairs = list(zip(jax.tree.leaves(narrow), jax.tree.leaves(exact), strict=True))
    gone = sum(jnp.count_nonzero((a == 0) & (b != 0)) for a, b in pairs)
    return gone / sum(a.size for a, _ in pairs)
