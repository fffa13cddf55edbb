"""Functions of ours as they stand in our files, with all that they need of them."""

import inspect
import types
from collections.abc import Callable
from typing import Any

from core.parts.losses.source import called, names_in, text_of

PACKAGE = "core.parts"


def own_text(*functions: Callable[..., Any]) -> str:
    """The source of functions, of those of ours that they call, and of the numbers they name."""
    all_called = {id(each): each for one in functions for each in called(one, PACKAGE)}.values()
    texts = [text_of(each) for each in all_called]
    constants = {
        name: value
        for each, text in zip(all_called, texts, strict=True)
        for name in names_in(text)
        if type(value := each.__globals__.get(name)) in (int, float)
    }
    lines = "\n".join(f"{name} = {value!r}" for name, value in constants.items())
    return "\n\n\n".join(filter(None, [lines, *texts]))


def made_by(function: Callable[..., Any]) -> tuple[Callable[..., Any], str]:
    """The function of a module in which a function was made, and the call that makes it.

    A function of a module itself is its own, with an empty call.
    """
    name, _, inner = function.__qualname__.partition(".<locals>.")
    if not inner:
        return function, ""
    maker = inspect.getmodule(function).__dict__[name]  # type: ignore[union-attr]
    known = _kept(function)
    given = [
        f"{each.name}={known[each.name]!r}"
        for each in inspect.signature(maker).parameters.values()
        if each.name in known and known[each.name] != each.default
    ]
    return maker, f"{name}({', '.join(given)})"


def _kept(function: Any) -> dict[str, Any]:
    """The numbers and truth values that a function, or one that it keeps, has kept."""
    kept: dict[str, Any] = {}
    for name, value in inspect.getclosurevars(function).nonlocals.items():
        if isinstance(value, types.FunctionType):
            kept |= _kept(value)
        elif value is None or type(value) in (bool, int, float):
            kept[name] = value
    return kept
