"""Work around two faults of Streamlit 1.67 between a page's run and its browser.

When a run of a session starts, Streamlit drops whatever the session has not been sent yet. If a
fragment's timer starts that run, right after a run of the whole page, the browser still hears that
the page has ended: it removes what it was not sent, and builds it again when the fragment draws it.
On a server that sends every 0.3 s, charts flashed at every change of a control. So a page's run
ends only when all of it has been sent.

When a page ends by `st.stop()`, the browser removes what was not drawn, but the server keeps those
fragments. If a request of such a fragment's timer is still on its way, the server answers it with
something that has no place on the page any more: the browser shows "Bad delta path", and the page
is dead until it is loaded again. So those fragments are dropped.
"""

import asyncio
from concurrent.futures import CancelledError, TimeoutError
from typing import Any

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

LONGEST_SECONDS = 2.0  # then give up: the tab may have been closed
LOOK_SECONDS = 0.005  # as often as Streamlit sends


def wait_until_sent() -> None:
    """Wait until the visitor has been sent what this thread's run has drawn."""
    context = get_script_run_ctx()
    server = runtime.get_instance() if runtime.exists() else None
    sessions = getattr(server, "_session_mgr", None)  # an AppTest has no server, or a fake one
    if context is None or sessions is None:
        return
    if (visitor := sessions.get_active_session_info(context.session_id)) is None:
        return
    session = visitor.session
    if session._event_loop.is_closed():  # the server is ending
        return
    # This waits behind all that this thread has handed to the loop.
    sent = asyncio.run_coroutine_threadsafe(_empty(session._browser_queue), session._event_loop)
    try:
        sent.result(LONGEST_SECONDS)
    except (TimeoutError, CancelledError):
        sent.cancel()


def forget_what_was_not_drawn() -> None:
    """Drop the fragments that this run did not draw; Streamlit does so only without `st.stop()`."""
    if context := get_script_run_ctx():
        drawn = context.shared.new_fragment_ids.snapshot()
        context.fragment_storage.clear(new_fragment_ids=drawn)


async def _empty(queue: Any) -> None:
    while not queue.is_empty():
        await asyncio.sleep(LOOK_SECONDS)
