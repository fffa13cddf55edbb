"""The source code of a loss, with a mark above the line that loses the gradient."""

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
    """The source of a function, and below it that of each function it calls in this package."""
    return "\n\n".join(map(_text, _called(function, set())))


def marked(row: Loss, form: Form) -> str:
    """The source of a row's loss, with MARK above the line that contains the row's `kills`."""
    lines = []
    for line in source(getattr(row, form)).splitlines():
        if row.kills is not None and row.kills in line:
            lines.append(line[: len(line) - len(line.lstrip())] + MARK)
        lines.append(line)
    return "\n".join(lines)


def _text(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function)).strip()


def _called(function: Any, seen: set[int]) -> Iterator[Callable[..., Any]]:
    """Yield a function, its custom derivative if it has one, and what these call, each once."""
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
    """The names used in a piece of source, in order, without those after a dot."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    return [node.id for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset))]
