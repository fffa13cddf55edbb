"""The report of a visitor's samples: its sentences, as Markdown and as JSON."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from core.fields import number
from core.parts.dtypes import DTYPES
from core.parts.losses import LOSSES, Form, losses_for
from core.run.diagnosis import percent
from core.study.logits.census import EPSILONS, Tally, Verdict, tried
from core.study.logits.samples import Samples, totals

OWN = 0.0  # each loss with its own epsilon
VERDICTS = get_args(Verdict)
MEANS = (
    "Silent: the share of all samples that are wrong, and whose gradient is exactly 0. NaN or inf: "
    "the share whose loss or gradient is. Of the gradient: what the wrong samples get in all, of "
    "what is due to them."
)

PROBABILITIES: dict[Form, str] = {
    "binary": "These are probabilities: all lie between 0 and 1. Their logits are log p - log(1 - "
    "p). A loss that takes logits would apply a sigmoid for the second time.",
    "softmax": "These are probabilities: all lie between 0 and 1, and each row adds up to 1. Their "
    "logits are log p. A loss that takes logits would apply a softmax for the second time.",
}


@dataclass(frozen=True)
class Report:
    """What every loss makes of the samples of a file."""

    name: str  # of the file
    samples: Samples
    tallies: tuple[Tally, ...]

    def of(self, dtype: str, epsilon: float = OWN) -> list[Tally]:
        """Return a tally for each loss in a format, with one of EPSILONS or each with its own."""
        found = {each[:3]: each for each in self.tallies}
        return [
            found[key, dtype, epsilon_of(key, epsilon)] for key in losses_for(self.samples.form)
        ]

    def json(self) -> str:
        """Return the report as JSON; NaN and infinity are text there."""
        s = self.samples
        of = {
            "file": self.name, "classes": s.classes, "samples": s.total, "examined": len(s.rows),
            "nan": s.nan, "infinite": s.infinite, "probabilities": s.probabilities,
            "rounded": s.rounded, **totals(s), "notes": [*s.notes, *notes(s)],
        }  # fmt: skip
        tallies = [
            {name: _plain(value) for name, value in each._asdict().items()}
            | {"verdict": each.verdict}
            for each in self.tallies
        ]
        return json.dumps(of | {"tallies": tallies}, indent=2)

    def markdown(self) -> str:
        """Return the report as Markdown text: each format, every loss with its own epsilon."""
        lines = [f"# {self.name}", "", about(self.samples), ""]
        lines += [f"- {note}" for note in (*self.samples.notes, *notes(self.samples))]
        for dtype in DTYPES:
            tallies = self.of(dtype)
            lines += ["", f"## {answer(tallies)}", ""]
            lines += [f"- {sentence}" for sentence in sentences(tallies)]
            columns = table(tallies)
            lines += ["", _row(columns), _row("-" * len(columns))]
            lines += [_row(cells) for cells in zip(*columns.values(), strict=True)]
        return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def epsilon_of(key: str, epsilon: float) -> float | None:
    """Return the epsilon of a loss: the one given, or its own; None if it has none."""
    own = LOSSES[key].epsilon
    return None if own is None else epsilon or own


def title(tally: Tally) -> str:
    """Return a loss's name with its epsilon, if it has one."""
    epsilon = "" if tally.epsilon is None else f", ε = {number(tally.epsilon)}"
    return LOSSES[tally.loss].label + epsilon


def about(samples: Samples) -> str:
    """Return what the file holds, in a sentence or two."""
    figures = totals(samples)
    part = ""
    if len(samples.rows) < samples.total - samples.nan - samples.infinite:
        part = f", of which {len(samples.rows):,}, drawn by chance, are examined"
    return (
        f"{samples.total:,} samples of {samples.classes:,} classes{part}. "
        f"{percent(figures['accuracy'])} are right; the exact mean cross-entropy is "
        f"{_figure(figures['exact_loss'])} nats."
    )


def notes(samples: Samples) -> list[str]:
    """Return what is odd about the samples, whatever the loss."""
    told = []
    if samples.nan:
        told.append(
            f"In {samples.nan:,} of {samples.total:,} samples a logit is NaN. Whatever the loss, "
            "the mean of such a batch is NaN, and so is every weight after it. They are left out "
            "below."
        )
    if samples.infinite:
        told.append(
            f"In {samples.infinite:,} of {samples.total:,} samples a logit is infinite. They are "
            "left out below."
        )
    if samples.probabilities:
        told.append(PROBABILITIES[samples.form])
    if samples.rounded:
        told.append(
            f"In {samples.rounded:,} of {len(samples.rows):,} samples a probability is exactly 0 "
            "or 1. Its logit is lost; it is put where a probability just rounds to 0 or 1."
        )
    return told


def answer(tallies: Sequence[Tally]) -> str:
    """Return how many losses give the samples their gradient in the tallies' format."""
    count = sum(each.verdict == "whole" for each in tallies)
    gives = "gives" if not count else "give"
    how_many = "No loss" if not count else f"{count} of {len(tallies)} losses"
    if count == len(tallies):
        how_many = f"All {count} losses"
    return f"{how_many} {gives} these samples their gradient, in {DTYPES[tallies[0].dtype].label}"


def sentences(tallies: Sequence[Tally]) -> Iterator[str]:
    """Say which losses give the samples their gradient, which a part of it, and which break."""
    named = {verdict: [each for each in tallies if each.verdict == verdict] for verdict in VERDICTS}
    if good := named["whole"]:
        yield f"**Give the whole gradient**: {_listed(good)}."
    if silent := named["silent"]:
        yield (
            "**Give some samples none.** Wrong and silent, with a gradient of exactly 0, are "
            f"{_grouped(silent, 'silent_wrong', ' of the samples')}."
        )
    if weaker := [each for each in tallies if each.weak and each.verdict in ("silent", "weaker")]:
        yield (
            "**Give little.** Of all the gradient that they should have, the wrong samples get "
            f"{_grouped(weaker, 'kept')}."
        )
    if broken := named["breaks"]:
        yield (
            "**Break.** The loss or a gradient is NaN or inf for "
            f"{_grouped(broken, 'broken', ' of the samples')}. One is enough to make the mean of "
            "its batch NaN or inf."
        )


def _grouped(tallies: Sequence[Tally], name: str, of: str = "") -> str:
    """Return losses by what they have in common: "29% of the samples with A and B; 42% with C"."""
    groups: dict[str, list[Tally]] = {}
    for each in tallies:
        groups.setdefault(percent(getattr(each, name)), []).append(each)
    texts = [f"{figure}{of} with {_listed(group)}" for figure, group in groups.items()]
    return "; ".join([texts[0], *(text.replace(of, "", 1) for text in texts[1:])])


def _listed(tallies: Sequence[Tally]) -> str:
    names = [f"“{title(each)}”" for each in tallies]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


COLUMNS = {
    "wrong and silent": "silent_wrong",
    "right and silent": "silent_right",
    "half": "half",
    "under half": "weak",
    "wrong sign": "against",
    "NaN or inf": "broken",
    "gradient kept": "kept",
    "mean loss": "value",
}  # fmt: skip


def table(tallies: Sequence[Tally]) -> dict[str, list[str]]:
    """Return the tallies as columns of text: shares of samples, what is kept, and the loss."""
    columns = {"loss": [LOSSES[each.loss].label for each in tallies]}
    columns["epsilon"] = ["–" if e.epsilon is None else number(e.epsilon) for e in tallies]
    for head, name in COLUMNS.items():
        values = [getattr(each, name) for each in tallies]
        columns[head] = [_figure(v) if name == "value" else share(v) for v in values]
    return columns


def share(value: float) -> str:
    """Return a share with one decimal, but 0% for exactly none; NaN as NaN."""
    if 0 < value < 0.0005:
        return "<0.1%"
    return f"{value:.1%}".replace("nan%", "NaN") if value else "0%"


def _figure(value: float) -> str:
    return f"{value:.5g}".replace("nan", "NaN")


def word(tally: Tally) -> str:
    """Return what a loss does to the samples, as short as a cell of a table; see MEANS."""
    if tally.verdict == "breaks":
        return f"{share(tally.broken)} NaN or inf"
    if tally.verdict == "silent":
        return f"{share(tally.silent_wrong)} silent"
    return "whole gradient" if tally.verdict == "whole" else f"{share(tally.kept)} of the gradient"


def by_format(report: Report, epsilon: float = OWN) -> dict[str, list[str]]:
    """Return a table of every loss in every format."""
    columns = {"loss": [title(each) for each in report.of(next(iter(DTYPES)), epsilon)]}
    for dtype, row in DTYPES.items():
        columns[row.label] = [word(each) for each in report.of(dtype, epsilon)]
    return columns


def by_epsilon(report: Report, dtype: str) -> dict[str, list[str]]:
    """Return a table of every loss that has an epsilon, with each of EPSILONS."""
    having = [key for key in losses_for(report.samples.form) if tried(key) != (None,)]
    columns = {"loss": [LOSSES[key].label for key in having]}
    for epsilon in EPSILONS:
        columns[f"ε = {number(epsilon)}"] = [
            word(each) for each in report.of(dtype, epsilon) if each.loss in having
        ]
    return columns
