"""Small training programs in JAX, Keras and PyTorch, alike but for what is asked of them.

All start from the same weights, drawn by NumPy, and see the same batches. Each is written as its
framework's users write it, and recorded by the recorder of its framework.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.study.compare.recording import Recording, read
from tests.frameworks.probe import installed
from tests.frameworks.test_recorders import recorder

Array = np.ndarray
F = np.float32


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program; None means what its framework does by default."""

    framework: str = "jax"
    widths: tuple[int, ...] = (20, 24, 10)
    steps: int = 4
    batch: int = 32
    seed: int = 0  # of the weights
    data: int = 0  # of the examples
    scale: float = 1.0  # of the first kernels
    biases: bool = False  # whether biases begin at random numbers
    own_weights: bool = False  # whether the framework draws the first weights by its default
    pixels: float = 1.0  # the largest input
    order: str = ""  # within, other, file
    label_shift: int = 0  # of the labels that are recorded
    loss_shift: int = 0  # of the labels within the loss
    activation: str = "relu"  # gelu, gelu_tanh
    softmax: bool = False  # whether the network ends in one
    from_logits: bool = True  # what the loss is told
    reduction: str = "mean"  # sum
    smoothing: float = 0.0
    keep: float = 1.0
    dropout_at_evaluation: bool = False
    norm: bool = False
    norm_momentum: float | None = None  # the share that is kept
    norm_epsilon: float | None = None
    norm_training: bool = True
    norm_at_evaluation: str = "running"  # batch
    arithmetic: str = ""  # bfloat16, float16
    optimizer: str = "sgd"  # momentum, nesterov, adam, rmsprop
    rate: float = 0.1
    rate_factor: float = 1.0  # of each step's rate to the one before
    beta: float = 0.9
    dampening: float = 0.0
    beta_2: float | None = None
    epsilon: float | None = None
    epsilon_inside: bool | None = None  # of RMSprop's root, in optax
    coupled: float = 0.0  # decay in the gradient
    decoupled: float = 0.0
    penalty: float = 0.0  # times the squared kernels, in the loss
    clip: str = ""  # global, each
    most: float = 0.2
    zeroed: bool = True
    frozen: int | None = None  # a layer that the optimizer leaves alone
    untrainable: int | None = None  # a layer that is said not to be trainable


def weights(p: Program) -> list[tuple[Array, Array]]:
    """Each layer's kernel (in, out), Glorot's, and its bias."""
    rng = np.random.default_rng((p.seed, 1))
    found = []
    for fan_in, fan_out in zip(p.widths, p.widths[1:], strict=False):
        kernel = rng.uniform(-1, 1, (fan_in, fan_out)) * math.sqrt(6 / (fan_in + fan_out)) * p.scale
        bias = rng.uniform(-1, 1, fan_out) / math.sqrt(fan_in) * p.biases
        found.append((kernel.astype(F), bias.astype(F)))
    return found


def examples(p: Program) -> tuple[Array, Array]:
    """Inputs and labels of all steps, in their order."""
    rng, n = np.random.default_rng((p.data, 2)), p.batch * p.steps
    levels = rng.integers(0, 256, (2 * n, p.widths[0])) * (rng.random((2 * n, p.widths[0])) < 0.6)
    x = (levels / 255 * p.pixels).astype(F)
    y = np.argmax(levels @ rng.normal(size=(p.widths[0], p.widths[-1])), axis=1)
    file = np.argsort(y, kind="stable")
    order = rng.permutation(2 * n)
    if p.order == "other":
        order = rng.permutation(2 * n)
    if p.order == "file":
        order = file
    order = order[:n]
    if p.order == "within":
        order = np.concatenate([rng.permutation(part) for part in order.reshape(p.steps, -1)])
    return x[order], (y[order] + p.label_shift) % p.widths[-1]


def batches(p: Program) -> Iterator[tuple[Array, Array]]:
    """Inputs and labels, step by step."""
    x, y = examples(p)
    yield from zip(x.reshape(p.steps, p.batch, -1), y.reshape(p.steps, -1), strict=True)


def recorded(p: Program, path: Path) -> Recording:
    """Run a program, and read what was recorded; skips the test without its framework."""
    {"jax": _jax, "keras": _keras, "torch": _torch}[p.framework](p, path)
    return read(path)


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


# JAX and optax


def _jax(p: Program, path: Path) -> None:
    jax, optax = installed("jax"), installed("optax")
    jnp = jax.numpy
    params = [{"kernel": jnp.asarray(w), "bias": jnp.asarray(b)} for w, b in weights(p)]
    params = {f"dense_{i}": layer for i, layer in enumerate(params)}
    state = {}
    if p.norm:
        params["norm"] = {"scale": jnp.ones(p.widths[1]), "bias": jnp.zeros(p.widths[1])}
        state = {"mean": jnp.zeros(p.widths[1]), "var": jnp.ones(p.widths[1])}
    chain = _optax(p, optax)
    slots = chain.init(params)
    network, loss_of = _jax_network(p, jax), _jax_loss(p, jax, optax)

    def whole(params: Any, state: Any, x: Any, y: Any, mask: Any) -> Any:
        outputs, after = network(params, state, x, mask, True)
        kernels = [params[f"dense_{i}"]["kernel"] for i in range(len(p.widths) - 1)]
        loss = loss_of(outputs, y) + p.penalty * sum(jnp.sum(w * w) for w in kernels)
        return loss, (outputs, after)

    seen = recorder("jax")(path, steps=p.steps)
    key = jax.random.key(p.seed)
    for x, y in batches(p):
        key, own = jax.random.split(key)
        drawn = jax.random.bernoulli(own, p.keep, (p.batch, p.widths[1])) if p.keep < 1 else None
        masks = {} if drawn is None else {"masks": {"dropout": drawn}}
        seen.before(params, inputs=x, labels=y, state=state, **masks)
        (loss, (outputs, after)), grads = jax.value_and_grad(whole, has_aux=True)(
            params, state, x, y, drawn
        )
        slope = jax.grad(loss_of)(outputs, y)
        steps, slots = chain.update(grads, slots, params)
        params, state = optax.apply_updates(params, steps), after
        seen.after(params, grads=grads, outputs=outputs, loss=loss, outputs_grad=slope)
    drawn = jax.random.bernoulli(key, p.keep, (p.batch, p.widths[1]))
    mask = drawn if p.dropout_at_evaluation else None
    outputs, _ = network(params, state, x, mask, p.norm_at_evaluation == "batch")
    seen.evaluation(x, y, outputs, accuracy=float(np.mean(np.argmax(outputs, 1) == y)))


def _jax_network(p: Program, jax: Any) -> Callable[..., Any]:
    jnp, nn = jax.numpy, jax.nn
    act = {"relu": nn.relu, "gelu": lambda x: nn.gelu(x, approximate=False), "gelu_tanh": nn.gelu}
    kind = jnp.dtype(p.arithmetic or "float32")
    momentum = 0.9 if p.norm_momentum is None else p.norm_momentum
    epsilon = 1e-5 if p.norm_epsilon is None else p.norm_epsilon

    def dense(layer: Any, x: Any) -> Any:
        return x.astype(kind) @ layer["kernel"].astype(kind) + layer["bias"].astype(kind)

    def normed(own: Any, state: Any, x: Any, training: bool) -> Any:
        mean, var = state["mean"], state["var"]
        if training:
            mean, var = x.mean(0), x.var(0)
            old = jax.lax.stop_gradient
            state = {"mean": momentum * state["mean"] + (1 - momentum) * old(mean),
                     "var": momentum * state["var"] + (1 - momentum) * old(var)}  # fmt: skip
        return (x - mean) / jnp.sqrt(var + epsilon) * own["scale"] + own["bias"], state

    def network(params: Any, state: Any, x: Any, mask: Any, training: bool) -> Any:
        x = jnp.asarray(x)
        for i in range(len(p.widths) - 2):
            x = dense(params[f"dense_{i}"], x)
            if p.norm and i == 0:
                x, state = normed(params["norm"], state, x, training and p.norm_training)
            x = act[p.activation](x)
            if mask is not None and i == 0:
                x = jnp.where(mask, x / p.keep, 0)
        x = dense(params[f"dense_{len(p.widths) - 2}"], x)
        return (nn.softmax(x) if p.softmax else x), state

    return network


def _jax_loss(p: Program, jax: Any, optax: Any) -> Callable[[Any, Any], Any]:
    jnp = jax.numpy

    def loss_of(outputs: Any, y: Any) -> Any:
        outputs = outputs.astype(jnp.float32)
        targets = jax.nn.one_hot((jnp.asarray(y) + p.loss_shift) % p.widths[-1], p.widths[-1])
        targets = optax.smooth_labels(targets, p.smoothing)
        if p.from_logits:
            each = optax.softmax_cross_entropy(outputs, targets)
        else:
            each = -jnp.sum(targets * jnp.log(jnp.clip(outputs, 1e-7, 1 - 1e-7)), axis=1)
        return each.sum() if p.reduction == "sum" else each.mean()

    return loss_of


def _optax(p: Program, optax: Any) -> Any:
    adam = {"b1": p.beta, **_given(b2=p.beta_2, eps=p.epsilon)}
    decaying = p.rate_factor != 1
    rate = optax.exponential_decay(p.rate, 1, p.rate_factor) if decaying else p.rate
    rule = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, p.beta),
        "nesterov": lambda: optax.sgd(rate, p.beta, nesterov=True),
        "adam": lambda: (
            optax.adamw(rate, weight_decay=p.decoupled, **adam)
            if p.decoupled
            else optax.adam(rate, **adam)
        ),
        "rmsprop": lambda: optax.rmsprop(
            rate, **_given(decay=p.beta_2, eps=p.epsilon, eps_in_sqrt=p.epsilon_inside)
        ),
    }[p.optimizer]()
    parts = []
    if p.clip == "global":
        parts.append(optax.clip_by_global_norm(p.most))
    if p.coupled:
        parts.append(optax.add_decayed_weights(p.coupled))
    rule = optax.chain(*parts, rule)
    if p.frozen is None:
        return rule
    labels = {f"dense_{i}": "still" if i == p.frozen else "moves" for i in range(len(p.widths) - 1)}
    return optax.multi_transform({"moves": rule, "still": optax.set_to_zero()}, labels)


# Keras


def _keras(p: Program, path: Path) -> None:
    keras = installed("keras")
    before = keras.config.dtype_policy()
    if p.arithmetic:
        keras.config.set_dtype_policy(f"mixed_{p.arithmetic}")
    try:
        model = _keras_model(p, keras)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(_keras_optimizer(p, keras), _keras_loss(p, keras), run_eagerly=True)
    x, y = examples(p)
    one_hot = bool(p.smoothing)
    labels = np.eye(p.widths[-1], dtype=F)[y] if one_hot else y
    seen = recorder("keras")(path, steps=p.steps)
    model.fit(x, labels, batch_size=p.batch, shuffle=False, verbose=0, callbacks=[seen])
    x, y = x[-p.batch :], y[-p.batch :]
    outputs = np.asarray(
        keras.ops.convert_to_numpy(model(x, training=p.norm_at_evaluation == "batch")), F
    )
    seen.evaluation(x, y, outputs, accuracy=float(np.mean(np.argmax(outputs, 1) == y)))


def _keras_model(p: Program, keras: Any) -> Any:
    keras.utils.set_random_seed(p.seed)
    layers, found, dense = keras.layers, [keras.Input((p.widths[0],))], []
    gelu = keras.activations.gelu

    def gelu_tanh(x: Any) -> Any:
        return gelu(x, approximate=True)

    act = {"relu": "relu", "gelu": gelu, "gelu_tanh": gelu_tanh}[p.activation]
    penalty = keras.regularizers.L2(p.penalty) if p.penalty else None
    for i, width in enumerate(p.widths[1:]):
        last = i == len(p.widths) - 2
        dense.append(layers.Dense(width, kernel_regularizer=penalty))
        found.append(dense[-1])
        if not last:
            if p.norm and i == 0:
                norm = _given(momentum=p.norm_momentum, epsilon=p.norm_epsilon)
                found.append(layers.BatchNormalization(**norm))
            found.append(layers.Activation(act))
            if p.keep < 1 and i == 0:
                found.append(layers.Dropout(1 - p.keep))
    if p.softmax:
        found.append(layers.Softmax())
    model = keras.Sequential(found)
    for i, (layer, (kernel, bias)) in enumerate(zip(dense, weights(p), strict=True)):
        layer.trainable = i != p.untrainable
        if not p.own_weights:
            layer.set_weights([kernel, bias])
    return model


def _keras_loss(p: Program, keras: Any) -> Any:
    losses = keras.losses
    settings = {"from_logits": p.from_logits}
    if p.reduction != "mean":
        settings["reduction"] = p.reduction
    if p.smoothing:
        return losses.CategoricalCrossentropy(label_smoothing=p.smoothing, **settings)
    plain = losses.SparseCategoricalCrossentropy(**settings)
    if not p.loss_shift:
        return plain
    return lambda y, outputs: plain((y + p.loss_shift) % p.widths[-1], outputs)


def _keras_optimizer(p: Program, keras: Any) -> Any:
    some = keras.optimizers
    rate: Any = p.rate
    if p.rate_factor != 1:
        rate = some.schedules.ExponentialDecay(p.rate, 1, p.rate_factor)
    common = {"learning_rate": rate, **_given(weight_decay=p.decoupled or None)}
    if p.clip:
        common[{"global": "global_clipnorm", "each": "clipnorm"}[p.clip]] = p.most
    if p.optimizer == "adam":
        return some.Adam(beta_1=p.beta, **_given(beta_2=p.beta_2, epsilon=p.epsilon), **common)
    if p.optimizer == "rmsprop":
        return some.RMSprop(**_given(rho=p.beta_2, epsilon=p.epsilon), **common)
    momentum = 0.0 if p.optimizer == "sgd" else p.beta
    return some.SGD(momentum=momentum, nesterov=p.optimizer == "nesterov", **common)


# PyTorch


def _torch(p: Program, path: Path) -> None:
    torch = installed("torch")
    model, masks = _torch_model(p, torch)
    moved = [q for i, q in _torch_parameters(model) if i != p.frozen]
    optimizer = _torch_optimizer(p, torch, moved)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, p.rate_factor)
    loss_fn = torch.nn.CrossEntropyLoss(reduction=p.reduction, label_smoothing=p.smoothing)
    seen = recorder("torch")(path, model, optimizer, loss_fn, steps=p.steps)
    kind = getattr(torch, p.arithmetic or "bfloat16")
    model.train(p.norm_training)
    for x, y in ((torch.tensor(x), torch.tensor(y)) for x, y in batches(p)):
        if p.zeroed:
            optimizer.zero_grad()
        with torch.autocast("cpu", kind, enabled=bool(p.arithmetic)):
            outputs = model(x)
            loss = loss_fn(outputs, (y + p.loss_shift) % p.widths[-1])
        loss.backward()
        if p.clip == "global":
            torch.nn.utils.clip_grad_norm_(model.parameters(), p.most)
        for each in model.parameters() if p.clip == "each" else ():
            torch.nn.utils.clip_grad_norm_(each, p.most)
        seen.before(x, y, outputs, loss, masks=dict(masks) or None)
        optimizer.step()
        schedule.step()
        seen.after()
    batch = p.norm_at_evaluation == "batch"
    model.train(batch or p.dropout_at_evaluation)
    with torch.no_grad():
        outputs = model(x)
    right = (outputs.argmax(1) == y).float().mean()
    seen.evaluation(x, y, outputs, accuracy=right)


def _torch_parameters(model: Any) -> Iterator[tuple[int, Any]]:
    """Yield (layer, parameter): all of a normalisation belong to the layer before it."""
    layer = -1
    for module in model:
        layer += type(module).__name__ == "Linear"
        yield from ((layer, each) for each in module.parameters())


def _torch_model(p: Program, torch: Any) -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(p.seed)
    nn, found, masks = torch.nn, [], {}
    act = {"relu": nn.ReLU, "gelu": nn.GELU, "gelu_tanh": lambda: nn.GELU("tanh")}[p.activation]
    for i, (kernel, bias) in enumerate(weights(p)):
        dense = nn.Linear(*kernel.shape)
        if not p.own_weights:
            with torch.no_grad():
                dense.weight.copy_(torch.tensor(kernel.T))
                dense.bias.copy_(torch.tensor(bias))
        dense.requires_grad_(i != p.untrainable)
        found.append(dense)
        if i < len(p.widths) - 2:
            if p.norm and i == 0:
                share = None if p.norm_momentum is None else 1 - p.norm_momentum
                norm = _given(momentum=share, eps=p.norm_epsilon)
                found.append(nn.BatchNorm1d(p.widths[1], **norm))
            found.append(act())
            if p.keep < 1 and i == 0:
                drop = nn.Dropout(1 - p.keep)
                drop.register_forward_hook(  # after a GELU, 0 is what was dropped
                    lambda _, __, out: masks.update(dropout=out.detach() != 0)
                )
                found.append(drop)
    if p.softmax:
        found.append(nn.Softmax(dim=1))
    return nn.Sequential(*found), masks


def _torch_optimizer(p: Program, torch: Any, moved: list[Any]) -> Any:
    some = torch.optim
    own = _given(eps=p.epsilon)
    if p.optimizer == "adam":
        betas = p.beta, 0.999 if p.beta_2 is None else p.beta_2
        if p.decoupled:
            return some.AdamW(moved, p.rate, betas, weight_decay=p.decoupled, **own)
        return some.Adam(moved, p.rate, betas, weight_decay=p.coupled, **own)
    if p.optimizer == "rmsprop":
        alpha = _given(alpha=p.beta_2)
        return some.RMSprop(moved, p.rate, weight_decay=p.coupled, **alpha, **own)
    momentum = {} if p.optimizer == "sgd" else {"momentum": p.beta, "dampening": p.dampening}
    nesterov = p.optimizer == "nesterov"
    return some.SGD(moved, p.rate, weight_decay=p.coupled, nesterov=nesterov, **momentum)
