"""All that the app takes from Streamlit 1.67 without a promise that it stays, but for its charts.

Each entry says what is seen without it, and which test says when it may go. The rest is kept where
Streamlit looks for it: two options of .streamlit/config.toml that its documentation leaves out,
below [global] (tests/served/test_browser_quick.py, with -m slow), and the place of ui/main.py,
beside which there is no folder called `pages` (tests/served/test_imports.py).
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from streamlit import cli_util, config, runtime
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.scriptrunner import StopException, get_script_run_ctx
from streamlit.runtime.scriptrunner.script_runner import ScriptRunner, ScriptRunnerEvent
from streamlit.runtime.state.common import WidgetMetadata, user_key_from_element_id
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.runtime.state.session_state import Serialized, SessionState, Value, WStates
from streamlit.web.server import server_util

Stopped = StopException  # what st.stop() raises

# Modules that Streamlit imports late, in a visitor's thread, where a late import has broken other
# visitors. tests/served/test_slow_host.py finds what is missing here.
LATE_MODULES = (
    "streamlit.material_icon_names",
    "streamlit.runtime.scriptrunner.magic_funcs",
    "streamlit.web.skills",
)


def mend() -> None:
    """Put ours in place of what Streamlit does; called again, it changes nothing."""
    refuse_impossible_values()
    let_callbacks_end()
    let_runs_end_when_heard()
    let_runs_overlap()


LONGEST_SECONDS = 2.0  # then give up: the tab may have been closed
LOOK_SECONDS = 0.005  # as often as Streamlit sends


def let_runs_end_when_heard() -> None:
    """Have a run end only when the server has heard of it all, and a page's when that is sent.

    A fragment's timer may start the next run at once, and then two things were lost:

    - What the server has not heard: if a run's thread has ended, Streamlit ignores its events that
      are still on their way. The browser waited for the end of the page, and kept what the page
      before had drawn (tests/unit/test_privates.py; such an end is described in
      https://github.com/streamlit/streamlit/issues/9921).
    - What the session has not been sent: Streamlit drops it, but for the message that the page has
      ended. The browser removes what it was not sent, and builds it again when the fragment draws
      it. On a server that sends every 0.3 s, charts flashed at every change of a control
      (tests/served/test_slow_host.py).
    """
    AppSession._on_scriptrunner_event = _hear  # type: ignore[assignment, method-assign]


ENDS = (
    ScriptRunnerEvent.SCRIPT_STOPPED_WITH_SUCCESS, ScriptRunnerEvent.FRAGMENT_STOPPED_WITH_SUCCESS,
)  # fmt: skip
_hear_of = AppSession._on_scriptrunner_event


def _hear(
    session: AppSession, sender: ScriptRunner | None, event: ScriptRunnerEvent, **told: Any
) -> None:
    _hear_of(session, sender, event, **told)
    if event not in ENDS or sender is None or not sender._is_in_script_thread():
        return
    if session._scriptrunner is not sender or session._event_loop.is_closed():
        return  # another run has begun, or the server has ended
    page = event is ScriptRunnerEvent.SCRIPT_STOPPED_WITH_SUCCESS
    heard, until = threading.Event(), time.monotonic() + LONGEST_SECONDS

    def look() -> None:
        if page and not session._browser_queue.is_empty() and time.monotonic() < until:
            session._event_loop.call_later(LOOK_SECONDS, look)
        else:
            heard.set()

    # It comes after all that this thread has handed to the loop, or never if the server just ends.
    session._call_soon_on_event_loop(look)
    heard.wait(LONGEST_SECONDS)


def _app_session() -> Any:
    """Return Streamlit's session for which this thread runs; None in an AppTest."""
    context = get_script_run_ctx()
    server = runtime.get_instance() if runtime.exists() else None
    sessions = getattr(server, "_session_mgr", None)  # an AppTest has no server, or a fake one
    if context is None or sessions is None:
        return None
    visitor = sessions.get_active_session_info(context.session_id)
    return visitor and visitor.session


def _replaced(session: Any) -> bool:
    """Return whether the session has begun another run since this thread's, which is to end.

    Streamlit does not wait for its end: it lets both go on, each in a thread of its own.
    """
    context, runner = get_script_run_ctx(), session._scriptrunner
    return runner is None or context is None or runner._requests is not context.script_requests


def forget_what_was_not_drawn() -> None:
    """Drop the fragments that this run did not draw; Streamlit does so only without `st.stop()`.

    When a page ends by `st.stop()`, the browser removes what was not drawn, but the server keeps
    those fragments. If a request of such a fragment's timer is still on its way, the server answers
    it with something that has no place on the page any more: the browser shows "Bad delta path",
    and the page is dead until it is loaded again (tests/pages/test_main.py).

    A run that has been replaced ends in the same way, but by then the fragments are its
    successor's: without them the live panel stood still (tests/unit/test_privates.py).
    """
    session = _app_session()
    if (context := get_script_run_ctx()) and not (session and _replaced(session)):
        drawn = context.shared.new_fragment_ids.snapshot()
        context.fragment_storage.clear(new_fragment_ids=drawn)


def brought_widgets(prefix: str) -> bool:
    """Return whether the request for this run brought a widget whose key has this prefix.

    A page that is opened, or to which the back button returns, is asked for without its widgets.
    Only then does the query say what the visitor wants: with widgets it may be an old one, sent
    before the browser had the query that the page has written since. On a busy machine such a
    request set the control back that had just been moved (tests/served/test_browser_quick.py, with
    -m slow).
    """
    if (context := get_script_run_ctx()) is None:
        return False
    ids = context.session_state._state._new_widget_state.states
    return any((user_key_from_element_id(each) or "").startswith(prefix) for each in ids)


UPLOADS = "/_stcore/upload_file/"  # where a page sends its files


def kind_of(data: bytes | None) -> str | None:
    """Return what a frame of the web socket asks for, or None if it is no message at all.

    Without it, the server does whatever a visitor's own program asks for: forget what is cached for
    all visitors, or read the machine's Git settings (tests/unit/test_gate.py).
    """
    if data is None:
        return None
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    kind = message.WhichOneof("type") or ""
    if kind == "backend_operation_request":  # many things, of which a page sends two
        return message.backend_operation_request.WhichOneof("payload") or ""
    return kind


def refuse_impossible_values() -> None:
    """Have a widget keep its default where a browser sends what the widget cannot have.

    Otherwise Streamlit raises what its deserializer meets, at each run of the script until the
    browser sends something else; or it takes the value, of whatever type it is. Such values come
    from a visitor's own program, or from a tab that was opened before the server was brought up to
    date (tests/unit/test_gate.py).
    """
    WStates.__getitem__ = _value  # type: ignore[method-assign]


_deserialized = WStates.__getitem__


def let_callbacks_end() -> None:
    """Have callbacks run to their end, even if the visitor changes something else meanwhile.

    Otherwise Streamlit ends a callback where it next uses the session's state, and never calls it
    again. A loss came without its epsilon, and a run was not pinned
    (tests/pages/test_quick_visitor.py; https://github.com/streamlit/streamlit/issues/10578).
    The callbacks of the next request wait for that, because both use the same state.
    """
    SafeSessionState.on_script_will_rerun = _call_whole  # type: ignore[assignment, method-assign]


_call_callbacks = SafeSessionState.on_script_will_rerun


def _call_whole(state: SafeSessionState, *args: Any, **others: Any) -> None:
    end_if_asked = state._yield_callback
    with state._state._old_state.setdefault("callbacks", threading.Lock()):
        end_if_asked()
        object.__setattr__(state, "_yield_callback", lambda: None)  # its own would set an entry
        try:
            _call_callbacks(state, *args, **others)
        finally:
            object.__setattr__(state, "_yield_callback", end_if_asked)


def let_runs_overlap() -> None:
    """List a session's keys as they are at one moment, while another run of its script adds some.

    A run that has been replaced goes on beside its successor for a moment. Streamlit walks through
    the keys at every number's widget, and met "dictionary changed size during iteration" there, at
    quick keys (tests/served/test_browser_quick.py, with -m slow).
    """
    SessionState._keys = _keys  # type: ignore[assignment, method-assign]


def _keys(state: SessionState) -> set[str]:
    mine = [*state._old_state, *state._new_session_state]  # walks through all of them at once
    return {*map(state._get_widget_id, mine), *[*state._new_widget_state.states]}


# What the keys contain of menus in which a visitor may type what is not offered.
TYPED = ("_widths", "sweep_values_")


def _offered(sent: WidgetState, widget: WidgetMetadata[Any]) -> bool:
    """Whether a menu's value is one of its options, where it must be."""
    serde = getattr(widget.deserializer, "__self__", None)
    options = getattr(serde, "formatted_option_to_option_index", None)
    key = user_key_from_element_id(widget.id) or ""
    if options is None or any(typed in key for typed in TYPED):
        return True
    several = sent.WhichOneof("value") == "string_array_value"
    texts = sent.string_array_value.data if several else [sent.string_value]
    if hasattr(serde, "default_option_index") and len(texts) != 1:  # one of them, always
        return False
    return all(text in options for text in texts)


NUMBERS = {"int_value", "double_value"}  # a number's widget is told to have the one, and sends both


def _is_of_type(sent: WidgetState, widget: WidgetMetadata[Any]) -> bool:
    """Whether a value is of the type that its widget has."""
    types = {sent.WhichOneof("value"), widget.value_type}
    return len(types) == 1 or types == NUMBERS


def _value(states: WStates, id: str) -> Any:
    sent, widget = states.states.get(id), states.widget_metadata.get(id)
    if not isinstance(sent, Serialized) or widget is None:
        return _deserialized(states, id)
    if _is_of_type(sent.value, widget) and _offered(sent.value, widget):
        with suppress(Exception):  # whatever it meets
            return _deserialized(states, id)
    states.states[id] = Value(default := widget.deserializer(None))
    return default


def session() -> str:
    """Return the id of the session that this thread works for; "" without one."""
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context else ""


def presence() -> Callable[[], bool]:
    """Return what tells whether the visitor for whom this thread works has a tab connected.

    Streamlit keeps a session for two minutes after its tab is closed, for a tab that connects
    again. Work without a session, such as a warm-up, is for nobody in particular, who stays.
    """
    mine = session()
    if not mine or not runtime.exists():
        return lambda: True
    return partial(runtime.get_instance().is_active_session, mine)


def forget_files(session: str, ids: Sequence[str]) -> None:
    """Forget files that a session has sent; its uploader then has none, as if they were deleted.

    Streamlit keeps them until their session has ended, two minutes after its tab is closed.
    """
    manager: Any = runtime.get_instance().uploaded_file_mgr if runtime.exists() else None
    for each in ids if manager else ():
        manager.remove_file(session, each)


def sessions() -> int:
    """Return how many tabs are connected; Streamlit tells a script about its own session only."""
    manager = getattr(runtime.get_instance(), "_session_mgr", None) if runtime.exists() else None
    return manager.num_active_sessions() if manager else 0


def limit_uploads(megabytes: int) -> None:
    """Let visitors send files of this size; Streamlit takes the option from its own table only."""
    config.set_option("server.maxUploadSize", megabytes)


def script_threads() -> Iterator[threading.Thread]:
    """Yield the threads that run visitors' scripts, which Streamlit only gives a name.

    A process that ends while one of them is inside JAX crashes (tests/served/test_lives.py).
    """
    named = "ScriptRunner.scriptThread"
    return (thread for thread in threading.enumerate() if thread.name == named)


def open_browser() -> None:
    """Show the home page to the person who typed `streamlit run`, unless headless.

    For a plain script Streamlit does so itself, for an App it does not
    (tests/served/test_lives.py). The socket already listens, so the browser is answered after the
    warm-up.
    """
    if config._server_mode != "starlette-app" or config.get_option("server.headless"):
        return
    host = config.get_option("browser.serverAddress")
    bound = config.get_option("server.address")
    if bound and not config.is_manually_set("browser.serverAddress"):
        host = server_util.get_display_address(bound)
    # In a thread, because a browser in a terminal returns only when it is closed.
    url = server_util.get_url(host)
    threading.Thread(target=cli_util.open_browser, args=[url], daemon=True).start()
