"""The keep_prob question on its own data: both readings of 0.7, and what two loops report.

The facts are single runs of TensorFlow 1.15 (keep_prob) and Keras 3.15 (rate). The figures here are
of single runs too, except those of the first epoch, when a starving network's accuracy is chance:
seeds 0 to 7 gave 0.38 to 0.60.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np

from core.config import RunConfig
from core.presets import PRESETS
from core.run import train
from core.study.reporting import Report, reports
from core.study.reproduce.finding import Finding, Kind, near
from core.study.reproduce.full_mnist import local

# reading -> epoch -> the facts' test accuracy, and the ends of the band for it
TEST_ACCURACY = {
    "keep_prob": {
        1: (0.947, 0.941, 0.953), 3: (0.969, 0.964, 0.974), 10: (0.978, 0.974, 0.982),
        30: (0.9816, 0.979, 0.985),
    },
    "rate": {
        1: (0.500, 0.40, 0.62), 3: (0.890, 0.83, 0.91), 10: (0.946, 0.935, 0.955),
        30: (0.9615, 0.957, 0.967),
    },
}  # fmt: skip


FIRST_EPOCHS = 4  # seeds over which the figures of the first epoch are averaged


@cache
def _epochs(reading: str, epochs: int, seed: int = 0) -> list[Report]:
    """The report of each epoch of the question's network, with 0.7 read in this way."""
    changes = {"dropout": reading, "epochs": epochs, "seed": seed}
    config = RunConfig(**{**PRESETS["keep_or_drop_full"].overrides, **changes})
    data = train.on_device(config.task, local(config))
    return [report for report in reports(config, data, reports_per_epoch=1) if report is not None]


def keep_or_drop() -> Iterator[Finding]:
    """Test accuracy after 1, 3 and 10 epochs, and how far apart the two reports are after ten."""
    for reading in TEST_ACCURACY:
        others = [_epochs(reading, 1, seed)[0] for seed in range(1, FIRST_EPOCHS)]
        first, *later = _epochs(reading, 10)
        mean = float(np.mean([report.test_accuracy for report in (first, *others)]))
        yield _test_accuracy(reading, 1, mean, f", mean of seeds 0-{FIRST_EPOCHS - 1}")
        for epoch in (3, 10):
            yield _test_accuracy(reading, epoch, later[epoch - 2].test_accuracy)
    yield from _reporting(10)


def keep_or_drop_30() -> Iterator[Finding]:
    """The whole question: what is left of the difference after thirty epochs."""
    for reading in TEST_ACCURACY:
        yield _test_accuracy(reading, 30, _epochs(reading, 30)[-1].test_accuracy)
    end = _epochs("keep_prob", 30)[-1]
    for quantity, stated, measured, tolerance in [
        ("accuracy after the update, all units", 0.9974, end.whole.accuracy, 0.001),
        ("accuracy in training", 0.9875, end.dropping.accuracy, 0.002),
        ("loss after the update, all units", 0.0083, end.whole.loss, 0.003),
        ("loss in training", 0.0431, end.dropping.loss, 0.006),
    ]:
        name = f"keep_prob 0.7, epoch 30: {quantity}"
        yield near(name, Kind.FACT, stated, measured, tolerance)
    yield from _reporting(30)


def _test_accuracy(reading: str, epoch: int, measured: float, runs: str = "") -> Finding:
    stated, low, high = TEST_ACCURACY[reading][epoch]
    quantity = f"{reading} 0.7: test accuracy after epoch {epoch}{runs}"
    return Finding(quantity, Kind.FACT, stated, measured, low, high)


def _reporting(epochs: int) -> Iterator[Finding]:
    """By how much the TensorFlow loop's accuracy exceeds fit's, and the test accuracy fit's."""
    ends = {reading: _epochs(reading, epochs)[-1] for reading in TEST_ACCURACY}
    excess = {
        f"{reading} 0.7, epoch {epochs}: accuracy after the update minus in training": (
            end.whole.accuracy - end.dropping.accuracy
        )
        for reading, end in ends.items()
    }
    rate = ends["rate"]
    excess[f"rate 0.7, epoch {epochs}: test accuracy minus accuracy in training"] = (
        rate.test_accuracy - rate.dropping.accuracy
    )
    for quantity, measured in excess.items():
        yield Finding(quantity, Kind.REGRESSION, None, measured, 0.001, 1.0)
