"""A convolution whose gradients are fast inside a compiled loop, too.

x is [batch, height, width, channels], a kernel [rows, columns, channels, filters]; one stride is
for both directions and the padding is "SAME", so that the result is [batch, ⌈height / stride⌉,
⌈width / stride⌉, filters].

On a CPU, XLA's fast code wants the axes in this order: examples, height, width and channels; rows,
columns, channels and filters. JAX writes the gradients in other orders. XLA reorders those of a
program's outermost computation and leaves those in the body of a loop to a plain and slow one
(xla/service/cpu/conv_canonicalization.cc; github.com/jax-ml/jax/issues/12868).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from core.registry import Registry, Row

Pads = tuple[tuple[int, int], ...]  # zeros before and after, of height and of width


def xla(x: Array, kernel: Array, stride: int, around: bool = False) -> Array:
    """Convolve as stax.Conv does, with the gradients that JAX derives."""
    return _convolved(x, kernel, stride, _pads(x, kernel, stride, around))


def convolve(x: Array, kernel: Array, stride: int, around: bool = False) -> Array:
    """Convolve with the gradients that are fast here: the same numbers as `xla`, up to rounding.

    A step of the CNN over 100 pictures took 18.7 ms of CPU in a compiled loop and 19.9 in a program
    of its own; with `xla` it took 24.5 there, and 280 in the loop. As slices or a gathered index
    and one product, the dearest convolution took two to three times as long.
    Places in the kernel that meet nothing but padding, as in pictures of height 1, are left out
    (two cores, JAX 0.10.2).
    """
    if jax.default_backend() != "cpu":
        return xla(x, kernel, stride, around)
    pads = _pads(x, kernel, stride, around)
    met = [
        _met(pixels, places, stride, before)
        for pixels, places, (before, _) in zip(x.shape[1:3], kernel.shape, pads, strict=False)
    ]
    left = tuple(
        (before - places.start, after - (size - places.stop))
        for (before, after), places, size in zip(pads, met, kernel.shape, strict=False)
    )
    rows, columns = (slice(places.start, places.stop) for places in met)
    return _in_order(x, kernel[rows, columns], stride, left)


def add_biases(x: Array, biases: Array) -> Array:
    """x [batch, height, width, filters] + biases [1, 1, 1, filters], with a gradient fast here."""
    return _biased(x, biases) if by_product(x) else x + biases


def by_product(x: Array) -> bool:
    """Whether `total` is fast here and rounds like a sum: on a CPU, and with 32 bits or more."""
    return jax.default_backend() == "cpu" and x.dtype.itemsize >= jnp.dtype(jnp.float32).itemsize


def total(x: Array) -> Array:
    """The sums over all axes but the last, as a product with ones; XLA sums in small windows."""
    rows = x.reshape(-1, x.shape[-1])
    return jnp.ones(len(rows), x.dtype) @ rows


@jax.custom_vjp
def _biased(x: Array, biases: Array) -> Array:
    return x + biases


_biased.defvjp(
    lambda x, biases: (x + biases, biases),
    lambda biases, slope: (slope, total(slope).reshape(biases.shape)),
)


def reach(output: int, pixels: int, places: int, stride: int) -> range:
    """The pixels along one direction that an output is computed from, "SAME" padding included."""
    ((before, _),) = lax.padtype_to_pads((pixels,), (places,), (stride,), "SAME")
    start = stride * output - before
    return range(start, start + places)


def _pads(x: Array, kernel: Array, stride: int, around: bool) -> Pads:
    if around:
        return tuple((size // 2, size // 2) for size in kernel.shape[:2])
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (stride, stride), "SAME")
    return tuple((before, after) for before, after in pads)


def _met(pixels: int, places: int, stride: int, before: int) -> range:
    """The places in a kernel that meet a pixel, along one direction of the padded picture."""
    last = stride * (-(-pixels // stride) - 1)  # where the last output starts
    return range(max(0, before - last), min(places, before + pixels))


def _convolved(x: Array, kernel: Array, stride: int, pads: Pads, **dilation: Any) -> Array:
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), pads, dimension_numbers=axes, **dilation
    )


def _as_a_product(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """Convolve pictures of one channel as one product, which sums over the kernel's places.

    Eigen's convolution is made for many channels: for the CNN's first pictures it took 2.4 ms of
    CPU, and this 0.9 (two cores, JAX 0.10.2).
    """
    filters = kernel.shape[-1]
    met = _met_by_each(x, kernel.shape[:2], stride, pads)
    product = met.reshape(len(met), -1).T @ kernel.reshape(-1, filters)
    return product.reshape(*met.shape[1:], filters)


def _met_by_each(x: Array, sizes: tuple[int, ...], stride: int, pads: Pads) -> Array:
    """For each place in a kernel the pixels that it meets, [places, batch, height, width].

    The pictures have one channel; height and width are those of the result.
    """
    padded = jnp.pad(x[..., 0], ((0, 0), *pads))
    rows, columns = sizes
    height, width = (
        (pixels - places) // stride + 1
        for pixels, places in zip(padded.shape[1:], sizes, strict=True)
    )
    return jnp.stack(
        [
            padded[:, row:, column:][:, : stride * height : stride, : stride * width : stride]
            for row in range(rows)
            for column in range(columns)
        ]
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _in_order(x: Array, kernel: Array, stride: int, pads: Pads) -> Array:
    """Convolve; both gradients are convolutions with their axes in the order of the first."""
    form = _as_a_product if x.shape[-1] == 1 else _convolved
    return form(x, kernel, stride, pads)


def _forwards(
    x: Array, kernel: Array, stride: int, pads: Pads
) -> tuple[Array, tuple[Array, Array]]:
    return _in_order(x, kernel, stride, pads), (x, kernel)


def _backwards(
    stride: int, pads: Pads, kept: tuple[Array, Array], slope: Array
) -> tuple[Array, Array]:
    x, kernel = kept
    place = Place(x.shape, kernel.shape, stride, pads, x.dtype.name)
    by_x = BY_INPUT[_form.get()(place)].gradient
    return by_x(slope, kernel, place), _by_kernel(x, slope, kernel.shape[:2], stride, pads)


def _by_kernel(x: Array, slope: Array, sizes: tuple[int, ...], stride: int, pads: Pads) -> Array:
    """The gradient by the kernel: x convolved with the slopes, `stride` pixels apart.

    Channels take the place of examples, and examples that of channels; of one channel it is a
    product, as `_as_a_product`. With this and `add_biases`, a step of the CNN took 0.95 and 0.97 of
    the time, and with AVX2 1.00 (two cores, JAX 0.10.2; medians of three runs).
    """
    if x.shape[-1] == 1:
        met = _met_by_each(x, sizes, stride, pads)
        product = met.reshape(len(met), -1) @ slope.reshape(-1, slope.shape[-1])
        return product.reshape(*sizes, 1, -1)
    around = tuple(
        (before, stride * (outputs - 1) + places - pixels - before)
        for (before, _), pixels, places, outputs in zip(
            pads, x.shape[1:3], sizes, slope.shape[1:3], strict=True
        )
    )
    swapped = x.transpose(3, 1, 2, 0), slope.transpose(1, 2, 0, 3)
    return _convolved(*swapped, 1, around, rhs_dilation=(stride, stride)).transpose(1, 2, 0, 3)


def _all_at_once(slope: Array, kernel: Array, place: "Place") -> Array:
    """The slopes with zeros between them, convolved with the whole kernel."""
    around = tuple(
        (places - before - 1, pixels + before - place.stride * (outputs - 1) - 1)
        for (before, _), pixels, places, outputs in zip(
            place.pads, place.x[1:3], kernel.shape, slope.shape[1:3], strict=False
        )
    )
    apart = (place.stride, place.stride)
    return _convolved(slope, kernel[::-1, ::-1].swapaxes(2, 3), 1, around, lhs_dilation=apart)


class _Residue(NamedTuple):
    """What reaches the pixels stride · t + a along one direction, for one a below the stride."""

    places: slice  # of the kernel
    pads: tuple[int, int]  # of the slopes; a negative one cuts off


def _by_residues(slope: Array, kernel: Array, place: "Place") -> Array:
    """For each residue of a pixel's place by the stride, the slopes with a part of the kernel.

    A pixel meets only each `stride`-th place of the kernel in either direction. One convolution of
    the slopes with zeros between them multiplies by all places, stride² as many: for the CNN's
    second one 6.4 ms of CPU instead of 4.2, of 20 in a step, and in float64 82 instead of 8 (two
    cores, JAX 0.10.2).
    """
    stride, picture = place.stride, place.x[1:3]
    # Every residue needs a place; those added weigh nothing.
    more = [(0, max(0, stride - places)) for places in kernel.shape[:2]]
    kernel = jnp.pad(kernel, (*more, (0, 0), (0, 0)))
    rows, columns = (
        _residues(stride, before, *sizes)
        for (before, _), *sizes in zip(
            place.pads, picture, kernel.shape, slope.shape[1:3], strict=False
        )
    )

    def part(row: _Residue, column: _Residue) -> Array:
        met = kernel[row.places, column.places][::-1, ::-1].swapaxes(2, 3)
        return _convolved(slope, met, 1, (row.pads, column.pads))

    each = jnp.stack([jnp.stack([part(r, c) for c in columns], 3) for r in rows], 2)
    batch, height, by, width, across, channels = each.shape
    whole = each.reshape(batch, height * by, width * across, channels)
    return whole[:, : picture[0], : picture[1]]


def _residues(stride: int, before: int, pixels: int, places: int, outputs: int) -> list[_Residue]:
    """Each residue along one direction, for as many pixels as the first of them has.

    Pixel t of residue a meets output t + shift - r at the place first + stride · r.
    """
    residues, wanted = [], -(-pixels // stride)
    for a in range(min(stride, pixels)):
        shift, first = divmod(a + before, stride)
        met = len(range(first, places, stride))
        around = met - 1 - shift, wanted + shift - outputs
        residues.append(_Residue(slice(first, None, stride), around))
    return residues


_in_order.defvjp(_forwards, _backwards)


# --- the forms of the gradient by x ---------------------------------------------------------------


class Place(NamedTuple):
    """Where a gradient by x is taken: all that a form of it is made for."""

    x: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int
    pads: Pads
    dtype: str

    def __str__(self) -> str:
        """A line of text, different for each."""
        x, kernel = ("x".join(map(str, sizes)) for sizes in (self.x, self.kernel))
        return f"{self.dtype} {x} by {kernel}, stride {self.stride}, padding {self.pads}"


@dataclass(frozen=True, kw_only=True)
class ByInput(Row):
    """`gradient(slope, kernel, place)` is the gradient of a convolution by x, float as x.

    Each row gives the numbers of the first, up to rounding.
    """

    gradient: Callable[[Array, Array, Place], Array]


BY_INPUT = Registry(
    "gradient by the input",
    [
        ByInput(
            key="residues",
            label="one convolution a residue",
            summary="As many small convolutions as a pixel's place has residues by the stride, "
            "each with the places of the kernel that it meets.",
            reference="core/parts/convolution.py",
            gradient=_by_residues,
        ),
        ByInput(
            key="dilated",
            label="one convolution",
            summary="One convolution of the slopes with zeros between them, as JAX does it.",
            reference="jax._src.lax.convolution, JAX 0.10.2",
            gradient=_all_at_once,
        ),
    ],
)
DEFAULT = next(iter(BY_INPUT))
_form: ContextVar[Callable[[Place], str]] = ContextVar("form", default=lambda place: DEFAULT)


@contextmanager
def by_input(form: Callable[[Place], str]) -> Iterator[None]:
    """Trace inside this context to take the gradient by x in the form, a key of BY_INPUT."""
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)
