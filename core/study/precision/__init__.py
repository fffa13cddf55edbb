"""What a loss does in a floating-point format: its curve, its error, its edges, its epsilon.

Everything is found by evaluating the rows of LOSSES, or NumPy, on the format's own numbers; no
threshold here comes from a formula. Logits have no unit, losses are in nats, errors in ulp (units
in the last place of the exact value, in the format at hand).

A softmax row is evaluated along one line, three classes with logits (z, 0, 1), and differentiated
with respect to z.
"""

from core.study.precision.curve import Curve, curve
from core.study.precision.edges import Edges, edges
from core.study.precision.epsilon import EpsilonLimits, epsilon_limits
from core.study.precision.evaluate import compiled, evaluate, ready
from core.study.precision.exact import Exact, exact
from core.study.precision.samples import kinds, losses_and_slopes, position, slopes
from core.study.precision.words import first_broken, silence, where

__all__ = [
    "Curve",
    "Edges",
    "EpsilonLimits",
    "Exact",
    "compiled",
    "curve",
    "edges",
    "epsilon_limits",
    "evaluate",
    "exact",
    "first_broken",
    "kinds",
    "losses_and_slopes",
    "position",
    "ready",
    "silence",
    "slopes",
    "where",
]
