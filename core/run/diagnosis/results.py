"""What a run comes to: how it does with units dropped, on other images, and at all."""

import numpy as np

from core.fields import number
from core.parts.reports import REPORTS
from core.run.diagnosis import cures
from core.run.diagnosis.evidence import Diagnosis, Evidence, percent
from core.run.snapshot import DROPPED, Gradient

GAP = 0.15  # of the images: trained on and held out
CHANCE = 3  # standard errors of an accuracy
APART = 2  # times the other loss
# Steps before which answers depend on the dropped units in networks that will do well, too: at keep
# 0.7 the keep_prob question's was past it after 30 to 40 (JAX 0.10.2; two seeds, three forms).
SETTLED = 50


def dropout_too_strong(e: Evidence) -> Diagnosis | None:
    """Most answers depend on which units are dropped (the keep_prob question)."""
    if e.now.step < SETTLED or not e.now.flipped > 0.5:  # NaN where nothing is dropped
        return None
    # Over the images that are also looked at with units dropped.
    with_all = float(np.mean(e.now.correct[:DROPPED]))
    return Diagnosis(
        f"Dropout is too strong: for {percent(e.now.flipped)} of the images the answer depends on "
        f"which units are dropped. {percent(with_all)} are right with all units, and "
        f"{percent(e.now.dropped_accuracy)} while units are dropped.",
        cures.less_dropping(e.config),
    )


def worse_than_copying(e: Evidence) -> Diagnosis | None:
    """The noisy input is as near to the truth as what the network predicts."""
    fit = e.now.fit
    if not (fit and e.now.step > 0 and fit.error >= fit.copied):
        return None
    return Diagnosis(
        "Its predictions are no better than copying the noisy input: their squared error is "
        f"{number(fit.error, 3)}, that of the copy {number(fit.copied, 3)}.",
        cures.aligned(e.config),
    )


def memorising(e: Evidence) -> Diagnosis | None:
    """Images it trains on are right far more often than others."""
    trained_on, held_out = e.now.train_accuracy, e.now.test_accuracy
    if not trained_on - held_out > GAP:
        return None
    return Diagnosis(
        f"It memorises: {percent(trained_on)} of the images it trains on are right and "
        f"{percent(held_out)} of those held out.",
        cures.more_images(e.config),
    )


def reported(e: Evidence) -> Diagnosis | None:
    """The program reports another accuracy on held-out images than the true one."""
    row, says, true = REPORTS[e.config.report], e.now.reported, e.now.test_accuracy
    if e.nan:
        if not row.takes_nan:
            return None
        where = f"{percent(e.nan)} of the predictions are NaN"
    else:
        mean = (says + true) / 2  # NaN where the true one is reported
        error = np.sqrt(mean * (1 - mean) / e.now.test_examples)
        if not abs(says - true) > CHANCE * error:
            return _reported_loss(e)
        where = f"{true:.1%} is true"
    return Diagnosis(f"The program reports {says:.1%} where {where}: {row.fault}.", TRUE)


def _reported_loss(e: Evidence) -> Diagnosis | None:
    """The same of the loss, where the accuracies agree."""
    says, true = e.now.reported_loss, e.now.held_out_loss
    if not (says > APART * true or true > APART * says):  # NaN is not
        return None
    return Diagnosis(
        f"The program reports a loss of {number(says, 3)} on held-out images where "
        f"{number(true, 3)} is true: {REPORTS[e.config.report].fault}.",
        TRUE,
    )


TRUE = {"report": "true"}


def learning(e: Evidence) -> Diagnosis:
    """What can be said of every run: who is wrong, and how the loss has moved."""
    fit = e.now.fit
    if fit:
        return Diagnosis(
            "NaN is no prediction: those series have no error."
            if e.nan
            else f"Held-out series have a squared error of {number(fit.error, 3)}; copying the "
            f"noisy input has {number(fit.copied, 3)}.{_fell(e)}"
        )
    if e.nan:
        return Diagnosis("NaN is no answer: none of those images can be counted as right.")
    if e.now.census.wrong == 0:
        return Diagnosis(f"All {len(e.now.labels):,} images looked at are right.")
    sentence = f"{e.wrong} of the images are wrong"
    if np.all(e.now.gradients[~e.now.correct] == Gradient.SOME):
        sentence += ", and every one of them has a gradient"
    return Diagnosis(f"{sentence}.{_fell(e)}")


def _fell(e: Evidence) -> str:
    if e.now.step == 0 or not np.isfinite([e.first.loss, e.now.loss]).all():
        return ""
    first, now = number(e.first.loss, 3), number(e.now.loss, 3)
    if first == now:
        return f" The loss is still {now}."
    fell = "fell" if e.now.loss < e.first.loss else "has not fallen"
    return f" The loss {fell}: {first} at the start, {now} now."
