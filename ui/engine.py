"""The one engine of this server."""

import atexit
import gc
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import streamlit as st

from core.config import agree
from core.export import real
from core.limits import limits
from core.parts.choices import TASKS
from core.parts.losses import LOSSES, Form
from core.parts.precisions import PRECISIONS
from core.run import budget, entry, memory, own_process, train
from core.run.budget import Budget
from core.run.engine import Engine
from core.run.job import Status
from core.run.prepare import ahead
from core.run.train.forms import asked
from core.study import lanes, precision
from ui.server import wait_for_scripts
from ui.streamlit_privates import presence

COMPILED = Path.home() / ".cache" / "samenet" / "xla"


@st.cache_resource(show_spinner=False)  # a spinner needs a session; the warm-up has none
def engine() -> Engine:
    """Return the one engine for all visitors of this server.

    Compiled programs are kept on disk: a restarted server is ready in a third of the time.
    """
    asked()  # a mistyped variable stops the start, as those of the limits do
    entry.begin()  # if app.py runs as a script, no lifespan has done this
    set_by_host = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if set_by_host is None:  # the variable of that name takes precedence
        jax.config.update("jax_compilation_cache_dir", str(COMPILED))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    _log_to_stderr(os.environ.get("SAMENET_LOG", "WARNING"))
    # Freeze what is imported, because it stays: a full collection that walks all of it stops
    # everything for 150 ms, and one that does not for 33 ms.
    gc.collect()
    gc.freeze()
    made = Engine(capacity=limits().runs, budget=_budget(), presence=presence)
    made.budget.add(lambda: None if made.errands.waiting() else lanes.let_go())
    # Registered again, because what is registered last is called first: no page is at work when the
    # engine closes, and neither is inside JAX when JAX cleans up.
    atexit.register(wait_for_scripts)
    return made


def figures() -> dict[str, Any]:
    """Return the state of the engine, for the host."""
    mine = engine()
    runs, errands, programs = mine.count(), mine.errands.count(), train.programs_kept()
    return {
        "device": device(),
        "runs": {status.value: runs[status] for status in Status},
        "queue": runs[Status.QUEUED],
        "errands": {"kept": errands[0], "going_on": errands[1]},
        "memory": {
            "used_bytes": mine.budget.used(),
            "budget_bytes": mine.budget.bytes,
            "full": mine.budget.full(),
            "let_go": mine.budget.freed,
        },
        "programs": {"count": programs[0], "bytes": programs[1]},
        "limits": {name: told(value) for name, value in limits()._asdict().items()},
    }


def told(limit: Any) -> Any:
    """Return a limit as JSON has it, where no limit is null."""
    return None if limit == math.inf else limit


def device() -> str:
    """Return the device in use, in words."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        return f"CPU, {os.cpu_count()} cores"
    return f"{first.platform.upper()}, {first.device_kind}"


def _budget() -> Budget:
    others = own_process.resident, real.resident
    return Budget(budget.here(), lambda: memory.resident() + sum(each() for each in others))


def _log_to_stderr(level: str) -> None:
    """Log to stderr; SAMENET_LOG=INFO says which runs start, pause and are freed."""
    log = logging.getLogger("samenet")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
    log.setLevel(level if level in logging.getLevelNamesMapping() else "WARNING")


def losses_ready(form: Form, dtype: np.dtype[Any], loss: str) -> bool:
    """True if a loss can be evaluated in this format now; if not, compile it behind all runs."""
    if precision.ready(form, dtype, loss):
        return True
    look, own = engine().errands.look, "" if LOSSES[loss].formula is None else loss
    return look(("losses", form, dtype.name, own), lambda: _compile(form, dtype, own)).done


def _compile(form: Form, dtype: np.dtype[Any], own: str) -> Iterator[None]:
    precision.compiled(form, dtype, own)
    yield


def warm_up() -> None:
    """Compile what a run of the default settings needs, behind everything else."""
    engine().errands.look("warm-up", ahead_of_visitors, lease=math.inf)


def ahead_of_visitors() -> Iterator[None]:
    """Load and compile what the default settings need, piece by piece."""
    default, _ = agree({})  # as far as the host allows it
    dtype = PRECISIONS[default.precision].loss.dtype
    precision.compiled(TASKS[default.task].form, dtype)  # small, and every page needs it
    yield
    yield from ahead(default)
    yield
    engine().submit(default, until=0)  # and its first snapshot
