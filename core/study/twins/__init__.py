"""Twins: two runs from identical weights and data, which differ in one thing.

The first gradients that differ say what it does and to which images. Functions that take long are
generators which give way: they yield None between pieces of work, so that whoever drives them can
stop.
"""

from core.study.twins.differences import MAY_DIFFER, apart, differences, nearest_twin
from core.study.twins.lockstep import Pair, twins
from core.study.twins.parting import Divergence, first_divergence, relative_differences
from core.study.twins.swap import Swap, swap

__all__ = [
    "MAY_DIFFER",
    "Divergence",
    "Pair",
    "Swap",
    "apart",
    "differences",
    "first_divergence",
    "nearest_twin",
    "relative_differences",
    "swap",
    "twins",
]
