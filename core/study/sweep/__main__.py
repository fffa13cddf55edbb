"""`python -m core.study.sweep`."""

import sys

from core.run import memory
from core.study.sweep.command import main

if __name__ == "__main__":
    memory.keep_buffers()
    sys.exit(main())
