"""Dashes, which tell curves of one colour apart."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

GREY = [[9, 3], [2, 3], [9, 3, 2, 3], [5, 5]]
DASHED, SOLID = [7, 4], [1, 0]


def each_its_own(series: Sequence[str]) -> dict[str, Any]:
    """Return the encoding that gives each series its own dashes."""
    own = {name: GREY[i % len(GREY)] for i, name in enumerate(series)}
    return _encoding(own, GREY[0])


def solid_but(dashed: Sequence[str]) -> dict[str, Any]:
    """Return the encoding that dashes some series, and draws the others solid."""
    return _encoding(dict.fromkeys(dashed, DASHED), SOLID)


def _encoding(dashes: Mapping[str, list[int]], otherwise: list[int]) -> dict[str, Any]:
    tests = [(f"datum.series == {json.dumps(name)}", value) for name, value in dashes.items()]
    return {
        "condition": [{"test": test, "value": value} for test, value in tests],
        "value": otherwise,
    }
