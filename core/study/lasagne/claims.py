"""CLAIMS: what was said in the thread of issue 567, each with a verdict that is computed.

A verdict's sentence is made of its figures, and its figures come from the network, from
core.study.precision or from NumPy, whenever it is asked for. Verdicts that train networks take
seconds the first time; `trains` says which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from core.config import RunConfig
from core.data import Dataset, load
from core.fields import number
from core.parts.dtypes import DTYPES
from core.registry import Registry, Row
from core.study import precision
from core.study.lasagne.experiment import CONFIG, EPSILON, Ending, endings, gradients

SMALL_STEPS = 0.001  # a learning rate at which the exact loss learns from raw pixels
EPSILONS = (EPSILON, 1e-4, 1e-2)
SAME = 0.01  # accuracies that differ by less count as equal


class Verdict(NamedTuple):
    """Whether a claim holds, in words and in the numbers that the words are made of."""

    holds: bool
    sentence: str
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Claim(Row):
    """What somebody says in the thread: `label` is the claim."""

    who: str  # the name in the thread
    verdict: Callable[[], Verdict]
    trains: bool = False  # whether the verdict trains networks, which takes seconds
    # What the microscope is set to for the claim: field -> value.
    microscope: Mapping[str, Any] = field(default_factory=dict)


@cache
def _data() -> Dataset:
    return load(CONFIG.source, CONFIG.train_size)


@cache
def _trained(config: RunConfig) -> Ending:
    runs = endings(config, _data(), [config.learning_rate], [config.loss])
    return next(run for run in runs if run is not None)


ONE_HOT = replace(CONFIG, loss="theano_onehot")
LOGITS = replace(CONFIG, loss="from_logits")


def _vanishes() -> Verdict:
    """Judge Lasagne's one-hot loss before the first step."""
    raw, unit = (
        gradients(replace(ONE_HOT, scaling=scaling), _data()) for scaling in ("raw", "unit")
    )
    return Verdict(
        raw.zero == 1,
        f"On raw pixels {raw.nan:.0%} of the gradient is NaN on the first batch, with a finite "
        f"loss of {raw.loss:.1f}; {raw.zero:.0%} of it is 0. With pixels from 0 to 1, "
        f"{unit.nan:.0%} is NaN.",
        {"nan": raw.nan, "loss": raw.loss, "zero": raw.zero, "nan_unit": unit.nan},
    )


def _clip_keeps_the_gradient() -> Verdict:
    start, end = gradients(CONFIG, _data()), _trained(CONFIG)
    sentence = (
        f"No entry of the gradient is NaN, but {start.silent:.0%} of the first batch are wrong and "
        "silent. "
        if start.nan == 0
        else f"{start.nan:.0%} of the gradient is NaN. "
    )
    rate = f"At learning rate {number(end.learning_rate)}"
    if end.silent_from is None:
        sentence += f"{rate} the run has a gradient to the end."
    else:
        sentence += (
            f"{rate} the whole gradient is exactly 0 at every look from step {end.silent_from} on, "
            f"and {end.accuracy:.1%} of the images are right."
        )
    return Verdict(
        start.silent == 0 and end.silent_from is None,
        sentence,
        {
            "nan": start.nan,
            "silent": start.silent,
            "learning_rate": end.learning_rate,
            "silent_from": np.nan if end.silent_from is None else end.silent_from,
            "accuracy": end.accuracy,
        },
    )


def _small(**changes: Any) -> float:
    """The accuracy after training at learning rate SMALL_STEPS."""
    return _trained(replace(CONFIG, learning_rate=SMALL_STEPS, **changes)).accuracy


def _no_trade_off() -> Verdict:
    clipped, logits = _small(), _small(loss="from_logits")
    return Verdict(
        clipped > logits - SAME,
        f"After {CONFIG.steps} steps from raw pixels at learning rate {number(SMALL_STEPS)}, "
        f"{clipped:.0%} of the images are right with the clip, and {logits:.0%} from logits.",
        {"clipped": clipped, "logits": logits},
    )


def _hyperparameter() -> Verdict:
    ends = {epsilon: _small(epsilon=epsilon) for epsilon in EPSILONS}
    lowest, highest = min(ends.values()), max(ends.values())
    best, logits = max(ends, key=lambda epsilon: ends[epsilon]), _small(loss="from_logits")
    depends = highest - lowest > SAME
    return Verdict(
        depends,
        f"The result {'depends' if depends else 'does not depend'} on it: {lowest:.0%} to "
        f"{highest:.0%} of the images are right for epsilons from {number(min(EPSILONS))} to "
        f"{number(max(EPSILONS))}. The best, {number(best)}, reaches "
        f"{'more' if highest > logits else 'no more'} than the {logits:.0%} from logits, which "
        "needs no epsilon.",
        {"lowest": lowest, "highest": highest, "best": best, "logits": logits},
    )


def _zero() -> tuple[float, float]:
    """The share of the gradient that is NaN on raw pixels: in Lasagne's loss, and with epsilon 0.

    Clipping p to [0, 1] changes nothing, so the naive loss is the clip with epsilon 0.
    """
    return gradients(ONE_HOT, _data()).nan, gradients(replace(CONFIG, loss="naive"), _data()).nan


def _default_0() -> Verdict:
    lasagne, at_0 = _zero()
    return Verdict(
        at_0 == lasagne,
        f"With epsilon 0, which leaves the plain log of p, {at_0:.0%} of the gradient is NaN on "
        f"raw pixels, and {lasagne:.0%} in Lasagne's own loss: without setting it, people get what "
        "they had.",
        {"nan_at_0": at_0, "nan": lasagne},
    )


def _helps_few() -> Verdict:
    lasagne, at_0 = _zero()
    clipped = gradients(CONFIG, _data()).nan
    return Verdict(
        at_0 >= lasagne > clipped,
        f"With the default of 0, {at_0:.0%} of the gradient stays NaN; with {number(EPSILON)} it "
        f"is {clipped:.0%}.",
        {"nan_at_0": at_0, "nan_clipped": clipped},
    )


def _float64() -> Verdict:
    dtype = DTYPES["float64"].dtype
    clipped = precision.edges("softmax", "clip", 0, EPSILON, dtype).dead
    plain = precision.first_broken(precision.edges("softmax", "naive", 0, EPSILON, dtype))
    assert clipped is not None and plain is not None
    return Verdict(
        abs(clipped) < abs(plain),
        f"With epsilon {number(EPSILON)} the gradient is exactly 0 from a logit of {clipped:.1f} "
        f"down, in float64 too, where the plain log works down to {plain:.0f}.",
        {"dead": clipped, "broken": plain},
    )


def _drawback() -> Verdict:
    clip, logits = (gradients(config, _data()) for config in (CONFIG, LOGITS))
    return Verdict(
        clip.silent == 0,
        f"The clip itself is a drawback: on raw pixels {clip.silent:.0%} of the first batch are "
        f"wrong and silent. From logits it is {logits.silent:.0%}.",
        {"silent": clip.silent, "silent_logits": logits.silent},
    )


def _fails_in_float16() -> Verdict:
    dtype = DTYPES["float16"].dtype
    with np.errstate(under="ignore"):
        upper = float(dtype.type(1) - dtype.type(EPSILON))
    return Verdict(
        upper == 1,
        f"In float16 1 - {number(EPSILON)} is {number(upper)}: nothing is clipped at the upper "
        "end.",
        {"epsilon": EPSILON, "upper": upper},
    )


def _smaller_in_float16() -> Verdict:
    limits = {
        key: precision.epsilon_limits(DTYPES[key].dtype).upper
        for key in ("float16", "bfloat16", "float32")
    }
    least = limits["float16"]
    direction = "larger" if least > EPSILON else "smaller"
    return Verdict(
        least < EPSILON,
        f"It must be {direction}: 1 - epsilon is below 1 in float16 only for an epsilon above "
        f"{number(least, 3)}, {least / EPSILON:,.0f} times {number(EPSILON)}. In bfloat16 the "
        f"limit is {number(limits['bfloat16'], 3)}, in float32 {number(limits['float32'], 3)}.",
        {**limits, "epsilon": EPSILON, "ratio": least / EPSILON},
    )


_RAW = {"task": "digits", "losses": ("theano_onehot", "clip", "from_logits"), "epsilon": EPSILON}

CLAIMS: Registry[Claim] = Registry(
    "claim",
    [
        Claim(
            key="vanishing",
            who="trungnt13",
            label="Without a clip the gradient vanishes after the first batch.",
            verdict=_vanishes,
            microscope=_RAW,
        ),
        Claim(
            key="clip_keeps_it",
            who="trungnt13",
            label="With Keras's clip no gradient vanishes.",
            verdict=_clip_keeps_the_gradient,
            trains=True,
            microscope={**_RAW, "losses": ("clip", "from_logits")},
        ),
        Claim(
            key="no_trade_off",
            who="trungnt13",
            label="The clip costs no performance.",
            verdict=_no_trade_off,
            trains=True,
            microscope={**_RAW, "losses": ("clip", "from_logits")},
        ),
        Claim(
            key="hyperparameter",
            who="benanne",
            label="Epsilon can be treated as a hyperparameter.",
            verdict=_hyperparameter,
            trains=True,
            microscope={**_RAW, "losses": ("clip", "from_logits"), "epsilon": EPSILONS[-1]},
        ),
        Claim(
            key="default_0",
            who="benanne and f0k",
            label="Epsilon should be 0 by default: then nothing changes for anybody.",
            verdict=_default_0,
            microscope={**_RAW, "losses": ("naive", "theano_onehot")},
        ),
        Claim(
            key="helps_few",
            who="ebenolson",
            label="A default of 0 helps hardly anybody.",
            verdict=_helps_few,
            microscope={**_RAW, "losses": ("naive", "clip")},
        ),
        Claim(
            key="float64",
            who="trungnt13",
            label="A clip made for float32 may hurt those who compute in float64.",
            verdict=_float64,
            microscope={
                "task": "digits", "losses": ("naive", "clip", "from_logits"), "epsilon": EPSILON,
                "dtype": "float64", "span": 1000,
            },
        ),
        Claim(
            key="only_drawback",
            who="f0k",
            label="The only other drawback is that somebody may be clipping already.",
            verdict=_drawback,
            microscope={**_RAW, "losses": ("clip", "from_logits")},
        ),
        Claim(
            key="fails_in_float16",
            who="nouiz",
            label="This epsilon does not work in float16.",
            verdict=_fails_in_float16,
            microscope={**_RAW, "losses": ("clip",), "dtype": "float16"},
        ),
        Claim(
            key="smaller_in_float16",
            who="nouiz",
            label="In float16 a smaller epsilon should be used.",
            verdict=_smaller_in_float16,
            microscope={**_RAW, "losses": ("clip",), "dtype": "float16"},
        ),
    ],
)  # fmt: skip
