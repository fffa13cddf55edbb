"""What the scripts of all frameworks have in common: small functions from settings to lines."""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from core.config import RunConfig
from core.data import SOURCES
from core.export.script import Cell, Script
from core.parts.choices import SCALINGS, TASKS
from core.parts.loss_inputs import LOSS_INPUTS
from core.parts.losses import LOSSES
from core.parts.order import LAST_BATCHES
from core.parts.precisions import PRECISIONS
from core.parts.reports import REPORTS
from core.run.snapshot import PROBE
from core.run.train import look_interval, looks_at_epochs

DATA = "data.npz"
WEIGHTS = "weights.safetensors"


def title(config: RunConfig, framework: str) -> str:
    """The first line of a script."""
    return f"A run of Samenet in {framework}: {TASKS[config.task].label}"


def settings(config: RunConfig) -> str:
    """What differs from the defaults, as JSON."""
    return json.dumps(config.differences()) if config.differences() else "none"


def real(value: float) -> str:
    """A number as Python reads it."""
    return repr(float(value))


def rounded(value: float, wide: bool = False) -> str:
    """The same of a number that the trainer keeps in float32; if `wide`, all digits of that."""
    kept = np.float32(value)
    return repr(float(kept if wide else str(kept)))


def as_array(number: str, array: str, config: RunConfig) -> str:
    """A float32 number of the script in the format of its array, which it would widen to 32 bits.

    A Python number widens none, but the trainer rounds to float32 first.
    """
    formats = PRECISIONS[config.precision]
    same = formats.compute.key == formats.loss.key == "float32"
    return number if same else f"jnp.asarray({number}, {array}.dtype)"


def unprinted(config: RunConfig) -> Iterator[str]:
    """What no script does."""
    if config.report != "true":
        yield (
            f"The run's program reports an accuracy that is not the true one: "
            f"{REPORTS[config.report].fault}. The true one is printed here, as held out."
        )


def constants(config: RunConfig) -> str:
    """The sizes of the training."""
    lines = [f"EPOCHS = {config.epochs}"]
    if not config.full_batch:
        lines += [f"BATCH = {config.batch_size}"]
        kept = LAST_BATCHES[config.last_batch].kept
        rest = "the last one is smaller" if kept else "whole batches; the rest is left out"
        lines += [f"PER_EPOCH = {config.steps_per_epoch}  # {rest}"]
        lines += ["STEPS = EPOCHS * PER_EPOCH"]
    else:
        lines += ["STEPS = EPOCHS  # each with all images"]
    return "\n".join(lines)


def pixels(config: RunConfig, byte: str) -> str:
    """An expression that scales bytes of pixels."""
    row = SCALINGS[config.scaling]
    shifted = f"({byte} - np.float32({rounded(row.shift)}))" if row.shift else byte
    return shifted if row.scale == 1 else f"{shifted} * np.float32({rounded(row.scale)})"


def is_binary(config: RunConfig) -> bool:
    """Whether there are two classes."""
    return TASKS[config.task].form == "binary"


def classes(config: RunConfig) -> int:
    """The number of classes."""
    return 2 if is_binary(config) else TASKS[config.task].outputs


def moved(config: RunConfig) -> list[str]:
    """The line that moves labels as they are in training, if they are."""
    if not config.label_shift:
        return []
    return [f"y = (y + {config.label_shift}) % {classes(config)}  # each label is the next one's"]


def smoothed(config: RunConfig, hot: str) -> str:
    """The expression `hot`, labels as numbers of 0 and 1, with the run's smoothing."""
    if not config.label_smoothing:
        return hot
    kept, share = 1 - config.label_smoothing, config.label_smoothing / classes(config)
    return f"({rounded(kept)} * {hot} + {rounded(share)})"


def look_condition(config: RunConfig) -> str:
    """When to measure, as the trainer does, or empty if after each step."""
    every = look_interval(config)
    if every == 1:
        return ""
    at = [f"step % {every} == 0"]
    if looks_at_epochs(config) and config.steps_per_epoch % every:
        at += [f"step % {'PER_EPOCH' if not config.full_batch else 1} == 0"]
    if config.steps % every and not (looks_at_epochs(config) and len(at) > 1):
        at += ["step == STEPS"]
    return " or ".join(at)


def part_held_out(config: RunConfig) -> bool:
    """Whether only some of the held-out images are measured within an epoch."""
    return SOURCES[config.source].test_size > PROBE


# The places of a step's images. NumPy and JAX end a slice at the last one.
BATCH = ("batch = order[place * BATCH : (place + 1) * BATCH]",)


def loop(config: RunConfig, order: str, update: str, batch: Sequence[str] = BATCH) -> str:
    """The loop over steps.

    Args:
      order: the line that gives `order`, the places of an epoch's images; empty for full batches.
      update: the line that takes a step, with `{x}` and `{y}` for its images and labels.
      batch: the lines that give `batch`, the places of a step's images.
    """
    share = "error" if TASKS[config.task].series else "right"
    lines = [f'print("  step         loss     {share}  held out")', "for step in range(STEPS + 1):"]
    condition = look_condition(config)
    indent = "    "
    if part_held_out(config):
        lines += [
            f"    # Within an epoch, the first {PROBE} that are held out are enough.",
            f"    ended = step > 0{'' if config.full_batch else ' and step % PER_EPOCH == 0'}",
            f"    some = slice(None) if ended else slice({PROBE})",
        ]
        held = "measured(test_x[some], test_y[some])"
    else:
        held = "measured(test_x, test_y)"
    if condition:
        lines += [f"    if {condition}:"]
        indent = "        "
    lines += [
        f"{indent}loss, right = measured(x[:{PROBE}], y[:{PROBE}])",
        f"{indent}_, held_out = {held}",
        indent + 'print(f"{step:6} {loss:12.9g} {right:9.4f} {held_out:9.4f}", flush=True)',
        "    if step == STEPS:",
        "        break",
    ]
    if config.full_batch:
        lines += ["    " + update.format(x="x", y="y")]
    else:
        lines += [
            "    epoch, place = divmod(step, PER_EPOCH)",
            "    if place == 0:",
            f"        order = {order}",
            *("    " + line for line in batch),
            "    " + update.format(x="x[batch]", y="y[batch]"),
        ]
    return "\n".join(lines)


def unwritten(config: RunConfig, framework: str, why: str) -> Script:
    """What there is in place of a script that cannot be had."""
    return Script(
        title=title(config, framework),
        needs="It does nothing.",
        cells=(Cell("", f"raise SystemExit({why!r})"),),
        cannot=(why,),
        settings=settings(config),
        whole=False,
    )


def data_words(config: RunConfig) -> str:
    """What stands above the data."""
    if TASKS[config.task].series:
        return "The data: series with noise, and the true value after each of theirs."
    return "The data: bytes of pixels, and digits."


def printed_words(config: RunConfig) -> str:
    """What stands above what is printed."""
    if TASKS[config.task].series:
        return "What is printed: the mean loss, and the mean squared error of the predictions."
    return "What is printed: the mean loss, and the share of right answers."


def each_loss(config: RunConfig) -> str:
    """What the function `losses` of labels and logits gives."""
    if TASKS[config.task].series:
        return "The loss of each series from its true values and the predictions."
    return "The loss of each image from its label and its logits."


def loss_words(config: RunConfig) -> str:
    """What stands above the loss."""
    given = LOSS_INPUTS[config.loss_input]
    if given.each_output:
        return (
            "The loss of each image, in nats: the mean of a binary loss of each output, in place "
            f"of {LOSSES[config.loss].label}."
        )
    if given.instead:
        return (
            f"The loss of each image, in nats. It takes logits for probabilities, in place of "
            f"{LOSSES[config.loss].label}."
        )
    if TASKS[config.task].series:
        return f"The loss of each series: {LOSSES[config.loss].label}."
    return f"The loss of each image, in nats: {LOSSES[config.loss].label}."
