"""The source code of a loss, with a mark above the line that loses the gradient."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType
from typing import Any

from core.parts.losses.row import Form, Loss, LossFunction

MARK = "# ↓ here the gradient is lost"
_OURS = __name__.rpartition(".")[0]


@cache
def source(function: LossFunction) -> str:
    """The source of a function, and below it that of each function it calls in this package."""
    return "\n\n".join(map(text_of, called(function)))


def called(function: Callable[..., Any], package: str = _OURS) -> Iterator[Callable[..., Any]]:
    """Yield a function and those of `package` that it calls, each once; see `source`."""
    return _called(function, set(), package)


def marked(row: Loss, form: Form) -> str:
    """The source of a row's loss, with MARK above the line that contains the row's `kills`."""
    lines = []
    for line in source(getattr(row, form)).splitlines():
        if row.kills is not None and row.kills in line:
            lines.append(line[: len(line) - len(line.lstrip())] + MARK)
        lines.append(line)
    return "\n".join(lines)


def text_of(function: Any) -> str:
    """The source of one plain function, such as `called` yields, as if it stood in no other."""
    return _text(function.__code__)


@cache  # by its code, because a function that another one makes is a new one each time
def _text(code: CodeType) -> str:
    return textwrap.dedent(inspect.getsource(code)).strip()


def _called(function: Any, seen: set[int], package: str) -> Iterator[Callable[..., Any]]:
    """Yield a function, its custom derivative if it has one, and what these call, each once."""
    plain = inspect.unwrap(function)
    if id(plain) in seen:
        return
    seen.add(id(plain))
    yield plain
    derivative = getattr(function, "jvp", None)  # of a jax.custom_jvp
    if derivative is not None:
        yield from _called(derivative, seen, package)
    for name in names_in(text_of(plain)):
        other = plain.__globals__.get(name)
        if _is_function(other) and getattr(other, "__module__", "").startswith(package):
            yield from _called(other, seen, package)


@cache
def names_in(text: str) -> tuple[str, ...]:
    """The names used in a piece of source, in order, without those after a dot."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    return tuple(node.id for node in sorted(nodes, key=lambda n: (n.lineno, n.col_offset)))


def _is_function(thing: Any) -> bool:
    return callable(thing) and not isinstance(thing, type)
