"""What is made of a constant once, for all visitors."""

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Spec = dict[str, Any]


def once_for_each(maxsize: int) -> Callable[[Callable[Concatenate[Spec, P], R]], Callable[..., R]]:
    """Cache a function of a chart's spec, a constant without a hash: it is known by its identity.

    The `maxsize` results that were used last are kept, each with its spec.
    """

    def decorate(make: Callable[Concatenate[Spec, P], R]) -> Callable[..., R]:
        kept: OrderedDict[tuple[Any, ...], tuple[Spec, R]] = OrderedDict()
        lock = RLock()

        @wraps(make)
        def once(spec: Spec, /, *args: P.args, **kwargs: P.kwargs) -> R:
            key = (id(spec), *args, *kwargs.items())
            with lock:
                if key not in kept or kept[key][0] is not spec:
                    kept[key] = spec, make(spec, *args, **kwargs)
                    while len(kept) > maxsize:
                        kept.popitem(last=False)
                kept.move_to_end(key)
                return kept[key][1]

        return once

    return decorate
