"""What a network's outputs and gradients say: saturation, census, gradient norms.

Pure array functions that run inside the compiled program; `p` is the probability that
the network gives: of label 1 (binary), of the true class (softmax).
"""

import jax
import jax.numpy as jnp
from jax import Array

from core.parts.models import Params, layers
from core.run.snapshot import BINS, Census, Gradient, Saturation


def probability(logits: Array, labels: Array) -> Array:
    """p per example: sigmoid(z) for logits [batch, 1], else softmax(z)[label]."""
    if logits.shape[-1] == 1:
        return jax.nn.sigmoid(logits[:, 0])
    return jnp.take_along_axis(jax.nn.softmax(logits), labels[:, None], axis=-1)[:, 0]


def correct(logits: Array, labels: Array) -> Array:
    """Whether the predicted class is the label; [batch, 1]: p >= 1/2, so NaN predicts 0."""
    if logits.shape[-1] == 1:
        return (jax.nn.sigmoid(logits[:, 0]) >= 0.5) == (labels == 1)
    return jnp.argmax(logits, axis=-1) == labels


def margin(logits: Array, labels: Array) -> Array:
    """The logit of p: z for logits [batch, 1], else z_label - log(sum of the others' e^z)."""
    if logits.shape[-1] == 1:
        return logits[:, 0]
    own = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(own, -jnp.inf, logits), axis=-1)
    return jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0] - others


def saturation(p: Array, low: Array, high: Array) -> Saturation:
    """Histogram of p [batch] and the shares at its ends; the loss clips p to [low, high]."""
    place = 2 + jnp.clip((p * BINS).astype(int), 0, BINS - 1)
    place = jnp.where(p < low, 1, jnp.where(p > high, BINS + 2, place))
    place = jnp.where(p == 0, 0, jnp.where(p == 1, BINS + 3, place))
    place = jnp.where(jnp.isnan(p), BINS + 4, place)
    return Saturation(
        histogram=jnp.bincount(place, length=BINS + 5).astype(jnp.int32),
        zero=jnp.mean(p == 0),
        one=jnp.mean(p == 1),
        clipped=jnp.mean((p < low) | (p > high)),
        nonfinite=jnp.mean(jnp.isnan(p)),
    )


def gradient_kinds(dloss_dlogits: Array) -> Array:
    """The Gradient of each example, uint8 [batch], from its slopes [batch, outputs]."""
    broken = jnp.any(~jnp.isfinite(dloss_dlogits), axis=-1)
    zero = jnp.all(dloss_dlogits == 0, axis=-1)
    kinds = jnp.where(zero, Gradient.ZERO, Gradient.SOME)
    return jnp.where(broken, Gradient.NONFINITE, kinds).astype(jnp.uint8)


def census(is_correct: Array, gradients: Array) -> Census:
    """Count the wrong, the ones without gradient, and the ones that are both."""
    dead = gradients == Gradient.ZERO
    return Census(
        wrong=jnp.mean(~is_correct),
        zero_gradient=jnp.mean(dead),
        stuck=jnp.mean(dead & ~is_correct),
    )


def gradient_norms(gradients: Params) -> Array:
    """Euclidean norm of each layer's gradient, weights and biases together: [layers]."""
    return jnp.stack([_norm(jax.tree.leaves(layer)) for layer in layers(gradients)])


def _norm(leaves: list[Array]) -> Array:
    """|g| = s sqrt(sum (g/s)^2) with s = max |g|: squares neither overflow nor vanish."""
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(sum(jnp.sum(jnp.square(leaf / scale)) for leaf in leaves))
