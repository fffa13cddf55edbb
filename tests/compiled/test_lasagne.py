"""The issue's experiment compared with NumPy, and the words of every verdict with its numbers."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from core.config import RunConfig
from core.data import load
from core.parts.losses import LOSSES, losses_for
from core.parts.optimizers import OPTIMIZERS
from core.run import train
from core.study import lasagne
from core.study.lasagne import BATCHES, CLAIMS, CONFIG, ROWS, Ending, Gradients, claims
from core.study.lasagne.experiment import _compiled
from core.study.reproduce import lasagne as reproduced

DATA = load(CONFIG.source, CONFIG.train_size)


@cache
def found(loss: str, scaling: str = "raw", batch: int = 0) -> Gradients:
    return lasagne.gradients(replace(CONFIG, loss=loss, scaling=scaling), DATA, batch)


def test_the_configuration_is_the_issue_s() -> None:
    assert CONFIG.widths == (1024,) and CONFIG.batch_size == 512 and CONFIG.scaling == "raw"
    assert CONFIG.initializer == "keras" and CONFIG.epsilon == 10e-8
    assert set(ROWS) <= set(losses_for("softmax")) and CONFIG.loss in ROWS


@pytest.mark.parametrize("batch", range(BATCHES))
def test_from_logits_is_numpy_s_gradient(batch: int) -> None:
    init, _ = _compiled(train.shape(CONFIG))
    (w, b), _, (w2, b2) = jax.device_get(init(train.knobs(CONFIG)).params)
    x = DATA.train_images[512 * batch :][:512].astype(np.float64)
    y = DATA.train_labels[512 * batch :][:512]
    hidden = np.maximum(x @ w + b, 0)
    z = hidden @ w2 + b2
    log_p = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    slope = (np.exp(log_p) - np.eye(10)[y]) / 512
    back = slope @ w2.T * (hidden > 0)
    expected = [x.T @ back, back.sum(0), hidden.T @ slope, slope.sum(0)]
    ours = found("from_logits", batch=batch)
    for parameter, gradient in zip(ours.parameters, expected, strict=True):
        assert parameter.norm == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
        assert parameter.largest == pytest.approx(np.abs(gradient).max(), rel=1e-4)
        assert parameter.nan == parameter.inf == 0
    own = log_p[np.arange(512), y]
    assert ours.loss == pytest.approx(-own.mean(), rel=1e-5)
    assert ours.unlikely == pytest.approx(np.mean(own < math.log(1e-7)), abs=1 / 512)
    assert ours.norm == pytest.approx(math.hypot(*map(np.linalg.norm, expected)), rel=1e-4)
    assert [parameter.name for parameter in ours.parameters][::2] == [
        "layer 1 weights", "layer 2 weights",
    ]  # fmt: skip


def test_shares_of_a_parameter_add_up_to_one() -> None:
    for loss in ROWS:
        for parameter in found(loss).parameters:
            shares = (parameter.nan, parameter.inf, parameter.zero, parameter.fine)
            assert sum(shares) == pytest.approx(1)
            assert math.isnan(parameter.norm) == (parameter.nan > 0)


def test_small_pixels_hide_what_raw_ones_show() -> None:
    for batch in range(BATCHES):
        clip, one_hot = (replace(CONFIG, scaling="unit", loss=loss) for loss in ROWS[:2])
        assert lasagne.gradient_differences(clip, one_hot, DATA, batch).max() < 1e-6
    assert (
        lasagne.gradient_differences(CONFIG, replace(CONFIG, loss="theano_onehot"), DATA).max()
        == math.inf
    )
    one_hot, integer, clip = (found(loss) for loss in ("theano_onehot", "theano_int", "clip"))
    assert one_hot.nan == 1 and one_hot.loss == pytest.approx(integer.loss) and integer.nan == 0
    assert math.isnan(one_hot.norm) and 10 * clip.norm < integer.norm < math.inf
    assert clip.silent > 0.7 and found("from_logits").silent == 0


def test_there_are_two_batches() -> None:
    with pytest.raises(ValueError, match="batch is 2; allowed are 0 and 1"):
        lasagne.gradients(CONFIG, DATA, 2)


def test_the_clipped_run_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [row for row in reproduced._small_pixels() if not row.ok] == []
    monkeypatch.setattr(reproduced, "SEEDS", range(1))
    silent, accuracy = reproduced._deaths()
    assert silent.ok and accuracy.ok and (silent.measured, silent.stated) == (1, 1)


@pytest.mark.parametrize(
    ("ends", "ok"),
    [
        ([(0.0, 0.09)] * 6 + [(0.0, 0.32)] * 4, [True, True]),  # a few know more than one digit
        ([(0.0, 0.1)] * 9 + [(3.0, 0.7)], [True, True]),
        ([(0.0, 0.1)] * 8 + [(3.0, 0.7)] * 2, [False, True]),
        ([(0.0, 0.32)] * 10, [True, False]),
        ([(40.0, 0.1)] * 10, [False, True]),  # none has moved
        ([(3.0, 0.9)] * 10, [False, False]),
        ([(math.nan, 0.1)] * 10, [False, True]),
    ],
)
def test_which_runs_pass_as_dead(
    monkeypatch: pytest.MonkeyPatch, ends: list[tuple[float, float]], ok: list[bool]
) -> None:
    left = iter(ends)
    one = Ending(0.1, "clip", silent_from=None, norm=0.0, accuracy=0.0)

    def endings(*_: object) -> list[Ending | None]:
        norm, accuracy = next(left)
        return [None, one._replace(norm=norm, accuracy=accuracy)]

    monkeypatch.setattr(reproduced, "endings", endings)
    assert [row.ok for row in reproduced._deaths()] == ok


def test_silence_counts_only_if_it_lasts_to_the_end() -> None:
    silent_from = lasagne.experiment._silent_from
    assert silent_from({0: 3.0, 7: 0.0, 14: 1.0, 21: 0.0, 28: 0.0}) == 21
    assert silent_from({0: 3.0, 7: math.nan}) is None


# The thread


QUICK = [key for key, claim in CLAIMS.items() if not claim.trains]


def said(figures: Mapping[str, float], sentence: str, *percent: str) -> None:
    for name in percent:
        assert f"{figures[name]:.0%}" in sentence, name


@pytest.mark.parametrize("key", CLAIMS)
def test_a_claim_names_its_author_and_can_be_opened_in_the_microscope(key: str) -> None:
    claim = CLAIMS[key]
    assert set(claim.who.split(" and ")) <= {"trungnt13", "benanne", "ebenolson", "f0k", "nouiz"}
    assert set(claim.microscope["losses"]) <= set(losses_for("softmax"))


def test_verdicts_on_the_gradient() -> None:
    raw, unit = found("theano_onehot"), found("theano_onehot", "unit")
    verdict = CLAIMS["vanishing"].verdict()
    assert not verdict.holds and verdict.figures == {
        "nan": raw.nan, "loss": raw.loss, "zero": raw.zero, "nan_unit": unit.nan,
    }  # fmt: skip
    said(verdict.figures, verdict.sentence, "nan", "zero", "nan_unit")
    assert f"{raw.loss:.1f}" in verdict.sentence
    drawback = CLAIMS["only_drawback"].verdict()
    assert drawback.holds == (found("clip").silent == 0) and not drawback.holds
    said(drawback.figures, drawback.sentence, "silent", "silent_logits")
    naive = found("naive").nan
    for key in ("default_0", "helps_few"):
        verdict = CLAIMS[key].verdict()
        assert verdict.holds and verdict.figures["nan_at_0"] == naive == raw.nan
        said(verdict.figures, verdict.sentence, "nan_at_0")


def test_epsilon_0_is_the_naive_loss() -> None:
    """claims._zero says so: clipping p to [0, 1] changes nothing."""
    z = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32) * 30
    y = np.arange(64) % 10
    clip, naive = (
        np.asarray(LOSSES[key].softmax(z, y, np.float32(0))) for key in ("clip", "naive")
    )
    assert not np.isfinite(clip).all()
    np.testing.assert_array_equal(clip, naive)


def test_verdicts_on_formats() -> None:
    wrong = CLAIMS["smaller_in_float16"].verdict()
    half = np.float16(1)
    least = np.float16(2.0**-12)
    assert half - least == half and half - np.nextafter(least, half) < half
    assert not wrong.holds and wrong.figures["float16"] == 2.0**-12 > wrong.figures["epsilon"]
    assert "It must be larger" in wrong.sentence and "2,441 times" in wrong.sentence
    assert "0.000244" in wrong.sentence and "0.00195" in wrong.sentence
    right = CLAIMS["fails_in_float16"].verdict()
    assert right.holds and half - np.float16(1e-7) == half == right.figures["upper"]
    wide = CLAIMS["float64"].verdict()
    # On the line of logits (z, 0, 1), p = 1e-7 at z = log(1e-7 (1 + e)), up to a rounding.
    assert wide.figures["dead"] == pytest.approx(math.log(1e-7) + np.logaddexp(0, 1), rel=1e-6)
    assert wide.holds and f"{wide.figures['dead']:.1f}" in wide.sentence
    assert -746 < wide.figures["broken"] < -700 and f"{wide.figures['broken']:.0f}" in wide.sentence


@pytest.mark.parametrize("clip_wins", [False, True])
def test_verdicts_on_training_follow_the_runs(
    clip_wins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(config: RunConfig) -> Ending:
        logits = config.loss == "from_logits"
        accuracy = 0.9 if logits != clip_wins else 0.4 + 10 * config.epsilon * (not logits)
        return Ending(config.learning_rate, config.loss, None if clip_wins else 14, 0.0, accuracy)

    monkeypatch.setattr(claims, "_trained", of)
    trade, tuned, kept = (
        CLAIMS[key].verdict() for key in ("no_trade_off", "hyperparameter", "clip_keeps_it")
    )
    assert trade.holds == clip_wins
    said(trade.figures, trade.sentence, "clipped", "logits")
    said(tuned.figures, tuned.sentence, "lowest", "highest", "logits")
    assert tuned.holds != clip_wins  # if all epsilons end alike, epsilon does not matter
    assert ("no more than" in tuned.sentence) == (not clip_wins)
    assert ("does not depend" in tuned.sentence) == clip_wins
    assert not kept.holds and ("from step 14 on" in kept.sentence) == (not clip_wins)
    said(kept.figures, kept.sentence, "silent")


def test_every_percentage_in_a_sentence_is_one_of_its_figures() -> None:
    for key in QUICK:
        verdict = CLAIMS[key].verdict()
        numbers = re.findall(r"\d[\d,.]*%", verdict.sentence)
        shown = {f"{value:.0%}" for value in verdict.figures.values() if abs(value) <= 1}
        assert set(numbers) <= shown, key


def test_small_steps_are_below_the_usual_ones() -> None:
    assert OPTIMIZERS[CONFIG.optimizer].learning_rate > claims.SMALL_STEPS
