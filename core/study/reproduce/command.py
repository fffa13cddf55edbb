"""Run what the project says happened, and compare: `python -m core.reproduce [--json] [--case X]`.

Prints a row for each figure: its kind, what is stated, what was measured, and the verdict. `--json`
prints a list of {case, quantity, kind, published, expected, measured, low, high, ok} and nothing
else. A row is of one of three kinds:

- published: the source printed the figure, which is `published`.
- fact: the frameworks named in the case's reference gave the figure when run, and it is
  `expected`. Nobody published it.
- regression: nobody stated the figure. Its band is where this project found it.

`published` is null for all kinds but the first and `expected` for all but the second; `ok` says
whether `measured` lies within `low` and `high`. JSON has no NaN or infinity: they are the strings
"NaN", "Infinity" and "-Infinity", which float() and Number() read. The exit status is 1 if a row
fails. A case whose data is not on this machine is left out, with the reason on stderr; a long one
runs only if it is named, or with `--long`.

If a result is chaotic, so that weights nudged by one rounding change it, no single run can be
reproduced. Such a row says "chaotic" and is judged by what many runs from nudged weights do; the
figure stated is one draw. A network that never trained fails it, and so does one that collapsed.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from core import command
from core.data import DataUnavailable
from core.study.reproduce.cases import CASES
from core.study.reproduce.finding import Finding


def reproduce(keys: Iterable[str]) -> Iterator[tuple[str, Finding]]:
    """Yield each finding of these cases with its case's key; say on stderr what is left out."""
    for key in keys:
        try:
            for finding in CASES[key].run():
                yield key, finding
        except DataUnavailable as reason:
            command.tell(f"{key} is left out: {reason}")


def as_json(case: str, finding: Finding) -> dict[str, Any]:
    """The row that --json prints; see above."""
    return {
        "case": case,
        "quantity": finding.quantity,
        "kind": finding.kind.value,
        "published": _figure(finding.published),
        "expected": _figure(finding.expected),
        "measured": _figure(finding.measured),
        "low": _figure(finding.low),
        "high": _figure(finding.high),
        "ok": finding.ok,
    }


def _figure(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _line(case: str, finding: Finding) -> str:
    stated = "" if finding.stated is None else f"{finding.stated:.4g}"
    allowed = "NaN" if math.isnan(finding.low) else f"{finding.low:.4g} to {finding.high:.4g}"
    verdict = "ok" if finding.ok else "FAILED"
    return (
        f"{case:17}{finding.kind:11}{finding.quantity:70}{stated:>8}{finding.measured:>10.4g}"
        f"  {allowed:20}{verdict}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    cases = (
        f"{key:17}{case.label}. {case.summary} Source: {case.reference}."
        for key, case in CASES.items()
    )
    parser = command.parser("core.reproduce", __doc__, "cases:\n" + "\n".join(cases))
    parser.add_argument("--json", action="store_true", help="print a JSON list and nothing else")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--case", choices=list(CASES), help="run this case only")
    which.add_argument("--long", action="store_true", help="run the long cases too")
    options = parser.parse_args(arguments)
    wanted = [key for key, case in CASES.items() if options.long or not case.long]
    findings = []
    if not options.json:
        print(f"{'case':17}{'kind':11}{'quantity':70}{'stated':>8}{'measured':>10}  allowed")
    for case, finding in reproduce([options.case] if options.case else wanted):
        findings.append((case, finding))
        if not options.json:
            print(_line(case, finding), flush=True)
    if options.json:
        print(json.dumps([as_json(*each) for each in findings], indent=1, allow_nan=False))
    return 0 if all(finding.ok for _, finding in findings) else 1
