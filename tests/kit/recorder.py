"""A tiny training in NumPy that records itself, with any one thing done differently.

Its formulas are written out here once more, so that a test does not compare the walk with itself.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

Array = NDArray[Any]
F = np.float32


@dataclass(frozen=True)
class Program:
    """What a program does; the defaults are one that makes no mistake."""

    seed: int = 0
    data: int = 0
    steps: int = 4
    batch: int = 32
    widths: tuple[int, int, int] = (20, 24, 5)
    # weights
    weights: str = "glorot_uniform"
    biases: str = "zeros"
    # data
    pixels: str = "unit"  # unit, bytes, standardised
    order: str = "shuffled"  # shuffled, sorted, other, within
    label_shift: int = 0
    # network
    activation: str = "relu"
    norm: bool = False
    norm_momentum: float = 0.9
    norm_epsilon: float = 1e-5
    norm_unbiased: bool = False
    norm_of_batch_at_evaluation: bool = False
    keep: float = 1.0
    dropout_at_evaluation: bool = False
    arithmetic: str = "float32"
    summed: int = 0  # in which order a sum is rounded
    # loss
    loss: str = "logits"  # logits, clip, plus, squared
    softmax: bool = False  # whether the network ends in one
    epsilon: float = 1e-7
    reduction: str = "mean"  # mean, sum, outputs
    smoothing: float = 0.0
    loss_shift: int = 0  # labels off by one within the loss
    penalty: float = 0.0
    # step
    optimizer: str = "adam"
    rate: float = 0.01
    rate_factor: float = 1.0  # of each step's rate to the one before
    rate_rise: float = 0.0  # of each step's rate above the one before
    rate_inside: bool = False  # whether the momentum sums up gradients times their rates
    beta: float = 0.9
    beta_2: float = 0.999
    optimizer_epsilon: float = 1e-8
    start: float = 0.0
    l2: float = 0.0
    decoupled: float = 0.0
    clip: str = ""  # global, each
    most: float = 0.5
    zeroed: bool = True
    frozen: tuple[int, ...] = ()  # layers
    # layout
    framework: str = "keras"
    transposed: bool = False
    permuted: bool = False
    gone: tuple[str, ...] = ()  # kinds that are not recorded


def recorded(program: Program) -> bytes:
    """Return the recording's bytes."""
    return _Training(program).run()


def written(tensors: dict[str, Array], steps: int, **metadata: str) -> bytes:
    """Return a recording of these tensors."""
    told = {"samenet_recording": "1", "framework": "numpy", "version": np.__version__,
            "backend": "cpu", "steps": str(steps), "settings": "{}", **metadata}  # fmt: skip
    return save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, told)


def _data(p: Program) -> tuple[Array, Array]:
    rng = np.random.default_rng(1000 + p.data)
    classes = max(p.widths[2], 2)
    labels = rng.integers(0, classes, 400)
    centres = rng.random((classes, p.widths[0]))
    x = np.clip(0.6 * centres[labels] + 0.5 * rng.random((400, p.widths[0])), 0, 1)
    return np.round(x * 255), labels


class _Training:
    def __init__(self, p: Program) -> None:
        self.p = p
        rng = np.random.default_rng(p.seed)
        sizes = list(zip(p.widths, p.widths[1:], strict=False))
        self.w = [self._drawn(rng, i, o) for i, o in sizes]
        self.b = [self._bias(rng, i, o) for i, o in sizes]
        width = p.widths[1]
        self.gamma, self.beta = np.ones(width, F), np.zeros(width, F)
        self.mean, self.var = np.zeros(width, F), np.ones(width, F)
        self.masks = np.random.default_rng(7)
        self.slots: dict[str, list[Array]] = {}
        self.sums: dict[str, Array] = {}
        self.out: dict[str, Array] = {}
        # Hidden units in another order: by a fixed shuffle of what is drawn.
        if p.permuted:
            self.shuffle = np.random.default_rng(5).permutation(width)
        else:
            self.shuffle = np.arange(width)
        self.sum_order = np.random.default_rng(p.summed).permutation(p.widths[0])
        if not p.summed:
            self.sum_order = np.arange(p.widths[0])

    def _drawn(self, rng: Any, i: int, o: int) -> Array:
        name, _, scale = self.p.weights.partition("*")
        bound = {"glorot_uniform": math.sqrt(6 / (i + o)), "torch": 1 / math.sqrt(i)}
        if name in bound:
            w = rng.uniform(-bound[name], bound[name], (i, o))
        else:
            w = rng.normal(0, float(name.removeprefix("normal_")), (i, o))
        w = w * float(scale or 1)
        return np.asarray(self._format(w), F)

    def _bias(self, rng: Any, i: int, o: int) -> Array:
        if self.p.biases == "torch":
            return np.asarray(rng.uniform(-1 / math.sqrt(i), 1 / math.sqrt(i), o), F)
        if self.p.biases == "normal":
            return np.asarray(rng.normal(0, 1, o), F)
        return np.zeros(o, F)

    def _format(self, v: Array) -> Array:
        kinds = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
        kind = kinds.get(self.p.arithmetic, F)
        return np.asarray(np.asarray(v, F).astype(kind), F)

    def _batches(self) -> list[tuple[Array, Array]]:
        p = self.p
        x, y = _data(p)
        rng = np.random.default_rng(50 + p.data)
        order = np.argsort(y, kind="stable")  # the file is sorted by label
        if p.order != "sorted":
            order = rng.permutation(order)
        if p.order == "other":
            order = np.random.default_rng(77).permutation(order)
        x = {"unit": x / 255, "bytes": x, "standardised": (x / 255 - 0.4) / 0.3}[p.pixels]
        batches = []
        for k in range(p.steps):
            rows = order[k * p.batch : (k + 1) * p.batch]
            if p.order == "within":
                rows = rng.permutation(rows)
            batches.append(
                (np.asarray(x[rows], F), (y[rows] + p.label_shift) % max(p.widths[2], 2))
            )
        return batches

    # Forward and backward

    def forward(self, x: Array, mask: Array | None, training: bool) -> dict[str, Array]:
        p = self.p
        t: dict[str, Array] = {"x": self._format(x)}
        columns = self.sum_order
        t["z"] = self._format(t["x"][:, columns] @ self.w[0][columns] + self.b[0])
        s = t["z"]
        if p.norm:
            batch = training or p.norm_of_batch_at_evaluation
            mean, var = (s.mean(0), s.var(0)) if batch else (self.mean, self.var)
            t["inverse"] = F(1) / np.sqrt(var + F(p.norm_epsilon))
            t["hat"] = (s - mean) * t["inverse"]
            s = t["hat"] * self.gamma + self.beta
            if training:
                n = len(x)
                m = F(p.norm_momentum)
                seen = var * F(n / (n - 1)) if p.norm_unbiased else var
                self.mean = m * self.mean + (1 - m) * mean
                self.var = m * self.var + (1 - m) * seen
        t["s"] = s
        t["h"], t["slope"] = (self._format(v) for v in _activated(p.activation, s))
        if mask is not None:
            t["mask"] = mask / F(p.keep)
            t["h"] = self._format(t["h"] * t["mask"])
        t["logits"] = self._format(t["h"] @ self.w[1] + self.b[1])
        last = _softmax if p.widths[2] > 1 else _sigmoid
        t["outputs"] = last(t["logits"]) if p.softmax else t["logits"]
        return t

    def loss(self, outputs: Array, y: Array) -> tuple[Array, Array]:
        """The loss, and its gradient by what the network gave it."""
        p = self.p
        n, c = outputs.shape
        if c == 1:
            return self._of_two(outputs, y[:, None])
        y = (y + p.loss_shift) % c
        target = np.asarray((1 - p.smoothing) * np.eye(c)[y] + p.smoothing / c, F)
        z = np.asarray(outputs, np.float64)
        if p.loss == "logits":
            q = _softmax(z)
            each, slope = -(target * np.log(q)).sum(1), q - target
        elif p.loss == "squared":
            each, slope = ((z - target) ** 2).sum(1), 2 * (z - target)
        else:
            if p.loss == "clip":
                total = z.sum(1, keepdims=True)
                share = z / total
                inside = (share >= p.epsilon) & (share <= 1 - p.epsilon)
                q = np.clip(share, p.epsilon, 1 - p.epsilon)
                dq = np.where(inside, -target / q, 0)
                slope = dq / total - (dq * z).sum(1, keepdims=True) / total**2
            else:
                q = z + p.epsilon
                slope = -target / q
            each = -(target * np.log(q)).sum(1)
        f = {"mean": 1 / n, "sum": 1.0, "outputs": 1 / n / c}[p.reduction]
        loss = f * each.sum() + p.penalty * sum((w.astype(np.float64) ** 2).sum() for w in self.w)
        return np.asarray(loss, F), np.asarray(f * slope, F)

    def _of_two(self, outputs: Array, y: Array) -> tuple[Array, Array]:
        """The same of one output, for labels 0 and 1."""
        p, n, z = self.p, len(outputs), np.asarray(outputs, np.float64)
        y = (y + p.loss_shift) % 2
        if p.loss == "logits":
            q = _sigmoid(z)
            each, slope = -np.log(np.where(y == 1, q, 1 - q)), q - y
        else:
            low, high = F(p.epsilon), F(1) - F(p.epsilon)
            q = np.clip(z, low, high)
            each = -np.log(np.where(y == 1, q, 1 - q))
            slope = np.where((z >= low) & (z <= high), np.where(y == 1, -1 / q, 1 / (1 - q)), 0)
        f = 1.0 if p.reduction == "sum" else 1 / n
        return np.asarray(f * each.sum(), F), np.asarray(f * slope, F)

    def gradients(self, t: dict[str, Array], slope: Array) -> dict[str, Array]:
        p = self.p
        if p.softmax and p.widths[2] == 1:
            slope = slope * t["outputs"] * (1 - t["outputs"])
        elif p.softmax:
            q = t["outputs"]
            slope = q * (slope - (slope * q).sum(1, keepdims=True))
        g = {"w1": t["h"].T @ slope, "b1": slope.sum(0)}
        back = slope @ self.w[1].T
        if "mask" in t:
            back = back * t["mask"]
        back = back * t["slope"]
        if p.norm:
            g["gamma"], g["beta"] = (back * t["hat"]).sum(0), back.sum(0)
            dhat = back * self.gamma
            back = t["inverse"] * (dhat - dhat.mean(0) - t["hat"] * (dhat * t["hat"]).mean(0))
        g["w0"], g["b0"] = t["x"].T @ back, back.sum(0)
        for key, w in (("w0", self.w[0]), ("w1", self.w[1])):
            g[key] = g[key] + F(2 * p.penalty) * w
        return {k: self._format(v) for k, v in g.items()}

    # Steps

    def params(self) -> dict[str, Array]:
        found = {"w0": self.w[0], "b0": self.b[0], "w1": self.w[1], "b1": self.b[1]}
        return {**found, "gamma": self.gamma, "beta": self.beta} if self.p.norm else found

    def step(self, k: int, grads: dict[str, Array]) -> None:
        p, params = self.p, self.params()
        norms = {key: float(np.sqrt((g.astype(np.float64) ** 2).sum())) for key, g in grads.items()}
        total = math.sqrt(sum(n * n for n in norms.values()))
        for key, w in params.items():
            if int(key[-1] if key[-1].isdigit() else 0) in p.frozen:
                continue
            norm = {"global": total, "each": norms[key]}.get(p.clip, 0.0)
            g = grads[key] * F(min(1.0, p.most / norm)) if norm > 0 else grads[key]
            g = g + F(p.l2) * w
            now = replace(p, rate=p.rate * p.rate_factor**k + p.rate_rise * k)
            u = _step(now, self.slots.setdefault(key, []), np.asarray(g, F), k + 1)
            u = u + F(now.rate * p.decoupled) * w
            self._set(key, self._format(w - u))

    def _set(self, key: str, w: Array) -> None:
        if key[0] in "wb" and key[-1].isdigit():
            (self.w if key[0] == "w" else self.b)[int(key[-1])] = w
        else:
            setattr(self, key, w)

    # Recording

    def put(self, k: int, kind: str, arrays: dict[str, Array]) -> None:
        torch = self.p.framework == "torch"
        names = {"w0": "dense/kernel", "b0": "dense/bias", "w1": "dense_1/kernel",
                 "b1": "dense_1/bias", "gamma": "norm/gamma", "beta": "norm/beta",
                 "mean": "norm/moving_mean", "var": "norm/moving_variance"}  # fmt: skip
        if torch:
            names = {"w0": "0.weight", "b0": "0.bias", "w1": "3.weight", "b1": "3.bias",
                     "gamma": "1.weight", "beta": "1.bias", "mean": "1.running_mean",
                     "var": "1.running_var"}  # fmt: skip
        for key, v in arrays.items():
            hidden = {"w0": 1, "w1": 0}.get(key, 0 if key != "b1" else None)
            if hidden is not None:
                v = np.take(v, self.shuffle, hidden)
            if self.p.transposed and v.ndim == 2:
                v = v.T
            self.out[f"step/{k}/{kind}/{names[key]}"] = v

    def run(self) -> bytes:
        p = self.p
        for k, (x, y) in enumerate(self._batches()):
            mask = None
            if p.keep < 1:
                mask = np.asarray(self.masks.random((p.batch, p.widths[1])) < p.keep, F)
                self.out[f"step/{k}/masks/dropout"] = mask[:, self.shuffle]
            self.put(k, "params", self.params())
            if p.norm:
                self.put(k, "state", {"mean": self.mean, "var": self.var})
            t = self.forward(x, mask, training=True)
            loss, slope = self.loss(t["outputs"], y)
            grads = self.gradients(t, slope)
            if not p.zeroed:
                grads = {key: g + self.sums.get(key, F(0)) for key, g in grads.items()}
                self.sums = grads
            self.put(k, "grads", grads)
            for name, v in (("inputs", x), ("labels", y), ("outputs", t["outputs"]),
                            ("loss", loss), ("outputs_grad", slope)):  # fmt: skip
                self.out[f"step/{k}/{name}"] = v
            self.step(k, grads)
        self.put(p.steps, "params", self.params())
        if p.norm:
            self.put(p.steps, "state", {"mean": self.mean, "var": self.var})
        self.evaluate()
        kept = {k: v for k, v in self.out.items() if not any(kind in k for kind in p.gone)}
        return written(kept, p.steps, framework=p.framework)

    def evaluate(self) -> None:
        p = self.p
        x, y = self._batches()[-1]
        mask = None
        if p.dropout_at_evaluation and p.keep < 1:
            mask = np.asarray(self.masks.random((p.batch, p.widths[1])) < p.keep, F)
        outputs = self.forward(x, mask, training=False)["outputs"]
        right = np.asarray(np.mean(outputs.argmax(1) == y), F)
        self.out |= {"eval/inputs": x, "eval/labels": y, "eval/outputs": outputs,
                     "eval/metrics/accuracy": right}  # fmt: skip


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


_ERF = np.vectorize(math.erf, otypes=[F])


def _activated(name: str, s: Array) -> tuple[Array, Array]:
    """An activation and its slope."""
    if name == "gelu":
        phi = (1 + _ERF(s / math.sqrt(2))) / 2
        return s * phi, phi + s * np.exp(-s * s / 2) / math.sqrt(2 * math.pi)
    if name == "gelu_tanh":
        c = math.sqrt(2 / math.pi)
        t = np.tanh(c * (s + 0.044715 * s**3))
        return s * (1 + t) / 2, (1 + t) / 2 + s * (1 - t * t) / 2 * c * (1 + 3 * 0.044715 * s * s)
    if name == "tanh":
        return np.tanh(s), 1 - np.tanh(s) ** 2
    slope = {"relu": 0.0, "leaky_0.01": 0.01, "leaky_0.3": 0.3}[name]
    return np.where(s > 0, s, F(slope) * s), np.where(s > 0, F(1), F(slope))


def _step(p: Program, m: list[Array], g: Array, t: int) -> Array:
    """What a step subtracts; m is what it remembers of one parameter."""
    if not m:
        m += [np.full_like(g, p.start), np.zeros_like(g), np.zeros_like(g)]
    rate, b, b2, e = F(p.rate), F(p.beta), F(p.beta_2), F(p.optimizer_epsilon)
    if p.optimizer == "sgd":
        return rate * g
    if p.optimizer in ("momentum", "nesterov"):
        if p.rate_inside:
            m[0] = b * m[0] + rate * g
            return rate * g + b * m[0] if p.optimizer == "nesterov" else m[0]
        m[0] = b * m[0] + g
        return rate * (g + b * m[0] if p.optimizer == "nesterov" else m[0])
    if p.optimizer == "averaged":
        m[0] = g if t == 1 else b * m[0] + (1 - b) * g
        return rate * m[0]
    if p.optimizer.startswith("adagrad"):
        m[0] = m[0] + g * g
        inside = p.optimizer == "adagrad_inside"
        return rate * g / (np.sqrt(m[0] + e) if inside else np.sqrt(m[0]) + e)
    m[0] = b2 * m[0] + (1 - b2) * g * g
    if p.optimizer.startswith("rmsprop"):
        inside = p.optimizer == "rmsprop_inside"
        return rate * g / (np.sqrt(m[0] + e) if inside else np.sqrt(m[0]) + e)
    m[1] = b * m[1] + (1 - b) * g
    mean, square = m[1] / F(1 - p.beta**t), m[0] / F(1 - p.beta_2**t)
    if p.optimizer == "adam_hat":
        return rate * mean / (np.sqrt(square) + e / F(math.sqrt(1 - p.beta_2**t)))
    return rate * mean / (np.sqrt(square) + e)
