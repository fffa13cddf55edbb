"""Compare two recordings: `python -m core.study.compare a.safetensors b.safetensors [--json]`.

With one recording it says what each stage computes. Exit status: 0 if the two do the same to
rounding (or there is only one), 1 if they differ, 2 if a file cannot be used.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from core import command
from core.study.compare.recording import LIMIT_BYTES, Unusable, read
from core.study.compare.walk import compare, look


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = command.parser("core.study.compare", __doc__)
    parser.add_argument("a", type=Path, help="a recording")
    parser.add_argument("b", type=Path, nargs="?", help="the recording to compare it with")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args(arguments)
    recordings = []
    for path in filter(None, (options.a, options.b)):
        try:
            recordings.append(read(path, LIMIT_BYTES))
        except Unusable as error:
            command.tell(f"{path}: {error}")
            return 2
    report = compare(*recordings) if options.b else look(*recordings)
    print(report.json() if options.json else report.markdown(), end="")
    return 0 if report.same else 1


if __name__ == "__main__":
    sys.exit(main())
