"""The colour of a variant: the same on every page, and unlike the others in its chart."""

from collections.abc import Collection, Sequence

from core.config import FIELDS, RunConfig
from core.fields import Choice
from core.parts.losses import LOSSES, WorksOn
from core.study.twins import differing_fields
from ui.charts.palette import HELD_OUT, MORE, PINS, TRAIN, VARIANTS

LOSS_COLOURS: dict[WorksOn, tuple[str, ...]] = {  # by what a loss works on, its first choice first
    "probability": (PINS[2],),
    "clipped probability": (HELD_OUT, MORE),
    "logits": (TRAIN, PINS[0], PINS[3]),
    "predictions": (TRAIN, HELD_OUT),
}
FIRST = ("question_stable", "from_logits")  # these choose before others of their kind
SPARE = [each for each in VARIANTS if each not in {own for own, *_ in LOSS_COLOURS.values()}]


def loss_colours(keys: Collection[str]) -> dict[str, str]:
    """Return the colour of each loss: one of those for what it works on, while any is left."""
    colours: dict[str, str] = {}
    table = list(LOSSES)
    place = {key: -i for i, key in enumerate(table)}  # a formula comes last
    for key in sorted({*keys}, key=lambda key: (key not in FIRST, place.get(key, 1), key)):
        own = LOSS_COLOURS[LOSSES[key].works_on]
        colours[key] = next(each for each in (*own, *SPARE) if each not in colours.values())
    return {key: colours[key] for key in keys}


def run_colours(configs: Sequence[RunConfig]) -> list[str]:
    """Return the colours of runs that are compared: those of their losses, if all differ.

    Otherwise there are two runs, and the first setting in which they differ decides: the run whose
    value is first in its registry, or the smaller number, has the run's own colour.
    """
    colours = loss_colours({config.loss for config in configs})
    if len(colours) == len(configs):
        return [colours[config.loss] for config in configs]
    a, b = configs
    name = next(iter(differing_fields(a, b)))
    allowed = FIELDS[name]
    order = list(allowed.registry).index if isinstance(allowed, Choice) else float
    in_order = order(a.effective(name)) < order(b.effective(name))
    return [TRAIN, HELD_OUT] if in_order else [HELD_OUT, TRAIN]
