"""The live engine: submit a RunConfig, get a Viewer of its run.

One worker thread advances the runs in turn, a chunk of about 50 ms each, so that no visitor
starves; a second one advances those whose single steps take longer than price.LONG. Viewers of the
same configuration share one run. Finished runs are kept until there are too many; the oldest go
first. A viewer that stops looking loses its lease; a run that nobody looks at is paused, and freed
later. Nothing here knows about a screen.
"""

import atexit
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

from core.config import RunConfig, refusal
from core.run import memory, own_process, traces
from core.run.budget import FULL, Budget, bytes_in
from core.run.errands import END_SECONDS, Errands
from core.run.job import Abandoned, Job, Prepare, Status, View, Viewer
from core.run.jobs import Jobs
from core.run.prepare import (
    at_hand,
    explain,
    let_go_of_first_look,
    let_go_of_program,
    prepare,
    to_compile,
)
from core.run.price import LONG
from core.run.turn import Turn

__all__ = ["Engine", "Status", "View", "Viewer"]

log = logging.getLogger("samenet.engine")

COURTESY_SECONDS = 2.0  # how long answering one click may hold up work that can wait
FIRST_LOOK_SECONDS = 10.0  # how long the rest of a run's program waits for the first look


class Engine:
    """Runs for many visitors on one device.

    Args:
      capacity: runs advanced in turn; others wait in a queue, and their place in it is shown.
      lease: seconds for which one look keeps a run going.
      forget: seconds without a look after which an unfinished run is freed. A run is never freed
        while it compiles, and the seconds start again after that. A browser tab in the background
        looks only once a minute.
      keep: finished runs kept for the next visitor who asks for the same.
      prepare: makes a configuration ready to run.
      at_hand: whether `prepare` takes only a moment, and so needs no thread of its own.
      to_compile: the shape that a configuration needs compiled; None if it is compiled.
      budget: the memory for all of it; without it, as much as there is.
      presence: returns what tells whether the visitor of this thread is still there.
    """

    def __init__(
        self,
        capacity: int = 32,
        lease: float = 20.0,
        forget: float = 90.0,
        keep: int = 64,
        prepare: Prepare = prepare,
        at_hand: Callable[[RunConfig], bool] = at_hand,
        to_compile: Callable[[RunConfig], Hashable] = to_compile,
        budget: Budget | None = None,
        presence: Callable[[], Callable[[], bool]] = lambda: lambda: True,
    ) -> None:
        self._capacity, self._lease, self._forget, self._keep = capacity, lease, forget, keep
        self._prepare, self._at_hand, self._presence = prepare, at_hand, presence
        self._changed = threading.Condition(threading.RLock())
        self._jobs = Jobs(to_compile)  # least recently used first
        self._line: deque[Job] = deque()  # admitted runs, the next to advance first
        # Lane False has the runs with short steps, lane True those with long ones.
        self._current: dict[bool, Job | None] = {False: None, True: None}
        self._workers: dict[bool, threading.Thread] = {}
        self._preparing: WeakSet[threading.Thread] = WeakSet()
        self._answering: dict[int, float] = {}  # thread -> until when it goes first
        self._delivered = 0.0  # when the last answer will have been sent
        self._turn, self._closed = Turn(), False
        self.budget = budget or Budget()
        self.errands = Errands(self.idle, self.budget.full)
        self.budget.stores += [
            lambda: self._let_go_of(lambda job: job.abandoned),
            lambda: let_go_of_program(self._unended()),
            traces.let_go,
            let_go_of_first_look,
            lambda: self._let_go_of(lambda job: job.ended and not job.looked_at(time.monotonic())),
            self.errands.let_go,
        ]
        self.budget.coming = self._to_come
        self.budget.watch()
        atexit.register(self.close)

    def submit(self, config: RunConfig, until: float = float("inf")) -> Viewer:
        """Join the run of this configuration, or start it, to see it up to step `until`."""
        with self._changed:
            job = self._jobs.get(config)
            new = job is None or job.status is Status.FAILED
            if new and (why := self.refusal(config)):
                return Viewer(self, Job.refused(config, why), limit=0)
            if job is None or new:
                job = self._jobs[config] = Job(config)
                log.info("run started: %s", config.differences())
            self._jobs.move_to_end(config)
            viewer = Viewer(self, job, until, self._presence())
            job.visitors.add(viewer)
            self._look(viewer)
        if new and self._at_hand(config):
            self._make_ready(job)  # in this thread: thirty new ones would wait for each other
        elif new:
            thread = threading.Thread(target=self._make_ready, args=(job,), daemon=True)
            with self._changed:  # while the engine closes, it goes through them
                self._preparing.add(thread)
            thread.start()
        return viewer

    def refusal(self, config: RunConfig) -> str:
        """Say why a run of this configuration cannot begin now, or "" if it can."""
        with self._changed:
            new = len(self._jobs.to_compile(config)) - len(self._jobs.to_compile())
        return refusal(config) or (FULL if self.budget.full(new) else "")

    def view(self, viewer: Viewer) -> View:
        """Return what a viewer sees now, and renew its lease."""
        with self._changed:
            if not viewer.stopped:
                self._look(viewer)
            return viewer.job.view(viewer.limit, self._place(viewer.job))

    def play_to(self, viewer: Viewer, limit: Callable[[float], float]) -> None:
        """Set a viewer's limit to `limit`(the last step that it sees now)."""
        with self._changed:
            viewer.limit = limit(min(viewer.limit, max(viewer.job.step, 0)))
            self._changed.notify_all()

    def leave(self, viewer: Viewer) -> None:
        """Detach a viewer from its run; a look that comes late does not attach it again."""
        with self._changed:
            viewer.stopped = True
            viewer.job.viewers.discard(viewer)
            viewer.job.visitors.discard(viewer)
            self._changed.notify_all()

    def wait(self, viewer: Viewer, snapshots: int, timeout: float) -> View:
        """Wait until the view has that many snapshots or the run is over, at most `timeout` s.

        A run that was freed is over, too, and one that the viewer has left.
        """
        lent = self._turn.end()
        view = self._wait(viewer, snapshots, time.monotonic() + timeout)
        if lent:
            self._turn.take()
        return view

    def _wait(self, viewer: Viewer, snapshots: int, deadline: float) -> View:
        with self._changed:
            while True:
                view = viewer.view()
                left = deadline - time.monotonic()
                over = viewer.job.ended or viewer.stopped or not viewer.alive()
                if len(view.snapshots) >= snapshots or over or left <= 0:
                    return view
                self._changed.wait(min(left, self._lease / 2))  # soon enough to keep the lease

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Let this thread go first during the block, because it answers a visitor's click.

        Meanwhile runs that already have something to show stop, for COURTESY_SECONDS at most.
        """
        thread, before = threading.get_ident(), time.thread_time()
        with self._changed:
            self._answering[thread] = time.monotonic() + COURTESY_SECONDS
        self._turn.take()
        try:
            yield
        finally:
            self._turn.end()
            with self._changed:
                del self._answering[thread]
                # Sending the answer takes the server about as long as making it.
                now, made = time.monotonic(), time.thread_time() - before
                sent = max(now, self._delivered) + made
                self._delivered = min(sent, now + COURTESY_SECONDS)
                self._changed.notify_all()

    def answers(self) -> bool:
        """Whether this thread is answering a click."""
        return threading.get_ident() in self._answering

    def quiet(self, timeout: float) -> bool:
        """Return whether, within `timeout` seconds, no click goes before this thread any more."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._goes_first() and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, 0.02))  # nothing signals that an answer has been sent
            return self._goes_first()

    def viewers(self) -> int:
        """How many visitors are looking at a run that is going on or being prepared."""
        now = time.monotonic()
        with self._changed:
            jobs = [*self._runnable(), *self._jobs.unready()]
            return len([each for job in jobs for each in job.viewers if each.looks_at(now)])

    def running(self) -> int:
        """How many runs are going on for somebody."""
        with self._changed:
            return len(self._runnable())

    def idle(self, timeout: float) -> bool:
        """Return whether, within `timeout` seconds, nobody waits for a run or a page any more."""

        def nobody_waits() -> bool:
            return not (self._answering or self._runnable() or self._jobs.awaited())

        with self._changed:
            return self._changed.wait_for(nobody_waits, timeout)

    def count(self) -> dict[Status, int]:
        """How many runs there are of each status; one that nobody waits for is paused."""
        now = time.monotonic()
        with self._changed:
            jobs = [(float("inf") if j.wanted(now) else j.step, j) for j in self._jobs.values()]
            return Counter(job.view(limit, self._place(job)).status for limit, job in jobs)

    def _unended(self) -> list[RunConfig]:
        with self._changed:
            return self._jobs.unended()

    def _to_come(self) -> int:
        """How many programs are still to be compiled for what has been taken on."""
        with self._changed:
            return len(self._jobs.to_compile()) + self.errands.beginning

    def _let_go_of(self, which: Callable[[Job], bool]) -> int | None:
        """Free the run of this kind that was used longest ago; its snapshots' bytes, or None."""
        with self._changed:
            if (job := next(filter(which, self._jobs.values()), None)) is None:
                return None
            self._drop(job)
            return bytes_in(job.snapshots)

    def holds(self, job: Job) -> bool:
        """Whether this is still the run of its configuration; False once it was freed."""
        with self._changed:
            return self._jobs.get(job.config) is job

    def close(self) -> None:
        """Stop the workers at the end of their chunks, and the preparations; wait for both.

        A compilation cannot be interrupted, and a process that ends during one crashes.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        own_process.end_all()
        self.budget.close()
        self.errands.close()
        with self._changed:
            threads = [*self._preparing, *self._workers.values()]
        for thread in threads:
            if thread.is_alive():  # one that has yet to begin finds the engine closed
                thread.join(timeout=END_SECONDS)

    # The functions below are called with the lock held, except those that threads run.

    def _look(self, viewer: Viewer) -> None:
        job = viewer.job
        job.last_seen = time.monotonic()
        # Threads that wait also look; if each look woke the others, they would never sleep again.
        if viewer not in job.viewers or viewer.lease < job.last_seen:
            self._changed.notify_all()
        job.viewers.add(viewer)
        viewer.lease = job.last_seen + self._lease
        self._employ(job.long)

    def _employ(self, lane: bool) -> None:
        """Make sure that the lane has a worker."""
        if lane in self._workers and self._workers[lane].is_alive():
            return
        if (broken := self._current[lane]) is not None:
            self._fail(broken, "The worker stopped during this run; a new one has started.")
            self._current[lane] = None
        worker = threading.Thread(target=self._work, args=(lane,), daemon=True, name="samenet-run")
        self._workers[lane] = worker
        worker.start()

    def _runnable(self) -> list[Job]:
        now = time.monotonic()
        return [job for job in self._line if job.wanted(now)]

    def _goes_first(self) -> bool:
        """Whether this thread is answering a click, or need not wait for another that is."""
        now = time.monotonic()
        others = any(until > now for until in self._answering.values())
        return self.answers() or not (others or self._delivered > now)

    def _place(self, job: Job) -> int:
        waiting = self._runnable()[self._capacity :]
        return waiting.index(job) + 1 if job in waiting else 0

    def _next(self, lane: bool, first: bool = False) -> Job | None:
        """The run to advance: one that has nothing to show yet, or else the next in turn.

        The next in turn waits for clicks that are being answered, unless it goes `first`.
        """
        runnable = [
            job
            for job in self._runnable()[: self._capacity]
            if job.long is lane and job.can_go_on()
        ]
        new = next((job for job in runnable if not job.snapshots), None)
        return new or (next(iter(runnable), None) if first or self._goes_first() else None)

    def _take_turns(self, job: Job) -> None:
        """Move a run behind the other admitted runs, and before those in the queue."""
        others = [other for other in self._runnable() if other is not job]
        admitted = others[: self._capacity - 1]
        self._line.remove(job)
        self._line.insert(self._line.index(admitted[-1]) + 1 if admitted else 0, job)

    def _sweep(self) -> None:
        """Free runs that nobody has looked at for a long time, and the oldest finished ones."""
        now = time.monotonic()
        for job in list(self._jobs.values()):
            looking = {viewer for viewer in job.viewers if viewer.looks_at(now)}
            if job.viewers and not looking and job.ticks is not None:
                log.info("run paused, nobody looks: %s", job.config.differences())
            if not job.unready:  # a run in preparation keeps viewers that merely look late
                job.viewers = looking
            if job.forgotten(self._forget):
                self._drop(job)
        finished = [job for job in self._jobs.values() if job.ended]
        for job in finished[: max(0, len(finished) - self._keep)]:
            self._drop(job)

    def _drop(self, job: Job) -> None:
        log.info("run freed: %s", job.config.differences())
        if self.holds(job):
            del self._jobs[job.config]
        if not job.ended:  # whoever still looks at one that has ended goes on seeing its end
            self._end(job, Status.PAUSED)
        self._changed.notify_all()

    def _end(self, job: Job, status: Status, message: str = "") -> None:
        job.status, job.message, job.ticks = status, message, None
        if job in self._line:
            self._line.remove(job)

    def _fail(self, job: Job, message: str) -> None:
        self._end(job, Status.FAILED, message)
        self._changed.notify_all()

    def _make_ready(self, job: Job) -> None:
        """Prepare a run, in a thread of its own, so that nobody waits for another's download."""

        def report(status: Status, fraction: float, message: str) -> None:
            if status is Status.COMPILING and fraction > 0:
                self.quiet(COURTESY_SECONDS)  # a page is drawn before its charts are filled
            with self._changed:
                # A compilation is not given up, so that the next visitor finds it done.
                left = not (job.viewers or job.compiling) or self._in_the_way(job)
                if self._closed or left or job.forgotten(self._forget) or not self.holds(job):
                    self._drop(job)  # before it cleans up: a new visitor gets a new run
                    raise Abandoned("Nobody waits for this run any more.")
                if status is not job.status:
                    job.since = time.monotonic()
                job.status, job.fraction, job.message = status, fraction, message

        try:
            ready = self._prepare(job.config, report, job.next_look)
        except Abandoned:
            return
        except Exception as error:
            with self._changed:
                self._fail(job, explain(error))
            return
        with self._changed:
            if not self.holds(job):  # forgotten meanwhile
                return
            job.step_seconds, job.look_seconds = ready.step_seconds, ready.look_seconds
            job.long = ready.step_seconds > LONG
            self._employ(job.long)
            job.status, job.message, job.ticks = Status.RUNNING, "", ready.ticks
            job.since = job.last_seen = time.monotonic()
            job.whole = ready.finish is None
            self._line.append(job)
            self._changed.notify_all()
        if ready.finish is not None:
            self._finish(job, ready.finish)

    def _in_the_way(self, job: Job) -> bool:
        """Whether there is no room to compile for a run that everybody has left."""
        return job.left and self.budget.full(0)

    def _finish(self, job: Job, finish: Callable[[], float]) -> None:
        """Compile the rest of a run's program, after its first look: both may share one core."""
        with self._changed:
            self._changed.wait_for(
                lambda: job.snapshots or job.ticks is None or self._closed, FIRST_LOOK_SECONDS
            )
            if self._closed or job.ended:
                return
            if self._in_the_way(job):
                self._drop(job)
                return
        try:
            step_seconds = finish()
        except Exception as error:
            with self._changed:
                self._fail(job, explain(error))
            return
        with self._changed:
            job.whole, job.step_seconds, job.last_seen = True, step_seconds, time.monotonic()
            self._changed.notify_all()

    def _work(self, lane: bool) -> None:
        """Advance the runs of a lane, a chunk at a time, until the engine is closed."""
        while True:
            ticks = None  # or the worker would keep a freed run alive
            with self._changed:
                self._current[lane] = None
                self._sweep()
                while not self._closed and (job := self._next(lane)) is None:
                    self._changed.wait(timeout=0.02 if self._next(lane, True) else 1.0)
                    self._sweep()
                if self._closed or job is None:
                    return
                self._current[lane], ticks = job, job.ticks
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
                    job.add(snapshot)
                    over = snapshot.step == job.config.steps
                if over:
                    self._end(job, Status.DONE)
                    self._jobs.move_to_end(job.config)
                else:
                    self._take_turns(job)
                self._changed.notify_all()
            if over and self.idle(timeout=0.0):  # it takes 10 ms, for which nobody should wait
                memory.give_back()
