"""What a host allows, and what becomes of a run that goes beyond it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import RunConfig, agree, from_query, refusal
from core.data import SOURCES
from core.limits import VARIABLES, Limits, limits
from tests.kit import ROOT
from tests.kit.runs import configs


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in VARIABLES.values():
        monkeypatch.delenv(row.name, raising=False)


def test_a_host_that_says_nothing_limits_little() -> None:
    allowed = limits()
    assert allowed == Limits(
        math.inf, 32, math.inf, math.inf, 10.0, 2000, math.inf, (*SOURCES,), 300.0
    )
    assert allowed.sentence() == ""
    assert refusal(RunConfig()) == ""


def test_every_limit_has_its_variable() -> None:
    assert tuple(VARIABLES) == Limits._fields


@pytest.mark.parametrize("row", VARIABLES.values(), ids=lambda row: row.name)
@pytest.mark.parametrize("junk", ["", "a", "0", "-1", "nan", "inf"])
def test_what_is_no_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, row: object, junk: str
) -> None:
    monkeypatch.setenv(row.name, junk)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=f"{row.name} is '{junk}'; allowed is"):  # type: ignore[attr-defined]
        limits()


def test_the_sample_is_always_on_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMENET_DATA", "ou")
    assert limits().data == ("sample", "ou")


def test_a_visitor_is_told_the_limits_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMENET_STEPS", "5000")
    monkeypatch.setenv("SAMENET_WIDTH", "1024")
    told = "This server trains up to 5,000 steps and layers of up to 1,024 units."
    assert limits().sentence() == told


def test_a_link_beyond_the_limits_is_moved_to_them_with_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAMENET_WIDTH", "300")
    monkeypatch.setenv("SAMENET_STEPS", "50")
    monkeypatch.setenv("SAMENET_DATA", "sample")
    query = {"source": "full", "widths": "512-100", "batch_size": "10", "epochs": "3"}
    config, notes = from_query(query)
    assert (config.source, config.widths) == ("sample", (300, 100))
    assert (config.batch_size, config.epochs, config.steps) == (20, 1, 50)
    assert notes == [
        "source is now “Sample (5,000 images)”: this server does not offer "
        "“Full MNIST (70,000 images)”",
        "widths is now 300-100: this server trains layers of up to 300 units",
        "batch_size is now 20: this server trains up to 50 steps",
        "epochs is now 1: this server trains up to 50 steps",
    ]


@given(configs, st.integers(1, 2000), st.integers(1, 300))
def test_what_is_agreed_on_is_never_refused(config: RunConfig, steps: int, width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMENET_STEPS", str(steps))
        patch.setenv("SAMENET_WIDTH", str(width))
        patch.setenv("SAMENET_DATA", "sample")
        agreed, notes = agree(vars(config))
        assert refusal(agreed) == ""
        assert bool(notes) == bool(refusal(config))


def test_widths_that_a_model_does_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMENET_WIDTH", "100")
    assert "1,000" in refusal(RunConfig())
    assert refusal(RunConfig(model="cnn")) == ""


def test_hosts_read_of_every_limit() -> None:
    page = (ROOT / "docs/hosting.md").read_text().splitlines()
    assert [row.row() for row in VARIABLES.values() if row.row() not in page] == []
