"""What the network hands to its loss, and what the loss takes it for.

The losses of LOSSES apply softmax (or sigmoid) to what they are given. A loss that takes its input
for probabilities does not, so it stands in for whichever loss is chosen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from core.parts.losses import Form, LossFunction
from core.parts.losses.shared import (
    clip_inclusive,
    clip_limits,
    from_sigmoid,
    log_loss,
    one_hot,
    pick,
    softmax,
)
from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class LossInput(Row):
    """What a loss is given in place of logits."""

    binary: Callable[[Array], Array]  # logits [batch] -> [batch]
    softmax: Callable[[Array], Array]  # logits [batch, classes] -> [batch, classes]
    # The loss, by form, that stands in for the chosen one; none where the chosen one is used.
    instead: Mapping[Form, LossFunction] | None = None
    integers: bool = False  # whether that takes integer labels only, with more than two classes
    each_output: bool = False  # whether that is a mean of a binary loss of each output


def _logits(z: Array) -> Array:
    return z


def _log_odds(z: Array) -> Array:
    """The logit of two classes with log-softmax: log p - log(1 - p), which is z again."""
    return jax.nn.log_sigmoid(z) - jax.nn.log_sigmoid(-z)


KERAS_EPSILON = 1e-7  # keras.config.epsilon(), Keras 3.15


def _binary_of_logits(z: Array, labels: Array, epsilon: Array) -> Array:
    """The binary cross-entropy of one logit."""
    return from_sigmoid(z, labels)


def _mean_of_outputs(z: Array, labels: Array, epsilon: Array) -> Array:
    """binary_cross_entropy_with_logits(z, one_hot(y)): the mean over the outputs."""
    return jnp.mean(from_sigmoid(z, one_hot(labels, z)), axis=-1)


def _mean_of_probabilities(z: Array, labels: Array, epsilon: Array) -> Array:
    """binary_crossentropy(one_hot(y), softmax(z)): clipped to [1e-7, 1 - 1e-7], and their mean."""
    p = jnp.clip(softmax(z), *clip_limits(jnp.float32(KERAS_EPSILON), z))
    return jnp.mean(log_loss(p, one_hot(labels, z)), axis=-1)


def _binary_of_probabilities(z: Array, labels: Array, epsilon: Array) -> Array:
    """binary_crossentropy(y, z): z is clipped to [1e-7, 1 - 1e-7] as if it were p."""
    return log_loss(jnp.clip(z, *clip_limits(jnp.float32(KERAS_EPSILON), z)), labels)


def _of_probabilities(z: Array, labels: Array, epsilon: Array) -> Array:
    """sparse_categorical_crossentropy(y, z) on JAX or PyTorch: -log of the clipped z_y / sum z."""
    shares = z / jnp.sum(z, axis=-1, keepdims=True)
    return -jnp.log(pick(jnp.clip(shares, *clip_limits(jnp.float32(KERAS_EPSILON), z)), labels))


def _of_probabilities_tf(z: Array, labels: Array, epsilon: Array) -> Array:
    """sparse_categorical_crossentropy(y, z) on TensorFlow: z is clipped, its log is a logit."""
    clipped = clip_inclusive(z, *clip_limits(jnp.float32(KERAS_EPSILON), z))
    return -pick(jax.nn.log_softmax(jnp.log(clipped)), labels)


LOSS_INPUTS = Registry(
    "loss input",
    [
        LossInput(
            key="logits",
            label="logits",
            summary="The loss is given logits, and applies softmax (or sigmoid) itself.",
            reference="from_logits=True in Keras; what PyTorch's CrossEntropyLoss expects",
            binary=_logits,
            softmax=_logits,
        ),
        LossInput(
            key="softmax",
            label="softmax twice",
            latex=r"L(\mathrm{softmax}(z))",
            summary="The network ends in softmax (or sigmoid), and the loss applies it again. With "
            "ten classes the usual cross-entropy then stays above 1.46, and gradients are small.",
            reference="a softmax layer before PyTorch's CrossEntropyLoss, or with "
            "from_logits=True in Keras on JAX or PyTorch, which do not warn",
            binary=jax.nn.sigmoid,
            softmax=jax.nn.softmax,
        ),
        LossInput(
            key="log_softmax",
            label="log-softmax",
            latex=r"L(\log\mathrm{softmax}(z))",
            summary="The network ends in log-softmax, and the loss applies softmax. It is "
            "harmless: the softmax of log-softmax is the softmax of the logits.",
            reference="nn.LogSoftmax before PyTorch's CrossEntropyLoss",
            binary=_log_odds,
            softmax=jax.nn.log_softmax,
        ),
        LossInput(
            key="as_probabilities",
            label="logits, taken for probabilities",
            latex=r"-\log\mathrm{clip}(z_y / \textstyle\sum_j z_j)",
            summary="The loss is given logits and applies no softmax: it clips them to "
            "[1e-7, 1 - 1e-7] as if they were probabilities. Whichever loss is chosen, this one "
            "is used.",
            reference="Keras 3.15 on JAX or PyTorch with from_logits=False, its default",
            binary=_logits,
            softmax=_logits,
            instead={"binary": _binary_of_probabilities, "softmax": _of_probabilities},
        ),
        LossInput(
            key="as_probabilities_tf",
            label="logits, taken for probabilities, TensorFlow",
            latex=r"L(\log\mathrm{clip}(z))",
            summary="The same on Keras's TensorFlow backend, with integer labels: logits are "
            "clipped to [1e-7, 1 - 1e-7], and the softmax of their logs is taken.",
            reference="sparse_categorical_crossentropy of Keras 3.15 on TensorFlow with "
            "from_logits=False, its default",
            binary=_logits,
            softmax=_logits,
            instead={"binary": _binary_of_probabilities, "softmax": _of_probabilities_tf},
            integers=True,
        ),
        LossInput(
            key="each_output",
            label="logits, a binary loss of each",
            latex=r"\frac{1}{K} \sum_j L_2(z_j, [\,j = y\,])",
            summary="Each of the ten outputs is asked by itself whether the image is its digit: "
            "the mean of ten binary losses, whose gradient is a tenth of their sum's. With two "
            "classes it is the usual loss. Whichever loss is chosen, this one is used.",
            reference="torch.nn.BCEWithLogitsLoss with one-hot labels, PyTorch 2.13",
            binary=_logits,
            softmax=_logits,
            instead={"binary": _binary_of_logits, "softmax": _mean_of_outputs},
            each_output=True,
        ),
        LossInput(
            key="each_probability",
            label="softmax, a binary loss of each",
            latex=r"\frac{1}{K} \sum_j L_2(p_j, [\,j = y\,]),\quad p = \mathrm{softmax}(z)",
            summary="The same of the ten probabilities after softmax. Its accuracy is often the "
            "wrong one, too: each output rounded by itself.",
            reference='loss="binary_crossentropy" after a softmax layer, with one-hot labels, '
            "Keras 3.15 on JAX",
            binary=_logits,
            softmax=_logits,
            instead={"binary": _binary_of_logits, "softmax": _mean_of_probabilities},
            each_output=True,
        ),
    ],
)
