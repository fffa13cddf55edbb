"""Pieces about SGD, momentum and Adam: their learning rates, forms and epsilons."""

from core.study.atlas.piece import Default, Piece, Value
from core.study.atlas.shared import Family, made_by, optax_does

SGD = Family("SGD", "SGD", "sgd", "sgd", "GradientDescentOptimizer")
ADAM = Family("Adam", "Adam", "adam", "adam", "AdamOptimizer")

_KERAS_SGD = "keras/src/optimizers/sgd.py, SGD"
_KERAS_ADAM = "keras/src/optimizers/adam.py, Adam"
_STAX = "jax/example_libraries/optimizers.py"
_TF1_MOMENTUM = "tensorflow/python/training/momentum.py, MomentumOptimizer"
_TF1_ADAM = "tensorflow/python/training/adam.py, AdamOptimizer"

_RATE_OUTSIDE = """\
class SGD(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, self.momentum * m + gradient)
        self.assign_sub(variable, learning_rate * m)
optimizer = SGD(schedule, momentum=0.9)"""

_NESTEROV_OUTSIDE = """\
class SGD(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        m = self.momentums[self._get_variable_index(variable)]
        self.assign(m, self.momentum * m + gradient)
        self.assign_sub(variable, learning_rate * (gradient + self.momentum * m))
optimizer = SGD(schedule, momentum=0.9)"""


def _rate_inside(nesterov: str) -> str:
    return f"""\
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9{nesterov})
def set_rate(rate):  # call it in place of setting lr
    for group in optimizer.param_groups:
        for w in group["params"]:
            if "momentum_buffer" in optimizer.state[w]:
                optimizer.state[w]["momentum_buffer"] *= group["lr"] / rate
        group["lr"] = rate"""


def _epsilon_hat(epsilon: str) -> str:
    return f"""\
optimizer = torch.optim.Adam(model.parameters(), lr=0.001, eps={epsilon})
steps = itertools.count(1)
def epsilon_hat(optimizer, args, kwargs):
    t = next(steps)
    for group in optimizer.param_groups:
        group["eps"] = {epsilon} / math.sqrt(1 - group["betas"][1] ** t)
optimizer.register_step_pre_hook(epsilon_hat)"""


def _epsilon_plain(epsilon: str) -> str:
    return f"""\
class Adam(keras.optimizers.Adam):
    def update_step(self, gradient, variable, learning_rate):
        t = keras.ops.cast(self.iterations + 1, variable.dtype)
        plain, self.epsilon = self.epsilon, self.epsilon * keras.ops.sqrt(1 - self.beta_2**t)
        super().update_step(gradient, variable, learning_rate)
        self.epsilon = plain
optimizer = Adam(learning_rate=0.001, epsilon={epsilon})"""


def _hat(epsilon: str) -> Value:
    return Value(
        label=f"{epsilon}, hat",
        latex=r"\eta_t\, m / (\sqrt{v} + \epsilon)",
        settings={"optimizer": "adam_keras", "optimizer_epsilon": float(epsilon)},
        write=made_by(
            ADAM,
            0.001,
            keras=f"epsilon={epsilon}",
            tf1=f"epsilon={epsilon}",
            instead={
                "torch": _epsilon_hat(epsilon),
                "optax": "optimizer = optax.inject_hyperparams(optax.adam)(\n    0.001, "
                f"eps=lambda count: {epsilon} / jnp.sqrt(1 - 0.999 ** (count + 1)))",
            },
        ),
    )


def _plain(epsilon: str) -> Value:
    return Value(
        label=f"{epsilon}, plain",
        latex=r"\eta\, \hat m / (\sqrt{\hat v} + \epsilon)",
        settings={"optimizer": "adam", "optimizer_epsilon": float(epsilon)},
        write=made_by(
            ADAM,
            0.001,
            torch=f"eps={epsilon}",
            optax=f"eps={epsilon}",
            stax=f"eps={epsilon}",
            instead={"keras": _epsilon_plain(epsilon)},
        ),
    )


def _decay(decay: float) -> Value:
    return Value(
        label=f"{decay}",
        latex=rf"w \leftarrow w - \eta\,{decay}\,w",
        settings={"decay_form": "decoupled", "weight_decay": decay},
        write=made_by(
            Family("AdamW", "AdamW", "adamw"),
            0.001,
            keras=f"weight_decay={decay}",
            torch=f"weight_decay={decay}",
            optax=f"weight_decay={decay}",
        ),
    )


def _sgd_rate(rate: float) -> Value:
    return Value(
        label=f"{rate}",
        settings={"learning_rate": rate},
        write=made_by(SGD, rate, keras="", torch="", optax="", stax="", tf1=""),
    )


def _adam_rate(rate: float) -> Value:
    return Value(
        label=f"{rate}",
        settings={"learning_rate": rate},
        write=made_by(ADAM, rate, keras="", torch="", optax="", stax="", tf1=""),
    )


PIECES = [
    Piece(
        key="sgd_rate",
        label="learning rate of SGD",
        topic="sgd",
        summary="Keras's default is ten times PyTorch's; the others have none.",
        contexts=("plain_sgd",),
        values={"0.01": _sgd_rate(0.01), "0.001": _sgd_rate(0.001)},
        defaults={
            "keras": Default(value="0.01", source=_KERAS_SGD),
            "torch": Default(value="0.001", source="torch/optim/sgd.py, SGD"),
        },
    ),
    Piece(
        key="adam_rate",
        label="learning rate of Adam",
        topic="adam",
        summary="Those that have a default use the paper's.",
        values={"0.001": _adam_rate(0.001), "0.01": _adam_rate(0.01)},
        defaults={
            "keras": Default(value="0.001", source=_KERAS_ADAM),
            "torch": Default(value="0.001", source="torch/optim/adam.py, Adam"),
            "tf1": Default(value="0.001", source=_TF1_ADAM),
        },
    ),
    Piece(
        key="adam_epsilon",
        label="epsilon of Adam",
        topic="adam",
        summary="Its size, and whether it meets the root before the root is corrected (epsilon "
        "hat): at the first step that is the same as 32 times the epsilon. It decides nothing "
        "until gradients are about as small.",
        reference="Kingma and Ba, 2015, has both forms",
        contexts=("adam", "small", "tiny"),
        values={
            "hat_1e-7": _hat("1e-7"),
            "plain_1e-8": _plain("1e-8"),
            "hat_1e-8": _hat("1e-8"),
            "plain_1e-7": _plain("1e-7"),
            "hat_1e-3": _hat("1e-3"),
            "plain_1e-3": _plain("1e-3"),
        },
        defaults={
            "keras": Default(value="hat_1e-7", source=f"{_KERAS_ADAM}.update_step"),
            "torch": Default(value="plain_1e-8", source="torch/optim/adam.py, _single_tensor_adam"),
            **optax_does("plain_1e-8", "_src/transform.py, scale_by_adam"),
            "stax": Default(value="plain_1e-8", source=f"{_STAX}, adam"),
            "tf1": Default(value="hat_1e-8", source=_TF1_ADAM),
        },
    ),
    Piece(
        key="adamw_decay",
        label="weight decay of AdamW",
        topic="adam",
        summary="How much of each weight a step takes, before the learning rate.",
        values={
            "0.004": _decay(0.004),
            "0.01": _decay(0.01),
            "0.0001": _decay(0.0001),
            "0": Value(
                label="0",
                settings={"decay_form": "off"},
                write=made_by(
                    Family("AdamW", "AdamW", "adamw"),
                    0.001,
                    keras="weight_decay=0.0",
                    torch="weight_decay=0.0",
                    optax="weight_decay=0.0",
                ),
            ),
        },
        defaults={
            "keras": Default(value="0.004", source="keras/src/optimizers/adamw.py, AdamW"),
            "torch": Default(value="0.01", source="torch/optim/adamw.py, AdamW"),
            **optax_does("0.0001", "_src/alias.py, adamw"),
        },
    ),
    Piece(
        key="momentum_form",
        label="momentum and the learning rate",
        topic="sgd",
        summary="A velocity that holds the learning rate remembers the old one when it changes. As "
        "long as it stays as it is, both are the same.",
        contexts=("momentum", "fast_momentum"),
        values={
            "inside": Value(
                label="inside the velocity",
                latex=r"v \leftarrow \beta v + \eta\, g,\quad w \leftarrow w - v",
                settings={"optimizer": "momentum_keras"},
                write=made_by(
                    SGD,
                    "schedule",
                    keras="momentum=0.9",
                    instead={
                        "torch": _rate_inside(""),
                        "optax": "optimizer = optax.chain("
                        "optax.scale_by_learning_rate(schedule), optax.trace(decay=0.9))",
                    },
                ),
            ),
            "outside": Value(
                label="outside",
                latex=r"m \leftarrow \beta m + g,\quad w \leftarrow w - \eta\, m",
                settings={"optimizer": "momentum"},
                write=made_by(
                    Family("SGD", "SGD", "sgd", "momentum", "MomentumOptimizer"),
                    "schedule",
                    optax="momentum=0.9",
                    stax="mass=0.9",
                    tf1="momentum=0.9",
                    instead={
                        "keras": _RATE_OUTSIDE,
                        "torch": "optimizer = torch.optim.SGD("
                        "model.parameters(), lr=0.01, momentum=0.9)",
                    },
                ),
            ),
        },
        defaults={
            "keras": Default(value="inside", source=f"{_KERAS_SGD}.update_step"),
            "torch": Default(value="outside", source="torch/optim/sgd.py, _single_tensor_sgd"),
            **optax_does("outside", "_src/alias.py, sgd"),
            "stax": Default(value="outside", source=f"{_STAX}, momentum"),
            "tf1": Default(value="outside", source=_TF1_MOMENTUM),
        },
    ),
    Piece(
        key="nesterov",
        label="Nesterov momentum",
        topic="sgd",
        summary="Off in every framework unless asked for.",
        contexts=("momentum",),
        values={
            "off": Value(
                label="off",
                settings={"optimizer": "momentum_keras"},
                write=made_by(
                    Family("SGD", "SGD", "sgd", "momentum", "MomentumOptimizer"),
                    0.01,
                    keras="momentum=0.9, nesterov=False",
                    torch="momentum=0.9, nesterov=False",
                    optax="momentum=0.9, nesterov=False",
                    stax="mass=0.9",
                    tf1="momentum=0.9, use_nesterov=False",
                ),
            ),
            "on": Value(
                label="on",
                settings={"optimizer": "nesterov_keras"},
                write=made_by(
                    Family("SGD", "SGD", "sgd", "nesterov", "MomentumOptimizer"),
                    0.01,
                    keras="momentum=0.9, nesterov=True",
                    torch="momentum=0.9, nesterov=True",
                    optax="momentum=0.9, nesterov=True",
                    stax="mass=0.9",
                    tf1="momentum=0.9, use_nesterov=True",
                ),
            ),
        },
        defaults={
            "keras": Default(value="off", source=_KERAS_SGD),
            "torch": Default(value="off", source="torch/optim/sgd.py, SGD"),
            **optax_does("off", "_src/alias.py, sgd"),
            "stax": Default(
                value="off", source=f"{_STAX}, momentum", note="It has a function for each."
            ),
            "tf1": Default(value="off", source=_TF1_MOMENTUM),
        },
    ),
    Piece(
        key="nesterov_form",
        label="Nesterov momentum and the learning rate",
        topic="sgd",
        summary="As for plain momentum: the same until the learning rate changes.",
        contexts=("momentum", "fast_momentum"),
        values={
            "inside": Value(
                label="inside the velocity",
                latex=r"v \leftarrow \beta v + \eta\, g,\quad w \leftarrow w - \beta v - \eta\, g",
                settings={"optimizer": "nesterov_keras"},
                write=made_by(
                    SGD,
                    "schedule",
                    keras="momentum=0.9, nesterov=True",
                    instead={
                        "torch": _rate_inside(", nesterov=True"),
                        "optax": "optimizer = optax.chain(optax.scale_by_learning_rate(schedule), "
                        "optax.trace(decay=0.9, nesterov=True))",
                    },
                ),
            ),
            "outside": Value(
                label="outside",
                latex=r"m \leftarrow \beta m + g,\quad w \leftarrow w - \eta\,(g + \beta m)",
                settings={"optimizer": "nesterov"},
                write=made_by(
                    Family("SGD", "SGD", "sgd", "nesterov", "MomentumOptimizer"),
                    "schedule",
                    optax="momentum=0.9, nesterov=True",
                    stax="mass=0.9",
                    tf1="momentum=0.9, use_nesterov=True",
                    instead={
                        "keras": _NESTEROV_OUTSIDE,
                        "torch": "optimizer = torch.optim.SGD("
                        "model.parameters(), lr=0.01, momentum=0.9, nesterov=True)",
                    },
                ),
            ),
        },
        defaults={
            "keras": Default(value="inside", source=f"{_KERAS_SGD}.update_step"),
            "torch": Default(value="outside", source="torch/optim/sgd.py, _single_tensor_sgd"),
            **optax_does("outside", "_src/transform.py, trace"),
            "stax": Default(value="outside", source=f"{_STAX}, nesterov"),
            "tf1": Default(value="outside", source=_TF1_MOMENTUM),
        },
    ),
    Piece(
        key="dampening",
        label="dampening of momentum",
        topic="sgd",
        summary="Whether momentum sums gradients or takes their mean, whose steps are a tenth as "
        "large at a momentum of 0.9.",
        contexts=("momentum",),
        values={
            "0": Value(
                label="0, a sum",
                latex=r"m \leftarrow \beta m + g",
                settings={"optimizer": "momentum"},
                write=made_by(
                    Family("SGD", "SGD", "sgd", "momentum", "MomentumOptimizer"),
                    0.01,
                    keras="momentum=0.9",
                    torch="momentum=0.9, dampening=0.0",
                    optax="momentum=0.9",
                    stax="mass=0.9",
                    tf1="momentum=0.9",
                ),
            ),
            "0.9": Value(
                label="0.9, a mean",
                latex=r"m \leftarrow \beta m + (1 - \beta)\, g,\quad m_1 = g_1",
                settings={"optimizer": "averaged"},
                write=made_by(SGD, 0.01, torch="momentum=0.9, dampening=0.9"),
            ),
        },
        defaults={
            "keras": Default(value="0", source=f"{_KERAS_SGD}.update_step"),
            "torch": Default(value="0", source="torch/optim/sgd.py, SGD"),
            **optax_does("0", "_src/transform.py, trace"),
            "stax": Default(value="0", source=f"{_STAX}, momentum"),
            "tf1": Default(value="0", source=_TF1_MOMENTUM),
        },
    ),
]
