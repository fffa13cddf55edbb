"""What the host can ask of a running server: /status as JSON, /metrics in Prometheus's text.

Both name runs by their number only, and no visitor.
"""

import os
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ui import streamlit_privates

STATUS = "SAMENET_STATUS"  # "open": whoever reaches the server may ask
FORWARDED = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via")
PACKAGES = ("streamlit", "jax", "jaxlib", "numpy")
VERSIONS = {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}}
REFUSED = "Only the machine that serves may ask, and not through a proxy. See docs/hosting.md.\n"
_started = time.monotonic()


def may_ask(peer: str | None, headers: Headers) -> bool:
    """Whether a request comes from this machine itself, or the host lets everybody ask.

    A proxy on this machine comes from here, too; what it passes on is told by its headers.
    """
    if os.environ.get(STATUS) == "open":
        return True
    try:
        address = ip_address(peer or "")
    except ValueError:  # a socket without an address
        return False
    inner = getattr(address, "ipv4_mapped", None) or address
    return inner.is_loopback and not any(name in headers for name in FORWARDED)


def figures() -> dict[str, Any]:
    """Return the state of the server, without starting what has not been started yet."""
    told = {
        "versions": VERSIONS,
        "uptime_s": round(time.monotonic() - _started, 1),
        "sessions": streamlit_privates.sessions(),
    }
    if (module := sys.modules.get("ui.engine")) is None:
        return {"ready": False, **told}
    return {"ready": True, **told, **module.figures()}


class _Figures(Collector):
    """The numbers among the figures, as metrics."""

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with its present value."""
        now = figures()
        yield GaugeMetricFamily("samenet_sessions", "Open browser tabs.", now["sessions"])
        yield GaugeMetricFamily("samenet_uptime_seconds", "Since the start.", now["uptime_s"])
        if not now["ready"]:
            return
        runs = GaugeMetricFamily(
            "samenet_runs", "Runs that are kept, by status.", labels=["status"]
        )
        for status, count in now["runs"].items():
            runs.add_metric([status], count)
        yield runs
        memory, programs = now["memory"], now["programs"]
        for name, text, value in (
            ("queue", "Runs that wait for their turn.", now["queue"]),
            ("errands", "Errands and sweeps that go on for somebody.", now["errands"]["going_on"]),
            ("memory_bytes", "Resident memory, with that of long runs.", memory["used_bytes"]),
            ("memory_budget_bytes", "What the server keeps itself to.", memory["budget_bytes"]),
            ("full", "Whether no new run is taken.", int(memory["full"])),
            ("programs", "Compiled programs that are kept.", programs["count"]),
            ("programs_bytes", "By how much they made the process larger.", programs["bytes"]),
        ):
            yield GaugeMetricFamily(f"samenet_{name}", text, value)
        yield CounterMetricFamily(
            "samenet_let_go", "Things let go to keep to the budget.", memory["let_go"]
        )


def _status(request: Request) -> Response:
    return JSONResponse(figures()) if _allowed(request) else _refused()


def _metrics(request: Request) -> Response:
    if not _allowed(request):
        return _refused()
    registry = CollectorRegistry()
    registry.register(_Figures())
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _allowed(request: Request) -> bool:
    return may_ask(request.client.host if request.client else None, request.headers)


def _refused() -> Response:
    return PlainTextResponse(REFUSED, 403)


def routes() -> list[Route]:
    """Return the two addresses; Starlette answers them in threads of their own."""
    return [Route("/status", _status), Route("/metrics", _metrics)]
