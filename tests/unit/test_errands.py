"""Errands do one piece at a time, only while no run is awaited, and only while someone looks."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from core.run import errands
from core.run.errands import Errand, Errands

SOON = 20.0


def until(found: Callable[[], Errand], condition: Callable[[Errand], bool]) -> Errand:
    deadline = time.monotonic() + SOON
    while not condition(errand := found()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)
    return errand


@pytest.fixture
def idle() -> Iterator[threading.Event]:
    event = threading.Event()
    event.set()
    yield event
    event.set()


@pytest.fixture
def queue(idle: threading.Event) -> Iterator[Errands]:
    queue = Errands(idle.wait)
    yield queue
    queue.close()


def count(n: int) -> Iterator[int | None]:
    for i in range(n):
        yield None
        yield i


def test_pieces_come_in_order_and_then_it_is_done(queue: Errands) -> None:
    found = until(lambda: queue.look("a", lambda: count(3)), lambda errand: errand.done)
    assert found == Errand([0, 1, 2], True, "")
    assert queue.look("a", lambda: count(9)) == found, "what is done is kept"


def test_nothing_moves_while_somebody_waits_for_a_run(
    queue: Errands, idle: threading.Event
) -> None:
    idle.clear()
    queue.look("a", lambda: count(3))
    time.sleep(0.05)
    assert queue.look("a", lambda: count(3)) == Errand([], False, "")
    idle.set()
    until(lambda: queue.look("a", lambda: count(3)), lambda errand: errand.done)


def test_an_errand_that_nobody_looks_at_rests(
    queue: Errands,
) -> None:
    queue.look("a", lambda: count(3), lease=-1.0)
    until(lambda: Errand([], queue._thread is None, ""), lambda errand: errand.done)
    assert queue.look("a", lambda: count(3), lease=-1.0).pieces == []
    until(lambda: queue.look("a", lambda: count(3)), lambda errand: errand.done)


def test_a_failure_is_reported(queue: Errands) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError("no such weights")

    found = until(lambda: queue.look("a", fail), lambda errand: errand.done)
    assert found == Errand([1], True, "ValueError: no such weights")
    until(lambda: queue.look("b", lambda: count(1)), lambda errand: errand.done)


@pytest.mark.parametrize(
    ("error", "faults"), [(MemoryError("3 GB, and 1 GB are free"), 0), (ValueError("none"), 1)]
)
def test_the_log_has_a_traceback_of_a_fault_and_not_of_a_refusal(
    queue: Errands, caplog: pytest.LogCaptureFixture, error: Exception, faults: int
) -> None:
    def fail() -> Iterator[int]:
        raise error
        yield 1

    found = until(lambda: queue.look("a", fail), lambda errand: errand.done)
    assert found.failure == f"{type(error).__name__}: {error}"
    assert len(caplog.records) == 1 and str(error) in caplog.text
    assert caplog.text.count("Traceback") == faults


def test_only_the_newest_are_kept(queue: Errands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "KEEP", 2)
    for key in "abc":
        until(lambda key=key: queue.look(key, lambda: count(1)), lambda errand: errand.done)
        queue.rest(key)
    assert list(queue._works) == ["b", "c"]


def test_what_somebody_looks_at_is_kept_and_what_was_looked_at_last(
    queue: Errands, idle: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "KEEP", 1)
    idle.clear()
    for key in "abca":
        queue.look(key, lambda: count(1))
    assert list(queue._works) == ["b", "c", "a"] and queue.wanted("b")
    queue.rest("b")
    assert not queue.wanted("b") and not queue.wanted("none")
    queue.look("d", lambda: count(1))
    assert list(queue._works) == ["c", "a", "d"]


def test_errands_take_turns(queue: Errands, idle: threading.Event) -> None:
    idle.clear()
    queue.look("long", lambda: iter(range(10**9)))
    queue.look("short", lambda: count(3))
    idle.set()
    until(lambda: queue.look("short", lambda: count(3)), lambda errand: errand.done)
    assert not queue.look("long", lambda: count(1)).done
    queue.forget("long")


def test_an_errand_can_rest_go_on_and_be_forgotten(queue: Errands) -> None:
    ended = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
                time.sleep(0.001)
        finally:
            ended.set()

    assert queue.peek("a") is None
    until(lambda: queue.look("a", endless), lambda errand: len(errand.pieces) > 1)
    queue.rest("a")
    until(lambda: Errand([], queue._thread is None, ""), lambda errand: errand.done)
    rested = queue.peek("a")
    time.sleep(0.02)
    assert queue.peek("a") == rested, "asking for it does not wake it"
    until(lambda: queue.look("a", endless), lambda e: len(e.pieces) > len(rested.pieces))
    queue.forget("a")
    assert ended.wait(SOON) and queue.peek("a") is None
    assert until(lambda: queue.look("a", lambda: count(1)), lambda e: e.done).pieces == [0]


def close(queue: Errands, then: threading.Event) -> None:
    """Close the queue, and set an event once that has begun."""
    closing = threading.Thread(target=queue.close)
    closing.start()
    until(lambda: Errand([], queue._closed, ""), lambda errand: errand.done)
    then.set()
    closing.join(SOON)
    assert not closing.is_alive() and not queue._thread.is_alive()


def test_an_error_while_closing_is_not_a_failure(
    queue: Errands, caplog: pytest.LogCaptureFixture
) -> None:
    """At the end, what an errand works with may be cleaned up before it stops."""
    begun, closing = threading.Event(), threading.Event()

    def broken() -> Iterator[int]:
        begun.set()
        assert closing.wait(SOON)
        yield {}["a variable"]

    queue.look("a", broken)
    assert begun.wait(SOON)
    close(queue, then=closing)
    assert queue.peek("a") == Errand([], False, "")
    assert caplog.messages == []


def test_nothing_begins_while_closing(queue: Errands, idle: threading.Event) -> None:
    """When the queue closes, `idle` is true because nobody waits for a run any more."""
    idle.clear()
    queue.look("a", lambda: count(3))
    close(queue, then=idle)
    assert queue._works["a"].iterator is None


def test_a_look_starts_a_thread_though_the_one_before_has_yet_to_end(
    queue: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, ends = queue._take, threading.Event()

    def late() -> object:
        if (work := take()) is None:
            ends.wait(SOON)
        return work

    monkeypatch.setattr(queue, "_take", late)
    until(lambda: queue.look("a", lambda: count(1)), lambda errand: errand.done)
    queue.look("b", lambda: count(1))
    until(lambda: queue.peek("b") or Errand([], False, ""), lambda errand: errand.done)
    ends.set()


def test_a_queue_closes_while_a_look_starts_its_thread(
    queue: Errands, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, closes, faults = threading.Thread.start, threading.Event(), list[Exception]()

    def close() -> None:
        closes.set()
        try:
            queue.close()
        except RuntimeError as error:  # a thread that has not begun cannot be joined
            faults.append(error)

    closing = threading.Thread(target=close)

    def late(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        closing.start()
        closes.wait(SOON)
        closing.join(0.2)  # without the lock it ends in this time
        thread.start()

    monkeypatch.setattr(threading.Thread, "start", late)
    queue.look("a", lambda: count(1))
    closing.join(SOON)
    assert not closing.is_alive() and faults == []
