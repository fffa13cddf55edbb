"""From a RunConfig to a run that is ready to go: its price, its data, its program."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import jax

from core.config import RunConfig
from core.data import SOURCES, DataUnavailable, Process, Progress, load
from core.fields import number
from core.limits import limits
from core.parts.models import MODELS
from core.parts.optimizers import SETTINGS
from core.run import budget, memory, own_process, train
from core.run.job import Ready, ReportStatus, Status
from core.run.own_process import Failed, OwnProcess
from core.run.price import LONG, TooLong, free_bytes, seconds

SMALL = 100 * budget.MB  # a run that takes less may go beyond the budget
PROCESS = 300 * budget.MB  # a process has nearly as much before it trains (two cores, JAX 0.10.2)
NOTABLE = 0.5  # seconds: if it took less, the program was already compiled


def prepare(
    config: RunConfig,
    report: ReportStatus,
    next_look: train.NextLook | None = None,
    own_process: bool = True,
) -> Ready:
    """Load the data, compile what the first look needs, and return a run that can begin.

    If `own_process`, on a CPU a run with long steps gets a process to itself, because it would
    take threads and memory from all others.

    Raises:
      Failed: the process of a long run has failed or ended.
      DataUnavailable: the data cannot be had; the message says what to do.
      MemoryError: the weights, or the memory that a step needs, would not fit.
      TooLong: a step would take longer than the host allows.
    """
    shape = train.shape(config)
    _check_weights(train.bytes_needed(shape))
    data = device_data(config, partial(report, Status.PREPARING))
    report(Status.COMPILING, 0.0, _last_time())
    program = train.program(shape)
    step_seconds = _price(config, program)
    if own_process and step_seconds > LONG and jax.default_backend() == "cpu":
        looks = next_look or train.looks_of(config)
        other = OwnProcess(config, report, looks, _room_for_process())
        return Ready(other, step_seconds, seconds(program.look_operations))
    reports = _reports(config)
    for done in _timed(program.compile_first_look(reports)):
        report(Status.COMPILING, done, _last_time())
    _check_memory(program)
    ticks = train.ticks(config, program, data, next_look=next_look, first=_shared_first_look)
    look_seconds = seconds(program.look_operations)
    if program.whole(reports):
        return Ready(ticks, seconds(program.step_operations), look_seconds)
    return Ready(ticks, step_seconds, look_seconds, partial(_finish, program, reports))


def at_hand(config: RunConfig) -> bool:
    """Whether `prepare` has nothing to load or to compile, and so takes only a moment."""
    key = _data_key(config)
    return key in _loaded and train.program(train.shape(config)).whole(_reports(config))


def _reports(config: RunConfig) -> bool:
    """Whether the run reports anything but the truth, for which more is compiled."""
    return config.report != "true"


def to_compile(config: RunConfig) -> train.Shape | None:
    """Return the shape whose program is still to be compiled for a run; None if it is compiled."""
    shape = train.shape(config)
    return None if train.compiled(shape) else shape


def ahead(config: RunConfig) -> Iterator[None]:
    """Load and compile what a run needs, piece by piece, so that it is `at_hand`."""
    device_data(config)
    program = train.program(train.shape(config))
    yield from (None for _ in program.compile_first_look())
    yield
    program.compile_rest()


def _finish(program: train.Program, reports: bool) -> float:
    """Compile the rest, too, and return how many seconds a step takes.

    Otherwise the thread of all short runs would compile it.
    """
    operations = program.step_operations  # lowers what is compiled next
    program.compile_rest(reports)
    _check_memory(program)
    return seconds(operations)


_seconds: list[float] = []  # the last compilation's, if it was long enough to notice


def _last_time() -> str:
    return f"the last one took {_seconds[-1]:.0f} s" if _seconds else ""


def _timed(pieces: Iterator[float]) -> Iterator[float]:
    started = time.monotonic()
    yield from pieces
    if (seconds := time.monotonic() - started) > NOTABLE:
        _seconds[:] = [seconds]


def free() -> int:
    """Return the bytes that a run may take: on a CPU, no more than the host's budget leaves.

    A small run may take SMALL in any case, so that one that was begun just before the server was
    full goes on.
    """
    if jax.default_backend() != "cpu":
        return free_bytes()
    return min(free_bytes(), max(SMALL, _left()))


def _left() -> int:
    """The bytes that the budget leaves beside this process and those of long runs."""
    return budget.here() - memory.resident() - own_process.resident()


def _room_for_process() -> int:
    """The budget of a process for one more long run."""
    if (left := _left()) < PROCESS:
        raise MemoryError(
            f"The steps of this run are so long that it needs a process of its own, which takes "
            f"{PROCESS / 1e9:.1f} GB, and {max(0, left) / 1e9:.1f} GB are free. Make the layers "
            "narrower, or the batch smaller."
        )
    return left


def _check_weights(needed: int) -> None:
    allowed = free()
    if needed > allowed:
        raise MemoryError(
            f"The weights of this network need {needed / 1e9:.1f} GB and "
            f"{allowed / 1e9:.1f} GB are free. Make the layers narrower."
        )


def _check_memory(program: train.Program) -> None:
    scratch = MODELS[program.shape.model].scratch if jax.default_backend() == "cpu" else 1.0
    allowed, needed = free(), scratch * program.memory()
    if needed > allowed:
        raise MemoryError(
            f"A step of this run needs {needed / 1e9:.1f} GB and {allowed / 1e9:.1f} GB are "
            "free. Make the batch smaller, or the layers narrower."
        )


def _price(config: RunConfig, program: train.Program) -> float:
    """Estimate the seconds that a step takes, before one has been taken."""
    limit = limits().step_seconds
    short = min(2 * LONG, limit)  # a look costs about two steps, and is already lowered
    quick = seconds(program.look_operations)
    if quick > short:  # unless the machine was busy when it was measured
        quick = seconds(program.look_operations, again=True)
    if quick <= short:
        return min(quick, LONG)
    price = seconds(program.step_operations)
    if price > limit:
        fewer = int(config.batch_size * limit / price)
        way = f"Try {fewer} images a batch." if fewer else "Make the layers narrower."
        raise TooLong(
            f"A step of this run is {number(price, 2)} s of matrix products here, and "
            f"{number(limit, 2)} s are allowed. {way}"
        )
    return price


SizedLook = tuple[train.Measurements, int]  # a first look, and its size in bytes
_first_looks: OrderedDict[tuple[Any, ...], SizedLook] = OrderedDict()
_first_lock = threading.Lock()
WITHOUT_EFFECT = (  # before the first step
    "learning_rate", "optimizer", *SETTINGS, "decay_form", "weight_decay", "clip_form",
    "clip_norm", "epochs", "norm_momentum", "norm_variance",
)  # fmt: skip
FIRST_LOOKS = 128 * 2**20  # bytes of first looks to keep


def _shared_first_look(
    config: RunConfig, program: train.Program, data: train.DeviceData, state: train.State
) -> train.Measurements:
    """The first look, made once for all runs that start alike."""
    key = tuple(value for name, value in asdict(config).items() if name not in WITHOUT_EFFECT)
    with _first_lock:
        if key in _first_looks:
            _first_looks.move_to_end(key)
            return _first_looks[key][0]
    look = train.first_look(config, program, data, state)
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(look))
    with _first_lock:
        _first_looks[key] = look, size
        while sum(size for _, size in _first_looks.values()) > FIRST_LOOKS:
            _first_looks.popitem(last=False)
    return look


def let_go_of_program(needed: Iterable[RunConfig]) -> int | None:
    """Forget the compiled program used longest ago that none of these runs needs; its bytes."""
    return train.let_go_of_program({train.shape(config) for config in needed})


def let_go_of_first_look() -> int | None:
    """Forget the first look made longest ago; its bytes, or None if there is none."""
    with _first_lock:
        return _first_looks.popitem(last=False)[1][1] if _first_looks else None


_loading = {source: threading.Lock() for source in SOURCES}
_loaded: OrderedDict[tuple[str, int, str, Process], train.DeviceData] = OrderedDict()
DATA_SETS = 4  # kept on the device; the largest is 55 MB


def _data_key(config: RunConfig) -> tuple[str, int, str, Process]:
    return config.source, config.train_size, config.task, config.process


def device_data(config: RunConfig, progress: Progress | None = None) -> train.DeviceData:
    """The data of a configuration on the device, one copy for all runs."""
    key = _data_key(config)
    with _loading[config.source]:
        if (kept := _loaded.get(key)) is None:
            data = load(config.source, config.train_size, progress, config.process)
            kept = _loaded[key] = train.on_device(config.task, data)
            while len(_loaded) > DATA_SETS:  # or another source's thread takes this one's away
                _loaded.popitem(last=False)
        return kept


def explain(error: Exception) -> str:
    """Say what went wrong, for the page."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError | DataUnavailable | TooLong | Failed):
        return text
    if "RESOURCE_EXHAUSTED" in text:
        return "The device ran out of memory. Make the layers or the batch smaller."
    return f"This run failed: {type(error).__name__}: {text}"
