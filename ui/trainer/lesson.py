"""What a teacher's link may add to a run: parts of the page to hide, and a question to ask first.

`hide=` names rows of HIDABLE; a control that is hidden keeps the value that the link gives it.
`ask=` names a row of QUESTIONS, whose answer is measured on the run when it has ended.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from core.config import FIELDS, RunConfig
from core.fields import number
from core.parts.choices import TASKS
from core.registry import Registry, Row
from core.run.snapshot import Snapshot
from ui.pieces.widgets import GROUPS, LABELS, NETWORK, OPTIMIZER, ORDER, WIDGETS

PRESET, DIAGNOSIS = "preset", "diagnosis"
# The key of a fold hides the fold whole. "optimizer" is that of its fold, too.
FOLDS = {"network": NETWORK, "optimizer": OPTIMIZER, "order": ORDER}
assert tuple(FOLDS.values()) == GROUPS

HIDABLE = Registry(
    "part",
    [
        Row(key=PRESET, label="the menu of presets"),
        Row(key=DIAGNOSIS, label="what the page says of the run"),
        *(Row(key=key, label=f"all of “{fold}”") for key, fold in FOLDS.items()),
        *(Row(key=name, label=LABELS[name]) for name in WIDGETS if name not in FOLDS),
    ],
)


def hides(hidden: Sequence[str], name: str) -> bool:
    """Whether a setting, a fold or another part of the page is among what is hidden."""
    fold = WIDGETS[name].group if name in FIELDS else ""
    return name in hidden or any(FOLDS.get(key) == fold for key in hidden if fold)


class Answer(NamedTuple):
    """The option that is right, and what was measured."""

    right: str
    measured: str


@dataclass(frozen=True, kw_only=True)
class Question(Row):
    """A question about a run; `label` is how it is asked.

    Attributes:
      options: what can be answered.
      answer: the Answer that the looks of a run give, which has ended.
      series: whether it is about a run of series; None if it can be about any.
    """

    options: tuple[str, ...]
    answer: Callable[[Sequence[Snapshot]], Answer]
    series: bool | None = False

    def fits(self, config: RunConfig) -> bool:
        """Whether it can be asked of this run."""
        return self.series is None or self.series == TASKS[config.task].series


SHARES = {0.5: "less than half", 0.8: "50% to 80%", 0.95: "80% to 95%", math.inf: "95% or more"}
NAN = "it cannot be said: its answers are NaN"


def _accuracy(run: Sequence[Snapshot]) -> Answer:
    share = run[-1].score
    if math.isnan(share):
        return Answer(NAN, f"At step {run[-1].step:,} there are answers that are NaN")
    right = next(words for below, words in SHARES.items() if share < below)
    return Answer(right, f"At step {run[-1].step:,} it gets {share:.1%} right")


CHANGED = 0.1  # a loss that changes by a smaller share stays where it is
FALLS, STAYS, RISES = "fall", "stay where it is, within a tenth", "rise"
BREAKS = "become NaN or infinite"


def _loss(run: Sequence[Snapshot]) -> Answer:
    first, last = run[0].loss, run[-1].loss
    lost = next((look.step for look in run if not math.isfinite(look.loss)), None)
    if lost is not None:
        return Answer(BREAKS, f"It is NaN or infinite at step {lost:,}")
    change = last - first
    right = STAYS if abs(change) <= CHANGED * abs(first) else FALLS if change < 0 else RISES
    return Answer(right, f"It goes from {number(first, 3)} to {number(last, 3)}")


NONE, FEW, MOST = "none", "fewer than half", "half or more"


def _silent(run: Sequence[Snapshot]) -> Answer:
    last = run[-1]
    wrong, silent = float(last.census.wrong), float(last.census.stuck)
    right = NONE if not silent else FEW if silent < wrong / 2 else MOST
    return Answer(right, f"{wrong:.1%} of the images are wrong, {silent:.1%} wrong and silent")


NEAR = 0.02  # accuracies that are closer than this are about the same
TRAINED, HELD_OUT, BOTH = "those it trained on", "the held-out ones", "about the same on both"


def _held_out(run: Sequence[Snapshot]) -> Answer:
    last = run[-1]
    if math.isnan(last.score):
        return Answer(NAN, f"At step {last.step:,} there are answers that are NaN")
    more = last.train_accuracy - last.test_accuracy
    right = BOTH if abs(more) <= NEAR else TRAINED if more > 0 else HELD_OUT
    measured = f"{last.train_accuracy:.1%} right of those it trained on, "
    return Answer(right, f"{measured}{last.test_accuracy:.1%} of the held-out ones")


BETTER, WORSE = "closer than a copy of its input", "further away than a copy of its input"


def _copying(run: Sequence[Snapshot]) -> Answer:
    fit = run[-1].fit
    assert fit is not None
    error, copied = float(fit.error), float(fit.copied)
    measured = f"Its squared error on held-out series is {number(error, 3)}, a copy's "
    return Answer(BETTER if error < copied else WORSE, f"{measured}{number(copied, 3)}")


QUESTIONS: Registry[Question] = Registry(
    "question",
    [
        Question(
            key="accuracy",
            label="How many of its training images will it get right at the end?",
            options=(*SHARES.values(), NAN),
            answer=_accuracy,
        ),
        Question(
            key="loss",
            label="What will its loss do from the first step to the last?",
            options=(FALLS, STAYS, RISES, BREAKS),
            answer=_loss,
            series=None,
        ),
        Question(
            key="silent",
            label="Of the images that are wrong at the end, how many have a gradient of exactly 0?",
            options=(NONE, FEW, MOST),
            answer=_silent,
        ),
        Question(
            key="held_out",
            label="On which images will it be better at the end?",
            options=(TRAINED, HELD_OUT, BOTH, NAN),
            answer=_held_out,
        ),
        Question(
            key="copying",
            label="How close will it come to the next value of series it has not seen?",
            options=(BETTER, WORSE),
            answer=_copying,
            series=True,
        ),
    ],
)
