"""A long run in a process of its own is the same run, and the process ends when it should."""

import threading
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import psutil
import pytest

from core.config import RunConfig
from core.run import engine as engine_module
from core.run import own_process
from core.run import prepare as preparing
from core.run.engine import Engine, Status
from core.run.train import looks_of
from tests.kit import MINUTE
from tests.kit.runs import tiny, trained

CONFIG = tiny()
PATIENCE = 12 * MINUTE  # the other process yields to everything that runs beside it
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine for which every step is long."""
    monkeypatch.setattr(preparing, "LONG", 0.0)
    monkeypatch.setattr(engine_module, "LONG", 0.0)
    made = Engine()
    yield made
    made.close()


def processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "core.run.child" in " ".join(child.cmdline())]


def test_a_long_run_is_the_same_run_in_another_process(engine: Engine) -> None:
    viewer = engine.submit(CONFIG, until=0)
    assert engine.wait(viewer, 1, PATIENCE).long
    [process] = processes()
    assert process.nice() >= 10  # it yields to all others
    viewer.resume()
    view = engine.wait(viewer, 10**9, PATIENCE)
    assert view.status is Status.DONE, view.message
    jax.tree.map(np.testing.assert_array_equal, view.snapshots, trained(CONFIG))
    assert not process.is_running()


@pytest.mark.slow
def test_a_run_that_is_abandoned_ends_its_process(engine: Engine) -> None:
    viewer = engine.submit(CONFIG, until=0)
    engine.wait(viewer, 1, PATIENCE)
    [process] = processes()
    viewer.stop()
    engine._forget = 0.0
    process.wait(PATIENCE)
    assert not viewer.alive()


@pytest.mark.slow
def test_a_process_that_dies_is_reported_and_the_next_run_works(engine: Engine) -> None:
    viewer = engine.submit(CONFIG, until=0)
    engine.wait(viewer, 1, PATIENCE)
    [process] = processes()
    process.kill()
    viewer.resume()
    view = engine.wait(viewer, 10**9, PATIENCE)
    assert (view.status, view.message) == (Status.FAILED, own_process.DIED)
    assert len(view.snapshots) == 1  # snapshots that arrived are kept
    again = engine.submit(CONFIG)
    assert engine.wait(again, 10**9, PATIENCE).status is Status.DONE


@pytest.mark.slow
def test_an_error_in_the_other_process_is_reported_in_its_words() -> None:
    far = RunConfig(widths=(16384, 16384), train_size=100, batch_size=100)
    heard: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMENET_STEP_SECONDS", "1e-9")
        with pytest.raises(
            own_process.Failed, match="of matrix products here, and 1e-9 s are allowed"
        ):
            own_process.OwnProcess(far, lambda *report: heard.append(report), looks_of(far))
    assert heard[-1][0] is Status.COMPILING
    assert processes() == []


def test_a_server_that_ends_takes_its_processes_along(engine: Engine) -> None:
    """This includes processes that are still preparing; closing waits for them."""
    engine.submit(CONFIG)
    while not processes():
        threading.Event().wait(0.01)
    engine.close()
    assert processes() == []
