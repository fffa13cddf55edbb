"""The loss scale of mixed float16: dynamic, as is the default of torch.amp and Keras.

The loss is multiplied by a scale before the backward pass and the gradients divided by it after,
so that small ones do not vanish in between. A step whose gradient is NaN or inf is skipped and the
scale is halved; after GROWTH_INTERVAL steps without such a gradient it is doubled.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

# torch.amp.GradScaler, PyTorch 2.13. Keras 3.15's LossScaleOptimizer does the same from 2^15.
INITIAL = 2.0**16
GROWTH_INTERVAL = 2000  # steps


class LossScale(NamedTuple):
    """The scale of a run, and for how long it has been steady."""

    scale: Array  # float32
    steady: Array  # int32, steps since it last changed


def initial() -> LossScale:
    """The loss scale at the start of a run."""
    return LossScale(jnp.float32(INITIAL), jnp.int32(0))


def adjusted(now: LossScale, finite: Array) -> LossScale:
    """The loss scale after a step; `finite` says whether the step's gradient was.

    As in PyTorch, the scale never grows to inf, but nothing keeps it from falling to 0.
    """
    steady = jnp.where(finite, now.steady + 1, 0)
    grows = steady == GROWTH_INTERVAL
    larger = jnp.where(jnp.isfinite(2 * now.scale), 2 * now.scale, now.scale)
    scale = jnp.where(finite, jnp.where(grows, larger, now.scale), now.scale / 2)
    return LossScale(scale, jnp.where(grows, 0, steady))
