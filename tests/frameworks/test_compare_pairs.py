"""What is planted in a real program is named, and nothing else; nothing planted is the same."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from core.study.compare.recording import Recording
from core.study.compare.report import Report
from core.study.compare.walk import compare
from tests.frameworks.programs import Program, recorded

# Keras' own get_config says this to NumPy 2 where it asks a variable for its number.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept"),
    pytest.mark.slow,
]

SGD: dict[str, Any] = {}
# Keras' Adam puts epsilon elsewhere, which shows unless epsilon is next to nothing.
ADAM = {"optimizer": "adam", "rate": 0.01, "epsilon": 1e-12}
ADAM_DEFAULT = {"optimizer": "adam", "rate": 0.01}
MOMENTUM = {"optimizer": "momentum"}
NESTEROV = {"optimizer": "nesterov"}
RMSPROP = {"optimizer": "rmsprop", "rate": 0.01, "beta_2": 0.9, "epsilon": 1e-5}
NORM = {"norm": True, "norm_momentum": 0.9, "norm_epsilon": 1e-3}
NORM_TORCH = {**NORM, "norm_epsilon": 1e-5}
DROPOUT = {"activation": "gelu", "keep": 0.9}
DEEP = {"widths": (20, 16, 16, 5)}
JK, KJ, KT, JT, TT, KK, JJ = (
    ("jax", "keras"), ("keras", "jax"), ("keras", "torch"), ("jax", "torch"), ("torch", "torch"),
    ("keras", "keras"), ("jax", "jax"),
)  # fmt: skip

Planted = tuple[tuple[str, str], dict[str, Any], dict[str, Any], set[str]]
# What is planted -> the frameworks of a and b, what both have, what b has besides, the causes.
PLANTED: dict[str, Planted] = {
    # The loss
    "softmax twice in Keras": (JK, SGD, {"softmax": True}, {"softmax_twice"}),
    "softmax twice in JAX": (KJ, ADAM, {"softmax": True}, {"softmax_twice"}),
    "softmax twice in PyTorch": (KT, ADAM, {"softmax": True}, {"softmax_twice"}),
    "logits as probabilities in Keras": (JK, SGD, {"from_logits": False}, {"from_logits"}),
    "logits as probabilities in JAX": (KJ, SGD, {"from_logits": False}, {"from_logits"}),
    "sum in Keras": (JK, SGD, {"reduction": "sum"}, {"reduction"}),
    "sum in PyTorch": (KT, ADAM, {"reduction": "sum"}, {"reduction"}),
    "smoothing in Keras": (JK, ADAM, {"smoothing": 0.1}, {"label_smoothing"}),
    "smoothing in JAX": (KJ, DEEP, {"smoothing": 0.1}, {"label_smoothing"}),
    "smoothing in PyTorch": (KT, SGD, {"smoothing": 0.1}, {"label_smoothing"}),
    "labels off by one": (JK, SGD, {"label_shift": 1}, {"labels_shifted"}),
    "labels off by one in Keras' loss": (JK, DEEP, {"loss_shift": 1}, {"labels_shifted"}),
    "labels off by one in PyTorch's loss": (KT, SGD, {"loss_shift": 1}, {"labels_shifted"}),
    # The batch
    "pixels 0 to 255": (JK, ADAM, {"pixels": 255.0}, {"input_scale"}),
    "pixels 0 to 255 in PyTorch": (KT, SGD, {"pixels": 255.0}, {"input_scale"}),
    "order within the batch": (JK, SGD, {"order": "within"}, {"batch_order"}),
    "no shuffling": (JK, SGD, {"order": "file"}, {"no_shuffling"}),
    "other batches": (JJ, SGD, {"order": "other"}, {"other_batch"}),
    # The update
    "learning rate": (JK, ADAM, {"rate": 0.001}, {"learning_rate"}),
    "learning rate of SGD": (JJ, SGD, {"rate": 0.05}, {"learning_rate"}),
    "learning rate in PyTorch": (KT, ADAM, {"rate": 0.001}, {"learning_rate"}),
    "a decaying rate in Keras": (JK, ADAM, {"rate_factor": 0.95}, {"rate_schedule"}),
    "a decaying rate in PyTorch": (KT, ADAM, {"rate_factor": 0.95}, {"rate_schedule"}),
    "a decaying rate, in Keras' momentum": (
        JK, {**MOMENTUM, "rate_factor": 0.8}, {}, {"rates_in_momentum"},
    ),
    "Adam's epsilon in Keras": (KK, ADAM, {"epsilon": 1e-3}, {"optimizer_epsilon"}),
    "Adam's defaults, JAX and Keras": (
        JK, ADAM_DEFAULT, {}, {"epsilon_place", "optimizer_epsilon"},
    ),
    "Adam's defaults, Keras and PyTorch": (
        KT, ADAM_DEFAULT, {}, {"epsilon_place", "optimizer_epsilon"},
    ),
    "Adam's epsilon in JAX": (JJ, ADAM, {"epsilon": 1e-5}, {"optimizer_epsilon"}),
    "Adam's epsilon in PyTorch": (TT, ADAM, {"epsilon": 1e-4}, {"optimizer_epsilon"}),
    "Adam's epsilon, in its two places": (JK, {**ADAM, "epsilon": 1e-3}, {}, {"epsilon_place"}),
    "Adam's epsilon, Keras and PyTorch": (KT, {**ADAM, "epsilon": 1e-3}, {}, {"epsilon_place"}),
    "Adam's beta_2": (JK, ADAM, {"beta_2": 0.99}, {"beta_2"}),
    "RMSprop's rho": (JK, RMSPROP, {"beta_2": 0.99}, {"beta_2"}),
    "RMSprop's epsilon": (JK, RMSPROP, {"epsilon": 1e-3}, {"optimizer_epsilon"}),
    "RMSprop's epsilon, in JAX's root or not": (
        JJ, RMSPROP, {"epsilon_inside": False}, {"epsilon_place"},
    ),
    "RMSprop's epsilon, Keras and PyTorch": (KT, RMSPROP, {}, {"epsilon_place"}),
    "RMSprop's rho, Keras and PyTorch": (
        KT, {**RMSPROP, "epsilon": 1e-5}, {"beta_2": 0.99}, {"epsilon_place", "beta_2"},
    ),
    "RMSprop's defaults, Keras and PyTorch": (
        KT, {"optimizer": "rmsprop", "rate": 0.01}, {},
        {"epsilon_place", "beta_2", "optimizer_epsilon"},
    ),
    "no momentum": (JK, MOMENTUM, {"optimizer": "sgd"}, {"momentum"}),
    "another momentum": (KJ, MOMENTUM, {"beta": 0.5}, {"momentum"}),
    "a mean for a momentum": (KT, MOMENTUM, {"dampening": 0.9}, {"momentum_form"}),
    "Nesterov in Keras": (JK, MOMENTUM, NESTEROV, {"nesterov"}),
    "Nesterov in JAX": (KJ, MOMENTUM, NESTEROV, {"nesterov"}),
    "Nesterov in PyTorch": (KT, MOMENTUM, NESTEROV, {"nesterov"}),
    "another optimizer": (JK, ADAM, {"optimizer": "sgd", "rate": 0.1}, {"optimizer"}),
    # Decay
    "decoupled decay in Keras": (JK, ADAM, {"decoupled": 0.05}, {"weight_decay"}),
    "decoupled decay in JAX": (KJ, ADAM, {"decoupled": 0.05}, {"weight_decay"}),
    "coupled decay in JAX": (KJ, ADAM, {"coupled": 0.05}, {"weight_decay"}),
    "coupled decay in PyTorch": (KT, ADAM, {"coupled": 0.05}, {"weight_decay"}),
    "AdamW for Adam with decay": (JJ, {**ADAM, "coupled": 0.05},
                                  {"coupled": 0.0, "decoupled": 0.05}, {"decay_form"}),
    "AdamW for Adam with decay in PyTorch": (TT, {**ADAM, "coupled": 0.05},
                                             {"coupled": 0.0, "decoupled": 0.05}, {"decay_form"}),
    "AdamW in PyTorch for Keras' L2": (KT, {**ADAM, "penalty": 0.01},
                                       {"penalty": 0.0, "decoupled": 0.02}, {"decay_form"}),
    "Keras' L2": (JK, SGD, {"penalty": 0.01}, {"weight_decay"}),
    "Keras' L2 for a decay of as much": (
        JK, {**SGD, "coupled": 0.01}, {"coupled": 0.0, "penalty": 0.01}, {"l2_factor_two"},
    ),
    "Keras' L2 for PyTorch's decay": (
        KT, {**MOMENTUM, "penalty": 0.01}, {"penalty": 0.0, "coupled": 0.01}, {"l2_factor_two"},
    ),
    # Clipping
    "clipping in Keras, all together": (JK, MOMENTUM, {"clip": "global"}, {"clipping"}),
    "clipping in Keras, each": (JK, SGD, {"clip": "each"}, {"clipping"}),
    "clipping in JAX": (KJ, SGD, {"clip": "global"}, {"clipping"}),
    "clipping in PyTorch": (KT, SGD, {"clip": "global"}, {"clipping"}),
    "clipping in PyTorch, each": (KT, MOMENTUM, {"clip": "each"}, {"clipping"}),
    "each for all together in Keras": (KK, {**SGD, "clip": "global"}, {"clip": "each"},
                                       {"clipping"}),
    "each for all together": (JK, {**SGD, "clip": "global"}, {"clip": "each"}, {"clipping"}),
    "not zeroed": (KT, SGD, {"zeroed": False}, {"gradients_not_zeroed"}),
    "not zeroed, Adam": (TT, ADAM, {"zeroed": False}, {"gradients_not_zeroed"}),
    # Layers and first weights
    "a layer that JAX leaves alone": (KJ, SGD, {"frozen": 0}, {"frozen"}),
    "a layer that PyTorch's optimizer has not": (KT, ADAM, {"frozen": 0}, {"frozen"}),
    "a layer that Keras does not train": (JK, SGD, {"untrainable": 0}, {"frozen"}),
    "a layer that PyTorch does not train": (KT, SGD, {"untrainable": 1}, {"frozen"}),
    "initial scale": (JK, SGD, {"scale": 2.0}, {"initial_scale"}),
    "another seed": (JK, DEEP, {"seed": 1}, {"another_seed"}),
    "random biases": (JK, SGD, {"biases": True}, {"initial_biases"}),
    "PyTorch's first weights": (KT, {"own_weights": True}, {}, {"initial_scale", "initial_biases"}),
    "Keras' first weights": (JK, SGD, {"own_weights": True}, {"another_seed"}),
    # Batch norm
    "batch norm's momentum": (JK, NORM, {"norm_momentum": 0.99}, {"norm_momentum"}),
    "batch norm's epsilon": (JK, NORM, {"norm_epsilon": 1e-5}, {"norm_epsilon"}),
    "batch norm's variance": (KT, NORM, {}, {"norm_variance"}),
    "batch norm's momentum in PyTorch": (TT, NORM_TORCH, {"norm_momentum": 0.99},
                                         {"norm_momentum"}),
    "batch norm's defaults": (KT, {"norm": True}, {},
                              {"norm_momentum", "norm_epsilon", "norm_variance"}),
    "batch norm of the batch in Keras": (JK, NORM, {"norm_at_evaluation": "batch"},
                                         {"norm_evaluation"}),
    "batch norm of the batch in PyTorch": (TT, NORM_TORCH, {"norm_at_evaluation": "batch"},
                                           {"norm_evaluation"}),
    "eval() while training": (TT, NORM_TORCH, {"norm_training": False}, {"norm_mode"}),
    # Activation, number format, dropout
    "GELU in Keras": (JK, {"activation": "gelu"}, {"activation": "gelu_tanh"}, {"activation"}),
    "GELU in JAX": (KJ, {"activation": "gelu", **DEEP}, {"activation": "gelu_tanh"},
                    {"activation"}),
    "GELU in PyTorch": (KT, {"activation": "gelu_tanh"}, {"activation": "gelu"}, {"activation"}),
    "mixed_bfloat16 in Keras": (JK, SGD, {"arithmetic": "bfloat16"}, {"number_format"}),
    "mixed_float16 in Keras": (JK, SGD, {"arithmetic": "float16"}, {"number_format"}),
    "bfloat16 in JAX": (KJ, SGD, {"arithmetic": "bfloat16"}, {"number_format"}),
    "autocast, bfloat16": (KT, SGD, {"arithmetic": "bfloat16"}, {"number_format"}),
    "autocast, float16": (KT, SGD, {"arithmetic": "float16"}, {"number_format"}),
    "keep for drop": (JJ, DROPOUT, {"keep": 0.1}, {"keep_prob"}),
    "dropout rate": (JJ, DROPOUT, {"keep": 0.5}, {"dropout_rate"}),
    "keep for drop in PyTorch": (JT, DROPOUT, {"keep": 0.1}, {"keep_prob"}),
    "dropout rate in PyTorch": (JT, DROPOUT, {"keep": 0.5}, {"dropout_rate"}),
    "other masks": (JT, DROPOUT, {}, {"dropout_masks"}),
    "dropout at evaluation": (JJ, DROPOUT, {"dropout_at_evaluation": True},
                              {"dropout_at_evaluation"}),
    "dropout at evaluation in PyTorch": (TT, DROPOUT, {"dropout_at_evaluation": True},
                                         {"dropout_at_evaluation"}),
}  # fmt: skip

_FOLDERS: dict[str, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    _FOLDERS["here"] = tmp_path_factory.mktemp("pairs")


@cache
def recording(program: Program) -> Recording:
    return recorded(program, _FOLDERS["here"] / f"{abs(hash(program))}.safetensors")


def compared(pair: tuple[str, str], common: dict[str, Any], planted: dict[str, Any],
             seed: int = 0) -> Report:  # fmt: skip
    a = Program(framework=pair[0], **{"seed": seed, "data": seed, **common})
    return compare(recording(a), recording(replace(a, framework=pair[1], **planted)))


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_cause_is_named_and_nothing_else(name: str) -> None:
    pair, common, planted, causes = PLANTED[name]
    report = compared(pair, common, planted)
    assert {verdict.cause for verdict in report.verdicts} == causes, report.markdown()
    assert not report.same


# Momentum and Nesterov's are the same in all as long as the rate is.
KINDS = (SGD, MOMENTUM, NESTEROV, ADAM, DEEP, {"activation": "gelu"}, {**SGD, "clip": "global"},
         {**ADAM, "rate_factor": 0.9})  # fmt: skip


@pytest.mark.parametrize("seed", range(len(KINDS)))
@pytest.mark.parametrize("pair", [JK, KT, JT], ids="-".join)
def test_nothing_planted_is_the_same_to_rounding(pair: tuple[str, str], seed: int) -> None:
    report = compared(pair, KINDS[seed % len(KINDS)], {}, seed)
    assert report.same and not report.verdicts, report.markdown()
