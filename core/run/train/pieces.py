"""The functions of a shape, one compiled copy of each, and the locks behind which they are made."""

import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from core.parts.choices import TASKS
from core.run import memory
from core.run.price import bytes_of
from core.run.train.looking import Looking
from core.run.train.options import OFTEN, for_this_host
from core.run.train.step import Step, numerics, start_types
from core.run.train.vocabulary import Shape, knob_types

P = ParamSpec("P")
R = TypeVar("R")

# A look does not wait until a loop over steps is compiled.
loops_lock, looks_lock = threading.RLock(), threading.RLock()


class Pieces:
    """The functions of a shape, each compiled when it is first asked for, once for all who ask."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.step = shape, Step(shape)
        self.looking = Looking(self.step)
        self.convolves = self.step.model.kind == "convolutions"
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

    def has(self, function: Callable[..., Any], examples: int = 0) -> bool:
        """Whether a function has been compiled, for so many examples if these tell it apart."""
        return (function, examples) in self._compiled

    def lowered(
        self, function: Callable[..., Any], *types: Any, donate: tuple[int, ...] = ()
    ) -> Any:
        """A function as XLA is given it; its price is known before it is compiled."""
        if (lowered := self._lowered.get(function)) is None:
            with numerics(self.shape):
                jitted = jax.jit(function, donate_argnums=donate)
                lowered = self._lowered[function] = jitted.lower(*types)
        return lowered

    def compiled(
        self,
        function: Callable[P, R],
        *types: Any,
        examples: int = 0,
        lock: Any = looks_lock,
        donate: tuple[int, ...] = (),
        options: dict[str, Any] = OFTEN,
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
                        compiled = lowered.compile(for_this_host(options, self.convolves))
                    self.memory = max(self.memory, bytes_of(compiled))
                    self._compiled[key] = compiled
                    memory.give_back()
                    self.kept += max(0, memory.resident() - before)
        return self._compiled[key]
