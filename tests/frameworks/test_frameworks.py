"""Every default and every line of code in the atlas, run in its framework."""

from typing import Any

import numpy as np
import pytest

from core.study.atlas.pieces import PIECES
from tests.frameworks import clipping, data, layers, losses, normalisation, optimizers, weights
from tests.frameworks.probe import Probe, versions

MODULES = (clipping, data, layers, losses, normalisation, optimizers, weights)
PROBES: dict[str, Probe] = {key: probe for each in MODULES for key, probe in each.PROBES.items()}

WRITTEN = [
    (piece.key, value, framework)
    for piece in PIECES.values()
    for value, row in piece.values.items()
    for framework in row.write
]
DEFAULTS = [(piece.key, framework) for piece in PIECES.values() for framework in piece.defaults]


@pytest.mark.slow
@pytest.mark.parametrize(("piece", "value", "framework"), WRITTEN)
def test_the_code_makes_it_so(piece: str, value: str, framework: str) -> None:
    with versions(framework):
        _check(piece, framework, PIECES[piece].values[value].write[framework], value)


@pytest.mark.slow
@pytest.mark.parametrize(("piece", "framework"), DEFAULTS)
def test_the_default_is_so(piece: str, framework: str) -> None:
    with versions(framework):
        value = PIECES[piece].defaults[framework].value
        _check(piece, framework, PROBES[piece].bare[framework], value)


def _check(piece: str, framework: str, code: str, value: str) -> None:
    """The code does what this value says, and what no other value of the piece says."""
    probe = PROBES[piece]
    seen = probe.observe(framework, code)
    assert probe.agrees(seen, value, framework), _told(seen, probe.expect(value, framework), code)
    for other, row in PIECES[piece].values.items():
        if other != value and row.write and not {value, other} <= {*probe.alike.get(framework, ())}:
            assert not probe.agrees(seen, other, framework), f"{other} looks the same:\n{code}"


def _told(seen: Any, expected: Any, code: str) -> str:
    pairs = [f"{np.ravel(a)[-4:]} is not {np.ravel(b)[-4:]}" for a, b in zip(seen, expected)]  # noqa: B905
    return "\n".join([code, *pairs[-2:]])
