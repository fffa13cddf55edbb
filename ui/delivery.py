"""Two faults of Streamlit 1.67 between a page's run and its browser, and what is done about each.

When a run of a session starts, what the session was not sent yet is dropped. Where a fragment's
timer starts it, behind a run of the whole page, the browser still hears that the page has ended: it
takes away what it was not sent, and builds it again when the fragment draws it. On a server that
sends every 0.3 s charts flashed at every change of a control. So a page's run ends when all of it
was sent.

When a page ends by `st.stop()`, the browser takes away what was not drawn, but the server keeps
those fragments. A request of such a fragment's timer that is still on its way is answered, where
nothing is: "Bad delta path", and the page is dead until it is loaded again. So they are dropped.
"""

import asyncio
from concurrent.futures import CancelledError, TimeoutError
from typing import Any

from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

LONGEST_SECONDS = 2.0  # a tab that was closed meanwhile is sent nothing more
LOOK_SECONDS = 0.005  # as often as Streamlit sends


def wait_until_sent() -> None:
    """Wait until the visitor has been sent what this thread's run has drawn."""
    context = get_script_run_ctx()
    server = runtime.get_instance() if runtime.exists() else None
    sessions = getattr(server, "_session_mgr", None)  # an AppTest has no server, or plays one
    if context is None or sessions is None:
        return
    if (visitor := sessions.get_active_session_info(context.session_id)) is None:
        return
    session = visitor.session
    if session._event_loop.is_closed():  # the server ends
        return
    # Behind all that this thread has handed to the loop.
    sent = asyncio.run_coroutine_threadsafe(_empty(session._browser_queue), session._event_loop)
    try:
        sent.result(LONGEST_SECONDS)
    except (TimeoutError, CancelledError):
        sent.cancel()


def forget_what_was_not_drawn() -> None:
    """Drop the fragments that this run has not drawn, as Streamlit does without an `st.stop()`."""
    if context := get_script_run_ctx():
        drawn = context.shared.new_fragment_ids.snapshot()
        context.fragment_storage.clear(new_fragment_ids=drawn)


async def _empty(queue: Any) -> None:
    while not queue.is_empty():
        await asyncio.sleep(LOOK_SECONDS)
