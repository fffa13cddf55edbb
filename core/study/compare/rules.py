"""The rules of optimizers in NumPy: what a step of rate 1 would subtract, over several steps.

The formulas are those of `core.parts.rules`, and `keys` are the rows of OPTIMIZERS that compute so
as long as the rate stays as it is. All of them are proportional to the rate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.study.compare.recording import Array

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Rule:
    """A rule: its numbers with values to start a search from, and the facets that name it."""

    keys: tuple[str, ...]
    name: str
    form: str
    steps: Callable[[Array, Numbers], Array]  # (gradients [steps, ...], numbers) -> [steps, ...]
    grid: Mapping[str, tuple[float, ...]]
    squares: bool = False  # whether it divides by a root of squares


def decay_by_signs(g: Array, w: Array, u: Array) -> tuple[float, ...]:
    """Return the coupled decay that the signs of first steps allow, if they allow one.

    The first step of every rule has the sign of g + decay w.
    """
    with np.errstate(all="ignore"):
        at = -g / w  # the decay at which the sign turns
    told = np.isfinite(at) & (at > 0) & (u != 0)
    turned = np.sign(u) != np.sign(g)
    low, high = at[told & turned], at[told & ~turned]
    if not low.size or not high.size:
        return ()
    return (float(np.sqrt(np.quantile(low, 0.99) * np.quantile(high, 0.01))),)


_BETA = (0.9, 0.5, 0.99)
_BETA_2 = (0.999, 0.9, 0.99)
_EPSILON = (1e-8, 1e-5, 1e-3)


def _sgd(g: Array, s: Numbers) -> Array:
    return g


def _sums(g: Array, beta: float) -> Array:
    total = np.zeros_like(g[0])
    out = np.empty_like(g)
    for t in range(len(g)):
        total = beta * total + g[t]
        out[t] = total
    return out


def _means(g: Array, beta: float, start: float = 0.0) -> Array:
    mean = np.full_like(g[0], start)
    out = np.empty_like(g)
    for t in range(len(g)):
        mean = beta * mean + (1 - beta) * g[t]
        out[t] = mean
    return out


def _momentum(g: Array, s: Numbers) -> Array:
    return _sums(g, s["beta"])


def _nesterov(g: Array, s: Numbers) -> Array:
    return g + s["beta"] * _sums(g, s["beta"])


def _averaged(g: Array, s: Numbers) -> Array:
    """A running mean that starts at the first gradient."""
    out = np.empty_like(g)
    out[0] = g[0]
    for t in range(1, len(g)):
        out[t] = s["beta"] * out[t - 1] + (1 - s["beta"]) * g[t]
    return out


def _correction(g: Array, beta: float) -> Array:
    t = np.arange(1, len(g) + 1, dtype=np.float64)
    return (1 - beta**t).reshape(-1, *(1,) * (g.ndim - 1))


def _adam(g: Array, s: Numbers) -> Array:
    mean = _means(g, s["beta"]) / _correction(g, s["beta"])
    square = _means(g * g, s["beta_2"]) / _correction(g, s["beta_2"])
    return mean / (np.sqrt(square) + s["epsilon"])


def _adam_hat(g: Array, s: Numbers) -> Array:
    mean, square = _means(g, s["beta"]), _means(g * g, s["beta_2"])
    factor = np.sqrt(_correction(g, s["beta_2"])) / _correction(g, s["beta"])
    return factor * mean / (np.sqrt(square) + s["epsilon"])


def _adam_uncorrected(g: Array, s: Numbers) -> Array:
    """Every step corrected as if it were the first."""
    mean = _means(g, s["beta"]) / (1 - s["beta"])
    square = _means(g * g, s["beta_2"]) / (1 - s["beta_2"])
    return mean / (np.sqrt(square) + s["epsilon"])


def _nadam(pace: float | None) -> Callable[[Array, Numbers], Array]:
    def at(t: int, beta: float) -> float:
        return beta * (1.0 if pace is None else 1 - 0.5 * 0.96 ** (pace * t))

    def steps(g: Array, s: Numbers) -> Array:
        mean = _means(g, s["beta"])
        square = _means(g * g, s["beta_2"]) / _correction(g, s["beta_2"])
        out = np.empty_like(g)
        product = 1.0
        for t in range(len(g)):
            now, ahead = at(t + 1, s["beta"]), at(t + 2, s["beta"])
            product *= now
            up = ahead / (1 - product * ahead) * mean[t] + (1 - now) / (1 - product) * g[t]
            out[t] = up / (np.sqrt(square[t]) + s["epsilon"])
        return out

    return steps


def _over_root(g: Array, square: Array, epsilon: float, *, inside: bool) -> Array:
    return g / (np.sqrt(square + epsilon) if inside else np.sqrt(square) + epsilon)


def _rmsprop(inside: bool, centered: bool = False) -> Callable[[Array, Numbers], Array]:
    def steps(g: Array, s: Numbers) -> Array:
        square = _means(g * g, s["beta_2"], s.get("start", 0.0))
        if centered:
            square = np.maximum(square - _means(g, s["beta_2"]) ** 2, 0)
        return _over_root(g, square, s["epsilon"], inside=inside)

    return steps


def _rmsprop_momentum(inside: bool) -> Callable[[Array, Numbers], Array]:
    plain = _rmsprop(inside)

    def steps(g: Array, s: Numbers) -> Array:
        return _sums(plain(g, s), s["beta"])

    return steps


def _adagrad(inside: bool) -> Callable[[Array, Numbers], Array]:
    def steps(g: Array, s: Numbers) -> Array:
        square = s["start"] + np.cumsum(g * g, axis=0)
        return _over_root(g, square, s["epsilon"], inside=inside)

    return steps


def _adadelta(g: Array, s: Numbers) -> Array:
    rho, e = s["beta_2"], s["epsilon"]
    square, moved = np.zeros_like(g[0]), np.zeros_like(g[0])
    out = np.empty_like(g)
    for t in range(len(g)):
        square = rho * square + (1 - rho) * g[t] ** 2
        out[t] = np.sqrt(moved + e) / np.sqrt(square + e) * g[t]
        moved = rho * moved + (1 - rho) * out[t] ** 2
    return out


def _lion(g: Array, s: Numbers) -> Array:
    before = np.concatenate([np.zeros_like(g[:1]), _means(g, s["beta_2"])[:-1]])
    return np.sign((1 - s["beta"]) * g + s["beta"] * before)


_ADAM = {"beta": _BETA, "beta_2": _BETA_2, "epsilon": _EPSILON}
_SQUARE = {"beta_2": _BETA_2, "epsilon": _EPSILON}
_STARTED = {"start": (0.0, 0.1, 1.0, 0.01), "epsilon": (1e-10, 1e-7, 1e-5, 1e-3)}

RULES = (
    Rule(("sgd",), "SGD", "", _sgd, {}),
    Rule(("momentum", "momentum_keras"), "momentum", "a sum", _momentum, {"beta": (*_BETA, 1.0)}),
    Rule(("nesterov", "nesterov_keras"), "momentum", "Nesterov's", _nesterov, {"beta": _BETA}),
    Rule(("averaged",), "momentum", "a mean", _averaged, {"beta": _BETA}),
    Rule(("adam",), "Adam", "epsilon outside the root", _adam, _ADAM, True),
    Rule(("adam_keras",), "Adam", "epsilon before the correction", _adam_hat, _ADAM, True),
    Rule(("adam_step_0",), "Adam", "always at its first step", _adam_uncorrected, _ADAM, True),
    Rule(("nadam",), "Nadam", "0.004", _nadam(0.004), _ADAM, True),
    Rule(("nadam_keras",), "Nadam", "1", _nadam(1.0), _ADAM, True),
    Rule(("nadam_optax",), "Nadam", "constant", _nadam(None), _ADAM, True),
    Rule(("rmsprop",), "RMSprop", "epsilon outside the root", _rmsprop(False),
         {**_SQUARE, "start": (0.0, 1.0)}, True),
    Rule(("rmsprop_keras", "rmsprop_tf1"), "RMSprop", "epsilon inside the root", _rmsprop(True),
         {**_SQUARE, "start": (0.0, 1.0)}, True),
    Rule(("rmsprop",), "RMSprop with momentum", "epsilon outside the root",
         _rmsprop_momentum(False), _ADAM, True),
    Rule(("rmsprop_keras",), "RMSprop with momentum", "epsilon inside the root",
         _rmsprop_momentum(True), _ADAM, True),
    Rule(("rmsprop_centered",), "centered RMSprop", "epsilon outside the root",
         _rmsprop(False, True), _SQUARE, True),
    Rule(("rmsprop_keras_centered",), "centered RMSprop", "epsilon inside the root",
         _rmsprop(True, True), _SQUARE, True),
    Rule(("adagrad",), "Adagrad", "epsilon outside the root", _adagrad(False), _STARTED, True),
    Rule(("adagrad_keras",), "Adagrad", "epsilon inside the root", _adagrad(True), _STARTED, True),
    Rule(("adadelta",), "Adadelta", "", _adadelta,
         {"beta_2": (0.9, 0.95), "epsilon": (1e-6, 1e-7)}, True),
    Rule(("lion",), "Lion", "", _lion, {"beta": (0.9,), "beta_2": (0.99,)}),
)  # fmt: skip
