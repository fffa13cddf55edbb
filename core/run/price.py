"""What a run costs, known before its first step: arithmetic, time on this machine, memory."""

import os
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

# The matrix product that measures the machine is small, so that other processes interrupt only some
# of its repetitions. Beside three busy processes on one core, a side of 512 measured 83 GFLOP/s,
# and 1024 only 18.
SIDE, TIMES = 512, 20
LONG = 0.25  # seconds: a step that takes longer keeps others waiting


class TooLong(Exception):
    """A step of this run would hold the machine for too long; the message says what fits."""


def operations(lowered: Any) -> float:
    """Floating-point operations of a function, as XLA counts them; a loop counts as one turn."""
    return float(lowered.cost_analysis()["flops"])


def bytes_of(compiled: Any) -> int:
    """Bytes of a compiled function's arguments, results and temporary arrays."""
    memory = compiled.memory_analysis()
    if memory is None:  # some backends do not tell
        return 0
    given = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return int(given - memory.alias_size_in_bytes + memory.temp_size_in_bytes)


def free_bytes() -> int:
    """The memory that the device, or on a CPU the machine, has left for runs."""
    if stats := jax.devices()[0].memory_stats():
        return int(stats["bytes_limit"] - stats["bytes_in_use"])
    return _available_bytes()


MEMORY = Path("/proc/meminfo")  # of Linux


def _available_bytes() -> int:
    """The memory that programs can have; on Linux that of files read before is among it."""
    if MEMORY.exists():
        for line in MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024  # the file's kB are KiB
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


_fastest = [0.0]  # floating-point operations a second, the most ever measured


def seconds(operations: float, again: bool = False) -> float:
    """Seconds for so many operations at the speed of a matrix product; real steps are slower.

    The machine is measured at the first call, and `again` if it may have been busy then.
    """
    if again or not _fastest[0]:
        _fastest[0] = max(_fastest[0], _measured())
    return operations / _fastest[0]


def _measured() -> float:
    """Floating-point operations a second: the best of TIMES products of two float32 matrices."""
    matrix = jnp.ones((SIDE, SIDE), jnp.float32)
    product = jax.jit(jnp.matmul).lower(matrix, matrix).compile()

    def once() -> float:
        started = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        return time.perf_counter() - started

    return 2 * SIDE**3 / min(once() for _ in range(TIMES))
