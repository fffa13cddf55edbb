"""Losses as lines for frameworks with functions like NumPy's.

A formula is of logits `z` and labels `y`: 0 or 1 for two classes, one-hot as {hot} for more. {ops}
stands for the framework's module of functions, {clip} for what clips, {e} for epsilon.
"""

from typing import NamedTuple

from core.parts.losses import LOSSES, Form

_LOG_LOSS = ["return -(y * {ops}.log(p) + (1 - y) * {ops}.log(1 - p))"]
_HOT_LOSS = ["return -{ops}.sum({hot} * {ops}.log(p), -1)"]
_SIGMOID = "p = {ops}.sigmoid(z)"
_SOFTMAX = "p = {ops}.softmax(z, -1)"
_CLIP = "p = {clip}(p, {e}, 1 - {e})"
_SHARES = "p = p / {ops}.sum(p, -1)[:, None]"

BINARY: dict[str, list[str]] = {
    "naive": [_SIGMOID, *_LOG_LOSS],
    "mxnet": [
        _SIGMOID,
        "return -(y * {ops}.log(p + {e}) + (1 - y) * {ops}.log(1 - p + {e}))",
    ],
    "torch_bce": [
        _SIGMOID,
        "log_p, log_rest = {ops}.clip({ops}.log(p), -100, 0), {ops}.clip({ops}.log1p(-p), -100, 0)",
        "return -(y * log_p + (1 - y) * log_rest)",
    ],
    "clip": [_SIGMOID, _CLIP, *_LOG_LOSS],
    "question_stable": [
        _SIGMOID,
        "p = {clip}(p, {e}, 1 - {e} / 10)",
        "z = {ops}.log(p / (1 - p))",
        "m = {ops}.relu(z)",
        "return z - z * y + m + {ops}.log({ops}.exp(-m) + {ops}.exp(-z - m))",
    ],
    "keras2_tf": [
        _SIGMOID,
        _CLIP,
        "return -(y * {ops}.log(p + {e}) + (1 - y) * {ops}.log(1 - p + {e}))",
    ],
    "keras1_tf": [
        _SIGMOID,
        _CLIP,
        "z = {ops}.log(p / (1 - p))",
        "return {ops}.relu(z) - z * y + {ops}.log1p({ops}.exp(-{ops}.abs(z)))",
    ],
}
SOFTMAX: dict[str, list[str]] = {
    "naive_exp": ["p = {ops}.exp(z)", _SHARES, *_HOT_LOSS],
    "naive": [_SOFTMAX, *_HOT_LOSS],
    "clip": [_SOFTMAX, _CLIP, *_HOT_LOSS],
    "keras_jax": [_SOFTMAX, _SHARES, _CLIP, *_HOT_LOSS],
}
# Losses that clip as another does, but for what happens exactly at a limit.
ALIKE = {
    "binary": {"keras_jax": "clip", "keras_torch": "clip", "keras_tf_hidden": "clip"},
    "softmax": {"keras_torch": "keras_jax", "keras_tf_hidden": "keras_jax"},
}
# Losses whose gradient is not the derivative of what they return.
BY_HAND = {
    "torch_bce": "PyTorch's loss has a gradient written by hand. Here it is that of the formula.",
    "theano_onehot": "Theano's gradient of this loss divides by the probability of each class, so "
    "that it may be NaN. Here it is the derivative.",
}


class Names(NamedTuple):
    """How a framework writes what formulas need."""

    ops: str
    hot: str  # an expression with y
    clip: str


def lines(form: Form, loss: str, names: Names, epsilon: str) -> list[str] | None:
    """The body of a function of y and z, or None for a loss that is taken from the logits."""
    if form == "regression" or LOSSES[loss].works_on == "logits" or loss == "theano_onehot":
        return None
    table = BINARY if form == "binary" else SOFTMAX
    formula = table[ALIKE[form].get(loss, loss)]
    return [line.format(**names._asdict(), e=epsilon) for line in formula]
