"""A sweep on this machine: cells of one shape share a program, and no cell is computed twice."""

from collections.abc import Iterator, Mapping, Sequence

import jax

from core.config import RunConfig
from core.fields import number
from core.limits import limits
from core.run import train
from core.run.prepare import device_data, free
from core.run.price import TooLong, seconds
from core.study import lanes
from core.study.sweep.plan import Plan
from core.study.sweep.store import Store
from core.study.sweep.table import RunRow, rows

Rows = dict[int, RunRow]  # cell -> what is measured there


def sweep(plan: Plan, store: Store) -> Iterator[Rows | None]:
    """Measure every cell that the store does not hold.

    Yields the rows that the store holds, then each new batch, and None between pieces of work, so
    that the caller can stop; the store then holds every batch that was yielded. Pieces take about
    `lanes.PIECE` seconds, unless a step or a compilation takes longer. Cells with the same
    configuration are one run.

    Raises:
      ValueError: values of a cell do not fit together.
      MemoryError, TooLong: the runs of a cell would not fit this machine.
      OSError: the store cannot be written to.
    """
    plan.cells  # noqa: B018  # raises ValueError before anything is trained
    return _sweep(plan, store)


def _sweep(plan: Plan, store: Store) -> Iterator[Rows | None]:
    kept = store.done()
    if kept:
        yield kept
    try:
        for family in families(plan, kept):
            for batch in measure_runs(list(family)):
                if batch is None:
                    yield None
                    continue
                by_cell = {cell: row for run, row in batch.items() for cell in family[run]}
                store.add(by_cell)
                yield by_cell
    finally:
        store.close()


def families(plan: Plan, kept: Mapping[int, RunRow]) -> list[dict[RunConfig, list[int]]]:
    """Group the runs that go together, each run with its cells that are not kept yet."""
    groups: dict[tuple[object, ...], dict[RunConfig, list[int]]] = {}
    for cell, config in enumerate(plan.cells):
        if cell not in kept:
            family = groups.setdefault(lanes.family(config), {})
            family.setdefault(config, []).append(cell)
    return list(groups.values())


def measure_runs(configs: Sequence[RunConfig]) -> Iterator[dict[RunConfig, RunRow] | None]:
    """Yield what is measured of runs that go together, by batches; None between pieces of work."""
    check(configs[0])
    data = device_data(configs[0])
    for ended in lanes.runs(configs, data):
        if ended is None:
            yield None
        else:
            yield {configs[i]: row for i, row in zip(ended.runs, rows(ended), strict=True)}


def check(config: RunConfig) -> None:
    """Check that a run fits this machine, before it is started.

    Raises:
      MemoryError: its weights and a batch's activations do not fit.
      TooLong: a step would take longer than the host allows, judged by its matrix products.
    """
    shape, allowed = train.shape(config), free()
    widest = 0 if "widths" in config.ignored() else sum(config.widths)
    # A layer's outputs, their gradient, and what is computed from one for the other.
    needed = train.bytes_needed(shape) + 3 * 4 * config.batch_size * widest
    if needed > allowed:
        raise MemoryError(f"A run needs {needed / 1e9:.1f} GB and {allowed / 1e9:.1f} GB are free.")
    weights = sum(leaf.size for leaf in jax.tree.leaves(train.start_types(shape).params))
    limit = limits().step_seconds
    price = seconds(6.0 * weights * config.batch_size)  # 2 operations forward, 4 backward
    if price > limit:
        raise TooLong(
            f"A step of a run with layers {config.widths} and batches of {config.batch_size} takes "
            f"{number(price, 2)} s here, and {number(limit, 2)} s are allowed."
        )
