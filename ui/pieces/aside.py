"""Work that a click asks for, in a process of its own: it holds no page up, and may crash."""

import os
import shutil
import subprocess
import sys
import threading

import jax

from ui.pages import ROOT

_turn = threading.Semaphore(1)  # one at a time on this server: each takes a core
LONGEST = 300.0  # seconds


class Failed(Exception):
    """The other process has failed; the message says why."""


def run(module: str, *arguments: str, given: bytes = b"", seconds: float = LONGEST) -> bytes:
    """Run a module as a program at low priority, behind others that wait; return what it prints.

    Call it from a thread that may wait.

    Raises:
      Failed: it fails, or takes longer than `seconds`.
    """
    nice = ["nice", "-n", "10"] if shutil.which("nice") else []
    command = [*nice, sys.executable, "-m", module, *arguments]
    environment = dict(os.environ)
    if folder := jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        environment["JAX_COMPILATION_CACHE_DIR"] = folder
    with _turn:
        try:
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                cwd=ROOT,
                env=environment,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise Failed(f"It has not ended after {seconds:.0f} s and was stopped.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Failed(said[-1] if said else f"It ended with status {done.returncode}.")
    return done.stdout
