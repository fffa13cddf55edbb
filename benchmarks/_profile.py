"""A server that records where its time goes: `python benchmarks/_profile.py FILE run app.py`.

Every 10 ms, the CPU time that each thread has used since the last sample is added to what that
thread is doing. What a Python thread is doing is decided by its innermost call that DOING knows.
All other threads belong to XLA: they are compiling while any Python thread waits for a compilation,
and running programs otherwise. FILE holds CPU seconds by activity, as JSON, and is rewritten twice
a second.
"""

import json
import os
import runpy
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY, WRITE_EVERY = 0.01, 0.5  # seconds
COMPILE, RUN = "XLA compile", "XLA run"
OWN, OTHER = "Samenet's Python", "other Python"
# Part of a file's path -> the activity. The innermost call whose path has such a part decides.
DOING = {
    "jax/_src/compiler.py": COMPILE,
    "jax/_src": "JAX trace and dispatch",
    "jax/interpreters": "JAX trace and dispatch",
    "pyarrow": "Arrow, JSON, protobuf",
    "google/protobuf": "Arrow, JSON, protobuf",
    "/json/": "Arrow, JSON, protobuf",
    "altair": "Altair",
    "streamlit": "Streamlit",
    "uvicorn": "websockets",
    "starlette": "websockets",
    "websockets": "websockets",
    "importlib": "imports",
}


def doing(frame: FrameType | None, root: str) -> str:
    """The activity of a thread with this innermost frame."""
    while frame is not None:
        path = frame.f_code.co_filename.replace(root, "samenet-root")
        for part, what in DOING.items():
            if part in path:
                return what
        if path.startswith("samenet-root"):
            return OWN
        frame = frame.f_back
    return OTHER


def used() -> dict[int, float]:
    """CPU seconds that each thread of this process has used."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (OSError, ValueError):  # the thread has ended
            continue
    return found


def sample(file: Path, root: str) -> None:
    """Add up what the threads use, without end."""
    totals: Counter[str] = Counter()
    before, written, own = used(), 0.0, threading.get_native_id()
    while True:
        time.sleep(EVERY)
        now = used()
        frames = sys._current_frames()
        python = {t.native_id: doing(frames.get(t.ident or 0), root) for t in threading.enumerate()}
        native = COMPILE if COMPILE in python.values() else RUN
        for thread in now.keys() - {own}:
            totals[python.get(thread, native)] += now[thread] - before.get(thread, 0.0)
        before = now
        if time.monotonic() - written > WRITE_EVERY:
            written = time.monotonic()
            part = file.with_suffix(".part")
            part.write_text(json.dumps(totals))
            part.replace(file)


def main() -> None:
    """Start the sampling, then Streamlit with the remaining arguments."""
    root = os.getcwd()
    sys.path[0] = root  # as `python -m` would set it
    threading.Thread(target=sample, args=(Path(sys.argv[1]), root), daemon=True).start()
    sys.argv = ["streamlit", *sys.argv[2:]]
    runpy.run_module("streamlit.web.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
