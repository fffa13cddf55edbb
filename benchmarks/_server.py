"""A real Samenet server in its own process, on a free loopback port."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
PROFILED = Path(__file__).with_name("_profile.py")
MNIST = ROOT.parent / "shared" / "mnist"  # the official files, where a workplace has them
MNIST_VARIABLE = "SAMENET_MNIST_DIR"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


def use_local_mnist() -> None:
    """Name the folder of the official files in the environment, if nobody has and it is there."""
    if MNIST_VARIABLE not in os.environ and MNIST.is_dir():
        os.environ[MNIST_VARIABLE] = str(MNIST)


def say(text: str) -> None:
    """Progress, beside the JSON on stdout."""
    print(text, file=sys.stderr, flush=True)


class Server:
    """A running server, of this checkout or another one: its log, its resources, its end.

    Args:
      root: the checkout.
      cores: the processor's cores that it may use, all of them if empty.
      profile: a file in which it notes where its time goes, see benchmarks/_profile.py.
      environment: of the process, beside this one's.
    """

    def __init__(
        self,
        root: Path = ROOT,
        cores: Collection[int] = (),
        profile: Path | None = None,
        **environment: str,
    ) -> None:
        use_local_mnist()
        self.port = _free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.log: list[tuple[float, str]] = []  # (time.monotonic(), line)
        options = {"headless": "true", "address": HOST, "port": str(self.port)}
        how = [str(PROFILED), str(profile)] if profile else ["-m", "streamlit.web.cli"]
        start = time.monotonic()
        self.process = subprocess.Popen(
            # By this name, whoever clears up stray `streamlit run`s spares a measurement.
            [sys.executable, *how, "run", "app.py"]
            + [f"--server.{name}={value}" for name, value in options.items()],
            cwd=root,
            env={**os.environ, "SAMENET_LOG": "INFO", "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None,
            start_new_session=True,  # a terminal's Ctrl-C stops the benchmark, which stops it
        )
        threading.Thread(target=self._read_log, daemon=True).start()
        self._info = psutil.Process(self.process.pid)
        self._wait_for_health()
        self.listens_s = time.monotonic() - start

    def cpu_seconds(self) -> float:
        """CPU time used so far, user and system, all threads."""
        times = self._info.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Resident bytes."""
        return self._info.memory_info().rss

    def children(self) -> list[psutil.Process]:
        return self._info.children(recursive=True)

    def lines(self, text: str, since: float = 0.0) -> list[tuple[float, str]]:
        """The log lines with `text` in them, as (time.monotonic(), line)."""
        return [(at, line) for at, line in list(self.log) if text in line and at >= since]

    def listening(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex((HOST, self.port)) == 0

    def stop(self) -> int | None:
        """SIGINT, as Ctrl-C; SIGKILL if that does not end it. The exit code, None if killed."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append((time.monotonic(), line.rstrip()))

    def _wait_for_health(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=1.0) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        log = "\n".join(line for _, line in self.log[-20:])
        self.process.kill()
        raise RuntimeError(f"the server did not come up in {START_SECONDS:.0f} s:\n{log}")


@contextmanager
def serving(
    root: Path = ROOT,
    cores: Collection[int] = (),
    profile: Path | None = None,
    **environment: str,
) -> Iterator[Server]:
    """A server for the time of the block, even if the block is told to end (SIGTERM)."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    server = Server(root, cores, profile, **environment)
    try:
        yield server
    except Exception:
        say("\n".join(["the end of the server's log:", *(line for _, line in server.log[-20:])]))
        say(f"exit code so far: {server.process.poll()}")
        raise
    finally:
        if server.process.poll() is None:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


async def seconds_to_idle(server: Server, timeout: float) -> float | None:
    """Seconds until the server used less than a tenth of a core for two seconds."""
    start = time.monotonic()
    for _ in range(int(timeout / 2.0)):
        used = server.cpu_seconds()
        await asyncio.sleep(2.0)
        if server.cpu_seconds() - used < 0.2:
            return time.monotonic() - start - 2.0
    return None
