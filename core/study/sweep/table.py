"""The tidy table of a sweep: for each cell a row, with the axes' values and the run's results."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.config import FIELDS
from core.fields import Range, to_text
from core.study.lanes import Ended, Metrics
from core.study.sweep.plan import VERSION, Plan, to_json

SILENT, BROKEN, TRAINS = "silent", "broken", "trains"
OUTCOMES = {
    TRAINS: "its gradient is finite and not 0",
    SILENT: "the gradient of its next step is exactly 0 in every weight",
    BROKEN: "its loss, gradient or weights are NaN or infinite",
}

# What is measured of a run at its end: the outcome, and the rest as in a Snapshot.
MEASURED = {
    "final_loss": pa.float32(),  # mean over the first PROBE training images
    "train_accuracy": pa.float32(),  # on the same images; NaN for a regression
    "held_out": pa.float32(),  # accuracy on all held-out images; for a regression, the error
    "gradient_norm": pa.float32(),  # of the gradient that one more step would use
    "outcome": pa.string(),  # a key of OUTCOMES
}

# A column of plans whose programs may report another accuracy than `held_out`; NaN where they do
# not.
REPORTED = {"reported": pa.float32()}

RunRow = dict[str, Any]  # what is measured of one run


def schema(plan: Plan) -> pa.Schema:
    """The columns: `cell`, its place in the plan; the axes; what is measured.

    The plan is the metadata.
    """
    kinds = {name: _kind(name) for name in plan.axes}
    otherwise = "report" in plan.axes or plan.base.report != "true"
    measured = MEASURED | (REPORTED if otherwise else {})
    return pa.schema({"cell": pa.int64(), **kinds, **measured}, metadata=made_by(plan))


def _kind(name: str) -> pa.DataType:
    allowed = FIELDS[name]
    if isinstance(allowed, Range):
        return pa.int64() if allowed.whole else pa.float64()
    return pa.string()


def made_by(plan: Plan) -> dict[bytes, bytes]:
    """What determines the figures: the plan, and what it was computed with."""
    made = {"version": VERSION, "plan": json.loads(to_json(plan)), **computed_with()}
    return {b"samenet": json.dumps(made, sort_keys=True).encode()}


def computed_with() -> dict[str, str]:
    """The library and the kind of device, on whose rounding the figures depend."""
    return {"jax": jax.__version__, "device": jax.default_backend()}


def rows(ended: Ended) -> list[RunRow]:
    """What is measured of each run of a batch."""
    last = Metrics(*(np.asarray(column)[:, -1] for column in ended.metrics))
    assert ended.held_out is not None
    return [
        {
            "final_loss": float(last.loss[i]),
            "train_accuracy": float(last.train_accuracy[i]),
            "held_out": float(ended.held_out[i]),
            "gradient_norm": float(last.gradient_norm[i]),
            "outcome": _outcome(Metrics(*(column[i] for column in last))),
            **({} if ended.reported is None else {"reported": float(ended.reported[i])}),
        }
        for i in range(len(ended.runs))
    ]


def _outcome(run: Metrics) -> str:
    if not (run.next_finite and np.isfinite(run.loss) and np.isfinite(run.gradient_norm)):
        return BROKEN
    return SILENT if run.gradient_norm == 0 else TRAINS


def table(plan: Plan, measured: Mapping[int, RunRow]) -> pa.Table:
    """The table of some cells, in order; `measured` is cell -> what is measured there."""
    cells = []
    for cell in sorted(measured):
        values = zip(plan.axes, plan.values[cell], strict=True)
        axes = {name: _cell_value(value) for name, value in values}
        cells.append({"cell": cell, **axes, **dict.fromkeys(REPORTED, math.nan), **measured[cell]})
    return pa.Table.from_pylist(cells, schema(plan))


def _cell_value(value: Any) -> Any:
    return to_text(value) if isinstance(value, tuple) else value


def measured_in(sweep: pa.Table) -> dict[int, RunRow]:
    """What is measured in each cell of a table; a cell that is there twice counts once."""
    reported = [name for name in REPORTED if name in sweep.column_names]
    kept = sweep.select(["cell", *MEASURED, *reported]).to_pylist()
    return {row.pop("cell"): row for row in reversed(kept)}


def joined(plan: Plan, tables: Iterable[pa.Table]) -> pa.Table:
    """Join tables of one plan into one, with each cell once, in order."""
    measured: dict[int, RunRow] = {}
    for each in tables:
        measured = {**measured_in(each), **measured}
    return table(plan, measured)


def to_csv(sweep: pa.Table) -> bytes:
    """The table as CSV; NaN is written as NaN."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(sweep.column_names)
    lines.writerows(map(_text, row.values()) for row in sweep.to_pylist())
    return text.getvalue().encode()


def _text(value: Any) -> str:
    return "NaN" if isinstance(value, float) and value != value else str(value)


def to_parquet(sweep: pa.Table) -> bytes:
    """The table as the bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(sweep, sink)
    return sink.getvalue().to_pybytes()


def columns(sweep: pa.Table, names: Sequence[str]) -> list[list[Any]]:
    """Some columns as lists."""
    return [sweep[name].to_pylist() for name in names]
