"""DTYPES: floating-point formats, and the order of each format's numbers."""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from core.registry import Registry, Row

Numbers = NDArray[Any]  # an array in one of the DTYPES
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Dtype(Row):
    """A floating-point format; `dtype` is NumPy's (or ml_dtypes')."""

    dtype: np.dtype[Any]

    @property
    def largest(self) -> float:
        """The largest finite number; anything that would round to more is inf."""
        return float(ml_dtypes.finfo(self.dtype).max)

    @property
    def roundoff(self) -> float:
        """The largest relative error of one rounding."""
        return float(ml_dtypes.finfo(self.dtype).eps) / 2


_IEEE = "IEEE 754-2019"

DTYPES: Registry[Dtype] = Registry(
    "dtypes",
    [
        Dtype(
            key="float32",
            label="float32",
            latex=r"1.f\times 2^e,\ 23\text{ bits of }f,\ -126\le e\le 127",
            summary="24 significant bits, about 7 digits: what most networks are trained in.",
            reference=_IEEE + " binary32",
            dtype=np.dtype(np.float32),
        ),
        Dtype(
            key="float16",
            label="float16",
            latex=r"1.f\times 2^e,\ 10\text{ bits of }f,\ -14\le e\le 15",
            summary="11 significant bits, and nothing above 65504.",
            reference=_IEEE + " binary16",
            dtype=np.dtype(np.float16),
        ),
        Dtype(
            key="bfloat16",
            label="bfloat16",
            latex=r"1.f\times 2^e,\ 7\text{ bits of }f,\ -126\le e\le 127",
            summary="The range of float32 with 8 significant bits, between 2 and 3 digits.",
            reference="float32 with its last 16 bits left off; ml_dtypes",
            dtype=np.dtype(ml_dtypes.bfloat16),
        ),
        Dtype(
            key="float64",
            label="float64",
            latex=r"1.f\times 2^e,\ 52\text{ bits of }f,\ -1022\le e\le 1023",
            summary="53 significant bits, about 16 digits: slow on accelerators, kind to formulas.",
            reference=_IEEE + " binary64",
            dtype=np.dtype(np.float64),
        ),
    ],
)


def _bits(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"int{8 * dtype.itemsize}")


def to_ordinal(x: Numbers) -> NDArray[np.int64]:
    """The position of each number among those of its format: neighbours differ by 1, zero is 0."""
    bits = x.view(_bits(x.dtype)).astype(np.int64)
    return np.where(bits < 0, np.iinfo(_bits(x.dtype)).min - bits, bits)


def from_ordinal(ordinal: NDArray[np.int64], dtype: np.dtype[Any]) -> Numbers:
    """The inverse of `to_ordinal`."""
    lowest = np.int64(np.iinfo(_bits(dtype)).min)
    bits = np.where(ordinal < 0, lowest - ordinal, ordinal)
    return bits.astype(_bits(dtype)).view(dtype)


def ulp(x: Floats, dtype: np.dtype[Any]) -> Floats:
    """The distance between neighbouring numbers of the format at |x|."""
    info = ml_dtypes.finfo(dtype)
    _, exponent = np.frexp(np.abs(x))
    return np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)
