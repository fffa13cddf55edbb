"""What the tests of the core share besides tests/conftest.py."""

from collections.abc import Iterator

import jax
import pytest

from core.run import memory


@pytest.fixture(scope="module", autouse=True)
def nothing_compiled_is_left() -> Iterator[None]:
    """Whatever a file's own jitted functions were compiled to goes with it.

    Else a process of all tests came to gigabytes, and near the number of memory maps that Linux
    allows it.
    """
    yield
    jax.clear_caches()
    memory.give_back()
