"""What a walk found: stages in the order of a step, and a verdict for each cause."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["same", "differs", "not recorded", "after the first difference"]
Side = Literal["a", "b", "both"]

# The distance of drawn numbers from a distribution.
STANDARD_ERRORS = "standard errors"
CHANCE = "up to 4 is chance"

STAGES = (
    "initial weights", "batch", "outputs", "loss", "gradient of the outputs", "gradients",
    "update", "state", "evaluation",
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """A cause, and how well it explains what was recorded.

    `residual` is the largest deviation that is left, relative to the largest number explained, or
    in `unit`; `runner_up` names the next best explanation. None: there is nothing to compare with.
    """

    side: Side
    cause: str
    sentence: str
    residual: float | None = None
    runner_up: str = ""
    runner_up_residual: float | None = None
    write: str = ""
    unit: str = ""  # of the residuals, if they are no share
    matters: str = ""  # sentences on how much it changes


@dataclass(frozen=True)
class Numbers:
    """The largest difference at a stage, and where it is."""

    tensor: str
    step: int
    relative: float  # of the largest number of the tensor
    ulp: float  # in units of the last place of the tensor's largest number
    tolerance: float  # the largest relative difference that is taken for rounding


@dataclass(frozen=True)
class Stage:
    """One stage of the walk."""

    name: str
    status: Status
    numbers: Numbers | None = None
    verdicts: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()  # what was found without being blamed


@dataclass(frozen=True)
class Report:
    """The walk through two recordings, or through one (`other` is then empty)."""

    first: str
    other: str
    stages: tuple[Stage, ...]
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the two do the same, to rounding, in all that both recorded."""
        return not any(stage.status == "differs" for stage in self.stages)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts, in the order of the stages."""
        return tuple(verdict for stage in self.stages for verdict in stage.verdicts)

    def answer(self) -> str:
        """Return in a sentence whether the two do the same, and what was found if not."""
        if self.same:
            return "The same, to rounding."
        causes = [verdict.cause.replace("_", " ") for verdict in self.verdicts]
        parted = next(stage.name for stage in self.stages if stage.status == "differs")
        found = f"Found: {', '.join(causes)}." if causes else "No piece explains it."
        return f"They part at the {parted}. {found}"

    def json(self) -> str:
        """Return the report as JSON; NaN and infinity are text there."""
        return json.dumps({"same": self.same, **_plain(asdict(self))}, indent=2)

    def markdown(self) -> str:
        """Return the report as Markdown text."""
        lines = [f"# a: {self.first}, b: {self.other}" if self.other else f"# {self.first}", ""]
        if self.other:
            lines += [self.answer(), ""]
        lines += [f"- {note}" for note in self.notes] + [""] * bool(self.notes)
        for stage in self.stages:
            lines += [f"## {stage.name}: {status_words(stage)}", ""]
            if stage.numbers is not None:
                lines += [numbers_sentence(stage.numbers), ""]
            for verdict in stage.verdicts:
                lines += [verdict_sentence(verdict), ""]
                if verdict.write:
                    lines += ["```", verdict.write, "```", ""]
            lines += [f"- {note}" for note in stage.notes] + [""] * bool(stage.notes)
        return "\n".join(lines).rstrip() + "\n"


def status_words(stage: Stage) -> str:
    """Return a stage's status, and what was judged all the same."""
    judged = stage.status == "after the first difference" and stage.verdicts
    return f"{stage.status}; each side judged by its own numbers" if judged else stage.status


def numbers_sentence(n: Numbers) -> str:
    """Return the largest difference as a sentence."""
    name = f" of {n.tensor}" if n.tensor else ""
    if n.relative == 0:
        return "Identical."
    if n.tensor == "labels":
        return f"The labels differ at step {n.step}."
    return (
        f"Largest difference{name} at step {n.step}: {shown(n.relative)} of the largest number, "
        f"or {shown(n.ulp)} units in its last place; up to {shown(n.tolerance)} is rounding."
    )


def verdict_sentence(verdict: Verdict) -> str:
    """Return a verdict with its figures."""
    cause = verdict.cause.replace("_", " ")
    side = "" if verdict.side == "both" else f" ({verdict.side})"
    figures = " ".join(filter(None, (left_unexplained(verdict), verdict.matters)))
    return f"**{cause}**{side}: {verdict.sentence} {figures}".rstrip()


def left_unexplained(verdict: Verdict) -> str:
    """Return how well a verdict explains the numbers, beside the next best; "" if not measured."""
    if verdict.residual is None:
        return ""
    unit = f" {verdict.unit}" if verdict.unit else ""
    text = "Off by" if unit else "Left unexplained:"
    text = f"{text} {shown(verdict.residual)}{unit}"
    next_best = verdict.runner_up_residual
    if verdict.runner_up and next_best is not None and math.isfinite(next_best):
        text += f"; with {verdict.runner_up} it would be {shown(next_best)}"
    return f"{text}{f'; {CHANCE}' if verdict.unit == STANDARD_ERRORS else ''}."


def shown(number: float) -> str:
    """Return a number with two digits, NaN as NaN."""
    if math.isnan(number):
        return "NaN"
    return f"{number:.2g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
