"""What the app takes from Streamlit without a promise, where no page is needed to see it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.scriptrunner.script_runner import ScriptRunnerEvent
from streamlit.runtime.state.session_state import SessionState

from ui import streamlit_privates

ENDED = ScriptRunnerEvent.SCRIPT_STOPPED_WITH_SUCCESS


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


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own, as the server's does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Script:
    """A script's thread; only what a session asks of it."""

    def _is_in_script_thread(self) -> bool:
        return True


@pytest.fixture
def mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppSession, "_on_scriptrunner_event", AppSession._on_scriptrunner_event)
    monkeypatch.setattr(streamlit_privates, "LONGEST_SECONDS", 3600.0)  # what waits in vain hangs
    streamlit_privates.let_runs_end_when_heard()


class Session(AppSession):
    """A session that has something its browser has not been sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, script: Script | None) -> None:
        self._event_loop, self._scriptrunner = loop, script  # type: ignore[assignment]
        self._browser_queue, self.sent, self.heard = ForwardMsgQueue(), [], False
        self._browser_queue.enqueue(ForwardMsg())

    def __del__(self) -> None:
        pass

    def _handle_scriptrunner_event_on_event_loop(self, *_: Any) -> None:
        ended = ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY)
        self._browser_queue.enqueue(ended)
        self.heard = True

    def send(self) -> None:
        """Send what there is, now and again every 0.1 s."""
        self.sent += [message.WhichOneof("type") for message in self._browser_queue.flush()]
        self._event_loop.call_later(0.1, self.send)


@pytest.mark.usefixtures("mended")
def test_a_page_ends_when_the_server_has_heard_so_and_sent_it(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Otherwise its end is forgotten where a fragment's request is handled in between."""
    session = Session(loop, script := Script())
    loop.call_soon_threadsafe(time.sleep, 0.1)  # it is busy
    loop.call_soon_threadsafe(loop.call_later, 0.2, session.send)
    session._on_scriptrunner_event(script, event=ENDED)
    assert session.sent == [None, "script_finished"]


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize(
    "current", [Script(), None], ids=["a page that was replaced", "a session that has ended"]
)
def test_what_nobody_is_to_see_ends_at_once(
    loop: asyncio.AbstractEventLoop, current: Script | None
) -> None:
    session, busy = Session(loop, current), threading.Event()
    loop.call_soon_threadsafe(busy.wait)
    session._on_scriptrunner_event(Script(), event=ENDED)
    assert not session.heard
    busy.set()


@pytest.mark.usefixtures("mended")
def test_a_fragment_ends_when_the_server_has_heard_so(loop: asyncio.AbstractEventLoop) -> None:
    session = Session(loop, script := Script())
    loop.call_soon_threadsafe(time.sleep, 0.1)
    ended = ScriptRunnerEvent.FRAGMENT_STOPPED_WITH_SUCCESS
    session._on_scriptrunner_event(script, event=ended)
    assert session.heard and session.sent == []


def test_a_session_s_keys_are_listed_while_another_run_adds_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SessionState, "_keys", SessionState._keys)
    streamlit_privates.let_runs_overlap()
    state = SessionState()
    state["old"], state._old_state["older"] = 1, 2
    assert state._keys() == {"old", "older"}
    find = SessionState._get_widget_id

    def meanwhile(state: SessionState, key: str) -> str:
        state[f"{key} and more"] = state._old_state[f"{key} and more"] = 3
        return find(state, key)

    monkeypatch.setattr(SessionState, "_get_widget_id", meanwhile)
    assert {"old", "older"} <= state._keys()
