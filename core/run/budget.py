"""The memory that this server keeps itself to: near it, what can be computed again goes.

A run under way is never ended by it; at the budget, new runs are not taken.
"""

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.limits import limits
from core.run import memory

log = logging.getLogger("samenet.memory")

MB = 10**6
SHARE = 0.8  # of what the machine or container has, unless the host says how much
NEAR, AFTER = 0.9, 0.8  # of the budget: where things begin to go, and where that stops
EVERY, FRUITLESS = 1.0, 5.0  # seconds between two looks, and after one that freed too little
# The least by which a thing that is let go is taken to make the process smaller, until it is
# measured: giving memory back takes 10 ms, too long to do it for each small thing.
LEAST = 1 * MB

# What is kept free, of which each is no more than the share of the budget behind it: for a run, its
# arrays and snapshots; for each shape that is still to be compiled, its programs; and once, because
# loops over steps are compiled one after the other, for XLA at work (docs/hosting.md).
RUN, PROGRAM, XLA = (20 * MB, 0.02), (60 * MB, 0.06), (70 * MB, 0.07)

FULL = (
    "This server is full: its memory is taken by what others train. Their runs go on, and a new "
    "one can begin when one of them has ended."
)

LetGo = Callable[[], int | None]  # lets one thing go; its bytes, or None if there is nothing left


def allowed(told_mb: float, container: int | None, machine: int) -> int:
    """The budget in bytes: what the host says, or else SHARE of what there is."""
    if told_mb < math.inf:
        return int(told_mb * MB)
    return int(SHARE * min(machine, container or machine))


def here() -> int:
    """The budget of this process, in bytes."""
    return allowed(limits().memory_mb, container_bytes(), machine_bytes())


def machine_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def container_bytes(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """The least limit of this process's cgroup and those above it; None if there is none.

    Source: cgroup v2's `memory.max` and v1's `memory.limit_in_bytes` (Linux's documentation,
    admin-guide/cgroup-v2 and cgroup-v1/memory).
    """
    try:
        lines = groups.read_text().splitlines()
    except OSError:  # not Linux
        return None
    limits = [limit for line in lines for limit in _limits(line, root)]
    return min(limits, default=None)


def _limits(line: str, root: Path) -> Iterator[int]:
    """The limits in a line of /proc/self/cgroup: ID:CONTROLLERS:/PATH."""
    _, controllers, path = line.split(":", 2)
    if controllers == "":
        top, name = root, "memory.max"
    elif "memory" in controllers.split(","):
        top, name = root / "memory", "memory.limit_in_bytes"
    else:
        return
    inner = Path(path.lstrip("/"))
    # Inside a container the path may be the host's, and only its root can be seen.
    for folder in (inner, *inner.parents):
        try:
            text = (top / folder / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 2**60:  # "max", or v1's 2**63 less a page: no limit
            yield int(text)


def bytes_in(tree: Any) -> int:
    """The bytes of the arrays in a tree of tuples, lists and dictionaries."""
    if isinstance(tree, dict):
        return sum(map(bytes_in, tree.values()))
    if isinstance(tree, tuple | list):
        return sum(map(bytes_in, tree))
    return getattr(tree, "nbytes", 0)


def shrink(over: Callable[[], int], stores: Sequence[LetGo], give_back: Callable[[], None]) -> int:
    """Let things go, store by store, until the process is not `over` any more; how many went.

    Args:
      over: how many bytes the process is too large; below 1 if it is not.
      stores: in the order in which they are emptied.
      give_back: returns freed memory to the system, so that `over` sees it.
    """
    gone = 0
    for let_go in stores:
        while (left := over()) > 0:
            freed = 0
            while freed < left and (size := let_go()) is not None:
                freed, gone = freed + max(size, LEAST), gone + 1
            if not freed:
                break
            give_back()
    return gone


class Budget:
    """Watches the memory of the server, and has `stores` emptied in order when it runs short.

    Args:
      bytes: the budget; math.inf for none.
      used: measures the bytes that the server has now, its other processes included.
      give_back: returns freed memory to the system.
    """

    def __init__(
        self,
        bytes: float = math.inf,
        used: Callable[[], int] = memory.resident,
        give_back: Callable[[], None] = memory.give_back,
    ) -> None:
        self.bytes, self.used, self._give_back = bytes, used, give_back
        self.stores: list[LetGo] = []
        self.coming: Callable[[], int] = lambda: 0  # programs still to be compiled for what began
        self.freed = 0  # things that were let go so far
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, store: LetGo) -> None:
        """Empty this store, too, after the others; one that is known stays in its place."""
        if store not in self.stores:
            self.stores.append(store)

    def full(self, new: int = 1) -> bool:
        """Whether there is no room for a run, or other work, with `new` programs to compile."""
        return self.used() + self._reserved(self.coming() + new) >= self.bytes

    def _reserved(self, programs: int) -> float:
        """The bytes that a run may take until it trains and so many programs are compiled."""

        def most(limit: tuple[int, float]) -> float:
            return min(limit[0], limit[1] * self.bytes)

        return most(RUN) + programs * most(PROGRAM) + (most(XLA) if programs else 0)

    def keep(self) -> bool:
        """Look once, and let things go if the budget is near; return whether that was enough.

        It is near where nothing new would fit, even if nothing were coming. What is coming was
        taken on because it fits, and the process already has some of it.
        """
        with self._lock:
            near = min(NEAR * self.bytes, self.bytes - self._reserved(1))
            if self.used() < near:
                return True
            self._give_back()
            enough = near - (NEAR - AFTER) * self.bytes
            gone = shrink(lambda: int(self.used() - enough), self.stores, self._give_back)
            self.freed += gone
            now = self.used()
            if gone:
                log.info("memory: %d things let go, now %s", gone, self.words())
            return now < near

    def words(self) -> str:
        """The memory used, of how much."""
        used = f"{self.used() / MB:,.0f} MB"
        return used if self.bytes == math.inf else f"{used} of {self.bytes / MB:,.0f}"

    def watch(self) -> None:
        """Look every second from now on, until `close`."""
        if self.bytes < math.inf and self._thread is None:
            self._thread = threading.Thread(target=self._watch, daemon=True, name="memory")
            self._thread.start()

    def _watch(self) -> None:
        wait = EVERY
        while not self._ended.wait(wait):
            try:
                wait = EVERY if self.keep() else FRUITLESS
            except Exception:  # a store's fault; without the watch, nothing would be let go again
                log.exception("memory: a store has failed")
                wait = FRUITLESS

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=60)
