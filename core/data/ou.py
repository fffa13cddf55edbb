"""The Ornstein-Uhlenbeck process as arrays: series that return to their mean, observed with noise.

    dx = (mu - x)/tau dt + sigma sqrt(2/tau) dW,   observed: x + noise · N(0, 1)

The steps are exact, not Euler's: with a = exp(-dt/tau),

    x(t + dt) = mu + a (x(t) - mu) + sigma sqrt(1 - a²) N(0, 1)

so that for any dt the series settle at mean mu and standard deviation sigma, and values k steps
apart have correlation a^k. Sources: Getting started with JAX (a post) for the default parameters
(its generator is not published); Gillespie, Physical Review E 54, 1996, for the step.
"""

import math
from typing import NamedTuple

import numpy as np

LENGTH = 10  # values in a series, as in the post: nine inputs and nine targets


class Process(NamedTuple):
    """An Ornstein-Uhlenbeck process; times and values have no unit."""

    x0: float = 0.0  # where every series starts
    mu: float = 1.0  # the mean that it returns to
    tau: float = 2.0  # the time in which the distance from the mean shrinks to 1/e
    sigma: float = 0.5  # standard deviation of x after a long time
    noise: float = 0.1  # standard deviation of the observations around x
    dt: float = 0.1  # time between two values


class Series(NamedTuple):
    """A network's inputs, the noisy values, and its targets, the true value after each."""

    inputs: np.ndarray  # float32 [n, length - 1], with noise
    targets: np.ndarray  # float32 [n, length - 1], without noise, one step later


def simulate(
    process: Process, n: int, length: int = LENGTH, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return `n` series of `length` values, without and with noise: float64 [n, length] each.

    Raises ValueError unless tau and dt are above 0 and sigma and noise are at least 0.
    """
    if not (process.tau > 0 and process.dt > 0 and process.sigma >= 0 and process.noise >= 0):
        raise ValueError(f"tau and dt must be above 0, sigma and noise at least 0: {process}")
    random = np.random.default_rng(seed)
    kept = math.exp(-process.dt / process.tau)
    spread = process.sigma * math.sqrt(1 - kept**2)
    away = np.empty((n, length))  # from the mean
    away[:, 0] = process.x0 - process.mu
    for t in range(1, length):
        away[:, t] = kept * away[:, t - 1] + spread * random.standard_normal(n)
    x = process.mu + away
    return x, x + process.noise * random.standard_normal((n, length))


def series(process: Process, n: int, seed: int = 0) -> Series:
    """Return the inputs and the targets of `n` series."""
    x, seen = simulate(process, n, seed=seed)
    return Series(seen[:, :-1].astype(np.float32), x[:, 1:].astype(np.float32))
