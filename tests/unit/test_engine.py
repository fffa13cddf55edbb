"""The engine with runs that cost nothing; tests/compiled tests it with real ones.

No test sleeps to give something time to happen: each waits for the condition itself.
"""

import gc
import math
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.config import RunConfig
from core.data import DataUnavailable
from core.run import engine as engine_module
from core.run.engine import Engine, Status, View, Viewer
from core.run.job import Ready
from core.run.snapshot import Snapshot
from core.run.train import (
    NextLook,
    looks_of,
    snapshot_steps,
)

SOON = 20.0  # seconds that a slow machine may take


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def snapshot(step: int) -> Snapshot:
    return Snapshot(step, *[None] * (len(Snapshot._fields) - 1))


class Runs:
    """A `prepare` whose runs cost nothing; `gate` holds them up, `log` says which one advanced."""

    def __init__(self) -> None:
        self.prepared: list[RunConfig] = []
        self.log: list[int] = []  # the seed of each tick
        self.gate = threading.Event()
        self.gate.set()

    def __call__(
        self, config: RunConfig, report: Any, next_look: NextLook
    ) -> Iterator[Snapshot | None]:
        self.prepared.append(config)
        return self.ticks(config, next_look)

    def ticks(
        self, config: RunConfig, next_look: NextLook | None = None
    ) -> Iterator[Snapshot | None]:
        next_look = next_look or looks_of(config)
        step = 0
        while True:
            self.log.append(config.seed)
            yield snapshot(step)
            assert self.gate.wait(SOON)
            if step == config.steps:
                return
            step = next_look(step)


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def make(runs: Runs) -> Iterator[Callable[..., Engine]]:
    """A factory of engines with the runs above; all are closed at the end."""
    made: list[Engine] = []

    def make(
        prepare: Callable[..., Iterator[Snapshot | None]] = runs,
        step_seconds: Callable[[RunConfig], float] = lambda config: 0.0,
        prepare_whole: Callable[..., Ready] | None = None,
        **settings: Any,
    ) -> Engine:
        def ready(config: RunConfig, *others: Any) -> Ready:
            return Ready(prepare(config, *others), step_seconds(config))

        own = {
            "prepare": prepare_whole or ready,
            "at_hand": lambda config: False,
            "to_compile": lambda config: config.widths,
        }
        made.append(Engine(**{**own, "lease": SOON, **settings}))
        return made[-1]

    yield make
    runs.gate.set()
    for engine in made:
        engine.close()


def config(seed: int = 0, epochs: int = 10) -> RunConfig:
    return RunConfig(seed=seed, epochs=epochs)


def done(engine: Engine, viewer: Viewer) -> View:
    """The view of a run that has ended."""
    return engine.wait(viewer, snapshots=10**9, timeout=SOON)


def steps(view: View) -> list[int]:
    return [snapshot.step for snapshot in view.snapshots]


# One run, several viewers


def test_run_plays_to_its_end(make: Callable[..., Engine]) -> None:
    engine = make()
    view = done(engine, engine.submit(config()))
    assert (view.status, steps(view), view.steps) == (Status.DONE, list(range(11)), 10)


def test_viewers_pause_and_step_for_themselves(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make()
    stepping = engine.submit(config(), until=0)
    view = engine.wait(stepping, 1, SOON)
    assert (view.status, steps(view)) == (Status.PAUSED, [0])
    assert runs.log == [0], "a run that nobody plays does not advance"

    playing = engine.submit(config())
    assert done(engine, playing).status is Status.DONE
    assert runs.prepared == [config()], "the same configuration is one run"
    assert steps(stepping.view()) == [0] and stepping.view().status is Status.PAUSED
    stepping.step()
    assert steps(stepping.view()) == [0, 1]
    stepping.step()
    stepping.resume()
    assert stepping.view().status is Status.DONE
    assert len(runs.log) == 11


def test_steps_advance_a_run_one_snapshot_at_a_time(
    make: Callable[..., Engine], runs: Runs
) -> None:
    engine = make()
    viewer = engine.submit(config(), until=0)
    for step in range(1, 4):
        viewer.step()
        view = engine.wait(viewer, step + 1, SOON)
        assert (view.status, steps(view)[-1]) == (Status.PAUSED, step)
    assert len(runs.log) == 4


def test_a_viewer_joins_a_run_where_it_is_told_to(make: Callable[..., Engine]) -> None:
    engine = make()
    done(engine, engine.submit(config()))
    assert steps(engine.submit(config(), until=4).view()) == list(range(5))
    assert engine.submit(config()).view().status is Status.DONE


def test_pause_holds_at_the_newest_snapshot(make: Callable[..., Engine], runs: Runs) -> None:
    runs.gate.clear()
    engine = make()
    viewer = engine.submit(config(epochs=1000))
    assert engine.wait(viewer, 1, SOON).status is Status.RUNNING
    viewer.pause()
    runs.gate.set()
    until(lambda: engine.running() == 0)
    paused = viewer.view()
    assert (paused.status, steps(paused)) == (Status.PAUSED, [0])
    viewer.resume()
    assert engine.wait(viewer, 5, SOON).status in (Status.RUNNING, Status.DONE)


def test_a_first_look_does_not_wait_for_what_comes_after_it(
    make: Callable[..., Engine], runs: Runs
) -> None:
    compiled = threading.Event()

    def ready(config: RunConfig, *others: Any) -> Ready:
        return Ready(runs(config, *others), finish=lambda: float(compiled.wait(SOON)))

    engine = make(prepare_whole=ready)
    viewer = engine.submit(config())
    view = engine.wait(viewer, 1, SOON)
    assert (view.status, steps(view)) == (Status.COMPILING, [0])
    content = engine.submit(config(), until=0)
    assert content.view().status is Status.PAUSED  # whoever wants no more steps waits for nothing
    compiled.set()
    assert done(engine, viewer).status is Status.DONE


def test_those_who_wait_do_not_wake_each_other(
    make: Callable[..., Engine], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three that did took a whole core, and left nothing for what they waited for."""
    runs.gate.clear()
    engine = make()
    viewers = [engine.submit(config(seed)) for seed in range(3)]
    looks: Counter[Viewer] = Counter()
    view = engine.view
    monkeypatch.setattr(engine, "view", lambda viewer: looks.update([viewer]) or view(viewer))
    threads = [threading.Thread(target=engine.wait, args=(each, 9, 0.5)) for each in viewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert len(looks) == 3 and max(looks.values()) < 20


def test_the_time_that_a_run_will_take_is_known_before_it_goes_on(
    make: Callable[..., Engine], runs: Runs
) -> None:
    """It is the run's price, scaled by how long its look took; more cannot be known yet."""
    engine = make(prepare_whole=lambda *args: Ready(runs(*args), 2e6, look_seconds=1e9))
    viewer = engine.submit(config(epochs=1000), until=0)
    view = engine.wait(viewer, 1, SOON)
    looks = len(viewer.job.marks) - 1
    price = looks * 1e9 + (1000 - looks) * 2e6
    assert (view.steps_per_second, view.seconds_left) == (None, price)
    viewer.job.seconds = 4e9  # a look that took four times its price
    assert viewer.view().seconds_left == 4 * price
    viewer.resume()
    assert done(engine, viewer).seconds_left is None


def test_a_failure_after_a_first_look_leaves_the_look(
    make: Callable[..., Engine], runs: Runs
) -> None:
    def fail() -> float:
        raise MemoryError("A step of this run needs more.")

    engine = make(prepare_whole=lambda *args: Ready(runs(*args), finish=fail))
    view = done(engine, engine.submit(config()))
    assert (view.status, view.message) == (Status.FAILED, "A step of this run needs more.")
    assert steps(view) == [0]


def test_the_answer_to_a_click_goes_first(
    make: Callable[..., Engine], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training waits meanwhile, a first look does not; and a click cannot hold it up for good."""
    monkeypatch.setattr(engine_module, "COURTESY_SECONDS", SOON)
    engine = make()
    training = engine.submit(config(seed=1, epochs=1000), until=0)
    engine.wait(training, 1, SOON)
    answered = threading.Event()

    def answer() -> None:
        with engine.answering():
            assert engine.quiet(0.0)  # it does not wait for itself
            answered.wait(SOON)

    click = threading.Thread(target=answer)
    click.start()
    until(lambda: not engine.quiet(0.0))
    training.resume()
    assert engine.wait(engine.submit(config(seed=2)), 1, SOON).snapshots
    assert steps(training.view()) == [0]
    answered.set()
    assert len(engine.wait(training, 5, SOON).snapshots) >= 5
    click.join()
    monkeypatch.setattr(engine_module, "COURTESY_SECONDS", 0.0)
    with engine.answering():
        assert done(engine, training).status is Status.DONE


def test_a_run_stops_when_its_last_viewer_leaves(make: Callable[..., Engine], runs: Runs) -> None:
    runs.gate.clear()
    engine = make()
    first, second = engine.submit(config(epochs=1000)), engine.submit(config(epochs=1000))
    engine.wait(first, 1, SOON)
    first.stop()
    assert engine.running() == 1
    second.stop()
    assert engine.running() == 0


# Many runs


def play_together(engine: Engine, runs: Runs, seeds: list[int], epochs: int) -> list[Viewer]:
    """Start runs so that all have shown step 0 before any shows another step."""
    runs.gate.clear()
    viewers = [engine.submit(config(seed, epochs), until=0) for seed in seeds]
    for viewer in viewers:
        engine.wait(viewer, 1, SOON)
    runs.log.clear()
    with engine._changed:
        for viewer in viewers:
            viewer.resume()
    runs.gate.set()
    return viewers


def assert_fair(log: list[int], seeds: set[int]) -> None:
    """Assert that none is ever more than one turn ahead of another."""
    turns = Counter(dict.fromkeys(seeds, 0))
    for seed in log:
        turns[seed] += 1
        assert max(turns.values()) - min(turns.values()) <= 1, log


def test_runs_take_turns(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make()
    for viewer in play_together(engine, runs, [1, 2, 3], epochs=100):
        assert done(engine, viewer).status is Status.DONE
    assert_fair(runs.log, {1, 2, 3})


def test_paused_runs_do_not_upset_the_turns(make: Callable[..., Engine], runs: Runs) -> None:
    """There are more paused runs than the capacity, all older than those that play."""
    engine = make(capacity=2)
    for seed in (11, 12, 13, 14):
        engine.wait(engine.submit(config(seed), until=0), 1, SOON)
    for viewer in play_together(engine, runs, [1, 2], epochs=100):
        assert done(engine, viewer).status is Status.DONE
    assert_fair(runs.log, {1, 2})


def test_new_run_shows_its_first_step_at_once(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make(capacity=3)
    play_together(engine, runs, [1, 2], epochs=1000)
    newcomer = engine.submit(config(3, 1000))
    assert engine.wait(newcomer, 1, SOON).snapshots
    first = runs.log.index(3)
    assert first < 2 * 400


def test_queue_has_visible_places(make: Callable[..., Engine], runs: Runs) -> None:
    runs.gate.clear()
    engine = make(capacity=1)
    viewers = []
    for seed in (1, 2, 3):  # one after the other, so that the order is known
        viewers.append(engine.submit(config(seed)))
        until(lambda viewer=viewers[-1]: viewer.view().status in (Status.RUNNING, Status.QUEUED))
    engine.wait(viewers[0], 1, SOON)
    views = [viewer.view() for viewer in viewers]
    assert [(view.status, view.place) for view in views] == [
        (Status.RUNNING, 0), (Status.QUEUED, 1), (Status.QUEUED, 2),
    ]  # fmt: skip
    viewers[0].stop()  # the next move up
    views = [viewer.view() for viewer in viewers[1:]]
    assert [(view.status, view.place) for view in views] == [
        (Status.RUNNING, 0), (Status.QUEUED, 1),
    ]  # fmt: skip
    runs.gate.set()
    assert [done(engine, viewer).status for viewer in viewers[1:]] == [Status.DONE] * 2
    last_of_two, first_of_three = len(runs.log) - runs.log[::-1].index(2), runs.log.index(3)
    assert last_of_two <= first_of_three + 1


def test_pace_and_time_left(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make()
    viewer = engine.submit(config(epochs=1000), until=0)
    assert engine.wait(viewer, 1, SOON).steps_per_second is None
    for seen in (2, 3, 4):
        viewer.step()
        view = engine.wait(viewer, seen, SOON)
    left = view.steps - view.snapshots[-1].step
    assert view.steps_per_second and view.steps_per_second > 0
    assert view.seconds_left == pytest.approx(left / view.steps_per_second)


# Leases


def test_run_pauses_when_nobody_looks_and_goes_on_when_somebody_does(
    make: Callable[..., Engine], runs: Runs
) -> None:
    runs.gate.clear()
    engine = make(lease=0.2)
    viewer = engine.submit(config(epochs=1000))
    until(lambda: viewer.view() and runs.log)
    until(lambda: engine.running() == 0)
    runs.gate.set()
    ticks = len(runs.log)
    assert ticks <= 2 and viewer.alive()
    until(lambda: viewer.view().status is Status.DONE)  # looking renews the lease
    assert len(runs.log) > ticks


def test_a_forgotten_run_is_freed_and_starts_again(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make(lease=0.05, forget=0.1)
    viewer = engine.submit(config(), until=0)
    until(lambda: not viewer.alive())
    engine._forget = 90.0  # a busy worker may come late for the next one
    assert done(engine, engine.submit(config())).status is Status.DONE
    assert runs.prepared == [config()] * 2


def test_the_newest_finished_runs_are_kept(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make(keep=2)
    for seed in (1, 2, 3):
        assert done(engine, engine.submit(config(seed))).status is Status.DONE
    until(lambda: len(engine._jobs) == 2)
    for seed in (2, 3, 1):
        assert done(engine, engine.submit(config(seed))).status is Status.DONE
    assert [each.seed for each in runs.prepared] == [1, 2, 3, 1]


def test_a_run_that_has_just_ended_is_kept_and_whoever_looks_at_another_still_sees_its_end(
    make: Callable[..., Engine], runs: Runs
) -> None:
    engine = make(keep=1)
    long = engine.submit(config(1), until=0)
    engine.wait(long, 1, SOON)
    short = engine.submit(config(2))
    done(engine, short)
    long.resume()
    done(engine, long)
    until(lambda: len(engine._jobs) == 1)
    for viewer in (long, short, engine.submit(config(1))):
        assert viewer.alive() and viewer.view().status is Status.DONE
        assert steps(viewer.view()) == list(range(11))
    assert [each.seed for each in runs.prepared] == [1, 2]


def test_a_step_that_the_run_has_passed_already_shows_the_next_look(
    make: Callable[..., Engine],
) -> None:
    passed, gate = threading.Event(), threading.Event()

    def ticks(config: RunConfig, report: Any, next_look: NextLook) -> Iterator[Snapshot | None]:
        yield snapshot(0)
        passed.set()
        assert gate.wait(SOON)
        yield None  # after step 5
        yield snapshot(max(5, next_look(0)))

    engine = make(ticks)
    viewer, other = engine.submit(config()), engine.submit(config(), until=0)
    assert passed.wait(SOON)
    viewer.pause()
    viewer.step()
    assert viewer.limit == 1
    gate.set()
    assert steps(engine.wait(viewer, 2, SOON)) == [0, 5]
    assert viewer.limit == 5 and steps(other.view()) == [0]


# What goes wrong


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ZeroDivisionError("by zero"), "This run failed: ZeroDivisionError: by zero"),
        (KeyError(), "This run failed: KeyError: KeyError"),
        (MemoryError("Make the layers narrower."), "Make the layers narrower."),
        (DataUnavailable("t10k-images is altered."), "t10k-images is altered."),
        (RuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "The device ran out of memory."),
    ],
)
@pytest.mark.parametrize("where", ["prepare", "ticks"])
def test_a_failure_is_reported_and_the_next_run_works(
    make: Callable[..., Engine], runs: Runs, where: str, error: Exception, message: str
) -> None:
    broken = True

    def ticks(config: RunConfig) -> Iterator[Snapshot | None]:
        yield from runs.ticks(config) if not broken else fail()

    def fail() -> Any:
        raise error

    def prepare(config: RunConfig, report: Any, _: Any) -> Iterator[Snapshot | None]:
        return fail() if broken and where == "prepare" else ticks(config)

    engine = make(prepare=prepare)
    viewer = engine.submit(config())
    until(lambda: viewer.view().status is Status.FAILED)
    assert viewer.view().message.startswith(message)
    assert viewer.alive() and not viewer.view().snapshots
    broken = False
    for next_config in (config(1), config()):
        assert done(engine, engine.submit(next_config)).status is Status.DONE


# pytest warns of the very thing that this test is about: a thread that an exception ended.
@pytest.mark.filterwarnings("ignore:Exception in thread samenet-run")
def test_a_dead_worker_is_reported_and_replaced(make: Callable[..., Engine], runs: Runs) -> None:
    def prepare(config: RunConfig, report: Any, _: Any) -> Iterator[Snapshot | None]:
        return runs.ticks(config) if config.seed else (sys.exit() for _ in range(1))

    engine = make(prepare=prepare)
    viewer = engine.submit(config(0))
    until(lambda: viewer.view().status is Status.FAILED)
    assert viewer.view().message == "The worker stopped during this run; a new one has started."
    assert done(engine, engine.submit(config(1))).status is Status.DONE


class Preparations:
    """Preparations that report until they are abandoned, then take their time tidying up."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self.slow = runs, True
        self.abandoned, self.tidied = threading.Event(), threading.Event()

    def __call__(self, config: RunConfig, report: Any, _: Any) -> Iterator[Snapshot | None]:
        try:
            while self.slow:
                report(Status.PREPARING, 0.25, "downloading")
                time.sleep(0.002)
        finally:
            self.slow = False
            self.abandoned.set()
            self.tidied.wait(SOON)
        return self.runs(config, report, _)


def test_preparation_is_shown_and_can_be_abandoned(make: Callable[..., Engine], runs: Runs) -> None:
    preparations = Preparations(runs)
    engine = make(prepare=preparations)
    viewer = engine.submit(config())
    until(lambda: viewer.view().message)
    view = viewer.view()
    assert (view.status, view.fraction, view.message) == (Status.PREPARING, 0.25, "downloading")
    assert not preparations.abandoned.is_set()
    viewer.stop()
    assert preparations.abandoned.wait(SOON)
    preparations.tidied.set()
    assert done(engine, engine.submit(config())).status is Status.DONE


def test_newcomer_does_not_join_an_abandoned_preparation(
    make: Callable[..., Engine], runs: Runs
) -> None:
    preparations = Preparations(runs)
    engine = make(prepare=preparations)
    engine.submit(config()).stop()
    assert preparations.abandoned.wait(SOON)
    newcomer = engine.submit(config())  # while the abandoned one is still tidying up
    preparations.tidied.set()
    assert done(engine, newcomer).status is Status.DONE


def test_an_abandoned_preparation_is_no_failure_and_is_freed(
    make: Callable[..., Engine], runs: Runs
) -> None:
    """A laptop that slept during a download finds no failure and can start again."""
    preparations = Preparations(runs)
    preparations.tidied.set()
    engine = make(prepare=preparations, lease=0.05, forget=0.05)
    viewer = engine.submit(config())
    assert preparations.abandoned.wait(SOON)
    until(lambda: viewer.view().status is not Status.PREPARING)
    assert viewer.view().status is not Status.FAILED
    assert not viewer.alive()


def test_run_forgotten_while_it_was_prepared_is_freed(
    make: Callable[..., Engine], runs: Runs
) -> None:
    """A download that hangs cannot be interrupted; what it yields must not stay in memory."""
    go, made = threading.Event(), []

    def prepare(config: RunConfig, report: Any, _: Any) -> Iterator[Snapshot | None]:
        assert go.wait(SOON)
        ticks = runs.ticks(config)
        made.append(weakref.ref(ticks))
        return ticks

    engine = make(prepare=prepare, lease=0.05, forget=0.1)
    viewer = engine.submit(config())
    until(lambda: not viewer.alive())
    go.set()
    until(lambda: made and (gc.collect(), made[0]() is None)[1])


def test_a_wait_ends_with_a_run_that_is_freed(make: Callable[..., Engine], runs: Runs) -> None:
    preparations = Preparations(runs)
    preparations.tidied.set()
    engine = make(prepare=preparations)
    viewer, found = engine.submit(config()), []
    wait = threading.Thread(
        target=lambda: found.append(engine.wait(viewer, 1, 9 * SOON)), daemon=True
    )
    wait.start()
    with engine._changed:
        engine._drop(viewer.job)
    wait.join(SOON)
    assert not viewer.alive()
    assert [view.snapshots for view in found] == [[]]


def out_of_sight(engine: Engine) -> None:
    """Make it look as if nobody had ever looked at any run."""
    with engine._changed:
        for job in engine._jobs.values():
            job.last_seen = -math.inf
            for viewer in job.viewers:
                viewer.lease = -math.inf
        engine._sweep()


def test_a_viewer_who_looks_late_keeps_what_is_being_prepared(
    make: Callable[..., Engine], runs: Runs
) -> None:
    """A tab in the background looks late; only a visitor who leaves lets go at once."""

    def prepare(config: RunConfig, report: Any, _: Any) -> Iterator[Snapshot | None]:
        until(lambda: not engine._jobs.awaited())  # the lease has run out
        with engine._changed:
            engine._sweep()
        assert engine.viewers() == 0
        report(Status.PREPARING, 0.5, "downloading")
        report(Status.COMPILING, 0.0, "")
        return runs(config, report, _)

    engine = make(prepare=prepare, lease=0.05)
    viewer = engine.submit(config())
    until(lambda: runs.prepared)
    assert done(engine, viewer).status is Status.DONE


@pytest.mark.parametrize("left", [False, True])
def test_a_run_is_not_freed_while_it_compiles_nor_as_soon_as_it_is_ready(
    make: Callable[..., Engine], runs: Runs, left: bool
) -> None:
    def prepare(config: RunConfig, report: Any, next_look: NextLook) -> Ready:
        report(Status.COMPILING, 0.0, "")
        if left:
            viewer.stop()
        out_of_sight(engine)
        report(Status.COMPILING, 0.5, "")
        out_of_sight(engine)
        return Ready(runs(config, report, next_look), finish=finish)

    def finish() -> float:
        out_of_sight(engine)
        return 0.0

    engine = make(prepare_whole=prepare)
    with engine._changed:  # the preparation reports when there is a viewer
        viewer = engine.submit(config())
    until(lambda: viewer.job.ticks is not None)
    with engine._changed:
        engine._sweep()
        newcomer = engine.submit(config())
    engine.wait(newcomer, 1, SOON)
    until(lambda: newcomer.job.whole)
    with engine._changed:
        engine._sweep()
    assert viewer.alive()
    assert done(engine, newcomer).status is Status.DONE
    assert runs.prepared == [config()]


def test_a_wait_ends_when_its_viewer_leaves(make: Callable[..., Engine]) -> None:
    engine = make()
    viewer = engine.submit(config(), until=0)
    engine.wait(viewer, 1, SOON)
    waiting = threading.Thread(target=engine.wait, args=(viewer, 2, 10 * SOON))
    waiting.start()
    viewer.stop()
    waiting.join(SOON)
    assert not waiting.is_alive()


def test_nothing_more_is_compiled_for_a_run_once_the_engine_closes(
    make: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FIRST_LOOK_SECONDS", 10 * SOON)
    looking, gate, finished = threading.Event(), threading.Event(), []

    def ticks() -> Iterator[Snapshot | None]:
        looking.set()
        assert gate.wait(SOON)
        yield snapshot(0)

    def finish() -> float:
        finished.append(True)
        return 0.0

    engine = make(prepare_whole=lambda *_: Ready(ticks(), finish=finish))
    engine.submit(config())
    assert looking.wait(SOON)
    closing = threading.Thread(target=engine.close)
    closing.start()
    until(lambda: not any(thread.is_alive() for thread in list(engine._preparing)))
    gate.set()
    closing.join(SOON)
    assert not closing.is_alive() and not finished


def test_close_ends_the_worker(make: Callable[..., Engine]) -> None:
    engine = make()
    viewer = engine.submit(config(epochs=1000))
    engine.wait(viewer, 1, SOON)
    (worker,) = engine._workers.values()
    assert worker.is_alive() and worker.daemon
    engine.close()
    assert not worker.is_alive()


# Prices


def test_a_run_of_long_steps_holds_up_only_other_long_runs(make: Callable[..., Engine]) -> None:
    """A long run hangs in its first step; others go on, and a second long run waits for it."""
    gate, inside = threading.Event(), threading.Event()

    def prepare(config: RunConfig, report: Any, _: Any) -> Iterator[Snapshot | None]:
        for step in snapshot_steps(config):
            if config.seed >= 10:
                inside.set()
                assert gate.wait(SOON)
            yield snapshot(step)

    engine = make(prepare=prepare, step_seconds=lambda config: 6.0 * (config.seed >= 10))
    long, other = engine.submit(config(10)), engine.submit(config(11))
    assert inside.wait(SOON)
    for seed in range(3):
        assert done(engine, engine.submit(config(seed))).status is Status.DONE
    assert not long.view().snapshots and not other.view().snapshots
    assert other.view().status is Status.RUNNING
    gate.set()
    assert done(engine, long).status is Status.DONE
    assert done(engine, other).status is Status.DONE


# What the host allows


def test_a_run_beyond_the_host_s_limits_is_not_taken_until_they_allow_it(
    make: Callable[..., Engine], runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make()
    monkeypatch.setenv("SAMENET_STEPS", "9")
    refused = engine.submit(config())
    view = done(engine, refused)
    assert view.status is Status.REFUSED and not refused.alive()
    assert view.message == "This server trains up to 9 steps, and this run takes 10."
    assert done(engine, engine.submit(config(epochs=9))).status is Status.DONE
    monkeypatch.delenv("SAMENET_STEPS")
    assert done(engine, engine.submit(config())).status is Status.DONE
    assert [each.epochs for each in runs.prepared] == [9, 10]


def filled(engine: Engine, used: list[int]) -> None:
    """Let the engine's budget be 100 bytes, of which so many are used."""
    engine.budget.bytes, engine.budget.used = 100, lambda: used[0]


def test_a_full_server_takes_no_new_run_and_ends_none(
    make: Callable[..., Engine], runs: Runs
) -> None:
    engine, used = make(), [0]
    filled(engine, used)
    runs.gate.clear()
    training = engine.submit(config(1))
    until(lambda: training.looks())
    used[0] = 100
    refused = engine.submit(config(2))
    assert refused.view().status is Status.REFUSED and not refused.alive()
    assert refused.view().message.startswith("This server is full")
    assert engine.submit(config(1)).job is training.job  # one that trains can be joined
    runs.gate.set()
    assert done(engine, training).status is Status.DONE
    used[0] = 84  # where there is room for something new
    assert done(engine, engine.submit(config(2))).status is Status.DONE


class Compilations:
    """A `prepare` that waits for `begun`, with a first look for `look`, and the rest for `end`."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.begun, self.look, self.end = threading.Event(), threading.Event(), threading.Event()
        self.widths: set[tuple[int, ...]] = set()  # those that are compiled

    def __call__(self, config: RunConfig, report: Any, next_look: NextLook) -> Ready:
        report(Status.COMPILING, 0.0, "")
        assert self.begun.wait(SOON)
        report(Status.COMPILING, 0.5, "")

        def finish() -> float:
            assert self.end.wait(SOON)
            self.widths.add(config.widths)
            return 0.0

        def ticks() -> Iterator[Snapshot | None]:
            assert self.look.wait(SOON)
            yield from self.runs(config, report, next_look)

        return Ready(ticks(), finish=finish)

    def to_compile(self, config: RunConfig) -> tuple[int, ...] | None:
        return None if config.widths in self.widths else config.widths


def test_room_is_kept_until_what_was_taken_is_compiled(
    make: Callable[..., Engine], runs: Runs
) -> None:
    slow, used = Compilations(runs), [80]
    engine = make(prepare_whole=slow, to_compile=slow.to_compile)
    filled(engine, used)  # a run takes 2, a program 6, and XLA 7
    first = engine.submit(config(1))
    assert engine.refusal(RunConfig(widths=(7,)))[:19] == "This server is full"
    second = engine.submit(config(2))  # of the same shape
    slow.begun.set()
    slow.look.set()
    assert engine.wait(first, 1, SOON).snapshots
    assert engine.refusal(RunConfig(widths=(7,)))
    slow.end.set()
    assert done(engine, first).status is done(engine, second).status is Status.DONE
    assert not engine.refusal(RunConfig(widths=(7,)))
    used[0] = 97  # which leaves room for a run, and for no program
    assert engine.refusal(RunConfig(widths=(7,))) and not engine.refusal(config(3))


def test_those_who_have_closed_their_tabs_make_room_at_once(
    make: Callable[..., Engine], runs: Runs
) -> None:
    there = [True]
    runs.gate.clear()
    engine = make(capacity=1, lease=1e6)
    leaver = engine.submit(config(1))
    leaver.present = lambda: there[0]
    engine.wait(leaver, 1, SOON)
    there[0] = False
    newcomer = engine.submit(config(2))
    runs.gate.set()
    assert done(engine, newcomer).status is Status.DONE
    assert not leaver.job.ended and engine.viewers() == engine.running() == 0
    runs.gate.clear()
    there[0] = True  # a tab that connects again goes on
    until(lambda: leaver.view().status is Status.RUNNING)
    runs.gate.set()
    assert done(engine, leaver).status is Status.DONE


@pytest.mark.parametrize("ready", [False, True])
def test_a_full_server_compiles_nothing_for_those_who_have_gone(
    make: Callable[..., Engine], runs: Runs, ready: bool
) -> None:
    slow, used, there = Compilations(runs), [0], [True]
    engine = make(prepare_whole=slow, presence=lambda: lambda: there[0])
    filled(engine, used)
    viewer = engine.submit(config(1))
    until(lambda: viewer.job.compiling)
    if ready:  # for its first look; the rest is still to be compiled
        slow.begun.set()
        until(lambda: viewer.job.ticks is not None)
    used[0], there[0] = 100, False
    for event in (slow.begun, slow.look, slow.end):
        event.set()
    until(lambda: not viewer.alive())
    assert not slow.widths


def test_an_errand_counts_as_a_program_to_come_until_its_first_piece(
    make: Callable[..., Engine],
) -> None:
    engine, first, second = make(), threading.Event(), threading.Event()

    def slow() -> Iterator[int]:
        assert first.wait(SOON)
        yield 1
        assert second.wait(SOON)

    look = engine.errands.look
    look("slow", slow)
    until(lambda: engine.budget.coming() == 1)
    first.set()
    until(lambda: look("slow", slow).pieces)
    assert engine.budget.coming() == 0
    second.set()
    until(lambda: look("slow", slow).done)


def test_runs_are_counted_by_what_they_do(make: Callable[..., Engine], runs: Runs) -> None:
    engine = make(capacity=1)
    assert engine.count() == {}
    done(engine, engine.submit(config(1)))
    shown = engine.submit(config(2), until=0)
    until(lambda: shown.looks())
    runs.gate.clear()
    for seed in (3, 4):
        engine.submit(config(seed))
    until(lambda: engine.running() == 2)
    expected = {Status.DONE: 1, Status.PAUSED: 1, Status.RUNNING: 1, Status.QUEUED: 1}
    assert engine.count() == expected


def test_a_full_server_begins_no_errand_and_goes_on_with_those_begun(
    make: Callable[..., Engine],
) -> None:
    engine, used = make(), [0]
    filled(engine, used)
    look, more = engine.errands.look, threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        assert more.wait(SOON)
        yield 2

    until(lambda: look("begun", slow).pieces)
    used[0] = 100
    look("new", lambda: iter([3]))
    more.set()
    until(lambda: look("begun", slow).done)
    assert not look("new", lambda: iter([3])).pieces
    used[0] = 0
    until(lambda: look("new", lambda: iter([3])).done)


def test_what_goes_are_abandoned_runs_then_ended_ones_that_nobody_looks_at_then_errands(
    make: Callable[..., Engine], runs: Runs
) -> None:
    engine = make()
    for seed in (1, 2, 3):
        done(engine, engine.submit(config(seed)))
    kept = [engine.submit(config(5), until=0), engine.submit(config(6), until=0)]
    until(lambda: all(viewer.looks() for viewer in kept))
    kept[1].present = lambda: False  # its tab is closed
    until(lambda: engine.errands.look("done", lambda: iter([])).done)
    engine.errands._works["done"].lease = 0.0
    runs.gate.clear()
    training = engine.submit(config(4))
    until(lambda: training.looks())
    with engine._changed:
        for seed in (1, 3, 4, 5):
            for viewer in engine._jobs[config(seed)].viewers:
                viewer.lease = 0.0
    used = [100]
    filled(engine, used)
    gone: list[list[int]] = []

    def give_back() -> None:
        gone.append([each.seed for each in engine._jobs])

    engine.budget._give_back = give_back
    del engine.budget.stores[1:4]  # what is this whole process's: programs, traces, first looks
    assert not engine.budget.keep()
    # Used longest ago first. Of those that stay, 2 is looked at, and 4 and 5 are not at their ends.
    ends = [[1, 2, 3, 5, 4], [2, 3, 5, 4], [2, 5, 4]]  # after each that went
    assert gone == [[1, 2, 3, 5, 6, 4], *ends, [2, 5, 4]]
    assert engine.errands.peek("done") is None
    runs.gate.set()
    assert done(engine, training).status is Status.DONE
