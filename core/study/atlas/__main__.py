"""`python -m core.study.atlas`."""

import sys

from core.run import entry
from core.study.atlas.command import main

if __name__ == "__main__":
    entry.begin()
    sys.exit(main())
