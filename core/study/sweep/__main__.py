"""`python -m core.study.sweep`."""

import sys

from core.run import entry
from core.study.sweep.command import main

if __name__ == "__main__":
    entry.begin()
    sys.exit(main())
