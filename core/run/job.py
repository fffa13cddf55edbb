"""A run that is going on, and one visitor's hold on it."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol

from core.config import RunConfig
from core.run import train
from core.run.snapshot import Snapshot


class Status(StrEnum):
    """Where a run stands; the value is shown."""

    QUEUED = "queued"
    PREPARING = "preparing data"
    COMPILING = "compiling"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"


class Ready(NamedTuple):
    """A run that can begin."""

    ticks: Iterator[Snapshot | None]
    step_seconds: float = 0.0  # what one step takes at least, so far as that is known
    look_seconds: float = 0.0  # the same of a look at training images
    finish: Callable[[], float] | None = None  # compiles what comes after, and knows step_seconds


Report = Callable[[Status, float, str], None]  # status, fraction done, what is being done
Prepare = Callable[[RunConfig, Report, train.NextLook], Ready]


class View(NamedTuple):
    """What a viewer sees at one moment."""

    status: Status
    snapshots: list[Snapshot]
    steps: int  # in the whole run
    place: int = 0  # in the queue, from 1; 0 when not queued
    fraction: float = 0.0  # of the preparation
    message: str = ""  # what is being prepared, or what went wrong
    steps_per_second: float | None = None
    seconds_left: float | None = None
    seconds: float = 0.0  # that the run has been worked on
    waited: float = 0.0  # seconds that it has been preparing or compiling
    long: bool = False  # whether a step takes longer than others can wait


class Job:
    """A run, shared by its viewers. Guarded by the engine's lock."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.marks = train.snapshot_steps(config)
        self.asked = 0  # a step to look at that is none of them
        self.step_seconds = self.look_seconds = 0.0  # by their price
        self.long = False  # whether its steps are, once that is known
        self.whole = False  # whether it can go on from its first look
        self.status = Status.PREPARING
        self.fraction, self.message = 0.0, ""
        self.ticks: Iterator[Snapshot | None] | None = None
        self.snapshots: list[Snapshot] = []
        self.viewers: set[Viewer] = set()
        self.seen = 0.0  # when somebody last looked, or since when it can be looked at
        self.seconds = 0.0  # that the run has been worked on
        self.since = time.monotonic()  # when its status began, while it is being prepared
        self.times: deque[tuple[float, int]] = deque(maxlen=16)  # (time, step) of late snapshots

    @property
    def step(self) -> int:
        """The newest step that there is to see; -1 before the first."""
        return self.snapshots[-1].step if self.snapshots else -1

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in (Status.DONE, Status.FAILED)

    @property
    def unready(self) -> bool:
        """Whether it is being prepared."""
        return self.ticks is None and not self.ended

    @property
    def compiling(self) -> bool:
        """Whether its program is being compiled, or the rest of it after its first look."""
        return self.status is Status.COMPILING or (self.ticks is not None and not self.whole)

    def wanted(self, now: float) -> bool:
        """Whether a viewer with a lease wants a step that is not there yet."""
        return any(viewer.limit > self.step and viewer.lease > now for viewer in self.viewers)

    def can_go_on(self) -> bool:
        """Whether all that its next step takes is compiled."""
        return self.whole or not self.snapshots

    def next_mark(self, step: float) -> int:
        """The first step after `step` that is looked at, or the last of all."""
        return next((mark for mark in self.marks if mark > step), self.marks[-1])

    def next_look(self, step: int) -> int:
        """The step after `step` that is looked at next: the next mark, or one asked for before."""
        mark = self.next_mark(step)
        return min(mark, self.asked) if self.asked > step else mark

    def one_further(self, step: float) -> int:
        """The first look after `step`; where there is none yet, one update on, and ask for it."""
        seen = next((look.step for look in self.snapshots if look.step > step), None)
        if seen is None:
            self.asked = min(int(step) + 1, self.config.steps)
        return self.asked if seen is None else seen

    def pace(self) -> float | None:
        """Steps a second of late, or None where it is not known."""
        if len(self.times) < 2 or self.ended:
            return None
        (start, first), (end, last) = self.times[0], self.times[-1]
        return (last - first) / max(end - start, 1e-9)

    def seconds_left(self) -> float | None:
        """Seconds to the end at its pace; before it has one, by its price and its first look."""
        steps = self.config.steps - self.step
        if pace := self.pace():
            return steps / pace
        if self.ended or not self.snapshots or not self.look_seconds:
            return None
        # How much longer than its matrix products a look has taken; less than 1 if it was shared.
        slower = max(1.0, self.seconds / len(self.snapshots) / self.look_seconds)
        looks = sum(mark > self.step for mark in self.marks)  # each of which takes a step, too
        return slower * (looks * self.look_seconds + (steps - looks) * self.step_seconds)

    def view(self, limit: float, place: int) -> View:
        """What is seen up to step `limit` of a run at `place` in the queue."""
        shown = [snapshot for snapshot in self.snapshots if snapshot.step <= limit]
        status = self.status
        if status is Status.RUNNING and limit <= self.step:
            status = Status.PAUSED
        elif status is Status.RUNNING and not self.can_go_on():
            status = Status.COMPILING
        elif status is Status.RUNNING and place:
            status = Status.QUEUED
        elif status is Status.DONE and len(shown) < len(self.snapshots):
            status = Status.PAUSED
        return View(
            status=status,
            snapshots=shown,
            steps=self.config.steps,
            place=place if status is Status.QUEUED else 0,
            fraction=self.fraction,
            message=self.message,
            steps_per_second=self.pace(),
            seconds_left=self.seconds_left(),
            seconds=self.seconds,
            waited=time.monotonic() - self.since,
            long=self.long,
        )


class Desk(Protocol):
    """What a viewer asks of the engine."""

    def view(self, viewer: "Viewer") -> View:
        """What there is to see now. Renews the lease."""

    def holds(self, job: Job) -> bool:
        """Whether this is the run of its configuration."""

    def play_to(self, viewer: "Viewer", limit: Callable[[float], float]) -> None:
        """Set how far the viewer wants to see, from the last step that he sees now."""

    def leave(self, viewer: "Viewer") -> None:
        """Let go of the run."""


class Viewer:
    """One visitor's hold on a run: its own pause and step, though the run may be shared.

    What a viewer changes, its engine changes for it, under the engine's lock.
    """

    def __init__(self, desk: Desk, job: Job, limit: float) -> None:
        self.desk, self.job = desk, job
        self.limit = limit  # the step this visitor wants to see, at most
        self.lease = 0.0  # until when the visitor counts as looking
        self.stopped = False

    @property
    def config(self) -> RunConfig:
        """What is being run."""
        return self.job.config

    def alive(self) -> bool:
        """Whether the run has ended or can go on; False once it was freed."""
        return self.job.ended or self.desk.holds(self.job)

    def view(self) -> View:
        """What there is to see now. Renews the lease."""
        return self.desk.view(self)

    def looks(self) -> list[Snapshot]:
        """The looks that there are now. Renews the lease."""
        return self.view().snapshots

    def resume(self) -> None:
        """Let the run go on to its end."""
        self.desk.play_to(self, lambda shown: float("inf"))

    def pause(self) -> None:
        """Stay at the newest snapshot, whatever other viewers do."""
        self.desk.play_to(self, lambda shown: shown)

    def step(self) -> None:
        """Go on by one update and pause there."""
        self.desk.play_to(self, self.job.one_further)

    def look(self) -> None:
        """Go on to the next regular look and pause there."""
        self.desk.play_to(self, self.job.next_mark)

    def stop(self) -> None:
        """Let go of the run; a late look does not take hold of it again."""
        self.desk.leave(self)
