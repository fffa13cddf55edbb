"""The memory of this process and of its device: what is free, and what the C library holds back."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import jax

STATM = Path("/proc/self/statm")  # Linux
LARGEST = 1 << 28  # bytes of a buffer that is kept for the next call
# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def keep_buffers() -> None:
    """Keep what XLA computes in between two calls, where the C library is glibc.

    By itself glibc gives buffers of more than 32 MB back to Linux after every call and takes them
    anew, page by page: a CNN's call of 40 MB takes 10,000 page faults, and one step of it took 29
    ms with them and 17 to 19 without. One arena, as another one than the first holds no more than
    64 MB; threads that have one already keep it. An MLP's steps took 2% longer with it, a CNN's a
    fifth less (two cores, glibc 2.36).
    """
    if option := _glibc("mallopt"):
        option(M_ARENA_MAX, 1)
        option(M_MMAP_THRESHOLD, LARGEST)
        option(M_TRIM_THRESHOLD, LARGEST)


def give_back() -> None:
    """Give back what is kept: 200 MB after the first compilation."""
    if trim := _glibc("malloc_trim"):
        trim(0)


def resident() -> int:
    """Bytes of this process that are in memory; 0 where the system does not tell."""
    try:
        pages = STATM.read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None


def free_bytes() -> int:
    """Memory that the device, or on a CPU the machine, has left for runs."""
    if stats := jax.devices()[0].memory_stats():
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
