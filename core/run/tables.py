"""A run's looks as CSV: its curves, the histogram of its predictions, and its images.

A value that is NaN or infinite is written as NaN, inf or -inf, and a missing one is empty.
"""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from core.run.snapshot import BINS, Gradient, Snapshot

PLACES = (
    "exactly 0",
    "clipped, low",
    *(f"{i / BINS:.2f} to {(i + 1) / BINS:.2f}" for i in range(BINS)),
    "clipped, high",
    "exactly 1",
    "NaN",
)
GRADIENTS = {Gradient.SOME: "some", Gradient.ZERO: "exactly 0", Gradient.NONFINITE: "NaN or inf"}


def curves(run: Sequence[Snapshot]) -> str:
    """One row a look: step, epoch, loss, accuracies or errors, the census, norms of each layer.

    Where the run's program reports something else than the true accuracy, a look also has what it
    reports of the held-out images, and their true loss. The census is the share of images that are
    wrong, that have a gradient of exactly 0, and both.
    """
    layers = range(1, 1 + max((len(look.gradient_norms) for look in run), default=0))
    heads = ["step", "epoch", "loss", "train_accuracy", "test_accuracy"]
    heads += ["reported_accuracy", "reported_loss", "held_out_loss"]
    heads += ["test_error", "copied_error", "wrong", "zero_gradient", "wrong_and_zero_gradient"]
    heads += [f"gradient_norm_{i}" for i in layers] + [f"weight_norm_{i}" for i in layers]
    return _written(heads, (_curves_at(look) for look in run))


def _curves_at(look: Snapshot) -> list[Any]:
    if look.fit is not None:
        errors = [look.fit.error, look.fit.copied]
        scores = ["", "", "", "", "", *errors, "", look.census.zero_gradient, ""]
    else:
        reports: list[Any] = [look.reported, look.reported_loss, look.held_out_loss]
        reports = ["", "", ""] if math.isnan(look.reported) else reports
        scores = [look.train_accuracy, look.test_accuracy, *reports, "", "", *look.census]
    return [look.step, look.epoch, look.loss, *scores, *look.gradient_norms, *look.weight_norms]


def histogram(run: Sequence[Snapshot]) -> str:
    """How many predictions of each look are where in [0, 1], by the gradient that images have."""
    rows = (
        [look.step, place, words, count]
        for look in run
        for gradient, words in GRADIENTS.items()
        for place, count in zip(PLACES, look.saturation.histogram[gradient], strict=True)
    )
    return _written(["step", "prediction", "gradient", "images"], rows)


def images(look: Snapshot) -> str:
    """The census of a look, image by image: label, margin (a logit), right or not, gradient."""
    each = zip(look.labels, look.margins, look.correct, look.gradients, strict=True)
    rows = (
        [look.step, i, label, margin, bool(correct), GRADIENTS[Gradient(gradient)]]
        for i, (label, margin, correct, gradient) in enumerate(each)
    )
    return _written(["step", "image", "label", "margin", "right", "gradient"], rows)


def _written(heads: list[str], rows: Iterable[list[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_text(value) for value in row] for row in rows)
    return file.getvalue()


def _text(value: Any) -> Any:
    """Return a number as it can be read back, with no more digits than its format has."""
    value = value.item() if hasattr(value, "item") and not hasattr(value, "tobytes") else value
    if isinstance(value, str | bool | int):
        return value
    if math.isfinite(value):
        return str(value)
    return "NaN" if math.isnan(value) else str(float(value))
