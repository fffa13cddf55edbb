"""The live engine: submit a RunConfig, get a Viewer of its run.

One worker thread advances all runs in turn, a chunk of about 50 ms each, so that no
visitor starves. Viewers of the same configuration share one run; finished runs are kept,
oldest out. A viewer that stops looking loses its lease, and a run that nobody looks at
pauses and is freed later. Nothing here knows about a screen.
"""

import atexit
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from weakref import WeakSet

from core.config import RunConfig
from core.run.errands import Errands
from core.run.job import Job, Prepare, Status, View, Viewer
from core.run.prepare import explain, prepare

__all__ = ["Engine", "Status", "View", "Viewer"]

log = logging.getLogger("samenet.engine")


class Abandoned(Exception):
    """Raised inside a preparation that nobody waits for any more."""


class Engine:
    """Runs for many visitors on one device.

    Args:
      capacity: runs advanced in turn; further ones wait in a queue with a visible place.
      lease: seconds that one look keeps a run going.
      forget: seconds without a look after which an unfinished run is freed.
      keep: finished runs kept for the next visitor who asks for the same.
      prepare: makes a configuration ready to run.
    """

    def __init__(
        self,
        capacity: int = 32,
        lease: float = 20.0,
        forget: float = 60.0,
        keep: int = 64,
        prepare: Prepare = prepare,
    ) -> None:
        self._capacity, self._lease, self._forget, self._keep = capacity, lease, forget, keep
        self._prepare = prepare
        self._changed = threading.Condition(threading.RLock())
        self._jobs: OrderedDict[RunConfig, Job] = OrderedDict()  # oldest use first
        self._line: deque[Job] = deque()  # admitted runs, the next to advance first
        self._current: Job | None = None
        self._worker: threading.Thread | None = None
        self._preparing: WeakSet[threading.Thread] = WeakSet()
        self._closed = False
        self.errands = Errands(self.idle)
        atexit.register(self.close)

    def submit(self, config: RunConfig, until: float = float("inf")) -> Viewer:
        """Join the run of this configuration, or start it, to see it up to step `until`."""
        with self._changed:
            job = self._jobs.get(config)
            if job is None or job.status is Status.FAILED:
                job = self._jobs[config] = Job(config)
                log.info("run started: %s", config.differences())
                thread = threading.Thread(target=self._make_ready, args=(job,), daemon=True)
                self._preparing.add(thread)
                thread.start()
            self._jobs.move_to_end(config)
            viewer = Viewer(self, job, limit=until)
            self._look(viewer)
            return viewer

    def view(self, viewer: Viewer) -> View:
        """What a viewer sees now. Renews its lease."""
        with self._changed:
            if not viewer.stopped:
                self._look(viewer)
            return viewer.job.view(viewer.limit, self._place(viewer.job))

    def play_to(self, viewer: Viewer, limit: Callable[[float], float]) -> None:
        """Set a viewer's limit: `limit` of the last step that it sees now."""
        with self._changed:
            viewer.limit = limit(min(viewer.limit, max(viewer.job.step, 0)))
            self._changed.notify_all()

    def leave(self, viewer: Viewer) -> None:
        """A viewer lets go of its run; a late look does not take hold of it again."""
        with self._changed:
            viewer.stopped = True
            viewer.job.viewers.discard(viewer)

    def wait(self, viewer: Viewer, snapshots: int, timeout: float) -> View:
        """The view as soon as it has that many snapshots or the run has ended, or at `timeout`."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                view = viewer.view()
                left = deadline - time.monotonic()
                if len(view.snapshots) >= snapshots or viewer.job.ended or left <= 0:
                    return view
                self._changed.wait(left)

    def viewers(self) -> int:
        """How many visitors are looking at a run that goes on."""
        with self._changed:
            return sum(len(job.viewers) for job in self._runnable())

    def running(self) -> int:
        """How many runs are going on for somebody."""
        with self._changed:
            return len(self._runnable())

    def idle(self, timeout: float) -> bool:
        """Whether nobody waits for a run, waiting for that for at most `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._runnable() and not self._readying(), timeout
            )

    def holds(self, job: Job) -> bool:
        """Whether this is the run of its configuration; False once it was freed."""
        with self._changed:
            return self._jobs.get(job.config) is job

    def close(self) -> None:
        """Stop the worker, at the end of its chunk, and the preparations.

        A compilation cannot be interrupted, and a process that ends inside one crashes.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.errands.close()
        for thread in [*self._preparing, self._worker]:
            if thread is not None:
                thread.join(timeout=60)

    # What follows is called with the lock held, but for the two threads' own functions.

    def _look(self, viewer: Viewer) -> None:
        job = viewer.job
        job.viewers.add(viewer)
        job.seen = time.monotonic()
        viewer.lease = job.seen + self._lease
        self._changed.notify_all()
        if self._worker is None or not self._worker.is_alive():
            if self._current is not None:
                self._fail(self._current, "The worker stopped in this run; the next one works.")
                self._current = None
            self._worker = threading.Thread(target=self._work, daemon=True, name="samenet-worker")
            self._worker.start()

    def _runnable(self) -> list[Job]:
        now = time.monotonic()
        return [job for job in self._line if job.wanted(now)]

    def _readying(self) -> bool:
        """Whether a run is being prepared for somebody."""
        now = time.monotonic()
        unready = [job for job in self._jobs.values() if job.ticks is None and not job.ended]
        return any(viewer.lease > now for job in unready for viewer in job.viewers)

    def _place(self, job: Job) -> int:
        waiting = self._runnable()[self._capacity :]
        return waiting.index(job) + 1 if job in waiting else 0

    def _next(self) -> Job | None:
        """The run to advance: one that has nothing to show yet, else the next in turn."""
        runnable = self._runnable()[: self._capacity]
        return next((job for job in runnable if not job.snapshots), next(iter(runnable), None))

    def _take_turns(self, job: Job) -> None:
        """Move a run behind the others that are admitted, and before those who wait."""
        others = [other for other in self._runnable() if other is not job]
        admitted = others[: self._capacity - 1]
        self._line.remove(job)
        self._line.insert(self._line.index(admitted[-1]) + 1 if admitted else 0, job)

    def _sweep(self) -> None:
        """Free runs that nobody has looked at for long, and the oldest finished ones."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            looking = {viewer for viewer in job.viewers if viewer.lease > now}
            if job.viewers and not looking and not job.ended:
                log.info("run paused, nobody looks: %s", job.config.differences())
            job.viewers = looking
            if not job.ended and now - job.seen > self._forget:
                self._drop(job)
        finished = [job for job in self._jobs.values() if job.ended]
        for job in finished[: max(0, len(finished) - self._keep)]:
            self._drop(job)

    def _drop(self, job: Job) -> None:
        log.info("run freed: %s", job.config.differences())
        if self.holds(job):
            del self._jobs[job.config]
        self._end(job, Status.PAUSED)

    def _end(self, job: Job, status: Status, message: str = "") -> None:
        job.status, job.message, job.ticks = status, message, None
        if job in self._line:
            self._line.remove(job)

    def _fail(self, job: Job, message: str) -> None:
        self._end(job, Status.FAILED, message)
        self._changed.notify_all()

    def _make_ready(self, job: Job) -> None:
        """The preparing thread: one a run, so that nobody waits for another's download."""

        def report(status: Status, fraction: float, message: str) -> None:
            with self._changed:
                watched = any(viewer.lease > time.monotonic() for viewer in job.viewers)
                if self._closed or not watched:
                    self._drop(job)  # before it tidies up, so that a newcomer starts anew
                    raise Abandoned("Nobody waits for this run any more.")
                if status is not job.status:
                    job.since = time.monotonic()
                job.status, job.fraction, job.message = status, fraction, message

        try:
            ticks = self._prepare(job.config, report, job.next_look)
        except Abandoned:
            return
        except Exception as error:
            with self._changed:
                self._fail(job, explain(error))
            return
        with self._changed:
            if not self.holds(job):  # forgotten meanwhile
                return
            job.status, job.message, job.ticks = Status.RUNNING, "", ticks
            self._line.append(job)
            self._changed.notify_all()

    def _work(self) -> None:
        """The worker thread: advance one run by one chunk, for ever."""
        while True:
            with self._changed:
                self._current = None
                self._sweep()
                while not self._closed and (job := self._next()) is None:
                    self._changed.wait(timeout=1.0)
                    self._sweep()
                if self._closed or job is None:
                    return
                self._current, ticks = job, job.ticks
            assert ticks is not None  # a run in line is ready
            started = time.monotonic()
            try:
                snapshot, over = next(ticks), False
            except StopIteration:
                snapshot, over = None, True
            except Exception as error:
                with self._changed:
                    self._fail(job, explain(error))
                continue
            with self._changed:
                if job.ticks is None:  # freed meanwhile
                    continue
                job.seconds += time.monotonic() - started
                if snapshot is not None:
                    job.snapshots.append(snapshot)
                    job.times.append((time.monotonic(), snapshot.step))
                    over = snapshot.step == job.config.steps
                if over:
                    self._end(job, Status.DONE)
                else:
                    self._take_turns(job)
                self._changed.notify_all()
