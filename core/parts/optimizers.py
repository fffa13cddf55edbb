"""OPTIMIZERS: optax transformations without their learning rate, which is traced."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import optax

from core.registry import Registry, Row

ADAM_EPSILON = 1e-8  # the default of optax, PyTorch and the paper; Keras has 1e-7


@dataclass(frozen=True, kw_only=True)
class Optimizer(Row):
    """A way to turn gradients into updates."""

    transform: Callable[[], optax.GradientTransformation]  # update = -learning_rate · transform(g)
    learning_rate: float  # the default of Keras 3.15, for orientation
    epsilon: float | None = None  # what keeps a division by a gradient's size from one by 0


def _adam_at_step_0() -> optax.GradientTransformation:
    """Adam told at every step that it is the first, so that it always corrects for a first step."""
    adam = optax.scale_by_adam(eps=ADAM_EPSILON)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        first = state._replace(count=jnp.zeros_like(state.count))
        return adam.update(gradients, first, params)

    return optax.GradientTransformation(adam.init, update)


OPTIMIZERS = Registry(
    "optimizer",
    [
        Optimizer(
            key="sgd",
            label="SGD",
            latex=r"w \leftarrow w - \eta\, g",
            summary="One step down the gradient.",
            reference="optax 0.2.8",
            transform=optax.identity,
            learning_rate=0.01,
        ),
        Optimizer(
            key="momentum",
            label="momentum 0.9",
            latex=r"m \leftarrow 0.9\,m + g,\quad w \leftarrow w - \eta\, m",
            summary="SGD along a running sum of gradients.",
            reference="optax.trace, optax 0.2.8",
            transform=lambda: optax.trace(decay=0.9),
            learning_rate=0.01,
        ),
        Optimizer(
            key="adam",
            label="Adam",
            latex=r"w \leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + 10^{-8})",
            summary="Each weight's step is scaled by the size of its recent gradients.",
            reference="optax.scale_by_adam, optax 0.2.8; Kingma and Ba, 2015",
            transform=partial(optax.scale_by_adam, eps=ADAM_EPSILON),
            learning_rate=0.001,
            epsilon=ADAM_EPSILON,
        ),
        Optimizer(
            key="adam_step_0",
            label="Adam, always at step 0",
            latex=r"w \leftarrow w - \eta\, 10\, m / (\sqrt{1000\, v} + 10^{-8})",
            summary="Adam that never counts its steps: under a steady gradient they shrink to 0.32 "
            "of Adam's.",
            reference="opt_update(0, grads, opt_state) in Getting started with JAX (a post); "
            "jax.example_libraries.optimizers.adam, JAX 0.10.2",
            transform=_adam_at_step_0,
            learning_rate=0.001,
            epsilon=ADAM_EPSILON,
        ),
    ],
)
