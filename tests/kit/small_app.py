"""app.py as most tests have it served: with the stories in few steps.

`SAMENET_TESTS_SEND_EVERY=0.3` has it send as seldom as a slow host does (seconds, in place of
0.005), and SIGUSR1 has it write the names of all loaded modules into `SAMENET_TESTS_MODULES`.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime import runtime

from tests.kit.small import few_steps
from ui import main, server

few_steps()

if seconds := os.environ.get("SAMENET_TESTS_SEND_EVERY"):
    runtime.MESSAGE_FLUSH_INTERVAL_SECS = float(seconds)


def _write_modules(*_: Any) -> None:
    Path(os.environ["SAMENET_TESTS_MODULES"]).write_text(" ".join(sys.modules) + "\n")


if hasattr(signal, "SIGUSR1"):
    signal.signal(signal.SIGUSR1, _write_modules)

app = st.App(main.__file__, lifespan=server.lifespan, middleware=server.middleware())
