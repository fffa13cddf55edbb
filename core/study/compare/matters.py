"""How much a cause matters: by the recorded numbers, and in the atlas's measurements."""

import math
from functools import cache

from core.study.compare.report import Verdict, shown

# What the verdicts of a stage are judged by.
_NUMBERS = {
    "outputs": "outputs", "loss": "loss", "gradient of the outputs": "gradient of the outputs",
    "gradients": "gradients", "update": "steps", "state": "state", "evaluation": "evaluation",
}  # fmt: skip
# cause -> the piece of the atlas, and the two of its values that differ as the cause does.
_MEASURED = {
    "softmax_twice": ("loss_expects", "probabilities", "logits"),
    "from_logits": ("loss_expects", "logits", "probabilities"),
    "nesterov": ("nesterov", "off", "on"),
    "rates_in_momentum": ("momentum_form", "inside", "outside"),
    "momentum_form": ("dampening", "0", "0.9"),
    "decay_form": ("weight_decay", "decoupled", "l2"),
    "l2_factor_two": ("l2_factor", "c", "2c"),
    "norm_momentum": ("batch_norm_momentum", "0.99", "0.9"),
    "norm_epsilon": ("batch_norm_epsilon", "0.001", "1e-05"),
    "norm_variance": ("batch_norm_variance", "biased", "unbiased"),
    "norm_evaluation": ("batch_norm_at_test", "running", "batch"),
    "keep_prob": ("dropout_number", "drop", "keep"),
    "dropout_at_evaluation": ("dropout_at_test", "off", "on"),
    "label_smoothing": ("label_smoothing", "off", "0.1"),
    "initial_biases": ("biases", "zeros", "uniform"),
    "no_shuffling": ("shuffling", "every_epoch", "never"),
    "input_scale": ("pixels", "bytes", "unit"),
    "accumulator_start": ("adagrad_start", "0.1", "0"),
}


def matters(stage: str, verdict: Verdict) -> str:
    """Return sentences on what a cause does to the recorded numbers, and to a test accuracy."""
    return " ".join(filter(None, (_here(stage, verdict), _elsewhere(verdict.cause))))


def _here(stage: str, verdict: Verdict) -> str:
    """What the other side's value would change of these numbers, if that was tried."""
    change = verdict.runner_up_residual
    if stage not in _NUMBERS or change is None or not math.isfinite(change) or verdict.unit:
        return ""
    if verdict.residual is not None and change <= 2 * verdict.residual:
        return ""
    share = 100 * change
    by = f"{share:.0f}%" if 10 <= share < 10_000 else f"{shown(share)}%"
    return f"This alone changes the {_NUMBERS[stage]} by {by}."


@cache
def _elsewhere(cause: str) -> str:
    """What the atlas measured of such a difference."""
    if cause not in _MEASURED:
        return ""
    # Reading the atlas takes a second, which most comparisons need not wait for.
    from core.study.atlas.comparisons import comparisons
    from core.study.atlas.effects import recorded
    from core.study.atlas.piece import CONTEXTS
    from core.study.atlas.pieces import PIECES

    key, there, here = _MEASURED[cause]
    piece = PIECES[key]
    told: dict[str, None] = {}
    for each in comparisons([piece]):
        effect = recorded().effect(each) if (each.there, each.here) == (there, here) else None
        context = CONTEXTS[each.context]
        if effect is not None and context.usual:
            gap = f"{100 * abs(effect.gap):.1f} points" if effect.told else "nothing beyond chance"
            told[f"{gap} ({context.label})"] = None
    if not told:
        return ""
    old, new = (piece.values[value].label for value in (there, here))
    return f"In the atlas, {new} instead of {old} changed the test accuracy by {', '.join(told)}."
