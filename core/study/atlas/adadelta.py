"""Pieces about Adadelta, which scales each step by the size of earlier ones."""

from core.study.atlas.piece import Default, Piece, Settings, Value
from core.study.atlas.shared import Family, made_by, optax_does

ADADELTA = Family("Adadelta", "Adadelta", "adadelta", tf1="AdadeltaOptimizer")

_KERAS = "keras/src/optimizers/adadelta.py, Adadelta"
_TORCH = "torch/optim/adadelta.py, Adadelta"
_OPTAX = "_src/alias.py, adadelta"
_TF1 = "tensorflow/python/training/adadelta.py, AdadeltaOptimizer"


def _value(label: str, settings: Settings, rate: float, rho: float, epsilon: str) -> Value:
    """Adadelta with all its numbers, of which `settings` are those that the piece is about."""
    return Value(
        label=label,
        settings=settings,
        write=made_by(
            ADADELTA,
            rate,
            keras=f"rho={rho}, epsilon={epsilon}",
            torch=f"rho={rho}, eps={epsilon}",
            optax=f"rho={rho}, eps={epsilon}",
            tf1=f"rho={rho}, epsilon={epsilon}",
        ),
    )


def _rate(rate: float) -> Value:
    return _value(f"{rate}", {"learning_rate": rate}, rate, 0.9, "1e-6")


def _rho(rho: float) -> Value:
    return _value(f"{rho}", {"beta_2": rho}, 1.0, rho, "1e-6")


def _epsilon(epsilon: str) -> Value:
    return _value(epsilon, {"optimizer_epsilon": float(epsilon)}, 1.0, 0.9, epsilon)


def _all(rate: float, rho: float, epsilon: str) -> Value:
    settings = {"learning_rate": rate, "beta_2": rho, "optimizer_epsilon": float(epsilon)}
    return _value(f"{rate}, {rho}, {epsilon}", settings, rate, rho, epsilon)


PIECES = [
    Piece(
        key="adadelta_rate",
        label="learning rate of Adadelta",
        topic="adagrad",
        summary="The paper has none, which is 1. Keras multiplies each step by a thousandth.",
        reference="Zeiler, 2012",
        contexts=("adadelta",),
        values={"1.0": _rate(1.0), "0.001": _rate(0.001)},
        defaults={
            "keras": Default(value="0.001", source=_KERAS),
            "torch": Default(value="1.0", source=_TORCH),
            "tf1": Default(value="0.001", source=_TF1),
        },
    ),
    Piece(
        key="adadelta_rho",
        label="rho of Adadelta",
        topic="adagrad",
        summary="How long squared gradients and squared steps are remembered.",
        contexts=("adadelta",),
        values={"0.9": _rho(0.9), "0.95": _rho(0.95)},
        defaults={
            "keras": Default(value="0.95", source=_KERAS),
            "torch": Default(value="0.9", source=_TORCH),
            **optax_does("0.9", _OPTAX),
            "tf1": Default(value="0.95", source=_TF1),
        },
    ),
    Piece(
        key="adadelta_epsilon",
        label="epsilon of Adadelta",
        topic="adagrad",
        summary="The first step is its root over √(1-ρ), so it decides how soon training begins.",
        contexts=("adadelta",),
        values={"1e-6": _epsilon("1e-6"), "1e-7": _epsilon("1e-7"), "1e-8": _epsilon("1e-8")},
        defaults={
            "keras": Default(value="1e-7", source=_KERAS),
            "torch": Default(value="1e-6", source=_TORCH),
            **optax_does("1e-6", _OPTAX),
            "tf1": Default(value="1e-8", source=_TF1),
        },
    ),
    Piece(
        key="adadelta",
        label="Adadelta, all its defaults",
        topic="adagrad",
        summary="Learning rate, rho and epsilon, together.",
        contexts=("adadelta",),
        values={
            "keras": _all(0.001, 0.95, "1e-7"),
            "torch": _all(1.0, 0.9, "1e-6"),
            "tf1": _all(0.001, 0.95, "1e-8"),
        },
        defaults={
            "keras": Default(value="keras", source=_KERAS),
            "torch": Default(value="torch", source=_TORCH),
            "tf1": Default(value="tf1", source=_TF1),
        },
    ),
]
