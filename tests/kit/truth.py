"""Odd settings, and whether what is said about their runs is confirmed later in the run."""

from collections.abc import Iterator
from typing import Any

from core.config import RunConfig, agree
from core.parts.choices import SCALINGS
from core.parts.clip_and_decay import DECAY_FORMS
from core.parts.losses import losses_for
from core.parts.optimizers import OPTIMIZERS
from core.parts.precisions import PRECISIONS
from core.parts.reports import REPORTS
from core.run.diagnosis import Diagnosis, diagnose
from core.run.snapshot import Snapshot
from tests.kit.runs import trained

DIGITS: dict[str, Any] = {
    "task": "digits", "loss": "from_logits", "widths": (256,), "batch_size": 100, "epochs": 3,
    "scaling": "unit",
}  # fmt: skip
DEEP: dict[str, Any] = {**DIGITS, "widths": (256,) * 4, "initializer": "glorot_uniform"}


def settings() -> Iterator[RunConfig]:
    """Runs that vary each setting of the loss and the steps, the task, the data and the format."""
    changes: list[dict[str, Any]] = [{"loss": loss} for loss in losses_for("binary")]
    changes += [{"seed": seed} for seed in (1, 2, 3, 5)]
    rates = (1e-8, 1e-6, 1e-4, 1e-3, 0.1, 1.0, 30.0, 1e3)
    for loss in ("question_stable", "from_logits", "torch_bce"):
        changes += [{"loss": loss, "learning_rate": rate} for rate in rates]
    changes += [{"epsilon": epsilon} for epsilon in (1e-12, 1e-3, 0.1, 0.499)]
    changes += [{"scaling": scaling, "epochs": 30} for scaling in ("unit", "standardised")]
    for loss in ("question_stable", "from_logits"):
        changes += [{"loss": loss, "dropout": "rate", "dropout_value": v} for v in (0.5, 0.9)]
        changes += [
            {"loss": loss, "optimizer": "adam", "learning_rate": rate, "epochs": 30}
            for rate in (1e-3, 0.1)
        ]
        changes += [{"loss": loss, "optimizer": "momentum", "epochs": 30}]
        changes += [{"loss": loss, "batch_size": batch, "epochs": 3} for batch in (10, 100)]
        changes += [{"loss": loss, "train_size": 4000, "batch_size": 4000}]
        changes += [{"loss": loss, "widths": (1,)}, {"loss": loss, "widths": (64,) * 8}]
    changes += [{**DIGITS, "loss": loss} for loss in losses_for("softmax")]
    changes += [{**DIGITS, "loss": loss, "scaling": "raw"} for loss in losses_for("softmax")]
    for rate in (1e-8, 1e-3, 1.0, 30.0, 1e3):
        changes += [{**DIGITS, "learning_rate": rate}]
        changes += [{**DIGITS, "learning_rate": rate, "optimizer": "adam"}]
    for dropout, value in (("rate", 0.7), ("rate", 0.95), ("keep_prob", 0.7), ("keep_prob", 0.1)):
        drop = {"dropout": dropout, "dropout_value": value}
        changes += [{**DEEP, **drop, "optimizer": "adam", "learning_rate": 1e-3, "epochs": 6}]
    changes += [{**DIGITS, "train_size": 200, "optimizer": "adam", "learning_rate": 1e-3,
                 "epochs": 60}]  # fmt: skip
    for change in ({}, {"scaling": "unit"}, {"learning_rate": 1.0}, {"epsilon": 0.499}):
        for loss in ("question_stable", "from_logits"):
            changes += [{**change, "loss": loss, "loss_input": "softmax"}]
    for rate in (1e-3, 0.1, 1.0, 30.0):
        for change in ({"loss_input": "softmax"}, {"loss_input": "log_softmax"},
                       {"loss_input": "as_probabilities"}, {"loss_input": "as_probabilities_tf"},
                       {"reduction": "mean_outputs"}, {"loss_weight": 1e-3},
                       {"label_smoothing": 0.2}):  # fmt: skip
            changes += [{**DIGITS, **change, "learning_rate": rate}]
            changes += [{**DIGITS, **change, "learning_rate": rate / 100, "optimizer": "adam"}]
    changes += [{**DIGITS, "loss": "clip", "loss_input": "softmax"}]
    for precision in PRECISIONS:
        formats: list[dict[str, Any]] = [{"loss": loss} for loss in ("naive", "question_stable")]
        formats += [{"loss": "from_logits", "learning_rate": rate} for rate in (0.01, 1.0)]
        formats += [{**DIGITS, "learning_rate": 0.1}, {**DIGITS, "scaling": "raw", "loss": "clip"}]
        formats += [{**DIGITS, "optimizer": "adam", "learning_rate": 1e-3}]
        changes += [{**change, "precision": precision} for change in formats]
    for shuffle in ("never", "buffer"):
        order = {"data_order": "sorted", "shuffle": shuffle, "shuffle_buffer": 100}
        changes += [{"loss": "from_logits", "batch_size": 10, "epochs": 3, **order}]
        changes += [{**DIGITS, **order, "learning_rate": 0.1}]
        changes += [{**DIGITS, **order, "optimizer": "adam", "learning_rate": 1e-3}]
    longer = {**DIGITS, "epochs": 12}
    for precision in ("float32", "bfloat16", "float16"):
        for optimizer, rate in (("sgd", 1e-3), ("sgd", 0.01), ("momentum", 1e-3), ("adam", 1e-4)):
            steps = {"optimizer": optimizer, "learning_rate": rate}
            changes += [{**longer, **steps, "precision": precision}]
    for rate in (1e-6, 1e-5, 1e-3):
        changes += [{**longer, "optimizer": "adam", "learning_rate": rate}]
    for scaling in ("unit", "standardised"):
        for rate in (1e-3, 0.01, 0.1):
            changes += [{"loss": "from_logits", "scaling": scaling, "learning_rate": rate}]
    reports: list[dict[str, Any]] = [
        {"report": "threshold", "loss": "from_logits", "scaling": "unit", "epochs": 30},
        {"report": "nan_as_0", "loss": "naive", "learning_rate": 1.0},
        {**DIGITS, "report": "rounded"},
        {**DIGITS, "report": "unscaled", "scaling": "standardised", "learning_rate": 0.1},
        {**DIGITS, "report": "dropout_on", "dropout": "rate", "dropout_value": 0.5},
    ]
    changes += reports
    for momentum in (0.0, 0.9, 0.99):
        normed = {"normalisation": "batch_norm", "norm_momentum": momentum}
        changes += [{**DIGITS, **normed, "learning_rate": rate} for rate in (1e-3, 0.1, 1.0, 30.0)]
        changes += [{**DIGITS, **normed, "optimizer": "adam", "learning_rate": 1e-3}]
    changes += [{"normalisation": "batch_norm", "norm_test": "batch", "loss": "from_logits"}]
    for change in ({}, {"loss": "from_logits", "scaling": "unit", "epochs": 30}, DIGITS,
                   {**DIGITS, "learning_rate": 0.3}, {**DIGITS, "learning_rate": 1e-4},
                   {**DIGITS, "scaling": "raw", "loss": "clip"}):  # fmt: skip
        changes += [{**change, "label_shift": 1}]
    changes += _around_the_loss()
    for change in changes:
        yield agree(change)[0]


LONGER: dict[str, Any] = {**DIGITS, "epochs": 12}
OF_EACH_KIND = (
    "momentum", "averaged", "adam_keras", "nadam", "rmsprop_keras", "rmsprop_centered", "adagrad",
    "adadelta", "lion",
)  # fmt: skip


def _around_the_loss() -> list[dict[str, Any]]:
    """Optimizers, decay, clipping, initial weights, averages, wiring, reports, last batches."""
    changes: list[dict[str, Any]] = []
    for optimizer in OF_EACH_KIND:
        for times in (1e-3, 0.1, 1.0, 30.0):
            rate = times * OPTIMIZERS[optimizer].learning_rate
            changes += [{**LONGER, "optimizer": optimizer, "learning_rate": rate}]
    for initializer, spread in (("keras", 0.05), ("normal_1", 0.05), ("pytorch", 0.05),
                                ("normal", 0.01), ("normal", 0.3), ("normal", 3.0)):  # fmt: skip
        weights = {"initializer": initializer, "initial_spread": spread}
        for optimizer, rate in (("sgd", 1e-3), ("sgd", 0.1), ("adam", 1e-3)):
            changes += [{**LONGER, **weights, "optimizer": optimizer, "learning_rate": rate}]
    changes += [{**LONGER, "initializer": "keras", "biases": "normal_1", "learning_rate": 0.1}]
    for form in list(DECAY_FORMS)[1:]:
        for decay in (1e-3, 0.05, 1.0):
            for optimizer, rate in (("sgd", 0.1), ("adam", 1e-3)):
                steps = {"optimizer": optimizer, "learning_rate": rate}
                changes += [{**LONGER, **steps, "decay_form": form, "weight_decay": decay}]
    changes += [{**LONGER, "learning_rate": 0.1, "clip_form": "global_norm", "clip_norm": norm}
                for norm in (1e-4, 0.1, 10.0)]  # fmt: skip
    for optimizer in ("adam", "adam_keras", "rmsprop_keras"):
        steps = {"optimizer": optimizer, "learning_rate": 1e-3}
        changes += [{**LONGER, **steps, "loss_weight": weight} for weight in (1e-7, 1e-6, 1e-4)]
        changes += [{**LONGER, **steps, "optimizer_epsilon": e} for e in (1e-3, 0.1, 1.0)]
    changes += [{**LONGER, "optimizer": "adam", "learning_rate": 1.0, "optimizer_epsilon": 1.0}]
    for wiring in ("each_output", "each_probability"):
        for rate in (0.01, 0.1, 1.0, 30.0):
            changes += [{**LONGER, "loss_input": wiring, "learning_rate": rate}]
        changes += [{**LONGER, "loss_input": wiring, "optimizer": "adam", "learning_rate": 1e-3}]
        changes += [{**LONGER, "loss_input": wiring, "learning_rate": 0.1, "scaling": "raw"}]
    for report in REPORTS:
        for scaling in SCALINGS:
            changes += [{**DIGITS, "report": report, "scaling": scaling, "learning_rate": 0.1,
                         "dropout": "rate", "dropout_value": 0.2}]  # fmt: skip
    for momentum in (0.5, 0.99, 0.999):
        for epochs in (1, 3, 12):
            changes += [{**DIGITS, "normalisation": "batch_norm", "norm_momentum": momentum,
                         "learning_rate": 0.1, "epochs": epochs}]  # fmt: skip
    changes += [{**LONGER, "normalisation": "layer_norm", "learning_rate": rate}
                for rate in (1e-3, 0.1, 3.0)]  # fmt: skip
    for size in (997, 1000):
        few = {"train_size": size, "batch_size": 333, "last_batch": "kept", "epochs": 12}
        changes += [{**DIGITS, **few, "learning_rate": rate} for rate in (0.01, 0.1, 1.0)]
    changes += [{**LONGER, **CLIPPING, **change} for change in FAR_CLIPPED]
    return changes


CLIPPING: dict[str, Any] = {"clip_form": "global_norm", "clip_norm": 1e-3, "learning_rate": 0.1}
FAR_CLIPPED: tuple[dict[str, Any], ...] = (
    {"clip_norm": 0.05},
    {"clip_norm": 1e-4, "learning_rate": 30.0},
    {"clip_norm": 0.01, "learning_rate": 0.01},
    {"optimizer": "momentum"},
    {"optimizer": "averaged", "clip_norm": 0.01},
    {"optimizer": "adam", "learning_rate": 1e-6},
    {"clip_form": "each_norm"},
    {"clip_form": "global_norm_torch", "learning_rate": 1.0},
    {"scaling": "raw", "clip_norm": 0.01},
    {"scaling": "raw", "clip_norm": 1.0, "learning_rate": 1e-5},
    {"scaling": "raw", "clip_norm": 0.01, "learning_rate": 0.01, "loss": "clip"},
    {"scaling": "standardised"},
    {"reduction": "sum", "clip_norm": 1.0, "learning_rate": 1e-3},
    {"initializer": "normal_1", "clip_norm": 0.1},
    {"precision": "bfloat16"},
    {"normalisation": "batch_norm"},
    {"dropout": "rate", "dropout_value": 0.5},
    {"decay_form": "l2", "weight_decay": 0.05},
)


def probed(config: RunConfig) -> list[tuple[Snapshot, list[Diagnosis]]]:
    """Every look of a run, with the diagnoses at that look."""
    seen = trained(config)
    return [(look, diagnose(config, seen[: i + 1])) for i, look in enumerate(seen)]


def verdicts(config: RunConfig) -> Iterator[tuple[str, bool]]:
    """For each sentence that predicts and each later look: the cause, and whether it held."""
    looks = probed(config)
    for i, (_, diagnoses) in enumerate(looks):
        for diagnosis in diagnoses:
            if diagnosis.holds is not None:
                for later, _ in looks[i + 1 :]:
                    yield diagnosis.cause, diagnosis.holds(later)
