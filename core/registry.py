"""The registry: one table per kind of choice, and the only place a choice is named.

Menus, URL values, documentation and contract tests derive from the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a visitor can pick: `key` is stable (URLs hold it), the rest is shown."""

    key: str
    label: str
    summary: str = ""  # one sentence that a student understands
    latex: str = ""  # the formula, where it says more than words
    reference: str = ""  # the source, with its version


R = TypeVar("R", bound=Row)


class Registry(Mapping[str, R], Generic[R]):
    """An ordered, immutable mapping from key to row."""

    def __init__(self, name: str, rows: Sequence[R]) -> None:
        self.name = name
        self._rows = {row.key: row for row in rows}
        if len(self._rows) != len(rows):
            raise ValueError(f"{name}: two rows share a key")

    def __getitem__(self, key: str) -> R:
        return self._rows[key]

    def spelled(self, text: str) -> str:
        """The key that a text means; here it is a key itself."""
        return text

    @property
    def allowed(self) -> str:
        """What a key can be, in words."""
        return ", ".join(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
