"""Sweeps: a grid or a random sample of runs, as a table. `python -m core.study.sweep plan.json`."""

from core.study.sweep.plan import Plan, Sample, Span, from_json, to_json
from core.study.sweep.presets import SWEEPS
from core.study.sweep.run import Rows, sweep
from core.study.sweep.store import Folder, Memory, Store
from core.study.sweep.table import (
    BROKEN,
    OUTCOMES,
    SILENT,
    TRAINS,
    table,
    to_csv,
    to_parquet,
)

__all__ = [
    "BROKEN",
    "OUTCOMES",
    "SILENT",
    "SWEEPS",
    "TRAINS",
    "Folder",
    "Memory",
    "Plan",
    "Rows",
    "Sample",
    "Span",
    "Store",
    "from_json",
    "sweep",
    "table",
    "to_csv",
    "to_json",
    "to_parquet",
]
