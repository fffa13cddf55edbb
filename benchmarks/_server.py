"""The server that a benchmark measures: the one in tests/kit, with a log of when runs start."""

import asyncio
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit import MNIST_VARIABLE, ROOT, official_mnist, servers
from tests.kit.servers import APP, Server

__all__ = ["ROOT", "Server", "say", "seconds_to_idle", "serving", "use_local_mnist"]

PROFILED = Path(__file__).with_name("_profile.py")


def use_local_mnist() -> None:
    """If the official files are here, name their folder in the environment."""
    if folder := official_mnist():
        os.environ[MNIST_VARIABLE] = str(folder)


def say(text: str) -> None:
    """Print progress to stderr, since stdout is for the JSON."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def serving(
    root: Path = ROOT,
    cores: Collection[int] = (),
    profile: Path | None = None,
    **environment: str,
) -> Iterator[Server]:
    """Serve this checkout, or another one, while the block runs.

    Args:
      root: the checkout.
      cores: the processor cores that the server may use; all of them if empty.
      profile: a file in which it records where its time goes, see benchmarks/_profile.py.
      environment: variables for the server in addition to this process's own.
    """
    use_local_mnist()
    command = (str(PROFILED), str(profile), "run", "app.py") if profile else APP
    told = {"SAMENET_LOG": "INFO", **environment}
    with servers.serving(command, root, cores, **told) as server:
        try:
            yield server
        except Exception:
            lines = [line for _, line in server.log[-20:]]
            say("\n".join(["the end of the server's log:", *lines]))
            say(f"exit code so far: {server.process.poll()}")
            raise


async def seconds_to_idle(server: Server, timeout: float) -> float | None:
    """Seconds until the server has used less than a tenth of a core for 2 s; None if never."""
    start = asyncio.get_running_loop().time()
    for _ in range(int(timeout / 2.0)):
        used = server.cpu_seconds()
        await asyncio.sleep(2.0)
        if server.cpu_seconds() - used < 0.2:
            return asyncio.get_running_loop().time() - start - 2.0
    return None
