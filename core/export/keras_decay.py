"""The decay of a layer's weights in Keras: a penalty that the layer is given."""

from collections.abc import Sequence

from core.config import RunConfig
from core.export.shared import real
from core.parts.clip_and_decay import DECAY_FORMS


def decayed(config: RunConfig, kernels: Sequence[str], others: Sequence[str] = ()) -> str:
    """The arguments of a layer that decay its weights, which begin with these words."""
    row = DECAY_FORMS[config.decay_form]
    if not row.in_gradient:
        return ""
    names = kernels if row.penalty else [*kernels, *others]
    share = config.weight_decay / (1 if row.penalty else 2)  # L2(c) is c times w²
    decay = f"keras.regularizers.L2({real(share)})"
    return "".join(f", {name}regularizer={decay}" for name in names)
