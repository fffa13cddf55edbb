"""Both networks by hand in NumPy: what the arithmetic costs without a compiler.

`python -m benchmarks._peers.numpy_loop` prints, as JSON, for each parameter of both networks its
largest gradient and the difference quotient in its place; these should agree.
"""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from benchmarks._peers import BATCH, CONVOLUTIONS, NORMALISED, RATE, WIDTHS, Data

VERSION = f"NumPy {np.__version__}"
Array = np.ndarray


def epochs(network: str, data: Data) -> Callable[[], None]:
    random = np.random.default_rng(0)
    images, labels = data.standardised(), data.labels.astype(int)
    layers = _mlp(random) if network == "mlp" else _cnn(random)
    parameters = [array for layer in layers for array in layer.parameters]
    adam = Adam(parameters)

    def epoch() -> None:
        order = random.permutation(len(labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            x = images[chosen]
            for layer in layers:
                x = layer.forward(x)
            p = np.exp(x - x.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            p[np.arange(len(chosen)), labels[chosen]] -= 1  # dL/dlogits of the summed loss
            slope: Array | None = p
            for layer in reversed(layers):
                assert slope is not None
                slope = layer.backward(slope)
            adam.step([gradient for layer in layers for gradient in layer.gradients])

    return epoch


class Adam:
    def __init__(self, parameters: list[Array]) -> None:
        self.parameters, self.steps = parameters, 0
        self.means = [np.zeros_like(w) for w in parameters]
        self.squares = [np.zeros_like(w) for w in parameters]

    def step(self, gradients: list[Array]) -> None:
        self.steps += 1
        rate = RATE * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        rows = zip(self.parameters, self.means, self.squares, gradients, strict=True)
        for w, mean, square, g in rows:
            mean *= 0.9
            mean += 0.1 * g
            square *= 0.999
            square += 0.001 * g * g
            w -= np.float32(rate) * mean / (np.sqrt(square) + 1e-8)


class Layer:
    """A layer: `forward` keeps what `backward` needs, and `backward` sets `gradients`."""

    parameters: tuple[Array, ...] = ()
    gradients: tuple[Array, ...] = ()
    first = False  # whether the gradient of its input is never needed

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, slope: Array) -> Array | None:
        raise NotImplementedError


class Dense(Layer):
    def __init__(self, random: np.random.Generator, inputs: int, outputs: int) -> None:
        weights = random.normal(size=(inputs, outputs)) * (2 / (inputs + outputs)) ** 0.5
        self.parameters = weights.astype(np.float32), np.zeros(outputs, np.float32)

    def forward(self, x: Array) -> Array:
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        weights, biases = self.parameters
        return self.x @ weights + biases

    def backward(self, slope: Array) -> Array | None:
        self.gradients = self.x.T @ slope, slope.sum(axis=0)
        return None if self.first else (slope @ self.parameters[0].T).reshape(self.shape)


class Relu(Layer):
    def forward(self, x: Array) -> Array:
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, slope: Array) -> Array | None:
        return slope * (self.y > 0)


class Conv(Layer):
    """A convolution with stride 2, padded to halve the image, as one product of all its patches."""

    def __init__(self, random: np.random.Generator, side: int, channels: int, filters: int,
                 size: int) -> None:  # fmt: skip
        self.size, self.side, self.out = size, side, -(-side // 2)
        total = max(0, 2 * (self.out - 1) + size - side)
        self.pad = total // 2, total - total // 2
        spread = (2 / (size * size * (channels + filters))) ** 0.5
        weights = random.normal(size=(size * size * channels, filters)) * spread
        self.parameters = weights.astype(np.float32), np.zeros(filters, np.float32)

    def _slices(self, padded: Array) -> Iterator[Array]:
        length = 2 * (self.out - 1) + 1
        for i in range(self.size):
            for j in range(self.size):
                yield padded[:, i : i + length : 2, j : j + length : 2]

    def forward(self, x: Array) -> Array:
        x = x.reshape(len(x), self.side, self.side, -1)
        padded = np.pad(x, [(0, 0), self.pad, self.pad, (0, 0)])
        self.shape = padded.shape
        patches = np.concatenate(list(self._slices(padded)), axis=-1)
        weights, biases = self.parameters
        self.patches = patches.reshape(-1, len(weights))
        return (self.patches @ weights + biases).reshape(len(x), self.out, self.out, -1)

    def backward(self, slope: Array) -> Array | None:
        flat, weights = slope.reshape(-1, slope.shape[-1]), self.parameters[0]
        self.gradients = self.patches.T @ flat, flat.sum(axis=0)
        if self.first:
            return None
        padded, channels = np.zeros(self.shape, np.float32), self.shape[-1]
        shares = (flat @ weights.T).reshape(*slope.shape[:3], -1, channels)
        for k, place in enumerate(self._slices(padded)):
            place += shares[..., k, :]
        inside = slice(self.pad[0], self.pad[0] + self.side)
        return padded[:, inside, inside]


class BatchNorm(Layer):
    def __init__(self, channels: int) -> None:
        self.parameters = np.ones(channels, np.float32), np.zeros(channels, np.float32)

    def forward(self, x: Array) -> Array:
        flat = x.reshape(-1, x.shape[-1])
        self.deviation = np.sqrt(flat.var(axis=0) + np.float32(1e-5))
        self.z = (flat - flat.mean(axis=0)) / self.deviation
        gamma, beta = self.parameters
        return (gamma * self.z + beta).reshape(x.shape)

    def backward(self, slope: Array) -> Array | None:
        flat = slope.reshape(self.z.shape)
        self.gradients = (flat * self.z).sum(axis=0), flat.sum(axis=0)
        of_gamma, of_beta = (gradient / len(flat) for gradient in self.gradients)
        scale = self.parameters[0] / self.deviation
        return (scale * (flat - of_beta - self.z * of_gamma)).reshape(slope.shape)


def _mlp(random: np.random.Generator) -> list[Layer]:
    layers: list[Layer] = []
    for inputs, outputs in pairwise(WIDTHS):
        layers += [Dense(random, inputs, outputs), Relu()]
    layers[0].first = True
    return layers[:-1]


def _cnn(random: np.random.Generator) -> list[Layer]:
    layers: list[Layer] = []
    side, channels = 28, 1
    for i, (filters, size) in enumerate(CONVOLUTIONS):
        layers.append(Conv(random, side, channels, filters, size))
        layers += [BatchNorm(filters)] if i < NORMALISED else []
        layers.append(Relu())
        side, channels = -(-side // 2), filters
    layers[0].first = True
    return [*layers, Dense(random, side * side * channels, 10)]


def quotients(random: np.random.Generator, layers: list[Layer]) -> Iterator[tuple[float, float]]:
    """The largest gradient of each parameter, and the difference quotient in its place."""
    x, slope = random.normal(size=(3, WIDTHS[0])), random.normal(size=(3, WIDTHS[-1]))
    for layer in layers:
        layer.parameters = tuple(w.astype(np.float64) for w in layer.parameters)

    def value() -> float:
        y = x
        for layer in layers:
            y = layer.forward(y)
        return float(np.sum(y * slope))

    value()
    back: Array | None = slope
    for layer in reversed(layers):
        assert back is not None
        back = layer.backward(back)
    for layer in layers:
        for weights, gradient in zip(layer.parameters, layer.gradients, strict=True):
            flat, place = weights.reshape(-1), int(np.argmax(np.abs(gradient)))
            before, ends = flat[place], []
            for step in (1e-5, -1e-5):
                flat[place] = before + step
                ends.append(value())
            flat[place] = before
            yield float(gradient.reshape(-1)[place]), (ends[0] - ends[1]) / 2e-5


if __name__ == "__main__":
    random = np.random.default_rng(0)
    networks = _mlp(random), _cnn(random)
    print(json.dumps([pair for layers in networks for pair in quotients(random, layers)]))
