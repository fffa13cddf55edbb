"""The engine with real runs, and a process that ends while one of them compiles."""

import os
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from core.config import RunConfig
from core.run import prepare as preparing
from core.run import price
from core.run.engine import Engine, Status, View
from core.run.train import (
    bytes_needed,
    first_look,
    program,
    programs,
    programs_kept,
)
from core.run.train import shape as train_shape
from tests.kit import ROOT
from tests.kit.runs import tiny, trained

SOON = 240.0  # seconds that a slow machine may take


def steps(view: View) -> list[int]:
    return [snapshot.step for snapshot in view.snapshots]


def test_a_step_is_one_update_and_a_look_goes_on_to_the_next_mark() -> None:
    engine, config = Engine(), tiny(epochs=1000)  # 5,000 updates
    viewer = engine.submit(config, until=0)
    for move, step in [(viewer.step, 1), (viewer.step, 2), (viewer.look, 4), (viewer.step, 5)]:
        count = len(engine.wait(viewer, 1, SOON).snapshots)
        move()
        assert steps(engine.wait(viewer, count + 1, SOON))[-1] == step
        assert viewer.limit == step
    engine.close()


def test_memory_is_checked_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "free_bytes", lambda: 1e9)
    with pytest.raises(MemoryError, match=r"need 2\d\.\d GB and 1\.0 GB are free.*narrower"):
        preparing.prepare(RunConfig(widths=(16_384,) * 8), lambda *_: None)


def test_a_step_that_takes_too_long_is_refused_with_what_would_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(price, "_fastest", [1e11])
    monkeypatch.setattr(price, "_measured", lambda: 1e11)
    config = tiny(batch_size=100)
    seconds = price.seconds(program(train_shape(config)).step_operations)
    monkeypatch.setenv("SAMENET_STEP_SECONDS", str(seconds / 2))
    with pytest.raises(preparing.TooLong, match=r"is .* s of matrix products here, .* Try \d+ im"):
        preparing.prepare(config, lambda *_: None)
    half = replace(config, batch_size=20)
    assert preparing.prepare(half, lambda *_: None).step_seconds < seconds / 2
    monkeypatch.setenv("SAMENET_STEP_SECONDS", str(seconds / 200))
    with pytest.raises(preparing.TooLong, match="Make the layers narrower"):
        preparing.prepare(config, lambda *_: None)


def test_the_memory_of_a_step_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """This includes activations: the weights alone would fit."""
    config = tiny(batch_size=100)
    shape = train_shape(config)
    preparing.prepare(config, lambda *_: None)
    weights, needed = bytes_needed(shape), program(shape).memory()
    monkeypatch.setattr(preparing, "free_bytes", lambda: (weights + needed) // 2)
    assert needed > weights
    with pytest.raises(MemoryError, match=r"A step of this run needs .* are free"):
        preparing.prepare(config, lambda *_: None)


def test_what_processes_of_long_runs_take_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing.budget, "here", lambda: 3 * 10**9)
    monkeypatch.setattr(preparing.memory, "resident", lambda: 10**9)
    monkeypatch.setattr(preparing, "free_bytes", lambda: 10**12)
    for others, free in ((0, 2 * 10**9), (15 * 10**8, 5 * 10**8), (4 * 10**9, preparing.SMALL)):
        monkeypatch.setattr(preparing.own_process, "resident", lambda others=others: others)
        assert preparing.free() == free
        if free > preparing.PROCESS:
            assert preparing._room_for_process() == free
        else:
            with pytest.raises(MemoryError, match="a process of its own"):
                preparing._room_for_process()


def test_a_convolution_takes_more_than_xla_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(NamedTuple):
        shape: Any
        said: int = 10**9

        def memory(self) -> int:
            return self.said

    monkeypatch.setattr(preparing, "free", lambda: 2 * 10**9)
    preparing._check_memory(Large(train_shape(tiny())))  # type: ignore[arg-type]
    cnn = RunConfig(model="cnn", task="digits", loss="from_logits")
    with pytest.raises(MemoryError, match=r"needs 2\.5 GB and 2\.0 GB are free"):
        preparing._check_memory(Large(train_shape(cnn)))  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [tiny(), tiny(widths=(300, 200), batch_size=100)])
def test_operations_are_those_of_the_matrix_products(config: RunConfig) -> None:
    """A step takes six operations for each weight and image, or four in the first layer.

    The first layer needs no gradient of its input. Whatever else a step does is additional.
    """
    first, *rest = (a * b for a, b in pairwise((784, *config.widths, 1)))
    products = config.batch_size * (4 * first + 6 * sum(rest))
    found = program(train_shape(config)).step_operations
    assert products <= found <= 2 * products + 1e6


# A process that ends while XLA compiles. Killing a thread there would take the process with it.
LEAVE = """
import time
from core.config import RunConfig
from core.run.engine import Engine, Status
viewer = Engine().submit(RunConfig(widths=(777,)))
while viewer.view().status is not Status.COMPILING:
    time.sleep(0.01)
time.sleep(1)  # tracing has ended, compiling has not
"""


@pytest.mark.slow
def test_a_process_ends_cleanly_in_mid_compilation() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LEAVE],
        cwd=ROOT, capture_output=True, text=True, timeout=SOON,
        env={**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_a_real_run_is_the_one_that_train_gives() -> None:
    engine = Engine()
    seen: list[Status] = []
    viewer = engine.submit(tiny())
    while (view := viewer.view()).status not in (Status.DONE, Status.FAILED):
        seen.append(view.status)
        engine.wait(viewer, len(view.snapshots) + 1, 0.05)
    engine.close()
    assert view.status is Status.DONE, view.message
    jax.tree.map(np.testing.assert_array_equal, view.snapshots, trained(tiny()))
    assert set(seen) <= {Status.PREPARING, Status.COMPILING, Status.RUNNING}


def test_runs_that_start_alike_share_their_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are also the same, bit for bit, as the runs are alone."""
    looked: list[RunConfig] = []

    def look(config: RunConfig, *others: Any) -> Any:
        looked.append(config)
        return first_look(config, *others)

    monkeypatch.setattr(preparing, "_first_looks", type(preparing._first_looks)())
    monkeypatch.setattr(preparing.train, "first_look", look)
    one = tiny(batch_size=20)
    alike = [
        replace(one, learning_rate=0.3),
        replace(one, optimizer="adam"),
        replace(one, epochs=1),
    ]
    for config in (one, *alike):
        ticks = preparing.prepare(config, lambda *_: None).ticks
        shared = [snapshot for snapshot in ticks if snapshot is not None]
        jax.tree.map(np.testing.assert_array_equal, shared, trained(config))
    assert looked == [one]
    for name, value in [("seed", 1), ("loss", "clip"), ("batch_size", 100)]:
        next(preparing.prepare(replace(one, **{name: value}), lambda *_: None).ticks)
    assert len(looked) == 4


def test_first_looks_are_kept_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_first_looks", type(preparing._first_looks)())
    next(preparing.prepare(tiny(), lambda *_: None).ticks)
    [(_, size)] = preparing._first_looks.values()
    monkeypatch.setattr(preparing, "FIRST_LOOKS", 2 * size)
    for seed in range(1, 5):
        next(preparing.prepare(tiny(seed=seed), lambda *_: None).ticks)
    assert len(preparing._first_looks) == 2


def test_a_machine_that_was_busy_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A speed from a busy moment is measured again before a run is refused; the best is kept."""
    speeds = iter([1e6, 1e12, 1e3, 1e3])
    monkeypatch.setattr(price, "_fastest", [0.0])
    monkeypatch.setattr(price, "_measured", lambda: next(speeds))
    assert [price.seconds(1e12), price.seconds(1e12)] == [1e6, 1e6]
    assert price.seconds(1e12, again=True) == 1.0
    assert price.seconds(1e12, again=True) == 1.0
    monkeypatch.setattr(price, "_fastest", [1.0])
    monkeypatch.setattr(price, "_measured", lambda: 1e12)
    assert preparing.prepare(tiny(), lambda *_: None).step_seconds < 1
    look = program(train_shape(tiny())).look_operations
    monkeypatch.setattr(price, "_fastest", [look / (3 * price.LONG)])
    assert not isinstance(preparing.prepare(tiny(), lambda *_: None).ticks, preparing.OwnProcess)


def test_a_run_has_to_fit_into_the_host_s_budget_unless_it_is_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAMENET_MEMORY", "1")  # MB, less than this process has
    preparing.prepare(tiny(), lambda *_: None)
    monkeypatch.setattr(preparing, "SMALL", 1)
    with pytest.raises(MemoryError, match=r"need 0\.0 GB and 0\.0 GB are free"):
        preparing.prepare(tiny(), lambda *_: None)


def test_a_program_that_a_run_needs_is_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_programs", OrderedDict())
    needed, other = tiny(widths=(3,)), tiny(widths=(4,))
    program(train_shape(needed)), program(train_shape(other))
    assert preparing.let_go_of_program([needed]) == 0  # nothing of it is compiled
    assert preparing.let_go_of_program([needed]) is None
    assert programs_kept() == (1, 0)
    assert preparing.let_go_of_program([]) == 0 and programs_kept() == (0, 0)


def test_first_looks_go_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "_first_looks", OrderedDict(a=(None, 7), b=(None, 8)))
    gone = [preparing.let_go_of_first_look() for _ in range(3)]
    assert gone == [7, 8, None]


def test_a_run_has_its_data_though_others_load_more_than_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparing, "_loaded", OrderedDict())
    monkeypatch.setattr(preparing, "DATA_SETS", 0)
    assert len(preparing.device_data(tiny()).train_images) == tiny().train_size
    assert not preparing._loaded
