"""What the network hands to its loss: its logits, as it should, or what they were turned into.

Every loss here applies softmax (or sigmoid) to what it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import Array

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class LossInput(Row):
    """What a loss is given in place of logits."""

    binary: Callable[[Array], Array]  # logits [batch] -> [batch]
    softmax: Callable[[Array], Array]  # logits [batch, classes] -> [batch, classes]


def _logits(z: Array) -> Array:
    return z


def _log_odds(z: Array) -> Array:
    """The logit of two classes with log-softmax: log p - log(1 - p), which is z again."""
    return jax.nn.log_sigmoid(z) - jax.nn.log_sigmoid(-z)


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
    ],
)
