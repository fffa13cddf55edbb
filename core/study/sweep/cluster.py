"""A sweep on a Dask cluster: the same table, from workers that have this program and its Python.

`dask.distributed` is needed only if a scheduler's address is given. A task is some cells of one
family that take about TASK seconds; if a worker dies, the scheduler gives its tasks to another. A
task's rows are stored once, when they arrive.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from core.config import RunConfig
from core.run import entry
from core.study.sweep.plan import Plan
from core.study.sweep.run import Rows, families, measure_runs
from core.study.sweep.store import Store
from core.study.sweep.table import RunRow, computed_with

PATIENCE = 4.0  # seconds for a scheduler, and then for a worker, to answer
TASK = 5.0  # seconds that a task should take
MOST = 256  # cells of a task
AHEAD = 2  # tasks that each thread of a worker is given in advance
POLL = 0.2  # seconds


def sweep_on(plan: Plan, store: Store, address: str) -> Iterator[Rows | None]:
    """Do what `run.sweep` does, on the workers of the scheduler at this address.

    Raises:
      ConnectionError: the scheduler does not answer, or has no worker.
      ModuleNotFoundError: dask.distributed is not installed; the message says how to install it.
      RuntimeError: a worker would compute with another version, or a task was given up.
      ValueError, MemoryError, TooLong, OSError: as `run.sweep` does.
    """
    plan.cells  # noqa: B018  # raises ValueError at once if values do not fit together
    return _sweep_on(plan, store, connect(address))


def connect(address: str) -> Any:
    """Return the client of a scheduler that answers and has a worker. Raises as `sweep_on` does."""
    try:
        import distributed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "A cluster needs dask.distributed: pip install -r requirements-dask.txt"
        ) from error
    client = _within(
        PATIENCE,
        lambda: distributed.Client(address, timeout=PATIENCE, set_as_default=False),
        address,
    )
    if not client.scheduler_info()["workers"]:
        client.close()
        raise ConnectionError(f"The scheduler at {address} has no worker. Start one, and try again")
    return client


def _within(seconds: float, make: Callable[[], Any], address: str) -> Any:
    """Return what `make` does, if in time; its own timeout ignores a peer that never answers."""
    client: Future[Any] = Future()

    def attempt() -> None:
        try:
            client.set_result(make())
        except Exception as error:
            client.set_exception(error)

    threading.Thread(target=attempt, daemon=True, name="scheduler").start()
    try:
        return client.result(timeout=seconds)
    except Exception as error:
        client.add_done_callback(_close_late)
        why = f": {error}" if str(error) else ""
        raise ConnectionError(f"No scheduler answers at {address}{why}") from error


def _close_late(client: "Future[Any]") -> None:
    """Close a client that came too late."""
    if client.exception() is None:
        client.result().close()


def work(configs: list[dict[str, Any]], made: dict[str, str]) -> tuple[list[RunRow], float]:
    """Do a task: measure runs that go together; return their rows, in order, and the seconds taken.

    Raises:
      RuntimeError: this worker computes with something else than the sweep was `made` with.
    """
    entry.begin()  # a worker starts here
    if (own := computed_with()) != made:
        raise RuntimeError(f"a worker computes with {own}, the sweep with {made}")
    runs = [RunConfig(**config) for config in configs]
    rows: dict[RunConfig, RunRow] = {}
    started = time.perf_counter()
    for batch in measure_runs(runs):
        rows |= batch or {}
    return [rows[run] for run in runs], time.perf_counter() - started


class _Task:
    """Runs of one family that are given to a worker, each with its cells."""

    def __init__(self, client: Any, cells: dict[RunConfig, list[int]]) -> None:
        self.cells = list(cells.values())
        configs = [config.differences() for config in cells]
        self.future = client.submit(work, configs, computed_with(), pure=False)

    def rows(self) -> tuple[Rows, float]:
        """What was measured in each cell, and the seconds that a run took."""
        rows, seconds = self.future.result()
        by_cell = {cell: row for cells, row in zip(self.cells, rows, strict=True) for cell in cells}
        return by_cell, seconds / len(rows)


class _Line:
    """The runs not yet given to a worker, family by family, in tasks sized by what a run takes."""

    def __init__(self, plan: Plan, kept: Rows) -> None:
        self.families = [list(family.items()) for family in families(plan, kept)]
        self.size = 1

    def task(self, client: Any) -> _Task:
        """The next task; a new family begins with a single run, whose worker compiles it."""
        family = self.families[0]
        task = _Task(client, dict(family[: self.size]))
        del family[: self.size]
        if not family:
            del self.families[0]
            self.size = 1
        return task

    def took(self, seconds: float) -> None:
        """Set the size of the next tasks by the seconds that a run took."""
        self.size = max(1, min(int(TASK / seconds), 2 * self.size, MOST))


def _sweep_on(plan: Plan, store: Store, client: Any) -> Iterator[Rows | None]:
    kept = store.done()
    line, tasks = _Line(plan, kept), list[_Task]()
    try:
        if kept:
            yield kept
        while line.families or tasks:
            room = AHEAD * max(1, sum(client.nthreads().values())) - len(tasks)
            tasks += [line.task(client) for _ in range(room) if line.families]
            ready = [task for task in tasks if task.future.done()]
            for task in ready:
                tasks.remove(task)
                rows, seconds = task.rows()
                line.took(seconds)
                store.add(rows)
                yield rows
            if not ready:
                _see(client)
                time.sleep(POLL)
                yield None
    finally:
        for task in tasks:
            task.future.cancel()
        client.close()
        store.close()


def _see(client: Any) -> None:
    """Raise ConnectionError if the scheduler is gone."""
    if client.status != "running":
        raise ConnectionError("The scheduler is gone. What it has measured is kept: start again")
