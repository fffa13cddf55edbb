"""The loss of a chosen row and its derivative, per example; the choice may be traced."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from core.parts.losses.row import Form, LossFunction
from core.parts.losses.table import LOSSES, losses_for


def with_grad(
    function: LossFunction,
) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Turn a row's function into one that returns loss_i and d loss_i / d logits_i, per example."""

    def run(logits: Array, labels: Array, epsilon: Array) -> tuple[Array, Array]:
        loss, pull_back = jax.vjp(lambda z: function(z, labels, epsilon), logits)
        # An example's loss depends on its own logits only, so a cotangent of ones gives every
        # example's gradient at once.
        (gradient,) = pull_back(jnp.ones_like(loss))
        return loss, gradient

    return run


def loss_and_grad(
    form: Form, index: Array | int, logits: Array, labels: Array, epsilon: Array | float
) -> tuple[Array, Array]:
    """Return each example's loss and its derivative by that example's logits, for the chosen row.

    Args:
      form: "binary" (logits [...], labels 0/1 [...]) or "softmax" (logits [..., classes],
        integer labels [...]).
      index: position in `losses_for(form)`, which may be traced. Each branch takes its own
        gradient, so that mapping over `index` selects among results: differentiating a mapped
        switch would multiply the NaN of a row that was not chosen by 0, which is NaN.
      epsilon: scalar, ignored by the rows whose `epsilon` is None.

    Returns:
      loss [...] in nats, gradient [like logits] in nats per logit.
    """
    branches = [with_grad(getattr(LOSSES[key], form)) for key in losses_for(form)]
    return jax.lax.switch(index, branches, logits, labels, jnp.asarray(epsilon))
