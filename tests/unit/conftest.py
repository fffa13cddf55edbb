"""Nothing in this folder may compile a program or start a process; tests/compiled does both."""

import subprocess
from collections.abc import Iterator

import pytest


def refused(*_: object, **__: object) -> None:
    raise AssertionError("a test that starts a process belongs in tests/compiled")


@pytest.fixture(autouse=True)
def neither_a_program_nor_a_process(
    compilations: list[float], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr(subprocess, "Popen", refused)
    yield
    assert not compilations, "a test that compiles belongs in tests/compiled"
