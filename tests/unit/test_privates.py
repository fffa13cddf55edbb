"""What the app takes from Streamlit without a promise, where no page is needed to see it."""

from types import SimpleNamespace
from typing import Any

import pytest

from ui import streamlit_privates


class Storage:
    def __init__(self) -> None:
        self.kept: list[Any] = []

    def clear(self, new_fragment_ids: Any) -> None:
        self.kept.append(new_fragment_ids)


@pytest.mark.parametrize(
    ("current", "kept"),
    [("mine", [{"a"}]), ("another", []), (None, [])],
    ids=["a page that has stopped", "a run that was replaced", "a session that has ended"],
)
def test_only_the_session_s_newest_run_drops_fragments(
    monkeypatch: pytest.MonkeyPatch, current: str | None, kept: list[Any]
) -> None:
    requests = {"mine": object(), "another": object()}
    storage = Storage()
    drawn = SimpleNamespace(new_fragment_ids=SimpleNamespace(snapshot=lambda: {"a"}))
    context = SimpleNamespace(
        session_id="s", script_requests=requests["mine"], fragment_storage=storage, shared=drawn
    )
    runner = SimpleNamespace(_requests=requests[current]) if current else None
    visitor = SimpleNamespace(session=SimpleNamespace(_scriptrunner=runner))
    sessions = SimpleNamespace(get_active_session_info={"s": visitor}.get)
    monkeypatch.setattr(streamlit_privates, "get_script_run_ctx", lambda: context)
    monkeypatch.setattr(streamlit_privates.runtime, "exists", lambda: True)
    server = SimpleNamespace(_session_mgr=sessions)
    monkeypatch.setattr(streamlit_privates.runtime, "get_instance", lambda: server)
    streamlit_privates.forget_what_was_not_drawn()
    assert storage.kept == kept
