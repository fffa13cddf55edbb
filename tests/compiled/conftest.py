"""What the tests of the core share in addition to tests/conftest.py."""

from collections.abc import Iterator

import jax
import pytest

from core.run import memory


@pytest.fixture(scope="module", autouse=True)
def nothing_compiled_is_left() -> Iterator[None]:
    """Free what a file's own jitted functions were compiled to, once its tests are over.

    Otherwise a process that runs all tests grows to gigabytes, and comes near the number of memory
    maps that Linux allows a process.
    """
    yield
    jax.clear_caches()
    memory.give_back()
