"""Memory that the process keeps between two calls of a compiled program, and gives back."""

import os
import subprocess
import sys

import pytest

from core.run import memory
from tests.kit import ROOT


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
    assert len(answers) == 4


ASKED = """
import asyncio
from core.run import memory
asked = []
memory._glibc = asked.append
import benchmarks.epoch, core.reproduce, core.run.child, core.run.engine, core.study.sweep
from ui import engine, server

async def serve():
    async with server.lifespan(None):
        print(*asked)

print(*asked, "nothing yet")
asyncio.run(serve())
"""


def test_a_server_sets_the_allocator_and_no_import_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASKED],
        cwd=ROOT, env={**os.environ, "SAMENET_WARM_UP": "0"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["nothing yet", "mallopt"], ran.stderr


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_buffers()
    memory.give_back()
