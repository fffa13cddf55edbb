"""Each cause on looks made by hand; test_diagnosis_of_runs.py has the causes of real runs."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from core.config import RunConfig, agree
from core.parts.dropout import DROPOUTS
from core.run.diagnosis import CAUSES, diagnose, share
from core.run.snapshot import BINS, Census, Fit, Gradient, Largest, Saturation, Snapshot
from tests.kit.runs import look
from tests.kit.truth import DEEP

NAN = float("nan")
QUESTION = RunConfig()
LOGITS = RunConfig(loss="from_logits")
ADAM = RunConfig(optimizer="adam", learning_rate=0.001)
SERIES = RunConfig(
    source="ou", task="next_value", model="gru", loss="mse_broadcast", train_size=64, batch_size=64
)
DROPPING = RunConfig(**{**DEEP, "dropout": "rate", "dropout_value": 0.7})


def saturation(nonfinite: float) -> Saturation:
    return Saturation(np.zeros((len(Gradient), BINS + 5), int), 0, 0, 0, nonfinite)


def fit(error: float, copied: float) -> Fit:
    return Fit(error, copied, *np.zeros((3, 4, 9), np.float32))


SILENT = {
    "census": Census(0.1, 1, 0.1), "gradients": np.full(100, Gradient.ZERO),
    "gradient_norms": np.zeros(2), "update_norms": np.zeros(2),
}  # fmt: skip
TEN_SILENT = {
    "census": Census(0.1, 0.1, 0.1),
    "gradients": np.where(np.arange(100) < 10, Gradient.ZERO, Gradient.SOME),
}
START = look(0, loss=1.0)
LATER = look(9, **{**TEN_SILENT, "correct": np.arange(100) >= 4})

# cause -> a configuration, the looks so far, and the sentence
FITTING: dict[str, tuple[RunConfig, list[Snapshot], str]] = {
    "broken_weights": (
        LOGITS, [START, look(weight_norms=np.array([NAN, 1]), saturation=saturation(1))],
        "100% of the predictions are NaN. Some weights are NaN or inf, and no step makes such a "
        "weight a number again.",
    ),
    "overflow": (
        replace(LOGITS, precision="float16"), [look(0, largest=Largest(312e3, 1.0, 1.0))],
        "It overflows: float16 ends at 65,504, and the largest activation would be 312,000.",
    ),
    "breaking_step": (
        LOGITS, [look(0, next_finite=False, gradient_norms=np.array([NAN, 1]))],
        "The predictions are still numbers, but the gradient is not: the next step breaks them.",
    ),
    "nan": (
        LOGITS, [START, look(saturation=saturation(0.25))], "25% of the predictions are NaN.",
    ),
    "nonfinite_gradients": (
        LOGITS, [START, look(gradients=np.where(np.arange(100) < 3, Gradient.NONFINITE, 0))],
        "3% of the images have a gradient that is NaN or inf.",
    ),
    "stopped": (
        QUESTION, [START, look(fixed=True, **SILENT)],
        "It has stopped with 10% of the images wrong: the step changes no weight, and every "
        "further step is this one again.",
    ),
    "all_silent": (
        ADAM, [START, look(**{**SILENT, "update_norms": np.ones(2)})],
        "None of the 100 images looked at has a gradient, and 10% of them are wrong. The weights "
        "still move, by the optimizer's memory of earlier steps or images beyond those.",
    ),
    "too_small": (
        LOGITS, [START, look(5, loss=1.0, update_norms=np.full(2, 1e-7))],
        "The steps are too small: each changes the weights by 1e-8 of their size, and the loss is "
        "still 1.",
    ),
    "no_say": (
        QUESTION, [look(0, **TEN_SILENT), LATER],
        "10% of the images are wrong and have no say: their gradient is exactly zero, so a step "
        "learns nothing from them. Of the 10 that were so at the start, 6 are right by now.",
    ),
    "vanishing": (
        replace(LOGITS, precision="float16"), [look(0, vanished=0.61)],
        "61% of the gradient's numbers are too small for float16: they are exactly 0, and in "
        "float32 they are not.",
    ),
    "starving": (
        DROPPING, [START, look(50, flipped=0.71, dropped_accuracy=0.25)],
        "Dropping starves it: for 71% of the images the answer hangs on which units are dropped. "
        "90% are right with all units, and 25% with those that it trains on.",
    ),
    "silent_layer": (
        LOGITS, [START, look(gradient_norms=np.array([0, 1.0]))],
        "Layer 1 gets a gradient of exactly 0, though images have one: nothing teaches it now.",
    ),
    "dead_units": (
        LOGITS, [START, look(dead_units=np.array([0.95]), census=Census(0.5, 0, 0))],
        "95% of the units of layer 1 are 0 for every image looked at, and learn nothing from them.",
    ),
    "one_answer": (
        LOGITS, [START, look(one_answer=1.0)],
        "It gives every image the same answer; a step changes a layer by 0.001 of its size.",
    ),
    "too_large": (
        LOGITS, [START, look(loss=3.0, update_norms=np.array([20.0, 1]))],
        "The steps are too large: the loss rose from 1 to 3, and a step changes a layer by 2 of "
        "its size.",
    ),
    "worse_than_copying": (
        SERIES, [START, look(fit=fit(0.045, 0.036))],
        "Its predictions are no better than the noisy input itself: their squared error is 0.045, "
        "and 0.036 where each value is answered as it was seen.",
    ),
    "memorising": (
        LOGITS, [START, look(train_accuracy=1.0, test_accuracy=0.7)],
        "It memorises: 100% of the images it trains on are right and 70% of those held out.",
    ),
    "learning": (
        LOGITS, [START, look(loss=0.5)],
        "10% of the images are wrong, and every one of them has a gradient. The loss fell: 1 at "
        "the start, 0.5 now.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", CAUSES)
def test_each_cause_is_named_where_it_fits(key: str) -> None:
    config, seen, says = FITTING[key]
    first = diagnose(config, seen)[0]
    assert (first.cause.key, first.sentence) == (key, says)


@pytest.mark.parametrize("key", [key for key in CAUSES if key != "learning"])
def test_no_cause_is_named_for_a_healthy_run(key: str) -> None:
    assert key not in {found.cause.key for found in diagnose(LOGITS, [START, look(loss=0.5)])}


@pytest.mark.parametrize("key", CAUSES)
def test_a_cure_is_another_configuration(key: str) -> None:
    config, seen, _ = FITTING[key]
    cure = diagnose(config, seen)[0].cure
    if key not in ("learning", "memorising"):  # LOGITS trains on every image
        assert cure
    better = agree({**asdict(config), **cure})[0]
    assert (better != config) == bool(cure)


def test_weights_that_move_without_a_gradient_are_explained() -> None:
    silent = {**SILENT, "gradients": np.full(1000, Gradient.ZERO)}
    seen = [START, look(n=1000, **{**silent, "update_norms": np.ones(2)})]

    def says(config: RunConfig) -> str:
        return next(f.sentence for f in diagnose(config, seen) if f.cause.key == "all_silent")

    assert "units are dropped" in says(replace(QUESTION, dropout="rate"))
    assert "memory" in says(replace(QUESTION, optimizer="momentum"))
    assert "images beyond those" in says(replace(QUESTION, train_size=2000))
    nothing = [START, look(n=1000, **silent)]
    assert diagnose(QUESTION, nothing)[0].sentence.endswith("This step changes no weight.")


def test_only_infinity_from_finite_numbers_is_an_overflow() -> None:
    """An infinite gradient may come from a division by 0, but not a finite network's activation."""

    def found(precision: str, *largest: float) -> bool:
        seen = [look(0, largest=Largest(*largest))]
        causes = diagnose(replace(LOGITS, precision=precision), seen)
        return "overflow" in {finding.cause.key for finding in causes}

    inf = float("inf")
    assert found("float32", inf, 1.0, 1.0) and found("bfloat16", 3.4e38, 1.0, 1.0)
    assert not found("float32", 1.0, inf, 1.0) and not found("float32", inf, inf, inf)
    assert not found("float16", 65519.0, 1.0, 1.0) and found("float16", 65520.0, 1.0, 1.0)
    assert not found("float16", NAN, NAN, NAN) and not found("float64", 3e300, 1.0, 1.0)
    scaled = look(0, largest=Largest(1.0, 2e5, 1.0), loss_scale=2.0**16, update_norms=np.zeros(2))
    says = diagnose(replace(LOGITS, precision="mixed_float16"), [scaled])[0].sentence
    assert says == (
        "It overflows: float16 ends at 65,504, and the largest gradient times the loss scale of "
        "65,536 would be 200,000. This step is skipped."
    )


@pytest.mark.parametrize("config", [ADAM, replace(QUESTION, dropout="rate"),
                                    replace(QUESTION, batch_size=100)])  # fmt: skip
def test_a_run_that_chance_still_moves_has_not_stopped(config: RunConfig) -> None:
    keys = {found.cause.key for found in diagnose(config, [START, look(fixed=True, **SILENT)])}
    assert ("stopped" in keys) == (config == ADAM)  # Adam's memory is fixed as well


@pytest.mark.parametrize("examples", [10, 200, 1000])
def test_shares_are_rounded_but_never_to_none_or_all(examples: int) -> None:
    for count in range(1, examples):
        assert share(float(np.float32(count / examples))) not in ("0%", "100%")
    assert (share(0.0), share(1.0)) == ("0%", "100%")


# Each form of dropout, with the value that makes it keep 30% of the units.
THIRTY = {"keep_prob": 0.3, "rate": 0.7, "older": 0.3, "unscaled": 0.7}


@pytest.mark.parametrize("form", THIRTY)
def test_the_cure_for_starving_drops_half_as_many_by_the_same_form(form: str) -> None:
    config = replace(DROPPING, dropout=form, dropout_value=THIRTY[form])
    starving = diagnose(config, [START, look(50, flipped=0.71, dropped_accuracy=0.25)])[0]
    better = replace(config, **starving.cure)
    assert better.dropout == form
    keep = DROPOUTS[form].means(np.float32(better.dropout_value)).keep_prob
    assert float(keep) == pytest.approx(0.65)
