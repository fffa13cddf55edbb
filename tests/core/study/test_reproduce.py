"""The command and its verdicts; the quick cases are run, the long ones by the command itself."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from core.data import mnist_tfds
from core.parts.losses import LOSSES
from core.study.reproduce import command, question
from core.study.reproduce.cases import CASES
from core.study.reproduce.finding import Case, Finding, is_nan, near

NAN, INF = math.nan, math.inf


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """CASES, to be filled by the test."""
    table: dict[str, Any] = {}
    monkeypatch.setattr(command, "CASES", table)
    return table


def case(key: str, *findings: Finding) -> Case:
    return Case(key=key, label="", latex="", summary="", reference="", run=lambda: findings)


@pytest.mark.parametrize(
    ("finding", "ok"),
    [
        (near("q", 0.909, 0.911, 0.0021), True),
        (near("q", 0.909, 0.912, 0.002), False),
        (near("q", 0.909, NAN, 0.002), False),
        (is_nan("q", NAN), True),
        (is_nan("q", 0.5), False),
        (Finding("q", None, 0.5, 0.4, INF), True),
        (Finding("q", None, 0.3, 0.4, INF), False),
    ],
)
def test_verdict(finding: Finding, ok: bool) -> None:
    assert finding.ok is ok


def test_json_is_all_that_is_printed_and_is_valid(
    cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cases["a"] = case("a", is_nan("loss", NAN), Finding("accuracy", None, 0.5, -INF, INF))
    assert command.main(["--json"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == [
        {"case": "a", "quantity": "loss", "published": "NaN", "measured": "NaN",
         "low": "NaN", "high": "NaN", "ok": True},
        {"case": "a", "quantity": "accuracy", "published": None, "measured": 0.5,
         "low": "-Infinity", "high": "Infinity", "ok": True},
    ]  # fmt: skip


def test_a_row_that_fails_fails_the_command(
    cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cases["good"], cases["bad"] = case("good", near("x", 1, 1, 0)), case("bad", near("y", 1, 2, 0))
    assert command.main([]) == 1
    good, bad = capsys.readouterr().out.splitlines()[1:]
    assert good.endswith("ok")
    assert bad.endswith("FAILED")
    assert command.main(["--case", "good"]) == 0


def test_unknown_case(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--case", "nonsense"])
    assert "question" in capsys.readouterr().err


def test_full_mnist_is_left_out_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setenv("SAMENET_MNIST_DIR", str(tmp_path))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path))
    assert command.main(["--json", "--case", "full_mnist"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    assert "full_mnist is left out: Full MNIST is not prepared here" in printed.err
    assert mnist_tfds.FILES[0] in printed.err


@pytest.mark.parametrize("key", ["start", "gradient_norms", "collapse"])
def test_quick_cases_reproduce(key: str) -> None:
    failed = [finding for finding in CASES[key].run() if not finding.ok]
    assert failed == []


def test_question_case_without_its_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "_final", lambda config, seed=0: question.FROM_LOGITS[seed])
    assert [finding for finding in question.question() if not finding.ok] == []


def test_the_table_of_variants_is_whole() -> None:
    assert [variant.loss for variant in question.VARIANTS if variant.loss not in LOSSES] == []
    assert {len(variant.published) for variant in question.VARIANTS} == {10}
    facts = {variant.name: [s for s in range(10) if not variant.chaotic(s)]
             for variant in question.VARIANTS}  # fmt: skip
    assert facts['question\'s "stable"'] == [1, 3, 6, 7, 8]
    assert facts["torch BCELoss"] == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert facts["from logits"] == list(range(10))


def test_cases_say_what_they_are() -> None:
    for key, row in CASES.items():
        assert row.key == key
        assert row.label and row.summary.endswith(".") and row.reference
        assert isinstance(row.run, type(question.question))


def test_rows_come_as_they_are_found(cases: dict[str, Any]) -> None:
    seen = []

    def run() -> Iterator[Finding]:
        for i in range(2):
            seen.append(i)
            yield near("x", 1, 1, 0)

    cases["slow"] = Case(key="slow", label="", latex="", summary="", reference="", run=run)
    next(command.reproduce(["slow"]))
    assert seen == [0]
