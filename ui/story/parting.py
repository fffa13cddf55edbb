"""The first step at which the gradients of two twins differ, and the images that cause it."""

import math
from functools import partial

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.data import Dataset, load
from core.fields import number
from core.parts.choices import TASKS
from core.run.errands import Errand
from core.study.twins import Divergence, first_divergence, twin_differences
from core.study.twins.parting import NOTICEABLE, Samples
from ui.engine import engine
from ui.pieces.cards import ImageCard, sheet
from ui.pieces.glossary import explained
from ui.pieces.waiting import draw_until
from ui.story.twin import Twin

SHOWN = 6  # samples


def parting(a: Twin, b: Twin) -> None:
    """Draw at which step and in which layer the gradients first differ, and for which images."""
    search = partial(_search, a.config, b.config)
    draw_until(lambda: search().done, lambda _: _parting(a, b, search()))


def _parting(a: Twin, b: Twin, search: Errand) -> None:
    if search.failure:
        st.error(search.failure, icon=":material/error:")
    elif search.pieces:
        _tell(a, b, search.pieces[0])
    elif search.done:
        st.markdown(
            "Their gradients agree at every step, up to rounding: here the two *are* the same."
        )
    else:
        st.caption("Comparing their gradients step by step. Other runs go first.")


def _tell(a: Twin, b: Twin, divergence: Divergence) -> None:
    samples = divergence.samples
    text = (
        f"Their gradients differ from **step {divergence.step}** on, most in layer "
        f"{divergence.layer + 1}, where {_gap(float(divergence.relative[divergence.layer]))}."
    )
    if not {"loss", "epsilon"} & set(twin_differences(a.config, b.config)):
        text += (
            " Both have the same loss: their logits differ because their weights, or the units "
            "that are dropped, differ."
        )
    if TASKS[a.config.task].series:
        st.markdown(
            f"{text} The slopes of {divergence.differing:,} of the step's {divergence.images:,} "
            f"series differ by more than {NOTICEABLE:g}."
        )
        return
    k = min(SHOWN, len(samples.index))
    if not k:
        st.markdown(f"{text} No image's slope differs by more than {number(NOTICEABLE)}.")
        return
    st.markdown(
        f"{text} The slopes of {divergence.differing:,} of the step's {divergence.images:,} "
        f"images differ by more than {number(NOTICEABLE)}. Those that differ most:",
        help=explained("label", "logit", "gradient"),
    )
    st.html(sheet(a.config.source, _shown(a, b, samples, k), wide=True))


def _gap(relative: float) -> str:
    """Say how far apart a layer's two gradients are; see `relative_differences`."""
    if math.isinf(relative):
        return "NaN or infinities are not in the same places"
    return f"the difference is {number(100 * relative, 3)}% of the larger gradient (by norm)"


def _shown(a: Twin, b: Twin, samples: Samples, k: int) -> list[ImageCard]:
    """The first k samples, with their logits and slopes in both runs."""
    labels = samples.labels[:k]
    logits = [_own(each[:k], labels) for each in samples.logits]
    slopes = [_own(each[:k], labels) for each in samples.slopes]
    same = np.array_equal(logits[0], logits[1])
    return [
        ImageCard(
            int(samples.index[i]),
            f"image {samples.index[i]}",
            int(labels[i]),
            {
                **({"logit": f"{logits[0][i]:.1f}"} if same else _both("logit", a, b, logits, i)),
                **_both("slope", a, b, slopes, i),
            },
        )
        for i in range(k)
    ]


def _both(name: str, a: Twin, b: Twin, values: list[np.ndarray], i: int) -> dict[str, str]:
    """The two rows of sample i's card that give its number in each run."""
    pairs = zip((a, b), values, strict=True)
    return {f"{name}, {twin.label}": f"{number(each[i], 3)}" for twin, each in pairs}


def _own(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The value of the only logit, or of the label's: [k, outputs] -> [k]."""
    if values.shape[-1] == 1:
        return values[:, 0]
    return np.take_along_axis(values, labels[:, None].astype(int), axis=-1)[:, 0]


def _search(a: RunConfig, b: RunConfig) -> Errand:
    """The errand that finds the first step whose gradients differ; all other runs go first."""
    look = engine().errands.look
    return look(("parting", a, b), lambda: first_divergence(a, b, data_of(a)))


def data_of(config: RunConfig) -> Dataset:
    """The data that a run trains on."""
    return load(config.source, config.train_size, process=config.process)
