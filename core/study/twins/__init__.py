"""Two runs beside each other: twins step by step, any others at each stage of their first step.

Twins have identical starting weights and data. The first gradients that differ show what a setting
does, and to which images. Slow functions are generators that yield None between pieces of work, so
that the caller can stop.
"""

from core.study.twins.differences import (
    MAY_DIFFER,
    differing_fields,
    nearest_twin,
    twin_differences,
)
from core.study.twins.parting import Divergence, first_divergence, relative_differences
from core.study.twins.stages import Stage, first_stages
from core.study.twins.swap import Swap, swap

__all__ = [
    "MAY_DIFFER",
    "Divergence",
    "Stage",
    "Swap",
    "differing_fields",
    "first_divergence",
    "first_stages",
    "nearest_twin",
    "relative_differences",
    "swap",
    "twin_differences",
]
