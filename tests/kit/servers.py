"""A real server in a process of its own, on a free loopback port, started in one of four ways."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.kit import MINUTE, ROOT

HOST = "127.0.0.1"
# Seconds that a busy machine may take until a server listens, which imports JAX first, and until it
# has ended, for which it waits for what XLA compiles.
START, END = 5 * MINUTE, 6 * MINUTE
COLD = {"SAMENET_WARM_UP": "0"}  # the first visitor waits for the imports

# `streamlit run` finds the App without executing app.py; SCRIPT and ELSEWHERE execute it.
RUN = ("-m", "streamlit.web.cli", "run")
APP = (*RUN, "app.py")
SMALL = (*RUN, "tests/kit/small_app.py")  # app.py with the stories in few steps
SCRIPT = (
    "-c",
    """
import os
from streamlit.web import bootstrap
options = {name: os.environ[f"STREAMLIT_SERVER_{name.upper()}"] for name in ("address", "port")}
options = {"server.headless": True, **{f"server.{name}": text for name, text in options.items()}}
bootstrap.load_config_options(options)
bootstrap.run("app.py", False, [], options)
""",
)
ELSEWHERE = """
import sys
sys.path.insert(0, {root!r})
exec(compile(open({app!r}).read(), {app!r}, "exec"))
"""


def script_elsewhere(folder: Path) -> tuple[str, ...]:
    """The command for a script in `folder` that executes app.py."""
    script = folder / "elsewhere.py"
    script.write_text(ELSEWHERE.format(root=str(ROOT), app=str(ROOT / "app.py")))
    return (*RUN, str(script))


POLITE = ("You can now view", "URL: ", "Uvicorn server started", "Stopping...")
# One traceback, or a chain of them, with the line that announces it.
TRACEBACK = re.compile(
    r"(?:.*Exception in ASGI application\n)?"
    r"(?:(?:\n(?:During handling|The above exception) .*\n\n)?"
    r"Traceback \(most recent call last\):\n(?: .*\n)+\S.*\n)+"
)
OURS = re.compile(rf'File "{re.escape(str(ROOT))}/(?:app\.py|core/|ui/|pages/|tests/)')


class Server:
    """A server of this checkout or another one, with its log, its resources and its end.

    At first it may not listen yet; see `wait_until_healthy`.

    Args:
      command: the arguments for Python, which runs in the folder `root`.
      root: the checkout.
      cores: the processor cores that the server may use; all of them if empty.
      environment: variables for the server in addition to this process's own.
    """

    def __init__(
        self,
        command: tuple[str, ...] = APP,
        root: Path = ROOT,
        cores: Collection[int] = (),
        **environment: str,
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            # Either leaves every `with` block, which stops the server. In a background job, SIGINT
            # would be ignored: execnet sends it to a worker whose pytest has been killed.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler)
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://{HOST}:{self.port}"
        self.log: list[tuple[float, str]] = []  # (time.monotonic(), line)
        self.listens_s = 0.0  # seconds from its start until it listens
        self._started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=root,
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1",
                "PYTHONPATH": str(root),
                "STREAMLIT_SERVER_ADDRESS": HOST,
                "STREAMLIT_SERVER_PORT": str(self.port),
                "STREAMLIT_SERVER_HEADLESS": "true",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None,
            start_new_session=True,  # Ctrl-C in a terminal reaches only us; we stop it
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._info = psutil.Process(self.process.pid)

    def wait_until_healthy(self) -> None:
        """Wait until it listens, and note how long that took."""
        while not self.listens_s:
            try:
                with urlopen(f"{self.url}/_stcore/health", timeout=MINUTE):
                    self.listens_s = time.monotonic() - self._started
            except OSError:
                late = time.monotonic() - self._started > START
                assert self.process.poll() is None and not late, self.said()
                time.sleep(0.05)

    def cpu_seconds(self) -> float:
        """CPU time used so far, user and system, all threads."""
        times = self._info.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Resident memory in bytes."""
        return self._info.memory_info().rss

    def children(self) -> list[psutil.Process]:
        """The processes that it has started and that are still running."""
        return self._info.children(recursive=True)

    def lines(self, text: str, since: float = 0.0) -> list[tuple[float, str]]:
        """The lines of the log that contain `text`, as (time.monotonic(), line)."""
        return [(at, line) for at, line in list(self.log) if text in line and at >= since]

    def said(self) -> str:
        """The log as one text."""
        return "".join(f"{line}\n" for _, line in list(self.log))

    def faults(self) -> list[str]:
        """The tracebacks in the log that name a file of the project."""
        return [told for told in TRACEBACK.findall(self.said()) if OURS.search(told)]

    def complaints(self) -> list[str]:
        """The faults, and all other lines of the log that are more than hello and goodbye."""
        others = TRACEBACK.sub("", self.said()).splitlines()
        unusual = [line for line in others if not any(words in line for words in POLITE)]
        return [*self.faults(), *filter(str.strip, unusual)]

    def listening(self) -> bool:
        """Whether its port answers."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((HOST, self.port)) == 0

    def stop(self, number: signal.Signals = signal.SIGINT) -> int | None:
        """Send a signal, and kill the server if that does not end it.

        Returns the exit code, or None if it was killed.
        """
        self.process.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            return None

    def wait(self) -> int:
        """Wait until the server has ended and its whole log is read; return the exit code."""
        code = self.process.wait(END)
        self._reader.join(MINUTE)
        return code

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.log.append((time.monotonic(), line.rstrip()))


@contextmanager
def serving(*arguments: object, **options: object) -> Iterator[Server]:
    """A server that listens while the block runs, and that may end in any way."""
    server = Server(*arguments, **options)  # type: ignore[arg-type]
    try:
        server.wait_until_healthy()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def beside(folder: Path) -> dict[str, str]:
    """Environment for a server that finds no full MNIST, and no data of the user's own."""
    return {"SAMENET_MNIST_DIR": str(folder), "SAMENET_DATA_DIR": str(folder)}


@contextmanager
def started(folder: Path, command: tuple[str, ...] = APP, **environment: str) -> Iterator[Server]:
    """A server that may not listen yet; it must end cleanly, without a fault of ours in its log."""
    server = Server(command, **{**beside(folder), **environment})
    try:
        yield server
    finally:
        running = server.process.poll() is None
        code = server.stop(signal.SIGTERM) if running else server.wait()
    assert code == 0, f"the server did not end cleanly: {code}\n{server.said()}"
    assert not (faults := server.faults()), "\n".join(faults)


@contextmanager
def served(folder: Path, command: tuple[str, ...] = APP, **environment: str) -> Iterator[Server]:
    """A server that listens while the block runs; it must live that long, and then end cleanly."""
    with started(folder, command, **environment) as server:
        server.wait_until_healthy()
        yield server
        assert server.process.poll() is None, f"the server died\n{server.said()}"
