"""What was measured before, with other code, and whether it agrees.

The same network, with every rule written again in JAX beside the frameworks' own, was trained from
three or five seeds with JAX 0.10.2 on a CPU. assets/atlas_before.csv has the comparisons that the
atlas has too: the mean gap in accuracy, and its standard deviation over the seeds.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from core.study.atlas.comparisons import compared
from core.study.atlas.effects import Effect, Recorded
from core.study.atlas.piece import Piece

ASSET = Path(__file__).parents[3] / "assets/atlas_before.csv"
SMALL = 0.005  # a gap in accuracy below which neither its sign nor its size is told
FACTOR = 2  # gaps with the same sign agree if they are within this of each other


class Before(NamedTuple):
    """A gap that was measured before."""

    piece: str
    context: str
    there: str
    here: str
    gap: float  # in accuracy, the port minus the original
    spread: float
    seeds: int


class Pair(NamedTuple):
    """The same comparison, then and now."""

    before: Before
    now: Effect

    @property
    def agrees(self) -> bool:
        """Whether both gaps are small, or have the same sign and much the same size."""
        then, now = self.before.gap, self.now.gap
        if max(abs(then), abs(now)) < SMALL:
            return True
        return then * now > 0 and max(then / now, now / then) <= FACTOR


def pairs(pieces: Iterable[Piece], recorded: Recorded) -> list[Pair]:
    """Every comparison that was measured before and is recorded now, in the order of the file."""
    known = {piece.key: piece for piece in pieces}
    found = []
    for row in before():
        for comparison in compared(known[row.piece], row.there, row.here):
            if comparison.context == row.context and (effect := recorded.effect(comparison)):
                found.append(Pair(row, effect))
    return found


def before() -> list[Before]:
    """Read what was measured before."""
    with ASSET.open(newline="") as file:
        return [
            Before(piece, context, there, here, float(gap), float(spread), int(seeds))
            for piece, context, there, here, gap, spread, seeds in list(csv.reader(file))[1:]
        ]
