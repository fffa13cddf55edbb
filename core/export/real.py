"""The real framework beside a run: its exported script, run in a process of its own.

What runs is the text that core.export writes, with the run's own weights and batches; no text of a
visitor's is in it. One such process runs at a time, at low priority. It ends with the server, when
nobody asks for its looks any more, when it takes too long, and when the server's memory is full.
"""

import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

from core.config import RunConfig
from core.data import DataUnavailable
from core.export import in_keras
from core.export.frameworks import files, script
from core.fields import number
from core.parts.loss_inputs import LOSS_INPUTS
from core.registry import Registry, Row
from core.run import entry, memory

PATIENCE = 60.0  # seconds for which a process goes on though nobody asks for its looks
SECOND_LOOK = (
    0.3  # seconds that one piece of work waits for a line, and between looks at the process
)
REQUIREMENTS = "requirements-frameworks.txt"


@dataclass(frozen=True, kw_only=True)
class Real(Row):
    """A framework that can train a run beside the trainer."""

    framework: str  # of FRAMEWORKS
    backend: str = ""  # Keras's
    modules: tuple[str, ...]  # which it needs, its own first


REALS = Registry(
    "real framework",
    [
        Real(key="torch", label="PyTorch", framework="torch", modules=("torch",)),
        *(
            Real(
                key=f"keras_{backend}",
                label=f"Keras on {label}",
                framework="keras",
                backend=backend,
                modules=("keras", backend),
            )
            for backend, label in in_keras.LABELS.items()
        ),
    ],
)
# The packages that bring a module, where they are not called like it.
PACKAGES = {"tensorflow": ("tensorflow-cpu", "tensorflow")}
NAMES = {"torch": "PyTorch", "keras": "Keras", "jax": "JAX", "tensorflow": "TensorFlow"}


def missing(row: Real) -> list[str]:
    """The modules that a framework needs and this environment has not; none is imported."""
    return [name for name in row.modules if util.find_spec(name) is None]


def version(row: Real) -> str:
    """The framework with its version, such as Keras 3.15.1 on JAX 0.10.2."""
    return " on ".join(f"{NAMES[name]} {_version(name)}".strip() for name in row.modules)


def _version(module: str) -> str:
    for package in PACKAGES.get(module, (module,)):
        try:
            return metadata.version(package).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
    return ""


def natural(config: RunConfig) -> str:
    """The key of the framework that a run's loss is of, or of the first that is installed."""
    if config.loss in in_keras.OF_KERAS or LOSS_INPUTS[config.loss_input].instead:
        return f"keras_{in_keras.backend(config)}"
    return next((key for key, row in REALS.items() if not missing(row)), "torch")


def cannot(config: RunConfig, row: Real) -> tuple[str, ...]:
    """What the run does and the framework does not, in sentences."""
    told = script(config, row.framework).cannot
    own = config.loss in in_keras.OF_KERAS or LOSS_INPUTS[config.loss_input].instead
    if row.backend and own and row.backend != in_keras.backend(config):
        there = in_keras.LABELS[in_keras.backend(config)]
        of = f"The loss is that of Keras on {there}"
        return (*told, f"{of}; here Keras computes its own on {in_keras.LABELS[row.backend]}.")
    return told


class Look(NamedTuple):
    """What the script prints after a step."""

    step: int
    loss: float
    right: float
    held_out: float


class Failure(NamedTuple):
    """Why there are no more looks."""

    why: str


def looks(
    config: RunConfig,
    key: str,
    seconds: float,
    full: Callable[[], bool],
    wanted: Callable[[], bool] = lambda: False,
) -> Iterator[Look | Failure | None]:
    """Train a run in a real framework; yields its looks, None between them, a Failure at its end.

    Each piece of work takes about SECOND_LOOK, apart from writing the files that the script reads.
    A process that was left for longer than PATIENCE is begun again when it is asked for.

    Args:
      seconds: that the process may take.
      full: whether the server has no memory left for it.
      wanted: whether somebody waits for the looks, though they are not asked for at present.
    """
    row = REALS[key]
    with tempfile.TemporaryDirectory(prefix="samenet_real_") as name:
        folder = Path(name)
        (folder / "run.py").write_text(script(config, row.framework).text, "utf-8")
        yield None
        try:
            read = files(config, row.framework)
        except (DataUnavailable, OSError) as error:
            yield Failure(str(error))
            return
        for file, content in read.items():
            (folder / file).write_bytes(content)
            yield None
        last = -1
        while True:
            process = yield from _begun(folder, row, seconds, full, wanted)
            try:
                for look in process:
                    if look is None or look.step > last:
                        last = last if look is None else look.step
                        yield look
            finally:
                process.end()
            if not process.left:
                break
        if process.why or last < config.steps:
            yield Failure(process.why or process.fault(row))


_turn = threading.Semaphore(1)


def _begun(
    folder: Path, row: Real, seconds: float, full: Callable[[], bool], wanted: Callable[[], bool]
) -> Generator[None, None, "_Process"]:
    """Begin the process when no other runs."""
    while not _turn.acquire(blocking=False):
        time.sleep(SECOND_LOOK)
        yield None
    try:
        return _Process(folder, row.backend, seconds, full, wanted)
    except BaseException:
        _turn.release()
        raise


# It ends with the server, whose end closes its standard input, and yields to all other processes.
LAUNCH = """\
import os, runpy, threading

def end_with_the_server():
    os.read(0, 1)  # not sys.stdin, whose lock a thread must not hold when Python ends
    os._exit(1)

threading.Thread(target=end_with_the_server, daemon=True).start()
if hasattr(os, "nice"):
    os.nice(10)
runpy.run_path("run.py", run_name="__main__")
"""
_processes: weakref.WeakSet["_Process"] = weakref.WeakSet()


class _Process(Iterator[Look | None]):
    """A script that runs; gives its looks, and None where none came in SECOND_LOOK seconds.

    `left` says that nobody asked for them any more, `why` what else has ended it.
    """

    def __init__(
        self,
        folder: Path,
        backend: str,
        seconds: float,
        full: Callable[[], bool],
        wanted: Callable[[], bool],
    ) -> None:
        self.left, self.why = False, ""
        self._seconds, self._full, self._wanted = seconds, full, wanted
        self._asked = time.monotonic()
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors = folder / "errors.txt"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=_environment(os.environ, backend, folder),
            )
        self.end = weakref.finalize(self, self._process.kill)
        _processes.add(self)
        threading.Thread(target=_read, args=(self._process, self._lines), daemon=True).start()
        threading.Thread(target=_watch, args=(self,), daemon=True, name="real").start()

    def __next__(self) -> Look | None:
        self._asked = time.monotonic()
        try:
            line = self._lines.get(timeout=SECOND_LOOK)
        except queue.Empty:
            return None
        if line is None:
            raise StopIteration
        return read_look(line)

    @property
    def pid(self) -> int:
        """The system's number of the process."""
        return self._process.pid

    def watched(self, since: float) -> bool:
        """End the process if there is a reason to, and return whether it goes on."""
        now = time.monotonic()
        if self._wanted():
            self._asked = now
        if now - self._asked > PATIENCE:
            self.left = True
        elif now - since > self._seconds:
            self.why = f"It was ended after {self._seconds:,.0f} seconds, the most allowed here."
        elif self._full():
            self.why = "It was ended because this server's memory was full."
        if self.left or self.why:
            self._process.kill()
        try:
            self._process.wait(SECOND_LOOK)
        except subprocess.TimeoutExpired:
            return True
        return False

    def close(self) -> None:
        """Close the pipe of a process that has ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def fault(self, row: Real) -> str:
        """What is known of an end that came too early."""
        self._process.wait()
        code = self._process.returncode
        if code < 0:
            return (
                f"The process was ended by signal {-code}; it may have run out of memory, or "
                f"{row.label} has crashed."
            )
        lines = self._errors.read_bytes()[-4000:].decode(errors="replace").strip().splitlines()
        return f"{row.label} has stopped: {lines[-1][:300] if lines else f'status {code}'}"


def _environment(given: Mapping[str, str], backend: str, folder: Path) -> dict[str, str]:
    """This process's, without what is ours; Keras writes no settings into anyone's home."""
    ours = ("PYTHONPATH", "PYTHONSTARTUP", "STREAMLIT_", "SAMENET_")
    kept = {n: value for n, value in entry.plain(given).items() if not n.startswith(ours)}
    own = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_HOME": str(folder), "PYTHONUNBUFFERED": "1"}
    return kept | own | ({"KERAS_BACKEND": backend} if backend else {})


def _read(process: "subprocess.Popen[bytes]", lines: "queue.SimpleQueue[str | None]") -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line.decode(errors="replace"))
    lines.put(None)


def _watch(process: _Process) -> None:
    since = time.monotonic()
    try:
        while process.watched(since):
            pass
    finally:
        process.close()
        _turn.release()


def read_look(line: str) -> Look | None:
    """The look in a line that a script prints, or None."""
    parts = line.split()
    if len(parts) != len(Look._fields) or not parts[0].isdecimal():
        return None
    try:
        return Look(int(parts[0]), *map(float, parts[1:]))
    except ValueError:
        return None


def resident() -> int:
    """The bytes of these processes that are in memory."""
    return sum(memory.resident(each.pid) for each in list(_processes) if each.end.alive)


# How far it is from the run


# Relative differences of losses: one that needs a word on its cause, and one of runs that parted.
NOTABLE, PARTED = 1e-5, 1e-3


class Agreement(NamedTuple):
    """How far a framework's losses are from a run's, at the steps that both have."""

    steps: list[int]
    differences: list[float]  # relative to the run's loss; NaN where only one of both is a number
    alike: list[bool]  # whether both are a number, or neither is

    @property
    def largest(self) -> tuple[float, int]:
        """The largest difference of two numbers, and its first step; (NaN, 0) without any."""
        known = [
            (d, -step)
            for d, step in zip(self.differences, self.steps, strict=True)
            if math.isfinite(d)
        ]
        difference, step = max(known, default=(math.nan, 0))
        return difference, -step


def agreement(real: Mapping[int, float], run: Mapping[int, float]) -> Agreement:
    """Compare losses by step, of a framework and of the run."""
    steps = sorted(real.keys() & run.keys())
    alike = [math.isfinite(real[step]) == math.isfinite(run[step]) for step in steps]
    return Agreement(steps, [_relative(real[step], run[step]) for step in steps], alike)


def _relative(other: float, own: float) -> float:
    own = float(f"{own:.9g}")  # as a script prints it
    if not (math.isfinite(other) and math.isfinite(own)):
        return math.nan
    return 0.0 if other == own else abs(other - own) / max(abs(own), 1e-30)


def sentence(name: str, found: Agreement, rounding: float | None = None) -> str:
    """Say how far a framework is from a run.

    Args:
      rounding: the largest relative difference of nudged copies from the run, if it is known.
    """
    if not found.steps:
        return ""
    if not all(found.alike):
        at = found.steps[found.alike.index(False)]
        first = f"{name} and this run part at step {at:,}: one loss is a number, the other is not."
    else:
        first = _distance(name, found)
    if rounding is None:
        return f"{first} What rounding alone does to this run has not been measured."
    much = f"up to {_short(rounding)}" if rounding >= 1e-9 else "less than 1e-9"
    nudged = f"Weights nudged by one rounding move its loss by {much} of it"
    return f"{first} {nudged}{_so(found, rounding)}."


def _so(found: Agreement, rounding: float) -> str:
    """What rounding says of a difference that can be seen."""
    largest, _ = found.largest
    if not largest > NOTABLE:  # NaN is not
        return ""
    if rounding >= largest:
        return ": rounding alone does as much"
    return ": rounding alone does not do as much" if 10 * rounding < largest else ""


def _distance(name: str, found: Agreement) -> str:
    largest, at = found.largest
    over = f"{found.steps[-1]:,} steps" if found.steps[-1] != 1 else "one step"
    if math.isnan(largest):
        return f"{name} and this run are both NaN or infinite, over {over}."
    if largest == 0:
        return f"{name} prints this run's losses to the last digit, over {over}."
    if not found.steps[-1]:
        return f"Before the first step {name} is within {_short(largest)} of this run's loss."
    if largest <= PARTED:
        return (
            f"{name} stays within {_short(largest)} of this run's loss, relative to it, over "
            f"{over}; the largest difference is at step {at:,}."
        )
    away = f"its loss is {number(largest, 2)} away, relative to this run's, at step {at:,}"
    first = next(i for i, d in enumerate(found.differences) if d > PARTED)
    if not (together := [d for d in found.differences[:first] if d > 0]):
        return f"{name} parts from this run at step {found.steps[first]:,}: {away}."
    until = f"up to step {found.steps[first - 1]:,}" if first > 1 else f"at step {found.steps[0]:,}"
    return (
        f"{name} stays within {_short(max(together))} of this run's loss {until}, and then parts "
        f"from it: {away}."
    )


def _short(value: float) -> str:
    """One digit of a number, rounded up."""
    power = math.floor(math.log10(value))
    digit = math.ceil(value / 10.0**power - 1e-9)
    return number(digit * 10.0**power, 1)
