"""A plain network of dense layers, found in a recording and computed again in float64.

    s = h W + b,   batch norm: s = gamma (s - m) / sqrt(v + epsilon) + beta,   h = f(s) mask / keep

Layers are found by their sizes: each kernel takes what the one before it gives.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from core.study.compare.activations import FUNCTIONS
from core.study.compare.formats import rounded, wide
from core.study.compare.recording import Array, Recording, natural
from core.study.compare.stages import rows

_WORK_LIMIT = 3e8  # multiplications of one pass


@dataclass(frozen=True)
class Layer:
    """The names of a dense layer's parameters, and of the batch norm and dropout behind it."""

    kernel: str
    swapped: bool  # whether the kernel is (out, in)
    bias: str = ""
    gamma: str = ""
    beta: str = ""
    mean: str = ""
    variance: str = ""
    mask: str = ""


@dataclass(frozen=True)
class Options:
    """What a network does that its parameters do not tell."""

    activation: str = "relu"
    last: str = "raw"  # raw, softmax, sigmoid
    norm: str = ""  # "batch", "running" or "" if there is no batch norm
    norm_epsilon: float = 1e-5
    scale: float | None = None  # what masks are multiplied by; None: masks are not used
    arithmetic: str = ""  # a format that inputs and results of products are rounded to


@dataclass
class Trace:
    """What a pass computes, by layer."""

    inputs: list[Array] = field(default_factory=list)  # of each dense layer
    sums: list[Array] = field(default_factory=list)  # before batch norm
    slopes: list[Array] = field(default_factory=list)  # of activation times mask, hidden layers
    hats: list[Array] = field(default_factory=list)  # normalised sums
    inverses: list[Array] = field(default_factory=list)
    outputs: Array = field(default_factory=lambda: np.zeros(0))


def networks(recording: Recording, step: int = 0) -> Iterator[tuple[Layer, ...]]:
    """Yield the plain networks that a recording's parameters could be, likeliest first."""
    params, x, out = recording.params(step), recording.inputs(step), recording.one(step, "outputs")
    if (
        x is None
        or out is None
        or not params
        or recording.sampled
        or any(v.ndim > 2 for v in params.values())
    ):
        return
    kernels = [name for name, v in params.items() if v.ndim == 2]
    width, last = rows(x).shape[1], int(out.shape[-1]) if out.ndim > 1 else 1
    work = len(rows(x)) * float(sum(params[name].size for name in kernels))
    if not kernels or not x.size or len(kernels) > 12 or work > _WORK_LIMIT:
        return
    shapes = {name: (params[name].shape[0], params[name].shape[1]) for name in kernels}
    torch = "torch" in recording.framework.lower()
    for chain in _chains(kernels, shapes, width, last, torch):
        yield _with_vectors(chain, shapes, recording, step)


def _chains(
    left: list[str], shapes: Mapping[str, tuple[int, int]], width: int, last: int, torch: bool
) -> Iterator[tuple[tuple[str, bool], ...]]:
    """The orders in which kernels fit together, in the order of their names first."""
    if not left:
        if width == last:
            yield ()
        return
    for name in left:
        for swapped in (torch, not torch):
            i, o = shapes[name][::-1] if swapped else shapes[name]
            if i == width:
                rest = [other for other in left if other != name]
                for chain in _chains(rest, shapes, o, last, torch):
                    yield ((name, swapped), *chain)


def _with_vectors(
    chain: tuple[tuple[str, bool], ...],
    shapes: Mapping[str, tuple[int, int]],
    recording: Recording,
    step: int,
) -> tuple[Layer, ...]:
    params, masks = recording.params(step), recording.masks(step)
    vectors = {name: v.shape[0] for name, v in params.items() if v.ndim == 1}
    state = {name: v.shape[0] for name, v in recording.state(step).items() if v.ndim == 1}
    layers = []
    for i, (kernel, swapped) in enumerate(chain):
        width = shapes[kernel][0 if swapped else 1]
        own = [n for n in vectors if vectors[n] == width and _prefix(n) == _prefix(kernel)]
        bias = own or [n for n in vectors if vectors[n] == width and "bias" in n.lower()][:1]
        for name in bias[:1]:
            del vectors[name]
        found = {"bias": bias[0] if bias else ""}
        if i < len(chain) - 1:
            found |= _norm(width, vectors, state)
            fitting = [n for n, m in masks.items() if m.ndim == 2 and m.shape[1] == width]
            if fitting:
                found["mask"] = fitting[0]
                masks.pop(fitting[0])
        layers.append(Layer(kernel, swapped, **found))
    return tuple(layers)


def _prefix(name: str) -> str:
    return name.replace(".", "/").rpartition("/")[0]


def _norm(width: int, vectors: dict[str, int], state: dict[str, int]) -> dict[str, str]:
    """The batch norm of a width: two parameters and two running numbers, taken from the rest."""
    pair = [name for name in sorted(vectors, key=natural) if vectors[name] == width]
    for first in pair:
        same = [name for name in pair if _prefix(name) == _prefix(first)]
        if len(same) != 2:
            continue
        gamma = next((n for n in same if _last(n) in ("gamma", "scale", "weight")), same[1])
        beta = next(name for name in same if name != gamma)
        running = [name for name in sorted(state, key=natural) if state[name] == width]
        mean = next((name for name in running if "mean" in _last(name)), "")
        variance = next((name for name in running if "var" in _last(name)), "")
        for name in same:
            del vectors[name]
        for name in filter(None, (mean, variance)):
            del state[name]
        return {"gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    return {}


def _last(name: str) -> str:
    return name.replace(".", "/").rpartition("/")[2].lower()


def kernel(layer: Layer, params: Mapping[str, Array]) -> Array:
    """Return a layer's kernel as (in, out), in float64."""
    w = wide(params[layer.kernel])
    return w.T if layer.swapped else w


def forward(
    layers: tuple[Layer, ...],
    params: Mapping[str, Array],
    x: Array,
    options: Options,
    state: Mapping[str, Array] | None = None,
    masks: Mapping[str, Array] | None = None,
) -> Trace:
    """Compute the network's outputs.

    Raises:
      KeyError: A running mean or a mask that the options need is not recorded.
    """
    t = Trace()
    h = wide(rows(x))
    for layer in layers[:-1]:
        s = _sum(layer, params, h, options, t)
        if layer.gamma and options.norm:
            s = _normalised(layer, params, s, options, state or {}, t)
        h, slope = FUNCTIONS[options.activation](s)
        if layer.mask and options.scale is not None:
            mask = wide((masks or {})[layer.mask]) * options.scale
            h, slope = h * mask, slope * mask
        t.slopes.append(slope)
    z = _sum(layers[-1], params, h, options, t)
    if options.last == "softmax":
        e = np.exp(z - z.max(1, keepdims=True))
        z = e / e.sum(1, keepdims=True)
    elif options.last == "sigmoid":
        z = 1 / (1 + np.exp(-z))
    t.outputs = z
    return t


def _sum(layer: Layer, params: Mapping[str, Array], h: Array, options: Options, t: Trace) -> Array:
    w, b = kernel(layer, params), wide(params[layer.bias]) if layer.bias else np.zeros(())
    t.inputs.append(h)
    if options.arithmetic:
        s = rounded(h, options.arithmetic) @ rounded(w, options.arithmetic) + b
        s = s if options.arithmetic == "tf32" else rounded(s, options.arithmetic)
    else:
        s = h @ w + b
    t.sums.append(s)
    return s


def _normalised(
    layer: Layer,
    params: Mapping[str, Array],
    s: Array,
    options: Options,
    state: Mapping[str, Array],
    t: Trace,
) -> Array:
    if options.norm == "batch":
        mean, variance = s.mean(0), s.var(0)
    else:
        mean, variance = wide(state[layer.mean]), wide(state[layer.variance])
    inverse = 1 / np.sqrt(variance + options.norm_epsilon)
    hat = (s - mean) * inverse
    t.hats.append(hat)
    t.inverses.append(inverse)
    return hat * wide(params[layer.gamma]) + wide(params[layer.beta])


def backward(
    layers: tuple[Layer, ...],
    params: Mapping[str, Array],
    t: Trace,
    slope: Array,
    options: Options,
) -> dict[str, Array]:
    """Return the gradients, by name and in the recording's layout, of the outputs' gradient."""
    back = wide(slope).reshape(t.outputs.shape)
    if options.last == "softmax":
        back = t.outputs * (back - (back * t.outputs).sum(1, keepdims=True))
    elif options.last == "sigmoid":
        back = back * t.outputs * (1 - t.outputs)
    grads: dict[str, Array] = {}
    for i in range(len(layers) - 1, -1, -1):
        layer = layers[i]
        g = t.inputs[i].T @ back
        grads[layer.kernel] = g.T if layer.swapped else g
        if layer.bias:
            grads[layer.bias] = back.sum(0)
        if i == 0:
            break
        back = (back @ kernel(layer, params).T) * t.slopes[i - 1]
        before = layers[i - 1]
        if before.gamma and options.norm == "batch":
            k = sum(bool(each.gamma) for each in layers[: i - 1])
            hat = t.hats[k]
            grads[before.gamma], grads[before.beta] = (back * hat).sum(0), back.sum(0)
            d = back * wide(params[before.gamma])
            back = t.inverses[k] * (d - d.mean(0) - hat * (d * hat).mean(0))
    return grads
