"""The command line of core.study.reproduce: `python -m core.reproduce`."""

import sys

from core.run import entry
from core.study.reproduce.command import main

if __name__ == "__main__":
    entry.begin()
    sys.exit(main())
