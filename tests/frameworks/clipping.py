"""Probes of clipping: what is left of gradients."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from core.parts.clip_and_decay import CLIP_FORMS
from core.study.atlas.pieces import PIECES
from core.study.atlas.shared import optax
from tests.frameworks.paths import double, keras_in_double
from tests.frameworks.probe import Observed, Probe, array, installed, run

GRADIENTS = [np.array([[0.3, 0.0, 0.0], [0.0, 0.4, 0.0]]), np.array([0.05, 0.0])]
RATE, MOST = 0.1, 0.1  # of the optimizers that clip


def observe(framework: str, code: str) -> Observed:
    """The clipped gradients: those of an optimizer are its step over its learning rate."""
    with double():
        return [array(g) for g in OBSERVERS[framework](code)]


def _keras(code: str) -> list[Any]:
    with keras_in_double() as keras:
        optimizer = run(code)["optimizer"]
        variables = [keras.Variable(np.zeros_like(g)) for g in GRADIENTS]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in GRADIENTS], variables)
        return [-array(v.value) / RATE for v in variables]


def _torch(code: str) -> list[Any]:
    torch = installed("torch")
    model = torch.nn.Linear(3, 2, dtype=torch.float64)
    for w, g in zip(model.parameters(), GRADIENTS, strict=True):
        w.grad = torch.tensor(g)
    run(code, model=model)
    return [w.grad for w in model.parameters()]


def _optax(code: str) -> list[Any]:
    optimizer = run(code)["optimizer"]
    gradients = [jnp.asarray(g) for g in GRADIENTS]
    updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
    return [-array(u) / RATE for u in updates]


def _stax(code: str) -> Any:
    return run(code, gradients=[jnp.asarray(g) for g in GRADIENTS])["gradients"]


def _tf1(code: str) -> Any:
    tf = installed("tensorflow")
    return run(code, gradients=[tf.constant(g) for g in GRADIENTS])["gradients"]


OBSERVERS = {
    "keras": _keras, "torch": _torch, "flax": _optax, "equinox": _optax, "stax": _stax, "tf1": _tf1
}  # fmt: skip


def _probe(piece: str, keras: str, **settings: Any) -> Probe:
    def expect(value: str, framework: str) -> Observed:
        form = (PIECES[piece].values[value].settings or {})["clip_form"]
        with double():
            clip = CLIP_FORMS[form].clip
            return [array(g) for g in clip([jnp.asarray(g) for g in GRADIENTS], jnp.asarray(MOST))]

    bare = {
        "keras": f"optimizer = keras.optimizers.SGD(0.1, {keras}=0.1)",
        "torch": "torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)",
        **optax("optimizer = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(0.1))"),
        "stax": "gradients = optimizers.clip_grads(gradients, 0.1)",
    }
    return Probe(bare=bare, observe=observe, expect=expect, **settings)


PROBES = {
    # PyTorch's millionth is not what this piece is about.
    "clipping": _probe("clipping", "clipnorm", rtol=1e-5),
    "clip_epsilon": _probe("clip_epsilon", "global_clipnorm", rtol=2e-7),
}
