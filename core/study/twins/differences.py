"""Which runs may be twins: those with identical starting weights, images and batches."""

from dataclasses import asdict
from typing import Any

from core.config import FIELDS, RunConfig, agree
from core.parts.optimizers import SETTINGS

# Twins may differ in what turns the same weights and the same batch into different new weights,
# in how long they train and in what they report of it, but both are the same network, with the
# same activation and normalisation: BatchNorm has weights that the other would not have.
MAY_DIFFER = (
    "loss", "epsilon", "loss_input", "reduction", "loss_weight", "dropout", "dropout_value",
    "optimizer", "learning_rate", *SETTINGS, "decay_form", "weight_decay", "clip_form",
    "clip_norm", "norm_momentum", "norm_epsilon", "norm_variance", "norm_test", "epochs", "report",
    "label_smoothing", "label_shift",
)  # fmt: skip


def twin_differences(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, with both values.

    Raises:
      ValueError: they differ in more than MAY_DIFFER, so that weights, images or batches would
        not be identical; names the field.
    """
    differing = differing_fields(a, b)
    for name, (one, other) in differing.items():
        if name not in MAY_DIFFER:
            raise ValueError(
                f"{name} is {one!r} in one twin and {other!r} in the other; "
                f"twins may differ in {', '.join(MAY_DIFFER)} only"
            )
    return differing


def differing_fields(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, with both values."""
    differing = [name for name in FIELDS if getattr(a, name) != getattr(b, name)]
    pairs = {name: (a.effective(name), b.effective(name)) for name in differing}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def nearest_twin(a: RunConfig, b: RunConfig) -> RunConfig:
    """The twin of `a` most like `b`: weights, images and batches are a's, the rest is b's."""
    return agree({**asdict(a), **{name: getattr(b, name) for name in MAY_DIFFER}})[0]
