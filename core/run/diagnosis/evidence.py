"""What a cause is told of a run, and what it answers."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from types import MappingProxyType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from core.config import RunConfig
from core.parts.dropout import DROPOUTS
from core.parts.models import MODELS
from core.parts.normalisations import NORMALISATIONS
from core.run.snapshot import Snapshot


class Evidence(NamedTuple):
    """A run as far as it has been seen, at least its start."""

    config: RunConfig
    snapshots: Sequence[Snapshot]

    @property
    def first(self) -> Snapshot:
        """The start."""
        return self.snapshots[0]

    @property
    def now(self) -> Snapshot:
        """The newest look."""
        return self.snapshots[-1]

    @property
    def nan(self) -> float:
        """The share of the predictions that are NaN."""
        return float(self.now.saturation.nonfinite)

    @property
    def broken(self) -> bool:
        """Whether a weight is NaN or inf."""
        return not np.all(np.isfinite(self.now.weight_norms))

    @property
    def unbroken(self) -> Sequence[Snapshot]:
        """The looks before the first at which a weight was NaN or inf."""
        return list(takewhile(lambda look: np.all(np.isfinite(look.weight_norms)), self.snapshots))

    @property
    def wrong(self) -> str:
        """The share of the images that are wrong, in words."""
        return percent(float(self.now.census.wrong))

    @property
    def examples(self) -> str:
        """What the examples are, in a word."""
        return "series" if self.now.fit else "images"

    @property
    def dropping(self) -> bool:
        """Whether a step drops units, which a look does not."""
        return keep_prob(self.config) < 1

    @property
    def normalising(self) -> bool:
        """Whether a look normalises images otherwise than a step does."""
        return NORMALISATIONS[self.config.normalisation].test_batch is not None

    @property
    def as_trained(self) -> bool:
        """Whether a step sees an image as a look does: with all units, and by itself."""
        alone = MODELS[self.config.model].test_batch is None and not self.normalising
        return not self.dropping and alone


class Diagnosis(NamedTuple):
    """A cause that fits, in words, with what may help."""

    sentence: str
    cure: Mapping[str, Any] = MappingProxyType({})  # fields to change; may be empty
    # Where the sentence foretells: whether a later look of the same run bears it out.
    holds: Callable[[Snapshot], bool] | None = None
    cause: str = ""  # its key in CAUSES, which `diagnose` adds


Cause = Callable[[Evidence], Diagnosis | None]


def keep_prob(config: RunConfig) -> float:
    """The share of the units that a step keeps."""
    return _kept(config.dropout, config.dropout_value)


@lru_cache(maxsize=1024)
def _kept(dropout: str, value: float) -> float:
    """Asking JAX at each look took a tenth of a frame."""
    return float(DROPOUTS[dropout].means(jnp.float32(value)).keep_prob)


def divergence(share: float, expected: float) -> float:
    """How far a share is above the one expected, in nats (Kullback-Leibler); 0 if it is below."""
    if share <= expected:
        return 0.0
    pairs = [(share, expected), (1 - share, 1 - expected)]
    return sum(p * math.log(p / q) for p, q in pairs if p)


def percent(value: float) -> str:
    """84%, but never 0% or 100% for what is not exactly none or all."""
    if 0 < value <= 0.005:  # half rounds to even
        return "under 1%"
    if 0.995 <= value < 1:
        return "over 99%"
    return f"{value:.0%}"
