"""`python -m core.study.sweep`."""

import sys

from core.study.sweep.command import main

if __name__ == "__main__":
    sys.exit(main())
