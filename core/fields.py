"""Fields: what a value may be, and how it stands in a URL.

A field's limits stand in one place; widgets, URLs and error messages read them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.registry import Registry


@dataclass(frozen=True)
class Choice:
    """A key of a registry."""

    registry: Registry[Any]

    def parse(self, text: str) -> str:
        """The key itself; `fault` judges it."""
        return text

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if isinstance(value, str) and value in self.registry:
            return None
        return f"allowed are {', '.join(self.registry)}"


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`; an integer where `whole`."""

    low: float
    high: float
    whole: bool = False

    def parse(self, text: str) -> float | int:
        """The number in `text`, moved into the range. Raises ValueError if there is none."""
        number = float(text)
        if math.isnan(number):
            raise ValueError("not a number")
        number = min(max(number, self.low), self.high)
        return int(number) if self.whole else number

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.whole:
            number = number and isinstance(value, int)
        if number and self.low <= value <= self.high:  # False for NaN
            return None
        kind = "a whole number" if self.whole else "a number"
        return f"allowed is {kind} from {self.low} to {self.high}"


@dataclass(frozen=True)
class Choices:
    """One to `most` keys of a registry, each once."""

    registry: Registry[Any]
    most: int

    def parse(self, text: str) -> tuple[str, ...]:
        """Keys as in naive.clip; unknown ones are left for `fault` to find."""
        return tuple(dict.fromkeys(text.split(".")))

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if (
            isinstance(value, tuple)
            and 1 <= len(value) <= self.most
            and all(key in self.registry for key in value)
        ):
            return None
        return f"allowed are up to {self.most} of {', '.join(self.registry)}"


@dataclass(frozen=True)
class Widths:
    """One to `most` layer widths, each in `each`."""

    each: Range
    most: int

    def parse(self, text: str) -> tuple[int, ...]:
        """Widths as in 512-512, each moved into its range. Raises ValueError."""
        return tuple(int(self.each.parse(width)) for width in text.split("-")[: self.most])

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if (
            isinstance(value, tuple)
            and 1 <= len(value) <= self.most
            and not any(self.each.fault(width) for width in value)
        ):
            return None
        return (
            f"allowed are 1 to {self.most} widths from {self.each.low} to {self.each.high}, with "
            "hyphens between them, as in 300-100"
        )


Field = Choice | Choices | Range | Widths


def to_text(value: Any) -> str:
    """A field's value as its `parse` reads it."""
    if isinstance(value, tuple):
        return ("." if isinstance(value[0], str) else "-").join(map(str, value))
    return str(value).removesuffix(".0")


def number(value: float, digits: int = 6) -> str:
    """0.01 as 0.01, 1e-06 as 1e-6, -0 as 0, NaN and infinities by their names."""
    value = float(value) + 0.0
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _same_number(value: Any, text: str) -> bool:
    return isinstance(value, int | float) and value == float(text)


def _quoted(text: str) -> str:
    """A stranger's text, short and without markup, to be shown back to him."""
    kept = "".join(c if c.isalnum() or c in " .,+-_" else "?" for c in text)
    return f"“{kept[:40]}”"


def parse_query(
    fields: Mapping[str, Field], query: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """The values that a URL gives to fields, and a note for each part that could not be used.

    Unknown names are ignored with a note, numbers out of range are moved to its end, and
    nonsense is left out.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    for name, text in query.items():
        allowed = fields.get(name)
        if allowed is None:
            notes.append(f"{_quoted(name)} is no setting and was ignored")
            continue
        try:
            value: Any = allowed.parse(text)
        except ValueError:
            value = None
        if fault := allowed.fault(value):
            notes.append(f"{name} cannot be {_quoted(text)}; {fault}")
            continue
        values[name] = value
        if to_text(value) != text and not _same_number(value, text):
            notes.append(f"{name} is now {to_text(value)} instead of {_quoted(text)}")
    return values, notes
