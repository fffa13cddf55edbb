"""How a shape's functions are compiled: options, locks and one compiled copy of each."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from core.parts.choices import TASKS
from core.run import memory
from core.run.price import bytes_of
from core.run.train.looking import Looking
from core.run.train.step import Step, numerics, start_types
from core.run.train.vocabulary import Shape, knob_types

P = ParamSpec("P")
R = TypeVar("R")

# For what looks at a run: without its fusion emitters XLA takes 1 to 44% less CPU to compile a look
# (six networks), and the look takes about as long as before. A step takes up to half as long again
# without them, so the loop over steps keeps them (two cores, JAX 0.10.2).
SELDOM: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
# For what runs once in a run or an epoch: the same bits, in less time to compile. A CNN's
# weights took 1.8 s of CPU instead of 10.3, on two cores with JAX 0.10.2.
ONCE: dict[str, Any] = {**SELDOM, "xla_backend_optimization_level": "1"}
# In one piece instead of 32 a look takes an eighth less of one core to compile, for the same
# bits; on two cores there is no difference, and on many the pieces go side by side.
FEW_CORES = 2
IN_ONE_PIECE: dict[str, Any] = {"xla_cpu_parallel_codegen_split_count": "1"}


def for_this_host(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that XLA compiles with here: those of a CPU only on a CPU.

    An accelerator's program has no use for them, and where JAX is newer than ours XLA may not
    know them: it then compiles nothing (H200, JAX 0.11.2).
    """
    if jax.default_backend() != "cpu":
        return {name: value for name, value in options.items() if not name.startswith("xla_cpu_")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    few = cores is not None and cores <= FEW_CORES
    return {**(IN_ONE_PIECE if few else {}), **options}


# A look does not wait until a loop over steps is compiled.
loops_lock, looks_lock = threading.RLock(), threading.RLock()


class Pieces:
    """The functions of a shape, each compiled when it is first asked for, once for all who ask."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.step = shape, Step(shape)
        self.looking = Looking(self.step)
        self.knobs, self.whole = knob_types(), jax.ShapeDtypeStruct((), np.int32)
        self.state = start_types(shape)
        order = jax.ShapeDtypeStruct((shape.train_size,), np.int32)
        self.batches = (*self.images(shape.train_size), order, self.knobs)
        self.memory = 0  # bytes that the largest of the compiled ones computes in
        self.kept = 0  # bytes by which compiling them has made the process larger
        self._lowered: dict[Callable[..., Any], Any] = {}  # those not compiled yet
        self._compiled: dict[tuple[Callable[..., Any], int], Any] = {}

    def images(self, n: int) -> tuple[Any, Any]:
        """The types of n images and their labels, or of n series and their targets."""
        task = TASKS[self.shape.task]
        dtype, each = (np.float32, (task.outputs,)) if task.series else (np.uint8, ())
        inputs = jax.ShapeDtypeStruct((n, task.inputs), dtype)
        return inputs, jax.ShapeDtypeStruct((n, *each), dtype)

    def has(self, function: Callable[..., Any]) -> bool:
        """Whether a function has been compiled."""
        return (function, 0) in self._compiled

    def lowered(
        self, function: Callable[..., Any], *types: Any, donate: tuple[int, ...] = ()
    ) -> Any:
        """A function as XLA is given it; its price is known before it is compiled."""
        if function not in self._lowered:
            with numerics(self.shape):
                jitted = jax.jit(function, donate_argnums=donate)
                self._lowered[function] = jitted.lower(*types)
        return self._lowered[function]

    def compiled(
        self,
        function: Callable[P, R],
        *types: Any,
        examples: int = 0,
        lock: Any = looks_lock,
        donate: tuple[int, ...] = (),
        options: dict[str, Any] | None = None,
    ) -> Callable[P, R]:
        """A function compiled for arguments of these types, which `examples` tells apart."""
        key = function, examples
        if key not in self._compiled:
            with lock:
                if key not in self._compiled:  # no other thread has compiled it
                    before = memory.resident()
                    lowered = self.lowered(function, *types, donate=donate)
                    self._lowered.pop(function, None)  # frees its memory
                    with numerics(self.shape):
                        compiled = lowered.compile(for_this_host(options or {}))
                    self.memory = max(self.memory, bytes_of(compiled))
                    self._compiled[key] = compiled
                    memory.give_back()
                    self.kept += max(0, memory.resident() - before)
        return self._compiled[key]
