"""Contracts that every table of choices must keep."""

import re

import pytest

from core.data import SOURCES
from core.parts.activations import ACTIVATIONS
from core.parts.choices import REDUCTIONS, SCALINGS, STREAMS, TASKS
from core.parts.clip_and_decay import CLIP_FORMS, DECAY_FORMS
from core.parts.dropout import DROPOUTS
from core.parts.dropout_names import DROPOUT_NAMES
from core.parts.initializers import INITIALIZERS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES
from core.parts.models import MODELS
from core.parts.normalisations import NORM_TESTS, NORM_VARIANCES, NORMALISATIONS
from core.parts.optimizers import OPTIMIZERS
from core.parts.order import DATA_ORDERS, SHUFFLES
from core.parts.precisions import PRECISIONS
from core.parts.reports import REPORTS
from core.presets import PRESETS
from core.registry import Registry, Row
from core.study.lasagne import CLAIMS
from ui.pages import PAGES

TABLES = [
    ACTIVATIONS, CLAIMS, CLIP_FORMS, DATA_ORDERS, DECAY_FORMS, DROPOUT_NAMES, DROPOUTS,
    INITIALIZERS, LOSS_INPUTS, LOSSES, MODELS, NORM_TESTS, NORM_VARIANCES, NORMALISATIONS,
    OPTIMIZERS, PRECISIONS, PRESETS, REDUCTIONS, REPORTS, SCALINGS, SHUFFLES, SOURCES, STREAMS,
    TASKS,
]  # fmt: skip


def row(key: str) -> Row:
    return Row(
        key=key,
        label=key,
        summary="",
    )


def test_order_and_lookup() -> None:
    first, second = row("b"), row("a")
    registry = Registry("letters", [first, second])
    assert list(registry) == ["b", "a"]
    assert list(registry.values()) == [first, second]
    assert (registry["a"], len(registry), "c" in registry) == (second, 2, False)


def test_two_rows_cannot_share_a_key() -> None:
    with pytest.raises(ValueError, match="letters: two rows share a key"):
        Registry("letters", [row("a"), row("a")])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_can_be_shown_and_linked_to(table: Registry) -> None:
    assert len({each.label for each in table.values()}) == len(table)
    for key, each in table.items():
        assert key == each.key
        assert re.fullmatch(r"[a-z0-9_.]+", key), "a key is used in URLs unescaped"
        assert each.label.strip()
        assert each.summary[-1:] in (".", "?") or table is CLAIMS


def test_no_two_pages_have_one_icon() -> None:
    icons = [page.icon for page in PAGES.values()]
    assert len({*icons}) == len(icons)
