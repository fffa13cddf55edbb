"""The rules of optimizers: what one step of each takes from a weight, as functions of arrays.

A rule is `(gradient, memory, settings) -> (what the step subtracts, memory)`. Its memory is a tuple
of arrays, kept for each array of weights. Rules that frameworks take for the same differ in where
the learning rate and epsilon come in; whoever computes so is named in each row of OPTIMIZERS.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

Memory = tuple[Array, ...]


class Settings(NamedTuple):
    """The numbers of a rule, in the weights' number format.

    They are rounded before they are given to a compiled program: XLA may leave out a rounding
    inside, and then an epsilon too small for 16 bits would not be 0.
    """

    rate: Array
    momentum: Array  # Adam's beta_1, too
    momentum_rest: Array  # 1 - momentum, subtracted before either was rounded
    beta_2: Array  # what RMSprop and Adadelta call rho, too
    beta_2_rest: Array  # 1 - beta_2, in the same way
    epsilon: Array
    wide_momentum: Array  # the two whose powers are taken, in no fewer than 32 bits
    wide_beta_2: Array
    # Of this step, with those of the step for all arrays of weights at once: XLA divides by a
    # number that many share, but multiplies by the inverse of one that is alone.
    t: Array | int = 1  # its number, from 1; stays 1 for a rule that does not count its steps
    correction: Array | float = 1.0  # 1 - momentum^t, in no fewer than 32 bits: 16 could make it 0
    correction_2: Array | float = 1.0  # 1 - beta_2^t

    def at(self, t: Array | int) -> "Settings":
        """The numbers at step t."""
        powers = (1 - self.wide_momentum**t, 1 - self.wide_beta_2**t)
        return self._replace(t=t, correction=powers[0], correction_2=powers[1])


Rule = Callable[[Array, Memory, Settings], tuple[Array, Memory]]


def sgd(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """Rate times gradient."""
    return s.rate * g, ()


# Momentum: a running sum of gradients.


def momentum(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """A running sum of gradients; the rate multiplies it (optax, PyTorch, TF 1)."""
    total = g + s.momentum * memory[0]
    return s.rate * total, (total,)


def momentum_with_rate(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """A velocity, which is a running sum of gradients times the rate (Keras)."""
    velocity = s.momentum * memory[0] + s.rate * g
    return velocity, (velocity,)


def nesterov(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """Momentum one step ahead of itself (optax, PyTorch, TF 1)."""
    total = g + s.momentum * memory[0]
    return s.rate * (g + s.momentum * total), (total,)


def nesterov_with_rate(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """The same of a velocity that holds the rate (Keras)."""
    velocity = s.momentum * memory[0] + s.rate * g
    return s.momentum * velocity + s.rate * g, (velocity,)


def averaged(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """A running mean of gradients that starts at the first (PyTorch, dampening = momentum)."""
    mean = jnp.where(s.t == 1, g, s.momentum * memory[0] + s.momentum_rest * g)
    return s.rate * mean, (mean,)


# Adam and its kin: a running mean of gradients over the root of one of their squares.


def _moments(g: Array, memory: Memory, s: Settings) -> Memory:
    mean, square = memory[:2]
    return (
        s.momentum_rest * g + s.momentum * mean,
        s.beta_2_rest * g**2 + s.beta_2 * square,
    )


def _corrected(moment: Array, correction: Array | float) -> Array:
    """The running mean without its start at 0."""
    return moment / jnp.astype(correction, moment.dtype)


def adam(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """Epsilon is added to the root of the corrected mean square (optax, PyTorch, the paper)."""
    mean, square = _moments(g, memory, s)
    root = jnp.sqrt(_corrected(square, s.correction_2))
    step = _corrected(mean, s.correction) / (root + s.epsilon)
    return s.rate * step, (mean, square)


def adam_first(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """Adam at its first step, whichever step it is.

    Of 32 bits or more it divides and multiplies as XLA does by constants: the post's runs keep
    their last digits.
    """
    if g.dtype.itemsize < 4:
        return adam(g, memory, s)
    mean, square = _moments(g, memory, s)
    correction, correction_2 = (jnp.astype(c, g.dtype) for c in (s.correction, s.correction_2))
    root = jnp.sqrt(square * (1 / correction_2))
    return s.rate * (mean / (correction * (root + s.epsilon))), (mean, square)


def adam_epsilon_hat(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """Epsilon is added to the root before it is corrected (Keras, TF 1, the paper's short form)."""
    mean, square = _moments(g, memory, s)
    correction = jnp.sqrt(s.correction_2) / s.correction
    rate = s.rate * correction.astype(g.dtype)
    return rate * mean / (jnp.sqrt(square) + s.epsilon), (mean, square)


def nadam(pace: float | None) -> Rule:
    """Adam one step ahead of itself, with a momentum that grows step by step.

    It grows to its value as beta (1 - 0.96^(pace t) / 2), or is constant if `pace` is None.
    """

    def at(t: Array | int, s: Settings) -> Array:
        return s.wide_momentum * (1 if pace is None else 1 - 0.5 * 0.96 ** (pace * t))

    def rule(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
        mean, square = _moments(g, memory, s)
        now, ahead = at(s.t, s), at(s.t + 1, s)
        product = memory[2] * now
        of_mean = (ahead / (1 - product * ahead)).astype(g.dtype)
        of_gradient = ((1 - now) / (1 - product)).astype(g.dtype)
        root = jnp.sqrt(_corrected(square, s.correction_2))
        step = (of_mean * mean + of_gradient * g) / (root + s.epsilon)
        return s.rate * step, (mean, square, product)

    return rule


# RMSprop, Adagrad, Adadelta: a gradient over the root of a mean, or of a sum, of squares.


def _over_root(square: Array, epsilon: Array, *, inside: bool) -> Array:
    return jnp.sqrt(square + epsilon) if inside else jnp.sqrt(square) + epsilon


def rmsprop(*, inside: bool, centered: bool = False) -> Rule:
    """RMSprop, with momentum.

    Epsilon is inside the root and the rate inside the momentum (Keras, optax, TF 1), or both are
    outside (PyTorch). If `centered`, the mean is taken from the mean square.
    """

    def rule(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
        square, total, *mean = memory
        square = s.beta_2 * square + s.beta_2_rest * g**2
        mean = [s.beta_2 * each + s.beta_2_rest * g for each in mean]
        spread = square - mean[0] ** 2 if centered else square
        root = _over_root(spread, s.epsilon, inside=inside)
        step = s.rate * g / root if inside else g / root
        total = s.momentum * total + step
        return total if inside else s.rate * total, (square, total, *mean)

    return rule


def adagrad(*, inside: bool) -> Rule:
    """Over the root of the sum of all squares, with epsilon inside the root or outside."""

    def rule(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
        total = memory[0] + g**2
        return s.rate * g / _over_root(total, s.epsilon, inside=inside), (total,)

    return rule


def adadelta(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """Steps as large as earlier ones, in the root of the mean square (all frameworks)."""
    square = s.beta_2 * memory[0] + s.beta_2_rest * g**2
    step = jnp.sqrt(memory[1] + s.epsilon) / jnp.sqrt(square + s.epsilon) * g
    return s.rate * step, (square, s.beta_2 * memory[1] + s.beta_2_rest * step**2)


def lion(g: Array, memory: Memory, s: Settings) -> tuple[Array, Memory]:
    """The sign of a running mean, all steps of one size (optax, Keras)."""
    sign = jnp.sign(s.momentum_rest * g + s.momentum * memory[0])
    return s.rate * sign, (s.beta_2_rest * g + s.beta_2 * memory[0],)
