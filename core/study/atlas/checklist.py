"""Porting from one framework to another: what differs, what it does, and what to write."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from core.study.atlas.comparisons import compared
from core.study.atlas.effects import KINDS, Effect, Recorded, largest, verdict
from core.study.atlas.piece import CONTEXTS, FRAMEWORKS, TOPICS, Piece, Value

# What is severe comes first; within a line the largest gap.
SEVERITY = (("ruins",), ("ruins_sgd",), ("costs", "delays"), ("small",), ("chance",), (None,))

HOW = (
    "The largest measured effect comes first. Each entry makes one thing the same and leaves the "
    "rest; “all its defaults” makes all numbers of an optimizer or a layer the same at once."
)


class Item(NamedTuple):
    """A default that differs between the framework that a program comes from and the other one."""

    piece: Piece
    there: Value
    here: Value
    effects: list[Effect]  # in each context; none if it was not measured
    kind: str | None  # a key of KINDS
    gains: bool  # whether the port is the better one, where it makes the largest difference
    write_here: str  # the code that makes the port like the original; "" if there is none
    write_there: str  # the code that makes the original like the port


def checklist(
    pieces: Iterable[Piece], there: str, here: str, recorded: Recorded, topics: Iterable[str]
) -> list[Item]:
    """What differs by default between two frameworks, the largest measured effect first.

    Pieces are listed if their topic is in `topics` or is one that every program has. What was not
    measured comes last.
    """
    used = {*topics, *(key for key, row in TOPICS.items() if row.always)}
    differing = [
        piece
        for piece in pieces
        if piece.topic in used and {there, here} <= piece.defaults.keys()
        and piece.defaults[there].value != piece.defaults[here].value
    ]  # fmt: skip
    items = [_item(piece, there, here, recorded) for piece in differing]
    return sorted(items, key=_rank)


def _item(piece: Piece, there: str, here: str, recorded: Recorded) -> Item:
    keys = piece.defaults[there].value, piece.defaults[here].value
    effects = [e for c in compared(piece, *keys) if (e := recorded.effect(c)) is not None]
    usual = [effect for effect in effects if CONTEXTS[effect.comparison.context].usual]
    one, other = (piece.values[key] for key in keys)
    return Item(
        piece,
        one,
        other,
        effects,
        verdict(usual) if usual else None,
        bool(usual) and largest(usual).gap > 0,
        one.write.get(here, ""),
        other.write.get(there, ""),
    )


def _rank(item: Item) -> tuple[int, float]:
    severity = next(i for i, kinds in enumerate(SEVERITY) if item.kind in kinds)
    usual = [e for e in item.effects if CONTEXTS[e.comparison.context].usual]
    return severity, -max((abs(effect.gap) for effect in usual), default=0.0)


def markdown(items: Iterable[Item], there: str, here: str) -> str:
    """The checklist as a text in Markdown."""
    return "\n".join(_lines(items, there, here)) + "\n"


def _lines(items: Iterable[Item], there: str, here: str) -> Iterator[str]:
    a, b = FRAMEWORKS[there].label, FRAMEWORKS[here].label
    yield f"# From {a} to {b}: what the defaults change"
    yield ""
    yield f"Read in {versions(there)} and {versions(here)}. {HOW}"
    for item in items:
        yield ""
        yield f"- [ ] **{item.piece.label}**: {item.there.label} in {a}, {item.here.label} in {b}"
        yield f"  - {effect_words(item, a, b)}"
        for name, code in ((b, item.write_here), (a, item.write_there)):
            if code:
                yield f"  - or, in {name}:" if name == a else f"  - in {name}, write:"
                yield ""
                yield from (
                    f"    {line}".rstrip() for line in ["```python", *code.split("\n"), "```"]
                )


def versions(framework: str) -> str:
    """The versions that a framework's facts were read in, such as: flax 0.12.8, optax 0.2.8."""
    return ", ".join(f"{package} {v}" for package, v in FRAMEWORKS[framework].versions.items())


def effect_words(item: Item, there: str, here: str) -> str:
    """What was measured, in words; `there` and `here` are the frameworks' names."""
    if item.kind is None:
        return "Not measured: the atlas has no runs of it."
    gaps = "; ".join(gap_words(effect) for effect in item.effects)
    label = kind_words(item, there, here)
    return f"{label[0].upper()}{label[1:]}. {gaps}."


def kind_words(item: Item, there: str, here: str) -> str:
    """What a difference does, and in which of the two, such as: ruins plain SGD in Keras."""
    if item.kind is None:
        return "not measured"
    label = KINDS[item.kind].label
    if item.kind in ("small", "chance"):
        return label
    return f"{label} in {there if item.gains else here}"


def gap_words(effect: Effect) -> str:
    """A comparison in words, such as: Adam, 0.001: 94.9% → 94.0% (-0.9 ± 0.3)."""
    context = CONTEXTS[effect.comparison.context]
    ends = f"{effect.original.mean():.1%} → {effect.ported.mean():.1%}"
    if context.of:
        ends += f" {context.of}"
    return f"{context.label}: {ends} ({100 * effect.gap:+z.1f} ± {100 * effect.spread:.1f})"
