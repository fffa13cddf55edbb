"""What a difference does to a small network: the recorded runs, judged against two controls.

A regression has no accuracy. In its place stands the share of the targets' variance that it
explains, 1 - (mean squared error) / variance: 1 if every prediction is right, 0 if it always
predicts the mean.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.config import RunConfig
from core.registry import Registry, Row
from core.study.atlas.comparisons import SEEDS, Comparison, controls, longer, name
from core.study.atlas.piece import CONTEXTS

Array = Any  # a numpy array

RUINS = 0.3  # of the accuracy: a gap as large as this, unless time makes up for it
MATTERS = 0.01  # smaller gaps are not given more time
STUDENT = 2.776  # 97.5% of Student's t with 4 degrees of freedom, that of five seeds
ASSET = Path(__file__).parents[3] / "assets/atlas.parquet"

KINDS = Registry(
    "kind of effect",
    [
        Row(key="ruins", label="ruins training", summary="At least 30 points, and three times as "
            "many steps do not make up for half of it."),
        Row(key="ruins_sgd", label="ruins plain SGD", summary="At least 30 points with plain SGD, "
            "less with Adam, which divides the size of the gradient out."),
        Row(key="costs", label="costs accuracy", summary="More than chance, and three times as "
            "many steps do not make up for half of it."),
        Row(key="delays", label="delays learning", summary="More than chance, but three times "
            "as many steps make up for at least half of it."),
        Row(key="small", label="less than a point", summary="More than chance, but less than one "
            "point."),
        Row(key="chance", label="cannot be told from chance", summary="No more than rounding "
            "does, or than seeds differ in it."),
    ],
)  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """A comparison's measured accuracies on held-out examples, float64 [seeds] each."""

    comparison: Comparison
    original: Array
    ported: Array
    nudged: Array  # the context's own run from weights nudged by one rounding, minus that run
    longer: Array | None  # the worse of the two with more steps

    @cached_property
    def gaps(self) -> Array:
        """The port minus the original, by seed."""
        return self.ported - self.original

    @cached_property
    def gap(self) -> float:
        """The mean of the gaps."""
        return float(self.gaps.mean())

    @property
    def spread(self) -> float:
        """The gaps' standard deviation over the seeds."""
        return float(self.gaps.std(ddof=1))

    @property
    def told(self) -> bool:
        """Whether the gap can be told from chance: from rounding, and from 0 at 95%."""
        noise = STUDENT * self.spread / np.sqrt(len(self.gaps))
        return abs(self.gap) > max(noise, float(np.abs(self.nudged).max()))

    @property
    def matters(self) -> bool:
        """Whether the gap can be told from chance and is at least a point."""
        return self.told and abs(self.gap) >= MATTERS

    @property
    def kind(self) -> str:
        """A key of KINDS; a single comparison never `ruins_sgd`."""
        if not self.told:
            return "chance"
        if not self.matters:
            return "small"
        worse, better = sorted((self.original.mean(), self.ported.mean()))
        if self.longer is not None and self.longer.mean() > (worse + better) / 2:
            return "delays"
        return "ruins" if abs(self.gap) >= RUINS else "costs"


def largest(effects: Sequence[Effect]) -> Effect:
    """The one with the largest gap, among those that can be told from chance if there are any."""
    return max(effects, key=lambda effect: (effect.told, abs(effect.gap)))


def verdict(effects: Sequence[Effect]) -> str:
    """What a difference does, judged by its comparisons in all contexts: a key of KINDS."""
    kinds = {effect.comparison.context: effect.kind for effect in effects}
    ruined = {context for context, kind in kinds.items() if kind == "ruins"}
    if ruined:
        by_sgd = all(CONTEXTS[each].settings.get("optimizer") == "sgd" for each in ruined)
        return "ruins_sgd" if by_sgd and "adam" in kinds else "ruins"
    return largest(effects).kind


class Recorded:
    """The table of runs that `python -m core.study.atlas` writes."""

    def __init__(self, table: pa.Table) -> None:
        self.made: Mapping[str, str] = json.loads((table.schema.metadata or {})[b"samenet"])
        self._accuracy: dict[tuple[str, bool], dict[int, float]] = {}
        for row in table.to_pylist():
            runs = self._accuracy.setdefault((row["run"], row["nudged"]), {})
            runs[row["seed"]] = row["accuracy"]

    def accuracy(self, config: RunConfig, nudged: bool = False) -> Array | None:
        """The accuracy of a run from each of SEEDS, float64 [seeds]; None if it was not run."""
        runs = self._accuracy.get((name(config), nudged), {})
        return np.array([runs[seed] for seed in SEEDS]) if len(runs) == len(SEEDS) else None

    def effect(self, comparison: Comparison) -> Effect | None:
        """What was measured in a comparison; None if one of its runs is not recorded."""
        original, ported = map(self.accuracy, (comparison.original, comparison.ported))
        control = controls()[comparison.context]
        plain, moved = self.accuracy(control), self.accuracy(control, nudged=True)
        if original is None or ported is None or plain is None or moved is None:
            return None
        more = self.accuracy(longer(worse(comparison, original, ported)))
        return Effect(comparison, original, ported, moved - plain, more)


def worse(comparison: Comparison, original: Array, ported: Array) -> RunConfig:
    """The one of two runs that ends with the lower accuracy."""
    port_is = ported.mean() < original.mean()
    return comparison.ported if port_is else comparison.original


@cache
def recorded(path: Path = ASSET) -> Recorded:
    """Read the recorded table."""
    return Recorded(pq.ParquetFile(path).read())  # read_table would import pyarrow.dataset, too
