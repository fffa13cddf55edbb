"""Compile what a server's first run needs and keep it on disk, as for an image (see Dockerfile).

`PYTHONPATH=. python scripts/compile_ahead.py`; a second time it takes a few seconds.
"""

from ui import engine

if __name__ == "__main__":
    engine.engine()  # names the folder
    for _ in engine.ahead_of_visitors():
        pass
    engine.engine().close()
