"""From a RunConfig to a run that is ready to go: its memory, its data, its program."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial

from core.config import RunConfig
from core.data import SOURCES, DataUnavailable, Progress, load
from core.run import train
from core.run.job import Report, Status
from core.run.snapshot import Snapshot

NOTABLE = 0.5  # seconds: a compilation that took less was found ready


def prepare(
    config: RunConfig, report: Report, next_look: train.NextLook | None = None
) -> Iterator[Snapshot | None]:
    """Load the data, compile the program, and hand over a run that is ready to go.

    Raises:
      DataUnavailable: the data cannot be had; the message says what to do.
      MemoryError: the weights would not fit.
    """
    shape = train.shape(config)
    _check_memory(train.bytes_needed(shape))
    data = device_data(config, partial(report, Status.PREPARING))
    report(Status.COMPILING, 0.0, _last_time())
    return train.ticks(config, _timed_program(shape), data, next_look=next_look)


_seconds: list[float] = []  # that compilations took, those that were waited for


def _last_time() -> str:
    return f"the last one took {_seconds[-1]:.0f} s" if _seconds else ""


def _timed_program(shape: train.Shape) -> train.Program:
    started = time.monotonic()
    program = train.program(shape)
    if (seconds := time.monotonic() - started) > NOTABLE:
        _seconds[:] = [seconds]
    return program


def _check_memory(needed: int) -> None:
    free = train.free_bytes()
    if needed > free:
        raise MemoryError(
            f"The weights of this network need {needed / 1e9:.1f} GB and "
            f"{free / 1e9:.1f} GB are free. Make the layers narrower."
        )


_loading = {source: threading.Lock() for source in SOURCES}
_loaded: OrderedDict[tuple[str, int, str], train.DeviceData] = OrderedDict()
DATA_SETS = 4  # kept on the device; the largest is 55 MB


def device_data(config: RunConfig, report: Progress) -> train.DeviceData:
    """The data of a configuration on the device, one copy for everybody."""
    key = (config.source, config.train_size, config.task)
    with _loading[config.source]:
        if key not in _loaded:
            data = load(config.source, config.train_size, report)
            _loaded[key] = train.on_device(config.task, data)
            while len(_loaded) > DATA_SETS:
                _loaded.popitem(last=False)
        return _loaded[key]


def explain(error: Exception) -> str:
    """What went wrong, for the page."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError | DataUnavailable):
        return text
    if "RESOURCE_EXHAUSTED" in text:
        return "The device ran out of memory. Make the layers or the batch smaller."
    return f"This run failed: {type(error).__name__}: {text}"
