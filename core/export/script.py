"""A script as cells: from them come a Python file and a notebook."""

import json
import textwrap
from dataclasses import dataclass
from typing import Any, NamedTuple

WIDTH = 100  # characters in a line


class Cell(NamedTuple):
    """A part of a script: what it is about, and its lines."""

    about: str  # empty where the lines need no words
    code: str


@dataclass(frozen=True)
class Script:
    """A run as a program of one framework."""

    title: str  # one sentence
    needs: str  # packages and files
    cells: tuple[Cell, ...]
    cannot: tuple[str, ...]  # what the run does and the script does not, in sentences
    settings: str  # the run's own, as JSON
    whole: bool = True  # whether it trains at all

    @property
    def text(self) -> str:
        """The script as a Python file."""
        parts = ['"""' + self._words("- ", "  ") + '\n"""']
        for cell in self.cells:
            about = textwrap.fill(cell.about, WIDTH, initial_indent="# ", subsequent_indent="# ")
            parts.append("\n".join(filter(None, [about, cell.code.strip("\n")])))
        return "\n\n\n".join(parts) + "\n"

    def _words(self, bullet: str, under: str) -> str:
        """The lines at the top."""
        parts = [self.title, _filled(self.needs)]
        if self.cannot:
            parts.append("Its numbers are not those of the run, because:")
            faults = [
                textwrap.fill(each, WIDTH, initial_indent=bullet, subsequent_indent=under)
                for each in self.cannot
            ]
            parts.append("\n".join(faults))
        parts.append(
            _filled(f"The run's settings, where they are not Samenet's own: {self.settings}")
        )
        return "\n\n".join(parts)

    @property
    def notebook(self) -> str:
        """The script as a notebook: JSON of nbformat 4."""
        cells = [_markdown("about", self._words("- ", "  "))]
        for i, cell in enumerate(self.cells, 1):
            if cell.about:
                cells.append(_markdown(f"words-{i}", cell.about))
            cells.append(_code(f"code-{i}", cell.code.strip("\n")))
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        document = {
            "cells": cells,
            "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        return json.dumps(document, indent=1, ensure_ascii=False)


def _markdown(name: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(text)}


def _code(name: str, text: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": _lines(text),
    }


def _filled(words: str) -> str:
    return textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)


def _lines(text: str) -> list[str]:
    """Lines as a notebook has them: each with its end, but for the last."""
    return text.splitlines(keepends=True)
