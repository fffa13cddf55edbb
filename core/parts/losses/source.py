"""The source of a loss as it stands in this package; the line that loses the gradient marked."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from core.parts.losses.row import Form, Loss, LossFunction

MARK = "# ↓ here the gradient is lost"
_OURS = __name__.rpartition(".")[0]


@cache
def source(function: LossFunction) -> str:
    """A function, and below it those of this package that it calls."""
    return "\n\n".join(map(_text, _called(function, set())))


def marked(row: Loss, form: Form) -> str:
    """The source with a mark above the line that a row's `kills` is in, if it has one."""
    lines = []
    for line in source(getattr(row, form)).splitlines():
        if row.kills is not None and row.kills in line:
            lines.append(line[: len(line) - len(line.lstrip())] + MARK)
        lines.append(line)
    return "\n".join(lines)


def _text(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function)).strip()


def _called(function: Any, seen: set[int]) -> Iterator[Callable[..., Any]]:
    """A function, its own derivative if it has one, and what these call, each once."""
    plain = inspect.unwrap(function)
    if id(plain) in seen:
        return
    seen.add(id(plain))
    yield plain
    derivative = getattr(function, "jvp", None)  # of a jax.custom_jvp
    if derivative is not None:
        yield from _called(derivative, seen)
    for name in _names(_text(plain)):
        other = plain.__globals__.get(name)
        if callable(other) and getattr(other, "__module__", "").startswith(_OURS):
            yield from _called(other, seen)


def _names(text: str) -> list[str]:
    """The names that a source reads, in its order; not those behind a dot."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    return [node.id for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]
