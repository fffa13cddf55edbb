"""Nothing in this folder may compile a program or start a process; tests/compiled does both."""

import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.kit.runs import compiling


def refused(*_: object, **__: object) -> None:
    raise AssertionError("a test that starts a process belongs in tests/compiled")


@pytest.fixture(autouse=True)
def neither_a_program_nor_a_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(subprocess, "Popen", refused)
    # In the same process a thread of an earlier page may still be compiling.
    earlier = {each.ident for each in threading.enumerate()} - {threading.get_ident()}
    with compiling(others=earlier) as compilations:
        yield
    assert not compilations, "a test that compiles belongs in tests/compiled"
