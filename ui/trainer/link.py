"""What a link to the trainer holds besides the run: how far it is played, its pins, a lesson.

| name | text | means |
|---|---|---|
| until | a step, or end | the run is played up to there |
| step | a step | looked back to; without `until` the run is played up to there, too |
| pins | seed~3~loss~clip~~. | pinned runs: what differs from the defaults; . is the defaults |
| hide | optimizer.seed | rows of HIDABLE |
| ask | accuracy | a row of QUESTIONS |
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from core.config import RunConfig, from_query, to_query
from core.fields import quoted, to_text
from ui.charts.palette import PINS as COLOURS
from ui.trainer.lesson import HIDABLE, QUESTIONS

UNTIL, LOOK, PINS, HIDE, ASK = NAMES = ("until", "step", "pins", "hide", "ask")
END = math.inf  # of a run: it plays on, and the newest look is shown
RUN, WORD = "~~", "~"  # what is between two runs, and between names and values; never in a value
DEFAULTS = "."


class Opened(NamedTuple):
    """What a link opens; `pins` is None if it says nothing of them."""

    config: RunConfig
    until: float = 0
    step: float = END
    pins: tuple[RunConfig, ...] | None = None
    hide: tuple[str, ...] = ()
    ask: str = ""

    def rest(self) -> dict[str, Any]:
        """Return what NAMES have, without pins that are not given."""
        values = dict(zip(NAMES, self[1:], strict=True))
        return {name: value for name, value in values.items() if value is not None}


def read(query: Mapping[str, str]) -> tuple[Opened, list[str]]:
    """Return what a link opens, and a note for each part that could not be used."""
    config, notes = from_query({name: text for name, text in query.items() if name not in NAMES})
    until, step, more = _steps(query, config.steps)
    pins, lost = None, False
    if PINS in query:
        pins, lost = _pins(query[PINS])
    hide, unknown = _hidden(query.get(HIDE, ""))
    ask = query.get(ASK, "")
    notes += more
    notes += ["pins has parts that cannot be used; the others are pinned"] if lost else []
    notes += [f"hide has nothing called {quoted(name)}; it was ignored" for name in unknown[:3]]
    if ask and ask not in QUESTIONS:
        notes.append(f"ask cannot be {quoted(ask)}; allowed are {', '.join(QUESTIONS)}")
        ask = ""
    elif ask and not QUESTIONS[ask].fits(config):
        notes.append(f"ask cannot be {ask} of this run; it was ignored")
        ask = ""
    return Opened(config, until, step, pins, hide, ask), notes


def _steps(query: Mapping[str, str], last: int) -> tuple[float, float, list[str]]:
    """The step played to and the step looked at, of a run that ends at step `last`."""
    given, notes = dict[str, float](), []
    for name in (UNTIL, LOOK):
        text = query.get(name, "")
        if text == "end" and name == UNTIL:
            given[name] = END
        elif text.isascii() and text.isdigit():
            given[name] = min(int(text[:9]), last)
        elif name in query:
            allowed = "a step or “end”" if name == UNTIL else "a whole number"
            notes.append(f"{name} must be {allowed}; it was ignored")
    step = given.get(LOOK, END)
    until = given.get(UNTIL, 0 if step == END else step)
    return until, END if UNTIL not in given or step >= last else step, notes


def _pins(text: str) -> tuple[tuple[RunConfig, ...], bool]:
    """The pinned runs in a text, and whether something of it could not be used."""
    runs, lost = list[RunConfig](), False
    for part in text.split(RUN):
        words = [] if part == DEFAULTS else part.split(WORD)
        if len(words) % 2:
            lost = True
            continue
        config, notes = from_query(dict(zip(words[::2], words[1::2], strict=True)))
        lost |= bool(notes)
        runs.append(config)
    found = tuple(dict.fromkeys(runs))
    return found[: len(COLOURS)], lost or len(found) > len(COLOURS)


def _hidden(text: str) -> tuple[tuple[str, ...], list[str]]:
    """What is to be hidden, in the order of HIDABLE, and what there is not."""
    asked = dict.fromkeys(filter(None, text.split(".")))
    hidden = tuple(key for key in HIDABLE if key in asked)
    return hidden, [key for key in asked if key not in HIDABLE]


def write(config: RunConfig, values: Mapping[str, Any]) -> dict[str, str]:
    """Return the query of a run and of what NAMES have in `values`."""
    until, step = values[UNTIL], values[LOOK]
    played = {UNTIL: "end" if until == END else str(until)} if until or step != END else {}
    looked = {LOOK: str(step)} if step != END else {}
    pins: Sequence[RunConfig] = values.get(PINS, ())
    pinned = {PINS: RUN.join(map(_as_word, pins))} if pins else {}
    hidden = {HIDE: to_text(values[HIDE])} if values[HIDE] else {}
    asked = {ASK: values[ASK]} if values[ASK] else {}
    return {**to_query(config), **played, **looked, **pinned, **hidden, **asked}


def _as_word(config: RunConfig) -> str:
    pairs = [word for pair in to_query(config).items() for word in pair]
    return WORD.join(pairs) or DEFAULTS
