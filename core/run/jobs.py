"""The runs that an engine keeps, and the programs that they still need compiled."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from core.config import RunConfig
from core.run.job import Job


class Jobs(OrderedDict[RunConfig, Job]):
    """The runs, the one used longest ago first. Guarded by the engine's lock.

    Args:
      shape: the shape that a configuration needs compiled; None if it is compiled.
    """

    def __init__(self, shape: Callable[[RunConfig], Hashable]) -> None:
        super().__init__()
        self._shape = shape

    def unready(self) -> list[Job]:
        """Return those that are being prepared."""
        return [job for job in self.values() if job.unready]

    def awaited(self) -> bool:
        """Whether a run is being prepared for somebody."""
        now = time.monotonic()
        return any(job.looked_at(now) for job in self.unready())

    def unended(self) -> list[RunConfig]:
        """Return the configurations of those that have not ended."""
        return [config for config, job in self.items() if not job.ended]

    def to_compile(self, *more: RunConfig) -> set[Hashable]:
        """Return the shapes that these runs, and `more`, still need compiled."""
        jobs = [job for job in self.values() if job.unready or not (job.ended or job.whole)]
        return {self._shape(config) for config in (*(job.config for job in jobs), *more)} - {None}
