"""Which form of a convolution's gradient is the fastest on this host.

Each is timed when the first program that needs it is traced, which is behind the first look of its
run. What is chosen is kept beside the compiled programs, so that every later run and process of the
host takes the same. A compiled program keeps the forms that it was compiled with.
"""

import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, wraps
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax import Array

from core.parts.convolution import BY_INPUT, DEFAULT, Place, by_input
from core.run.train.options import for_this_host

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger("samenet.forms")

VARIABLE = "SAMENET_CONVOLUTIONS"  # a key of BY_INPUT, which is then taken everywhere, or TIMED
TIMED = "timed"
WORTH = 0.5e-3  # seconds: where the first form takes less, no other is compiled
SECONDS, FEWEST = 0.1, 5  # of timing a place, all forms together; calls of each
# One core computes what is timed: with more, it would matter which of them are free at the moment.
ONE_CORE: dict[str, Any] = {"xla_cpu_multi_thread_eigen": False}
BETTER = 0.9  # of the first form's time is the most that another may take to be chosen
FILE = "convolutions.json"  # in the folder of compiled programs: {host: {place: key}}
CPU_INFO = Path("/proc/cpuinfo")  # of Linux

_lock = threading.RLock()
_chosen: dict[str, dict[str, str]] = {}


def in_fastest(function: Callable[P, R]) -> Callable[P, R]:
    """A function that is traced with the form that is the fastest here at every place."""

    @wraps(function)
    def traced(*arguments: P.args, **named: P.kwargs) -> R:
        with by_input(fastest):
            return function(*arguments, **named)

    return traced


def asked() -> str:
    """What the host says: a key of BY_INPUT, or TIMED.

    Raises:
      ValueError: it is neither.
    """
    text = os.environ.get(VARIABLE, TIMED)
    if text != TIMED and text not in BY_INPUT:
        raise ValueError(f"{VARIABLE} is {text!r}; allowed is {TIMED}, {BY_INPUT.allowed}")
    return text


def fastest(place: Place) -> str:
    """The key of the form to take at a place: what the host says, else what is known, else timed.

    Raises:
      ValueError: the host's variable names no form.
    """
    if (said := asked()) != TIMED:
        return said
    with _lock:
        known = _chosen.setdefault(host(), {})
        where = str(place)
        if where not in known:
            known.update(kept().get(host(), {}) | known)
        if where not in known:
            seconds = timed(place)
            known[where] = best(seconds)
            _keep()
            each = ", ".join(f"{key} {1e3 * took:.2f} ms" for key, took in seconds.items())
            log.info("gradient by the input: %s (%s) of %s", known[where], each, where)
        return known[where]


def best(seconds: Mapping[str, float]) -> str:
    """The first form, unless another takes at most BETTER of its time."""
    key = min(seconds, key=lambda key: seconds[key])
    return key if seconds[key] <= BETTER * seconds[DEFAULT] else DEFAULT


def timed(place: Place) -> dict[str, float]:
    """The median seconds of a call of each form, in turn; of the first only, if it is not WORTH it.

    It may be called while something else is traced: what is timed is compiled by itself.
    """
    first = _call(place, DEFAULT)
    seconds = median(first() for _ in range(FEWEST))
    if seconds < WORTH:
        return {DEFAULT: seconds}
    calls = {key: first if key == DEFAULT else _call(place, key) for key in BY_INPUT}
    times = max(FEWEST, round(SECONDS / len(calls) / seconds))
    turns = [[call() for call in calls.values()] for _ in range(times)]
    return dict(zip(calls, map(median, zip(*turns, strict=True)), strict=True))


def _call(place: Place, key: str) -> Callable[[], float]:
    """A compiled form on random numbers, which returns the seconds that it took."""
    random, outputs = np.random.default_rng(0), (place.x[0], *_outputs(place), place.kernel[3])
    arguments = [
        random.normal(size=size).astype(np.dtype(place.dtype)) for size in (outputs, place.kernel)
    ]

    def gradient(slope: Array, kernel: Array) -> Array:
        return BY_INPUT[key].gradient(slope, kernel, place)

    options = for_this_host(ONE_CORE, convolves=True)
    compiled = jax.jit(gradient).lower(*arguments).compile(options)

    def once() -> float:
        # Other programs make the first of these longer, this server's other threads the second.
        wall, cpu = time.perf_counter(), time.process_time()
        compiled(*arguments).block_until_ready()
        return min(time.perf_counter() - wall, time.process_time() - cpu)

    once()  # the first call is slower
    return once


def _outputs(place: Place) -> tuple[int, ...]:
    """Rows and columns of what the convolution gives."""
    return tuple(
        (before + pixels + after - places) // place.stride + 1
        for (before, after), pixels, places in zip(
            place.pads, place.x[1:3], place.kernel, strict=False
        )
    )


@cache
def host() -> str:
    """What a choice depends on besides the place: processor, cores, versions, XLA's flags."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"JAX {jax.__version__}, jaxlib {version('jaxlib')}"
    return f"{_processor()}, {cores} cores, {versions}, {os.environ.get('XLA_FLAGS', '')!r}"


def _processor() -> str:
    """Its name and number as Linux tells them, else its kind."""
    if not CPU_INFO.exists():
        return platform.processor() or platform.machine()
    first, *_ = CPU_INFO.read_text().split("\n\n")
    lines = (line.partition(":") for line in first.splitlines())
    told = {name.strip(): value.strip() for name, _, value in lines}
    names = ("model name", "cpu family", "model", "CPU implementer", "CPU part")
    return " ".join(told[name] for name in names if name in told) or platform.machine()


def _file() -> Path | None:
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return Path(folder) / FILE if folder else None


def kept() -> dict[str, dict[str, str]]:
    """The choices on disk, of all hosts that share the folder; without those it cannot read."""
    with suppress(OSError, ValueError, AttributeError):
        if file := _file():
            return {
                host: {place: key for place, key in known.items() if key in BY_INPUT}
                for host, known in json.loads(file.read_text()).items()
            }
    return {}


def _keep() -> None:
    """Write the choices to disk; where that fails, the next process times them again."""
    if (file := _file()) is None:
        return
    on_disk, part = kept(), file.with_suffix(f".{os.getpid()}")
    whole = on_disk | {host: on_disk.get(host, {}) | known for host, known in _chosen.items()}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(whole, indent=2))
        part.replace(file)
