"""Fields: which values are allowed, and how a value is written in a URL.

A field's limits are given in one place, where widgets, URLs and error messages read them.
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
        """The key that `text` means; `fault` checks it."""
        return self.registry.spelled(text)

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if isinstance(value, str) and value in self.registry:
            return None
        return f"allowed are {self.registry.allowed}"


@dataclass(frozen=True)
class Range:
    """A number from `low` to `high`; an integer if `whole`."""

    low: float
    high: float
    whole: bool = False

    def parse(self, text: str) -> float | int:
        """Return the number in `text`, clamped to the range. Raises ValueError if it has none."""
        value = float(text)
        if math.isnan(value):
            raise ValueError("not a number")
        value = min(max(value, self.low), self.high)
        return int(value) if self.whole else value

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.whole:
            is_number = is_number and isinstance(value, int)
        if is_number and self.low <= value <= self.high:  # False for NaN
            return None
        kind = "a whole number" if self.whole else "a number"
        return f"allowed is {kind} from {self.low} to {self.high}"


@dataclass(frozen=True)
class Choices:
    """From `least` to `most` keys of a registry, each once."""

    registry: Registry[Any]
    most: int
    least: int = 1

    def parse(self, text: str) -> tuple[str, ...]:
        """Split text such as naive.clip into keys; `fault` finds unknown ones."""
        return tuple(dict.fromkeys(key for key in text.split(".") if key))

    def fault(self, value: Any) -> str | None:
        """What is wrong with `value`, or None."""
        if (
            isinstance(value, tuple)
            and self.least <= len(value) <= self.most
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
        """Split text such as 512-512 into widths, each clamped to its range. Raises ValueError."""
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
    """Write a field's value as text that its `parse` can read."""
    if value == ():
        return "."  # an address may lose a parameter without text
    if isinstance(value, tuple):
        return ("." if isinstance(value[0], str) else "-").join(map(str, value))
    return str(value).removesuffix(".0")


def number(value: float, digits: int = 6) -> str:
    """Write a number briefly: 0.01 as 0.01, 1e-06 as 1e-6, -0 as 0, NaN and infinities by name."""
    value = float(value) + 0.0
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return f"{value:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def written_as(value: Any, text: str) -> bool:
    """Whether `text`, which a field has parsed, says this very value."""
    same = isinstance(value, int | float) and value == float(text)
    return same or to_text(value) == text


def quoted(text: str) -> str:
    """Quote text from a URL: shortened, and without characters that could be markup."""
    kept = "".join(c if c.isalnum() or c in " .,+-_" else "?" for c in text)
    return f"“{kept[:40]}”"


def parse_query(
    fields: Mapping[str, Field], query: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields' values in a URL, and a note for each part that could not be used.

    Unknown names are ignored, numbers out of range are moved to the nearest limit, and nonsense is
    left out.
    """
    values: dict[str, Any] = {}
    notes: list[str] = []
    for name, text in query.items():
        allowed = fields.get(name)
        if allowed is None:
            notes.append(f"{quoted(name)} is not a setting and was ignored")
            continue
        try:
            value: Any = allowed.parse(text)
        except ValueError:
            value = None
        if fault := allowed.fault(value):
            notes.append(f"{name} cannot be {quoted(text)}; {fault}")
            continue
        values[name] = value
        if not isinstance(allowed, Choice) and not written_as(value, text):
            notes.append(f"{name} is now {to_text(value)} instead of {quoted(text)}")
    return values, notes
