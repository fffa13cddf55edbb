"""The other process of core.run.own_process: it trains one run, at low priority."""

import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

from core.run import entry
from core.run.own_process import READY, Failed
from core.run.prepare import explain, prepare


def main() -> None:
    """Do what standard input says until it ends; anything printed goes to standard error."""
    hear, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    entry.begin()
    if hasattr(os, "nice"):
        os.nice(10)

    def tell(what: Any) -> None:
        pickle.dump(what, answers)
        answers.flush()

    try:
        train(lambda: pickle.load(hear), tell)
    except (EOFError, BrokenPipeError):  # the other side has gone
        return
    except Exception as error:
        tell(Failed(explain(error)))


def train(hear: Callable[[], Any], tell: Callable[[Any], None]) -> None:
    """Prepare the run that is received, then answer each step received with a tick.

    Raises:
      EOFError: the input has ended.
    """
    config, mark = hear(), [0]
    ready = prepare(config, lambda *report: tell(report), lambda step: mark[0], own_process=False)
    tell(READY)
    while True:
        mark[0] = hear()
        tell(next(ready.ticks))


if __name__ == "__main__":
    main()
