"""Which values a loss compares, and what a reused key does to a GRU, before and after training."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from core.config import RunConfig
from core.parts.gru import Gate, Weights
from core.parts.losses import LOSSES
from core.parts.models import layers
from core.presets import PRESETS
from core.run import train
from core.study.states import compiled_for

POST = PRESETS["gru"].config
ALIGNED = replace(POST, loss="mse_aligned")
KEYS = {"one key": "gru_reused", "split keys": "gru"}  # rows of MODELS

Array = Any  # a numpy array


def compared(loss: str, predictions: Array, targets: Array) -> Array:
    """The squared differences that a loss averages, for one series: float [time, time].

    Row t and column s compare prediction t with target s; NaN if the loss does not. It does if its
    derivative by the prediction changes with the target.

    Args:
      loss: a row of LOSSES that has a form for regressions.
      predictions, targets: float [time].
    """
    function = LOSSES[loss].regression
    assert function is not None
    slope = jax.grad(lambda p, y: function(p, y, jnp.float32(0)))
    meets = jax.jacobian(slope, argnums=1)(jnp.asarray(predictions), jnp.asarray(targets))
    squares = (np.asarray(predictions)[:, None] - np.asarray(targets)[None, :]) ** 2
    return np.where(np.asarray(meets) != 0, squares, np.nan)


def gates(config: RunConfig) -> dict[str, Gate]:
    """Each gate's weights before the first step of a run, by the gate's name."""
    params = _init(train.shape(config))(train.knobs(config)).params
    unit = next(layer for layer in layers(params) if isinstance(layer, Weights))
    weights = {name: getattr(unit, name) for name in ("update", "reset", "candidate")}
    return {name: jax.tree.map(np.asarray, gate) for name, gate in weights.items()}


@lru_cache(maxsize=8)
def _init(shape: train.Shape) -> Any:
    return compiled_for(shape, train.Step(shape).init, train.ONCE)


class End(NamedTuple):
    """The errors at the end of a run."""

    keys: str  # a key of KEYS
    seed: int
    error: float  # on held-out series
    copied: float


def ends(config: RunConfig, data: train.DeviceData, seeds: Sequence[int]) -> Iterator[End | None]:
    """Train a run with one key and with split keys, for each seed; yield an End after each.

    Yields None between pieces of work, so that the caller can stop.
    """
    for keys, model in KEYS.items():
        for seed in seeds:
            each = replace(config, model=model, seed=seed)
            program = train.program(train.shape(each))
            for look in train.ticks(each, program, data, next_look=_first_and_last(each)):
                if look is not None and look.fit is not None and look.step == each.steps:
                    yield End(keys, seed, look.fit.error, look.fit.copied)
                else:
                    yield None


def _first_and_last(config: RunConfig) -> train.NextLook:
    return lambda step: config.steps
