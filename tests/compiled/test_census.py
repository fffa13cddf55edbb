"""What the census says of a loss is what a direct computation of that loss gives."""

import json
from itertools import chain
from pathlib import Path

import jax
import numpy as np
import pytest

from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, losses_for, with_grad
from core.study.logits.__main__ import main
from core.study.logits.census import EPSILONS, Tally, census, rounds, tally, tried
from core.study.logits.evaluate import evaluate, exact_slope
from core.study.logits.examples import question
from core.study.logits.report import Report, by_epsilon, by_format, sentences, table
from core.study.logits.samples import Samples, samples

RANDOM = np.random.default_rng(1)
FLOAT32 = DTYPES["float32"].dtype
TWO = samples(
    np.append(RANDOM.normal(size=300) * 15, [200, -200, 16.2]), RANDOM.integers(0, 2, 303)
)
TEN = samples(RANDOM.normal(size=(300, 10)) * 12, RANDOM.integers(0, 10, 300))
FACES = ("binary", TWO), ("softmax", TEN)


@pytest.mark.parametrize(
    ("form", "of", "keys"),
    [
        ("binary", TWO, ("naive", "question_stable")),
        ("softmax", TEN, ("theano_onehot", "keras_jax", "from_logits")),
        *(pytest.param(*face, losses_for(face[1].form), marks=pytest.mark.slow) for face in FACES),
    ],
)
def test_each_loss_is_that_of_its_own_function(
    form: str, of: Samples, keys: tuple[str, ...]
) -> None:
    z, y = of.logits.astype(np.float32), of.labels.astype(np.int32)
    n = np.arange(len(y))
    for key in keys:
        epsilon = np.float32(LOSSES[key].epsilon or 0)
        function = getattr(LOSSES[key], form)
        loss, gradient = map(np.asarray, jax.jit(with_grad(function))(z, y, epsilon))
        slope = gradient if form == "binary" else gradient[n, y]
        given = evaluate(of, key, FLOAT32, float(epsilon))
        broken = ~np.isfinite(gradient.reshape(len(y), -1)).all(axis=1) | ~np.isfinite(loss)
        np.testing.assert_array_equal(given.broken, broken, key)
        np.testing.assert_allclose(given.loss[~broken], loss[~broken], 1e-5, 1e-6)
        np.testing.assert_allclose(given.slope[~broken], slope[~broken], 1e-4, 1e-6)


def test_a_clipped_loss_is_silent_where_it_clips() -> None:
    clipped = tally(TWO, exact_slope(TWO, FLOAT32), "clip", "float32", 1e-3)
    p = 1 / (1 + np.exp(-TWO.logits))
    out = (p < 1e-3) | (p > 1 - 1e-3)
    assert clipped.silent_wrong == np.mean(out & TWO.wrong) > 0
    assert clipped.silent_right == np.mean(out & ~TWO.wrong) > 0
    due = np.abs(p - TWO.labels)
    kept = due[TWO.wrong & ~out].sum() / due[TWO.wrong].sum()
    assert clipped.kept == pytest.approx(kept, rel=1e-4) and clipped.verdict == "silent"
    q = np.clip(p, 1e-3, 1 - 1e-3)
    loss = -np.mean(np.where(TWO.labels == 1, np.log(q), np.log(1 - q)))
    assert clipped.value == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize(("form", "of"), FACES)
def test_a_loss_of_logits_gives_every_wrong_sample_its_gradient(form: str, of: Samples) -> None:
    exact = exact_slope(of, FLOAT32)
    good = tally(of, exact, "from_logits", "float32", None)
    assert good.verdict == "whole" and good.silent_wrong == good.weak == good.against == 0
    assert good.kept == pytest.approx(1, abs=1e-4)
    assert good.value == pytest.approx(np.mean(np.logaddexp(0, -of.margins)), rel=1e-5)
    size = 1 / (1 + np.exp(of.margins))
    np.testing.assert_allclose(np.abs(exact), size, rtol=1e-3, atol=1e-6)
    assert ((exact < 0) == ((of.labels == 1) | (form == "softmax"))).all()


def test_half_the_gradient_is_at_a_limit_of_the_clip() -> None:
    """In float16 1 - 1e-3 is a number, and p of these logits is it."""
    z = np.float64(np.log(0.9990234375 / (1 - 0.9990234375)))
    of = samples(np.full(4, z), np.array([0, 0, 1, 1]))
    found = tally(of, exact_slope(of, DTYPES["float16"].dtype), "clip", "float16", 1 - 0.9990234375)
    assert (found.half, found.silent_wrong, found.verdict) == (0.5, 0, "weaker")
    assert found.kept == pytest.approx(0.5, rel=1e-2)


def test_what_is_too_large_for_a_format_breaks_every_loss_in_it() -> None:
    of = samples(np.array([1e5, -3.0]), np.array([1, 0]))
    found = tally(of, exact_slope(of, DTYPES["float16"].dtype), "naive", "float16", None)
    assert found.broken == 0.5 and found.verdict == "breaks" and np.isnan(found.kept)


def counted(*, broken: float = 0, silent: float = 0, weak: float = 0, kept: float = 1) -> Tally:
    return Tally("clip", "float32", 1e-7, broken, silent, 0, 0, 0, weak, kept, 1)


@pytest.mark.parametrize(
    ("of", "verdict", "words"),
    [
        (counted(), "whole", "Give the whole gradient"),
        (counted(kept=np.nan), "whole", "Give the whole gradient"),  # no sample is wrong
        (counted(silent=0.001, kept=0.999), "whole", "Give the whole gradient"),
        (counted(silent=0.25, kept=0.5), "silent", "25% of the samples with “Clip, then naive"),
        (counted(weak=0.25, kept=0.5), "weaker", "should have, the wrong samples get 50% with"),
        (counted(broken=0.001, kept=np.nan), "breaks", "under 1% of the samples"),
    ],
)
def test_a_verdict_is_told(of: Tally, verdict: str, words: str) -> None:
    (told,) = sentences([of])
    assert of.verdict == verdict and words in told


@pytest.fixture(scope="module")
def report() -> Report:
    return Report("question", question(), tuple(chain(*census(question()))))


def test_the_census_has_every_loss_format_and_epsilon(report: Report) -> None:
    assert len(list(census(question()))) == rounds("binary")
    names = [
        (key, dtype, e) for dtype in DTYPES for key in losses_for("binary") for e in tried(key)
    ]
    assert [each[:3] for each in report.tallies] == names
    for each in report.tallies:
        shares = each[3:9]
        assert min(shares) >= 0 and sum(shares) <= 1 + 1e-12
    stable = next(each for each in report.of("float32") if each.loss == "question_stable")
    assert stable.epsilon == 1e-6 and stable.value == pytest.approx(5.7739635), "as recorded"
    assert {*by_format(report)} == {"loss", *DTYPES}
    assert len(by_epsilon(report, "float32")) == 1 + len(EPSILONS)
    assert "NaN" in table(report.of("float32"))["mean loss"]


def test_a_report_is_json_and_markdown(report: Report) -> None:
    of = json.loads(report.json(), parse_constant=lambda name: pytest.fail(name))
    assert of["samples"] == 48 and len(of["tallies"]) == len(report.tallies)
    assert {each["verdict"] for each in of["tallies"]} >= {"whole", "silent", "breaks"}
    text = report.markdown()
    assert text.count("\n## ") == len(DTYPES) and "| Naive | – |" in text


def test_the_command_prints_a_report_or_the_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "logits.csv"
    path.write_text("logit,label\n-30,1\n2,1\n-3,0\n")
    assert main([str(path)]) == 0
    told = capsys.readouterr().out
    assert "3 samples of 2 classes. 67% are right" in told
    assert "33% of the samples with “Clip, then naive, ε = 1e-7”" in told
    assert main([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "logits.csv"
    for other, words in (("none.csv", "No such file"), (".", "directory"), ("a.csv", "empty")):
        (tmp_path / "a.csv").touch()
        assert main([str(tmp_path / other)]) == 2
        assert words in capsys.readouterr().err
