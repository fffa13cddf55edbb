"""The server that a benchmark measures: that of the tests' kit, which says when runs start."""

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
    """Name the folder of the official files in the environment, if they are here."""
    if folder := official_mnist():
        os.environ[MNIST_VARIABLE] = str(folder)


def say(text: str) -> None:
    """Progress, beside the JSON on stdout."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def serving(
    root: Path = ROOT,
    cores: Collection[int] = (),
    profile: Path | None = None,
    **environment: str,
) -> Iterator[Server]:
    """A server for the time of the block, of this checkout or another one.

    Args:
      root: the checkout.
      cores: the processor's cores that it may use, all of them if empty.
      profile: a file in which it notes where its time goes, see benchmarks/_profile.py.
      environment: of the process, beside this one's.
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
    """Seconds until the server used less than a tenth of a core for two seconds."""
    start = asyncio.get_running_loop().time()
    for _ in range(int(timeout / 2.0)):
        used = server.cpu_seconds()
        await asyncio.sleep(2.0)
        if server.cpu_seconds() - used < 0.2:
            return asyncio.get_running_loop().time() - start - 2.0
    return None
