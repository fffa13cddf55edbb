"""Measure the atlas without a screen: `python -m core.study.atlas [--out FOLDER]`.

Every two values of every piece that a run can be set to are compared, each run from five seeds on
the first 10,000 images of MNIST. Then the worse run of each gap of a point or more, if it can be
told from chance, is trained three times as long. The table is written to assets/atlas.parquet,
which the page shows. Runs that are in it, and were made by the same version of JAX on the same kind
of device, are not measured again.

Progress goes to stderr. Started again with the same folder, it goes on with what is missing.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from core import command
from core.command import tell
from core.config import RunConfig
from core.data import DataUnavailable
from core.run.price import TooLong
from core.study.atlas.comparisons import controls
from core.study.atlas.effects import ASSET, Recorded
from core.study.atlas.measure import collect, known, measure, nudge, runs, runs_longer
from core.study.atlas.pieces import PIECES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.study.atlas", __doc__)
    parser.add_argument("--out", type=Path, default=Path("atlas"), help="the folder of the runs")
    parser.add_argument("--table", type=Path, default=ASSET, help="where the table is written")
    parser.add_argument("--scheduler", help="a Dask cluster, as in tcp://localhost:8786")
    parser.add_argument("--afresh", action="store_true", help="measure what the table has, too")
    options = parser.parse_args(arguments)
    pieces = list(PIECES.values())
    try:
        had = None if options.afresh else known(options.table)
        each = runs(pieces)
        _measure_all(each, had, options.out, options.scheduler)
        for config in controls().values():
            if had is None or had.accuracy(config, nudged=True) is None:
                for _ in nudge(config, options.out):
                    pass
        more = runs_longer(pieces, collect(each, options.out, had))
        _measure_all(more, had, options.out, options.scheduler)
        every = list(dict.fromkeys([*each, *more]))
        pq.write_table(collect(every, options.out, had), options.table)
    except KeyboardInterrupt:
        tell("stopped; the same command goes on from here")
        return 130
    except (ValueError, OSError, MemoryError, TooLong, DataUnavailable, RuntimeError) as error:
        tell(str(error))
        return 1
    tell(f"{options.table}")
    return 0


def _measure_all(
    configs: Sequence[RunConfig], had: Recorded | None, folder: Path, scheduler: str | None
) -> None:
    """Measure each run that is not had already, and print the progress after each."""
    began = time.monotonic()
    missing = [config for config in configs if had is None or had.accuracy(config) is None]
    for i, config in enumerate(missing, 1):
        for _ in measure(config, folder, scheduler):
            pass
        seconds = (time.monotonic() - began) / i
        left = seconds * (len(missing) - i) / 60
        tell(f"{i} of {len(missing)} runs, {seconds:.1f} s a run, {left:.0f} min left")
