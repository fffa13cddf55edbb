"""CAUSES: what may be wrong with a run, each measured on its own snapshots.

A cause fits or it does not; the first that fits is said and the others stand behind it. A sentence
says what was seen. Where one foretells, its row's `holds` says what must come true, and
benchmarks.truth holds that against the rest of some hundred runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from core.config import FIELDS, RunConfig
from core.data import SOURCES
from core.fields import number
from core.parts.choices import TASKS
from core.parts.dropout import DROPOUTS
from core.parts.dtypes import DTYPES, Dtype
from core.parts.losses import LOSSES, losses_for
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS
from core.registry import Registry, Row
from core.run.snapshot import DROPPED, Gradient, Largest, Snapshot, silent_and_wrong

TINY = 1e-5  # of a layer's size: a step below it moves nothing that can be seen
LARGE = 0.1  # of a layer's size: a step above it takes the weights elsewhere
MOST_DEAD = 0.9  # of a layer's units
FEW = 0.1  # of the images: a network with fewer wrong does well with the units it has
GAP = 0.15  # of the images: trained on and held out
# Steps before which answers hang on the dropped units in networks that will do well, too: at keep
# 0.7 the keep_prob question's was past it after 30 to 40 (JAX 0.10.2; two seeds, three forms).
SETTLED = 50
MOST_VANISHED = 0.5  # of the gradient's numbers


class Evidence(NamedTuple):
    """A run as far as it has been seen, at least its start."""

    config: RunConfig
    seen: Sequence[Snapshot]

    @property
    def first(self) -> Snapshot:
        """The start."""
        return self.seen[0]

    @property
    def now(self) -> Snapshot:
        """The newest look."""
        return self.seen[-1]

    @property
    def steps(self) -> np.ndarray:
        """The next step's change of each layer by the layer's size: float [layers]."""
        sizes = np.asarray(self.now.weight_norms, float)
        changes = np.asarray(self.now.update_norms, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(changes == 0, 0.0, changes / sizes)


@dataclass(frozen=True, kw_only=True)
class Cause(Row):
    """Something that keeps a run from learning, or that it learns; `summary` says what it is."""

    fits: Callable[[Evidence], bool]
    says: Callable[[Evidence], str]
    cure: Callable[[RunConfig], Mapping[str, Any]] = lambda config: {}  # a change, or nothing
    # Where `says` foretells: whether a later look of the same run bears it out.
    holds: Callable[[Evidence, Snapshot], bool] | None = None


class Finding(NamedTuple):
    """A cause that fits, in words, with what may help."""

    cause: Cause
    sentence: str
    cure: Mapping[str, Any]  # fields to change; may be empty


def diagnose(config: RunConfig, seen: Sequence[Snapshot]) -> list[Finding]:
    """The causes that fit what was seen, the first one first. There is always one."""
    evidence = Evidence(config, seen)
    return [
        Finding(cause, cause.says(evidence), cause.cure(config))
        for cause in CAUSES.values()
        if cause.fits(evidence)
    ]


def share(value: float) -> str:
    """84%, but never 0% or 100% for what is not exactly none or all."""
    if 0 < value < 0.005:
        return "under 1%"
    if 0.995 <= value < 1:
        return "over 99%"
    return f"{value:.0%}"


# Cures: changes of a config.


def _on_logits(config: RunConfig) -> dict[str, Any]:
    """The same cross-entropy from logits, or smaller pixels where it works on no probability."""
    if LOSSES[config.loss].works_on in ("logits", "predictions"):
        return _smaller_pixels(config)
    return {"loss": losses_for(TASKS[config.task].form)[-1], **_usual_steps(config, most=10)}


def _smaller_pixels(config: RunConfig) -> dict[str, Any]:
    """Pixels from 0 to 1; where they are, or there are none, smaller steps."""
    if config.scaling != "raw" or "scaling" in config.ignored():
        return _smaller_steps(config)
    return {"scaling": "unit", **_usual_steps(config, most=10)}


def _smaller_steps(config: RunConfig) -> dict[str, Any]:
    """The optimizer's usual learning rate where this one is larger, else a tenth of it."""
    return _usual_steps(config, most=1) or _rate(config.learning_rate / 10)


def _larger_steps(config: RunConfig) -> dict[str, Any]:
    """The optimizer's usual learning rate where this one is smaller, else ten times as much."""
    usual = OPTIMIZERS[config.optimizer].learning_rate
    return _rate(usual if config.learning_rate < usual else 10 * config.learning_rate)


def _usual_steps(config: RunConfig, most: float) -> dict[str, Any]:
    """The optimizer's usual learning rate where this one is more than `most` times as large."""
    usual = OPTIMIZERS[config.optimizer].learning_rate
    return {"learning_rate": usual} if config.learning_rate > most * usual else {}


def _rate(learning_rate: float) -> dict[str, Any]:
    allowed = FIELDS["learning_rate"]
    return {} if allowed.fault(learning_rate) else {"learning_rate": float(f"{learning_rate:.3g}")}


def _more_range(config: RunConfig) -> dict[str, Any]:
    """float32's range for 16 bits; where the run has that already, smaller pixels."""
    if PRECISIONS[config.precision].compute.largest < DTYPES["float32"].largest:
        return {"precision": "float32"}
    return _smaller_pixels(config)


def _sounder(config: RunConfig) -> dict[str, Any]:
    """The loss from logits; where it is, more digits than 16 bits have; else smaller pixels."""
    takes_logits = LOSSES[config.loss].works_on in ("logits", "predictions")
    if takes_logits and PRECISIONS[config.precision].narrow:
        return {"precision": "float32"}
    return _on_logits(config)


def _less_dropping(config: RunConfig) -> dict[str, Any]:
    """Half as many units dropped, by the same form of dropout."""
    keep = 1 - max(0.05, (1 - _keep_prob(config)) / 2)
    # The number is the probability to keep or the one to drop: a form turns either into the other.
    number = DROPOUTS[config.dropout].means(jnp.float32(keep)).keep_prob
    return {"dropout_value": round(float(number), 3)}


def _more_images(config: RunConfig) -> dict[str, Any]:
    """All images that there are, for as many steps as before."""
    most = SOURCES[config.source].train_size
    if config.train_size == most or config.full_batch:
        return {}
    epochs = max(1, round(config.steps / (most // config.batch_size)))
    return {"train_size": most, "epochs": epochs}


def _keep_prob(config: RunConfig) -> float:
    return _kept(config.dropout, config.dropout_value)


@lru_cache(maxsize=1024)
def _kept(dropout: str, value: float) -> float:
    """The share of units kept; asking JAX at each look took a tenth of a frame."""
    return float(DROPOUTS[dropout].means(jnp.float32(value)).keep_prob)


def _aligned(config: RunConfig) -> dict[str, Any]:
    """The squared error that compares each prediction with its own target, where it is another."""
    aligned = losses_for(TASKS[config.task].form)[-1]
    return {"loss": aligned} if config.loss != aligned else {}


# What is looked for, and how it is said.


def _what(e: Evidence) -> str:
    """What the network looks at."""
    return "series" if e.now.fit else "images"


def _wrong(e: Evidence) -> str:
    return share(float(e.now.census.wrong))


def _nan(e: Evidence) -> bool:
    return bool(e.now.saturation.nonfinite > 0)


def _say_nan(e: Evidence) -> str:
    return f"{share(float(e.now.saturation.nonfinite))} of the predictions are NaN."


def _broken_weights(e: Evidence) -> bool:
    return not np.all(np.isfinite(e.now.weight_norms))


def _say_broken_weights(e: Evidence) -> str:
    share_nan = float(e.now.saturation.nonfinite)
    seen = f"{share(share_nan)} of the predictions are NaN. " if share_nan else ""
    return f"{seen}Some weights are NaN or inf, and no step makes such a weight a number again."


def _breaking_step(e: Evidence) -> bool:
    return not e.now.next_finite and not _broken_weights(e)


def _say_breaking_step(e: Evidence) -> str:
    if np.all(np.isfinite(e.now.gradient_norms)):
        return "The gradient is finite, but its step overflows: it makes weights NaN or inf."
    return "The predictions are still numbers, but the gradient is not: the next step breaks them."


def _overflowing(e: Evidence) -> tuple[Snapshot, str, float] | None:
    """The look at which a number goes beyond the format, which one, and how large it would be.

    Now, or where weights are broken by now, at the first look that saw it.
    """
    looks = e.seen if _broken_weights(e) else [e.now]
    sizes = np.array([look.largest for look in looks], float)
    with np.errstate(over="ignore"):
        rounded = sizes.astype(_format(e).dtype)
    # A division by 0 gives inf too. What finite weights make of finite pixels overflows.
    known = np.isfinite(sizes)
    known[:, 0] |= known[:, Largest._fields.index("weight")]
    beyond = np.argwhere(np.isinf(rounded) & known)
    if not len(beyond):
        return None
    look, which = looks[beyond[0][0]], beyond[0][1]
    return look, Largest._fields[which], look.largest[which]


def _format(e: Evidence) -> Dtype:
    return PRECISIONS[e.config.precision].compute


def _say_overflow(e: Evidence) -> str:
    found = _overflowing(e)
    assert found is not None
    look, name, value = found
    past = look is not e.now
    scaled = name == "gradient" and look.loss_scale != 1
    times = f" times the loss scale of {look.loss_scale:,.0f}" if scaled else ""
    would_be, is_ = ("would have been", "was") if past else ("would be", "is")
    size = f"{is_} inf" if np.isinf(value) else f"{would_be} {_big(value)}"
    said = (
        f"It {f'overflowed at step {look.step:,}' if past else 'overflows'}: {_format(e).label} "
        f"ends at {_big(_format(e).largest)}, and the largest {name}{times} {size}."
    )
    if past:
        return f"{said} Now some weights are NaN or inf."
    return f"{said} This step is skipped." if scaled and not np.any(look.update_norms) else said


def _big(value: float) -> str:
    return f"{value:,.0f}" if value < 1e6 else f"{value:.1e}".replace("e+0", "e").replace("e+", "e")


def _vanishing(e: Evidence) -> bool:
    return bool(e.now.vanished > MOST_VANISHED)  # False for NaN


def _say_vanishing(e: Evidence) -> str:
    return (
        f"{share(e.now.vanished)} of the gradient's numbers are too small for {_format(e).label}: "
        "they are exactly 0, and in float32 they are not."
    )


def _nonfinite_gradients(e: Evidence) -> bool:
    return bool(np.any(e.now.gradients == Gradient.NONFINITE))


def _say_nonfinite_gradients(e: Evidence) -> str:
    hit = float(np.mean(e.now.gradients == Gradient.NONFINITE))
    return f"{share(hit)} of the {_what(e)} have a gradient that is NaN or inf."


def _all_silent(e: Evidence) -> bool:
    return bool(e.now.census.zero_gradient == 1 and e.now.census.wrong > 0)


def _stopped(e: Evidence) -> bool:
    """Full batches, no dropping, nothing changed by the step: each further step is this one."""
    steady = e.now.fixed and e.config.full_batch and _keep_prob(e.config) == 1
    return bool(steady and e.now.census.wrong > 0)


def _say_stopped(e: Evidence) -> str:
    return (
        f"It has stopped with {_wrong(e)} of the images wrong: the step changes no weight, and "
        "every further step is this one again."
    )


def _say_all_silent(e: Evidence) -> str:
    n = f"{len(e.now.labels):,}"
    seen = f"None of the {n} images looked at has a gradient, and {_wrong(e)} of them are wrong."
    if not np.any(e.now.update_norms):
        return f"{seen} This step changes no weight."
    movers = [
        what
        for what, moves in (
            ("the optimizer's memory of earlier steps", e.config.optimizer != "sgd"),
            ("the images whose units are dropped", _keep_prob(e.config) < 1),
            ("images beyond those", e.config.train_size > len(e.now.labels)),
        )
        if moves
    ]
    by = f", by {' or '.join(movers)}" if movers else ""
    return f"{seen} The weights still move{by}."


def _no_say(e: Evidence) -> bool:
    return bool(e.now.census.stuck > 0)


def _say_no_say(e: Evidence) -> str:
    says = (
        f"{share(float(e.now.census.stuck))} of the images are wrong and have no say: their "
        "gradient is exactly zero, so a step learns nothing from them."
    )
    then = silent_and_wrong(e.first)
    if e.now.step == 0 or not len(then):
        return says
    righted = int(np.count_nonzero(e.now.correct[then]))
    return f"{says} Of the {len(then):,} that were so at the start, {righted:,} are right by now."


def _silent_layer(e: Evidence) -> bool:
    gradients = np.asarray(e.now.gradient_norms)
    return bool(np.any(gradients == 0) and np.any(e.now.gradients == Gradient.SOME))


def _say_silent_layer(e: Evidence) -> str:
    layers = np.flatnonzero(np.asarray(e.now.gradient_norms) == 0) + 1
    which = f"Layer {layers[0]} gets" if len(layers) == 1 else f"{len(layers)} layers get"
    return f"{which} a gradient of exactly 0, though {_what(e)} have one: nothing teaches it now."


def _dead_units(e: Evidence) -> bool:
    return bool(np.max(e.now.dead_units) >= MOST_DEAD and e.now.census.wrong > FEW)


def _say_dead_units(e: Evidence) -> str:
    worst = int(np.argmax(e.now.dead_units))
    return (
        f"{share(float(e.now.dead_units[worst]))} of the units of layer {worst + 1} are 0 for "
        "every image looked at, and learn nothing from them."
    )


def _one_answer(e: Evidence) -> bool:
    return bool(e.now.one_answer == 1 and e.now.step > 0 and not _nan(e))


def _say_one_answer(e: Evidence) -> str:
    return (
        "It gives every image the same answer; a step changes a layer by "
        f"{_size(np.max(e.steps))} of its size."
    )


def _too_large(e: Evidence) -> bool:
    return bool(e.now.loss > e.first.loss and np.max(e.steps) > TINY)  # False for NaN


def _say_too_large(e: Evidence) -> str:
    return (
        f"The steps are too large: the loss rose from {number(e.first.loss, 3)} to "
        f"{number(e.now.loss, 3)}, and a step changes a layer by {_size(np.max(e.steps))} of its "
        "size."
    )


def _too_small(e: Evidence) -> bool:
    still = abs(e.now.loss - e.first.loss) <= 0.01 * abs(e.first.loss)
    return bool(e.now.step > 0 and still and np.max(e.steps) < TINY)


def _say_too_small(e: Evidence) -> str:
    return (
        f"The steps are too small: each changes the weights by {_size(np.max(e.steps))} of their "
        f"size, and the loss is still {number(e.now.loss, 3)}."
    )


def _size(value: float) -> str:
    return "nothing" if value == 0 else number(value, 1)


def _starving(e: Evidence) -> bool:
    return e.now.step >= SETTLED and e.now.flipped > 0.5  # False for NaN: nothing is dropped


def _undropped(e: Evidence) -> float:
    """Accuracy over the images that are also looked at with units dropped."""
    return float(np.mean(e.now.correct[:DROPPED]))


def _say_starving(e: Evidence) -> str:
    return (
        f"Dropping starves it: for {share(e.now.flipped)} of the images the answer hangs on which "
        f"units are dropped. {share(_undropped(e))} are right with all units, and "
        f"{share(e.now.dropped_accuracy)} with those that it trains on."
    )


def _memorising(e: Evidence) -> bool:
    return bool(e.now.train_accuracy - e.now.test_accuracy > GAP)


def _say_memorising(e: Evidence) -> str:
    return (
        f"It memorises: {share(e.now.train_accuracy)} of the images it trains on are right and "
        f"{share(e.now.test_accuracy)} of those held out."
    )


def _worse_than_copying(e: Evidence) -> bool:
    return bool(e.now.fit and e.now.step > 0 and e.now.fit.error >= e.now.fit.copied)


def _say_worse_than_copying(e: Evidence) -> str:
    assert e.now.fit is not None
    return (
        f"Its predictions are no better than the noisy input itself: their squared error is "
        f"{number(e.now.fit.error, 3)}, and {number(e.now.fit.copied, 3)} where each value is "
        "answered as it was seen."
    )


def _say_learning(e: Evidence) -> str:
    if e.now.fit:
        if _nan(e):
            return "NaN is no prediction: those series have no error."
        return (
            f"Held-out series have a squared error of {number(e.now.fit.error, 3)}; answering "
            f"each value as it was seen has {number(e.now.fit.copied, 3)}.{_fell(e)}"
        )
    wrong = float(e.now.census.wrong)
    if _nan(e):
        return "NaN is no answer: none of those images can be counted as right."
    if wrong == 0:
        return f"All {len(e.now.labels):,} images looked at are right."
    who = f"{share(wrong)} of the images are wrong"
    if np.all(e.now.gradients[~e.now.correct] == Gradient.SOME):
        who += ", and every one of them has a gradient"
    return f"{who}.{_fell(e)}"


def _fell(e: Evidence) -> str:
    if e.now.step == 0 or not np.isfinite([e.first.loss, e.now.loss]).all():
        return ""
    fell = "fell" if e.now.loss < e.first.loss else "has not fallen"
    first, now = number(e.first.loss, 3), number(e.now.loss, 3)
    return f" The loss {fell}: {first} at the start, {now} now."


def _still_broken(e: Evidence, later: Snapshot) -> bool:
    return not np.all(np.isfinite(later.weight_norms))


def _still_stopped(e: Evidence, later: Snapshot) -> bool:
    return bool(later.fixed and np.array_equal(later.margins, e.now.margins))


CAUSES = Registry(
    "cause",
    [
        Cause(
            key="overflow",
            label="overflow of the number format",
            latex="",
            summary="A number is larger than the largest that the format has, and becomes inf.",
            reference="IEEE 754: what rounds beyond the largest number is inf",
            fits=lambda e: _overflowing(e) is not None,
            says=_say_overflow,
            cure=_more_range,
        ),
        Cause(
            key="broken_weights",
            label="broken weights",
            latex="",
            summary="A weight is NaN or inf, and stays so.",
            reference="IEEE 754: no sum or difference with NaN is a number",
            fits=_broken_weights,
            says=_say_broken_weights,
            cure=_sounder,
            holds=_still_broken,
        ),
        Cause(
            key="breaking_step",
            label="the next step breaks weights",
            latex="",
            summary="The next step makes a weight NaN or inf.",
            reference="",
            fits=_breaking_step,
            says=_say_breaking_step,
            cure=_sounder,
            holds=_still_broken,
        ),
        Cause(
            key="nan",
            label="NaN predictions",
            latex="",
            summary="A prediction is NaN, though all weights are numbers.",
            reference="",
            fits=lambda e: _nan(e) and not _broken_weights(e),
            says=_say_nan,
            cure=_smaller_pixels,
        ),
        Cause(
            key="nonfinite_gradients",
            label="NaN or infinite gradients",
            latex="",
            summary="Some images have a gradient that is no number.",
            reference="",
            fits=_nonfinite_gradients,
            says=_say_nonfinite_gradients,
            cure=_on_logits,
        ),
        Cause(
            key="stopped",
            label="stopped",
            latex="",
            summary="Nothing moves any more, and nothing can: each step repeats the last.",
            reference="",
            fits=_stopped,
            says=_say_stopped,
            cure=_on_logits,
            holds=_still_stopped,
        ),
        Cause(
            key="all_silent",
            label="all silent",
            latex="",
            summary="No image has a gradient now.",
            reference="",
            fits=lambda e: _all_silent(e) and not _stopped(e),
            says=_say_all_silent,
            cure=_on_logits,
        ),
        Cause(
            key="too_small",
            label="steps too small",
            latex=r"\lVert\Delta w\rVert / \lVert w\rVert < 10^{-5}",
            summary="A step changes next to nothing, and the loss does not move.",
            reference="",
            fits=_too_small,
            says=_say_too_small,
            cure=_larger_steps,
        ),
        Cause(
            key="no_say",
            label="no say",
            latex=r"\frac{dL}{dz} = 0",
            summary="Some images are wrong and have no gradient: nothing comes from them.",
            reference="the JAX/Keras question",
            fits=_no_say,
            says=_say_no_say,
            cure=_on_logits,
        ),
        Cause(
            key="vanishing",
            label="gradients too small for the format",
            latex="",
            summary="Most of the gradient is 0 in 16 bits and is not in float32.",
            reference="Micikevicius et al., 2018",
            fits=_vanishing,
            says=_say_vanishing,
            cure=lambda config: {"precision": "float32"},
        ),
        Cause(
            key="starving",
            label="starved by dropping",
            latex="",
            summary="Most answers hang on which units are dropped.",
            reference="the keep_prob question",
            fits=_starving,
            says=_say_starving,
            cure=_less_dropping,
        ),
        Cause(
            key="silent_layer",
            label="a silent layer",
            latex="",
            summary="A layer's gradient is exactly 0 while images have one.",
            reference="",
            fits=_silent_layer,
            says=_say_silent_layer,
            cure=_smaller_pixels,
        ),
        Cause(
            key="dead_units",
            label="dead units",
            latex="",
            summary="Most units of a layer are 0 for every image.",
            reference="",
            fits=_dead_units,
            says=_say_dead_units,
            cure=_smaller_pixels,
        ),
        Cause(
            key="one_answer",
            label="one answer for all",
            latex="",
            summary="Every image gets the same answer.",
            reference="",
            fits=_one_answer,
            says=_say_one_answer,
            cure=_smaller_pixels,
        ),
        Cause(
            key="too_large",
            label="steps too large",
            latex="",
            summary="The loss is above its start.",
            reference="",
            fits=_too_large,
            says=_say_too_large,
            cure=_smaller_steps,
        ),
        Cause(
            key="worse_than_copying",
            label="no better than copying",
            latex="",
            summary="The noisy input is as near to the truth as what the network predicts.",
            reference="Getting started with JAX (a post)",
            fits=_worse_than_copying,
            says=_say_worse_than_copying,
            cure=_aligned,
        ),
        Cause(
            key="memorising",
            label="memorising",
            latex="",
            summary="Images it trains on are right far more often than others.",
            reference="",
            fits=_memorising,
            says=_say_memorising,
            cure=_more_images,
        ),
        Cause(
            key="learning",
            label="learning",
            latex="",
            summary="What can be said of every run: who is wrong, and where the loss stands.",
            reference="",
            fits=lambda e: True,
            says=_say_learning,
        ),
    ],
)
