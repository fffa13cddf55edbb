"""A second prediction: do twins still end apart once both are changed alike?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ui.story.predict import MARGIN, judge, predict, told
from ui.story.twin import Twins, ends
from ui.story.watch import watch

STAYS, GOES, TURNS = "The gap stays", "The gap vanishes", "It turns: the other one is ahead"


def what_if(key: str, twins: Twins, changes: Mapping[str, Any], question: str) -> bool:
    """Ask, train both with these changes, and judge. True once that is done.

    Not before both twins have ended: the gap of the pair itself is what is compared with.
    """
    guess = predict(key, question, [STAYS, GOES, TURNS])
    if guess is None:
        return False
    changed = [twin._replace(config=replace(twin.config, **changes)) for twin in twins]
    if not watch(changed, key=key, predictions=False):
        return False
    judge(guess, _answer(_gap(twins), _gap(changed)), told(ends(changed)))
    return True


def _gap(twins: Twins) -> float:
    first, second = ends(twins).values()
    return second - first


def _answer(before: float, after: float) -> str:
    if abs(after) <= MARGIN:
        return GOES
    return STAYS if before * after > 0 else TURNS
