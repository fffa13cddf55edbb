"""A page reaches its browser whole before anything else begins in its session.

When a run of a session starts, Streamlit 1.67 drops what the session was not sent yet. Where a
fragment's timer starts it, behind a run of the whole page, the browser still hears that the page
has ended: it takes for gone what it was not sent, and builds it anew when the fragment draws it.
On a server that sends every 0.3 s charts flashed so at every change of a control.
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
    server = runtime.get_instance() if context and runtime.exists() else None
    sessions = getattr(server, "_session_mgr", None)  # an AppTest has no server, or plays one
    if sessions is None:
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


async def _empty(queue: Any) -> None:
    while not queue.is_empty():
        await asyncio.sleep(LOOK_SECONDS)
