"""The command and its verdicts. Quick cases run here; long ones run only with the command."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from core.config import RunConfig
from core.data import load, mnist_tfds
from core.parts.losses import LOSSES
from core.study.band import Outcomes, collect, seed_strip
from core.study.reporting import Report, Score
from core.study.reproduce import command, jax_post, keep_or_drop, question
from core.study.reproduce.cases import CASES
from core.study.reproduce.finding import Case, Finding, Kind, is_nan, near
from core.study.twins import Swap
from tests.kit import more

NAN, INF = math.nan, math.inf
PUBLISHED, FACT, REGRESSION = Kind


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """CASES, empty for the test to fill."""
    table: dict[str, Any] = {}
    monkeypatch.setattr(command, "CASES", table)
    return table


def case(key: str, *findings: Finding) -> Case:
    return Case(key=key, label="", summary="", run=lambda: findings)


@pytest.mark.parametrize(
    ("finding", "ok"),
    [
        (near("q", PUBLISHED, 0.909, 0.911, 0.0021), True),
        (near("q", PUBLISHED, 0.909, 0.912, 0.002), False),
        (near("q", PUBLISHED, 0.909, NAN, 0.002), False),
        (is_nan("q", FACT, NAN), True),
        (is_nan("q", FACT, 0.5), False),
        (Finding("q", REGRESSION, None, 0.5, 0.4, INF), True),
        (Finding("q", REGRESSION, None, 0.3, 0.4, INF), False),
        (Finding("q", REGRESSION, None, NAN, -INF, INF), False),
    ],
)
def test_a_finding_is_judged_by_its_bounds(finding: Finding, ok: bool) -> None:
    assert finding.ok is ok


def test_json_is_all_that_is_printed_and_is_valid(
    cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cases["a"] = case(
        "a",
        is_nan("loss", FACT, NAN),
        near("end", PUBLISHED, 0.5, 0.5, 0.25),
        Finding("accuracy", REGRESSION, None, 0.5, -INF, INF),
    )
    assert command.main(["--json"]) == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == [
        {"case": "a", "quantity": "loss", "kind": "fact", "published": None, "expected": "NaN",
         "measured": "NaN", "low": "NaN", "high": "NaN", "ok": True},
        {"case": "a", "quantity": "end", "kind": "published", "published": 0.5, "expected": None,
         "measured": 0.5, "low": 0.25, "high": 0.75, "ok": True},
        {"case": "a", "quantity": "accuracy", "kind": "regression", "published": None,
         "expected": None, "measured": 0.5, "low": "-Infinity", "high": "Infinity", "ok": True},
    ]  # fmt: skip


def test_a_row_that_fails_fails_the_command(
    cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cases["good"] = case("good", near("x", FACT, 1, 1, 0))
    cases["bad"] = case("bad", near("y", PUBLISHED, 1, 2, 0))
    assert command.main([]) == 1
    good, bad = capsys.readouterr().out.splitlines()[1:]
    assert good.split()[:2] == ["good", "fact"] and good.endswith("ok")
    assert bad.split()[:2] == ["bad", "published"] and bad.endswith("FAILED")
    assert command.main(["--case", "good"]) == 0


def test_a_long_case_is_run_when_asked_for(
    cases: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    cases["short"] = case("short", near("x", FACT, 1, 1, 0))
    cases["long"] = replace(case("long", near("y", FACT, 1, 1, 0)), long=True)

    def run(*arguments: str) -> list[str]:
        assert command.main([*arguments]) == 0
        return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]

    assert run() == ["short"]
    assert run("--long") == ["short", "long"]
    assert run("--case", "long") == ["long"]


def test_unknown_case(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--case", "nonsense"])
    assert "question" in capsys.readouterr().err


@pytest.mark.parametrize(
    "key", ["full_mnist", "keep_or_drop", "keep_or_drop_30", "jax_post", "jax_post_10"]
)
def test_full_mnist_is_left_out_with_a_reason(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setenv("SAMENET_MNIST_DIR", str(tmp_path))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path))
    assert command.main(["--json", "--case", key]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == []
    assert f"{key} is left out: Full MNIST is not prepared here" in printed.err
    assert mnist_tfds.FILES[0] in printed.err


@pytest.mark.parametrize("key", ["start", more("gradient_norms"), "collapse"])
def test_quick_cases_reproduce(key: str) -> None:
    failed = [finding for finding in CASES[key].run() if not finding.ok]
    assert failed == []


def report(test: float, dropping: float = 0.9, whole: float = 0.95) -> Report:
    return Report(1, 1.0, 1, Score(dropping, 0.3), Score(whole, 0.1), test)


def test_keep_or_drop_judges_each_epoch_by_its_own_band(monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts pass as they are; with the two readings' accuracies swapped, every one fails."""
    facts = {
        reading: [report(bands.get(epoch, (0.0,))[0], dropping=0.4) for epoch in range(1, 31)]
        for reading, bands in keep_or_drop.TEST_ACCURACY.items()
    }
    monkeypatch.setattr(
        keep_or_drop, "_epochs", lambda reading, epochs, seed=0: facts[reading][:epochs]
    )
    rows = list(keep_or_drop.keep_or_drop())
    assert [row for row in rows if not row.ok] == []
    facts["rate"], facts["keep_prob"] = facts["keep_prob"], facts["rate"]
    found = [row.ok for row in keep_or_drop.keep_or_drop() if row.kind is FACT]
    assert found == [False] * 6


def test_keep_or_drop_needs_the_two_reports_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [report(0.9, dropping=0.95, whole=0.95)] * 30
    monkeypatch.setattr(keep_or_drop, "_epochs", lambda reading, epochs, seed=0: same)
    rows = [row for row in keep_or_drop.keep_or_drop() if row.kind is REGRESSION]
    assert len(rows) == 3 and not any(row.ok for row in rows)


# Runs of the post's own lines (JAX 0.10.2, key 1), and of its CNN with the axes corrected.
POST_RUNS = {
    "jax_mlp_full": [0.967, 0.976, 0.978, 0.978, 0.982, 0.982, 0.979, 0.976, 0.979, 0.980],
    "jax_cnn_28_channels_full": [
        0.967, 0.976, 0.978, 0.978, 0.979, 0.980, 0.981, 0.979, 0.981, 0.980,
    ],
    "jax_cnn_full": [0.976, 0.982, 0.983, 0.984, 0.986, 0.986, 0.986, 0.987, 0.986, 0.987],
}  # fmt: skip


def test_the_post_s_tables_pass_and_its_networks_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = dict(POST_RUNS)
    monkeypatch.setattr(jax_post, "_epochs", lambda preset, epochs: runs[preset][:epochs])

    def failed() -> int:
        rows = [*jax_post.jax_post(), *jax_post.jax_post_10()]
        assert len(rows) == 12 and all(row.low <= (row.stated or 0) <= row.high for row in rows)
        return sum(not row.ok for row in rows)

    assert failed() == 0
    wrong, right = "jax_cnn_28_channels_full", "jax_cnn_full"
    runs[wrong], runs[right] = runs[right], runs[wrong]
    assert failed() == 7
    runs.update({preset: [0.1135] * 10 for preset in runs})
    assert failed() == 12


@pytest.mark.slow
def test_the_question_case_publishes_its_four_accuracies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "_final", lambda config, seed=0: question.FROM_LOGITS[seed])
    rows = list(question.question())
    assert [finding for finding in rows if not finding.ok] == []
    assert [row.published for row in rows if row.kind is PUBLISHED] == [0.435, 0.909, 0.5, 0.792]


def test_the_table_of_variants_is_complete() -> None:
    assert [variant.loss for variant in question.VARIANTS if variant.loss not in LOSSES] == []
    assert {len(variant.stated) for variant in question.VARIANTS} == {10}
    facts = {variant.name: [s for s in range(10) if not variant.chaotic(s)]
             for variant in question.VARIANTS}  # fmt: skip
    assert facts['question\'s "stable"'] == [1, 3, 6, 7, 8]
    assert facts["torch BCELoss"] == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    assert facts["from logits"] == list(range(10))


CLIPPED = [(v, seed) for v in question.VARIANTS if v.clips for seed in range(10)]
CHAOTIC = [(v, seed) for v, seed in CLIPPED if v.chaotic(seed)]
COLLAPSING = [(v, seed) for v, seed in CLIPPED if not v.chaotic(seed)]
DRAWS = [v.stated[seed] for v, seed in CHAOTIC]  # all the accuracies in the facts
BEGUN_NORM = 38.16  # the gradient norm before the first step; stable loss, seed 0


def each(table: list[tuple[question.Variant, int]]) -> Any:
    ids = [f"{variant.loss}-{seed}" for variant, seed in table]
    return pytest.mark.parametrize(("variant", "seed"), table, ids=ids)


@pytest.fixture(scope="module")
def begun() -> np.ndarray:
    """The accuracies of seeds 0 to 9 before the first step."""
    one_step = replace(question.STABLE, epochs=1)
    return np.asarray(collect(seed_strip(one_step, load("sample", 1000))).accuracy[:, 0])


def untrained(begun: Any) -> Outcomes:
    """Networks that never move from these accuracies: float32 [runs] -> eleven steps each."""
    stay = np.repeat(np.asarray(begun, np.float32)[:, None], 11, axis=1)
    return Outcomes(stay, np.full_like(stay, 8.0), np.full_like(stay, BEGUN_NORM))


def ending(begun: Any, ends: Any) -> Outcomes:
    """Networks that begin with these accuracies and are at `ends` from the first step on."""
    runs = untrained(np.broadcast_to(begun, np.shape(ends)))
    runs.accuracy[:, 1:], runs.loss[:, 1:] = np.float32(ends)[:, None], 6.77
    runs.gradient_norm[:, 1:] = 0.0
    return runs


class Wrong(NamedTuple):
    """A network that did not learn: its final accuracy, or None if it never moved."""

    end: float | None

    def runs(self, begun: Any) -> Outcomes:
        return untrained(begun) if self.end is None else ending(begun, [self.end] * len(begun))


WRONG = pytest.mark.parametrize(
    "wrong", [Wrong(None), Wrong(0.490), Wrong(0.510)], ids=["untrained", "all one", "all zero"]
)


@pytest.mark.slow
@WRONG
@each(CHAOTIC)
def test_no_chaotic_seed_passes_a_wrong_network(
    variant: question.Variant, seed: int, wrong: Wrong, begun: np.ndarray
) -> None:
    rows = list(question._chaotic(variant, seed, wrong.runs([begun[seed]] * question.MANY)))
    assert len(rows) == 3
    assert [row for row in rows if row.ok or "chaotic" not in row.quantity] == []


@pytest.mark.slow
@each(CHAOTIC)
def test_the_facts_accuracies_pass_as_an_ensemble(
    variant: question.Variant, seed: int, begun: np.ndarray
) -> None:
    lost, *_ = variant.lost.get(seed, (0.0, 0.0, 0.0))
    ends = [*[0.510] * round(lost * len(DRAWS)), *DRAWS][: len(DRAWS)]
    rows = list(question._chaotic(variant, seed, ending(begun[seed], ends)))
    assert [row for row in rows if not row.ok] == []
    mean, spread, _ = question._chaotic(variant, seed, ending(begun[seed], [0.876] * len(DRAWS)))
    assert not mean.ok and not spread.ok  # training as from logits is no chaos either


@pytest.mark.slow
@each(COLLAPSING)
def test_a_collapse_is_a_fact_only_if_it_happens_every_time(
    variant: question.Variant, seed: int, begun: np.ndarray
) -> None:
    right = variant.stated[seed]
    assert question._collapsed(variant, seed, ending(begun[seed], [right] * question.FEW)).ok
    for ends in ([1 - right] * 4, [right] * 3 + [0.637], [0.909] * 4):
        assert not question._collapsed(variant, seed, ending(begun[seed], ends)).ok
    assert not question._collapsed(variant, seed, untrained([begun[seed]] * question.FEW)).ok


def test_learned_means_better_than_before_and_than_one_answer() -> None:
    begun, ends = [0.4, 0.4, 0.4, 0.6, 0.6, 0.4], [0.510, 0.491, 0.511, 0.6, 0.601, NAN]
    learned = question.learned(ending(np.array(begun), ends))
    assert learned.tolist() == [False, False, True, False, True, False]


@pytest.mark.slow
@WRONG
@pytest.mark.parametrize(
    ("key", "chaotic"),
    [("question", 1), ("swap", 2), ("gradient_norms", 3), ("band", 3), ("gap", 2)],
)
def test_no_other_chaotic_row_passes_a_wrong_network(
    key: str, chaotic: int, wrong: Wrong, begun: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the loss that clips is replaced; the one from logits trains as it should."""

    def strip(config: RunConfig) -> Outcomes:
        logits = config.loss == "from_logits"
        return ending(begun, question.FROM_LOGITS) if logits else wrong.runs(begun)

    def swapped(*_: Any) -> Swap:
        end = begun[0] if wrong.end is None else wrong.end
        return Swap(initial=(0.435, 0.435), final=(end, 0.909), swapped=(0.909, end))

    monkeypatch.setattr(question, "_ensemble", lambda _, runs: wrong.runs([begun[0]] * runs))
    monkeypatch.setattr(question, "_strip", strip)
    monkeypatch.setattr(question, "swap", swapped)
    rows = [row for row in CASES[key].run() if "chaotic" in row.quantity]
    assert len(rows) == chaotic
    assert [row for row in rows if row.ok] == []
    assert [r for r in rows if r.stated is not None and not r.low <= r.stated <= r.high] == []


def test_the_swap_as_it_was_printed_is_in_its_bands() -> None:
    found = Swap(initial=(0.435, 0.435), final=(0.792, 0.909), swapped=(0.909, 0.792))
    rows = question.as_printed(found)
    assert all(row.ok and row.published == row.measured for row in rows)
    swapped_again = Swap(found.initial, found.final[::-1], found.swapped[::-1])
    assert [row.ok for row in question.as_printed(swapped_again)] == [True] * 2 + [False] * 4


@pytest.mark.slow
def test_only_a_regression_has_no_stated_value(
    begun: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(question, "_ensemble", lambda _, runs: untrained([begun[0]] * runs))
    monkeypatch.setattr(question, "_strip", lambda _: untrained(begun))
    rows = {key: list(CASES[key].run()) for key in ("seeds", "band", "gap")}
    for row in itertools.chain(*rows.values()):
        assert (row.kind is REGRESSION) == (row.stated is None)
        assert row.published is None
    assert [row.kind for row in rows["gap"]] == [REGRESSION, REGRESSION, FACT]
    assert sum(row.kind is FACT and "chaotic" in row.quantity for row in rows["seeds"]) == 18


def test_cases_describe_themselves() -> None:
    for key, row in CASES.items():
        assert row.key == key
        assert row.label and row.summary.endswith(".") and row.reference
        assert isinstance(row.run, type(question.question))


def test_rows_come_as_soon_as_they_are_found(cases: dict[str, Any]) -> None:
    seen = []

    def run() -> Iterator[Finding]:
        for i in range(2):
            seen.append(i)
            yield near("x", FACT, 1, 1, 0)

    cases["slow"] = Case(key="slow", label="", summary="", run=run)
    next(command.reproduce(["slow"]))
    assert seen == [0]
