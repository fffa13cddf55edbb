"""Try every loss on logits and labels: `python -m core.study.logits FILE [--json]`.

FILE is a .safetensors, .npz or .csv file (docs/recordings.md). Exit status: 0, or 2 if the file
cannot be used.
"""

import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from core import command
from core.study.compare.recording import Unusable
from core.study.logits.census import census
from core.study.logits.report import Report
from core.study.logits.samples import load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.study.logits", __doc__)
    parser.add_argument("file", type=Path, help="logits and labels")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args(arguments)
    try:
        samples = load(options.file.name, options.file.read_bytes())
    except (OSError, Unusable) as error:
        fault = error.strerror if isinstance(error, OSError) else error
        command.tell(f"{options.file}: {fault}")
        return 2
    report = Report(options.file.name, samples, tuple(chain(*census(samples))))
    print(report.json() if options.json else report.markdown(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
