"""A visitor's samples on the logit axis, right ones above the line and wrong ones below."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ui.charts import digits, frame
from ui.charts.digits import Mark, Placed, Zone


def end(logits: np.ndarray) -> float:
    """Return where an axis ends that holds these finite logits: a power of ten from 10."""
    widest = float(np.abs(logits).max(initial=1.0))
    return float(10.0 ** min(38, max(1, math.ceil(math.log10(max(widest, 1.0))))))


@frame.built_once()
def spec(top: float, title: str) -> dict[str, Any]:
    """Draw samples as bars over their logit from -top to top; `tables` has their tables."""
    bars = digits.layers(*digits.symlog(top), title, {}, None, "samples")
    return {**frame.spec(bars), "height": 420}


def tables(samples: Placed, top: float, zones: Sequence[Zone]) -> frame.Tables:
    """Return the tables of `spec`; zones where a loss gives no gradient are shaded."""
    return digits.tables(samples, digits.spaced(top, digits.BINS + 1), zones, Mark())
