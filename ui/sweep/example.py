"""A sweep that is recorded, for the page to show before anybody has started one."""

import json
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from core.study.sweep import Plan, Rows, to_json
from core.study.sweep.table import measured_in

RECORDED = Path(__file__).parents[2] / "assets/ten_seeds.parquet"


@cache
def _recorded() -> tuple[dict[str, object], Rows]:
    """What the table was made by, and its rows; scripts/measure_sweep.py writes it."""
    found = pq.ParquetFile(RECORDED).read()  # read_table would import pyarrow.dataset, too
    return json.loads(found.schema.metadata[b"samenet"]), measured_in(found)


def rows_of(plan: Plan) -> Rows:
    """What is recorded of a plan; nothing of another one."""
    made, rows = _recorded()
    return rows if made["plan"] == json.loads(to_json(plan)) else {}


def measured_with() -> str:
    """The library and the device, for the page."""
    made, _ = _recorded()
    return f"JAX {made['jax']} on a {str(made['device']).upper()}"
