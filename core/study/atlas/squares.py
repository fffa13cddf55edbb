"""Pieces about RMSprop and Adagrad, which divide by the root of squared gradients."""

from core.study.atlas.piece import Default, Piece, Settings, Value
from core.study.atlas.shared import Family, made_by, optax_does

RMSPROP = Family("RMSprop", "RMSprop", "rmsprop", "rmsprop", "RMSPropOptimizer")
ADAGRAD = Family("Adagrad", "Adagrad", "adagrad", "adagrad", "AdagradOptimizer")

_KERAS = "keras/src/optimizers"
_KERAS_RMSPROP = f"{_KERAS}/rmsprop.py, RMSprop"
_KERAS_ADAGRAD = f"{_KERAS}/adagrad.py, Adagrad"
_TORCH_RMSPROP = "torch/optim/rmsprop.py, RMSprop"
_TORCH_ADAGRAD = "torch/optim/adagrad.py, Adagrad"
_STAX = "jax/example_libraries/optimizers.py"
_TF1_RMSPROP = "tensorflow/python/training/rmsprop.py, RMSPropOptimizer"
_TF1_ADAGRAD = "tensorflow/python/training/adagrad.py, AdagradOptimizer"


def _rmsprop_outside(rate: float, rho: float, epsilon: str) -> str:
    return f"""\
class RMSprop(keras.optimizers.RMSprop):
    def update_step(self, gradient, variable, learning_rate):
        v = self._velocities[self._get_variable_index(variable)]
        self.assign(v, self.rho * v + (1 - self.rho) * keras.ops.square(gradient))
        step = learning_rate * gradient / (keras.ops.sqrt(v) + self.epsilon)
        self.assign_sub(variable, step)
optimizer = RMSprop(learning_rate={rate}, rho={rho}, epsilon={epsilon})"""


def _rmsprop_inside(epsilon: str) -> str:
    return f"""\
class RMSprop(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                v = self.state[w].setdefault("v", torch.zeros_like(w))
                v.mul_(group["rho"]).addcmul_(w.grad, w.grad, value=1 - group["rho"])
                w.addcdiv_(w.grad, (v + group["eps"]).sqrt(), value=-group["lr"])
optimizer = RMSprop(model.parameters(), {{"lr": 0.001, "rho": 0.9, "eps": {epsilon}}})"""


def _adagrad_outside(rate: float, start: float) -> str:
    return f"""\
class Adagrad(keras.optimizers.Adagrad):
    def update_step(self, gradient, variable, learning_rate):
        total = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(total, keras.ops.square(gradient))
        step = learning_rate * gradient / (keras.ops.sqrt(total) + self.epsilon)
        self.assign_sub(variable, step)
optimizer = Adagrad(learning_rate={rate}, initial_accumulator_value={start}, epsilon=1e-10)"""


_START_AT_ONE = {
    "keras": """\
optimizer = keras.optimizers.RMSprop(learning_rate=0.001, epsilon=1e-7)
optimizer.build(model.trainable_variables)
for v in optimizer._velocities:
    v.assign(keras.ops.ones(v.shape))""",
    "torch": """\
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, alpha=0.9, eps=1e-7)
for w in model.parameters():
    optimizer.state[w] = {"step": torch.tensor(0.0), "square_avg": torch.ones_like(w)}""",
}


def _rate(family: Family, rate: float, *, stax: bool) -> Value:
    write = made_by(family, rate, keras="", torch="", optax="", tf1="")
    if stax:
        write |= made_by(family, rate, stax="")
    return Value(label=f"{rate}", settings={"learning_rate": rate}, write=write)


def _rho(rho: float) -> Value:
    return Value(
        label=f"{rho}",
        latex=rf"v \leftarrow {rho}\,v + {1 - rho:.2g}\,g^2",
        settings={"beta_2": rho},
        write=made_by(
            RMSPROP,
            0.001,
            keras=f"rho={rho}",
            torch=f"alpha={rho}",
            optax=f"decay={rho}",
            stax=f"gamma={rho}",
            tf1=f"decay={rho}",
        ),
    )


def _inside(epsilon: str) -> Value:
    return Value(
        label=f"{epsilon}, inside",
        latex=r"g / \sqrt{v + \epsilon}",
        settings={"optimizer": "rmsprop_keras", "beta_2": 0.9, "optimizer_epsilon": float(epsilon)},
        write=made_by(
            RMSPROP,
            0.001,
            keras=f"rho=0.9, epsilon={epsilon}",
            optax=f"decay=0.9, eps={epsilon}",
            stax=f"gamma=0.9, eps={epsilon}",
            instead={"torch": _rmsprop_inside(epsilon)},
        ),
    )


def _outside(epsilon: str) -> Value:
    return Value(
        label=f"{epsilon}, outside",
        latex=r"g / (\sqrt{v} + \epsilon)",
        settings={"optimizer": "rmsprop", "beta_2": 0.9, "optimizer_epsilon": float(epsilon)},
        write=made_by(
            RMSPROP,
            0.001,
            torch=f"alpha=0.9, eps={epsilon}",
            optax=f"decay=0.9, eps={epsilon}, eps_in_sqrt=False",
            instead={"keras": _rmsprop_outside(0.001, 0.9, epsilon)},
        ),
    )


_KERAS_FORM: Settings = {"optimizer": "rmsprop_keras", "beta_2": 0.9, "optimizer_epsilon": 1e-7}
_TORCH_FORM: Settings = {"optimizer": "rmsprop", "beta_2": 0.99, "optimizer_epsilon": 1e-8}

PIECES = [
    Piece(
        key="rmsprop_rate",
        label="learning rate of RMSprop",
        topic="rmsprop",
        summary="PyTorch begins with ten times Keras's; others ask for one.",
        contexts=("rmsprop",),
        values={"0.001": _rate(RMSPROP, 0.001, stax=True), "0.01": _rate(RMSPROP, 0.01, stax=True)},
        defaults={
            "keras": Default(value="0.001", source=_KERAS_RMSPROP),
            "torch": Default(value="0.01", source=_TORCH_RMSPROP),
        },
    ),
    Piece(
        key="rmsprop_rho",
        label="rho of RMSprop",
        topic="rmsprop",
        summary="How long squared gradients are remembered: over 10 steps or over 100.",
        contexts=("rmsprop",),
        values={"0.9": _rho(0.9), "0.99": _rho(0.99)},
        defaults={
            "keras": Default(value="0.9", source=_KERAS_RMSPROP),
            "torch": Default(value="0.99", source=_TORCH_RMSPROP, note="It is called alpha."),
            **optax_does("0.9", "_src/alias.py, rmsprop", "It is called decay."),
            "stax": Default(value="0.9", source=f"{_STAX}, rmsprop", note="It is called gamma."),
            "tf1": Default(value="0.9", source=_TF1_RMSPROP, note="It is called decay."),
        },
    ),
    Piece(
        key="rmsprop_epsilon",
        label="epsilon of RMSprop",
        topic="rmsprop",
        summary="Inside the root, 1e-7 is the same as 3e-4 outside where gradients are small.",
        contexts=("rmsprop",),
        values={
            "inside_1e-7": _inside("1e-7"),
            "outside_1e-8": _outside("1e-8"),
            "inside_1e-8": _inside("1e-8"),
            "inside_1e-10": _inside("1e-10"),
            "outside_1e-7": _outside("1e-7"),
            "inside_1e-3": _inside("1e-3"),
            "outside_1e-3": _outside("1e-3"),
        },
        defaults={
            "keras": Default(value="inside_1e-7", source=f"{_KERAS_RMSPROP}.update_step"),
            "torch": Default(
                value="outside_1e-8", source="torch/optim/rmsprop.py, _single_tensor_rmsprop"
            ),
            **optax_does("inside_1e-8", "_src/transform.py, scale_by_rms"),
            "stax": Default(value="inside_1e-8", source=f"{_STAX}, rmsprop"),
            "tf1": Default(
                value="inside_1e-10",
                source=_TF1_RMSPROP,
                note="The mean square starts at 1, which hides it at first.",
            ),
        },
    ),
    Piece(
        key="rmsprop_start",
        label="what RMSprop starts from",
        topic="rmsprop",
        summary="The mean square begins at 0, or at 1: then the first steps are small.",
        contexts=("rmsprop",),
        values={
            "0": Value(
                label="0",
                latex="v_0 = 0",
                settings={"optimizer": "rmsprop_keras", "optimizer_epsilon": 1e-7},
                write=made_by(
                    RMSPROP,
                    0.001,
                    keras="epsilon=1e-7",
                    optax="eps=1e-7, initial_scale=0.0",
                    stax="eps=1e-7",
                    instead={"torch": _rmsprop_inside("1e-7")},
                ),
            ),
            "1": Value(
                label="1",
                latex="v_0 = 1",
                settings={"optimizer": "rmsprop_tf1", "optimizer_epsilon": 1e-7},
                write=made_by(
                    RMSPROP,
                    0.001,
                    optax="eps=1e-7, initial_scale=1.0",
                    tf1="epsilon=1e-7",
                    instead=_START_AT_ONE,
                ),
            ),
        },
        defaults={
            "keras": Default(value="0", source=f"{_KERAS_RMSPROP}.build"),
            "torch": Default(value="0", source=f"{_TORCH_RMSPROP}._init_group"),
            **optax_does("0", "_src/alias.py, rmsprop"),
            "stax": Default(value="0", source=f"{_STAX}, rmsprop"),
            "tf1": Default(value="1", source=f"{_TF1_RMSPROP}._create_slots"),
        },
    ),
    Piece(
        key="rmsprop",
        label="RMSprop, all its defaults",
        topic="rmsprop",
        summary="Learning rate, rho, and epsilon with its place, together.",
        contexts=("rmsprop",),
        values={
            "keras": Value(
                label="0.001, 0.9, 1e-7 inside",
                settings={**_KERAS_FORM, "learning_rate": 0.001},
                write=made_by(
                    RMSPROP,
                    0.001,
                    keras="rho=0.9, epsilon=1e-7",
                    optax="decay=0.9, eps=1e-7",
                    stax="gamma=0.9, eps=1e-7",
                    instead={"torch": _rmsprop_inside("1e-7")},
                ),
            ),
            "torch": Value(
                label="0.01, 0.99, 1e-8 outside",
                settings={**_TORCH_FORM, "learning_rate": 0.01},
                write=made_by(
                    RMSPROP,
                    0.01,
                    torch="alpha=0.99, eps=1e-8",
                    optax="decay=0.99, eps=1e-8, eps_in_sqrt=False",
                    instead={"keras": _rmsprop_outside(0.01, 0.99, "1e-8")},
                ),
            ),
            "torch_slow": Value(
                label="0.001, 0.99, 1e-8 outside",
                settings={**_TORCH_FORM, "learning_rate": 0.001},
                write=made_by(
                    RMSPROP,
                    0.001,
                    torch="alpha=0.99, eps=1e-8",
                    optax="decay=0.99, eps=1e-8, eps_in_sqrt=False",
                    instead={"keras": _rmsprop_outside(0.001, 0.99, "1e-8")},
                ),
            ),
        },
        defaults={
            "keras": Default(value="keras", source=_KERAS_RMSPROP),
            "torch": Default(value="torch", source=_TORCH_RMSPROP),
        },
    ),
    Piece(
        key="adagrad_rate",
        label="learning rate of Adagrad",
        topic="adagrad",
        summary="PyTorch begins with ten times Keras's; others ask for one.",
        contexts=("adagrad",),
        values={
            "0.001": _rate(ADAGRAD, 0.001, stax=False),
            "0.01": _rate(ADAGRAD, 0.01, stax=False),
        },
        defaults={
            "keras": Default(value="0.001", source=_KERAS_ADAGRAD),
            "torch": Default(value="0.01", source=_TORCH_ADAGRAD),
        },
    ),
    Piece(
        key="adagrad_start",
        label="what Adagrad starts from",
        topic="adagrad",
        summary="The sum of squares begins at 0.1, which makes steps small until gradients have "
        "added up to as much, or at 0.",
        contexts=("adagrad", "fast_adagrad"),
        values={
            "0.1": Value(
                label="0.1",
                latex=r"\textstyle\sum g^2 + 0.1",
                settings={"optimizer": "adagrad_keras", "optimizer_epsilon": 1e-10},
                write=made_by(
                    ADAGRAD,
                    0.001,
                    keras="initial_accumulator_value=0.1, epsilon=1e-10",
                    torch="initial_accumulator_value=0.1",
                    optax="initial_accumulator_value=0.1, eps=1e-10",
                    tf1="initial_accumulator_value=0.1",
                ),
            ),
            "0": Value(
                label="0",
                latex=r"\textstyle\sum g^2",
                settings={"optimizer": "adagrad", "optimizer_epsilon": 1e-10},
                write=made_by(
                    ADAGRAD,
                    0.001,
                    torch="initial_accumulator_value=0.0",
                    optax="initial_accumulator_value=0.0, eps=1e-20",
                    stax="momentum=0.0",
                    instead={"keras": _adagrad_outside(0.001, 0.0)},
                ),
            ),
        },
        defaults={
            "keras": Default(value="0.1", source=_KERAS_ADAGRAD),
            "torch": Default(value="0", source=_TORCH_ADAGRAD),
            **optax_does("0.1", "_src/alias.py, adagrad"),
            "stax": Default(
                value="0", source=f"{_STAX}, adagrad", note="It has a momentum of 0.9 as well."
            ),
            "tf1": Default(value="0.1", source=_TF1_ADAGRAD),
        },
    ),
    Piece(
        key="adagrad_epsilon",
        label="epsilon of Adagrad",
        topic="adagrad",
        summary="Inside the root or outside. Beside a start of 0.1 neither can be seen.",
        contexts=("adagrad",),
        values={
            "inside_1e-7": Value(
                label="1e-7, inside",
                latex=r"g \big/ \sqrt{\textstyle\sum g^2 + \epsilon}",
                settings={"optimizer": "adagrad_keras", "optimizer_epsilon": 1e-7},
                write=made_by(ADAGRAD, 0.001, keras="epsilon=1e-7", optax="eps=1e-7"),
            ),
            "outside_1e-10": Value(
                label="1e-10, outside",
                latex=r"g \big/ \big(\sqrt{\textstyle\sum g^2} + \epsilon\big)",
                write=made_by(
                    ADAGRAD,
                    0.001,
                    torch="eps=1e-10",
                    instead={"keras": _adagrad_outside(0.001, 0.1)},
                ),
            ),
            "none": Value(
                label="none",
                latex=r"g \big/ \sqrt{\textstyle\sum g^2}",
                settings={"optimizer": "adagrad_keras", "optimizer_epsilon": 0.0},
                write=made_by(ADAGRAD, 0.001, keras="epsilon=0.0", optax="eps=0.0", tf1=""),
            ),
        },
        defaults={
            "keras": Default(value="inside_1e-7", source=f"{_KERAS_ADAGRAD}.update_step"),
            "torch": Default(
                value="outside_1e-10", source="torch/optim/adagrad.py, _single_tensor_adagrad"
            ),
            **optax_does("inside_1e-7", "_src/transform.py, scale_by_rss"),
            "stax": Default(
                value="none", source=f"{_STAX}, adagrad", note="Where the sum is 0, so is the step."
            ),
            "tf1": Default(value="none", source=_TF1_ADAGRAD),
        },
    ),
    Piece(
        key="adagrad",
        label="Adagrad, all its defaults",
        topic="adagrad",
        summary="Learning rate, start and epsilon, together.",
        contexts=("adagrad",),
        values={
            "keras": Value(
                label="0.001, start 0.1",
                settings={"optimizer": "adagrad_keras", "learning_rate": 0.001},
                write=made_by(
                    ADAGRAD,
                    0.001,
                    keras="initial_accumulator_value=0.1, epsilon=1e-7",
                    torch="initial_accumulator_value=0.1",
                    optax="initial_accumulator_value=0.1, eps=1e-7",
                    tf1="initial_accumulator_value=0.1",
                ),
            ),
            "torch": Value(
                label="0.01, start 0",
                settings={"optimizer": "adagrad", "learning_rate": 0.01},
                write=made_by(
                    ADAGRAD,
                    0.01,
                    torch="initial_accumulator_value=0.0, eps=1e-10",
                    optax="initial_accumulator_value=0.0, eps=1e-20",
                    stax="momentum=0.0",
                    instead={"keras": _adagrad_outside(0.01, 0.0)},
                ),
            ),
        },
        defaults={
            "keras": Default(value="keras", source=_KERAS_ADAGRAD),
            "torch": Default(value="torch", source=_TORCH_ADAGRAD),
        },
    ),
]
