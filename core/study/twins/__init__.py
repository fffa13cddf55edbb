"""Twins: two runs with identical starting weights and data that differ in one setting.

The first gradients that differ show what the setting does, and to which images. Slow functions are
generators that yield None between pieces of work, so that the caller can stop.
"""

from core.study.twins.differences import (
    MAY_DIFFER,
    differing_fields,
    nearest_twin,
    twin_differences,
)
from core.study.twins.parting import Divergence, first_divergence, relative_differences
from core.study.twins.swap import Swap, swap

__all__ = [
    "MAY_DIFFER",
    "Divergence",
    "Swap",
    "differing_fields",
    "first_divergence",
    "nearest_twin",
    "relative_differences",
    "swap",
    "twin_differences",
]
