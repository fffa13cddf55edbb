"""Run the atlas's comparisons, through the sweep: each run from five seeds, none of them twice."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.config import RunConfig
from core.data import SOURCES, load
from core.run import train
from core.run.prepare import device_data
from core.study import lanes
from core.study.atlas.comparisons import BASE, SEEDS, comparisons, controls, longer, name
from core.study.atlas.effects import Recorded, recorded, worse
from core.study.atlas.piece import Piece
from core.study.band import rounding
from core.study.sweep import Folder, Plan, Rows, sweep
from core.study.sweep.cluster import sweep_on
from core.study.sweep.table import computed_with

SCHEMA = {
    "run": pa.string(), "nudged": pa.bool_(), "seed": pa.int64(), "accuracy": pa.float32()
}  # fmt: skip


def runs(pieces: Sequence[Piece]) -> list[RunConfig]:
    """Every run that a comparison or a control needs, each once, those of one shape together."""
    pairs = [c[-2:] for c in comparisons(pieces)]
    each = dict.fromkeys([*controls().values(), *(config for pair in pairs for config in pair)])
    return _by_shape(each)


def runs_longer(pieces: Sequence[Piece], table: pa.Table) -> list[RunConfig]:
    """The runs that show which of the gaps that matter are only delays."""
    recorded = Recorded(table)
    effects = [recorded.effect(comparison) for comparison in comparisons(pieces)]
    matter = [effect for effect in effects if effect is not None and effect.matters]
    each = dict.fromkeys(longer(worse(e.comparison, e.original, e.ported)) for e in matter)
    return _by_shape(each)


def _by_shape(configs: Iterable[RunConfig]) -> list[RunConfig]:
    return sorted(configs, key=lambda config: str(train.shape(config)))


def measure(config: RunConfig, folder: Path, scheduler: str | None = None) -> Iterator[Rows | None]:
    """Train a run from each of SEEDS, but for those that the folder holds; as `sweep` does.

    With the address of a scheduler the runs go to a Dask cluster. Raises what `sweep` and
    `sweep_on` raise.
    """
    plan, path = _plan(config), _path(config, folder)
    if scheduler:
        return sweep_on(plan, Folder(path, plan), scheduler)
    return sweep(plan, Folder(path, plan))


def nudge(config: RunConfig, folder: Path) -> Iterator[None]:
    """Train a run from each of SEEDS from weights nudged by one rounding, unless that was done."""
    path = _nudged(config, folder)
    if path.exists():
        return
    seeds = [replace(config, seed=seed) for seed in SEEDS]
    moved, accuracy = [1 + seed for seed in SEEDS], np.full(len(SEEDS), np.nan)
    for ended in lanes.runs(
        seeds, device_data(config), perturbations=moved, magnitude=rounding(config)
    ):
        if ended is not None:
            accuracy[ended.runs] = ended.held_out
        yield
    path.write_text(json.dumps(accuracy.tolist()))


def _plan(config: RunConfig) -> Plan:
    return Plan(base=config, axes={"seed": SEEDS})


def _path(config: RunConfig, folder: Path) -> Path:
    return folder / _plan(config).key


def _nudged(config: RunConfig, folder: Path) -> Path:
    return folder / f"{_plan(config).key}-nudged.json"


def known(path: Path) -> Recorded | None:
    """The table at a path; None if there is none, or runs of today cannot stand beside its runs."""
    if not path.exists():
        return None
    table = recorded(path)
    return table if table.made.items() >= _made().items() else None


def collect(configs: Sequence[RunConfig], folder: Path, had: Recorded | None = None) -> pa.Table:
    """The table of runs that were all measured, or were had already, with what it was made with.

    Its date is that of the newest run.
    """
    rows = []
    for config in configs:
        if had is not None and (accuracy := had.accuracy(config)) is not None:
            rows += [_row(config, seed, accuracy[i]) for i, seed in enumerate(SEEDS)]
            continue
        store = Folder(_path(config, folder), _plan(config))
        measured = store.done()
        store.close()
        for cell, seed in enumerate(SEEDS):  # what the program reports, if that is not true
            row = measured[cell]
            value = row["reported" if "reported" in row else "held_out"]
            rows.append(_row(config, seed, score(config, value)))
    for config in controls().values():
        accuracy = None if had is None else had.accuracy(config, nudged=True)
        nudged = accuracy if accuracy is not None else _read_nudged(config, folder)
        rows += [_row(config, seed, nudged[i], nudged=True) for i, seed in enumerate(SEEDS)]
    made = {**_made(), "date": datetime.now(UTC).date().isoformat()}
    metadata = {b"samenet": json.dumps(made, sort_keys=True).encode()}
    return pa.Table.from_pylist(rows, pa.schema(SCHEMA, metadata=metadata))


def _made() -> dict[str, object]:
    return {**computed_with(), "base": json.loads(json.dumps(BASE.differences()))}


def _read_nudged(config: RunConfig, folder: Path) -> list[float]:
    return [score(config, value) for value in json.loads(_nudged(config, folder).read_text())]


def score(config: RunConfig, held_out: float) -> float:
    """What is compared of a run: its accuracy, or of a regression the share that it explains.

    Args:
      held_out: the accuracy on held-out images, or the mean squared error on held-out series.
    """
    if not SOURCES[config.source].series:
        return held_out
    return 1 - held_out / float(load(config.source, process=config.process).test_labels.var())


def _row(config: RunConfig, seed: int, accuracy: float, nudged: bool = False) -> dict[str, object]:
    return {"run": name(config), "nudged": nudged, "seed": seed, "accuracy": accuracy}
