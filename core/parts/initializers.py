"""INITIALIZERS: how weights and biases are drawn."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jax.nn import initializers

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Initializer(Row):
    """How weights and biases are drawn."""

    weights: initializers.Initializer
    biases: Callable[[int], initializers.Initializer]  # the layer's inputs -> how they are drawn


def _uniform(bound: float) -> initializers.Initializer:
    """Uniform between -bound and bound, which JAX has for weights only."""

    def draw(key: Array, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound, out_sharding=out_sharding)

    return draw


INITIALIZERS = Registry(
    "initializer",
    [
        Initializer(
            key="glorot_normal",
            label="Glorot normal",
            latex=r"W \sim N(0, 2/(n_{in} + n_{out})),\quad b \sim N(0, 10^{-4})",
            summary="The spread shrinks as layers widen; stax's default.",
            reference="jax.example_libraries.stax, JAX 0.10.2; Glorot and Bengio, 2010",
            weights=initializers.glorot_normal(),
            biases=lambda inputs: initializers.normal(1e-2),
        ),
        Initializer(
            key="normal_0.01",
            label="normal, 0.01",
            latex=r"W, b \sim N(0, 10^{-4})",
            summary="A hundredth of a standard normal, whatever the width.",
            reference="Getting started with JAX (a post)",
            weights=initializers.normal(1e-2),
            biases=lambda inputs: initializers.normal(1e-2),
        ),
        Initializer(
            key="keras",
            label="Glorot uniform, biases 0",
            latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b = 0",
            summary="What a Dense layer of Keras starts with.",
            reference="keras.layers.Dense, Keras 3.15; the same in Keras 2 and in "
            "tf.layers.dense, TensorFlow 1",
            weights=initializers.glorot_uniform(),
            biases=lambda inputs: initializers.zeros,
        ),
        Initializer(
            key="glorot_uniform",
            label="Glorot uniform, biases N(0, 1)",
            latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b \sim N(0, 1)",
            summary="Keras's weights with standard normal biases.",
            reference="the keep_prob question (TensorFlow 1)",
            weights=initializers.glorot_uniform(),
            biases=lambda inputs: initializers.normal(1.0),
        ),
        Initializer(
            key="pytorch",
            label="uniform 1/√inputs, biases too",
            latex=r"W, b \sim U(\pm 1/\sqrt{n_{in}})",
            summary="What a Linear layer of PyTorch or Equinox starts with: the more inputs, the "
            "smaller.",
            reference="torch.nn.Linear, PyTorch 2.13; equinox.nn.Linear, Equinox 0.13",
            weights=initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            biases=lambda inputs: _uniform(1 / math.sqrt(inputs)),
        ),
        Initializer(
            key="pytorch_weights",
            label="uniform 1/√inputs, biases 0",
            latex=r"W \sim U(\pm 1/\sqrt{n_{in}}),\quad b = 0",
            summary="PyTorch's weights without its biases.",
            reference="torch.nn.Linear after torch.nn.init.zeros_(bias), PyTorch 2.13",
            weights=initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            biases=lambda inputs: initializers.zeros,
        ),
        Initializer(
            key="flax",
            label="LeCun normal, biases 0",
            latex=r"W \sim N(0, 1/n_{in}),\quad b = 0",
            summary="What a Dense layer of Flax starts with; no weight is further from 0 than 2.3 "
            "times their spread.",
            reference="flax.linen.Dense, Flax 0.12",
            weights=initializers.lecun_normal(),
            biases=lambda inputs: initializers.zeros,
        ),
        Initializer(
            key="normal_1",
            label="standard normal",
            latex=r"W, b \sim N(0, 1)",
            summary="Drawn by hand with a generator's own defaults, whatever the width.",
            reference="tf.random_normal in the multilayer perceptron of TensorFlow-Examples "
            "(TensorFlow 1)",
            weights=initializers.normal(1.0),
            biases=lambda inputs: initializers.normal(1.0),
        ),
    ],
)
