"""Record how far real frameworks are from a few runs: `PYTHONPATH=. python scripts/record_real.py`.

It needs requirements-frameworks.txt, and writes core/export/recorded.json, which the trainer shows
where a framework is not installed.
"""

import datetime
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax

from core.config import RunConfig
from core.data import load
from core.export import REALS, real
from core.export.recorded import FILE
from core.run import train
from core.run.prepare import device_data
from core.study import band

RUNS = (
    RunConfig(),
    RunConfig(loss="from_logits"),
    replace(RunConfig(loss="from_logits"), optimizer="adam", learning_rate=1e-3, scaling="unit"),
)
COPIES, MOST_SECONDS = 7, 600.0


def main() -> None:
    """Record every run in every framework."""
    rows = [row for config in RUNS for row in of_run(config)]
    FILE.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def of_run(config: RunConfig) -> Iterator[dict[str, Any]]:
    """The rows of a run; a line is printed for each."""
    looks = train.run(config, load(config.source, config.train_size))
    own = {look.step: look.loss for look in looks}
    copies = [
        real.agreement(dict(zip(copy.steps.tolist(), copy.loss.tolist(), strict=True)), own)
        for copy in band.copies(config, device_data(config), COPIES)
        if copy is not None
    ]
    rounding = max(copy.largest[0] for copy in copies)
    for key, row in REALS.items():
        losses = {}
        for piece in real.looks(config, key, MOST_SECONDS, lambda: False):
            if isinstance(piece, real.Failure):
                raise SystemExit(f"{row.label}: {piece.why}")
            if piece is not None:
                losses[piece.step] = piece.loss
        found = real.agreement(losses, own)
        assert all(found.alike), "a recorded difference is a number"
        print(real.sentence(real.version(row), found, rounding), flush=True)
        yield {
            "config": config.differences(),
            "key": key,
            "version": real.version(row),
            "where": f"{datetime.date.today()}, {os.cpu_count()} CPU cores, JAX {jax.__version__}",
            "steps": found.steps,
            "differences": found.differences,
            "rounding": rounding,
        }


if __name__ == "__main__":
    main()
