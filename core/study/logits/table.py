"""Logits and labels from a table in text, one sample a line.

Commas, semicolons or tabs are between the columns. The labels are in the column that is named
`label` (or another of LABELS), else in the last one. A first line that is not all numbers names
the columns.
"""

import csv
import io
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from core.study.compare.recording import Array, Unusable
from core.study.logits.named import LABELS

_COLUMNS = 200_000
_NUMBERS = 2**23
_LINES = 2**22


def from_csv(data: bytes) -> tuple[dict[str, Array], tuple[str, ...]]:
    """Return the arrays `logits` [n, columns - 1] and `labels` [n], and what was left out.

    Raises:
      Unusable: a line has too many or too few columns, or a cell is no number.
    """
    try:
        names, values, first = _cells(data)
    except UnicodeDecodeError:
        raise Unusable("The file is not text in UTF-8.") from None
    except csv.Error as error:
        raise Unusable(f"The file is no table in text: {error}.") from None
    table = np.frombuffer(values, np.float64).reshape(-1, len(names or first))
    if not len(table):
        raise Unusable("The table has no line with numbers.")
    kept, notes = [*range(table.shape[1])], []
    if names and _counts(names[0], table[:, 0]):
        kept = kept[1:]
        notes.append("The first column counts the lines, so it is left out.")
    if len(kept) < 2:
        raise Unusable("The table has one column: it needs logits, and a label in the last column.")
    named = [i for i in kept if names and names[i].strip().casefold() in LABELS]
    if len(named) > 1:
        found = ", ".join(ascii(names[i])[:40] for i in named[:5])
        raise Unusable(f"Several columns may be the labels: {found}. Leave one.")
    label = named[0] if named else kept[-1]
    logits = [i for i in kept if i != label]
    return {"logits": table[:, logits], "labels": table[:, label]}, tuple(notes)


def _cells(data: bytes) -> "tuple[list[str], array[float], list[str]]":
    """Return the columns' names, if there are any, all cells line by line, and the first line."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    head = text.readline(2**20)
    delimiter = max(",;\t", key=head.count)
    text.seek(0)
    lines = _lines(csv.reader(text, delimiter=delimiter))
    number, first = next(lines, (0, []))
    if not first:
        raise Unusable("The file is empty.")
    if len(first) > _COLUMNS:
        raise Unusable(f"The table has {len(first):,} columns; {_COLUMNS:,} are allowed.")
    names = [] if all(map(_is_number, first)) else first
    values: array[float] = array("d")
    if not names:
        values.extend(_numbers(first, number, names))
    for number, line in lines:
        if len(line) != len(first):
            raise Unusable(f"Line {number} has {len(line)} columns, and the first {len(first)}.")
        if len(values) + len(line) > _NUMBERS:
            raise Unusable(f"The table has more than {_NUMBERS:,} numbers.")
        values.extend(_numbers(line, number, names))
    return names, values, first


def _lines(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Return each line that is not blank with its number."""
    for number, line in enumerate(reader, 1):
        if number > _LINES:
            raise Unusable(f"The table has more than {_LINES:,} lines.")
        if any(cell.strip() for cell in line):
            yield number, line


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(line: Sequence[str], number: int, names: Sequence[str]) -> list[float]:
    try:
        return [float(cell) for cell in line]
    except ValueError:
        place = next(i for i, cell in enumerate(line) if not _is_number(cell))
    column = f"column {ascii(names[place])[:40]}" if names else f"column {place + 1}"
    if not (cell := line[place]).strip():
        raise Unusable(f"Line {number}, {column} is empty. Write NaN if that is what it is.")
    hint = "Write decimals with a point." if "," in cell else "Write classes as 0, 1, 2 …"
    raise Unusable(f"Line {number}, {column} is {ascii(cell)[:40]}, and no number. {hint}")


def _counts(name: str, column: Array) -> bool:
    """Whether a column is the index that pandas writes before a table."""
    unnamed = name.strip().casefold() in ("", "unnamed: 0", "index")
    return unnamed and bool((column == np.arange(len(column))).all())
