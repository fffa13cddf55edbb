"""OPTIMIZERS: the rules of steps, who computes so, and with which numbers by default."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from core.parts import rules
from core.parts.rules import Memory, Rule, Settings
from core.registry import Registry, Row

SETTINGS = ("momentum", "beta_2", "optimizer_epsilon")  # fields of a RunConfig, and of each row


class Slots(NamedTuple):
    """What an optimizer keeps between steps."""

    steps: Any  # how many it has taken; empty if its rule does not count them
    memory: Any  # the weights' tree, with a Memory in the place of each array


def zeros(count: int) -> Callable[[Array], Memory]:
    """Return a function that gives so many arrays of zeros like an array of weights."""
    return lambda w: tuple(jnp.zeros_like(w) for _ in range(count))


@dataclass(frozen=True, kw_only=True)
class Optimizer(Row):
    """A way to turn gradients into steps.

    Of the settings, those that are None have no effect on it; the others are its framework's
    defaults.
    """

    rule: Rule
    start: Callable[[Array], Memory]  # the memory before the first step, from the weights
    first_square: float = 0.0  # what the first array of its memory starts at, in place of 0
    counts: bool = False  # whether the rule needs the number of the step
    # Whether optimizer_epsilon is added to a mean square, inside the root, and not to the root.
    inside: bool = False
    learning_rate: float  # a framework's default, for orientation
    momentum: float | None = None
    beta_2: float | None = None
    optimizer_epsilon: float | None = None

    def own(self, name: str) -> float | None:
        """The row's default of one of SETTINGS, or None if it does not use it."""
        value: float | None = getattr(self, name)
        return value

    def init(self, params: Any) -> Slots:
        """The slots before the first step."""
        steps = jnp.zeros([], jnp.int32) if self.counts else ()
        return Slots(steps, jax.tree.map(self._begun, params))

    def _begun(self, w: Array) -> Memory:
        memory = self.start(w)
        return (jnp.full_like(w, self.first_square), *memory[1:]) if self.first_square else memory

    def step(self, gradients: Any, slots: Slots, settings: Settings) -> tuple[Any, Slots]:
        """What the step subtracts from the weights, and the slots after it."""
        steps: Any = slots.steps + 1 if self.counts else ()
        now = settings.at(steps if self.counts else 1)
        both = jax.tree.map(lambda g, memory: self.rule(g, memory, now), gradients, slots.memory)
        taken, memory = (
            jax.tree.map(lambda _, pair, i=i: pair[i], gradients, both) for i in (0, 1)
        )
        return taken, Slots(steps, memory)


def _with_product(w: Array) -> Memory:
    """Two arrays of zeros, and the product of all momenta so far, in no fewer than 32 bits."""
    return *zeros(2)(w), jnp.ones([], jnp.promote_types(w.dtype, jnp.float32))


_ADAM: dict[str, Any] = {"momentum": 0.9, "beta_2": 0.999, "learning_rate": 0.001, "counts": True}
_VELOCITY: dict[str, Any] = {"momentum": 0.9, "start": zeros(1), "learning_rate": 0.01}
_RMSPROP: dict[str, Any] = {
    "momentum": 0.0, "beta_2": 0.99, "optimizer_epsilon": 1e-8, "learning_rate": 0.01,
}  # fmt: skip
_RMSPROP_KERAS: dict[str, Any] = {
    "momentum": 0.0, "beta_2": 0.9, "optimizer_epsilon": 1e-7, "learning_rate": 0.001,
}  # fmt: skip

OPTIMIZERS = Registry(
    "optimizer",
    [
        Optimizer(
            key="sgd",
            label="SGD",
            latex=r"w \leftarrow w - \eta\, g",
            summary="One step down the gradient.",
            reference="optax.sgd, optax 0.2.8; the same in all frameworks",
            rule=rules.sgd,
            start=zeros(0),
            learning_rate=0.01,
        ),
        Optimizer(
            key="momentum",
            label="momentum",
            latex=r"m \leftarrow \beta m + g,\quad w \leftarrow w - \eta\, m",
            summary="SGD along a running sum of gradients.",
            reference="optax.trace, optax 0.2.8; torch.optim.SGD, PyTorch 2.13; MomentumOptimizer "
            "of TF 1",
            rule=rules.momentum,
            **_VELOCITY,
        ),
        Optimizer(
            key="momentum_keras",
            label="momentum, Keras",
            latex=r"v \leftarrow \beta v + \eta\, g,\quad w \leftarrow w - v",
            summary="The running sum holds the learning rate: the same, but for rounding, as long "
            "as the rate stays as it is.",
            reference="keras.optimizers.SGD, Keras 3.15",
            rule=rules.momentum_with_rate,
            **_VELOCITY,
        ),
        Optimizer(
            key="nesterov",
            label="Nesterov momentum",
            latex=r"m \leftarrow \beta m + g,\quad w \leftarrow w - \eta\,(g + \beta m)",
            summary="Momentum that looks one step ahead.",
            reference="optax.sgd, optax 0.2.8; torch.optim.SGD, PyTorch 2.13",
            rule=rules.nesterov,
            **_VELOCITY,
        ),
        Optimizer(
            key="nesterov_keras",
            label="Nesterov momentum, Keras",
            latex=r"v \leftarrow \beta v + \eta\, g,\quad w \leftarrow w - \beta v - \eta\, g",
            summary="The same with a running sum that holds the learning rate.",
            reference="keras.optimizers.SGD, Keras 3.15",
            rule=rules.nesterov_with_rate,
            **_VELOCITY,
        ),
        Optimizer(
            key="averaged",
            label="averaged gradient",
            latex=r"m \leftarrow \beta m + (1 - \beta)\, g,\quad w \leftarrow w - \eta\, m",
            summary="SGD along a running mean of gradients: at a momentum of 0.9, a tenth of the "
            "steps of momentum.",
            reference="torch.optim.SGD with dampening = momentum, PyTorch 2.13",
            rule=rules.averaged,
            counts=True,
            **_VELOCITY,
        ),
        Optimizer(
            key="adam",
            label="Adam",
            latex=r"w \leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \epsilon)",
            summary="Each weight's step is scaled by the size of its recent gradients.",
            reference="optax.scale_by_adam, optax 0.2.8; torch.optim.Adam, PyTorch 2.13; Kingma "
            "and Ba, 2015",
            rule=rules.adam,
            start=zeros(2),
            optimizer_epsilon=1e-8,
            **_ADAM,
        ),
        Optimizer(
            key="adam_keras",
            label="Adam, Keras",
            latex=r"w \leftarrow w - \eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,"
            r"\frac{m}{\sqrt{v} + \epsilon}",
            summary="Epsilon meets the root before it is corrected: at the first step it weighs "
            "1/√(1-β₂) times as much as in Adam, by default 32 times.",
            reference="keras.optimizers.Adam, Keras 3.15; AdamOptimizer of TF 1 with epsilon 1e-8; "
            "“epsilon hat” in Kingma and Ba, 2015",
            rule=rules.adam_epsilon_hat,
            start=zeros(2),
            optimizer_epsilon=1e-7,
            **_ADAM,
        ),
        Optimizer(
            key="adam_step_0",
            label="Adam, always at step 0",
            latex=r"w \leftarrow w - \eta\, \frac{m}{1-\beta_1} \Big/ "
            r"\Big(\sqrt{\frac{v}{1-\beta_2}} + \epsilon\Big)",
            summary="Adam that never counts its steps: under a steady gradient they become "
            "√(1-β₂)/(1-β₁) times Adam's, by default 0.32 times.",
            reference="opt_update(0, grads, opt_state) in Getting started with JAX (a post); "
            "jax.example_libraries.optimizers.adam, JAX 0.10.2",
            rule=rules.adam_first,
            start=zeros(2),
            optimizer_epsilon=1e-8,
            **{**_ADAM, "counts": False},
        ),
        Optimizer(
            key="nadam",
            label="Nadam",
            latex=r"\beta_t = \beta_1 (1 - 0.96^{0.004\,t}/2)",
            summary="Adam that looks one step ahead, with a momentum that starts at half and "
            "grows slowly.",
            reference="torch.optim.NAdam, PyTorch 2.13",
            rule=rules.nadam(0.004),
            start=_with_product,
            optimizer_epsilon=1e-8,
            **{**_ADAM, "learning_rate": 0.002},
        ),
        Optimizer(
            key="nadam_keras",
            label="Nadam, Keras",
            latex=r"\beta_t = \beta_1 (1 - 0.96^{t}/2)",
            summary="The same with a momentum that grows 250 times as fast.",
            reference="keras.optimizers.Nadam, Keras 3.15",
            rule=rules.nadam(1.0),
            start=_with_product,
            optimizer_epsilon=1e-7,
            **_ADAM,
        ),
        Optimizer(
            key="nadam_optax",
            label="Nadam, optax",
            latex=r"\beta_t = \beta_1",
            summary="The same with a constant momentum.",
            reference="optax.nadam, optax 0.2.8",
            rule=rules.nadam(None),
            start=_with_product,
            optimizer_epsilon=1e-8,
            **_ADAM,
        ),
        Optimizer(
            key="rmsprop",
            label="RMSprop",
            latex=r"w \leftarrow w - \eta\, g / (\sqrt{v} + \epsilon)",
            summary="Each gradient is divided by the root of its recent mean square.",
            reference="torch.optim.RMSprop, PyTorch 2.13",
            rule=rules.rmsprop(inside=False),
            start=zeros(2),
            **_RMSPROP,
        ),
        Optimizer(
            key="rmsprop_keras",
            label="RMSprop, Keras",
            latex=r"w \leftarrow w - \eta\, g / \sqrt{v + \epsilon}",
            summary="Epsilon is inside the root, where 1e-7 weighs as much as 3e-4 outside.",
            reference="keras.optimizers.RMSprop, Keras 3.15; optax.rmsprop, optax 0.2.8, with "
            "epsilon 1e-8",
            rule=rules.rmsprop(inside=True),
            inside=True,
            start=zeros(2),
            **_RMSPROP_KERAS,
        ),
        Optimizer(
            key="rmsprop_tf1",
            label="RMSprop, TF 1",
            latex=r"v_0 = 1,\quad w \leftarrow w - \eta\, g / \sqrt{v + \epsilon}",
            summary="The mean square starts at 1, so that the first steps are small.",
            reference="tf.compat.v1.train.RMSPropOptimizer, TensorFlow 2.21",
            rule=rules.rmsprop(inside=True),
            inside=True,
            start=zeros(2),
            first_square=1.0,
            **{**_RMSPROP_KERAS, "optimizer_epsilon": 1e-10},
        ),
        Optimizer(
            key="rmsprop_centered",
            label="RMSprop, centered",
            latex=r"w \leftarrow w - \eta\, g / (\sqrt{v - \bar g^2} + \epsilon)",
            summary="Each gradient is divided by its recent standard deviation, which is 0 under "
            "a steady gradient.",
            reference="torch.optim.RMSprop(centered=True), PyTorch 2.13",
            rule=rules.rmsprop(inside=False, centered=True),
            start=zeros(3),
            **_RMSPROP,
        ),
        Optimizer(
            key="rmsprop_keras_centered",
            label="RMSprop, centered, Keras",
            latex=r"w \leftarrow w - \eta\, g / \sqrt{v - \bar g^2 + \epsilon}",
            summary="The same with epsilon inside the root.",
            reference="keras.optimizers.RMSprop(centered=True), Keras 3.15; optax.rmsprop, optax "
            "0.2.8, with epsilon 1e-8",
            rule=rules.rmsprop(inside=True, centered=True),
            inside=True,
            start=zeros(3),
            **_RMSPROP_KERAS,
        ),
        Optimizer(
            key="adagrad",
            label="Adagrad",
            latex=r"w \leftarrow w - \eta\, g / \big(\sqrt{\textstyle\sum g^2} + \epsilon\big)",
            summary="Each gradient is divided by the root of the sum of all squares so far.",
            reference="torch.optim.Adagrad, PyTorch 2.13",
            rule=rules.adagrad(inside=False),
            start=zeros(1),
            optimizer_epsilon=1e-10,
            learning_rate=0.01,
        ),
        Optimizer(
            key="adagrad_keras",
            label="Adagrad, Keras",
            latex=r"w \leftarrow w - \eta\, g / \sqrt{0.1 + \textstyle\sum g^2 + \epsilon}",
            summary="The sum starts at 0.1, so that small gradients make small steps.",
            reference="keras.optimizers.Adagrad, Keras 3.15; optax.adagrad, optax 0.2.8; "
            "AdagradOptimizer of TF 1 with epsilon 0",
            rule=rules.adagrad(inside=True),
            inside=True,
            start=zeros(1),
            first_square=0.1,
            optimizer_epsilon=1e-7,
            learning_rate=0.001,
        ),
        Optimizer(
            key="adadelta",
            label="Adadelta",
            latex=r"d = g\,\sqrt{u + \epsilon} / \sqrt{v + \epsilon},\quad w \leftarrow w - "
            r"\eta\, d",
            summary="Each step is scaled by the size of earlier steps; Keras begins with a "
            "thousandth of PyTorch's learning rate.",
            reference="torch.optim.Adadelta, PyTorch 2.13; keras.optimizers.Adadelta, Keras 3.15, "
            "with rho 0.95, epsilon 1e-7, rate 0.001",
            rule=rules.adadelta,
            inside=True,
            start=zeros(2),
            beta_2=0.9,
            optimizer_epsilon=1e-6,
            learning_rate=1.0,
        ),
        Optimizer(
            key="lion",
            label="Lion",
            latex=r"w \leftarrow w - \eta\,\mathrm{sign}(\beta_1 m + (1 - \beta_1)\, g)",
            summary="Each weight moves by the learning rate, in the direction of its recent "
            "gradients.",
            reference="optax.lion, optax 0.2.8; keras.optimizers.Lion, Keras 3.15",
            rule=rules.lion,
            start=zeros(1),
            momentum=0.9,
            beta_2=0.99,
            learning_rate=0.001,
        ),
    ],
)
