"""SWEEPS: plans to start from."""

from dataclasses import dataclass

from core.config import RunConfig
from core.parts.initializers import INITIALIZERS
from core.presets import PRESETS
from core.registry import Registry, Row
from core.study.sweep.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Sweep(Row):
    """A plan to start from."""

    plan: Plan


_SMALL = RunConfig(
    train_size=500, batch_size=500, widths=(100,), epochs=20, loss="clip", epsilon=1e-7
)
_DIGITS = RunConfig(
    **{**PRESETS["digits"].overrides, "train_size": 1000, "widths": (100, 100), "epochs": 3}
)  # fmt: skip

SWEEPS = Registry(
    "sweep",
    [
        Sweep(
            key="ten_seeds",
            label="Ten seeds of the question",
            summary="The JAX/Keras question from ten sets of initial weights, for each way to "
            "write its loss. One seed is an anecdote.",
            plan=Plan(
                axes={
                    "loss": (
                        "naive", "question_stable", "clip", "keras_jax", "torch_bce",
                        "keras_tf", "from_logits",
                    ),
                    "seed": tuple(range(10)),
                },
            ),
        ),
        Sweep(
            key="rate_and_loss",
            label="Learning rate × loss",
            summary="Does a smaller step save a clipped loss? Raw pixels, a network of 100 units, "
            "two seeds.",
            plan=Plan(
                base=_SMALL,
                axes={
                    "learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3),
                    "loss": ("naive", "question_stable", "clip", "torch_bce", "from_logits"),
                    "seed": (0, 1),
                },
            ),
        ),
        Sweep(
            key="epsilon_and_format",
            label="Epsilon × number format",
            summary="The same clip in four formats: where 1 - epsilon rounds to 1, every run ends "
            "in NaN.",
            plan=Plan(
                base=_SMALL,
                axes={
                    "epsilon": (1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1),
                    "precision": ("float16", "bfloat16", "float32", "float64"),
                    "seed": (0, 1),
                },
            ),
        ),
        Sweep(
            key="optimizer_and_weights",
            label="Which optimizer forgives which initialisation",
            summary="Two hidden layers of 100, 1,000 digits, three epochs: four optimizers with "
            "every kind of initial weights, two seeds.",
            plan=Plan(
                base=_DIGITS,
                axes={
                    "optimizer": ("sgd", "momentum", "adam", "adam_step_0"),
                    "initializer": tuple(INITIALIZERS),
                    "seed": (0, 1),
                },
            ),
        ),
    ],
)  # fmt: skip
