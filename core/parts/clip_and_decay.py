"""CLIP_FORMS and DECAY_FORMS: what is done to gradients and weights around an optimizer's rule."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class ClipForm(Row):
    """A way to shorten gradients that are longer than a norm, before all else."""

    norm: Literal["none", "all", "each"]  # of what a norm is taken: of all together, or of each
    more: float = 0.0  # is added to the norm

    def clip(self, gradients: Any, most: Array) -> Any:
        """The gradients, with norms of at most `most`; what is short enough stays as it is."""
        if self.norm == "none":
            return gradients
        if self.norm == "each":
            return jax.tree.map(partial(self._shortened, most=most), gradients)
        return self._shortened(gradients, most)

    def _shortened(self, gradients: Any, most: Array) -> Any:
        """Scale all by most over the norm of all together."""
        norm = jnp.sqrt(sum(map(_square, jax.tree.leaves(gradients))))
        factor = most / jnp.maximum(norm + self.more, most)
        return jax.tree.map(lambda g: g * factor.astype(g.dtype), gradients)


def _square(g: Array) -> Array:
    """The sum of squares, in no fewer than 32 bits."""
    return jnp.sum(jnp.square(g.astype(jnp.promote_types(g.dtype, jnp.float32))))


CLIP_FORMS = Registry(
    "clip_form",
    [
        ClipForm(key="off", label="off", summary="Gradients are as they are.", norm="none"),
        ClipForm(
            key="global_norm",
            label="all together",
            latex=r"g \leftarrow g\, c / \max(\lVert g \rVert, c)",
            summary="All gradients are scaled by one factor, if their common norm is above c.",
            reference="optax.clip_by_global_norm, optax 0.2.8; global_clipnorm, Keras 3.15",
            norm="all",
        ),
        ClipForm(
            key="global_norm_torch",
            label="all together, PyTorch",
            latex=r"g \leftarrow g\, c / \max(\lVert g \rVert + 10^{-6}, c)",
            summary="The same, with one millionth added to the norm.",
            reference="torch.nn.utils.clip_grad_norm_, PyTorch 2.13",
            norm="all",
            more=1e-6,
        ),
        ClipForm(
            key="each_norm",
            label="each variable",
            latex=r"g_i \leftarrow g_i\, c / \max(\lVert g_i \rVert, c)",
            summary="The weights and the biases of each layer have a norm and a factor of their "
            "own.",
            reference="clipnorm, Keras 3.15",
            norm="each",
        ),
    ],
)


def is_kernel(path: tuple[Any, ...], w: Array) -> bool:
    """Whether weights at this place are multiplied by a layer's inputs, or by a GRU's states.

    Axes do not tell: a convolution's biases are [1, 1, 1, filters].
    """
    place = path[-1]
    if hasattr(place, "name"):
        return place.name in ("inputs", "states")
    return place.idx == 0 and w.ndim > 1  # BatchNorm's beta and gamma have one axis


@dataclass(frozen=True, kw_only=True)
class DecayForm(Row):
    """A way to make weights decay, and biases too unless it is a `penalty`."""

    in_gradient: bool = False  # whether the decay is added to the gradient
    in_step: bool = False  # whether it is added to the step, times the learning rate
    penalty: bool = False  # whether it is the slope of decay · sum w², of kernels only

    def gradient(self, gradients: Any, params: Any, decay: Array) -> Any:
        """The gradients that the optimizer is given."""
        if not self.in_gradient:
            return gradients

        def decayed(path: tuple[Any, ...], g: Array, w: Array) -> Array:
            if not self.penalty:
                return g + decay.astype(w.dtype) * w
            return g + 2 * decay.astype(w.dtype) * w if is_kernel(path, w) else g

        return jax.tree.map_with_path(decayed, gradients, params)

    def step(self, steps: Any, params: Any, decay: Array, rate: Array) -> Any:
        """What is subtracted from the weights."""
        if not self.in_step:
            return steps
        return jax.tree.map(lambda u, w: u + (rate * decay).astype(w.dtype) * w, steps, params)


DECAY_FORMS = Registry(
    "decay_form",
    [
        DecayForm(key="off", label="off", summary="Nothing but the gradient moves the weights."),
        DecayForm(
            key="l2",
            label="L2, in the gradient",
            latex=r"g \leftarrow g + \lambda w",
            summary="The optimizer scales the decay as it scales the gradient. A penalty of c "
            "times the squared weights, as in keras.regularizers.L2(c), is a decay of 2c.",
            reference="weight_decay of SGD, Adam and RMSprop, PyTorch 2.13",
            in_gradient=True,
        ),
        DecayForm(
            key="l2_kernels",
            label="L2 penalty of kernels",
            latex=r"L \leftarrow L + \lambda \sum w^2",
            summary="The penalty of Keras's regularizer: its gradient is 2λw, twice that of the "
            "same number in PyTorch. Biases have none.",
            reference="kernel_regularizer=keras.regularizers.L2(c), Keras 3.15",
            in_gradient=True,
            penalty=True,
        ),
        DecayForm(
            key="decoupled",
            label="decoupled, as in AdamW",
            latex=r"w \leftarrow w - \eta \lambda w",
            summary="Each step takes the same share of each weight, whatever its gradient. By "
            "default, AdamW has 0.01 in PyTorch, 0.004 in Keras and 0.0001 in optax.",
            reference="torch.optim.AdamW, PyTorch 2.13; weight_decay of all optimizers, Keras "
            "3.15; optax.adamw, optax 0.2.8",
            in_step=True,
        ),
    ],
)
