"""A recorded sweep, which the page shows until somebody has started one."""

import json
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from core.study.sweep import Plan, Rows, to_json
from core.study.sweep.table import measured_in

RECORDED = Path(__file__).parents[2] / "assets/ten_seeds.parquet"


@cache
def _recorded() -> tuple[dict[str, object], Rows]:
    """Return how the table was made, and its rows; scripts/measure_sweep.py writes it."""
    table = pq.ParquetFile(RECORDED).read()  # read_table would import pyarrow.dataset, too
    return json.loads(table.schema.metadata[b"samenet"]), measured_in(table)


def rows_of(plan: Plan) -> Rows:
    """Return what is recorded of this plan; nothing if another plan was recorded."""
    made, rows = _recorded()
    return rows if made["plan"] == json.loads(to_json(plan)) else {}


def measured_with() -> str:
    """Return the library and the device, in words for the page."""
    made, _ = _recorded()
    return f"JAX {made['jax']} on a {str(made['device']).upper()}"
