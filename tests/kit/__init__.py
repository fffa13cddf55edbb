"""What tests, benchmarks and scripts share: small runs, pages, servers, visitors, a browser.

Nothing here is a test, and nothing here imports one.
"""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MINUTE = 60.0  # seconds that a busy machine may take for one page
MNIST_VARIABLE = "SAMENET_MNIST_DIR"
MNIST = ROOT.parent / "shared" / "mnist"  # the official files, if they are beside the checkout

# Flags with which XLA compiles in under half the time. What it compiles then takes longer to run,
# but few tests train for more than some steps. The slow tests compile as the product does.
IN_A_HURRY = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")

more = partial(pytest.param, marks=pytest.mark.slow)  # a trial that rarely says more


def every(step: int, trials: Iterable[Any]) -> list[Any]:
    """The trials, of which all but each `step`-th are slow; a tuple has several arguments."""
    each = (trial if isinstance(trial, tuple) else (trial,) for trial in trials)
    return [pytest.param(*trial) if i % step == 0 else more(*trial) for i, trial in enumerate(each)]


def official_mnist() -> Path | None:
    """The folder of the four official MNIST files, if this machine has one."""
    folder = Path(os.environ.get(MNIST_VARIABLE) or MNIST)
    return folder if folder.is_dir() else None
