"""The compiled programs, one for all runs of a shape, and the cache that keeps the newest."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from functools import cached_property, partial
from typing import Any
from weakref import WeakValueDictionary

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from core.parts.models import Params
from core.parts.optimizers import OPTIMIZERS
from core.parts.order import DATA_ORDERS
from core.run.price import operations
from core.run.snapshot import PROBE
from core.run.train.forms import in_fastest
from core.run.train.options import ONCE, SELDOM
from core.run.train.pieces import Pieces, loops_lock
from core.run.train.vocabulary import Knobs, Shape, State, Weights

# Kept for the next who asks, the newest in any case, because the two of a comparison take turns.
# One takes 1,000 memory maps, of which Linux gives a process 65,530.
PROGRAMS, PROGRAM_BYTES, NEWEST = 12, 400e6, 2


class Program:
    """The compiled functions of a shape; `Step` says what images and labels are.

    Each is compiled when it is first asked for. Those that look are shared by all optimizers.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape, self._own = shape, Pieces(shape)
        any_optimizer = shape._replace(
            optimizer=next(iter(OPTIMIZERS)), decay_form="off", clip_form="off"
        )
        self._shared = _shared.get(any_optimizer) or Pieces(any_optimizer)
        _shared[any_optimizer] = self._shared
        self._advance = in_fastest(self._own.step.advance)
        self._looked = False  # whether all that a first look needs is compiled
        self._few = min(PROBE, shape.test_size)  # held-out images looked at during an epoch
        self._in_order = jnp.arange(shape.train_size, dtype=jnp.int32)

    def compile_first_look(self, reports: bool = False) -> Iterator[float]:
        """Compile what the first look needs, and yield the share done before each piece.

        Args:
          reports: whether the run reports anything but the truth.

        Nothing is yielded if all of it is compiled already.
        """
        pieces: list[Callable[[], Any]] = [
            lambda: self.see,
            lambda: self.draw,
            lambda: (self.slots, self.follow),
            lambda: (self.order, self.held_out(self._few)),
        ]
        left = [] if self._looked else pieces
        if reports and not self._reports(self._few):
            left.append(lambda: self.reports(self._few))
        for i, piece in enumerate(left, start=1):
            yield i / (len(left) + 1)
            piece()
        self._looked = True

    def init(self, knobs: Knobs) -> State:
        """The state before the first step."""
        state = self.draw(knobs)
        return state._replace(slots=self.slots(state.params))

    @property
    def draw(self) -> Callable[[Knobs], State]:
        """`Step.draw`, compiled."""
        return self._shared.compiled(self._shared.step.draw, self._shared.knobs, options=ONCE)

    @property
    def slots(self) -> Callable[[Params], Any]:
        """(params) -> the optimizer's slots before the first step."""
        own = self._own
        return own.compiled(own.step.optimizer.init, own.state.params, options=ONCE)

    @property
    def order(self) -> Callable[[Array, Knobs, Any], Array]:
        """`Step.order`, compiled; a full batch keeps the data's own order."""
        if self.shape.full_batch:
            return lambda arranged, knobs, epoch: self._in_order
        shared = self._shared
        arranged = jax.ShapeDtypeStruct((len(DATA_ORDERS), self.shape.train_size), np.int32)
        types = arranged, shared.knobs, shared.whole
        return shared.compiled(shared.step.order, *types, options=ONCE)

    @property
    def see(self) -> Callable[..., tuple[dict[str, Any], Params, Any]]:
        """`Looking.see`, compiled for a state without slots."""
        return self._shared.compiled(self._shared.looking.see, *self._look_types(), options=SELDOM)

    @property
    def follow(self) -> Callable[[State, Params, Any, Knobs], tuple[dict[str, Any], State]]:
        """`Looking.follow`, compiled."""
        own = self._own
        types = own.state, own.state.params, own.state.running, own.knobs
        return own.compiled(own.looking.follow, *types, options=SELDOM)

    def diagnose(
        self, state: State, images: Array, labels: Array, order: Array, knobs: Knobs
    ) -> tuple[dict[str, Any], State]:
        """`Looking.diagnose`, from two compiled functions."""
        seen = self.see(state._replace(slots=()), images, labels, order, knobs)
        values, gradients, moments = seen
        step, after = self.follow(state, gradients, moments, knobs)
        return values | step, after

    @property
    def advance(self) -> Callable[..., State]:
        """`Step.advance`, compiled; the arrays of its first argument are gone afterwards."""
        own = self._own
        return own.compiled(self._advance, *self._step_types(), lock=loops_lock, donate=(0,))

    def compile_rest(self, reports: bool = False) -> None:
        """Compile the steps between looks, and the looks at all held-out images."""
        _ = self.advance
        self.held_out(self.shape.test_size)
        if reports:
            self.reports(self.shape.test_size)

    def whole(self, reports: bool = False) -> bool:
        """Whether all that a run needs is compiled, including the steps between looks."""
        if reports and not self._reports(self.shape.test_size):
            return False
        return self._looked and self._own.has(self._advance)

    def held_out(self, examples: int) -> Callable[..., Any]:
        """`Looking.held_out`, compiled for this many images."""
        return self._evaluating(self._shared.looking.held_out, examples)

    def reports(self, examples: int) -> Callable[..., Any]:
        """`Looking.reports`, compiled for this many images."""
        return self._evaluating(self._shared.looking.reports, examples)

    def _reports(self, examples: int) -> bool:
        """Whether `reports` of this many images is compiled."""
        shared = self._shared
        return shared.has(shared.looking.reports, shared.step.model.test_batch or examples)

    def _evaluating(self, function: Callable[..., Any], examples: int) -> Callable[..., Any]:
        shared, together = self._shared, self._shared.step.model.test_batch
        n = together or examples
        types = shared.state.weights, *shared.images(n), shared.knobs
        compiled = shared.compiled(function, *types, examples=n, options=SELDOM)
        return in_batches(compiled, together) if together else compiled

    @cached_property
    def step_operations(self) -> float:
        """The floating-point operations of a step; nothing is compiled to know them."""
        own = self._own
        return operations(own.lowered(self._advance, *self._step_types(), donate=(0,)))

    @cached_property
    def look_operations(self) -> float:
        """The same for a look at training images, which includes a step."""
        return operations(self._shared.lowered(self._shared.looking.see, *self._look_types()))

    def memory(self) -> int:
        """The bytes that the largest of the compiled functions needs while it runs."""
        return max(self._shared.memory, self._own.memory)

    def kept(self) -> dict[Pieces, int]:
        """The bytes that the compiled functions occupy, some of them shared with other programs."""
        return {pieces: pieces.kept for pieces in (self._shared, self._own)}

    def _look_types(self) -> tuple[Any, ...]:
        return self._shared.state._replace(slots=()), *self._shared.batches

    def _step_types(self) -> tuple[Any, ...]:
        return self._own.state, *self._own.batches, self._own.whole


_programs: OrderedDict[Shape, Program] = OrderedDict()  # the newest last
_shared: WeakValueDictionary[Shape, Pieces] = WeakValueDictionary()  # by all optimizers
_making = threading.RLock()


def program(shape: Shape) -> Program:
    """The one program of a shape; asking for it compiles nothing."""
    with _making:
        if shape not in _programs:
            _programs[shape] = Program(shape)
        _programs.move_to_end(shape)
        while len(_programs) > NEWEST and (len(_programs) > PROGRAMS or _kept() > PROGRAM_BYTES):
            _programs.popitem(last=False)
        return _programs[shape]


def compiled(shape: Shape) -> bool:
    """Whether all that a run of this shape needs is compiled."""
    kept = _programs.get(shape)
    return kept is not None and kept.whole()


def let_go_of_program(in_use: Collection[Shape]) -> int | None:
    """Forget the program used longest ago that no shape in use needs; its bytes, or None."""
    with _making:
        shape = next((shape for shape in _programs if shape not in in_use), None)
        if shape is None:
            return None
        before = _kept()
        del _programs[shape]
        return before - _kept()


def programs_kept() -> tuple[int, int]:
    """How many programs are kept, and the bytes that they occupy."""
    with _making:
        return len(_programs), _kept()


def _kept() -> int:
    return sum({k: n for each in _programs.values() for k, n in each.kept().items()}.values())


def in_batches(held_out: Callable[..., Any], size: int) -> Callable[..., Any]:
    """The mean accuracy, or each of several means, over batches of `size` images.

    They are mixed as `Model.at_test` mixes them.
    """

    def of_all(weights: Weights, images: Array, labels: Array, knobs: Knobs) -> Any:
        each = [
            held_out(weights, *_batch(images, labels, np.int32(i), size), knobs)
            for i in range(len(images) // size)
        ]
        return np.mean(jax.device_get(each), axis=0)

    return of_all


@partial(jax.jit, static_argnames="size")
def _batch(images: Array, labels: Array, i: Array, size: int) -> tuple[Array, Array]:
    """The i-th of `len(images) // size` batches: images that far apart, and their labels."""
    return images.reshape(size, -1, images.shape[-1])[:, i], labels.reshape(size, -1)[:, i]
