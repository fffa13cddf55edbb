"""A run's images under the microscope, which show how many lie where a loss is silent."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.run.snapshot import Answers
from core.study import precision
from core.study.initial import initial_answers
from ui.charts import digits
from ui.charts import microscope as charts
from ui.charts.digits import Placed, Zone
from ui.charts.live import GRADIENTS
from ui.microscope.curves import Examined
from ui.microscope.setting import Setting
from ui.pieces.chosen import AppliedLoss, Look, Run, clicked, gallery, mark, own_loss, zones
from ui.pieces.draw import chart, colour_key
from ui.pieces.on_screen import on_screen


class _Initial(NamedTuple):
    """A network before its training, which answers like a run that has one look."""

    config: RunConfig

    def looks(self) -> list[Answers]:
        """The only look: the network's answers before any step."""
        return [initial_answers(self.config)]


def _network() -> tuple[Run, int, str]:
    """Return the run to show, its last step to show, and its name; the trainer's run if any."""
    viewer = on_screen().viewer
    if viewer is not None and viewer.looks():
        return viewer, viewer.config.steps, "the network in the trainer"
    return _Initial(RunConfig()), 0, "the question's initial network"


def run_images(setting: Setting, examined: list[Examined]) -> None:
    """Draw a run's images on the axis of the curves, and those that the visitor clicked."""
    run, at, name = _network()
    with st.spinner(f"asking {name}"):
        snapshot = [look for look in run.looks() if look.step <= at][-1]
    applied = colouring(setting, examined, run.config)
    place = _placing(setting, applied)
    images = place(snapshot)
    st.markdown(
        f"**Where the images are: every image of {name} after step {snapshot.step:,}, coloured by "
        f"its gradient from {_whose(applied)}**"
    )
    colour_key(GRADIENTS)
    key, wrong = "microscope_who_chart", ~images.correct
    chart(
        key,
        charts.images_spec(setting.span, setting.axis),
        digits.tables(
            images,
            digits.spaced(setting.span, digits.BINS + 1, setting.axis),
            _silent(applied, examined),
            mark(run.config, snapshot),
        ),
        f"Histogram of {len(wrong)} logits, right ones above the line and wrong ones below; "
        f"{wrong.mean():.0%} are wrong."
        if len(wrong)
        else "No sample has this label.",
        clicked("microscope", key, run, place),
    )
    _, margins, wrong = samples(snapshot, setting)
    sentences = [silent_sentence(setting, examined, margins, wrong)]
    if setting.form != "binary" or not two_classes(snapshot):
        sentences.append("Each image is where the curves give its true class the same probability.")
    sentences.append("The outermost bars also hold the images beyond the view.")
    st.caption(" ".join(sentences))
    gallery("microscope", run, at, None, applied, place)


def colouring(setting: Setting, examined: list[Examined], config: RunConfig) -> AppliedLoss:
    """The loss that colours the images: the first whose gradients margins decide, or the run's."""
    for loss in examined:
        if _margin_decides(setting, loss):
            epsilon, dtype = setting.epsilon_of(loss.key), DTYPES[setting.dtype].dtype
            label = setting.class_index
            return AppliedLoss(setting.form, loss.key, epsilon, dtype, own=False, label=label)
    return own_loss(config)


def _margin_decides(setting: Setting, loss: Examined) -> bool:
    """True if a sample's margin alone decides its gradient: NaN may depend on all logits.

    So may a formula that is no cross-entropy.
    """
    broken = [precision.first_broken(edges) for edges in (loss.wrong, loss.right)]
    cross_entropy = LOSSES[loss.key].cross_entropy
    return setting.form == "binary" or (cross_entropy and broken == [None, None])


def _whose(applied: AppliedLoss) -> str:
    own = ", the loss that it trains with" if applied.own else f" in {applied.dtype.name}"
    return f"“{LOSSES[applied.key].label}”{own}"


def _silent(applied: AppliedLoss, examined: list[Examined]) -> list[Zone]:
    """The zones where the colouring loss is silent; none if it is the run's own loss."""
    return [
        zone
        for loss in examined
        if loss.key == applied.key and not applied.own
        for zone in zones(loss.wrong, False) + zones(loss.right, True)
    ]


def _placing(setting: Setting, applied: AppliedLoss) -> Callable[[Look], Placed]:
    """Return what turns a look into images; those beyond the view are put at its end."""

    def place(snapshot: Look) -> Placed:
        indices, margins, wrong = samples(snapshot, setting)
        kinds = snapshot.gradients[indices]
        if not applied.own:
            kinds = precision.kinds(slopes(setting, applied.key, margins))
        z = precision.position(setting.form, margins, setting.class_index)
        last = np.nextafter(float(setting.span), 0)
        return Placed(indices, np.clip(z, -setting.span, last), ~wrong, kinds)

    return place


def slopes(setting: Setting, key: str, margins: np.ndarray) -> np.ndarray:
    """The derivative of a loss for samples with these margins, under the setting."""
    epsilon, dtype = setting.epsilon_of(key), DTYPES[setting.dtype].dtype
    return precision.slopes(setting.form, key, margins, setting.class_index, epsilon, dtype)


def two_classes(snapshot: Look) -> bool:
    """True if the run says whether a digit is 5 or more, and not which digit it is."""
    return set(np.unique(snapshot.labels)) <= {0, 1}


def samples(snapshot: Look, setting: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places of the samples that are shown, their margins, and which of them are wrong.

    With two classes only the samples of the chosen label are shown. With ten classes all are, and
    a margin compares the true class with the others.
    """
    margins, wrong = np.asarray(snapshot.margins, float), ~np.asarray(snapshot.correct)
    if not two_classes(snapshot):
        return np.arange(len(margins)), margins, wrong
    places = np.flatnonzero(snapshot.labels == setting.label)
    return places, (margins if setting.label else -margins)[places], wrong[places]


def silent_sentence(
    setting: Setting, examined: list[Examined], margins: np.ndarray, wrong: np.ndarray
) -> str:
    """Tell how many wrong samples each loss gives no gradient, and how many NaN or inf."""
    silent: list[str] = []
    nonfinite: list[str] = []
    unknown: list[str] = []
    for loss in examined:
        if not _margin_decides(setting, loss):
            unknown.append(loss.label)
            continue
        slope = slopes(setting, loss.key, margins)
        for texts, which in ((silent, wrong & (slope == 0)), (nonfinite, ~np.isfinite(slope))):
            if which.any():
                texts.append(f"{which.mean():.1%} with {loss.label}")
    sentences, these = [], f"these {len(margins):,} samples"
    if silent:
        sentences.append(f"Of {these}, wrong with gradient exactly 0: {', '.join(silent)}.")
    elif len(unknown) < len(examined):
        sentences.append(f"None of {these} is wrong with gradient exactly 0.")
    if nonfinite:
        sentences.append(f"Gradient NaN or inf: {', '.join(nonfinite)}.")
    if unknown:
        names = ", ".join(unknown)
        sentences.append(
            f"Not counted, because they depend on all the logits of a sample: {names}."
        )
    return " ".join(sentences)
