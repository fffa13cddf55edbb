"""A framework's process beside the server: what it prints is read, and its end disturbs nobody."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from core.config import RunConfig
from core.data import DataUnavailable
from core.export import REALS, real, recorded
from core.export.real import Failure, Look, agreement, sentence
from tests.kit.runs import tiny

CONFIG = tiny()  # of 10 steps
SOON = 60.0
PRINTED = 'print("  step  loss  right  held out")\n' + "".join(
    f'print("{i} {0.5 + i} 0.5 nan", flush=True)\n' for i in range(11)
)
SEEN = [Look(i, 0.5 + i, 0.5, math.nan) for i in range(11)]
Looks = Iterator[Look | Failure | None]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Looks]]:
    """Begin a script of these lines; all of them have ended after the test."""

    def begin(
        lines: str,
        seconds: float = SOON,
        full: Callable[[], bool] = lambda: False,
        wanted: Callable[[], bool] = lambda: False,
    ) -> Looks:
        monkeypatch.setattr(real, "script", lambda *_: SimpleNamespace(text=lines))
        monkeypatch.setattr(real, "files", lambda *_: {"data.npz": b"123"})
        monkeypatch.setattr(real, "SECOND_LOOK", 0.02)
        return real.looks(CONFIG, "torch", seconds, full, wanted)

    yield begin
    until(lambda: real._turn.acquire(blocking=False))
    real._turn.release()


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def told(looks: Looks) -> list[Look | Failure]:
    return [piece for piece in looks if piece is not None]


def scripts() -> list[psutil.Process]:
    """The processes of scripts that run; one that has ended, but is not waited for, does not."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if any("run_path" in word for word in each.cmdline()):
                found.append(each)
    return found


def near(found: list[Look | Failure], expected: list[Look]) -> bool:
    return repr(found) == repr(expected)  # NaN is not equal to itself


def test_what_a_script_prints_comes_look_by_look(begun: Callable[..., Looks]) -> None:
    assert near(told(begun('print("Epoch 1/2")\n' + PRINTED + 'print("the end")')), SEEN)
    assert not scripts()


def test_a_script_runs_apart_at_low_priority_and_without_what_is_ours(
    begun: Callable[..., Looks], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMENET_MEMORY", "1000")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = told(
        begun(
            "import os, sys\n"
            "assert os.nice(0) >= 10 and open('data.npz').read() == '123'\n"
            "assert not [k for k in os.environ if k.startswith(('SAMENET', 'PYTHONPATH'))]\n"
            "try:\n    import core\nexcept ImportError:\n    " + PRINTED.replace("\n", "\n    ")
        )
    )
    assert near(found, SEEN), found
    assert os.environ["PYTHONPATH"]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("1 / 0", "PyTorch has stopped: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "PyTorch has stopped: status 3"),
        ("import os; os.kill(os.getpid(), 11)", "ended by signal 11; it may have run out of"),
        ("", "PyTorch has stopped: status 0"),
    ],
)  # fmt: skip
def test_a_crash_is_told_after_what_came_before(
    lines: str, why: str, begun: Callable[..., Looks]
) -> None:
    *looks, failure = told(begun('print("0 0.5 0.5 nan", flush=True)\n' + lines))
    assert near(looks, SEEN[:1])
    assert isinstance(failure, Failure) and why in failure.why


HANGS = 'print("0 0.5 0.5 nan", flush=True)\nimport time\ntime.sleep(1000)\n'


def test_a_hang_is_ended_and_told(begun: Callable[..., Looks]) -> None:
    looks = begun(HANGS)
    until(lambda: next(looks) is not None)
    (process,) = real._processes
    process._seconds = 0.0  # by now it has taken longer, however quick this machine is
    (failure,) = told(looks)
    assert isinstance(failure, Failure) and "ended after 0 seconds, the most allowed" in failure.why
    assert not scripts()


def test_a_full_server_ends_it(begun: Callable[..., Looks]) -> None:
    *_, failure = told(begun(HANGS, full=lambda: True))
    assert isinstance(failure, Failure) and "this server's memory was full" in failure.why


def test_one_runs_at_a_time_and_its_memory_is_counted(begun: Callable[..., Looks]) -> None:
    first = begun(HANGS)
    until(lambda: next(first) is not None)
    second = begun(PRINTED)
    assert len(scripts()) == 1 and real.resident() > 10**6
    assert [next(second) for _ in range(5)] == [None] * 5, "it waits for its turn"
    first.close()  # type: ignore[attr-defined]
    assert near(told(second), SEEN)
    assert not scripts() and real.resident() == 0


def test_one_that_is_left_ends_and_begins_again_when_it_is_asked_for(
    begun: Callable[..., Looks], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = PRINTED.replace("flush=True)", "flush=True); import time; time.sleep(0.05)")
    looks = begun(slow)
    monkeypatch.setattr(real, "PATIENCE", 0.3)
    until(lambda: next(looks) is not None)
    until(lambda: not scripts())
    monkeypatch.setattr(real, "PATIENCE", SOON)
    assert near([SEEN[0], *told(looks)], SEEN), "no look comes twice"


def test_one_that_is_looked_at_goes_on_though_there_is_no_turn_for_its_errand(
    begun: Callable[..., Looks], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = PRINTED.replace("flush=True)", "flush=True); import time; time.sleep(0.05)")
    asked: list[float] = []

    def wanted() -> bool:
        asked.append(time.monotonic())
        return True

    looks = begun(slow, wanted=wanted)
    monkeypatch.setattr(real, "PATIENCE", 0.0)
    until(lambda: next(looks) is not None)
    until(lambda: not scripts())
    assert len(asked) > 1 and near(told(looks), SEEN[1:]), "it was not begun again"


def test_data_that_cannot_be_had_is_told(
    begun: Callable[..., Looks], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any) -> dict[str, bytes]:
        raise DataUnavailable("no data here")

    looks = begun(PRINTED)
    monkeypatch.setattr(real, "files", nothing)
    assert told(looks) == [Failure("no data here")]


@pytest.mark.parametrize(
    "line", ["", "a b c d", "1 2 3", "-1 2 3 4", "1 2 3 x", "² 1 1 1", "1 2 3 4 5"]
)
def test_other_lines_are_no_looks(line: str) -> None:
    assert real.read_look(line) is None


# What is installed


def test_what_is_missing_is_found_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real.util, "find_spec", lambda name: None if name == "torch" else object())
    lacking = {key: real.missing(row) for key, row in REALS.items()}
    assert lacking == {
        "torch": ["torch"], "keras_jax": [], "keras_tensorflow": [], "keras_torch": ["torch"],
    }  # fmt: skip
    assert real.natural(RunConfig(loss="from_logits")) == "keras_jax", "the first that is there"
    assert real.natural(RunConfig(loss="keras_torch")) == "keras_torch"


def test_versions_are_those_of_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"keras": "3.15.1", "tensorflow-cpu": "2.21.0", "torch": "2.14.1+cpu"}

    def found(package: str) -> str:
        if package not in known:
            raise real.metadata.PackageNotFoundError
        return known[package]

    monkeypatch.setattr(real.metadata, "version", found)
    assert [real.version(row) for row in REALS.values()] == [
        "PyTorch 2.14.1", "Keras 3.15.1 on JAX", "Keras 3.15.1 on TensorFlow 2.21.0",
        "Keras 3.15.1 on PyTorch 2.14.1",
    ]  # fmt: skip


def test_a_loss_of_another_back_end_is_told() -> None:
    config = tiny(loss="keras_torch")
    assert real.cannot(config, REALS["keras_torch"]) == ()
    [told] = real.cannot(config, REALS["keras_jax"])
    assert told == "The loss is that of Keras on PyTorch; here Keras computes its own on JAX."
    assert real.cannot(tiny(), REALS["keras_jax"]) == ()


# How far it is from the run


def test_a_difference_is_relative_and_as_printed() -> None:
    found = agreement(
        {0: 1.0, 2: 2.00018, 4: 0.1, 5: 9.0}, {0: 1.0, 2: 2.0, 3: 7.0, 4: 0.1 + 1e-12}
    )
    assert found.steps == [0, 2, 4] and found.largest == (pytest.approx(9e-5), 2)
    assert found.differences[::2] == [0, 0], "both print the same nine digits"
    assert sentence("PyTorch 2", found, 2.2e-6) == (
        "PyTorch 2 stays within 9e-5 of this run's loss, relative to it, over 4 steps; the largest "
        "difference is at step 2. Weights nudged by one rounding move its loss by up to 3e-6 of "
        "it: rounding alone does not do as much."
    )


@pytest.mark.parametrize(
    ("rounding", "so"),
    [
        (0.5, "by up to 0.5 of it: rounding alone does as much."),
        (0.1, "by up to 0.1 of it."),
        (1e-4, "by up to 1e-4 of it: rounding alone does not do as much."),
    ],
)
def test_where_two_runs_part_is_told_with_what_rounding_does(rounding: float, so: str) -> None:
    ours = {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}
    text = sentence("Keras", agreement({0: 1.0, 1: 1.000002, 2: 1.01, 3: 1.4}, ours), rounding)
    assert text.startswith(
        "Keras stays within 2e-6 of this run's loss up to step 1, and then parts from it: its loss "
        "is 0.4 away, relative to this run's, at step 3. Weights nudged by one rounding move its "
    )
    assert text.replace("0.0001", "1e-4").endswith(so)


NAN = math.nan


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ({0: 1.0, 1: 0.5}, {0: 1.0, 1: 0.5}, "prints this run's losses to the last digit"),
        ({0: 1.0}, {0: 1.000001, 1: 2.0}, "Before the first step Keras is within 1e-6 of"),
        ({0: NAN, 1: NAN}, {0: math.inf, 1: NAN}, "are both NaN or infinite, over one step"),
        ({0: 1.0, 1: NAN}, {0: 1.0, 1: 0.5}, "part at step 1: one loss is a number, the"),
        ({0: 1.0, 1: NAN}, {0: 1.1, 1: NAN}, "parts from this run at step 0: its loss is 0.091"),
    ],
)  # fmt: skip
def test_nan_is_told(theirs: dict[int, float], ours: dict[int, float], said: str) -> None:
    text = sentence("Keras", agreement(theirs, ours))
    assert said in text
    assert text.endswith("What rounding alone does to this run has not been measured.")


def test_nothing_is_said_without_a_step_in_common() -> None:
    assert sentence("Keras", agreement({1: 1.0}, {0: 1.0})) == ""


# What was recorded elsewhere


def test_the_question_s_run_was_recorded_in_each_framework() -> None:
    for key in REALS:
        known = recorded.of(RunConfig(), key)
        assert known is not None and known.config == RunConfig() and known.rounding > 0
        assert known.found.steps == [*range(11)] and known.sentence.startswith(known.version)
        other = recorded.of(RunConfig(loss="from_logits"), key)
        assert other is not None and other.found.largest[0] < 1e-5, other
        assert recorded.of(tiny(), key) == known
