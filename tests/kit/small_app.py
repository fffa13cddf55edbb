"""app.py as most tests serve it: with the stories in few steps.

`SAMENET_TESTS_SEND_EVERY=0.3` makes it send as seldom as a slow host does (in seconds; Streamlit's
own value is 0.005). With `SAMENET_TESTS_WAIT=3`, a page waits at least that many seconds for the
first look of a run whose seed is not 0. If `SAMENET_TESTS_RUNS` names a file, the query of each run
that a page asks for is added to it. On SIGUSR1 the names of all loaded modules are written to the
file `SAMENET_TESTS_MODULES`.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import streamlit as st
from streamlit.runtime import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.config import RunConfig, to_query
from core.run.engine import Engine
from core.run.job import View, Viewer
from tests.kit.small import few_steps
from ui import main, server, status

few_steps()

if seconds := os.environ.get("SAMENET_TESTS_SEND_EVERY"):
    runtime.MESSAGE_FLUSH_INTERVAL_SECS = float(seconds)

if seconds := os.environ.get("SAMENET_TESTS_WAIT"):
    wait, least = Engine.wait, float(seconds)

    def _late(self: Engine, viewer: Viewer, snapshots: int, timeout: float) -> View:
        time.sleep(least if viewer.config.seed else 0.0)
        return wait(self, viewer, snapshots, timeout)

    Engine.wait = _late  # type: ignore[method-assign]

if runs := os.environ.get("SAMENET_TESTS_RUNS"):
    submit = Engine.submit

    def _noted(self: Engine, config: RunConfig, until: float = float("inf")) -> Viewer:
        if get_script_run_ctx():  # a visitor's, not the warm-up's
            with open(runs, "a") as file:
                file.write(urlencode(to_query(config)) + "\n")
        return submit(self, config, until)

    Engine.submit = _noted  # type: ignore[method-assign]


def _write_modules(*_: Any) -> None:
    Path(os.environ["SAMENET_TESTS_MODULES"]).write_text(" ".join(sys.modules) + "\n")


if hasattr(signal, "SIGUSR1"):
    signal.signal(signal.SIGUSR1, _write_modules)

app = st.App(
    main.__file__,
    lifespan=server.lifespan,
    middleware=server.middleware(),
    routes=status.routes(),
    on_script_error=main.failed,
)
