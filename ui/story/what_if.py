"""A second prediction: how do the twins end if both are changed in the same way?"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ui.pieces.predict import MARGIN, ends_sentence, predict
from ui.story.series import BETTER, errors_sentence, nearer
from ui.story.twin import Twin, Twins, ends
from ui.story.watch import watch

NONE, ONE, BOTH = "Neither beats copying", "Only one of them beats copying", "Both beat copying"
STAYS, GOES, TURNS = "The same one stays ahead", "The gap vanishes", "The other one is ahead"
ALIKE, PARTS = "They end alike again", "Now one of them is ahead"  # where nobody was ahead before


def what_if(key: str, twins: Twins, changes: Mapping[str, Any], question: str) -> bool:
    """Ask, train both twins with these changes, and judge; return True once that is done.

    Call it only after the unchanged twins have ended, because it compares with their gap.
    """
    before = _gap(twins)
    if abs(before) > MARGIN:
        guess = predict(key, question, [STAYS, GOES, TURNS])
    else:
        guess = predict(f"{key}_alike", question, [ALIKE, PARTS])
    if guess is None:
        return False
    changed = _changed(twins, changes)
    if not watch(changed, key=key, predictions=False):
        return False
    guess.judge(_right_option(before, _gap(changed)), ends_sentence(ends(changed)))
    return True


def copying_beaten(key: str, twins: Twins, changes: Mapping[str, Any], question: str) -> bool:
    """Like what_if, for twins that predict series: ask how many of them beat copying."""
    guess = predict(key, question, [NONE, ONE, BOTH])
    if guess is None:
        return False
    changed = _changed(twins, changes)
    if not watch(changed, key=key):
        return False
    better = sum(nearer(twin) == BETTER for twin in changed)
    guess.judge((NONE, ONE, BOTH)[better], errors_sentence(changed))
    return True


def _changed(twins: Twins, changes: Mapping[str, Any]) -> list[Twin]:
    return [twin._replace(config=replace(twin.config, **changes)) for twin in twins]


def _gap(twins: Twins) -> float:
    first, second = ends(twins).values()
    return second - first


def _right_option(before: float, after: float) -> str:
    led, leads = abs(before) > MARGIN, abs(after) > MARGIN
    if not led:
        return PARTS if leads else ALIKE
    if not leads:
        return GOES
    return STAYS if before * after > 0 else TURNS
