"""A run's images under the microscope, which show how many lie where a loss is silent."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES
from core.run.job import Viewer
from core.run.snapshot import Answers, Snapshot
from core.study import precision
from core.study.initial import initial_answers
from ui.charts import digits
from ui.charts import microscope as charts
from ui.charts.digits import Images, Zone
from ui.charts.live import GRADIENTS
from ui.microscope.curves import Look
from ui.microscope.setting import Setting
from ui.pieces.chosen import Judge, Run, clicked, judge, mark, panel, zones
from ui.pieces.draw import chart, colour_key

Seen = Snapshot | Answers


class _Initial(NamedTuple):
    """A network before its training, which answers like a run that has one look."""

    config: RunConfig

    def looks(self) -> list[Answers]:
        """The only look: the network's answers before any step."""
        return [initial_answers(self.config)]


def _network() -> tuple[Run, int, str]:
    """Return the run to show, its last step to show, and its name; the trainer's run if any."""
    viewer: Viewer | None = st.session_state.get("viewer")
    if viewer is not None and viewer.looks():
        return viewer, viewer.config.steps, "the network in the trainer"
    return _Initial(RunConfig()), 0, "the question's initial network"


def who_sits(chosen: Setting, looks: list[Look]) -> None:
    """Draw a run's images on the axis of the curves, and those that the visitor clicked."""
    run, at, name = _network()
    with st.spinner(f"asking {name}"):
        snapshot = [seen for seen in run.looks() if seen.step <= at][-1]
    judged = colouring(chosen, looks, run.config)
    sitting = _sitting(chosen, judged)
    images = sitting(snapshot)
    st.markdown(
        f"**Where the images are: every image of {name} after step {snapshot.step:,}, coloured by "
        f"its gradient from {_whose(judged)}**"
    )
    colour_key(GRADIENTS)
    key, wrong = "microscope_who_chart", ~images.correct
    chart(
        key,
        charts.who_spec(chosen.span, chosen.axis),
        digits.tables(
            images,
            digits.spaced(chosen.span, digits.BINS + 1, chosen.axis),
            _silent(judged, looks),
            mark(run.config, snapshot),
        ),
        f"Histogram of {len(wrong)} logits, right ones above the line and wrong ones below; "
        f"{wrong.mean():.0%} are wrong."
        if len(wrong) else "No sample has this label.",
        clicked("microscope", key, run, sitting),
    )  # fmt: skip
    _, margins, wrong = samples(snapshot, chosen)
    said = [who(chosen, looks, margins, wrong)]
    if chosen.form != "binary" or not two_classes(snapshot):
        said.append("Each image is where the curves give its true class the same probability.")
    said.append("The outermost bars also hold the images beyond the view.")
    st.caption(" ".join(said))
    panel("microscope", run, at, None, judged, sitting)


def colouring(chosen: Setting, looks: list[Look], config: RunConfig) -> Judge:
    """The loss whose gradients colour the images: the first that `_tells`, or the run's own."""
    for found in looks:
        if _tells(chosen, found):
            epsilon, dtype = chosen.epsilon_of(found.key), DTYPES[chosen.dtype].dtype
            label = chosen.class_index
            return Judge(chosen.form, found.key, epsilon, dtype, own=False, label=label)
    return judge(config)


def _tells(chosen: Setting, found: Look) -> bool:
    """True if a sample's margin alone decides its gradient: NaN may depend on all logits."""
    broken = [precision.first_broken(edges) for edges in (found.wrong, found.right)]
    return chosen.form == "binary" or broken == [None, None]


def _whose(judged: Judge) -> str:
    own = ", the loss that it trains with" if judged.own else f" in {judged.dtype.name}"
    return f"“{LOSSES[judged.key].label}”{own}"


def _silent(judged: Judge, looks: list[Look]) -> list[Zone]:
    """The zones where the colouring loss is silent; none if it is the run's own loss."""
    return [
        zone
        for found in looks
        if found.key == judged.key and not judged.own
        for zone in zones(found.wrong, False) + zones(found.right, True)
    ]


def _sitting(chosen: Setting, judged: Judge) -> Callable[[Seen], Images]:
    """Return what turns a look into images; those beyond the view are put at its end."""

    def sitting(snapshot: Seen) -> Images:
        place, margins, wrong = samples(snapshot, chosen)
        kinds = snapshot.gradients[place]
        if not judged.own:
            kinds = precision.kinds(slopes(chosen, judged.key, margins))
        z = precision.position(chosen.form, margins, chosen.class_index)
        last = np.nextafter(float(chosen.span), 0)
        return Images(place, np.clip(z, -chosen.span, last), ~wrong, kinds)

    return sitting


def slopes(chosen: Setting, key: str, margins: np.ndarray) -> np.ndarray:
    """The derivative of a loss for samples with these margins, under the setting."""
    epsilon, dtype = chosen.epsilon_of(key), DTYPES[chosen.dtype].dtype
    return precision.slopes(chosen.form, key, margins, chosen.class_index, epsilon, dtype)


def two_classes(snapshot: Seen) -> bool:
    """True if the run says whether a digit is 5 or more, and not which digit it is."""
    return set(np.unique(snapshot.labels)) <= {0, 1}


def samples(snapshot: Seen, chosen: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places of the samples that are shown, their margins, and which of them are wrong.

    With two classes only the samples of the chosen label are shown. With ten classes all are, and
    a margin compares the true class with the others.
    """
    margins, wrong = np.asarray(snapshot.margins, float), ~np.asarray(snapshot.correct)
    if not two_classes(snapshot):
        return np.arange(len(margins)), margins, wrong
    seen = np.flatnonzero(snapshot.labels == chosen.label)
    return seen, (margins if chosen.label else -margins)[seen], wrong[seen]


def who(chosen: Setting, looks: list[Look], margins: np.ndarray, wrong: np.ndarray) -> str:
    """Tell how many wrong samples each loss gives no gradient, and how many NaN or inf."""
    silent: list[str] = []
    gone: list[str] = []
    unknown: list[str] = []
    for found in looks:
        if not _tells(chosen, found):
            unknown.append(found.label)
            continue
        slope = slopes(chosen, found.key, margins)
        for told, which in ((silent, wrong & (slope == 0)), (gone, ~np.isfinite(slope))):
            if which.any():
                told.append(f"{which.mean():.1%} with {found.label}")
    said, these = [], f"these {len(margins):,} samples"
    if silent:
        said.append(f"Of {these}, wrong with gradient exactly 0: {', '.join(silent)}.")
    elif len(unknown) < len(looks):
        said.append(f"None of {these} is wrong with gradient exactly 0.")
    if gone:
        said.append(f"Gradient NaN or inf: {', '.join(gone)}.")
    if unknown:
        names = ", ".join(unknown)
        said.append(f"Not counted, because NaN depends on all the logits of a sample: {names}.")
    return " ".join(said)
