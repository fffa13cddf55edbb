"""A session's viewers of the runs of a story, where two runs of its script overlap."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.config import RunConfig
from tests.kit.runs import tiny
from ui.story import twin

RUNS = {f"seed {seed}": tiny(seed=seed) for seed in range(3)}


class Seen:
    def __init__(self, config: RunConfig) -> None:
        self.config, self.stopped = config, False

    def alive(self) -> bool:
        return not self.stopped

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[RunConfig, Any]:
    kept: dict[RunConfig, Any] = {}
    monkeypatch.setattr(twin.st, "session_state", {"story_viewers": kept})
    return kept


def submits(monkeypatch: pytest.MonkeyPatch, submit: Any) -> None:
    monkeypatch.setattr(twin, "engine", lambda: SimpleNamespace(submit=submit))


def test_each_run_has_its_viewer_whatever_the_other_run_of_the_script_takes_away(
    monkeypatch: pytest.MonkeyPatch, kept: dict[RunConfig, Any]
) -> None:
    def submit(config: RunConfig) -> Seen:
        kept.clear()  # the other has asked for MOST other runs meanwhile
        return Seen(config)

    submits(monkeypatch, submit)
    seen = twin.viewers(RUNS)
    assert {name: viewer.config for name, viewer in seen.items()} == RUNS


def test_the_viewers_used_longest_ago_are_stopped(
    monkeypatch: pytest.MonkeyPatch, kept: dict[RunConfig, Any]
) -> None:
    submits(monkeypatch, Seen)
    monkeypatch.setattr(twin, "MOST", 2)
    one, two, three = RUNS.items()
    first = twin.viewers(dict([one, two]))
    assert twin.viewers(dict([one])) == {one[0]: first[one[0]]}
    twin.viewers(dict([three]))
    assert [*kept] == [one[1], three[1]]
    assert [viewer.stopped for viewer in first.values()] == [False, True]
