"""Numbers that a format cannot hold: NaN, inf, and what is rounded to 0."""

import numpy as np

from core.fields import number
from core.parts.dtypes import Dtype
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, percent
from core.run.diagnosis.silence import FEW
from core.run.snapshot import Gradient, Largest, Snapshot

MOST_VANISHED = 0.5  # of the gradient's numbers
# Of a layer's weights that have a gradient. Ten digits, 120 steps of SGD, Momentum and Adam, each
# at four or five learning rates, with weights in bfloat16 and float16, against the same in float32
# (JAX 0.10.2, CPU): with more than this, runs ended up to 0.24 less accurate, with less at most
# 0.01. In float32 the share was at most 0.02.
MOST_ROUNDED_AWAY = 0.7


def overflow(e: Evidence) -> Diagnosis | None:
    """A number is larger than the largest of its format, and becomes inf (IEEE 754)."""
    overflowing = _beyond(e)
    if overflowing is None:
        return None
    look, name, value = overflowing
    past = look is not e.now
    scaled = name == "gradient" and look.loss_scale != 1
    times = f" times the loss scale of {look.loss_scale:,.0f}" if scaled else ""
    would_be, is_ = ("would have been", "was") if past else ("would be", "is")
    size = f"{is_} inf" if np.isinf(value) else f"{would_be} {_big(value)}"
    sentence = (
        f"It {f'overflowed at step {look.step:,}' if past else 'overflows'}: {_format(e).label} "
        f"ends at {_big(_format(e).largest)}, and the largest {name}{times} {size}."
    )
    if past:
        sentence += " Now some weights are NaN or inf."
    elif scaled and not np.any(look.update_norms):
        sentence += " This step is skipped."
    return Diagnosis(sentence, cures.more_range(e.config))


def _beyond(e: Evidence) -> tuple[Snapshot, str, float] | None:
    """The look at which a number goes beyond the format, which one, and how large it would be.

    Now, or where weights are broken by now, at the first look that saw it.
    """
    looks = e.snapshots if e.broken else [e.now]
    sizes = np.array([look.largest for look in looks], float)
    with np.errstate(over="ignore"):
        rounded = sizes.astype(_format(e).dtype)
    # A division by 0 gives inf too. What finite weights make of finite pixels overflows.
    known = np.isfinite(sizes)
    known[:, 0] |= known[:, Largest._fields.index("weight")]
    beyond = np.argwhere(np.isinf(rounded) & known)
    if not len(beyond):
        return None
    look, which = looks[beyond[0][0]], beyond[0][1]
    return look, Largest._fields[which], look.largest[which]


def _format(e: Evidence) -> Dtype:
    return PRECISIONS[e.config.precision].compute


def _big(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def broken_weights(e: Evidence) -> Diagnosis | None:
    """A weight is NaN or inf, and no sum or difference with it is a number (IEEE 754)."""
    if not e.broken:
        return None
    predictions = f"{percent(e.nan)} of the predictions are NaN. " if e.nan else ""
    return Diagnosis(
        f"{predictions}Some weights are NaN or inf, and no step makes such a weight a number "
        "again.",
        cures.sounder(e.config),
        holds=_is_broken,
    )


def breaking_step(e: Evidence) -> Diagnosis | None:
    """The next step makes a weight NaN or inf."""
    if e.now.next_finite or e.broken:
        return None
    if not np.all(np.isfinite(e.now.gradient_norms)):
        sentence = (
            "The predictions are still numbers, but the gradient is not: the next step breaks them."
        )
    elif by_zero := _divisor_rounded_to_zero(e):
        sentence = f"The gradient is finite, but its step is not: {by_zero}."
    else:
        sentence = "The gradient is finite, but its step overflows: it makes weights NaN or inf."
    return Diagnosis(sentence, cures.sounder(e.config), holds=_is_broken)


def _divisor_rounded_to_zero(e: Evidence) -> str:
    """Why the optimizer divides by 0 in the weights' format, in words; empty if it does not."""
    optimizer, weights = OPTIMIZERS[e.config.optimizer], PRECISIONS[e.config.precision].weights
    epsilon = e.config.effective("optimizer_epsilon")
    only_grows = optimizer.first_square > 0 and optimizer.beta_2 is None  # so it is never 0
    if epsilon is None or only_grows or weights.dtype.type(epsilon) > 0:
        return ""
    name = optimizer.label.partition(",")[0]
    is_0 = f"of {number(epsilon)} is 0 in {weights.label}" if epsilon else "is 0"
    return (
        f"{name}'s epsilon {is_0}, so {name} divides by 0 where the square of a gradient is 0, too"
    )


def _is_broken(later: Snapshot) -> bool:
    return not np.all(np.isfinite(later.weight_norms))


def nan(e: Evidence) -> Diagnosis | None:
    """A prediction is NaN, though all weights are numbers."""
    if not e.nan or e.broken:
        return None
    return Diagnosis(
        f"{percent(e.nan)} of the predictions are NaN.", cures.smaller_pixels(e.config)
    )


def nonfinite_gradients(e: Evidence) -> Diagnosis | None:
    """Some images have a gradient that is no number."""
    hit = float(np.mean(e.now.gradients == Gradient.NONFINITE))
    if hit == 0:
        return None
    sentence = f"{percent(hit)} of the {e.examples} have a gradient that is NaN or inf."
    return Diagnosis(sentence, cures.on_logits(e.config))


def vanishing(e: Evidence) -> Diagnosis | None:
    """Most of the gradient is 0 in 16 bits and is not in float32 (Micikevicius et al., 2018)."""
    if not e.now.vanished > MOST_VANISHED:  # NaN where the run has more bits
        return None
    return Diagnosis(
        f"{percent(e.now.vanished)} of the gradient's numbers are too small for "
        f"{_format(e).label}: they are exactly 0, and in float32 they are not.",
        {"precision": "float32"},
    )


def rounded_away(e: Evidence) -> Diagnosis | None:
    """Most of a layer's weights that a step should move stay where they are."""
    shares = np.nan_to_num(e.now.rounded_away)
    layer = int(np.argmax(shares))
    much = shares[layer] > MOST_ROUNDED_AWAY and e.now.census.wrong > FEW
    # Momentum's first step is a tenth of its later ones.
    if not (much and e.now.step > 0 and np.all(np.isfinite(e.now.gradient_norms))):
        return None
    return Diagnosis(
        f"The steps are rounded away: of layer {layer + 1}'s weights that have a gradient, the "
        f"next step leaves {percent(float(shares[layer]))} exactly where they are, because it is "
        f"too small to reach the next number of {PRECISIONS[e.config.precision].weights.label}.",
        cures.finer_weights(e.config),
    )
