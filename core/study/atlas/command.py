"""Measure the atlas without a screen: `python -m core.study.atlas [--out FOLDER]`.

Every two values of every piece that a run can be set to are compared, each run from five seeds on
the first 10,000 images of MNIST. Then the worse run of each gap of a point or more, if it can be
told from chance, is trained three times as long. The table is written to assets/atlas.parquet,
which the page shows.

Progress goes to stderr. Started again with the same folder, it goes on with what is missing.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from core.config import RunConfig
from core.data import DataUnavailable
from core.run.prepare import TooLong
from core.study.atlas.comparisons import controls
from core.study.atlas.effects import ASSET
from core.study.atlas.measure import collect, measure, nudge, runs, runs_longer
from core.study.atlas.pieces import PIECES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m core.study.atlas",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("atlas"), help="the folder of the runs")
    parser.add_argument("--table", type=Path, default=ASSET, help="where the table is written")
    parser.add_argument("--scheduler", help="a Dask cluster, as in tcp://localhost:8786")
    options = parser.parse_args(arguments)
    pieces = list(PIECES.values())
    try:
        each = runs(pieces)
        _measure_all(each, options.out, options.scheduler)
        for config in controls().values():
            for _ in nudge(config, options.out):
                pass
        more = runs_longer(pieces, collect(each, options.out))
        _measure_all(more, options.out, options.scheduler)
        pq.write_table(collect(list(dict.fromkeys([*each, *more])), options.out), options.table)
    except KeyboardInterrupt:
        _tell("stopped; the same command goes on from here")
        return 130
    except (ValueError, OSError, MemoryError, TooLong, DataUnavailable, RuntimeError) as error:
        _tell(str(error))
        return 1
    _tell(f"{options.table}")
    return 0


def _measure_all(configs: Sequence[RunConfig], folder: Path, scheduler: str | None) -> None:
    """Measure each run, and print the progress after each."""
    began = time.monotonic()
    for i, config in enumerate(configs, 1):
        for _ in measure(config, folder, scheduler):
            pass
        seconds = (time.monotonic() - began) / i
        left = seconds * (len(configs) - i) / 60
        _tell(f"{i} of {len(configs)} runs, {seconds:.1f} s a run, {left:.0f} min left")


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
