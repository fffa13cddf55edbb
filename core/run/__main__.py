"""`python -m core.run`."""

import sys

from core.run import memory
from core.run.command import main

if __name__ == "__main__":
    memory.keep_buffers()
    sys.exit(main())
