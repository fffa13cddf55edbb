"""Which images are right and which are silent: their shares over the steps."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import Snapshot
from ui.charts import frame, live
from ui.charts.live import Drawing
from ui.charts.palette import BEFORE, BROKEN, DEAD, MORE, TRAIN

STEPS = 120  # the most that are drawn
# From the bottom up: the line between right and wrong is the accuracy.
BANDS = {
    "right, silent": BEFORE,
    "right, with gradient": TRAIN,
    "wrong, with gradient": MORE,
    "wrong, silent": DEAD,
    "NaN or inf": BROKEN,
}
# In two columns of which the first is narrow: a phone's legend has no room for two wide ones.
LEGEND = ("right, silent", "right, with gradient", "wrong, silent", "wrong, with gradient")
FLOW = pa.schema(
    [
        ("step", pa.int64()), ("low", pa.float64()), ("high", pa.float64()),
        ("share", pa.float64()), ("band", pa.string()),
    ]
)  # fmt: skip


def flow(run: Sequence[Snapshot], steps: int, at: int | None, broken: bool = False) -> Drawing:
    """Draw the shares of the measured images over the steps: right or wrong, silent or not.

    Args:
      broken: whether the legend names NaN and inf.
    """
    return Drawing(
        key="flow",
        spec=_spec(steps, broken),
        tables={"flow": _table(run, steps), "cursor": frame.cursor(at)},
        alt="Shares of the images by step.",
        zoom=True,
        sentence=frame.curves_sentence("Shares of the images by step", _ends(run, steps), steps),
    )


CODES = (3, 1, 0, 2)  # the code of each band but the last, see `_codes`


def _codes(correct: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return twice each image's Gradient, plus one if it is right: uint8."""
    return 2 * gradients + correct


def band(correct: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return the index in BANDS of each image, in an array of any shape: int."""
    places = [CODES.index(code) if code in CODES else len(CODES) for code in range(6)]
    return np.array(places)[_codes(correct, gradients)]


def shares(run: Sequence[Snapshot]) -> np.ndarray:
    """Return the share of images in each band at each snapshot: float64 [len(BANDS), looks]."""
    codes = _codes(np.array([s.correct for s in run]), np.array([s.gradients for s in run]))
    # uint16 is enough for PROBE, and sums three times as fast as NumPy's own choice.
    counts = np.array([(codes == code).sum(axis=1, dtype=np.uint16) for code in CODES], int)
    images = codes.shape[1]
    return np.array([*counts, images - counts.sum(axis=0)]) / images


def _ends(run: Sequence[Snapshot], steps: int) -> dict[str, np.ndarray]:
    """Return the first and last share of each band that has any, once the run has ended."""
    if not live.ended(run, steps):
        return {}
    ends = zip(BANDS, shares([run[0], run[-1]]), strict=True)
    return {name: values for name, values in ends if values.any()}


def _table(run: Sequence[Snapshot], steps: int) -> pa.Table:
    """Return rows of step, low, high, share and band.

    The last snapshot is drawn a little past its step; otherwise a single one could not be seen.
    """
    if not run:
        return FLOW.empty_table()
    known = shares(run)
    kept = frame.extremes(known[[0, 3]], STEPS - 1)  # of the two silent bands
    at = np.array([run[i].step for i in kept])
    at = np.append(at, at[-1] + max(1, steps // 100))
    drawn = known[:, np.append(kept, kept[-1])]
    high = drawn.cumsum(axis=0)
    columns = [
        np.tile(at, len(BANDS)),
        (high - drawn).ravel(),
        high.ravel(),
        drawn.ravel(),
        np.repeat(list(BANDS), len(at)),
    ]
    return pa.table([pa.array(column) for column in columns], schema=FLOW)


@frame.built_once()
def _spec(steps: int, broken: bool) -> dict[str, Any]:
    y = alt.Y(
        "low:Q",
        title="share of images",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    bands = alt.Scale(domain=list(BANDS), range=list(BANDS.values()))
    named = [*LEGEND, "NaN or inf"] if broken else list(LEGEND)
    legend = alt.Legend(columns=2, labelLimit=150, symbolType="square", values=named)
    area = (
        alt.Chart(alt.NamedData("flow"))
        .mark_area(clip=True)
        .encode(
            x=frame.step_axis(steps),
            y=y,
            y2=alt.Y2("high:Q"),
            color=alt.Color("band:N", scale=bands, legend=legend),
            tooltip=[
                alt.Tooltip("band:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    title, rule = "Right, wrong and silent images by step", frame.cursor_rule(steps)
    return frame.zoomable(title, area, rule, height=frame.TALL)
