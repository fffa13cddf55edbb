"""A loss that somebody has typed, as an expression tree.

A formula is of the logits z, the labels y, their probabilities p, and a small number eps, with
numbers, + - * / **, comparisons inside `where`, and the FUNCTIONS below; nothing else has a
meaning. A text is read from left to right by a parser of our own, which knows no other names:
nothing in it is ever compiled, imported or called by name. `parse(str(tree)) == tree`.

With two classes z, y and p = sigmoid(z) are numbers of an example. With more they are numbers of
each class, y is 1 for the example's own class and else 0, and p = softmax(z); a formula must then
bring its classes together, with sum, logsumexp, or max or min of one argument.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

LONGEST, NODES, DEPTH = 300, 100, 40  # characters; numbers, names and operations; nested parts
NAMES = ("z", "y", "p", "eps")
ALIASES = {"epsilon": "eps"}


class Function(NamedTuple):
    """How many arguments a function takes, and what it does with classes."""

    least: int
    most: int
    classes: Literal["", "together", "each"] = ""  # needs them, and gives one number or as many


FUNCTIONS = {
    **{name: Function(1, 1) for name in ("log", "exp", "log1p", "expm1", "abs", "sqrt", "tanh")},
    **{name: Function(1, 1) for name in ("sigmoid", "softplus")},
    "softmax": Function(1, 1, "each"),
    "log_softmax": Function(1, 1, "each"),
    "logsumexp": Function(1, 1, "together"),
    "sum": Function(1, 1, "together"),
    "max": Function(1, 2),
    "min": Function(1, 2),
    "clip": Function(3, 3),
    "where": Function(3, 3),
}
COMPARISONS = ("<=", ">=", "==", "<", ">")
# How tightly an operation binds, and the least that its left and its right part must.
BINDING = {
    **dict.fromkeys(COMPARISONS, (0, 1, 1)),
    "+": (1, 1, 2), "-": (1, 1, 2), "*": (2, 2, 3), "/": (2, 2, 3), "**": (4, 5, 3),
}  # fmt: skip
NEGATED = "neg"  # the operation of a minus before one part, which binds as 3


@dataclass(frozen=True)
class Number:
    """A number, at least 0."""

    value: float

    def __str__(self) -> str:
        if self.value == int(self.value) and self.value < 1e6:
            return str(int(self.value))
        return repr(self.value).replace("e-0", "e-").replace("e+", "e")


@dataclass(frozen=True)
class Name:
    """One of NAMES."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Call:
    """A function or an operation of parts."""

    of: str  # of FUNCTIONS or BINDING, or NEGATED
    parts: tuple["Tree", ...]

    def __str__(self) -> str:
        return written(self, lambda call, parts: f"{call.of}({', '.join(parts)})", _as_it_is)


Tree = Number | Name | Call


def _as_it_is(leaf: Number | Name, alone: bool) -> str:
    return str(leaf)


def written(
    tree: Tree,
    call: Callable[[Call, list[str]], str],
    leaf: Callable[[Number | Name, bool], str],
    alone: bool = False,
) -> str:
    """A tree as text, with `call` for its functions, and `leaf` for its numbers and names.

    A leaf is `alone` if it is what a function is given, or stands among numbers only.
    """
    if not isinstance(tree, Call):
        return leaf(tree, alone)
    operation = tree.of == NEGATED or tree.of in BINDING
    alone = not operation or (alone and is_constant(tree))
    parts = [written(part, call, leaf, alone or is_constant(tree)) for part in tree.parts]
    if not operation:
        return call(tree, parts)
    if tree.of == NEGATED:
        return "-" + _bound(tree.parts[0], parts[0], 3)
    _, left, right = BINDING[tree.of]
    sign = tree.of if tree.of in ("*", "/", "**") else f" {tree.of} "
    return _bound(tree.parts[0], parts[0], left) + sign + _bound(tree.parts[1], parts[1], right)


def is_constant(tree: Tree) -> bool:
    """Whether a tree is the same for all logits and labels."""
    return not any(node in (Name("z"), Name("y"), Name("p")) for node in nodes(tree))


def _bound(part: Tree, text: str, least: int) -> str:
    own = 5
    if isinstance(part, Call):
        own = 3 if part.of == NEGATED else BINDING.get(part.of, (5, 0, 0))[0]
    return text if own >= least else f"({text})"


def over_classes(tree: Tree) -> bool:
    """Whether a tree is a function of classes, rather than of their numbers."""
    return isinstance(tree, Call) and bool(
        FUNCTIONS.get(tree.of, Function(1, 1)).classes
        or (tree.of in ("max", "min") and len(tree.parts) == 1)
    )


def nodes(tree: Tree) -> Iterator[Tree]:
    """The tree and all its parts."""
    yield tree
    for part in tree.parts if isinstance(tree, Call) else ():
        yield from nodes(part)


class FormulaError(ValueError):
    """A text that is no formula; `at` is the place of the character that it fails at, from 0.

    The message has no sign that could be markup.
    """

    def __init__(self, text: str, at: int, what: str) -> None:
        super().__init__(f"at character {at + 1}, {what}" if text else what)
        self.text, self.at = text, at

    @property
    def pointed(self) -> str:
        """The text's surroundings, and under them a mark at the place."""
        start = max(0, self.at - 12)
        shown = self.text[start : start + 26]
        shown = "".join(c if c.isprintable() else "?" for c in shown)
        return f"{shown}\n{' ' * (self.at - start)}^"


@lru_cache(maxsize=512)
def parse(text: str) -> Tree:
    """Read a formula.

    Raises FormulaError.
    """
    if len(text) > LONGEST:
        raise FormulaError(text, LONGEST, f"it is too long: {LONGEST} characters are the most")
    tree = _Reader(text).formula()
    _check(text, tree)
    if len(str(tree)) > LONGEST:
        raise FormulaError(
            text, len(text), f"it is too long: {LONGEST} characters, with spaces, are the most"
        )
    return tree


class _Token(NamedTuple):
    kind: Literal["number", "name", "sign", "end"]
    text: str
    at: int


_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>\*\*|<=|>=|==|[-+*/(),<>])|(?P<end>$))",
    re.ASCII,
)
_INSTEAD = {
    "^": "a power is written with two asterisks",
    "=": "to compare, write two equals signs, inside where",
    "[": "parentheses are round", "]": "parentheses are round", "{": "parentheses are round",
    "}": "parentheses are round", ".": "a dot belongs between digits; nothing has named parts",
}  # fmt: skip


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            sign = text[at]
            called = unicodedata.name(sign, "a sign without a name").lower()
            raise FormulaError(text, at, _INSTEAD.get(sign, f"“{called}” cannot be in a formula"))
        kind = match.lastgroup
        assert kind in ("number", "name", "sign", "end")
        yield _Token(kind, match[kind], match.start(kind))  # type: ignore[arg-type]
        if kind == "end":
            return
        at = match.end()


class _Reader:
    """Reads the tokens of a text one by one, each once."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens = text, _tokens(text)
        self._count = self._depth = 0
        self._next = next(self._tokens)

    def formula(self) -> Tree:
        if self._ended():
            raise FormulaError("", 0, "there is no formula yet")
        tree = self._sum()
        if not self._ended():
            raise self._wrong("here it should end or go on with + - / or an asterisk")
        return tree

    def _ended(self) -> bool:
        return self._next.kind == "end"

    def _wrong(self, what: str, token: _Token | None = None) -> FormulaError:
        token = token or self._next
        if what.startswith("here") and token.text in COMPARISONS:
            what = "a comparison can only be the first part of where"
        elif what.startswith("here") and token.kind == "end":
            what = "it ends too early"
        return FormulaError(self._text, token.at, what)

    def _take(self, *signs: str) -> _Token | None:
        """The next token, if it is one of these signs."""
        if self._next.kind != "sign" or self._next.text not in signs:
            return None
        return self._advance()

    def _advance(self) -> _Token:
        token, self._next = self._next, next(self._tokens, self._next)
        return token

    def _node(self, node: Tree) -> Tree:
        self._count += 1
        if self._count > NODES:
            raise self._wrong(
                f"it is too large: {NODES} numbers, names and operations are the most"
            )
        return node

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise self._wrong(f"it is nested too deeply: {DEPTH} levels are the most")

    def _sum(self) -> Tree:
        self._deeper()
        tree = self._product()
        while sign := self._take("+", "-"):
            tree = self._node(Call(sign.text, (tree, self._product())))
        self._depth -= 1
        return tree

    def _product(self) -> Tree:
        tree = self._signed()
        while sign := self._take("*", "/"):
            tree = self._node(Call(sign.text, (tree, self._signed())))
        return tree

    def _signed(self) -> Tree:
        """A power, or one with signs before it, as Python reads them: -z**2 is -(z**2)."""
        self._deeper()
        if self._take("-"):
            tree = self._node(Call(NEGATED, (self._signed(),)))
        elif self._take("+"):
            tree = self._signed()
        else:
            tree = self._atom()
            if self._take("**"):
                tree = self._node(Call("**", (tree, self._signed())))
        self._depth -= 1
        return tree

    def _atom(self) -> Tree:
        if self._take("("):
            tree = self._sum()
            if not self._take(")"):
                raise self._wrong("here a closing parenthesis is missing")
            return tree
        token = self._advance()
        if token.kind == "number":
            if (value := float(token.text)) == float("inf"):
                raise self._wrong("this number is too large", token)
            return self._node(Number(value))
        if token.kind != "name":
            raise self._wrong("here a number, z, y, p, eps or a function should stand", token)
        name = ALIASES.get(token.text, token.text)
        called = self._next.kind == "sign" and self._next.text == "("
        if name in FUNCTIONS and called:
            return self._call(name, token)
        if name in NAMES and not called:
            return self._node(Name(name))
        raise self._wrong(_unknown(name), token)

    def _call(self, name: str, token: _Token) -> Tree:
        self._take("(")
        parts = [self._condition() if name == "where" else self._sum()]
        while self._take(","):
            parts.append(self._sum())
        if not self._take(")"):
            raise self._wrong("here a comma or a closing parenthesis is missing")
        least, most, _ = FUNCTIONS[name]
        if not least <= len(parts) <= most:
            many = str(least) if least == most else f"{least} or {most}"
            raise self._wrong(
                f"{name} takes {many} argument{'s' if most > 1 else ''}, not {len(parts)}", token
            )
        return self._node(Call(name, tuple(parts)))

    def _condition(self) -> Tree:
        left = self._sum()
        if sign := self._take(*COMPARISONS):
            return self._node(Call(sign.text, (left, self._sum())))
        raise self._wrong(
            "where begins with a comparison, of z and 0 for example, and has three parts"
        )


def _unknown(name: str) -> str:
    if name in NAMES:
        return f"{name} is a number, not a function"
    if name in FUNCTIONS:
        return f"{name} is a function: write its argument in parentheses"
    known = (*NAMES, *FUNCTIONS)
    shown = name if len(name) <= 20 else name[:20] + "…"
    near = difflib.get_close_matches(name[:20], known, 1)
    words = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return f"“{shown}” is not known; {words}"


def _check(text: str, tree: Tree) -> None:
    """Raise FormulaError if a tree has no use as a loss, or mixes up its classes."""
    if not any(node in (Name("z"), Name("p")) for node in nodes(tree)):
        raise FormulaError(text, 0, "a loss depends on z or p, and here is neither")
    if any(map(over_classes, nodes(tree))) and _per_class(text, tree):
        raise FormulaError(
            text, 0, "this gives a number for each class: bring them together with sum(…)"
        )


def _per_class(text: str, tree: Tree) -> bool:
    """Whether a formula of several classes is a number for each; FormulaError if it cannot be."""
    if not isinstance(tree, Call):
        return tree in (Name("z"), Name("y"), Name("p"))
    several = [_per_class(text, part) for part in tree.parts]
    if not over_classes(tree):
        return any(several)
    if not several[0]:
        at = max(text.find(tree.of), 0)
        raise FormulaError(
            text,
            at,
            f"{tree.of} is over the classes, and this is one number: {_plain(tree.parts[0])}",
        )
    return FUNCTIONS[tree.of].classes == "each"


def _plain(tree: Tree) -> str:
    """A tree as text without signs of markup."""
    text = str(tree).replace("**", "^").replace("*", "·").replace("<", "‹").replace(">", "›")
    return text if len(text) <= 60 else text[:59] + "…"


def misfit(tree: Tree, form: str) -> str:
    """Why a formula is not one for a task of this form, or ""; see the module's docstring."""
    of_classes = next((node for node in nodes(tree) if over_classes(node)), None)
    if form == "regression":
        return "a formula can be the loss of answers, not of series"
    if form == "binary" and of_classes is not None:
        assert isinstance(of_classes, Call)
        only = (
            f"{of_classes.of} of one argument" if of_classes.of in ("max", "min") else of_classes.of
        )
        return f"{only} is over classes, and with this task z is one number"
    if form == "softmax" and of_classes is None:
        return "this gives a number for each class: bring them together with sum(…)"
    return ""
