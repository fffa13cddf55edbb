"""A run that is going on, and one visitor's view of it."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol
from weakref import WeakSet

from core.config import RunConfig
from core.run import train
from core.run.snapshot import Snapshot


class Status(StrEnum):
    """What a run is doing; the value is shown."""

    QUEUED = "queued"
    PREPARING = "preparing data"
    COMPILING = "compiling"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    REFUSED = "not taken"  # the server is full, or its host allows less; the message says which


class Abandoned(Exception):
    """Raised inside a preparation that nobody is waiting for any more."""


class Ready(NamedTuple):
    """A run that can begin."""

    ticks: Iterator[Snapshot | None]
    step_seconds: float = 0.0  # the least that a step takes, as far as is known
    look_seconds: float = 0.0  # the same for a look at training images
    finish: Callable[[], float] | None = None  # compiles the rest and returns step_seconds


ReportStatus = Callable[[Status, float, str], None]  # status, fraction done, what is being done
Prepare = Callable[[RunConfig, ReportStatus, train.NextLook], Ready]


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
    seconds: float = 0.0  # spent on the run
    waited: float = 0.0  # seconds spent preparing or compiling
    long: bool = False  # whether a step takes longer than others can wait


class Job:
    """A run, shared by its viewers. Guarded by the engine's lock."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.marks = train.snapshot_steps(config)
        self.requested_step = 0  # a step between the marks that a viewer wants to see
        self.step_seconds = self.look_seconds = 0.0  # estimated by core.run.price
        self.long = False  # whether its steps are long, once that is known
        self.whole = False  # whether its whole program is compiled
        self.status = Status.PREPARING
        self.fraction, self.message = 0.0, ""
        self.ticks: Iterator[Snapshot | None] | None = None
        self.snapshots: list[Snapshot] = []
        self.viewers: set[Viewer] = set()  # those who look
        # Those that may look again, until they leave, or their session ends.
        self.visitors: WeakSet[Viewer] = WeakSet()
        self.last_seen = 0.0  # when somebody last looked, or when it became ready
        self.seconds = 0.0  # spent on the run
        self.since = time.monotonic()  # when its status began, while it is being prepared
        self.times: deque[tuple[float, int]] = deque(maxlen=16)  # (time, step) of recent snapshots

    @classmethod
    def refused(cls, config: RunConfig, why: str) -> "Job":
        """A run that is not taken; no engine holds it, so a page asks for it again."""
        job = cls(config)
        job.status, job.message = Status.REFUSED, why
        return job

    @property
    def step(self) -> int:
        """The step of the newest snapshot; -1 before the first."""
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
        """Whether its program, or the rest of it after the first look, is being compiled."""
        return self.status is Status.COMPILING or (self.ticks is not None and not self.whole)

    def looked_at(self, now: float) -> bool:
        """Whether a viewer looks."""
        return any(viewer.looks_at(now) for viewer in self.viewers)

    @property
    def left(self) -> bool:
        """Whether everybody has left it, or is not there any more."""
        return not any(visitor.present() for visitor in self.visitors)

    @property
    def abandoned(self) -> bool:
        """Whether it is left unfinished by everybody."""
        return self.left and not (self.ended or self.compiling)

    def forgotten(self, seconds: float) -> bool:
        """Whether it is unfinished and nobody has looked for so long; never while it compiles."""
        return not (self.ended or self.compiling) and time.monotonic() - self.last_seen > seconds

    def wanted(self, now: float) -> bool:
        """Whether a viewer who looks wants a step that is not there yet."""
        return any(viewer.limit > self.step and viewer.looks_at(now) for viewer in self.viewers)

    def can_go_on(self) -> bool:
        """Whether everything that its next step needs is compiled."""
        return self.whole or not self.snapshots

    def next_mark(self, step: float) -> int:
        """The first mark after `step`, or the last mark of all."""
        return next((mark for mark in self.marks if mark > step), self.marks[-1])

    def next_look(self, step: int) -> int:
        """The next step after `step` to look at: the next mark, or an earlier one asked for."""
        mark = self.next_mark(step)
        return min(mark, self.requested_step) if self.requested_step > step else mark

    def one_further(self, step: float) -> int:
        """The step of the first look after `step`; if there is none, ask for one at `step` + 1."""
        at_hand = next((look.step for look in self.snapshots if look.step > step), None)
        if at_hand is None:
            self.requested_step = min(int(step) + 1, self.config.steps)
        return self.requested_step if at_hand is None else at_hand

    def add(self, snapshot: Snapshot) -> None:
        """Add a look.

        Whoever has asked for one further step, while the run was already past it, is shown this.
        """
        for viewer in self.visitors:
            if self.step < viewer.limit == self.requested_step < snapshot.step:
                viewer.limit = snapshot.step
        self.snapshots.append(snapshot)
        self.times.append((time.monotonic(), snapshot.step))

    def pace(self) -> float | None:
        """Recent steps per second, or None if not known."""
        if len(self.times) < 2 or self.ended:
            return None
        (start, first), (end, last) = self.times[0], self.times[-1]
        return (last - first) / max(end - start, 1e-9)

    def seconds_left(self) -> float | None:
        """Seconds to the end at its pace; before it has one, by its price and the looks so far."""
        steps = self.config.steps - self.step
        if pace := self.pace():
            return steps / pace
        if self.ended or not self.snapshots or not self.look_seconds:
            return None
        # How many times longer than its matrix products a look took; below 1 if it was shared.
        slower = max(1.0, self.seconds / len(self.snapshots) / self.look_seconds)
        looks = sum(mark > self.step for mark in self.marks)  # each of which takes a step, too
        return slower * (looks * self.look_seconds + (steps - looks) * self.step_seconds)

    def view(self, limit: float, place: int) -> View:
        """What a viewer sees of the run up to step `limit`; `place` is its place in the queue."""
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
        """Return what there is to see now, and renew the lease."""

    def holds(self, job: Job) -> bool:
        """Whether this is still the run of its configuration."""

    def play_to(self, viewer: "Viewer", limit: Callable[[float], float]) -> None:
        """Set how far the viewer wants to see: `limit`(the last step that it sees now)."""

    def leave(self, viewer: "Viewer") -> None:
        """Detach the viewer from its run."""


class Viewer:
    """One visitor's view of a run: it can pause and step by itself, though the run may be shared.

    A viewer changes nothing itself: its engine does so for it, holding the lock.
    """

    def __init__(
        self, desk: Desk, job: Job, limit: float, present: Callable[[], bool] = lambda: True
    ) -> None:
        self.desk, self.job = desk, job
        self.present = present  # whether the visitor is still there
        self.limit = limit  # the step this visitor wants to see, at most
        self.lease = 0.0  # until when a visitor who is still there counts as looking
        self.stopped = False

    @property
    def config(self) -> RunConfig:
        """The configuration of the run."""
        return self.job.config

    def alive(self) -> bool:
        """Whether the run has ended or can go on; False once it was freed."""
        return self.job.ended or self.desk.holds(self.job)

    def looks_at(self, now: float) -> bool:
        """Whether the lease goes on at this time and the visitor is there.

        Whoever closes the tab makes room at once: thirty who left a page, with 20 s of lease each,
        had thirty who came wait for 12 s.
        """
        return self.lease > now and self.present()

    def view(self) -> View:
        """Return what there is to see now, and renew the lease."""
        return self.desk.view(self)

    def looks(self) -> list[Snapshot]:
        """Return the snapshots that there are now, and renew the lease."""
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
        """Detach from the run; a look that comes late does not attach to it again."""
        self.desk.leave(self)
