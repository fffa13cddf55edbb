"""INITIALIZERS and BIASES: what a network's weights and biases are drawn from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.nn import initializers

from core.registry import Registry, Row

SPREAD = 0.05  # keras.initializers.RandomNormal's own, Keras 3.15


@dataclass(frozen=True, kw_only=True)
class Biases(Row):
    """How biases are drawn: from a layer's inputs and a chosen spread, which may be traced."""

    draw: Callable[[int, Any], initializers.Initializer] | None  # None: as the weights' own row
    spreads: bool = False  # whether it uses the spread


def _uniform(bound: float) -> initializers.Initializer:
    """Uniform between -bound and bound, which JAX has for weights only."""

    def draw(key: Array, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound, out_sharding=out_sharding)

    return draw


BIASES = Registry(
    "biases",
    [
        Biases(
            key="own",
            label="chosen with the weights",
            summary="Those that come with the chosen initial weights.",
            draw=None,
        ),
        Biases(
            key="zeros",
            label="0",
            latex="b = 0",
            summary="All biases begin at 0.",
            reference="the default of Keras 3.15 and Flax 0.12",
            draw=lambda inputs, spread: initializers.zeros,
        ),
        Biases(
            key="uniform",
            label="uniform 1/√inputs",
            latex=r"b \sim U(\pm 1/\sqrt{n_{in}})",
            summary="Biases drawn like the weights of a PyTorch layer with so many inputs.",
            reference="torch.nn.Linear, PyTorch 2.13; equinox.nn.Linear, Equinox 0.13",
            draw=lambda inputs, spread: _uniform(1 / math.sqrt(inputs)),
        ),
        Biases(
            key="normal_0.01",
            label="normal, 0.01",
            latex=r"b \sim N(0, 10^{-4})",
            summary="A hundredth of a standard normal.",
            reference="jax.example_libraries.stax, JAX 0.10.2",
            draw=lambda inputs, spread: initializers.normal(1e-2),
        ),
        Biases(
            key="normal_1",
            label="standard normal",
            latex=r"b \sim N(0, 1)",
            summary="Far larger than the weights of a wide layer.",
            reference="the keep_prob question (TensorFlow 1)",
            draw=lambda inputs, spread: initializers.normal(1.0),
        ),
        Biases(
            key="normal",
            label="normal, its spread to choose",
            latex=r"b \sim N(0, s^2)",
            summary="A spread s that is chosen, as that of the weights is.",
            reference="keras.initializers.RandomNormal(stddev=s), Keras 3.15",
            draw=lambda inputs, spread: initializers.normal(spread),
            spreads=True,
        ),
    ],
)


class Drawing(NamedTuple):
    """How a network's weights are drawn, and its biases from a layer's inputs."""

    weights: initializers.Initializer
    biases: Callable[[int], initializers.Initializer]


@dataclass(frozen=True, kw_only=True)
class Initializer(Row):
    """How weights are drawn, and which biases belong to them."""

    weights: initializers.Initializer
    own_biases: str  # a key of BIASES
    spreads: bool = False  # whether `weights`, of spread 1, are multiplied by a chosen one

    def biases(self, inputs: int) -> initializers.Initializer:
        """How the biases that belong to the weights are drawn."""
        return self.drawing().biases(inputs)

    def drawing(self, biases: str = "own", spread: Any = SPREAD) -> Drawing:
        """How both are drawn, with biases of a key of BIASES; the spread may be traced."""
        row = BIASES[self.own_biases if biases == "own" else biases]
        assert row.draw is not None  # only "own" has none
        weights = initializers.normal(spread) if self.spreads else self.weights
        draw = row.draw
        return Drawing(weights, lambda inputs: draw(inputs, spread))


def uses_spread(initializer: str, biases: str) -> bool:
    """Whether the chosen spread has an effect on what is drawn."""
    row = INITIALIZERS[initializer]
    return row.spreads or BIASES[row.own_biases if biases == "own" else biases].spreads


INITIALIZERS = Registry(
    "initializer",
    [
        Initializer(
            key="glorot_normal",
            label="Glorot normal",
            latex=r"W \sim N(0, 2/(n_{in} + n_{out}))\ \text{cut off},\quad b \sim N(0, 10^{-4})",
            summary="The spread shrinks as layers widen; weights are cut off at 2.3 times it. "
            "Stax's default.",
            reference="jax.example_libraries.stax, JAX 0.10.2; Glorot and Bengio, 2010",
            weights=initializers.glorot_normal(),
            own_biases="normal_0.01",
        ),
        Initializer(
            key="normal_0.01",
            label="normal, 0.01",
            latex=r"W, b \sim N(0, 10^{-4})",
            summary="A hundredth of a standard normal, whatever the width.",
            reference="Getting started with JAX (a post)",
            weights=initializers.normal(1e-2),
            own_biases="normal_0.01",
        ),
        Initializer(
            key="keras",
            label="Glorot uniform, biases 0",
            latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b = 0",
            summary="What a Dense layer of Keras starts with.",
            reference="keras.layers.Dense, Keras 3.15; the same in Keras 2 and in "
            "tf.layers.dense, TensorFlow 1",
            weights=initializers.glorot_uniform(),
            own_biases="zeros",
        ),
        Initializer(
            key="glorot_uniform",
            label="Glorot uniform, biases N(0, 1)",
            latex=r"W \sim U(\pm\sqrt{6/(n_{in} + n_{out})}),\quad b \sim N(0, 1)",
            summary="Keras's weights with standard normal biases.",
            reference="the keep_prob question (TensorFlow 1)",
            weights=initializers.glorot_uniform(),
            own_biases="normal_1",
        ),
        Initializer(
            key="pytorch",
            label="uniform 1/√inputs, biases too",
            latex=r"W, b \sim U(\pm 1/\sqrt{n_{in}})",
            summary="What a Linear layer of PyTorch or Equinox starts with: the more inputs, the "
            "smaller.",
            reference="torch.nn.Linear, PyTorch 2.13; equinox.nn.Linear, Equinox 0.13",
            weights=initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            own_biases="uniform",
        ),
        Initializer(
            key="pytorch_weights",
            label="uniform 1/√inputs, biases 0",
            latex=r"W \sim U(\pm 1/\sqrt{n_{in}}),\quad b = 0",
            summary="PyTorch's weights without its biases.",
            reference="torch.nn.Linear after torch.nn.init.zeros_(bias), PyTorch 2.13",
            weights=initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            own_biases="zeros",
        ),
        Initializer(
            key="flax",
            label="LeCun normal, biases 0",
            latex=r"W \sim N(0, 1/n_{in}),\quad b = 0",
            summary="What a Dense layer of Flax starts with; no weight is further from 0 than 2.3 "
            "times their spread.",
            reference="flax.linen.Dense, Flax 0.12",
            weights=initializers.lecun_normal(),
            own_biases="zeros",
        ),
        Initializer(
            key="normal_1",
            label="standard normal",
            latex=r"W, b \sim N(0, 1)",
            summary="Drawn by hand with a generator's own defaults, whatever the width.",
            reference="tf.random_normal in the multilayer perceptron of TensorFlow-Examples "
            "(TensorFlow 1)",
            weights=initializers.normal(1.0),
            own_biases="normal_1",
        ),
        Initializer(
            key="normal",
            label="normal, its spread to choose",
            latex=r"W, b \sim N(0, s^2)",
            summary="A spread s that is chosen, whatever the width.",
            reference="keras.initializers.RandomNormal(stddev=s), Keras 3.15; "
            "torch.nn.init.normal_(weight, std=s), PyTorch 2.13",
            weights=initializers.normal(1.0),
            own_biases="normal",
            spreads=True,
        ),
    ],
)
