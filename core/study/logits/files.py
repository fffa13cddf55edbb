"""Named arrays from a visitor's file: `.safetensors`, `.npz` or `.csv`.

Nothing in a file is run, and no more memory is used than a small multiple of its allowed size.
Whatever is wrong with a file is said in one sentence (`Unusable`).
"""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from core.study.compare.recording import FORMATS, LIMIT_BYTES, Array, Unusable
from core.study.logits.table import from_csv

_ARRAYS = 1000


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file by name."""

    found: Mapping[str, Array]
    notes: tuple[str, ...] = ()  # what was left out
    partly: frozenset[str] = frozenset()  # names of which the file holds only a sample


def read(name: str, data: bytes, limit_bytes: int = LIMIT_BYTES) -> Arrays:
    """Read the arrays of a file; the end of `name` says which kind it is.

    Raises:
      Unusable: the file is too large, of another kind, or contradicts itself.
    """
    kind = Path(name).suffix.casefold()
    if kind not in READERS:
        raise Unusable(
            f"This is no .safetensors, .npz or .csv file. {OTHERS.get(kind, '')}".strip()
        )
    if len(data) > limit_bytes:
        sizes = (f"{size / 2**20:,.0f} MB" for size in (len(data), limit_bytes))
        raise Unusable("The file has {}; {} are allowed.".format(*sizes))
    return READERS[kind](data, limit_bytes)


def shown(value: Any) -> str:
    """Return a value from a file, made harmless and short."""
    text = ascii(value)
    return text if len(text) < 80 else f"{text[:75]}...'"


def _from_safetensors(data: bytes, _: int) -> Arrays:
    try:
        entries = safetensors.deserialize(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        sampled = json.loads(header.get("__metadata__", {}).get("sampled", "{}"))
    except (safetensors.SafetensorError, ValueError, RecursionError):
        raise Unusable("The file is no .safetensors file, or it was cut off or changed.") from None
    found = {}
    for name, entry in entries[:_ARRAYS]:
        dtype = FORMATS.get(entry["dtype"])
        if dtype is not None:
            data = entry["data"]
            values = np.frombuffer(data, dtype) if len(data) else np.zeros(0, dtype)
            found[name] = values.reshape(entry["shape"])
    return Arrays(found, partly=frozenset(sampled) if isinstance(sampled, dict) else frozenset())


# What zipfile raises for a file that lies; it documents the first only.
_ZIP_FAULTS = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError,
    ValueError, KeyError, IndexError, OverflowError,
)  # fmt: skip


def _from_npz(data: bytes, limit: int) -> Arrays:
    if not data.startswith(b"PK"):
        raise Unusable("The file is no .npz file: np.savez(file, logits=…, labels=…) writes one.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > limit or len(entries) > _ARRAYS:
                raise Unusable(
                    f"Unpacked, the file has more than {limit / 2**20:.0f} MB or {_ARRAYS} arrays."
                )
            return Arrays({
                entry.filename.removesuffix(".npy"): _array(archive.read(entry), entry.filename)
                for entry in entries
                if _plain(entry)
            })  # fmt: skip
    except Unusable:
        raise
    except _ZIP_FAULTS:
        raise Unusable("The file is no .npz file, or it was cut off or changed.") from None


def _plain(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is an array as NumPy packs it: other ways may take much memory."""
    known = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return known and entry.filename.endswith(".npy")


def _array(data: bytes, name: str) -> Array:
    """Return the array of a .npy file; nothing in it is unpickled."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        head = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, dtype = head(stream)
        if dtype.kind not in "fiub":
            raise Unusable(
                f"{shown(name)} holds {shown(str(dtype))}, and not numbers that NumPy knows. "
                "Save bfloat16 as float32, and labels as integers."
            )
        count = int(np.prod([int(size) for size in shape], dtype=object))
        if min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - stream.tell():
            raise ValueError
    except Unusable:
        raise
    except Exception:  # NumPy evaluates the header as Python's literals, which may raise anything
        raise Unusable(f"{shown(name)} is no array as NumPy saves it.") from None
    values = np.frombuffer(data, dtype, count, stream.tell()) if count else np.zeros(0, dtype)
    return values.reshape(shape, order="F" if by_column else "C")


def _from_csv(data: bytes, _: int) -> Arrays:
    return Arrays(*from_csv(data))


READERS: dict[str, Callable[[bytes, int], Arrays]] = {
    ".safetensors": _from_safetensors,
    ".npz": _from_npz,
    ".csv": _from_csv,
}
_CODE = "Such a file may hold code, so it is not opened: save the arrays with np.savez."
OTHERS = {
    ".npy": "A .npy file holds one array: save both with np.savez(file, logits=…, labels=…).",
    **dict.fromkeys((".pt", ".pth", ".pkl", ".pickle"), _CODE),
}
