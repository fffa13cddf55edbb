"""What JAX keeps of the functions that it has traced, which goes when memory runs short.

JAX keeps every function that it has traced and, of those that are called through `jax.jit`, the
compiled program, for as long as the process lives. After all pages and three networks that is
150 MB. A run is not affected: its compiled functions are the engine's own (train/pieces.py). To
trace again is cheap: an MLP, tracing and all, was compiled in 5.2 s of CPU after a clearing, and in
5.3 without one (medians of 6, two cores, JAX 0.10.2).
"""

import jax

from core.run import memory

TRACED = "/jax/core/compile/jaxpr_trace_duration"  # JAX's own name for the event
WORTH = 0.5  # seconds of tracing, about a network's; what less of it leaves is not worth a clearing

_seconds = 0.0  # spent on tracing since the last clearing


def let_go() -> int | None:
    """Forget all traces; the bytes by which the process shrank, or None if there is little new.

    Other threads may trace meanwhile: 2,377 clearings in two minutes harmed none of 64 tracings.
    """
    global _seconds
    if _seconds < WORTH:
        return None
    _seconds, before = 0.0, memory.resident()
    jax.clear_caches()
    memory.give_back()
    return max(0, before - memory.resident())


def _note(event: str, duration_secs: float, **_: str | int) -> None:
    global _seconds
    if event == TRACED:
        _seconds += duration_secs


jax.monitoring.register_event_duration_secs_listener(_note)
