"""NORMALISATIONS: what a hidden layer's sums pass through before their activation.

BatchNorm takes a mean and a variance of each unit over the batch, and keeps running averages of
both for test time; LayerNorm takes those of each example over its units. Means, variances and
running averages are computed in float32 at least, whatever the format of the units, as Keras and
PyTorch do; only the result is rounded to that format.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from core.registry import Registry, Row

# The settings of a normalisation, which only dense hidden layers have.
NORM_FIELDS = ("normalisation", "norm_momentum", "norm_epsilon", "norm_variance", "norm_test")


class Moments(NamedTuple):
    """Each unit's moments, over a batch or as running averages: float32 or float64 [width]."""

    mean: Array
    variance: Array  # a batch's is the mean square from its mean, over n


class Norm(NamedTuple):
    """The numbers of one pass."""

    epsilon: Any
    running: Sequence[Any] = ()  # Moments of each hidden layer at test time; none in training
    own: Any = True  # whether a batch is normalised by its own moments, at test time too


@dataclass(frozen=True, kw_only=True)
class Normalisation(Row):
    """A normalisation of x [batch, width]; one with a `test_batch` keeps running averages."""

    settings: tuple[str, ...] = ()  # those of NORM_FIELDS that it uses
    weights: Callable[[int], tuple[Array, ...]]  # width -> beta and gamma, as they start
    start: Callable[[int, Any], Any]  # width, format -> the running averages, as they start
    # x, weights, norm, place among the hidden layers -> the result, and the Moments of the batch
    normalise: Callable[..., tuple[Array, Any]]
    test_batch: int | None = None  # images evaluated together, as for a Model


def _wide(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _batch_norm(
    x: Array, weights: tuple[Array, Array], norm: Norm, place: int
) -> tuple[Array, Moments]:
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, in float32 at least."""
    numbers, (beta, gamma) = _wide(x), map(_wide, weights)
    batch = used = Moments(jnp.mean(numbers, axis=0), jnp.var(numbers, axis=0))
    if norm.running:
        kept = norm.running[place]
        used = Moments(*(jnp.where(norm.own, *each) for each in zip(batch, kept, strict=True)))
    epsilon = jnp.asarray(norm.epsilon, numbers.dtype)
    scaled = (numbers - used.mean) * lax.rsqrt(used.variance + epsilon)
    return (gamma * scaled + beta).astype(x.dtype), batch


def _layer_norm(
    x: Array, weights: tuple[Array, Array], norm: Norm, place: int
) -> tuple[Array, tuple[()]]:
    """The same over the units of each example, which is the same at test time."""
    numbers, (beta, gamma) = _wide(x), map(_wide, weights)
    mean = jnp.mean(numbers, axis=1, keepdims=True)
    variance = jnp.var(numbers, axis=1, keepdims=True)
    scaled = (numbers - mean) * lax.rsqrt(variance + jnp.asarray(norm.epsilon, numbers.dtype))
    return (gamma * scaled + beta).astype(x.dtype), ()


NORMALISATIONS = Registry(
    "normalisation",
    [
        Normalisation(
            key="none",
            label="none",
            summary="The activation is given the sums as they are.",
            weights=lambda width: (),
            start=lambda width, dtype: (),
            normalise=lambda x, weights, norm, place: (x, ()),
        ),
        Normalisation(
            key="batch_norm",
            label="BatchNorm",
            latex=r"\gamma\,(x - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta",
            summary="Each unit's sums get mean 0 and variance 1 over the batch, then a scale γ and "
            "a shift β that are trained. Running averages of μ and σ² stand in at test time.",
            reference="Ioffe and Szegedy, 2015; keras.layers.BatchNormalization, Keras 3.15; "
            "torch.nn.BatchNorm1d, PyTorch 2.13",
            settings=NORM_FIELDS[1:],
            weights=lambda width: (jnp.zeros(width), jnp.ones(width)),
            start=lambda width, dtype: Moments(jnp.zeros(width, dtype), jnp.ones(width, dtype)),
            normalise=_batch_norm,
            test_batch=100,  # as the CNN's, for those that are normalised by their own moments
        ),
        Normalisation(
            key="layer_norm",
            label="LayerNorm",
            latex=r"\gamma\,(x - \mu)/\sqrt{\sigma^2 + \epsilon} + \beta",
            summary="Each example's sums get mean 0 and variance 1 over the layer's units, then "
            "every unit its scale γ and its shift β, which are trained. The same at test time.",
            reference="Ba, Kiros and Hinton, 2016; keras.layers.LayerNormalization, Keras 3.15; "
            "torch.nn.LayerNorm, PyTorch 2.13",
            settings=("norm_epsilon",),
            weights=lambda width: (jnp.zeros(width), jnp.ones(width)),
            start=lambda width, dtype: (),
            normalise=_layer_norm,
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class Variance(Row):
    """Which variance of a batch goes into the running average."""

    factor: Callable[[int], float]  # examples in the batch -> what its variance is multiplied by


NORM_VARIANCES = Registry(
    "variance that BatchNorm keeps",
    [
        Variance(
            key="biased",
            label="over n",
            latex=r"\frac1n\sum_i(x_i - \mu)^2",
            summary="The running average is of the variance that training divides by.",
            reference="keras.layers.BatchNormalization, Keras 3.15; flax.linen.BatchNorm, "
            "Flax 0.12",
            factor=lambda n: 1.0,
        ),
        Variance(
            key="unbiased",
            label="over n - 1",
            latex=r"\frac1{n-1}\sum_i(x_i - \mu)^2",
            summary="The running average is of n/(n - 1) times that, which training does not use. "
            "PyTorch refuses a batch of one; here its variance is 0.",
            reference="torch.nn.BatchNorm1d, PyTorch 2.13",
            factor=lambda n: n / max(n - 1, 1),
        ),
    ],
)


@dataclass(frozen=True, kw_only=True)
class AtTest(Row):
    """What test images are normalised by."""

    own: bool  # whether by the moments of the batch that they are tested in


NORM_TESTS = Registry(
    "BatchNorm at test time",
    [
        AtTest(
            key="running",
            label="running averages",
            summary="An image's answer does not depend on the others.",
            reference="evaluate and predict, Keras 3.15; model.eval(), PyTorch 2.13",
            own=False,
        ),
        AtTest(
            key="batch",
            label="the test batch's own",
            summary="Images are tested a hundred at a time, and each changes the others' answers.",
            reference="jax.example_libraries.stax, JAX 0.10.2; PyTorch 2.13 where model.eval() is "
            "never called",
            own=True,
        ),
    ],
)


def averaged(
    running: Sequence[Moments], batch: Sequence[Moments], momentum: Any, factor: Any
) -> tuple[Moments, ...]:
    """The running averages after a batch: m running + (1 - m) batch, of each hidden layer.

    `running` and `batch` are Moments of each layer. The batch's variance is multiplied by `factor`
    first.
    """

    def layer(old: Moments, new: Moments) -> Moments:
        m = jnp.asarray(momentum, old.mean.dtype)
        new = Moments(new.mean, jnp.asarray(factor, old.mean.dtype) * new.variance)
        return Moments(*(m * a + (1 - m) * b for a, b in zip(old, new, strict=True)))

    return tuple(layer(old, new) for old, new in zip(running, batch, strict=True))
