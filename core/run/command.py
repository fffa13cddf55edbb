"""Train one run without a screen: `python -m core.run config.json [--out FILE]`.

The file holds what differs from the trainer's defaults, as JSON:

    {"task": "digits", "loss": "from_logits", "widths": [300, 100], "optimizer": "adam"}

A preset may be named instead. Progress goes to stderr, and the run to stdout or to the file, as
JSON: all its settings, and for each look the step, the epoch, the mean loss in nats, the accuracies
(of a regression the held-out error) and the norm of each layer's gradient. Where the run's program
reports something else than the true accuracy, a look also has the accuracy and the loss that it
reports of the held-out images, and their true loss. JSON has no NaN and no infinity, so they are
written as the texts "NaN", "inf" and "-inf".
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from core import command
from core.command import tell
from core.config import RunConfig, from_json
from core.data import DataUnavailable
from core.presets import PRESETS
from core.run import train
from core.run.prepare import device_data
from core.run.snapshot import Snapshot

EVERY = 1.0  # seconds between two lines of progress, where they do not replace each other
BAR = 30  # characters


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.run", __doc__)
    add_config(parser)
    parser.add_argument("--out", type=Path, help="the file to write the run to")
    options = parser.parse_args(arguments)
    try:
        text = json.dumps(
            as_json(options.config, list(_looks(options.config))), indent=1, allow_nan=False
        )
        if options.out is None:
            print(text)
        else:
            options.out.write_text(text + "\n")
    except KeyboardInterrupt:
        return 130
    except (DataUnavailable, OSError, MemoryError, RuntimeError) as error:
        tell(str(error))
        return 1
    return 0


def add_config(parser: argparse.ArgumentParser) -> None:
    """Let a command take a RunConfig as its first argument, `config`."""
    parser.add_argument("config", type=_asked, help=f"a file, or one of {', '.join(PRESETS)}")


def _asked(named: str) -> RunConfig:
    """Return the configuration in a file, or of a preset.

    Raises:
      argparse.ArgumentTypeError: the file is not a configuration, or cannot be read; says why.
    """
    if named in PRESETS:
        return PRESETS[named].config
    try:
        return from_json(Path(named).read_text())
    except UnicodeDecodeError as error:
        raise argparse.ArgumentTypeError(f"{named}: this is not a text: {error}") from error
    except (ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"{named}: {error}") from error


def _looks(config: RunConfig) -> Iterator[Snapshot]:
    """Train, and show how far it is."""
    bar = _Bar(config.steps)
    data = device_data(config, lambda fraction, what: bar.show(0, what))
    bar.show(0, "compiling")
    for look in train.ticks(config, train.program(train.shape(config)), data):
        if look is not None:
            bar.show(look.step, f"loss {look.loss:.4g}")
            yield look
    bar.end()


class _Bar:
    """A bar on stderr: one line that is written over, or a line a second where that is a file."""

    def __init__(self, steps: int) -> None:
        self.steps, self.over, self.shown = steps, sys.stderr.isatty(), -math.inf

    def show(self, step: int, words: str) -> None:
        now = time.monotonic()
        if not self.over and now - self.shown < EVERY and step < self.steps:
            return
        self.shown = now
        full = BAR * step // self.steps
        line = f"[{'#' * full}{'.' * (BAR - full)}] step {step:,} of {self.steps:,}, {words}"
        if self.over:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        else:
            tell(line)

    def end(self) -> None:
        if self.over:
            print(file=sys.stderr)


def as_json(config: RunConfig, looks: Sequence[Snapshot]) -> dict[str, Any]:
    """A run as JSON has it."""
    settings = {name: config.effective(name) for name in asdict(config)}
    return {
        "version": 1,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "config": {name: value for name, value in settings.items() if value is not None},
        "looks": [_look(look) for look in looks],
    }


def _look(look: Snapshot) -> dict[str, Any]:
    if look.fit is not None:
        results = {"test_error": look.fit.error}
    else:
        results = {"train_accuracy": look.train_accuracy, "test_accuracy": look.test_accuracy}
        if not math.isnan(look.reported):
            results["reported_accuracy"] = look.reported
            results["reported_loss"] = look.reported_loss
            results["held_out_loss"] = look.held_out_loss
    measured = {"epoch": look.epoch, "loss": look.loss, **results}
    return {
        "step": look.step,
        **{name: _number(value) for name, value in measured.items()},
        "gradient_norms": [_number(float(norm)) for norm in look.gradient_norms],
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else "NaN" if math.isnan(value) else str(value)
