"""ACTIVATIONS: what a unit of a hidden layer makes of its sum of inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
from jax import Array

from core.registry import Registry, Row


@dataclass(frozen=True, kw_only=True)
class Activation(Row):
    """A function of each number by itself."""

    function: Callable[[Array], Array]


ACTIVATIONS = Registry(
    "activation",
    [
        Activation(
            key="relu",
            label="ReLU",
            latex=r"\max(x, 0)",
            summary="Passes what is above 0, and turns everything else into 0.",
            reference="jax.nn.relu, JAX 0.10.2",
            function=jax.nn.relu,
        ),
        Activation(
            key="leaky_relu_0.01",
            label="leaky ReLU, 0.01",
            latex=r"\max(x, 0.01\,x)",
            summary="Passes a hundredth of what is below 0, too; PyTorch's slope and Flax's.",
            reference="torch.nn.LeakyReLU, PyTorch 2.13; jax.nn.leaky_relu, JAX 0.10.2",
            function=partial(jax.nn.leaky_relu, negative_slope=0.01),
        ),
        Activation(
            key="leaky_relu_0.3",
            label="leaky ReLU, 0.3",
            latex=r"\max(x, 0.3\,x)",
            summary="Passes three tenths of what is below 0, too; the slope of Keras's layer, "
            "where keras.activations.leaky_relu has 0.2.",
            reference="keras.layers.LeakyReLU, Keras 3.15",
            function=partial(jax.nn.leaky_relu, negative_slope=0.3),
        ),
        Activation(
            key="sigmoid",
            label="sigmoid",
            latex=r"1/(1 + e^{-x})",
            summary="Squeezes every number into 0 to 1, and is almost flat far from 0.",
            reference="jax.nn.sigmoid, JAX 0.10.2",
            function=jax.nn.sigmoid,
        ),
        Activation(
            key="tanh",
            label="tanh",
            latex=r"\tanh x",
            summary="Squeezes every number into -1 to 1, and is almost flat far from 0.",
            reference="jax.nn.tanh, JAX 0.10.2",
            function=jax.nn.tanh,
        ),
        Activation(
            key="gelu",
            label="GELU",
            latex=r"x\,\Phi(x) = x\,(1 + \mathrm{erf}(x/\sqrt 2))/2",
            summary="A ReLU without the corner: x times the probability that a standard normal "
            "number is below x.",
            reference="torch.nn.GELU, PyTorch 2.13; keras.activations.gelu, Keras 3.15",
            function=partial(jax.nn.gelu, approximate=False),
        ),
        Activation(
            key="gelu_tanh",
            label="GELU by tanh",
            latex=r"x\,(1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\,x^3)))/2",
            summary="GELU with tanh for the normal distribution, which is off by less than 0.001; "
            "the default of JAX.",
            reference="jax.nn.gelu, JAX 0.10.2; flax.linen.gelu, Flax 0.12",
            function=partial(jax.nn.gelu, approximate=True),
        ),
    ],
)
