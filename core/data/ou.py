"""The Ornstein-Uhlenbeck process as arrays: series that return to their mean, seen through noise.

    dx = (mu - x)/tau dt + sigma sqrt(2/tau) dW,   seen: x + noise · N(0, 1)

Stepped exactly, and not by Euler's rule: with a = exp(-dt/tau),

    x(t + dt) = mu + a (x(t) - mu) + sigma sqrt(1 - a²) N(0, 1)

so that at any dt the series end with mean mu and standard deviation sigma, and values k steps
apart are correlated by a^k. Source: Getting started with JAX (a post), whose parameters are the
defaults; its generator is not published. Gillespie, Physical Review E 54, 1996, for the step.
"""

import math
from typing import NamedTuple

import numpy as np

LENGTH = 10  # values of a series, as in the post: nine are given, and nine asked for


class Process(NamedTuple):
    """An Ornstein-Uhlenbeck process; times and values have no unit."""

    x0: float = 0.0  # where every series starts
    mu: float = 1.0  # the mean that it returns to
    tau: float = 2.0  # the time in which the way back shrinks to 1/e
    sigma: float = 0.5  # standard deviation of x after a long time
    noise: float = 0.1  # standard deviation of what is seen about x
    dt: float = 0.1  # time between two values


class Series(NamedTuple):
    """Pairs of a network that is given each noisy value and asked for the next true one."""

    inputs: np.ndarray  # float32 [n, length - 1], values as they are seen
    targets: np.ndarray  # float32 [n, length - 1], each input's next value as it is


def simulate(
    process: Process, n: int, length: int = LENGTH, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """`n` series of `length` values, and the same as they are seen: float64 [n, length] each.

    Raises ValueError unless tau and dt are above 0, and sigma and noise are not below.
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
    """`n` series as a network is given them and as it is asked for them."""
    x, seen = simulate(process, n, seed=seed)
    return Series(seen[:, :-1].astype(np.float32), x[:, 1:].astype(np.float32))
