"""The other process of core.run.apart: trains one run, and gives way to all other processes."""

import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

from core.run.apart import READY, Failed
from core.run.prepare import explain, prepare


def main() -> None:
    """Do what the standard input says until it ends; what is printed goes to standard error."""
    hear, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    if hasattr(os, "nice"):
        os.nice(10)

    def tell(what: Any) -> None:
        pickle.dump(what, answers)
        answers.flush()

    try:
        train(lambda: pickle.load(hear), tell)
    except (EOFError, BrokenPipeError):  # nobody listens any more
        return
    except Exception as error:
        tell(Failed(explain(error)))


def train(hear: Callable[[], Any], tell: Callable[[Any], None]) -> None:
    """Prepare the run that is heard of, and tell a tick each time that a step to look at is heard.

    Raises:
      EOFError: there is nothing more to hear.
    """
    config, mark = hear(), [0]
    ready = prepare(config, lambda *report: tell(report), lambda step: mark[0], apart=False)
    tell(READY)
    while True:
        mark[0] = hear()
        tell(next(ready.ticks))


if __name__ == "__main__":
    main()
