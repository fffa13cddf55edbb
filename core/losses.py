"""Every cross-entropy as one framework or one author computes it.

All of these are the same function on paper. With p = sigmoid(z), for a logit z and a label y,

    binary:   L(z, y) = -y log p - (1 - y) log(1 - p)      dL/dz   = p - y
    softmax:  L(z, y) = log sum_j exp(z_j) - z_y           dL/dz_j = softmax(z)_j - [j = y]

and they differ in what they do with a p that rounds to 0 or 1. Logits have no unit; losses are in
nats. Every function is per example and unreduced, computes in the dtype of the logits unless its
framework computes in another, and takes

    binary:   logits [...],           labels 0/1 [...], epsilon scalar -> loss [...]
    softmax:  logits [..., classes],  labels [...],     epsilon scalar -> loss [...]

Sources: the code of Keras 3.15, TensorFlow 2.21, PyTorch 2.13, JAX 0.10.2, optax 0.2.8,
Theano 0.8.2 with Lasagne 0.1, and the question "JAX vs Keras" with its two functions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from core.registry import Registry, Row

Form = Literal["binary", "softmax"]
LossFunction = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True, kw_only=True)
class Loss(Row):
    """A cross-entropy as somebody computes it; functions as the module docstring describes them."""

    failure: str  # the failure to expect, one sentence
    binary: LossFunction | None
    softmax: LossFunction | None
    epsilon: float | None = None  # the source's own; None where the row ignores epsilon
    clip_range: Callable[[float], tuple[float, float]] | None = None  # where p is clipped to
    reproduces: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


# --- shared pieces -------------------------------------------------------------------------------
#
# optimization_barrier appears where the compiler would otherwise "simplify" the very thing shown.


def _one_hot(labels: Array, logits: Array) -> Array:
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    # Without the barrier a product with 0 and 1 becomes a choice, and 0 * inf = NaN becomes 0.
    return jax.lax.optimization_barrier(one_hot)


def _pick(values: Array, labels: Array) -> Array:
    """values[..., label]: what frameworks with integer labels do instead of a one-hot sum."""
    index = jnp.expand_dims(labels.astype(jnp.int32), -1)
    return jnp.squeeze(jnp.take_along_axis(values, index, axis=-1), -1)


def _upcast(z: Array) -> Array:
    """To float32, in which TensorFlow and PyTorch compute inside many a 16-bit kernel."""
    return z.astype(jnp.float32) if z.dtype.itemsize < 4 else z


def _log_loss(p: Array, labels: Array, log: Callable[[Array], Array] = jnp.log) -> Array:
    """-(y log p + (1 - y) log(1 - p)), as written: 0 times infinity is NaN."""
    y = labels.astype(p.dtype)
    return -(y * log(p) + (1 - y) * log(1 - p))


def _one_hot_log_loss(p: Array, labels: Array, log: Callable[[Array], Array] = jnp.log) -> Array:
    """-sum_j [j = y] log p_j, as written: 0 times infinity is NaN."""
    return -jnp.sum(_one_hot(labels, p) * log(p), axis=-1)


def _clip_inclusive(p: Array, low: Array, high: Array) -> Array:
    """Clip as TensorFlow and PyTorch do: at an edge the gradient passes whole.

    jnp.clip halves it there.
    """
    return jnp.where(p < low, low, jnp.where(p > high, high, p))


def _edges(epsilon: Array, like: Array) -> tuple[Array, Array]:
    """(epsilon, 1 - epsilon) in the dtype of `like`, where 1 - epsilon may round to 1."""
    low = jnp.asarray(epsilon).astype(like.dtype)
    return low, 1 - low


def _from_sigmoid(z: Array, labels: Array) -> Array:
    """max(z, 0) - z y + log1p(exp(-|z|)): the binary loss with no p in it.

    [z >= 0] - y is formed first, so that the gradient never takes p from 1.
    """
    positive = z >= 0
    slope = positive.astype(z.dtype) - labels.astype(z.dtype)
    return z * slope + jnp.log1p(jnp.exp(jnp.where(positive, -z, z)))


def _sigmoid(z: Array) -> Array:
    # Without the barrier the compiler turns 1 / p into 1 + exp(-z), which is finite where p is 0.
    return jax.lax.optimization_barrier(jax.nn.sigmoid(z))


def _softmax(z: Array) -> Array:
    return jax.lax.optimization_barrier(jax.nn.softmax(z))


def _renormalise(p: Array) -> Array:
    """Keras divides what it is given by its sum, so that each row sums to 1 (again)."""
    return p / jnp.sum(p, axis=-1, keepdims=True)


def _keras_mean(loss: Array) -> Array:
    """keras.losses.binary_crossentropy ends in keras.ops.mean: float32 even for float64.

    So on JAX and PyTorch; not on TensorFlow.
    """
    return loss.astype(jnp.float32).astype(loss.dtype)


# --- naive, clipped, and the question's ----------------------------------------------------------


def _naive(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _log_loss(_sigmoid(logits), labels)


def _naive_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _one_hot_log_loss(_softmax(logits), labels)


def _naive_exp_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    # Two calls of exp, as people write it; the barrier keeps the compiler from sharing them, which
    # would add the two halves of the gradient before the product with exp instead of after it.
    total = jnp.sum(jnp.exp(jax.lax.optimization_barrier(logits)), axis=-1, keepdims=True)
    return _one_hot_log_loss(jax.lax.optimization_barrier(jnp.exp(logits) / total), labels)


def _clip_binary(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _log_loss(jnp.clip(_sigmoid(logits), *_edges(epsilon, logits)), labels)


def _clip_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _one_hot_log_loss(jnp.clip(_softmax(logits), *_edges(epsilon, logits)), labels)


def _question_stable(logits: Array, labels: Array, epsilon: Array) -> Array:
    low = jnp.asarray(epsilon).astype(logits.dtype)
    p = jnp.clip(_sigmoid(logits), low, 1 - low / 10)
    y = labels.astype(p.dtype)
    z = jnp.log(p / (1 - p))
    m = jnp.clip(z, 0, None)
    return z - z * y + m + jnp.log(jnp.exp(-m) + jnp.exp(-z - m))


# --- Keras on JAX, and optax ---------------------------------------------------------------------


def _keras_jax(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _keras_mean(_clip_binary(logits, labels, epsilon))


def _keras_jax_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _renormalise(_softmax(logits))
    return _one_hot_log_loss(jnp.clip(p, *_edges(epsilon, logits)), labels)


def _keras_jax_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _keras_mean(optax.sigmoid_binary_cross_entropy(logits, labels))


def _log_softmax_one_hot(logits: Array, labels: Array, epsilon: Array) -> Array:
    return optax.softmax_cross_entropy(logits, _one_hot(labels, logits))


def _optax(logits: Array, labels: Array, epsilon: Array) -> Array:
    return optax.sigmoid_binary_cross_entropy(logits, labels)


def _optax_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels.astype(jnp.int32))


# --- TensorFlow ----------------------------------------------------------------------------------


@jax.custom_jvp
def _tf_sigmoid(z: Array) -> Array:
    """e / (1 + e) with e = exp(z), as TensorFlow's CPU kernel.

    It is 1 where e overflows; in float32 already from e = 2^24, where 1 + e starts to round.
    """
    e = jnp.exp(z)
    last = 2**24 if z.dtype == jnp.float32 else jnp.finfo(z.dtype).max
    return jnp.where(e > last, 1, e / (1 + e))


@_tf_sigmoid.defjvp
def _tf_sigmoid_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    p = _tf_sigmoid(*primals)
    return p, tangents[0] * p * (1 - p)


@jax.custom_jvp
def _tf_log(x: Array) -> Array:
    return jnp.log(x)


@_tf_log.defjvp
def _tf_log_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """TensorFlow multiplies by 1/x, which in float16 is inf below 1.53e-5: then 0 * inf is NaN."""
    return _tf_log(*primals), tangents[0] * (1 / primals[0])


def _tf_softmax(logits: Array) -> Array:
    return _softmax(_upcast(logits)).astype(logits.dtype)


def _keras_tf_hidden(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _clip_inclusive(_tf_sigmoid(logits), *_edges(epsilon, logits))
    return _log_loss(p, labels, _tf_log)


def _keras_tf_hidden_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _renormalise(_tf_softmax(logits))
    return _one_hot_log_loss(_clip_inclusive(p, *_edges(epsilon, logits)), labels, _tf_log)


def _tf_softmax_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    return -_pick(jax.nn.log_softmax(_upcast(logits)), labels).astype(logits.dtype)


def _keras1_tf(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _clip_inclusive(_sigmoid(logits), *_edges(epsilon, logits))
    return _from_sigmoid(jnp.log(p / (1 - p)), labels)


# --- PyTorch -------------------------------------------------------------------------------------


@jax.custom_jvp
def _torch_sigmoid(z: Array) -> Array:
    return _sigmoid(_upcast(z)).astype(z.dtype)


@_torch_sigmoid.defjvp
def _torch_sigmoid_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    p = _torch_sigmoid(*primals)
    return p, tangents[0] * ((1 - p) * p)


# PyTorch's 1e-12, which is a float32 number in every dtype.
_TORCH_FLOOR = float(jnp.float32(1e-12))


@jax.custom_jvp
def _torch_bce_of_p(p: Array, y: Array) -> Array:
    """torch.nn.functional.binary_cross_entropy: each log is held at -100 or above."""
    return (y - 1) * jnp.maximum(jnp.log1p(-p), -100) - y * jnp.maximum(jnp.log(p), -100)


@_torch_bce_of_p.defjvp
def _torch_bce_of_p_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """PyTorch's own backward, not the derivative of its forward."""
    p, y = primals
    floor = jnp.asarray(_TORCH_FLOOR, p.dtype)
    return _torch_bce_of_p(p, y), tangents[0] * ((p - y) / jnp.maximum((1 - p) * p, floor))


@jax.custom_jvp
def _torch_bce_tail(z: Array) -> Array:
    """-log p where p is below 1e-12, whose gradient by z is then -1e12 p."""
    return -z


@_torch_bce_tail.defjvp
def _torch_bce_tail_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    root = jnp.exp(_upcast(primals[0]) / 2)  # p itself would be flushed to 0
    return -primals[0], tangents[0] * (-root / _TORCH_FLOOR * root).astype(primals[0].dtype)


def _torch_bce(logits: Array, labels: Array, epsilon: Array) -> Array:
    p, y = _torch_sigmoid(logits), labels.astype(logits.dtype)
    # From z = -88.72 to -87.34 PyTorch's float32 p is subnormal; XLA on the CPU flushes it to 0.
    flushed = (p == 0) & jnp.isfinite(jnp.exp(-logits))
    tail = y * _torch_bce_tail(jnp.where(flushed, logits, 0))
    return jnp.where(flushed, tail, _torch_bce_of_p(p, y))


def _keras_torch(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _clip_inclusive(_torch_sigmoid(logits), *_edges(epsilon, logits))
    return _keras_mean(_torch_bce_of_p(p, labels.astype(p.dtype)))


def _keras_torch_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _renormalise(_tf_softmax(logits))
    return -_pick(jnp.log(_clip_inclusive(p, *_edges(epsilon, logits))), labels)


@jax.custom_jvp
def _torch_bce_with_logits(z: Array, y: Array) -> Array:
    log_sigmoid = jnp.minimum(z, 0) - jnp.log1p(jnp.exp(-jnp.abs(z)))
    return (1 - y) * z - log_sigmoid


@_torch_bce_with_logits.defjvp
def _torch_bce_with_logits_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    z, y = primals
    return _torch_bce_with_logits(z, y), tangents[0] * (_torch_sigmoid(z) - y)


def _torch_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _torch_bce_with_logits(logits, labels.astype(logits.dtype))


@jax.custom_jvp
def _torch_log_softmax(logits: Array) -> Array:
    return jax.nn.log_softmax(logits)


@_torch_log_softmax.defjvp
def _torch_log_softmax_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """PyTorch's backward takes p as exp of the rounded log-probability."""
    log_p = _torch_log_softmax(*primals)
    (t,) = tangents
    return log_p, t - jnp.sum(jnp.exp(log_p) * t, axis=-1, keepdims=True)


def _torch_cross_entropy(logits: Array, labels: Array, epsilon: Array) -> Array:
    return -_pick(_torch_log_softmax(logits), labels)


# --- Theano and MXNet ----------------------------------------------------------------------------


@jax.custom_jvp
def _theano_one_hot_loss(logits: Array, labels: Array) -> Array:
    return -_pick(jax.nn.log_softmax(logits), labels)


@_theano_one_hot_loss.defjvp
def _theano_one_hot_loss_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """SoftmaxGrad applied to -y / p: 0 / 0 as soon as one class has p rounded to 0."""
    logits, labels = primals
    p = _softmax(logits)
    dp = -_one_hot(labels, logits) / p
    gradient = dp * p - jnp.sum(dp * p, axis=-1, keepdims=True) * p
    return _theano_one_hot_loss(logits, labels), jnp.sum(gradient * tangents[0], axis=-1)


def _theano_one_hot(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _theano_one_hot_loss(logits, labels)


def _theano_int(logits: Array, labels: Array, epsilon: Array) -> Array:
    return jax.nn.logsumexp(logits, axis=-1) - _pick(logits, labels)


def _mxnet(logits: Array, labels: Array, epsilon: Array) -> Array:
    p = _sigmoid(logits)
    e = jnp.asarray(epsilon).astype(p.dtype)
    return _log_loss(p, labels, lambda x: jnp.log(x + e))


# --- exact ---------------------------------------------------------------------------------------


def _from_logits(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _from_sigmoid(logits, labels)


def _softmax_parts(logits: Array, labels: Array) -> tuple[Array, Array]:
    """The loss, and p of every class but the label's (0 there), with nothing taken from 1."""
    d = logits - jnp.max(logits, axis=-1, keepdims=True)
    others = jnp.where(_one_hot(labels, d) == 1, 0, jnp.exp(d))
    rest, own = jnp.sum(others, axis=-1), _pick(d, labels)
    loss = jnp.where(own == 0, jnp.log1p(rest), jnp.log(rest + jnp.exp(own)) - own)
    return loss, others / jnp.expand_dims(rest + jnp.exp(own), -1)


@jax.custom_jvp
def _softmax_from_logits(logits: Array, labels: Array) -> Array:
    return _softmax_parts(logits, labels)[0]


@_softmax_from_logits.defjvp
def _softmax_from_logits_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """p - y with the label's entry as minus the sum of the others, so that it never cancels."""
    logits, labels = primals
    loss, others = _softmax_parts(logits, labels)
    (t, _) = tangents
    return loss, jnp.sum(others * (t - jnp.expand_dims(_pick(t, labels), -1)), axis=-1)


def _from_logits_softmax(logits: Array, labels: Array, epsilon: Array) -> Array:
    return _softmax_from_logits(logits, labels)


# --- the table -----------------------------------------------------------------------------------


def _symmetric(epsilon: float) -> tuple[float, float]:
    return epsilon, 1 - epsilon


_KERAS = "Keras 3.15 binary_crossentropy and categorical_crossentropy"

LOSSES: Registry[Loss] = Registry(
    "losses",
    [
        Loss(
            key="naive_exp",
            label="Naive, exp over its sum",
            latex=r"-\log\frac{e^{z_y}}{\sum_j e^{z_j}}",
            summary="Softmax as exp(z) over its sum, no maximum subtracted, and then the log.",
            failure="exp overflows float32 past a logit of 88.7, and the loss is NaN.",
            reference="The formula as a first try writes it; measured on JAX 0.10.2",
            binary=None,
            softmax=_naive_exp_softmax,
            reproduces={"jax_naive_exp_norm_log": 1e-7},
        ),
        Loss(
            key="naive",
            label="Naive",
            latex=r"-y\log p-(1-y)\log(1-p),\quad p=\sigma(z)",
            summary="The textbook formula, on a probability that has already been rounded.",
            failure=(
                "float32 rounds p to 1 from z = 16.64 and to 0 below z = -87.34: inf when wrong, "
                "NaN even when right."
            ),
            reference="The question's first function; measured on JAX 0.10.2",
            binary=_naive,
            softmax=_naive_softmax,
            reproduces={"jax_naive": 1e-7, "jax_naive_softmax_log": 1e-7},
        ),
        Loss(
            key="theano_onehot",
            label="Lasagne on Theano, one-hot labels",
            latex=r"\log\sum_j e^{z_j}-z_y,\quad\nabla=\mathrm{SoftmaxGrad}(-y/p)",
            summary="Theano makes the forward pass stable and leaves the naive backward pass.",
            failure="The loss stays finite while the gradient is NaN: 0/0 once any p rounds to 0.",
            reference="Lasagne 0.1 on Theano 0.8.2, FAST_RUN; Lasagne issue 567",
            binary=None,
            softmax=_theano_one_hot,
        ),
        Loss(
            key="clip",
            label="Clip, then naive",
            latex=(
                r"-y\log q-(1-y)\log(1-q),\quad "
                r"q=\mathrm{clip}(p,\varepsilon,1-\varepsilon)"
            ),
            summary="Hold p inside [epsilon, 1 - epsilon], then take the logs.",
            failure=(
                "Outside the clip the gradient is exactly 0: with epsilon 1e-7 in float32, "
                "z above 16.64 or below -16.12 stops teaching."
            ),
            reference="Measured on JAX 0.10.2 (jnp.clip)",
            binary=_clip_binary,
            softmax=_clip_softmax,
            epsilon=1e-7,
            clip_range=_symmetric,
            reproduces={
                "jax_clip_1e-7": 1e-7,
                "jax_clip_1e-8": 1e-8,
                "jax_softmax_clip_1e-7": 1e-7,
            },
        ),
        Loss(
            key="question_stable",
            label='The question\'s "stable" loss',
            latex=(
                r"\hat z-\hat z y+m+\log(e^{-m}+e^{-\hat z-m}),\quad "
                r"\hat z=\log\tfrac{q}{1-q},\ m=\max(\hat z,0),\ "
                r"q=\mathrm{clip}(p,\varepsilon,1-\tfrac{\varepsilon}{10})"
            ),
            summary="Clip p, turn it back into a logit, then use a stable formula on that logit.",
            failure=(
                "The gradient is exactly 0 for z up to -13.816 and from 16.636 in float32, "
                "and half of what it should be on 15.54 to 16.64."
            ),
            reference="The question's binary_cross_entropy_stable; measured on JAX 0.10.2",
            binary=_question_stable,
            softmax=None,
            epsilon=1e-6,
            clip_range=lambda epsilon: (epsilon, 1 - epsilon / 10),
            reproduces={"jax_stable_q": 1e-6},
        ),
        Loss(
            key="keras_jax",
            label="Keras 3 on JAX",
            latex=r"-y\log q-(1-y)\log(1-q),\quad q=\mathrm{clip}(p,10^{-7},1-10^{-7})",
            summary="Keras clips the probability to its epsilon; it cannot see the logits.",
            failure=(
                "In float32 the gradient is exactly 0 from z = 16.64 when y = 0 and up to -16.12 "
                "when y = 1, and half just before the upper edge."
            ),
            reference=_KERAS + ", from_logits=False, on JAX 0.10.2",
            binary=_keras_jax,
            softmax=_keras_jax_softmax,
            epsilon=1e-7,
            clip_range=_symmetric,
            reproduces={
                "keras_jax_sigmoid_probs": 1e-7,
                "keras_jax_cce_softmax_probs": 1e-7,
                "keras_jax_scce_softmax_probs": 1e-7,
            },
        ),
        Loss(
            key="keras_torch",
            label="Keras 3 on PyTorch",
            latex=r"\mathrm{BCELoss}(q,y),\quad q=\mathrm{clip}(p,10^{-7},1-10^{-7})",
            summary="Keras clips the probability, then calls PyTorch's own loss on it.",
            failure=(
                "In float32 the gradient is exactly 0 from z = 16.64 when y = 0 and up to -16.12 "
                "when y = 1."
            ),
            reference=_KERAS + ", from_logits=False, on PyTorch 2.13",
            binary=_keras_torch,
            softmax=_keras_torch_softmax,
            epsilon=1e-7,
            clip_range=_symmetric,
            reproduces={"keras_torch_sigmoid_probs": 1e-7},
        ),
        Loss(
            key="keras_tf_hidden",
            label="Keras 3 on TensorFlow, logits hidden",
            latex=r"-y\log q-(1-y)\log(1-q),\quad q=\mathrm{clip}(p,10^{-7},1-10^{-7})",
            summary=(
                "With any layer between the sigmoid and the loss, even one that does nothing, "
                "Keras cannot find the logits and clips."
            ),
            failure="In float32 the gradient is exactly 0 past about 16.2 on either side.",
            reference=_KERAS + ", from_logits=False after an identity op, on TensorFlow 2.21",
            binary=_keras_tf_hidden,
            softmax=_keras_tf_hidden_softmax,
            epsilon=1e-7,
            clip_range=_symmetric,
            reproduces={"keras_tf_sigmoid_probs_identity": 1e-7},
        ),
        Loss(
            key="keras1_tf",
            label="Keras 1.0 to 2.2.4 on TensorFlow",
            latex=(
                r"\max(\hat z,0)-\hat z y+\log(1+e^{-|\hat z|}),\quad "
                r"\hat z=\log\tfrac{q}{1-q}"
            ),
            summary="Clip p, turn it back into a logit, and hand that to TensorFlow's stable loss.",
            failure="The stable loss comes too late: in float32 the gradient is 0 past about 16.1.",
            reference="Keras 1.0 to 2.2.4, TensorFlow backend; read in source, not run",
            binary=_keras1_tf,
            softmax=None,
            epsilon=1e-7,
            clip_range=_symmetric,
        ),
        Loss(
            key="mxnet",
            label="MXNet Gluon, from_sigmoid",
            latex=r"-y\log(p+\varepsilon)-(1-y)\log(1-p+\varepsilon)",
            summary="Add a tiny epsilon inside each log instead of clipping.",
            failure=(
                "The loss stays finite, but in float32 the gradient is 0 from z = 16.64 when "
                "y = 0; in float16 1e-12 is 0 and nothing is protected."
            ),
            reference="MXNet Gluon SigmoidBinaryCrossEntropyLoss; read in source, not run",
            binary=_mxnet,
            softmax=None,
            epsilon=1e-12,
        ),
        Loss(
            key="torch_bce",
            label="PyTorch BCELoss",
            latex=(
                r"-y\max(\log p,-100)-(1-y)\max(\log(1-p),-100),\quad "
                r"\frac{dL}{dp}=\frac{p-y}{\max(p(1-p),10^{-12})}"
            ),
            summary="Hold each log at -100 or above, and use a hand-written gradient.",
            failure=(
                "In float32, y = 0: the loss jumps to 100 with gradient 0 from z = 16.64; "
                "y = 1: the gradient decays from z = -27.6."
            ),
            reference="torch.nn.BCELoss, PyTorch 2.13",
            binary=_torch_bce,
            softmax=None,
        ),
        Loss(
            key="theano_int",
            label="Lasagne on Theano, integer labels",
            latex=r"\log\sum_j e^{z_j}-z_y",
            summary="With integer labels Theano recognises the pattern, forward and backward.",
            failure="None for the gradient; a loss much smaller than the logits rounds to 0.",
            reference="Lasagne 0.1 on Theano 0.8.2; Lasagne issue 567",
            binary=None,
            softmax=_theano_int,
            reproduces={"jax_logits_minus_logsumexp": 1e-7},
        ),
        Loss(
            key="torch_bce_logits",
            label="PyTorch BCEWithLogitsLoss and CrossEntropyLoss",
            latex=r"(1-y)z-\log\sigma(z)",
            summary="PyTorch's losses on logits: log-sigmoid, and log-softmax.",
            failure="None for the gradient; a loss below about 4e-7 may round to 0.",
            reference="torch.nn.BCEWithLogitsLoss and CrossEntropyLoss, PyTorch 2.13",
            binary=_torch_logits,
            softmax=_torch_cross_entropy,
        ),
        Loss(
            key="optax",
            label="optax",
            latex=r"-y\log\sigma(z)-(1-y)\log\sigma(-z)",
            summary="optax's losses on logits; with classes, log-sum-exp minus the label's logit.",
            failure="None for the gradient; with classes, a loss near 0 may round to 0.",
            reference=(
                "optax 0.2.8 sigmoid_binary_cross_entropy and "
                "softmax_cross_entropy_with_integer_labels"
            ),
            binary=_optax,
            softmax=_optax_softmax,
            reproduces={"optax_sigmoid_bce": 1e-7, "optax_softmax_ce_int": 1e-7},
        ),
        Loss(
            key="keras_jax_logits",
            label="Keras 3 on JAX, from_logits=True",
            latex=r"-y\log\sigma(z)-(1-y)\log\sigma(-z)",
            summary="The same Keras, told that it is given logits: log-sigmoid and log-softmax.",
            failure="None for the gradient.",
            reference=_KERAS + ", from_logits=True, on JAX 0.10.2; optax 0.2.8",
            binary=_keras_jax_logits,
            softmax=_log_softmax_one_hot,
            reproduces={
                "keras_jax_from_logits": 1e-7,
                "keras_jax_cce_from_logits": 1e-7,
                "keras_jax_scce_from_logits": 1e-7,
                "optax_softmax_ce": 1e-7,
            },
        ),
        Loss(
            key="keras_tf",
            label="Keras 3 on TensorFlow",
            latex=r"\max(z,0)-zy+\log(1+e^{-|z|})",
            summary="Keras finds the logits behind the sigmoid or softmax, and uses those.",
            failure="None, until an op in between hides the logits.",
            reference=_KERAS + ", from_logits=False, on TensorFlow 2.21",
            binary=_from_logits,
            softmax=_tf_softmax_logits,
            reproduces={
                "keras_tf_sigmoid_probs": 1e-7,
                "keras_tf_cce_softmax_probs": 1e-7,
                "keras_tf_cce_from_logits": 1e-7,
            },
        ),
        Loss(
            key="from_logits",
            label="From logits",
            latex=r"\max(z,0)-zy+\log(1+e^{-|z|})",
            summary="Work on the logit itself: the probability is never formed, so never rounded.",
            failure="None: the gradient is p - y at every logit, to the last bits.",
            reference="Keras 3.15 binary_crossentropy, from_logits=True, on TensorFlow 2.21",
            binary=_from_logits,
            softmax=_from_logits_softmax,
            reproduces={"keras_tf_from_logits": 1e-7},
        ),
    ],
)


def losses_for(form: Form) -> tuple[str, ...]:
    """The keys of the rows that have this form, in the table's order."""
    return tuple(key for key, row in LOSSES.items() if getattr(row, form) is not None)


def with_grad(
    function: LossFunction,
) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """From a row's function, one that returns the loss and d loss_i / d logits_i, per example."""

    def run(logits: Array, labels: Array, epsilon: Array) -> tuple[Array, Array]:
        loss, pull_back = jax.vjp(lambda z: function(z, labels, epsilon), logits)
        # An example's loss depends on its own logits only, so a cotangent of ones gives every
        # example's gradient at once.
        (gradient,) = pull_back(jnp.ones_like(loss))
        return loss, gradient

    return run


def loss_and_grad(
    form: Form, index: Array | int, logits: Array, labels: Array, epsilon: Array | float
) -> tuple[Array, Array]:
    """Loss per example and its derivative by that example's own logits, for the chosen row.

    Args:
      form: "binary" (logits [...], labels 0/1 [...]) or "softmax" (logits [..., classes],
        integer labels [...]).
      index: position in `losses_for(form)`, which may be traced. Each branch takes its own
        gradient, so that mapping over `index` selects among results: differentiating a mapped
        switch would multiply the NaN of a row that was not chosen by 0.
      epsilon: scalar, ignored by the rows whose `epsilon` is None.

    Returns:
      loss [...] in nats, gradient [like logits] in nats per logit.
    """
    branches = [with_grad(getattr(LOSSES[key], form)) for key in losses_for(form)]
    return jax.lax.switch(index, branches, logits, labels, jnp.asarray(epsilon))
