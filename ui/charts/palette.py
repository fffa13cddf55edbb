"""The one palette. Every colour has a contrast of 3 or more on both backgrounds."""

TRAIN = "#3f7fef"  # the run itself
HELD_OUT = "#d7730f"
BEFORE = "#828da3"  # the run before the last change
DEAD = "#e0454f"  # clipped, zero gradient
BROKEN = "#a56be0"  # NaN or inf
PINS = ["#299f77", "#aa8917", "#e15e9e", "#3097bd"]  # pinned runs
MORE = "#8d6e52"  # what is none of these
VARIANTS = [TRAIN, HELD_OUT, PINS[0], BROKEN, *PINS[1:], MORE]  # what is compared on a page
# Beside training and held out, which the first layers are not.
LAYERS = [PINS[3], PINS[1], PINS[0], PINS[2], MORE, BROKEN, TRAIN, HELD_OUT]
