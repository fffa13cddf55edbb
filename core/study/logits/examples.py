"""Logits that come with the project: those of a recording's first step, computed again."""

from dataclasses import replace
from functools import cache

import numpy as np

from core.study.compare.examples import PAIRS
from core.study.compare.recording import read
from core.study.logits.samples import Samples, samples


@cache
def question() -> Samples:
    """Return the samples of the question's first batch.

    The recording has the sigmoid's output. Of its weights W1, b1, W2, b2 and its images x come the
    logits relu(x W1 + b1) W2 + b2, [48].
    """
    recording = read(PAIRS["question"].paths[0])
    w1, b1, w2, b2 = recording.params(0).values()
    x, labels = recording.inputs(0), recording.one(0, "labels")
    assert x is not None and labels is not None
    logits = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    note = "The question's network before its first step: raw pixels, random weights, 48 images."
    return replace(samples(logits, labels), notes=(note,))
