"""What a host allows this server: limits, read from the environment here and nowhere else.

docs/hosting.md has the table for hosts; a test holds it to the rows below.
"""

import math
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from core.data import SOURCES

FIRST_DATA = "sample"  # comes with Samenet, and every page begins with it


class Limits(NamedTuple):
    """What this server does at most; math.inf where the host sets no limit."""

    memory_mb: float  # of the whole server; math.inf: what core.run.budget finds out
    runs: int  # advanced in turn; others wait in the queue
    steps: float  # of one run
    width: float  # units of a hidden layer
    step_seconds: float  # that one step may take
    sweep_cells: int  # of one sweep on the page
    upload_mb: float  # of one file; math.inf: what .streamlit/config.toml says
    data: tuple[str, ...]  # keys of core.data.SOURCES
    framework_seconds: float  # that a real framework may take for a run; 0: none is run

    def sentence(self) -> str:
        """Say what a run may be here, or "" if the host limits nothing."""
        steps = f"up to {self.steps:,} steps" if self.steps < math.inf else ""
        width = f"layers of up to {self.width:,} units" if self.width < math.inf else ""
        allowed = " and ".join(filter(None, [steps, width]))
        return f"This server trains {allowed}." if allowed else ""


class Variable(NamedTuple):
    """How a limit is told: the environment variable, and what its text may be."""

    name: str
    default: Any
    parse: Callable[[str], Any]  # raises ValueError
    allowed: str
    means: str
    without: str = ""  # what holds then, if `default` does not say it

    def row(self) -> str:
        """Return its row of the table in docs/hosting.md."""
        without = self.without or (
            "no limit" if self.default == math.inf else f"{self.default:,.0f}"
        )
        return f"| `{self.name}` | {self.means} | {without} |"


def _number(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _data(text: str) -> tuple[str, ...]:
    keys = {FIRST_DATA, *(key.strip() for key in text.split(","))}
    if not keys <= {*SOURCES}:
        raise ValueError(text)
    return tuple(key for key in SOURCES if key in keys)


def _seconds(text: str) -> float:
    return 0.0 if text == "never" else _number(text)


WHOLE = "a whole number from 1"
VARIABLES = {
    "memory_mb": Variable(
        "SAMENET_MEMORY", math.inf, _number, "a number of MB above 0",
        "the memory in MB that the server keeps itself to",
        "four fifths of what its container or machine has",
    ),
    "runs": Variable(
        "SAMENET_RUNS", 32, _whole, WHOLE,
        "runs that are trained in turn; others wait in a queue and see their place in it",
    ),
    "steps": Variable("SAMENET_STEPS", math.inf, _whole, WHOLE, "the steps of a run"),
    "width": Variable(
        "SAMENET_WIDTH", math.inf, _whole, WHOLE,
        "the units of a hidden layer; the first network has 1,000",
    ),
    "step_seconds": Variable(
        "SAMENET_STEP_SECONDS", 10.0, _number, "a number of seconds above 0",
        "the longest step that a run may have, in seconds; a longer one is refused with what fits",
    ),
    "sweep_cells": Variable(
        "SAMENET_SWEEP_CELLS", 2000, _whole, WHOLE, "the runs of one sweep on the page"
    ),
    "upload_mb": Variable(
        "SAMENET_UPLOAD_MB", math.inf, _whole, WHOLE,
        "the size in MB of a file that a visitor may send", "as .streamlit/config.toml says",
    ),
    "data": Variable(
        "SAMENET_DATA", tuple(SOURCES), _data,
        f"keys with commas between them: {', '.join(SOURCES)}",
        f"the data on offer, as `{FIRST_DATA},ou`; `{FIRST_DATA}` always is", "all",
    ),
    "framework_seconds": Variable(
        "SAMENET_FRAMEWORK_SECONDS", 300.0, _seconds, "a number of seconds above 0, or never",
        "the seconds that a real framework may train a run, in a process of its own; `never` "
        "offers none",
    ),
}  # fmt: skip


def limits() -> Limits:
    """Return this server's limits.

    Raises:
      ValueError: a variable's text is not allowed; the message says what is.
    """
    return _read(tuple(os.environ.get(row.name) for row in VARIABLES.values()))


@lru_cache(maxsize=8)
def _read(texts: tuple[str | None, ...]) -> Limits:
    return Limits(*map(_value, VARIABLES.values(), texts))


def _value(row: Variable, text: str | None) -> Any:
    if text is None:
        return row.default
    try:
        return row.parse(text)
    except ValueError:
        raise ValueError(f"{row.name} is {text!r}; allowed is {row.allowed}") from None
