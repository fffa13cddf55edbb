"""The paths of chosen images: the logit of each over the steps."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa

from core.run.snapshot import Snapshot
from ui.charts import digits, flow, frame
from ui.charts.live import Drawing

MOST = 60  # snapshots that are drawn
HEIGHT = 240  # pixels


def towards(margins: np.ndarray, labels: np.ndarray, binary: bool) -> np.ndarray:
    """Return the logit of each image's own label: above 0, the label gets more than one half."""
    return np.where(labels == 0, -margins, margins) if binary else margins


def paths(
    run: Sequence[Snapshot], images: np.ndarray, steps: int, binary: bool, at: int | None
) -> Drawing:
    """Draw a line per image: its label's logit at each snapshot, coloured by its band there.

    A line is broken where the logit is NaN or infinite. At most MOST snapshots are drawn, evenly
    spaced; there must be at least one.

    Args:
      images: int [k], indices among the images that were measured.
      binary: whether the run gives one logit, that of label 1.
      at: the step that the visitor looks back to.
    """
    kept = np.unique(np.linspace(0, len(run) - 1, min(MOST, len(run))).astype(int))
    snapshots = [run[i] for i in kept]
    logits = np.array(
        [towards(s.margins[images], s.labels[images], binary) for s in snapshots], np.float64
    )
    bands = np.array([flow.band(s.correct[images], s.gradients[images]) for s in snapshots])
    names = np.array(list(flow.BANDS))
    known = np.isfinite(logits[:-1]) & np.isfinite(logits[1:])
    index, image = np.nonzero(known)
    at_step = np.array([s.step for s in snapshots])
    widest = float(np.abs(logits).max(initial=0.0, where=np.isfinite(logits)))
    return Drawing(
        key="chosen",
        spec=_spec(digits.top_of(widest), steps),
        tables={
            "paths": pa.table(
                {
                    "step": at_step[index],
                    "next": at_step[index + 1],
                    "logit": logits[index, image],
                    "then": logits[index + 1, image],
                    "image": images[image],
                    "band": pa.array(names[bands[index, image]], pa.string()),
                }
            ),
            "cursor": frame.cursor(at),
        },
        alt="The logit of each chosen image's own label by step; above 0 is right.",
        zoom=False,
    )


@frame.built_once()
def _spec(top: float, steps: int) -> dict[str, Any]:
    scale, axis = digits.symlog(top)
    bands = alt.Scale(domain=list(flow.BANDS), range=list(flow.BANDS.values()))
    lines = (
        alt.Chart(alt.NamedData("paths"))
        .mark_rule(strokeWidth=2)
        .encode(
            x=frame.step_axis(steps),
            x2=alt.X2("next:Q"),
            y=alt.Y("logit:Q", title="logit of the label", scale=scale, axis=axis),
            y2=alt.Y2("then:Q"),
            color=alt.Color("band:N", scale=bands, legend=None),
            tooltip=[
                alt.Tooltip("band:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("logit:Q", format=".4~g"),
            ],
        )
    )
    return {**frame.spec(alt.layer(lines, frame.cursor_rule(steps))), "height": HEIGHT}
