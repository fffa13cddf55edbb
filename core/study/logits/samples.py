"""Samples: logits with their labels, checked, and of very many a part."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

from core.parts.dtypes import Floats
from core.parts.losses import Form
from core.study.compare.recording import LIMIT_BYTES, Array, Unusable
from core.study.logits.files import read, shown
from core.study.logits.named import find, shape

SAMPLES = 8192  # examined at most
NUMBERS = 2**19  # logits examined at most
_SUMS_TO_1 = 0.02  # by how much the probabilities of a sample may miss it, written with few digits


@dataclass(frozen=True)
class Samples:
    """The samples that are examined; all their logits are finite.

    With probabilities in the file, `logits` are those that make them: log p, for two classes
    log p - log(1 - p).
    """

    form: Form
    logits: Floats  # [n] with two classes, else [n, classes]
    labels: Array  # int64 [n]
    rows: Array  # int64 [n]: the place of each in the file, from 0
    total: int  # samples in the file
    nan: int  # samples in the file, of which a logit is NaN
    infinite: int  # others, of which one is infinite
    probabilities: bool  # whether the file holds probabilities
    rounded: int  # of those examined, how many have a probability of exactly 0 or 1
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return 2 if self.form == "binary" else self.logits.shape[1]

    @property
    def margins(self) -> Floats:
        """The logit of each label's probability: [n], above 0 if that is above a half."""
        return margins(self.form, self.logits, self.labels)

    @property
    def wrong(self) -> Array:
        """Whether the answer is not the label: bool [n]."""
        answers = self.logits >= 0 if self.form == "binary" else self.logits.argmax(axis=1)
        return np.asarray(answers != self.labels)


def margins(form: Form, logits: Floats, labels: Array) -> Floats:
    """The label's logit minus the others' log-sum-exp; with two classes ±z, + for label 1: [n]."""
    if form == "binary":
        return np.where(labels == 1, logits, -logits)
    n = np.arange(len(labels))
    others = logits.copy()
    others[n, labels] = -np.inf
    top = others.max(axis=1)
    return logits[n, labels] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))


def load(name: str, data: bytes, limit_bytes: int = LIMIT_BYTES) -> Samples:
    """Read logits and labels from a file of this name.

    Raises:
      Unusable: it cannot be read, or they do not belong together; the message says why.
    """
    arrays = read(name, data, limit_bytes)
    logits, labels = find(arrays.found)
    if {logits, labels} & arrays.partly:
        raise Unusable("This recording keeps a part of the outputs only: save them by themselves.")
    names = (
        ()
        if (logits, labels) == ("logits", "labels")
        else (f"Taken for logits and labels: {shown(logits)}, {shown(labels)}.",)
    )
    taken = samples(arrays.found[logits], arrays.found[labels])
    return replace(taken, notes=(*arrays.notes, *names))


def samples(logits: Array, labels: Array) -> Samples:
    """Check logits and labels, and take those that are examined.

    Raises:
      Unusable: they do not belong together; the message says why.
    """
    logits, labels = _shaped(logits, labels)
    form: Form = "binary" if logits.ndim == 1 else "softmax"
    known = _integers(labels, 2 if form == "binary" else logits.shape[1])
    nan, finite = _each(np.isnan(logits)), ~_each(~np.isfinite(logits))
    rows = np.flatnonzero(finite)
    if not len(rows):
        raise Unusable("No sample has logits that are all finite: NaN or inf is in each.")
    most = max(1, min(SAMPLES, NUMBERS // (1 if form == "binary" else logits.shape[1])))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    kept = logits[rows].astype(np.float64)
    probabilities = _are_probabilities(kept)
    if probabilities and logits.dtype.kind in "iu":
        raise Unusable("The logits are whole numbers, all 0 or 1: these are answers or labels.")
    rounded = int(np.count_nonzero(_each((kept == 0) | (kept == 1)))) if probabilities else 0
    return Samples(
        form=form,
        logits=_behind(kept, logits.dtype) if probabilities else kept,
        labels=known[rows],
        rows=rows,
        total=len(logits),
        nan=int(np.count_nonzero(nan)),
        infinite=int(np.count_nonzero(~finite & ~nan)),
        probabilities=probabilities,
        rounded=rounded,
    )


def _each(mask: Array) -> Array:
    """Whether any number of a sample is marked: [n]."""
    return mask if mask.ndim == 1 else np.asarray(mask.any(axis=1))


def _shaped(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Logits as [n] or [n, classes], labels as [n]."""
    shapes = f"The logits are {shape(logits)} and the labels {shape(labels)}"
    if not logits.size or not labels.size:
        raise Unusable(f"There is no sample: {_lower(shapes)}.")
    if logits.dtype.kind == "b":
        raise Unusable("The logits are true and false, and no numbers.")
    if logits.ndim > 1 and logits.shape == labels.shape and logits.shape[-1] > 1:
        labels = _from_one_hot(labels)
    if logits.ndim > 2 and labels.shape in (logits.shape[:-1], (*logits.shape[:-1], 1)):
        logits = logits.reshape(-1, logits.shape[-1])  # a sample for each place
        labels = labels.reshape(-1)
    if labels.ndim == 2 and 1 in labels.shape:
        labels = labels.reshape(-1)
    if logits.ndim == 2 and (logits.shape[1] == 1 or logits.shape[0] == 1 < len(labels)):
        logits = logits.reshape(-1)
    if logits.ndim == 2 and len(logits) != len(labels) == logits.shape[1]:
        raise Unusable(f"{shapes}: transpose the logits, a row is a sample.")
    if logits.ndim not in (1, 2) or labels.shape != (len(logits),):
        raise Unusable(f"{shapes}. Needed are (n, classes) or (n,) for n labels.")
    return logits, labels


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _from_one_hot(labels: Array) -> Array:
    ones = (labels == 1).sum(axis=-1)
    if not (((labels == 0) | (labels == 1)).all() and (ones == 1).all()):
        raise Unusable(
            "The labels have the shape of the logits, but are not one-hot: each sample needs "
            "one 1, and 0 elsewhere. Smoothed labels, and several to a sample, are not read."
        )
    return labels.argmax(axis=-1)


def _integers(labels: Array, classes: int) -> Array:
    """Labels as int64, from 0 to classes - 1."""
    numbers = labels.astype(np.float64)
    odd = numbers[~(numbers == np.floor(numbers)) | np.isinf(numbers)]
    if len(odd):
        raise Unusable(f"A label is {_number(odd[0])}: they have to be whole numbers.")
    low, high = numbers.min(), numbers.max()
    if low >= 0 and high < classes:
        return numbers.astype(np.int64)
    hint = ""
    if low == 1 and high == classes:
        hint = " They seem to count from 1: subtract 1."
    elif {low, high} == {-1, 1} and classes == 2:
        hint = " Write -1 as 0."
    elif low < 0:
        hint = " Leave out samples that your loss ignores."
    raise Unusable(
        f"The labels run from {_number(low)} to {_number(high)}; with {classes:,} classes they "
        f"run from 0 to {classes - 1:,}.{hint}"
    )


def _number(value: float) -> str:
    return f"{value:.10g}".replace("nan", "NaN")


def _are_probabilities(kept: Floats) -> bool:
    """Whether all are in [0, 1], and each row adds up to 1 if there is more than one column."""
    if not ((kept >= 0) & (kept <= 1)).all():
        return False
    return kept.ndim == 1 or bool((np.abs(kept.sum(axis=1) - 1) < _SUMS_TO_1).all())


def _behind(p: Floats, dtype: np.dtype) -> Floats:
    """The logits of probabilities; those of 0 and 1 are set where a number rounds to them."""
    known = dtype if dtype.kind != "i" and dtype.kind != "u" else np.dtype(np.float64)
    info = ml_dtypes.finfo(known)
    low, high = np.log(float(info.smallest_subnormal)), np.log(float(info.eps) / 4)
    with np.errstate(divide="ignore"):
        log = np.maximum(np.log(p), low)
        return log - np.maximum(np.log1p(-p), high) if p.ndim == 1 else log


def totals(of: Samples) -> Mapping[str, float]:
    """The figures of all samples together: accuracy, and the exact cross-entropy in nats."""
    return {
        "accuracy": float(np.mean(~of.wrong)),
        "exact_loss": float(np.mean(np.logaddexp(0, -of.margins))),
    }
