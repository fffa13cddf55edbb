"""What tests, benchmarks and scripts share: small runs, pages, servers, visitors, a browser.

Nothing here is a test, and nothing here imports one.
"""

import os
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MINUTE = 60.0  # seconds that a busy machine may take for one page
MNIST_VARIABLE = "SAMENET_MNIST_DIR"
MNIST = ROOT.parent / "shared" / "mnist"  # the official files, if they are beside the checkout

more = partial(pytest.param, marks=pytest.mark.slow)  # a trial that rarely says more


def official_mnist() -> Path | None:
    """The folder of the four official MNIST files, if this machine has one."""
    folder = Path(os.environ.get(MNIST_VARIABLE) or MNIST)
    return folder if folder.is_dir() else None
