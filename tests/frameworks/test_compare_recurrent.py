"""An LSTM and a GRU of real frameworks, from the same weights, are matched gate by gate."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.study.compare.recording import Recording, read
from core.study.compare.walk import compare
from tests.frameworks.probe import installed
from tests.frameworks.test_recorders import recorder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept"),
]

INPUTS, UNITS, CLASSES, LENGTH, BATCH, STEPS = 3, 6, 4, 5, 16, 3
GATES = {"lstm": "ifgo", "gru": "rzn"}
Cell = dict[str, np.ndarray]


def cell(kind: str, biases: bool) -> Cell:
    """A gate's kernels (in, out) and its bias; of a GRU's candidate also that of the state."""
    rng = np.random.default_rng(0)
    found = {}
    for gate in GATES[kind]:
        found |= {f"i{gate}": rng.normal(size=(INPUTS, UNITS)) * 0.5}
        found |= {f"h{gate}": rng.normal(size=(UNITS, UNITS)) * 0.4}
        found |= {f"b{gate}": rng.normal(size=UNITS) * 0.1 * biases}
    found |= {"bhn": rng.normal(size=UNITS) * 0.1 * biases}
    found |= {"out": rng.normal(size=(UNITS, CLASSES)) * 0.5}
    return {name: v.astype(np.float32) for name, v in found.items()}


def joined(v: Cell, kind: str, order: str) -> np.ndarray:
    return np.concatenate([v[kind + gate] for gate in order], axis=-1)


def state_bias(v: Cell, order: str) -> np.ndarray:
    """The second bias: 0 but for the candidate of a GRU."""
    return np.concatenate([v["bhn"] if g == "n" else np.zeros(UNITS, np.float32) for g in order])


def examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(STEPS * BATCH, LENGTH, INPUTS)).astype(np.float32)
    return x, np.argmax(x.sum(1) @ rng.normal(size=(INPUTS, CLASSES)), axis=1)


def batches() -> Any:
    x, y = examples()
    return zip(x.reshape(STEPS, BATCH, LENGTH, INPUTS), y.reshape(STEPS, BATCH), strict=True)


def torch_run(kind: str, v: Cell, path: Path, rate: float) -> None:
    torch = installed("torch")
    rnn = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](INPUTS, UNITS, batch_first=True)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.out = rnn, torch.nn.Linear(UNITS, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.out(self.rnn(x)[0][:, -1])

    net, order = Net(), GATES[kind]
    own = {"rnn.weight_ih_l0": joined(v, "i", order).T, "rnn.bias_ih_l0": joined(v, "b", order),
           "rnn.weight_hh_l0": joined(v, "h", order).T, "rnn.bias_hh_l0": state_bias(v, order),
           "out.weight": v["out"].T, "out.bias": np.zeros(CLASSES, np.float32)}  # fmt: skip
    net.load_state_dict({name: torch.tensor(np.array(w)) for name, w in own.items()})
    optimizer, loss_fn = torch.optim.SGD(net.parameters(), rate), torch.nn.CrossEntropyLoss()
    seen = recorder("torch")(path, net, optimizer, loss_fn, steps=STEPS)
    for x, y in batches():
        x, y = torch.tensor(x), torch.tensor(y)
        outputs = net(x)
        loss = loss_fn(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        seen.before(x, y, outputs, loss)
        optimizer.step()
        seen.after()


def keras_run(kind: str, v: Cell, path: Path, rate: float) -> None:
    keras = installed("keras")
    order = {"lstm": "ifgo", "gru": "zrn"}[kind]
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind](UNITS)
    dense = keras.layers.Dense(CLASSES)
    model = keras.Sequential([keras.Input((LENGTH, INPUTS)), layer, dense])
    bias = joined(v, "b", order)
    both = bias if kind == "lstm" else np.stack([bias, state_bias(v, order)])
    layer.set_weights([joined(v, "i", order), joined(v, "h", order), both])
    dense.set_weights([v["out"], np.zeros(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, run_eagerly=True)
    x, y = examples()
    seen = recorder("keras")(path, steps=STEPS)
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[seen])


def flax_run(kind: str, v: Cell, path: Path, rate: float) -> None:
    nn, jax, optax = installed("flax").linen, installed("jax"), installed("optax")
    rnn = nn.RNN({"lstm": nn.LSTMCell, "gru": nn.GRUCell}[kind](UNITS))
    own = {f"{part}{gate}": {"kernel": v[part + gate]} for part in "ih" for gate in GATES[kind]}
    for gate in GATES[kind]:
        own[("h" if kind == "lstm" else "i") + gate]["bias"] = v[f"b{gate}"]
    if kind == "gru":
        own["hn"]["bias"] = v["bhn"]
    dense = {"kernel": v["out"], "bias": np.zeros(CLASSES, np.float32)}
    params = jax.tree.map(jax.numpy.asarray, {"cell": own, "out": dense})

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        states = rnn.apply({"params": {"cell": params["cell"]}}, x)
        z = states[:, -1] @ params["out"]["kernel"] + params["out"]["bias"]
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean(), z

    seen = recorder("jax")(path, steps=STEPS)
    for x, y in batches():
        seen.before(params, inputs=x, labels=y)
        (loss, z), grads = jax.value_and_grad(loss_of, has_aux=True)(params, x, y)
        params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
        seen.after(params, grads=grads, outputs=z, loss=loss)


RUNS: dict[str, Callable[[str, Cell, Path, float], None]] = {
    "torch": torch_run, "keras": keras_run, "flax": flax_run,
}  # fmt: skip


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recording]:
    folder = tmp_path_factory.mktemp("recurrent")

    @cache
    def found(framework: str, kind: str, biases: bool = True, rate: float = 0.1) -> Recording:
        path = folder / f"{framework}{kind}{biases}{rate}"
        RUNS[framework](kind, cell(kind, biases), path, rate)
        return read(path)

    return found


PAIRS = [
    ("lstm", "keras", "flax", set()),
    ("lstm", "torch", "keras", {"two_biases"}),
    ("lstm", "torch", "flax", {"two_biases"}),
    ("gru", "torch", "keras", set()),
    ("gru", "keras", "flax", {"two_biases"}),
    ("gru", "torch", "flax", {"two_biases"}),
]


@pytest.mark.parametrize("biases", [True, False], ids=["", "no_biases"])
@pytest.mark.parametrize(("kind", "a", "b", "causes"), PAIRS)
def test_a_recurrent_layer_is_matched_gate_by_gate(
    kind: str, a: str, b: str, causes: set[str], biases: bool, recording: Callable[..., Recording]
) -> None:
    for first, second in ((a, b), (b, a)):
        report = compare(recording(first, kind, biases), recording(second, kind, biases))
        assert {verdict.cause for verdict in report.verdicts} == causes, report.markdown()
        assert report.same is not bool(causes)
        assert {s.status for s in report.stages[:4] + report.stages[5:6]} == {"same"}


def test_a_learning_rate_is_named_behind_gates(recording: Callable[..., Recording]) -> None:
    report = compare(recording("keras", "lstm"), recording("flax", "lstm", rate=0.05))
    assert {verdict.cause for verdict in report.verdicts} == {"learning_rate"}, report.markdown()
