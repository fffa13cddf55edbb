"""Where two twins part: the first gradients that differ, and by whose doing."""

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.data import load
from core.study.twins import Divergence, first_divergence
from core.study.twins.parting import NOTICEABLE
from ui.pictures import contact_sheet
from ui.story.twin import Twin
from ui.words import explained

SHOWN = 6  # samples


def parting(a: Twin, b: Twin) -> None:
    """The first step at which the gradients differ, in which layer, by whose doing."""
    found = _divergence(a.config, b.config)
    if found is None:
        st.markdown("Their gradients agree to rounding at every step: here they *are* the same.")
        return
    samples = found.samples
    st.markdown(
        f"Their gradients part at **step {found.step}**, most in layer {found.layer + 1} "
        f"(relative difference {found.relative[found.layer]:.2g}), by the doing of "
        f"{found.differing:,} samples, whose slopes differ by more than {NOTICEABLE:g}. Those that "
        "differ most:",
        help=explained("label", "logit", "gradient"),
    )
    k = min(SHOWN, len(samples.index))
    labels = samples.labels[:k]
    columns = {
        "digit": [f"image {i}" for i in samples.index[:k]],
        "label": [str(int(y)) for y in labels],
        "logit": [f"{z:.1f}" for z in _own(samples.logits[0][:k], labels)],
    }
    for twin, slopes in zip((a, b), samples.slopes, strict=True):
        columns[f"dL/dz, {twin.label}"] = [f"{g + 0:.3g}" for g in _own(slopes[:k], labels)]
    words = f"The {k} handwritten digits of the table below."
    st.image(contact_sheet(samples.images[:k], columns=k), width=110 * k, alt=words)
    st.table(columns, hide_index=True)


def _own(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What belongs to the one logit, or of several to the label's: [k] from [k, outputs]."""
    if values.shape[-1] == 1:
        return values[:, 0]
    return np.take_along_axis(values, labels[:, None].astype(int), axis=-1)[:, 0]


@st.cache_data(max_entries=64, show_spinner="looking for the first gradient that differs")
def _divergence(a: RunConfig, b: RunConfig) -> Divergence | None:
    search = first_divergence(a, b, load(a.source, a.train_size))
    return next((found for found in search if found is not None), None)
