"""Networks of the trainer against the layers of the frameworks that they are rows of."""

import jax.numpy as jnp
import numpy as np
import pytest

from core.parts.convolution import convolve
from core.parts.gru import Gate, LaterReset, Weights, gru
from core.parts.initializers import INITIALIZERS
from tests.frameworks.probe import array, installed
from tests.kit.runs import quick

BATCH, TIME, INPUTS, UNITS = 3, 5, 2, 4


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("after", [False, True])
def test_a_gru_is_that_of_keras(after: bool) -> None:
    """Keras's second biases of the update and the reset gate are added to the first."""
    keras = installed("keras")
    layer = keras.layers.GRU(UNITS, reset_after=after, return_sequences=True)
    layer.build((BATCH, TIME, INPUTS))
    arrays = [drawn(*weight.shape, seed=i) for i, weight in enumerate(layer.weights)]
    layer.set_weights(arrays)
    x = drawn(BATCH, TIME, INPUTS, seed=9)
    kernel, states, biases = (np.split(each, 3, axis=-1) for each in arrays)  # z, r, candidate
    if after:
        (update, reset), (first, second) = (sum(each) for each in biases[:2]), biases[2]
        candidate = LaterReset(kernel[2], states[2], first, second)
    else:
        update, reset, last = biases
        candidate = Gate(kernel[2], states[2], last)
    z, r = Gate(kernel[0], states[0], update), Gate(kernel[1], states[1], reset)
    weights = Weights(np.zeros((BATCH, UNITS), np.float32), z, r, candidate)
    row = INITIALIZERS["keras"]
    _, apply = gru(UNITS, row.weights, row.biases(UNITS), True, after)
    ours = jnp.moveaxis(quick(apply)(weights, x), 0, 1)
    np.testing.assert_allclose(ours, array(layer(x)), atol=1e-6)


@pytest.mark.parametrize(("pixels", "size"), [(28, 5), (14, 5), (7, 3), (4, 3)])
def test_padding_around_is_that_of_pytorch(pixels: int, size: int) -> None:
    torch = installed("torch")
    x, kernel = drawn(2, pixels, pixels, 3), drawn(size, size, 3, 4, seed=1)
    layer = torch.nn.Conv2d(3, 4, size, stride=2, padding=size // 2, bias=False)
    layer.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1).copy())
    theirs = array(layer(torch.tensor(x.transpose(0, 3, 1, 2).copy()))).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(convolve(x, kernel, 2, around=True), theirs, atol=1e-4)
