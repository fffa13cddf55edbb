"""Real servers for tests: each fresh, on a free loopback port, started in one of three ways."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.conftest import ROOT

SOON = 60.0  # seconds that a slow machine may take

# `streamlit run` finds the App without executing app.py; the other two execute it as a script.
APP = ("-m", "streamlit.web.cli", "run", "app.py")
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
    return ("-m", "streamlit.web.cli", "run", str(script))


# A tab closes while Streamlit sends to it, and what it sent last still waits to be read. Streamlit
# takes the closed socket for one that got text and closes it once more, which is told as a fault.
# Its starlette_websocket.py alone may be to blame, with these two errors in this order.
CLOSED_TWICE = re.compile(
    r"""(?:ERROR: +)?Exception in ASGI application
Traceback \(most recent call last\):
  File "[^"]*starlette_websocket\.py", line \d+, in _websocket_endpoint
    data = await websocket\.receive_bytes\(\)
(?: .*\n)+\S+: WebSocket is not connected\. Need to call "accept" first\.

During handling of the above exception, another exception occurred:

Traceback \(most recent call last\):
(?: .*\n)+  File "[^"]*starlette_websocket\.py", line \d+, in _websocket_endpoint
    await websocket\.close\(\)
(?: .*\n)+\S+: Cannot call "send" once a close message has been sent\.
"""
)
POLITE = ("You can now view", "URL: ", "Uvicorn server started", "Stopping...")


def without_closed_twice(log: str) -> str:
    """A server's log but for what Streamlit says of a socket that it has closed twice."""
    return CLOSED_TWICE.sub("", log)


class Served:
    """A server's address, process and log."""

    def __init__(self, folder: Path, command: tuple[str, ...], environment: dict[str, str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self._log = folder / "server.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "STREAMLIT_SERVER_ADDRESS": "127.0.0.1",
                    "STREAMLIT_SERVER_PORT": str(port),
                    "STREAMLIT_SERVER_HEADLESS": "true",
                    "SAMENET_MNIST_DIR": str(folder),
                    "SAMENET_DATA_DIR": str(folder),
                    **environment,
                },
            )

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def complaints(self) -> list[str]:
        """The lines of its log that are more than Streamlit's hello and goodbye."""
        lines = filter(str.strip, without_closed_twice(self.log()).splitlines())
        return [line for line in lines if not any(words in line for words in POLITE)]

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + SOON
        while True:
            try:
                with urlopen(f"{self.address}/_stcore/health", timeout=SOON):
                    return
            except URLError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log()
                time.sleep(0.05)


@contextmanager
def started(folder: Path, command: tuple[str, ...] = APP, **environment: str) -> Iterator[Served]:
    """A server that may not listen yet. It must end cleanly, and say nothing of a fault."""
    server = Served(folder, command, environment)
    try:
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(timeout=SOON)
        except subprocess.TimeoutExpired:
            server.process.kill()
            raise
    assert server.process.returncode == 0, "the server did not end cleanly"
    assert "Traceback" not in without_closed_twice(said := server.log()), said


@contextmanager
def served(folder: Path, command: tuple[str, ...] = APP, **environment: str) -> Iterator[Served]:
    """A fresh server that listens, which is stopped at the end."""
    with started(folder, command, **environment) as server:
        server.wait_until_healthy()
        yield server
        assert server.process.poll() is None, f"the server died: {server.process.returncode}"
