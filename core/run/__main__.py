"""`python -m core.run`."""

import sys

from core.run import entry
from core.run.command import main

if __name__ == "__main__":
    entry.begin()
    sys.exit(main())
