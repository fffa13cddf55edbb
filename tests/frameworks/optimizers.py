"""Probes of optimizers: the paths that they take, against the paths of core's own rules."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from core.study.atlas.piece import CONTEXTS
from core.study.atlas.pieces import PIECES
from core.study.atlas.shared import optax
from tests.frameworks.paths import observed, of_settings
from tests.frameworks.probe import Observed, Probe

Settings = Mapping[str, Any]


def _probe(
    piece: str,
    bare: Mapping[str, str],
    *,
    cases: tuple[str, ...] = ("usual",),
    scheduled: bool = False,
    there: Mapping[str, Settings] | None = None,
    instead: Mapping[str, Settings] | None = None,
    rtol: float = 1e-4,  # what epsilons do to usual gradients is less
    alike: Mapping[str, tuple[str, str]] | None = None,
) -> Probe:
    """A piece's settings give the paths that are expected of its values.

    `there` is what else a framework does in another way, `instead` what a value without settings
    does.
    """

    @cache
    def expect(value: str, framework: str) -> Observed:
        row = PIECES[piece]
        settings = {
            **CONTEXTS[row.contexts[0]].settings,
            **(row.values[value].settings or (instead or {}).get(value, {})),
            **(there or {}).get(framework, {}),
            "scheduled": scheduled,
        }
        return of_settings(settings, cases)

    return Probe(
        bare={
            framework: code if " = " in code else f"optimizer = {code}"
            for framework, code in bare.items()
        },
        observe=observed(cases, scheduled),
        expect=expect,
        rtol=rtol,
        alike=alike or {},
    )


def _keras(name: str, arguments: str = "") -> str:
    return f"keras.optimizers.{name}({arguments})"


def _torch(name: str, arguments: str = "") -> str:
    return f"torch.optim.{name}(model.parameters(), {arguments})"


def _tf1(name: str, arguments: str = "") -> str:
    return f"tf.compat.v1.train.{name}Optimizer({arguments})"


_STARTS_AT_ONE = {"tf1": {"optimizer": "rmsprop_tf1"}}
_STARTS_AT_ZERO = {"torch": {"first_square": 0.0}, "stax": {"first_square": 0.0}}
_MOMENTUM = {
    "keras": _keras("SGD", "0.01, momentum=0.9"),
    "torch": _torch("SGD", "lr=0.01, momentum=0.9"),
    **optax("optax.sgd(0.01, momentum=0.9)"),
    "stax": "optimizers.momentum(0.01, mass=0.9)",
    "tf1": _tf1("Momentum", "0.01, momentum=0.9"),
}
_SCHEDULED = {
    "keras": _keras("SGD", "schedule, momentum=0.9"),
    "torch": _torch("SGD", "lr=0.01, momentum=0.9"),
    **optax("optax.sgd(schedule, momentum=0.9)"),
    "stax": "optimizers.momentum(schedule, mass=0.9)",
    "tf1": _tf1("Momentum", "schedule, momentum=0.9"),
}
_NESTEROV = {
    "keras": _keras("SGD", "schedule, momentum=0.9, nesterov=True"),
    "torch": _torch("SGD", "lr=0.01, momentum=0.9, nesterov=True"),
    **optax("optax.sgd(schedule, momentum=0.9, nesterov=True)"),
    "stax": "optimizers.nesterov(schedule, mass=0.9)",
    "tf1": _tf1("Momentum", "schedule, momentum=0.9, use_nesterov=True"),
}


PROBES = {
    "sgd_rate": _probe("sgd_rate", {"keras": _keras("SGD"), "torch": _torch("SGD")}),
    "adam_rate": _probe(
        "adam_rate", {"keras": _keras("Adam"), "torch": _torch("Adam"), "tf1": _tf1("Adam")}
    ),
    "adam_epsilon": _probe(
        "adam_epsilon",
        {
            "keras": _keras("Adam", "0.001"),
            "torch": _torch("Adam", "lr=0.001"),
            **optax("optax.adam(0.001)"),
            "stax": "optimizers.adam(0.001)",
            "tf1": _tf1("Adam", "0.001"),
        },
        cases=("usual", "tiny"),
        rtol=5e-5,
    ),
    "adamw_decay": _probe(
        "adamw_decay",
        {
            "keras": _keras("AdamW", "0.001"),
            "torch": _torch("AdamW", "lr=0.001"),
            **optax("optax.adamw(0.001)"),
        },
        cases=("heavy",),
    ),
    "momentum_form": _probe("momentum_form", _SCHEDULED, scheduled=True),
    "nesterov": _probe("nesterov", _MOMENTUM),
    "nesterov_form": _probe("nesterov_form", _NESTEROV, scheduled=True),
    "dampening": _probe("dampening", _MOMENTUM),
    "rmsprop_rate": _probe(
        "rmsprop_rate",
        {"keras": _keras("RMSprop"), "torch": _torch("RMSprop")},
        there={**_STARTS_AT_ONE, "torch": {"beta_2": 0.99}},
        rtol=1e-3,
    ),
    "rmsprop_rho": _probe(
        "rmsprop_rho",
        {
            "keras": _keras("RMSprop", "0.001"),
            "torch": _torch("RMSprop", "lr=0.001"),
            **optax("optax.rmsprop(0.001)"),
            "stax": "optimizers.rmsprop(0.001)",
            "tf1": _tf1("RMSProp", "0.001"),
        },
        rtol=1e-3,
        there=_STARTS_AT_ONE,
    ),
    "rmsprop_epsilon": _probe(
        "rmsprop_epsilon",
        {
            "keras": _keras("RMSprop", "0.001"),
            "torch": _torch("RMSprop", "lr=0.001, alpha=0.9"),
            **optax("optax.rmsprop(0.001)"),
            "stax": "optimizers.rmsprop(0.001)",
            "tf1": _tf1("RMSProp", "0.001, decay=0.1"),
        },
        cases=("usual", "tiny"),
        rtol=5e-5,
        there={"tf1": {"optimizer": "rmsprop_tf1", "beta_2": 0.1}},
    ),
    "rmsprop_start": _probe(
        "rmsprop_start",
        {
            "keras": _keras("RMSprop", "0.001"),
            "torch": _torch("RMSprop", "lr=0.001, alpha=0.9"),
            **optax("optax.rmsprop(0.001)"),
            "stax": "optimizers.rmsprop(0.001)",
            "tf1": _tf1("RMSProp", "0.001"),
        },
    ),
    "rmsprop": _probe("rmsprop", {"keras": _keras("RMSprop"), "torch": _torch("RMSprop")}),
    "adagrad_rate": _probe(
        "adagrad_rate",
        {"keras": _keras("Adagrad"), "torch": _torch("Adagrad")},
        there=_STARTS_AT_ZERO,
    ),
    "adagrad_start": _probe(
        "adagrad_start",
        {
            "keras": _keras("Adagrad", "0.001"),
            "torch": _torch("Adagrad", "lr=0.001"),
            **optax("optax.adagrad(0.001)"),
            "stax": "optimizers.adagrad(0.001, momentum=0.0)",
            "tf1": _tf1("Adagrad", "0.001"),
        },
    ),
    "adagrad_epsilon": _probe(
        "adagrad_epsilon",
        {
            "keras": _keras("Adagrad", "0.001"),
            "torch": _torch("Adagrad", "lr=0.001"),
            **optax("optax.adagrad(0.001)"),
            "stax": "optimizers.adagrad(0.001, momentum=0.0)",
            "tf1": _tf1("Adagrad", "0.001"),
        },
        cases=("usual", "tiny"),
        there=_STARTS_AT_ZERO,
        instead={"outside_1e-10": {"optimizer": "adagrad", "first_square": 0.1}},
        rtol=2e-7,  # epsilon is hardly seen beside 0.1
        alike=dict.fromkeys(("keras", "flax", "equinox", "tf1"), ("outside_1e-10", "none")),
    ),
    "adagrad": _probe("adagrad", {"keras": _keras("Adagrad"), "torch": _torch("Adagrad")}),
    "adadelta_rate": _probe(
        "adadelta_rate",
        {
            "keras": _keras("Adadelta", "rho=0.9, epsilon=1e-6"),
            "torch": _torch("Adadelta", "rho=0.9, eps=1e-6"),
            "tf1": _tf1("Adadelta", "rho=0.9, epsilon=1e-6"),
        },
    ),
    "adadelta_rho": _probe(
        "adadelta_rho",
        {
            "keras": _keras("Adadelta", "1.0, epsilon=1e-6"),
            "torch": _torch("Adadelta", "lr=1.0, eps=1e-6"),
            **optax("optax.adadelta(1.0, eps=1e-6)"),
            "tf1": _tf1("Adadelta", "1.0, epsilon=1e-6"),
        },
    ),
    "adadelta_epsilon": _probe(
        "adadelta_epsilon",
        {
            "keras": _keras("Adadelta", "1.0, rho=0.9"),
            "torch": _torch("Adadelta", "lr=1.0, rho=0.9"),
            **optax("optax.adadelta(1.0, rho=0.9)"),
            "tf1": _tf1("Adadelta", "1.0, rho=0.9"),
        },
    ),
    "adadelta": _probe(
        "adadelta",
        {"keras": _keras("Adadelta"), "torch": _torch("Adadelta"), "tf1": _tf1("Adadelta")},
    ),
    "weight_decay": _probe(
        "weight_decay",
        {
            "keras": _keras("Adam", "0.001, weight_decay=0.01"),
            "torch": _torch("Adam", "lr=0.001, weight_decay=0.01"),
        },
        cases=("heavy",),
    ),
    "l2_factor": _probe(
        "l2_factor",
        {
            "keras": "layer = keras.layers.Dense("
            "512, kernel_regularizer=keras.regularizers.L2(0.01))",
            "torch": _torch("Adam", "lr=0.001, weight_decay=0.01"),
            **optax("optax.chain(optax.add_decayed_weights(0.01), optax.adam(0.001))"),
        },
        cases=("heavy",),
    ),
}
