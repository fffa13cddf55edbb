"""What an entry point sets for its whole process before it trains; needs no JAX."""

import os
from collections.abc import Mapping
from importlib import util

from core.run import memory

ACCELERATORS = ("jax_plugins", "libtpu")  # JAX finds a GPU by the first, a TPU by the second
FLAGS = "XLA_FLAGS"
EXTRA = "--xla_backend_extra_options"
# LLVM would write a loop over ten classes out ten times, in each loss of the table. Without that a
# look at ten classes takes about half as long to compile: an MLP's and a CNN's 8 to 11 s of CPU
# instead of 16 to 17 (two cores with AVX2, JAX 0.10.2). JAX has no way to say so for one program.
# With no loop written out at all (xla_cpu_disable_loop_unrolling) an MLP's look takes a fifth less
# again, but three classes are then added in another order than JAX adds them elsewhere: the naive
# loss of the logits 17.3, 0, 1 is 0 instead of 1.2e-7, and no longer what the tables measured.
LOOPS = f"{EXTRA}=-unroll-full-max-count=8"


def begin() -> None:
    """Set the process up; call it before JAX compiles its first program, and before any thread."""
    memory.keep_buffers()
    keep_loops()


def keep_loops() -> None:
    """Let LLVM keep long loops as loops; a host that gives LLVM options of its own keeps those.

    LLVM also compiles for accelerators, whose programs are left as they are.
    """
    flags = os.environ.get(FLAGS, "")
    if EXTRA not in flags and only_cpu():
        os.environ[FLAGS] = f"{flags} {LOOPS}".strip()


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment as it was before `begin`, for a framework that is not ours."""
    flags = environment.get(FLAGS, "").replace(LOOPS, "").strip()
    others = {name: value for name, value in environment.items() if name != FLAGS}
    return others | ({FLAGS: flags} if flags else {})


def only_cpu() -> bool:
    """Whether JAX will compute on a CPU; asking JAX itself would be too late for its flags."""
    if named := os.environ.get("JAX_PLATFORMS"):
        return named == "cpu"
    return not any(map(util.find_spec, ACCELERATORS))
