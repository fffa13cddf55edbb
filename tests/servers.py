"""Real servers for tests: each fresh, on a free loopback port, started in one of three ways."""

import os
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


POLITE = ("You can now view", "URL: ", "Uvicorn server started", "Stopping...")


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
        lines = filter(str.strip, self.log().splitlines())
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
    assert "Traceback" not in (said := server.log()), said


@contextmanager
def served(folder: Path, command: tuple[str, ...] = APP, **environment: str) -> Iterator[Served]:
    """A fresh server that listens, which is stopped at the end."""
    with started(folder, command, **environment) as server:
        server.wait_until_healthy()
        yield server
        assert server.process.poll() is None, f"the server died: {server.process.returncode}"
