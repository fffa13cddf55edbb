"""Memory that the C library and JAX keep between two calls, and what gives it back."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from core.data import load
from core.run import entry, memory, traces, train
from tests.kit import ROOT
from tests.kit.runs import tiny, trained


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
import asyncio, os
from core.run import entry, memory
asked = []
memory._glibc = asked.append
import benchmarks.epoch, core.reproduce, core.run.child, core.run.engine, core.study.sweep
from ui import engine, server

async def serve():
    async with server.lifespan(None):
        print(*asked)

print(*asked, entry.LOOPS in os.environ.get(entry.FLAGS, ""))
asyncio.run(serve())
print(os.environ[entry.FLAGS])
"""


def test_a_server_sets_its_process_up_and_no_import_does() -> None:
    own = {"SAMENET_WARM_UP": "0", "JAX_PLATFORMS": "cpu", entry.FLAGS: "--xla_of_the_host=1"}
    given = {**os.environ, **own}
    ran = subprocess.run(
        [sys.executable, "-c", ASKED], cwd=ROOT, env=given, capture_output=True, text=True
    )
    flags = f"--xla_of_the_host=1 {entry.LOOPS}"
    assert ran.stdout.splitlines() == ["False", "mallopt", flags], ran.stderr


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    memory.keep_buffers()
    memory.give_back()


def test_a_run_goes_on_without_the_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny()
    whole = trained(config)
    going_on = train.run(config, load(config.source, config.train_size))
    seen = [next(going_on), next(going_on)]
    monkeypatch.setattr(traces, "_seconds", traces.WORTH)
    assert traces.let_go() is not None and traces.let_go() is None
    seen += going_on
    assert [look.loss for look in seen] == [look.loss for look in whole]
    assert all(np.array_equal(a.margins, b.margins) for a, b in zip(seen, whole, strict=True))


def test_what_jax_traces_is_counted_and_forgotten(
    monkeypatch: pytest.MonkeyPatch, compilations: list[float]
) -> None:
    monkeypatch.setattr(traces, "_seconds", 0.0)
    monkeypatch.setattr(traces, "WORTH", 1e-9)
    assert traces.let_go() is None
    doubled, x = jax.jit(lambda x: 2 * x), np.float32(3)
    for _ in range(2):
        doubled(x)
    assert len(compilations) == 1 and traces._seconds > 0
    assert traces.let_go() is not None
    assert float(doubled(x)) == 6 and len(compilations) == 2
