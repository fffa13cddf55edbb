"""Who may be twins: runs from identical weights, images and batches."""

from dataclasses import asdict
from typing import Any

from core.config import FIELDS, RunConfig, agree

# What twins may differ in: what turns the same batch and the same weights into other weights.
MAY_DIFFER = (
    "loss", "epsilon", "reduction", "dropout", "dropout_value", "optimizer", "learning_rate",
)  # fmt: skip


def differences(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, with both values.

    Raises:
      ValueError: they differ in more than MAY_DIFFER, so that weights, images or batches would
        not be identical; names the field.
    """
    found = apart(a, b)
    for name, (one, other) in found.items():
        if name not in MAY_DIFFER:
            raise ValueError(
                f"{name} is {one!r} in one twin and {other!r} in the other; "
                f"twins may differ in {', '.join(MAY_DIFFER)} only"
            )
    return found


def apart(a: RunConfig, b: RunConfig) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, with both values."""
    pairs = {name: (getattr(a, name), getattr(b, name)) for name in FIELDS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def nearest_twin(a: RunConfig, b: RunConfig) -> RunConfig:
    """What is most like `b` among the twins of `a`: a's weights, images and batches, b's rest."""
    return agree({**asdict(a), **{name: getattr(b, name) for name in MAY_DIFFER}})[0]
