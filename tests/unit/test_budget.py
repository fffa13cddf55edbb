"""The memory that a server keeps itself to, with stores that cost nothing."""

import math
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from core.run import budget, memory
from core.run.budget import MB, Budget, allowed, bytes_in, container_bytes, shrink
from core.study import lanes

# How much there is


def groups(folder: Path, lines: str, **limits: str) -> int | None:
    """What is found where /proc/self/cgroup has these lines, and these files have these limits."""
    (folder / "cgroup").write_text(lines)
    for name, text in limits.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return container_bytes(folder / "cgroup", folder)


V1 = "12:cpu,cpuacct:/box\n4:memory:/box/inner\n0::/\n"


def test_cgroup_2_has_one_limit_a_group_and_the_least_holds(tmp_path: Path) -> None:
    limits = {"a__b__memory.max": "2000\n", "a__memory.max": "1000\n", "memory.max": "max\n"}
    assert groups(tmp_path, "0::/a/b\n", **limits) == 1000


def test_cgroup_2_inside_a_container_has_its_limit_at_the_root(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/../../host/path\n", **{"memory.max": "3000\n"}) == 3000


def test_cgroup_1_has_a_folder_for_memory(tmp_path: Path) -> None:
    limits = {"memory__box__inner__memory.limit_in_bytes": "500\n"}
    assert groups(tmp_path, V1, **limits) == 500


def test_cgroup_1_inside_a_container_cannot_see_the_host_s_path(tmp_path: Path) -> None:
    assert groups(tmp_path, V1, **{"memory__memory.limit_in_bytes": "700\n"}) == 700


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "junk\n"])
@pytest.mark.parametrize(
    ("lines", "name"),
    [("0::/\n", "memory.max"), ("4:memory:/\n", "memory__memory.limit_in_bytes")],
)
def test_a_group_without_a_limit_has_none(tmp_path: Path, lines: str, name: str, text: str) -> None:
    assert groups(tmp_path, lines, **{name: text}) is None


def test_a_machine_without_cgroups_has_no_such_limit(tmp_path: Path) -> None:
    assert container_bytes(tmp_path / "none", tmp_path) is None
    assert groups(tmp_path, V1) is None


def test_the_budget_is_what_the_host_says_or_four_fifths_of_what_there_is() -> None:
    assert allowed(700.5, 10**9, 10**10) == 700_500_000
    assert allowed(math.inf, None, 10**10) == 8 * 10**9
    assert allowed(math.inf, 10**9, 10**10) == 8 * 10**8
    assert allowed(math.inf, 10**12, 10**10) == 8 * 10**9


def test_arrays_are_counted_wherever_they_are() -> None:
    class Pair(NamedTuple):
        a: np.ndarray
        b: object

    tree = [Pair(np.zeros(3), None), {1: np.zeros(5, np.uint8), "a": ("text", 2.0)}]
    assert bytes_in(tree) == 29


# What goes


class Process:
    """A process whose memory is what its stores hold, measured only after it is given back."""

    def __init__(self, *stores: list[int], base: int = 0) -> None:
        self.stores, self.base, self.log = stores, base, list[str]()
        self.measured = self.truth()

    def truth(self) -> int:
        return self.base + sum(map(sum, self.stores))

    def give_back(self) -> None:
        self.log.append("given back")
        self.measured = self.truth()

    def let_go(self, number: int, told: float = 1.0) -> budget.LetGo:
        def let_go() -> int | None:
            if not self.stores[number]:
                return None
            self.log.append(f"store {number}")
            return int(told * self.stores[number].pop(0))

        return let_go


def test_stores_are_emptied_in_order_and_no_further_than_needed() -> None:
    process = Process([10 * MB] * 2, [10 * MB] * 4)
    stores = [process.let_go(0), process.let_go(1)]
    gone = shrink(lambda: process.measured - 25 * MB, stores, process.give_back)
    assert gone == 4 and process.stores == ([], [10 * MB] * 2)
    first, second = ["store 0"] * 2, ["store 1"] * 2
    assert process.log == [*first, "given back", *second, "given back"]


@pytest.mark.parametrize("told", [0.0, 0.1, 5.0])
def test_what_counts_is_the_process_and_not_what_things_say_of_their_size(told: float) -> None:
    process = Process([10 * MB] * 8)
    shrink(lambda: process.measured - 30 * MB, [process.let_go(0, told)], process.give_back)
    assert process.measured <= 30 * MB
    assert process.stores[0] or told < 1


def test_nothing_left_to_let_go_ends_it() -> None:
    process = Process([MB], base=50 * MB)
    assert shrink(lambda: process.measured - MB, [process.let_go(0)], process.give_back) == 1


def test_far_from_the_budget_nothing_goes() -> None:
    process = Process([10 * MB] * 8)
    small = Budget(95 * MB, lambda: process.measured, process.give_back)
    small.add(process.let_go(0))
    assert small.keep() and process.log == [] and not small.full()


def test_near_the_budget_things_go_until_there_is_room_again() -> None:
    process = Process([10 * MB] * 9)
    small = Budget(100 * MB, lambda: process.measured, process.give_back)
    small.add(let_go := process.let_go(0))
    small.add(let_go)
    assert len(small.stores) == 1
    assert small.keep() and process.measured == 70 * MB and small.freed == 2
    assert small.words() == "70 MB of 100"


def test_memory_that_was_only_not_given_back_costs_nothing() -> None:
    process = Process([10 * MB] * 5)
    process.measured = 95 * MB
    small = Budget(100 * MB, lambda: process.measured, process.give_back)
    small.add(process.let_go(0))
    assert small.keep() and len(process.stores[0]) == 5


def test_a_server_that_cannot_free_enough_is_full() -> None:
    process = Process([MB], base=100 * MB)
    small = Budget(100 * MB, lambda: process.measured, process.give_back)
    small.add(process.let_go(0))
    assert not small.keep() and small.full() and process.stores == ([],)


@pytest.mark.parametrize(
    ("coming", "new", "room"),
    [(0, 0, 20), (0, 1, 150), (1, 0, 150), (1, 1, 210), (3, 0, 270)],
)
def test_room_is_kept_for_a_run_for_each_program_to_come_and_for_xla(
    coming: int, new: int, room: int
) -> None:
    used = [0]
    small = Budget(1000 * MB, lambda: used[0], lambda: None)
    small.coming = lambda: coming
    used[0] = (1000 - room) * MB - 1
    assert not small.full(new)
    used[0] += 1
    assert small.full(new)


def test_a_smaller_budget_keeps_less_free_and_none_keeps_nothing() -> None:
    assert not Budget(100 * MB, lambda: 85 * MB - 1, lambda: None).full()
    assert Budget(100 * MB, lambda: 85 * MB, lambda: None).full()
    assert not Budget(10**12, lambda: 10**12 - 151 * MB, lambda: None).full()
    assert not Budget(used=lambda: 10**15).full()


def test_what_was_taken_on_makes_nothing_go_before_it_has_come() -> None:
    process = Process([10 * MB] * 8)
    small = Budget(100 * MB, lambda: process.measured, process.give_back)
    small.add(process.let_go(0))
    small.coming = lambda: 2
    assert small.full() and small.keep() and process.measured == 80 * MB


def test_a_watch_outlives_a_store_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "EVERY", 0.001)
    monkeypatch.setattr(budget, "FRUITLESS", 0.001)
    process = Process([10 * MB] * 10)
    small = Budget(100 * MB, lambda: process.measured, process.give_back)
    failures = [RuntimeError("dictionary changed size during iteration")] * 2

    def fails_at_first() -> int | None:
        if failures:
            raise failures.pop()
        return None

    small.add(fails_at_first)
    small.add(process.let_go(0))
    small.watch()
    until(lambda: process.measured == 70 * MB)
    small.close()


def test_a_watch_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "EVERY", 0.001)
    process = Process([10 * MB] * 10)
    small = Budget(100 * MB, lambda: process.measured, process.give_back)
    small.add(process.let_go(0))
    small.watch()
    until(lambda: process.measured == 70 * MB)
    small.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def test_the_programs_of_sweeps_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, started = lru_cache(lambda key: key), lru_cache(lambda key: key)
    monkeypatch.setattr(lanes, "_programs", kept)
    monkeypatch.setattr(lanes, "_start", started)
    assert (kept(1), started(1)) == (1, 1)
    assert lanes.let_go() == 0 and started.cache_info().currsize == 0
    assert lanes.let_go() is None


def test_what_an_ended_process_had_is_not_counted() -> None:
    assert memory.resident(2**22 + 1) == 0  # beyond Linux's largest process number
    assert memory.resident(os.getpid()) > 0
