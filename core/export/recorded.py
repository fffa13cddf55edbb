"""What real frameworks gave beside a few runs, for servers that have none; recorded elsewhere.

scripts/record_real.py writes the file.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from core.config import RunConfig
from core.export.real import Agreement, sentence

FILE = Path(__file__).with_name("recorded.json")


class Recorded(NamedTuple):
    """A run and a framework, and how far they were from each other."""

    config: RunConfig
    key: str  # of REALS
    version: str
    where: str  # the day, and what computed both
    found: Agreement
    rounding: float  # the largest relative difference of nudged copies from the run

    @property
    def sentence(self) -> str:
        """What the trainer says where the framework is installed."""
        return sentence(self.version, self.found, self.rounding)


@cache
def recorded() -> tuple[Recorded, ...]:
    """Everything in the file."""
    return tuple(
        Recorded(
            RunConfig(**each["config"]),
            each["key"],
            each["version"],
            each["where"],
            Agreement(each["steps"], each["differences"], [True] * len(each["steps"])),
            each["rounding"],
        )
        for each in json.loads(FILE.read_text("utf-8"))
    )


def of(config: RunConfig, key: str) -> Recorded | None:
    """What was recorded of a run with a framework; of the question's, if nothing was of this."""
    known = {each.config: each for each in recorded() if each.key == key}
    return known.get(config, known.get(RunConfig()))
