"""Run a sweep without a screen: `python -m core.study.sweep plan.json [--out FOLDER]`.

The plan is JSON: what differs from the trainer's defaults, and a list of values for each axis.

    {"version": 1, "base": {"loss": "clip"}, "axes": {"seed": [0, 1, 2], "epsilon": [1e-7, 0.01]}}

For a random sample add {"sample": {"count": 64, "seed": 0}}; an axis may then be a span instead of
a list: {"low": 1e-4, "high": 1, "log": true}. A preset may be named instead of a file.

Progress goes to stderr. At the end the folder holds table.parquet. Started again with the same plan
and folder, the sweep goes on with what is missing. To start over, delete the folder.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from core import command
from core.command import tell
from core.data import DataUnavailable
from core.run.price import TooLong
from core.study.sweep.cluster import sweep_on
from core.study.sweep.plan import Plan, from_json
from core.study.sweep.presets import SWEEPS
from core.study.sweep.run import Rows, sweep
from core.study.sweep.store import WHOLE, Folder

EVERY = 1.0  # seconds between two lines of progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.study.sweep", __doc__)
    parser.add_argument("plan", help=f"a file, or one of {', '.join(SWEEPS)}")
    parser.add_argument("--out", type=Path, help="the folder to keep the table in")
    parser.add_argument("--scheduler", help="a Dask cluster, as in tcp://localhost:8786")
    options = parser.parse_args(arguments)
    try:
        plan = _plan(options.plan)
        out = options.out or Path(f"sweep-{plan.key}")
        tell(f"{plan.size:,} cells, kept in {out}")
        store = Folder(out, plan)
        if options.scheduler:
            batches = sweep_on(plan, store, options.scheduler)
        else:
            batches = sweep(plan, store)
        _follow(plan, len(store.done()), batches)
    except KeyboardInterrupt:
        tell("stopped; the same command goes on from here")
        return 130
    except (ValueError, OSError, MemoryError, TooLong, DataUnavailable, RuntimeError) as error:
        tell(str(error))
        return 1
    tell(f"{out / WHOLE}, {store.bytes() / 1e6:.2f} MB")
    return 0


def _plan(named: str) -> Plan:
    if named in SWEEPS:
        return SWEEPS[named].plan
    try:
        return from_json(Path(named).read_text())
    except UnicodeDecodeError as error:
        raise ValueError(f"{named} is not a text: {error}") from error


def _follow(plan: Plan, kept: int, batches: Iterator[Rows | None]) -> None:
    """Print the progress once a second; `kept` cells were there before."""
    began = printed = time.monotonic()
    done = 0
    for batch in batches:
        done += len(batch or ())
        now = time.monotonic()
        if batch and done > kept and now - printed > EVERY:
            printed = now
            tell(progress(done, plan.size, (now - began) / (done - kept)))
    tell(progress(done, plan.size, 0.0))


def progress(done: int, size: int, seconds: float) -> str:
    """The progress as text, such as: 12 of 60 cells, 0.35 s a cell, 17 s left."""
    words = f"{done:,} of {size:,} cells"
    if not seconds or done == size:
        return words
    left = seconds * (size - done)
    time_left = f"{left:.0f} s" if left < 120 else f"{left / 60:.0f} min"
    return f"{words}, {seconds:.2g} s a cell, {time_left} left"
