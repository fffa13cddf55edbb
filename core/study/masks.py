"""Which units a training step drops, and what it multiplies the others by.

The masks are those of training itself: they come from the program's own functions, with the same
key, step and shapes.
"""

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from core.config import RunConfig
from core.parts.dropout import DROPOUTS, dropout
from core.parts.models import Hidden
from core.run import train
from core.study.states import At, compiled_for, states

Array = Any  # a numpy array outside, a jax Array inside the program


class ForwardPass(NamedTuple):
    """The forward pass of one training step over its batch; row i is the same image everywhere."""

    step: int  # updates done before it
    places: Array  # int32 [batch], positions of the batch's images in the training images
    layers: list[Hidden]  # one for each hidden layer, [batch, width]
    logits: Array  # float32 [batch, outputs], from which the step's loss is computed


def passes(
    config: RunConfig, data: train.DeviceData, steps: Collection[int]
) -> Iterator[ForwardPass | None]:
    """Yield a run's forward pass at each of these steps, the first being 0, and None at others."""
    last = max(steps)
    if not 0 <= min(steps) <= last < config.steps:
        raise ValueError(f"steps are {sorted(steps)}; allowed are 0 to {config.steps - 1}")
    for step, at in enumerate(states(config, data)):
        yield forward_pass(config, data, at) if step in steps else None
        if step == last:
            return


def forward_pass(config: RunConfig, data: train.DeviceData, at: At) -> ForwardPass:
    """The forward pass of a run's next step."""
    computed = _forward(train.shape(config))(
        at.state, data.train_images, at.order, train.knobs(config)
    )
    return ForwardPass(int(at.state.step), *jax.device_get(computed))


def multipliers(config: RunConfig, data: train.DeviceData, step: int) -> list[Any]:
    """What dropout multiplies each hidden layer's units by at a step: float32 [batch, width].

    0 if the unit is dropped. Masks do not depend on the weights, so nothing is trained.
    """
    program, knobs = train.program(train.shape(config)), train.knobs(config)
    state = program.init(knobs)._replace(step=jnp.int32(step))
    order = program.order(data.arranged, knobs, np.int32(step // config.steps_per_epoch))
    return [layer.multipliers for layer in forward_pass(config, data, At(state, order)).layers]


@lru_cache(maxsize=8)
def _forward(shape: train.Shape) -> Callable[..., Any]:
    step = train.Step(shape)

    def layers_and_logits(
        state: train.State, images: Array, order: Array, knobs: train.Knobs
    ) -> tuple[Array, list[Hidden], Array]:
        # Instead of its label, each image carries its position.
        places = jnp.arange(shape.train_size)
        x, places, key = step.batch(state, images, places, order, knobs)
        drop, norm = train.dropping(knobs), train.norming(knobs)
        layers = step.hidden(state.params, x, rng=key, drop=drop, norm=norm)
        logits = step.apply(state.params, x, rng=key, drop=drop, norm=norm)
        return places, layers, logits

    return compiled_for(shape, layers_and_logits)


def dropped_pixels(
    image: np.ndarray, form: str, dropout_value: float, seed: int = 0, training: bool = True
) -> np.ndarray:
    """Drop pixels of a digit as a row of DROPOUTS drops units: float32, the image's shape.

    This is an illustration: the network drops hidden units, not pixels. With the same seed, a
    smaller keep_prob keeps a subset of the same pixels. Values are the image's, divided or
    multiplied, and may be above 255.
    """
    return np.asarray(_dropped(np.float32(image), form, np.float32(dropout_value), seed, training))


# Compiled once for each form, because a page draws its digits again in every rerun.
@partial(jax.jit, static_argnames=("form", "training"))
def _dropped(image: Array, form: str, dropout_value: Array, seed: Array, training: bool) -> Array:
    key = jax.random.key(seed) if training else None
    return dropout(image, DROPOUTS[form].means(dropout_value), key)
