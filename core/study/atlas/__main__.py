"""`python -m core.study.atlas`."""

import sys

from core.run import memory
from core.study.atlas.command import main

if __name__ == "__main__":
    memory.keep_buffers()
    sys.exit(main())
