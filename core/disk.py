"""The size of a folder whose files come and go."""

import os
from contextlib import suppress
from pathlib import Path


def size_of(folder: Path, ending: str = "") -> int:
    """Return the bytes in all files below `folder` whose names end in `ending`.

    What another thread or process removes meanwhile is left out. Unlike `Path.rglob`, `os.walk`
    passes over a folder that was removed after it had been listed.
    """
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(ending):
                with suppress(FileNotFoundError):
                    total += os.stat(os.path.join(parent, name)).st_size
    return total
