"""Memory that the process keeps between two calls of a compiled program, and gives back."""

import sys

import pytest

from core.run import memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_the_c_library_accepts_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    own, answers = memory._glibc, []

    def watched(name: str) -> object:
        function = own(name)
        assert function is not None
        return lambda *options: answers.append(function(*options))

    monkeypatch.setattr(memory, "_glibc", watched)
    memory.keep_buffers()
    assert answers == [1, 1, 1]
    memory.give_back()
    assert len(answers) == 4 and memory.free_bytes() > 1 << 20


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_buffers()
    memory.give_back()
