"""Each cause on looks made by hand; test_diagnosis_of_runs.py has the causes of real runs."""

import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from core.config import RunConfig, agree
from core.data import load
from core.parts.dropout import DROPOUTS
from core.parts.losses import losses_for
from core.run.diagnosis import CAUSES, batches, cures, diagnose, percent
from core.run.diagnosis.evidence import Evidence
from core.run.snapshot import (
    BINS,
    Ahead,
    Census,
    Fit,
    Gradient,
    Largest,
    Saturation,
    Snapshot,
    Trial,
)
from core.run.train import ahead, labels_of
from tests.kit import more
from tests.kit.runs import look
from tests.kit.truth import DEEP, DIGITS

NAN = float("nan")
QUESTION = RunConfig()
LOGITS = RunConfig(loss="from_logits")
ADAM = RunConfig(optimizer="adam", learning_rate=0.001)
STEPS_OF_ADAM = {"optimizer": "adam", "learning_rate": 0.001}
SERIES = RunConfig(
    source="ou", task="next_value", model="gru", loss="mse_broadcast", train_size=64, batch_size=64
)
FEW_LABELS = RunConfig(**{**DIGITS, "data_order": "sorted", "shuffle": "never"})
CLIPPED = RunConfig(**{**DIGITS, "clip_form": "global_norm", "clip_norm": 0.01})
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
SLOW = look(6, loss=0.8, census=Census(0.3, 0, 0))
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
    "shifted_labels": (
        RunConfig(**{**DIGITS, "label_shift": 1}),
        [START, look(train_accuracy=0.05, next_label=0.84)],
        "It learns other labels than it is judged by: 84% of the answers are the label after the "
        "image's own, and 5% are the label itself.",
    ),
    "stopped": (
        QUESTION, [START, look(fixed=True, **SILENT)],
        "It has stopped with 10% of the images wrong: the step changes no weight, and every "
        "further step is this one again.",
    ),
    "all_silent": (
        ADAM, [START, look(**{**SILENT, "update_norms": np.ones(2)})],
        "All 100 images looked at are silent: their gradient is exactly zero. 10% of them are "
        "wrong. The weights still move, because the optimizer remembers earlier steps or it trains "
        "on further images.",
    ),
    "softmax_twice": (
        RunConfig(**{**DIGITS, "loss_input": "softmax"}),
        [START, look(9, loss=1.7, census=Census(0.5, 0, 0))],
        "Softmax is applied twice, because the loss is given probabilities and takes them for "
        "logits: even a right answer that is certain has a loss of 1.46. The mean loss is 1.7.",
    ),
    "taken_for_probabilities": (
        RunConfig(**{**DIGITS, "loss_input": "as_probabilities"}),
        [START, look(9, loss=7.0, census=Census(0.5, 0.4, 0.2))],
        "The loss is given logits and takes them for probabilities, so it clips them to [1e-7, "
        "1 - 1e-7]. 20% of the images are wrong and silent. 50% of the images are wrong.",
    ),
    "divided_by_outputs": (
        RunConfig(**{**DIGITS, "reduction": "mean_outputs"}),
        [START, look(9, loss=0.9, census=Census(0.5, 0, 0))],
        "The loss is divided by its 10 outputs, too: its gradient is 1/10 of that of the mean over "
        "images. The next step changes no layer by more than 0.001 times its size.",
    ),
    "clipped": (
        CLIPPED, [START, look(5, trial=Trial(10, 10, 0.46, 0.2)), SLOW],
        "Clipping holds the steps back: it shortens gradients to 0.01, and at all 3 looks they "
        "were at least 10 times as long, typically 141 times. The loss was 1 at the start and is "
        "0.8 now.",
    ),
    "too_small": (
        LOGITS, [START, look(5, loss=1.0, update_norms=np.full(2, 1e-7))],
        "The steps are too small: the loss is still 1, and the next step changes no layer by more "
        "than 1e-8 times its size.",
    ),
    "silent": (
        QUESTION, [look(0, **TEN_SILENT), LATER],
        "10% of the images are wrong and silent: their gradient is exactly zero, so this step "
        "learns nothing from them. Of the 10 that were so at the start, 6 are right by now.",
    ),
    "vanishing": (
        replace(LOGITS, precision="float16"), [look(0, vanished=0.61)],
        "61% of the gradient's numbers are too small for float16: they are exactly 0, and in "
        "float32 they are not.",
    ),
    "rounded_away": (
        replace(LOGITS, precision="bfloat16"),
        [START, look(rounded_away=np.float32([0.74, 0.86]), census=Census(0.3, 0, 0))],
        "The steps are rounded away: of layer 2's weights that have a gradient, the next step "
        "leaves 86% exactly where they are, because it is too small to reach the next number of "
        "bfloat16.",
    ),
    "unmixed": (
        FEW_LABELS, [START, look(5, ahead=Ahead(100, 3, 0.97, 0.1))],
        "The images are not mixed: of 100 that follow each other, 97% have the label 3, and of all "
        "training images 10%.",
    ),
    "dropout_too_strong": (
        DROPPING, [START, look(50, flipped=0.71, dropped_accuracy=0.25)],
        "Dropout is too strong: for 71% of the images the answer depends on which units are "
        "dropped. 90% are right with all units, and 25% while units are dropped.",
    ),
    "silent_layer": (
        LOGITS, [START, look(gradient_norms=np.array([0, 1.0]))],
        "Layer 1 gets a gradient of exactly 0, though images have one: nothing teaches it now.",
    ),
    "too_slow": (
        LOGITS, [START, look(5, loss=0.9, trial=Trial(10, 10, 0.86, 0.6)),
                 SLOW],
        "It learns slowly: tried on copies of step 5, 10 times the learning rate lowered the loss "
        "7.5 times as much in 10 steps, by 0.3 instead of 0.04.",
    ),
    "lost_in_epsilon": (
        RunConfig(**{**DIGITS, "optimizer": "adam_keras", "learning_rate": 1e-3}),
        [START, look(5, gradient_norms=np.full(2, 1e-6), census=Census(0.3, 0, 0))],
        "Epsilon rules the steps: Adam divides gradients by the size of recent gradients plus "
        "1e-7, and that is at least 5.1 times the root mean square gradient of each layer now. So "
        "steps shrink as gradients do.",
    ),
    "each_output": (
        RunConfig(**{**DIGITS, "loss_input": "each_output"}),
        [START, look(9, loss=0.31, census=Census(0.5, 0, 0))],
        "Each of the 10 outputs has a binary loss of its own, and the loss is their mean: it is "
        "0.31, and 0.325 where every output says one in 10. The mean divides the gradient by 10; "
        "the next step changes no layer by more than 0.001 times its size.",
    ),
    "decayed": (
        RunConfig(**{**DIGITS, **STEPS_OF_ADAM, "decay_form": "l2", "weight_decay": 0.05}),
        [START, look(5, weight_norms=np.array([3.0, 10.0]), census=Census(0.3, 0, 0))],
        "Decay holds the weights down: those of layer 1 have 30% of the size they began with, and "
        "30% of the images are wrong. The decay is in the gradient, so Adam divides it by the "
        "gradient's size, too: where gradients are small it pulls the more.",
    ),
    "averages_apart": (
        RunConfig(**{**DIGITS, "normalisation": "batch_norm", "norm_momentum": 0.99}),
        [START, look(40, n=1000, train_accuracy=0.6, batch_accuracy=0.95)],
        "The running averages are not those of its batches: normalised by their own mean and "
        "variance 95% of the next batch are right, and by the running averages 60% of the images "
        "looked at. After 40 batches 67% of them is still what they started at, mean 0 and "
        "variance 1.",
    ),
    "far_from_chance": (
        RunConfig(**{**DIGITS, "initializer": "normal_1"}),
        [look(0, loss=88.0), look(5, loss=0.9, census=Census(0.3, 0, 0))],
        "It began far from a guess: the mean loss at the start was 88, and that of a guess is 2.3, "
        "so the initial weights are too large. It is 0.9 now.",
    ),
    "small_last_batch": (
        RunConfig(**{**DIGITS, "train_size": 1004, "last_batch": "kept", "epochs": 9}),
        [START, *(look(step, loss=loss, census=Census(0.3, 0, 0)) for epoch in range(3)
                  for step, loss in ((11 * epoch + 8, 0.5), (11 * epoch + 11, 0.75)))],
        "The last batch of each epoch has 4 images, and its step is as long as that of 100: at the "
        "end of each of 3 epochs the loss rose, by 0.25 on average.",
    ),
    "dead_units": (
        LOGITS, [START, look(dead_units=np.array([0.95]), census=Census(0.5, 0, 0))],
        "95% of the units of layer 1 are 0 for every image looked at, and learn nothing from them.",
    ),
    "one_answer": (
        LOGITS, [START, look(one_answer=1.0)],
        "It gives every image the same answer. The next step changes a layer by 0.001 times its "
        "size.",
    ),
    "too_large": (
        LOGITS, [START, look(loss=3.0, update_norms=np.array([20.0, 1]))],
        "This step overshot: the loss was 1 at the start and is 3 now. The next step changes a "
        "layer by 2 times its size.",
    ),
    "worse_than_copying": (
        SERIES, [START, look(fit=fit(0.045, 0.036))],
        "Its predictions are no better than copying the noisy input: their squared error is 0.045, "
        "that of the copy 0.036.",
    ),
    "memorising": (
        LOGITS, [START, look(train_accuracy=1.0, test_accuracy=0.7)],
        "It memorises: 100% of the images it trains on are right and 70% of those held out.",
    ),
    "reported": (
        replace(LOGITS, report="threshold"),
        [START, look(test_accuracy=0.913, reported=0.866, test_examples=1000)],
        "The program reports 86.6% where 91.3% is true: it compares the logit with 0.5, as if it "
        "were a probability.",
    ),
    "learning": (
        LOGITS, [START, look(loss=0.5)],
        "10% of the images are wrong, and every one of them has a gradient. The loss fell: 1 at "
        "the start, 0.5 now.",
    ),
}  # fmt: skip


def said(config: RunConfig, *later: Snapshot) -> dict[str, str]:
    """What is said by the last of these looks, by cause."""
    return {found.cause: found.sentence for found in diagnose(config, [START, *later])}


@pytest.mark.parametrize("key", CAUSES)
def test_each_cause_is_named_where_it_fits(key: str) -> None:
    config, seen, says = FITTING[key]
    first = diagnose(config, seen)[0]
    assert (first.cause, first.sentence) == (key, says)


@pytest.mark.parametrize("key", [key for key in CAUSES if key != "learning"])
def test_no_cause_is_named_for_a_healthy_run(key: str) -> None:
    assert key not in {found.cause for found in diagnose(LOGITS, [START, look(loss=0.5)])}


@pytest.mark.parametrize("key", CAUSES)
def test_a_cure_is_another_configuration(key: str) -> None:
    config, seen, _ = FITTING[key]
    cure = diagnose(config, seen)[0].cure
    if key not in ("learning", "memorising"):  # LOGITS trains on every image
        assert cure
    better = agree({**asdict(config), **cure})[0]
    assert (better != config) == bool(cure)


@pytest.mark.parametrize(
    ("n", "right", "moved", "told"),
    [
        (1000, 0.1, 0.25, True),
        (1000, 0.1, 0.12, False),  # as an answer that all images get, of unequal classes
        (1000, 0.9, 0.02, False),
        (1000, 0.12, 0.08, False),
        (1000, 0.0, 0.05, True),  # of 50 none is right
        (1000, 0.0, 0.02, False),  # 20 may be so by chance
        (1000, 0.0, 0.0, False),
        (100, 0.3, 0.7, False),
        (100, 0.05, 0.7, True),
        (25, 0.0, 1.0, False),  # too few images
        (1000, NAN, NAN, False),
    ],
)
def test_labels_are_said_to_be_moved_beyond_chance_only(
    n: int, right: float, moved: float, told: bool
) -> None:
    seen = look(n=n, train_accuracy=right, next_label=moved)
    for config in (replace(LOGITS, label_shift=1), RunConfig(**{**DIGITS, "label_shift": 1})):
        assert ("shifted_labels" in said(config, seen)) == told
        assert "shifted_labels" not in said(replace(config, label_shift=0), seen)


def test_of_two_labels_the_other_one_is_learned() -> None:
    says = said(replace(LOGITS, label_shift=1), look(train_accuracy=0.1, next_label=0.9))
    assert says["shifted_labels"].endswith(
        "90% of the answers are the other label, and 10% are the label itself."
    )


@pytest.mark.parametrize(
    ("change", "norm", "told"),
    [
        ({}, 1.0, True),
        ({"optimizer": "momentum"}, 1.0, True),
        ({"optimizer": "adam"}, 1.0, False),  # divides by the gradient's size
        ({"optimizer": "adagrad"}, 1.0, False),
        ({"optimizer": "lion"}, 1.0, False),
        ({"clip_form": "off"}, 1.0, False),
        ({}, 0.08, True),
        ({}, 0.07, False),  # 9.9 times in two layers
        ({}, NAN, False),
        ({"clip_form": "each_norm"}, 0.21, True),
        ({"clip_form": "each_norm"}, 0.19, False),  # four arrays: twice the limit is certain
    ],
)
def test_clipping_is_blamed_where_it_shortens_steps(
    change: dict[str, Any], norm: float, told: bool
) -> None:
    config = replace(CLIPPED, **change)
    norms = {"gradient_norms": np.full(2, norm)}
    tried = [look(step, **norms, trial=Trial(10, 10, 0.46, 0.2)) for step in (3, 4, 5)]
    looks = [START, *tried, SLOW._replace(**norms)]
    assert ("clipped" in {found.cause for found in diagnose(config, looks)}) == told
    learns = looks[-1]._replace(census=Census(0.05, 0, 0))
    assert "clipped" not in {found.cause for found in diagnose(config, [*looks, learns])}


def test_clipping_is_not_blamed_where_it_seldom_matters() -> None:
    short = look(3, gradient_norms=np.full(2, 0.01))
    far = look(5, trial=Trial(10, 10, 0.46, 0.2))
    assert "clipped" not in said(CLIPPED, short, far, SLOW)
    for last in (short._replace(census=SLOW.census), SLOW._replace(gradient_norms=np.full(2, NAN))):
        says = said(CLIPPED, *[far] * 19, last)["clipped"]
        assert "at 20 of 21 looks they were at least 10 times as long, typically 141 times" in says


@pytest.mark.parametrize(
    ("moved", "wrong", "told"),
    [(3e-3, 0.3, True), (4e-3, 0.3, False), (3e-3, 0.05, False), (NAN, 0.3, False)],
)
def test_clipping_is_blamed_without_a_trial_where_thirty_steps_would_move_little(
    moved: float, wrong: float, told: bool
) -> None:
    seen = look(3, census=Census(wrong, 0, 0), update_norms=np.full(2, moved))  # of 10
    assert ("clipped" in said(CLIPPED, seen)) == told


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"learning_rate": 0.1}, {"clip_norm": 1.0}),
        ({"clip_norm": 5.0, "learning_rate": 0.1}, {"clip_norm": 50.0}),
        ({"clip_norm": 500.0, "learning_rate": 0.1}, {"clip_form": "off"}),
        ({"learning_rate": 30.0}, {"clip_norm": 1.0, "learning_rate": 0.1}),
        ({"scaling": "raw", "learning_rate": 1e-4},
         {"clip_norm": 1.0, "scaling": "unit", "learning_rate": 0.01}),
    ],
)  # fmt: skip
def test_a_cure_of_clipping_keeps_some(change: dict[str, Any], cure: dict[str, Any]) -> None:
    assert cures.longer_gradients(replace(CLIPPED, **change)) == cure


@pytest.mark.parametrize(("says", "told"), [(0.86, True), (0.88, False), (0.96, True)])
def test_a_report_is_blamed_beyond_chance_only(says: float, told: bool) -> None:
    """Three standard errors of 90% of 1,000 images are 2.8%."""
    config = replace(LOGITS, report="threshold")
    seen = look(test_accuracy=0.9, reported=says, test_examples=1000)
    assert ("reported" in said(config, seen)) == told


def test_a_report_hides_no_real_cause() -> None:
    config = replace(LOGITS, report="threshold")
    one = look(one_answer=1.0, test_accuracy=0.5, reported=0.4, test_examples=1000)
    first, *others = diagnose(config, [START, one])
    assert first.cause == "one_answer" and "reported" in {other.cause for other in others}


def test_only_a_report_that_counts_nan_is_blamed_for_nan() -> None:
    broken = look(saturation=saturation(1), test_accuracy=0.1, reported=0.098)
    says = said(replace(LOGITS, report="nan_as_0"), broken)["reported"]
    assert says == (
        "The program reports 9.8% where 100% of the predictions are NaN: it counts NaN as the "
        "answer 0."
    )
    unsaid = broken._replace(reported=NAN)
    assert "reported" not in said(replace(LOGITS, report="threshold"), unsaid)
    assert "reported" not in said(LOGITS, unsaid)


def test_what_was_seen_before_the_weights_broke_is_still_said() -> None:
    rose = look(1, loss=3.0, update_norms=np.array([20.0, 1]))
    broken = [look(step, weight_norms=np.array([NAN, 1])) for step in (4, 16)]
    for later in ([rose, broken[0]], [rose, *broken]):
        first, before, *_ = diagnose(LOGITS, [START, *later])
        assert first.cause == "broken_weights" and before.sentence == (
            "The weights broke between steps 1 and 4. Step 1 said: “This step overshot: the loss "
            "was 1 at the start and is 3 now. The next step changes a layer by 2 times its size.”"
        )
    _, healthy, *_ = diagnose(LOGITS, [START, broken[0]._replace(step=1)])
    assert healthy.sentence == "The weights broke at step 1."
    from_the_start = diagnose(LOGITS, [look(0, weight_norms=np.array([NAN, 1]))])
    assert not any("broke" in each.sentence for each in from_the_start)


@pytest.mark.parametrize(
    ("precision", "optimizer", "by_zero"),
    [
        ("float16", "adam", True),
        ("float16", "adam_step_0", True),
        ("float16", "adam_keras", False),
        ("float16", "momentum", False),
        ("float16", "sgd", False),
        ("bfloat16", "adam", False),
        ("mixed_float16", "adam", False),
    ],
)
def test_a_division_by_zero_is_no_overflow(precision: str, optimizer: str, by_zero: bool) -> None:
    config = replace(LOGITS, precision=precision, optimizer=optimizer)
    says = diagnose(config, [look(0, next_finite=False)])[0].sentence
    assert says == (
        "The gradient is finite, but its step is not: Adam's epsilon of 1e-8 is 0 in float16, so "
        "Adam divides by 0 where the square of a gradient is 0, too."
        if by_zero
        else "The gradient is finite, but its step overflows: it makes weights NaN or inf."
    )


def test_an_epsilon_of_0_divides_by_zero_in_every_format() -> None:
    def says(**changes: Any) -> str:
        config = replace(LOGITS, **changes)
        return diagnose(config, [look(0, next_finite=False)])[0].sentence

    divides = "epsilon is 0, so {} divides by 0 where the square of a gradient is 0, too."
    assert divides.format("Adam") in says(optimizer="adam", optimizer_epsilon=0.0)
    assert divides.format("RMSprop") in says(optimizer="rmsprop_tf1", optimizer_epsilon=0.0)
    assert "0" not in says(
        optimizer="adagrad_keras", optimizer_epsilon=0.0
    )  # its sum starts at 0.1
    assert "divides" not in says(optimizer="adam", precision="float16", optimizer_epsilon=1e-3)


def test_weights_that_move_without_a_gradient_are_explained() -> None:
    silent = {**SILENT, "gradients": np.full(1000, Gradient.ZERO)}
    moving = look(n=1000, **{**silent, "update_norms": np.ones(2)})

    def says(config: RunConfig) -> str:
        return said(config, moving)["all_silent"]

    assert "training drops units" in says(replace(QUESTION, dropout="rate"))
    assert "remembers" in says(replace(QUESTION, optimizer="momentum"))
    assert "remembers" not in says(replace(QUESTION, optimizer="momentum", momentum=0.0))
    assert "remembers" not in says(replace(QUESTION, optimizer="rmsprop"))
    assert "because they decay." in says(replace(QUESTION, decay_form="decoupled"))
    assert "further images" in says(replace(QUESTION, train_size=2000))
    assert says(QUESTION).endswith("The weights still move.")
    still = said(QUESTION, look(n=1000, **silent))["all_silent"]
    assert still.endswith("This step changes no weight.")


@pytest.mark.parametrize(
    ("config", "exactly"),
    [
        (replace(QUESTION, dropout="rate", dropout_value=0.1), "with all units their gradient is"),
        (RunConfig(**{**DIGITS, "model": "cnn"}), "their gradient is"),
    ],
    ids=["dropout", "batch norm"],
)
def test_what_a_step_learns_is_not_told_where_it_sees_other_than_a_look(
    config: RunConfig, exactly: str
) -> None:
    """It drops units, or takes an image beside other images."""
    silent = said(config, look(9, **TEN_SILENT))["silent"]
    assert silent == f"10% of the images are wrong and silent: {exactly} exactly zero."
    dead = said(config, look(dead_units=np.array([0.95]), census=Census(0.5, 0, 0)))["dead_units"]
    assert dead == "95% of the units of layer 1 are 0 for every image looked at."


def test_what_a_step_learns_is_told_where_layers_normalise_an_image_by_itself() -> None:
    config = replace(QUESTION, normalisation="layer_norm")
    silent = said(config, look(9, **TEN_SILENT))["silent"]
    assert silent.endswith("exactly zero, so this step learns nothing from them.")


def test_a_small_last_batch_makes_no_long_step_where_losses_are_summed() -> None:
    config, seen, _ = FITTING["small_last_batch"]
    causes = {found.cause for found in diagnose(replace(config, reduction="sum"), seen)}
    assert "small_last_batch" not in causes


@pytest.mark.parametrize("key", losses_for("binary"))
def test_sigmoid_twice_names_the_loss_of_a_certain_answer(key: str) -> None:
    config = replace(QUESTION, loss=key, epsilon=1e-6, loss_input="softmax")
    says = said(config, look(census=Census(0.5, 0, 0)))["softmax_twice"]
    assert says.startswith("Sigmoid is applied twice")
    assert "has a loss of 0.693 (label 0) or 0.313 (label 1)." in says


def test_a_certain_answer_s_loss_is_the_chosen_loss_s_own() -> None:
    """With so large an epsilon, MXNet's loss of p = 0.73 is -log(0.73 + 0.499), below 0."""
    config = replace(QUESTION, loss="mxnet", epsilon=0.499, loss_input="softmax")
    says = said(config, look(census=Census(0.5, 0, 0)))["softmax_twice"]
    assert f"{-math.log(1 / (1 + math.exp(-1)) + 0.499):.3g} (label 1)" in says


def test_a_certain_answer_s_loss_is_that_of_smoothed_labels() -> None:
    """The loss at a sigmoid of 1: half as much as usual from the label, half from the other."""
    config = replace(QUESTION, loss="from_logits", loss_input="softmax", label_smoothing=0.5)
    says = said(config, look(census=Census(0.5, 0, 0)))["softmax_twice"]
    right, wrong = np.log1p(np.exp(-1)), np.log1p(np.exp(1))
    assert f"0.693 (label 0) or {0.75 * right + 0.25 * wrong:.3g} (label 1)" in says
    ten = RunConfig(**{**DIGITS, "loss_input": "softmax", "label_smoothing": 0.1})
    says = said(ten, look(census=Census(0.5, 0, 0)))["softmax_twice"]
    assert f"has a loss of {np.log(np.e + 9) - 0.91:.3g}." in says


def test_softmax_twice_is_no_trouble_to_a_run_that_does_well() -> None:
    twice = RunConfig(**{**DIGITS, "loss_input": "softmax"})
    assert "softmax_twice" not in said(twice, look(loss=0.5, census=Census(0.05, 0, 0)))
    half = look(loss=0.5, census=Census(0.5, 0, 0))
    assert "softmax_twice" in said(twice, half)
    for harmless in ("logits", "log_softmax"):
        assert "softmax_twice" not in said(replace(twice, loss_input=harmless), half)


def test_a_loss_divided_by_its_outputs_is_no_trouble_where_steps_do_not_shrink() -> None:
    divided = RunConfig(**{**DIGITS, "reduction": "mean_outputs"})
    half = look(loss=0.5, census=Census(0.5, 0, 0))
    key = "divided_by_outputs"
    assert key in said(divided, half) and key in said(replace(divided, optimizer="momentum"), half)
    assert key not in said(replace(divided, optimizer="adam"), half)
    assert key not in said(replace(divided, reduction="mean"), half)
    assert key not in said(replace(LOGITS, reduction="mean_outputs"), half), "one output"
    assert key not in said(divided, look(loss=0.5, census=Census(0.05, 0, 0)))
    for large in (0.2, np.nan, 0.0):  # of layers of size 10: ten times that is a fifth
        assert key not in said(divided, half._replace(update_norms=np.full(2, large)))
    earlier = half._replace(update_norms=np.full(2, 0.2))
    assert key not in said(divided, earlier, half)


def test_the_cure_for_softmax_twice_keeps_the_steps() -> None:
    """The ten digits with a learning rate of 1 learn well once the loss is given logits."""
    twice = RunConfig(**{**DIGITS, "loss_input": "softmax", "learning_rate": 1.0})
    found = diagnose(twice, [START, look(9, loss=1.7, census=Census(0.5, 0, 0))])[0]
    assert found.cause == "softmax_twice" and found.cure == {"loss_input": "logits"}


@pytest.mark.parametrize(
    ("start", "now", "rose"), [(2.291, 2.294, False), (2.29, 2.31, True), (2.29, NAN, False)]
)
def test_a_rise_that_the_figures_do_not_show_is_no_overshoot(
    start: float, now: float, rose: bool
) -> None:
    found = diagnose(LOGITS, [look(0, loss=start), look(5, loss=now)])
    assert ("too_large" in {diagnosis.cause for diagnosis in found}) == rose


SMALL, LARGE = np.array([0.5, 0.5]), np.array([0.5, 3.0])  # of layers of size 10


@pytest.mark.parametrize(
    "change",
    [
        *({"dropout": form, "dropout_value": 0.5} for form in DROPOUTS if form != "off"),
        {"dropout": "off", "normalisation": "batch_norm"},
    ],
    ids=str,
)
def test_a_rise_is_an_overshoot_only_after_a_large_step_where_a_look_sees_another_network(
    change: dict[str, Any],
) -> None:
    config = replace(DROPPING, **change)

    def overshot(*looks: tuple[float, np.ndarray]) -> bool:
        seen = [look(i, loss=loss, update_norms=step) for i, (loss, step) in enumerate(looks)]
        return "too_large" in {found.cause for found in diagnose(config, seen)}

    assert not overshot((1.0, SMALL), (2.0, SMALL))
    assert not overshot((1.0, SMALL), (2.0, LARGE)), "the next step has not raised anything yet"
    assert overshot((1.0, LARGE), (2.0, SMALL))
    assert overshot((1.0, SMALL), (2.0, LARGE), (3.0, SMALL))
    assert not overshot((1.0, LARGE), (3.0, SMALL), (0.9, SMALL), (2.0, SMALL)), "another rise"


def test_an_overshoot_is_said_of_the_steps_so_far() -> None:
    says = said(LOGITS, look(1, loss=5.0), look(7, loss=2.0, update_norms=np.array([1340.0, 0])))
    assert says["too_large"] == (
        "The steps so far overshot: the loss was 1 at the start and is 2 now. The next step "
        "changes a layer by 134 times its size."
    )


def test_no_step_is_too_small_without_a_gradient_to_follow() -> None:
    still = look(5, loss=1.0, update_norms=np.zeros(2))
    assert said(LOGITS, still)["too_small"] == (
        "The steps are too small: the loss is still 1, and the next step changes no layer."
    )
    for gradient in (np.zeros(2), np.array([1.0, NAN]), np.array([np.inf, 1.0])):
        assert "too_small" not in said(LOGITS, still._replace(gradient_norms=gradient))


def test_steps_are_rounded_away_where_most_of_a_layer_stays_and_images_are_wrong() -> None:
    half, run = Census(0.5, 0, 0), replace(LOGITS, precision="bfloat16")

    def found(*shares: float, **changes: Any) -> bool:
        stay = look(**{"rounded_away": np.float32(shares), "census": half, **changes})
        return "rounded_away" in said(run, stay)

    assert found(0.71, 0.2) and found(NAN, 0.71)
    assert not found(0.69, 0.69) and not found(NAN, NAN), "no weight has a gradient"
    assert not found(0.9, 0.9, census=Census(0.05, 0, 0))
    assert not found(0.9, 0.9, step=0), "momentum has yet to grow"
    assert not found(0.9, 0.9, gradient_norms=np.array([np.inf, 1])), "the step is skipped"


@pytest.mark.parametrize(
    ("precision", "cure"),
    [
        ("bfloat16", {"precision": "mixed_bfloat16"}),
        ("float16", {"precision": "mixed_float16"}),
        ("mixed_bfloat16", {"learning_rate": 0.1}),
        ("float32", {"learning_rate": 0.1}),
        ("float64", {"learning_rate": 0.1}),
    ],
)
def test_weights_that_are_rounded_away_get_float32_or_larger_steps(
    precision: str, cure: dict[str, Any]
) -> None:
    stay = look(rounded_away=np.float32([0.9, 0.9]), census=Census(0.5, 0, 0))
    diagnoses = diagnose(replace(LOGITS, precision=precision), [START, stay])
    assert [d.cure for d in diagnoses if d.cause == "rounded_away"] == [cure]


@pytest.mark.parametrize(
    ("own", "larger", "slow"),
    [
        (0.86, 0.6, True),
        (0.86, 0.71, False),  # less than half of what ten times the rate would give
        (0.86, 0.95, False),
        (0.9, 0.5, False),  # it does not learn
        (0.91, 0.8, False),
        (0.8999, 0.8992, False),  # it may be rounding
        (NAN, 0.6, False),
        (0.86, NAN, False),
    ],
)
def test_a_run_is_slow_only_if_a_copy_learned_much_faster(
    own: float, larger: float, slow: bool
) -> None:
    tried = look(5, loss=0.9, trial=Trial(10, 10, own, larger), census=Census(0.5, 0, 0))
    assert ("too_slow" in said(LOGITS, tried)) == slow
    healthy = tried._replace(census=Census(0.05, 0, 0))
    assert "too_slow" not in said(LOGITS, healthy)
    newer = tried._replace(step=9, trial=Trial(10, 10, 0.86, 0.86))
    assert "too_slow" not in said(LOGITS, tried, newer), "the newest trial counts"


def test_a_loss_that_the_figures_do_not_see_move_is_still_what_it_was() -> None:
    for loss in (1.0, 0.9999, 1.0001):
        assert said(LOGITS, look(loss=loss))["learning"].endswith("The loss is still 1.")
    fell = said(LOGITS, look(loss=0.99))["learning"]
    assert fell.endswith("The loss fell: 1 at the start, 0.99 now.")


def test_only_infinity_from_finite_numbers_is_an_overflow() -> None:
    """An infinite gradient may come from a division by 0, but not a finite network's activation."""

    def found(precision: str, *largest: float) -> bool:
        seen = [look(0, largest=Largest(*largest))]
        causes = diagnose(replace(LOGITS, precision=precision), seen)
        return "overflow" in {diagnosis.cause for diagnosis in causes}

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
    keys = {found.cause for found in diagnose(config, [START, look(fixed=True, **SILENT)])}
    assert ("stopped" in keys) == (config == ADAM)  # Adam's memory is fixed as well


@pytest.mark.parametrize("examples", [10, 200, 1000])
def test_shares_are_rounded_but_never_to_none_or_all(examples: int) -> None:
    for count in range(1, examples):
        for share in (count / examples, float(np.float32(count / examples))):
            assert percent(share) not in ("0%", "100%")
    assert (percent(0.0), percent(1.0)) == ("0%", "100%")


def said_of(config: RunConfig, order: np.ndarray) -> list[bool]:
    """Whether its images are said not to be mixed, at each step of an epoch in this order."""
    labels = labels_of(config.task, load("sample", config.train_size).train_labels)
    looks = [
        look(ahead=ahead(config, labels, order, step)) for step in range(config.steps_per_epoch)
    ]
    return [batches.unmixed(Evidence(config, [each])) is not None for each in looks]


@pytest.mark.parametrize("task", ["binary", "digits"])
@pytest.mark.parametrize("size", [more(1), 10, 100, 1999])
def test_images_that_are_shuffled_are_mixed_and_sorted_ones_are_not(task: str, size: int) -> None:
    """However few images a batch has; a batch of half the data has five digits.

    Where one label ends and the next begins, two labels are mixed.
    """
    config = RunConfig(**{**FEW_LABELS.differences(), "train_size": 4000, "batch_size": size})
    config = agree({**asdict(config), "task": task})[0]
    random = np.random.default_rng(size)
    for _ in range(20):
        assert not any(said_of(config, random.permutation(4000)))
    assert not any(said_of(config, np.arange(4000))), "MNIST's own order"
    labels = labels_of(task, load("sample", 4000).train_labels)
    found = said_of(config, np.argsort(labels, kind="stable"))
    assert np.mean(found) > 0.95 if size < 1999 else found == [task == "binary"] * 2


def test_too_few_images_tell_nothing() -> None:
    """All of ten images may have one label by chance."""
    few = replace(FEW_LABELS, train_size=100, batch_size=10)
    labels = load("sample", 100).train_labels
    assert not any(said_of(few, np.argsort(labels, kind="stable")))


# Each form of dropout, with the value that makes it keep 30% of the units.
THIRTY = {"keep_prob": 0.3, "rate": 0.7, "older": 0.3, "unscaled": 0.7}


@pytest.mark.parametrize("form", THIRTY)
def test_the_cure_for_too_much_dropout_drops_half_as_many_by_the_same_form(form: str) -> None:
    config = replace(DROPPING, dropout=form, dropout_value=THIRTY[form])
    found = diagnose(config, [START, look(50, flipped=0.71, dropped_accuracy=0.25)])[0]
    better = replace(config, **found.cure)
    assert better.dropout == form
    keep = DROPOUTS[form].means(np.float32(better.dropout_value)).keep_prob
    assert float(keep) == pytest.approx(0.65)
