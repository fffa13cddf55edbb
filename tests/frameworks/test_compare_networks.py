"""Networks that the comparison cannot compute again: rounded twice, a program is the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from core.study.compare.recording import read
from core.study.compare.walk import compare
from tests.frameworks.test_recorders import recorder

BATCH, CLASSES, STEPS, SEEDS = 8, 5, 3, 20
Params = dict[str, Any]
Apply = Callable[[Params, Any], Any]


def _drawn(random: np.random.Generator, **shapes: tuple[int, ...]) -> Params:
    """Weights of these shapes, each spread as one over the root of its inputs; vectors are 0."""
    return {
        name: np.float32(random.normal(0, np.prod(shape[:-1]) ** -0.5, shape))
        if len(shape) > 1
        else np.zeros(shape, np.float32)
        for name, shape in shapes.items()
    }


def cnn(random: np.random.Generator) -> tuple[Params, Apply, tuple[int, ...]]:
    params = _drawn(random, conv=(3, 3, 1, 4), conv_bias=(4,), out=(64, CLASSES), bias=(CLASSES,))

    def apply(p: Params, x: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        h = jax.lax.conv_general_dilated(x, p["conv"], (2, 2), "SAME", dimension_numbers=numbers)
        return jax.nn.relu(h + p["conv_bias"]).reshape(len(x), -1) @ p["out"] + p["bias"]

    return params, apply, (8, 8, 1)


def gru(random: np.random.Generator) -> tuple[Params, Apply, tuple[int, ...]]:
    width, inputs = 6, 3
    params = _drawn(random, w=(inputs, 3 * width), u=(width, 3 * width), b=(3 * width,),
                    out=(width, CLASSES), bias=(CLASSES,))  # fmt: skip

    def apply(p: Params, x: Any) -> Any:
        h = jnp.zeros((len(x), width))
        for t in range(x.shape[1]):
            z, r, n = jnp.split(x[:, t] @ p["w"] + p["b"], 3, axis=1)
            uz, ur, un = jnp.split(h @ p["u"], 3, axis=1)
            z, r = jax.nn.sigmoid(z + uz), jax.nn.sigmoid(r + ur)
            h = z * h + (1 - z) * jnp.tanh(n + r * un)
        return h @ p["out"] + p["bias"]

    return params, apply, (5, inputs)


def transformer(random: np.random.Generator) -> tuple[Params, Apply, tuple[int, ...]]:
    """Two blocks of one head; no gradient but rounding reaches a bias of the keys."""
    width = 8
    block: dict[str, tuple[int, ...]] = dict.fromkeys("qkv", (width, width))
    block |= {"k_bias": (width,), "gamma": (width,)}
    block |= {"up": (width, 16), "up_bias": (16,), "down": (16, width)}
    shapes = {f"{i}_{name}": shape for i in range(2) for name, shape in block.items()}
    params = _drawn(random, **shapes, out=(width, CLASSES), bias=(CLASSES,))

    def normed(x: Any, gamma: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return (1 + gamma) * centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)

    def apply(p: Params, x: Any) -> Any:
        for i in range(2):
            h = normed(x, p[f"{i}_gamma"])
            q, k, v = h @ p[f"{i}_q"], h @ p[f"{i}_k"] + p[f"{i}_k_bias"], h @ p[f"{i}_v"]
            x = x + jax.nn.softmax(q @ k.swapaxes(1, 2) / width**0.5) @ v
            x = x + jax.nn.gelu(x @ p[f"{i}_up"] + p[f"{i}_up_bias"]) @ p[f"{i}_down"]
        return x.mean(1) @ p["out"] + p["bias"]

    return params, apply, (6, width)


def recorded(path: Path, network: Any, seed: int, optimizer: Any, whole: bool) -> None:
    """Record steps, compiled as a `whole` or operation by operation, which rounds otherwise."""
    random = np.random.default_rng(seed)
    params, apply, shape = network(random)

    def loss(p: Params, x: Any, y: Any) -> Any:
        z = apply(p, x)
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean(), z

    gradient = jax.value_and_grad(loss, has_aux=True)
    gradient = jax.jit(gradient) if whole else gradient
    memory = optimizer.init(params)
    kept = recorder("jax")(path, steps=STEPS)
    for _ in range(STEPS):
        x = np.float32(random.normal(size=(BATCH, *shape)))
        y = random.integers(0, CLASSES, BATCH)
        kept.before(params, inputs=x, labels=y)
        (value, z), grads = gradient(params, x, y)
        steps, memory = optimizer.update(grads, memory, params)
        params = optax.apply_updates(params, steps)
        kept.after(params, grads=grads, outputs=z, loss=value)


@pytest.mark.parametrize("network", [cnn, gru, transformer], ids=lambda each: each.__name__)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
@pytest.mark.slow
def test_a_program_that_is_rounded_twice_is_the_same(
    network: Any, rule: str, tmp_path: Path
) -> None:
    rounded = False
    optimizer = {"sgd": optax.sgd(0.1), "adam": optax.adam(1e-3)}[rule]
    for seed in range(SEEDS if rule == "sgd" else SEEDS // 4):
        paths = [tmp_path / f"{seed}_{name}.safetensors" for name in "ab"]
        for path, whole in zip(paths, (True, False), strict=True):
            recorded(path, network, seed, optimizer, whole)
        report = compare(*map(read, paths))
        assert report.same and not report.verdicts, (seed, report.markdown())
        rounded |= any(stage.numbers and stage.numbers.relative for stage in report.stages)
    assert rounded, "both have the same bits"
