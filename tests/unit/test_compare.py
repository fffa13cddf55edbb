"""One cause planted in a recording is named, and nothing else is."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.parts.activations import ACTIVATIONS
from core.parts.losses import LOSSES
from core.parts.optimizers import OPTIMIZERS
from core.study.atlas.comparisons import comparisons
from core.study.atlas.effects import recorded as recorded_runs
from core.study.atlas.pieces import PIECES
from core.study.compare import examples
from core.study.compare.__main__ import main
from core.study.compare.activations import FUNCTIONS
from core.study.compare.fit_loss import BINARY, SOFTMAX
from core.study.compare.matching import FLATTENED, GATES, PERMUTED, SWAPPED, match
from core.study.compare.recording import Array, Recording, read
from core.study.compare.report import STAGES, Report, verdict_sentence
from core.study.compare.rules import RULES
from core.study.compare.schedules import Schedule
from core.study.compare.walk import compare, look
from tests.kit import every
from tests.kit.recorder import Program, recorded, written

PLAIN: dict[str, Any] = {}
SGD = {"optimizer": "sgd", "rate": 0.1}
MOMENTUM = {"optimizer": "momentum", "rate": 0.1}
RMSPROP = {"optimizer": "rmsprop", "beta_2": 0.9, "optimizer_epsilon": 1e-7}
ADAGRAD = {"optimizer": "adagrad_inside", "start": 0.1, "optimizer_epsilon": 1e-7}
NORM = {"norm": True}
DROPOUT = {"keep": 0.9}
TWO = {"widths": (20, 24, 1)}  # one output, for two classes
SHARES = {"softmax": True, "weights": "glorot_uniform*6"}  # so sharp that losses clip
CLIPPED = {**SHARES, "loss": "clip"}

# What is planted, what both programs have in common, what b has besides, and the causes named.
PLANTED: dict[str, tuple[dict[str, Any], dict[str, Any], set[str]]] = {
    "squared error": (PLAIN, {"loss": "squared"}, {"loss"}),
    "epsilon of the loss": (CLIPPED, {"epsilon": 1e-2}, {"loss_epsilon"}),
    "epsilon added, not clipped": ({**CLIPPED, "epsilon": 1e-2}, {"loss": "plus"}, {"loss"}),
    "sum": (PLAIN, {"reduction": "sum"}, {"reduction"}),
    "mean over outputs": (PLAIN, {"reduction": "outputs"}, {"reduction"}),
    "softmax twice": (PLAIN, {"softmax": True}, {"softmax_twice"}),
    "logits as probabilities": (PLAIN, {"loss": "clip"}, {"from_logits"}),
    "sigmoid twice": (TWO, {"softmax": True}, {"softmax_twice"}),
    "logits as probabilities, of two": (TWO, {"loss": "clip"}, {"from_logits"}),
    "sum, of two": (TWO, {"reduction": "sum"}, {"reduction"}),
    "labels swapped": (TWO, {"loss_shift": 1}, {"labels_shifted"}),
    "labels off by one": (PLAIN, {"label_shift": 1}, {"labels_shifted"}),
    "labels off by one in the loss": (PLAIN, {"loss_shift": 1}, {"labels_shifted"}),
    "smoothing": (PLAIN, {"smoothing": 0.1}, {"label_smoothing"}),
    "pixels 0 to 255": (PLAIN, {"pixels": "bytes"}, {"input_scale"}),
    "standardised": (PLAIN, {"pixels": "standardised"}, {"input_standardised"}),
    "order within the batch": (PLAIN, {"order": "within"}, {"batch_order"}),
    "no shuffling": (PLAIN, {"order": "sorted"}, {"no_shuffling"}),
    "other batches": (PLAIN, {"order": "other"}, {"other_batch"}),
    "keep for drop": (DROPOUT, {"keep": 0.1}, {"keep_prob"}),
    "dropout rate": (DROPOUT, {"keep": 0.5}, {"dropout_rate"}),
    "dropout at evaluation": (DROPOUT, {"dropout_at_evaluation": True}, {"dropout_at_evaluation"}),
    "learning rate": (PLAIN, {"rate": 0.001}, {"learning_rate"}),
    "learning rate of SGD": (SGD, {"rate": 0.01}, {"learning_rate"}),
    "a decaying rate": (PLAIN, {"rate_factor": 0.99}, {"rate_schedule"}),
    "a decaying rate of SGD": (SGD, {"rate_factor": 0.9}, {"rate_schedule"}),
    "warmup": ({**PLAIN, "rate": 0.001}, {"rate_rise": 0.002}, {"rate_schedule"}),
    "two schedules": ({**RMSPROP, "rate_factor": 0.9}, {"rate_factor": 0.8}, {"rate_schedule"}),
    "a schedule and decay": ({"rate_factor": 0.9}, {"decoupled": 0.01}, {"weight_decay"}),
    "a schedule in the momentum": ({**MOMENTUM, "rate_factor": 0.9}, {"rate_inside": True},
                                   {"rates_in_momentum"}),
    "no momentum": (MOMENTUM, {"optimizer": "sgd"}, {"momentum"}),
    "another optimizer": (PLAIN, SGD, {"optimizer"}),
    "Adam's epsilon": (PLAIN, {"optimizer_epsilon": 1e-7}, {"optimizer_epsilon"}),
    "Adam's epsilon, large": (PLAIN, {"optimizer_epsilon": 1e-3}, {"optimizer_epsilon"}),
    "Adam's epsilon hat": ({"optimizer_epsilon": 1e-5}, {"optimizer": "adam_hat"},
                           {"epsilon_place"}),
    "Adam's beta_1": (PLAIN, {"beta": 0.5}, {"momentum"}),
    "Adam's beta_2": (PLAIN, {"beta_2": 0.99}, {"beta_2"}),
    "RMSprop's epsilon in the root": (RMSPROP, {"optimizer": "rmsprop_inside"}, {"epsilon_place"}),
    "RMSprop's epsilon": (RMSPROP, {"optimizer_epsilon": 1e-4}, {"optimizer_epsilon"}),
    "a mean for a momentum": (MOMENTUM, {"optimizer": "averaged"}, {"momentum_form"}),
    "Nesterov": (MOMENTUM, {"optimizer": "nesterov"}, {"nesterov"}),
    "momentum": (MOMENTUM, {"beta": 0.5}, {"momentum"}),
    "decay, coupled": (PLAIN, {"l2": 0.01}, {"weight_decay"}),
    "decay, decoupled": (PLAIN, {"decoupled": 0.01}, {"weight_decay"}),
    "decoupled for coupled": ({"l2": 0.01}, {"l2": 0.0, "decoupled": 0.01}, {"decay_form"}),
    "factor two of L2": ({"l2": 0.01}, {"l2": 0.0, "penalty": 0.01}, {"l2_factor_two"}),
    "clipping, all together": (MOMENTUM, {"clip": "global"}, {"clipping"}),
    "clipping, each": (SGD, {"clip": "each"}, {"clipping"}),
    "each for all together": ({**MOMENTUM, "clip": "global"}, {"clip": "each"}, {"clipping"}),
    "not zeroed": (PLAIN, {"zeroed": False}, {"gradients_not_zeroed"}),
    "a frozen layer": (PLAIN, {"frozen": (0,)}, {"frozen"}),
    "initial scale": (PLAIN, {"weights": "glorot_uniform*2"}, {"initial_scale"}),
    "another initialiser": (PLAIN, {"weights": "torch", "seed": 3}, {"initial_scale"}),
    "biases": (PLAIN, {"biases": "torch"}, {"initial_biases"}),
    "another seed": (PLAIN, {"seed": 1}, {"another_seed"}),
    "batch norm's momentum": (NORM, {"norm_momentum": 0.99}, {"norm_momentum"}),
    "batch norm's epsilon": (NORM, {"norm_epsilon": 1e-3}, {"norm_epsilon"}),
    "batch norm's variance": (NORM, {"norm_unbiased": True}, {"norm_variance"}),
    "batch norm of the batch": (NORM, {"norm_of_batch_at_evaluation": True}, {"norm_evaluation"}),
    "Adagrad's start": (ADAGRAD, {"start": 0.0}, {"accumulator_start"}),
    "GELU": ({"activation": "gelu"}, {"activation": "gelu_tanh"}, {"activation"}),
    "leaky slope": ({"activation": "leaky_0.01"}, {"activation": "leaky_0.3"}, {"activation"}),
    "bfloat16": (PLAIN, {"arithmetic": "bfloat16"}, {"number_format"}),
    "float16": (PLAIN, {"arithmetic": "float16"}, {"number_format"}),
}  # fmt: skip


@cache
def recording(program: Program) -> Recording:
    return read(recorded(program))


def compared(a: dict[str, Any], b: dict[str, Any], seed: int = 0) -> Report:
    ours = Program(seed=seed, data=seed, **a)
    other = replace(ours, **{"summed": seed + 1, "framework": "torch", "transposed": True, **b})
    return compare(recording(ours), recording(other))


def named(report: Report) -> set[str]:
    return {verdict.cause for verdict in report.verdicts}


@pytest.mark.parametrize("name", every(4, PLANTED))
def test_a_planted_cause_is_named_and_nothing_else(name: str) -> None:
    common, planted, causes = PLANTED[name]
    report = compared(common, planted)
    assert named(report) == causes
    assert report.same is not bool(causes)


PAIRS = [
    ("sum", "learning rate of SGD"),
    ("labels off by one in the loss", "a frozen layer"),
    ("pixels 0 to 255", "Adam's beta_1"),
    ("another seed", "learning rate"),
    ("GELU", "smoothing"),
    ("softmax twice", "decay, decoupled"),
    ("order within the batch", "Nesterov"),
    ("batch norm's momentum", "learning rate"),
    ("initial scale", "not zeroed"),
    ("dropout at evaluation", "Adam's epsilon, large"),
    ("bfloat16", "learning rate"),
    ("standardised", "clipping, all together"),
]


@pytest.mark.slow
def test_of_two_causes_at_once_both_are_named() -> None:
    """The second lies behind the first difference: it shows in each side's own numbers."""
    right = 0
    for first, second in PAIRS:
        (common, planted, causes), (more, also, others) = PLANTED[first], PLANTED[second]
        right += named(compared({**common, **more}, {**planted, **also})) == causes | others
    assert right >= 11


KINDS = (PLAIN, SGD, MOMENTUM, RMSPROP, ADAGRAD, NORM, DROPOUT, CLIPPED,
         {"activation": "gelu"}, {"optimizer": "adam_hat"}, {**MOMENTUM, "rate_factor": 0.9},
         {"rate_factor": 0.95, "decoupled": 0.01})  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_nothing_planted_is_the_same_to_rounding(seed: int) -> None:
    """Sums are rounded in another order, kernels transposed and hidden units permuted."""
    report = compared(KINDS[seed % len(KINDS)], {"permuted": seed % 2 == 1}, seed)
    assert report.same, report.markdown()
    assert not report.verdicts
    assert any(SWAPPED in note for note in report.notes)
    assert any(PERMUTED in note for note in report.notes) is (seed % 2 == 1)


# What is recorded besides, or not


def test_a_stage_that_is_not_recorded_is_called_so() -> None:
    gone = {"gone": ("outputs_grad", "eval/")}
    report = compared(gone, {"loss_shift": 1})
    status = {stage.name: stage.status for stage in report.stages}
    assert status["gradient of the outputs"] == status["state"] == "not recorded"
    assert status["evaluation"] == "not recorded"
    assert (status["batch"], status["loss"]) == ("same", "differs")
    assert status["update"] == "after the first difference"
    assert named(report) == {"labels_shifted"}
    notes = {stage.name: stage.notes for stage in report.stages}
    assert notes["evaluation"] == (
        "evaluation: not in a and b. To record it: recorder.evaluation(x, y, outputs, "
        "accuracy=...)",
    )
    slope = notes["gradient of the outputs"]
    assert ["with PyTorch as its backend" in note for note in slope] == [True, False]  # b is torch
    assert not notes["loss"] and not notes["update"]


def test_steps_alone_tell_the_rule_s_numbers() -> None:
    gone = {"gone": ("outputs", "loss", "labels", "inputs", "eval/")}
    assert named(compared(gone, {"rate": 0.001})) == {"learning_rate"}
    assert named(compared(gone, {"zeroed": False})) == {"gradients_not_zeroed"}


def test_what_fits_as_well_is_not_blamed() -> None:
    """Adam's first step does not depend on its betas, so one step says nothing of them."""
    assert compared({"steps": 1}, {"beta": 0.5}).same
    assert named(compared({"steps": 1}, {"beta": 0.5, "rate": 0.001})) == {"learning_rate"}


def test_plain_sgd_does_not_tell_coupled_from_decoupled_decay() -> None:
    report = compared(SGD, {"l2": 0.01})
    assert named(report) == {"weight_decay"}
    assert "the same" in report.verdicts[0].sentence
    assert compared({**SGD, "l2": 0.01}, {"l2": 0.0, "decoupled": 0.01}).same


def test_a_verdict_has_what_is_left_what_else_was_tried_and_what_to_write() -> None:
    (verdict,) = compared(PLAIN, {"rate": 0.001}).verdicts
    assert verdict.residual is not None and verdict.residual < 1e-4
    assert verdict.runner_up_residual is not None and verdict.runner_up_residual > 1
    assert "0.01 in a and 0.001 in b" in verdict.sentence
    assert verdict.write == "# in b:\nlr=0.01"
    assert verdict.matters == "This alone changes the steps by 876%."


def test_what_a_framework_has_no_word_for_is_written_in_words() -> None:
    (verdict,) = compared({**PLAIN, "reduction": "sum"}, {"reduction": "mean"}).verdicts
    assert verdict.write == '# in b:\nreduction="sum"'
    (verdict,) = compared({**PLAIN, "reduction": "outputs"}, {"reduction": "mean"}).verdicts
    assert verdict.write == "# in b:\ntake the mean over examples and outputs"


def test_weights_that_were_drawn_are_judged_by_chance() -> None:
    (verdict,) = compared(PLAIN, {"weights": "torch", "seed": 3}).verdicts
    assert "standard errors; with Glorot uniform as in a it would be" in verdict_sentence(verdict)
    assert "unexplained" not in verdict_sentence(verdict)
    told = [note for stage in look(recording(Program())).stages for note in stage.notes]
    assert "weights Glorot uniform; off by" in told[0] and "is chance" in told[0]
    assert compared(SGD, {"weights": "glorot_uniform*2"}).verdicts[0].matters == ""


def test_what_the_atlas_measured_of_a_cause_is_told() -> None:
    (verdict,) = compared(PLAIN, {"softmax": True}).verdicts
    assert "In the atlas, logits instead of probabilities" in verdict.matters
    (effect,) = [e for e in map(recorded_runs().effect, comparisons([PIECES["loss_expects"]]))
                 if e and (e.comparison.there, e.comparison.context) == ("probabilities", "sgd")
                 and e.comparison.here == "logits"]  # fmt: skip
    assert f"{-100 * effect.gap:.1f} points (SGD, 0.1)" in verdict.matters


def test_a_rate_that_changes_is_told_step_by_step() -> None:
    same, decaying = Program(framework="torch"), Program(rate_factor=0.99)
    for a, b, write in (
        (same, decaying, "learning_rate=0.01  # no schedule"),
        (decaying, same, "torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)  # lr=0.01; "
         ".step() after each step"),
    ):  # fmt: skip
        (verdict,) = compare(recording(a), recording(b)).verdicts
        assert "0.01, 0.0099, 0.009801, 0.009703" in verdict.sentence
        assert "0.01 at all steps" in verdict.sentence
        assert verdict.write == f"# in b:\n{write}"
    rising = Schedule((0.001, 0.003, 0.005))
    assert rising.write("jax").startswith("optax.linear_schedule(0.001, 2.001, 1000)")
    assert Schedule((0.1, 0.3, 0.2)).write("keras").endswith("that gives 0.1, 0.3, 0.2")
    assert rising.alike(Schedule((0.001, 0.003))) and not rising.alike(Schedule((0.001, 0.002)))


def test_who_is_wrong_is_told_where_one_is() -> None:
    for name, side in (("softmax twice", "b"), ("not zeroed", "b"), ("learning rate", "both")):
        common, planted, _ = PLANTED[name]
        assert [v.side for v in compared(common, planted).verdicts] == [side]
    turned = compare(recording(Program(zeroed=False)), recording(Program()))
    assert [v.side for v in turned.verdicts] == ["a"]


@pytest.mark.parametrize("common", [PLAIN, TWO])
def test_probabilities_and_logits_rightly_used_are_the_same(common: dict[str, Any]) -> None:
    report = compared(common, {"softmax": True, "loss": "clip"})
    assert report.same, report.markdown()
    assert any("probabilities" in note for note in report.notes)


# Matching


def tensors(**params: Array) -> Recording:
    return read(written({f"step/0/params/{k}": np.asarray(v, np.float32)
                         for k, v in params.items()}, 1))  # fmt: skip


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gates(v: Array, order: tuple[int, ...]) -> Array:
    blocks = np.split(v, len(order), axis=-1)
    return np.concatenate([blocks[i] for i in order], axis=-1)


FILTERS, DENSE, CELL = drawn(3, 3, 2, 4), drawn(4 * 5 * 5, 7, seed=1), drawn(6, 12, seed=2)


@pytest.mark.parametrize(
    ("a", "b", "how"),
    [
        ({"w": DENSE}, {"w": DENSE.T}, SWAPPED),
        ({"w": FILTERS}, {"x": FILTERS.transpose(3, 2, 0, 1)}, "OIHW as HWIO"),
        ({"w": FILTERS.transpose(3, 2, 0, 1)}, {"x": FILTERS}, "HWIO as OIHW"),
        ({"w": DENSE, "c": FILTERS},
         {"w": DENSE.reshape(25, 4, 7).transpose(1, 0, 2).reshape(100, 7).T, "c": FILTERS},
         FLATTENED),
        ({"w": CELL}, {"w": gates(CELL, (1, 0, 2)).T}, GATES),
        ({"w": CELL}, {"w": gates(CELL, (0, 2, 1, 3))}, GATES),
        ({"a": drawn(5), "b": drawn(5, seed=1)}, {"a": drawn(5, seed=1), "b": drawn(5)}, ""),
    ],
)  # fmt: skip
def test_parameters_are_matched_in_any_layout(
    a: dict[str, Array], b: dict[str, Array], how: str
) -> None:
    found = match(a, b)
    assert [pair.exact for pair in found.pairs] == [True] * len(a)
    for pair in found.pairs:
        assert np.array_equal(pair.undo(b[pair.b]), a[pair.a])
    assert how in {pair.how.partition(", ")[0] for pair in found.pairs} or how in {
        pair.how for pair in found.pairs
    }
    assert compare(tensors(**a), tensors(**b)).same


def test_a_parameter_without_a_partner_is_named() -> None:
    report = compare(tensors(w=DENSE, b=drawn(7)), tensors(w=DENSE))
    assert not report.same and "only in a: b" in report.notes
    assert named(report) == {"other_parameters"}


# One recording


AILING: dict[str, tuple[dict[str, Any], set[str]]] = {
    "none": (PLAIN, set()),
    "softmax twice": ({"softmax": True}, {"softmax_twice"}),
    "labels off by one": ({"loss_shift": 1}, {"labels_shifted"}),
    "not zeroed": ({"zeroed": False}, {"gradients_not_zeroed"}),
    "frozen": ({"frozen": (1,)}, {"frozen"}),
    "dropout at evaluation": ({**DROPOUT, "dropout_at_evaluation": True},
                              {"dropout_at_evaluation"}),
    "steps rounded away": ({"arithmetic": "bfloat16", **SGD, "rate": 0.001}, {"rounded_away"}),
    "silent examples": ({**CLIPPED, "epsilon": 0.05}, {"silent_examples"}),
}  # fmt: skip


@pytest.mark.parametrize("name", AILING)
def test_one_recording_is_told_what_ails_it(name: str) -> None:
    program, causes = AILING[name]
    assert named(look(recording(Program(**program)))) == causes


def test_one_recording_is_told_what_it_computes() -> None:
    told = {stage.name: stage.notes[0] for stage in look(recording(Program())).stages
            if stage.notes}  # fmt: skip
    assert "Glorot uniform" in told["initial weights"]
    assert "relu" in told["outputs"]
    assert "cross-entropy" in told["loss"]
    assert "Adam" in told["update"] and "rate 0.01" in told["update"]


def test_the_first_nan_is_found() -> None:
    r = recording(Program())
    spoilt = {k: np.full_like(v, np.nan) if k.startswith(("step/1/grads", "step/2/params")) else v
              for k, v in r.tensors.items()}  # fmt: skip
    (found,) = [v for v in look(read(written(spoilt, r.steps))).verdicts if v.cause == "nan"]
    assert "dense" in found.sentence and "step 1" in found.sentence


# The command


def test_the_loss_of_the_example_is_found_in_probabilities_and_in_their_logits() -> None:
    """Keras on TensorFlow looks for the logits; the clip in JAX keeps rounded probabilities."""
    report = compare(*(read(path) for path in examples.PAIRS["question"].paths))
    (verdict,) = report.verdicts
    assert (verdict.cause, verdict.side) == ("logits_lost", "a")
    assert verdict.residual is not None and verdict.residual < 1e-5
    alone = look(read(examples.PAIRS["question"].paths[1]))
    ailing = {each.cause: each for each in alone.verdicts}
    assert ailing["saturation"].residual is None  # a share of the outputs is no residual
    assert any("logits behind" in note for stage in alone.stages for note in stage.notes)


def test_the_command_prints_the_walk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = (tmp_path / f"{name}.safetensors" for name in "abc")
    a.write_bytes(recorded(Program()))
    b.write_bytes(recorded(Program(rate=0.001)))
    c.write_bytes(b"no recording")
    assert main([str(a), str(a)]) == 0
    assert "The same, to rounding." in capsys.readouterr().out
    assert main([str(a), str(b)]) == 1
    assert "**learning rate**:" in capsys.readouterr().out
    assert main([str(a), str(b), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["same"] is False and [s["name"] for s in told["stages"]] == [*STAGES]
    assert main([str(a)]) == 0
    assert main([str(a), str(c)]) == 2
    assert "c.safetensors: " in capsys.readouterr().err
    assert main([str(a), str(tmp_path / "d")]) == 2


def test_the_rows_that_are_named_exist() -> None:
    assert {key for rule in RULES for key in rule.keys} == {*OPTIMIZERS}
    kinds = {row.kind for row in (*SOFTMAX, *BINARY)} - {"cross-entropy"}
    assert kinds <= {*LOSSES}
    assert {*ACTIVATIONS} <= {*FUNCTIONS}
