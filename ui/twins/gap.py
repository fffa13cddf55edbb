"""The gap between two runs' results, beside what chance does to the first of them."""

from collections.abc import Sequence

import numpy as np

from core.config import RunConfig
from core.run.errands import Errand
from core.run.job import View
from core.run.prepare import device_data
from core.study import band
from ui.engine import engine

SEEDS = 3


def reseeded(config: RunConfig) -> Errand:
    """Return the same run with other seeds, as far as they are; all other runs go first."""
    look = engine().errands.look
    return look(("seeds", config), lambda: band.reseeded(config, device_data(config), SEEDS))


def sentence(views: Sequence[View], nudged: Errand | None, seeds: Errand | None) -> str:
    """Return how far apart two training accuracies are, and how far chance moves the first one.

    Nothing until both runs, the nudged copies and those with other seeds are there.
    """
    ends = [view.snapshots[-1].score if view.snapshots else np.nan for view in views]
    if nudged is None or seeds is None or not (nudged.done and seeds.done):
        return ""
    if not (nudged.pieces and seeds.pieces) or not np.isfinite(ends).all():
        return ""
    rounding, other = (_furthest(errand, ends[0]) for errand in (nudged, seeds))
    gap = abs(ends[0] - ends[1])
    return (
        f"They end **{_points(gap)} apart** in training accuracy. Two controls: rounding alone "
        f"moves the first run's end by up to {_points(rounding)} ({len(nudged.pieces)} nudged "
        f"copies), another seed by up to {_points(other)} ({len(seeds.pieces)} seeds)."
    )


def _furthest(errand: Errand, end: float) -> float:
    """How far from `end` the furthest of some runs ends; NaN if one has no accuracy."""
    return float(np.max(np.abs([piece.score[-1] - end for piece in errand.pieces])))


def _points(share: float) -> str:
    return "NaN" if np.isnan(share) else f"{100 * share:.1f} points"
