"""A recording read from its file: a `.safetensors` file of the first steps of a training.

Whatever is wrong with a file is said in one sentence (`Unusable`); no more memory is used than a
small multiple of its size, which is limited.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

VERSION = "1"
LIMIT_BYTES = 256 * 2**20
_HEADER_LIMIT = 8 * 2**20
_TENSOR_LIMIT = 50_000
_NAME_LIMIT = 300
_STEP_LIMIT = 100_000
FORMATS: dict[str, Any] = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16,
    "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
_FLOATS = ("F64", "F32", "F16", "BF16")
_NAMED = re.compile(r"step/(\d{1,6})/(params|state|grads|masks|inputs)/(.+)")
_SINGLE = re.compile(r"step/(\d{1,6})/(inputs|labels|weights|outputs|loss|outputs_grad)")
_EVAL = re.compile(r"eval/(inputs|labels|outputs|metrics/.+)")
_ONE_VALUE = re.compile(r"step/\d+/loss|eval/metrics/.+")


class Unusable(ValueError):
    """A file that cannot be read as a recording; the message says why."""


@dataclass(frozen=True)
class Recording:
    """What one framework did in its first steps.

    `tensors` holds arrays in the format they were recorded in; the methods return them by step,
    and None or an empty mapping for what was not recorded.
    """

    framework: str
    version: str
    backend: str
    steps: int
    settings: Mapping[str, Any]
    tensors: Mapping[str, Array]
    sampled: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()  # keys that the format does not know

    def group(self, step: int, kind: str) -> dict[str, Array]:
        """Return the arrays below step/STEP/KIND/, by name, in natural order."""
        head = f"step/{step}/{kind}/"
        found = {k[len(head) :]: v for k, v in self.tensors.items() if k.startswith(head)}
        return {name: found[name] for name in sorted(found, key=natural)}

    def params(self, step: int) -> dict[str, Array]:
        """Return the trainable parameters before a step."""
        return self.group(step, "params")

    def grads(self, step: int) -> dict[str, Array]:
        """Return the gradients that the optimizer was given."""
        return self.group(step, "grads")

    def state(self, step: int) -> dict[str, Array]:
        """Return what is not trained, before a step."""
        return self.group(step, "state")

    def masks(self, step: int) -> dict[str, Array]:
        """Return the masks of dropout."""
        return self.group(step, "masks")

    def one(self, step: int, kind: str) -> Array | None:
        """Return the array at step/STEP/KIND."""
        return self.tensors.get(f"step/{step}/{kind}")

    def inputs(self, step: int) -> Array | None:
        """Return the inputs of a step, the first of them if there are several."""
        found = self.one(step, "inputs")
        if found is None:
            named = self.group(step, "inputs")
            found = next(iter(named.values()), None)
        return found

    def loss(self, step: int) -> float | None:
        """Return the loss that the framework reports."""
        found = self.one(step, "loss")
        return None if found is None else float(np.asarray(found, np.float64).reshape(-1)[0])

    def at_evaluation(self, kind: str) -> Array | None:
        """Return the array at eval/KIND."""
        return self.tensors.get(f"eval/{kind}")

    def metrics(self) -> dict[str, float]:
        """Return what is reported of the evaluation."""
        head = "eval/metrics/"
        return {
            k[len(head) :]: float(np.asarray(v, np.float64).reshape(-1)[0])
            for k, v in sorted(self.tensors.items())
            if k.startswith(head)
        }

    def last_step(self) -> int:
        """Return the number of the last step whose parameters before it are recorded."""
        return max((k for k in range(self.steps + 1) if self.params(k)), default=0)


def natural(name: str) -> tuple[Any, ...]:
    """Return a key that sorts dense_10 behind dense_9, and dense before dense_1."""
    parts = re.findall(r"\d+|[^\d/._ ]+", name)
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)


def read(data: bytes | Path, limit_bytes: int = LIMIT_BYTES) -> Recording:
    """Read a recording from its bytes or its file.

    Raises:
      Unusable: The file is too large, is no `.safetensors` file, contradicts itself, or is not a
        recording of this version.
    """
    data = _loaded(data, limit_bytes)
    header, begin = _header(data)
    metadata = header.pop("__metadata__", {})
    _check_metadata(metadata)
    if len(header) > _TENSOR_LIMIT:
        raise Unusable(f"The file lists {len(header)} tensors; {_TENSOR_LIMIT} are allowed.")
    spans = {name: _span(name, entry) for name, entry in header.items()}
    _check_spans(spans, len(data) - begin)
    steps = _steps(metadata)
    tensors, ignored = {}, []
    for name, (dtype, shape, first, last) in spans.items():
        if not _known(name, steps):
            ignored.append(name)
            continue
        _check_kind(name, dtype, shape)
        values = np.frombuffer(data, FORMATS[dtype], _count(shape), begin + first) if last > first \
            else np.zeros(0, FORMATS[dtype])  # fmt: skip
        tensors[name] = values.reshape(shape)
    if not tensors:
        raise Unusable("The file holds no tensor of a step.")
    return Recording(
        framework=_text(metadata, "framework", "an unnamed framework"),
        version=_text(metadata, "version", ""),
        backend=_text(metadata, "backend", ""),
        steps=steps,
        settings=_object(metadata, "settings"),
        tensors=tensors,
        sampled=_object(metadata, "sampled"),
        ignored=tuple(sorted(ignored)),
    )


def _loaded(data: bytes | Path, limit: int) -> bytes:
    if isinstance(data, Path):
        try:
            if not data.is_file():
                raise Unusable(f"{data.name}: there is no such file.")
            size = data.stat().st_size
            if size <= limit:
                return data.read_bytes()
        except OSError as error:
            raise Unusable(f"{data.name} cannot be read: {error.strerror}.") from None
    else:
        size = len(data)
    if size > limit:
        raise Unusable(f"The file has {size / 2**20:.0f} MB; {limit / 2**20:.0f} MB are allowed.")
    return bytes(data)  # type: ignore[arg-type]


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The JSON object at the file's head, and where the numbers begin."""
    if len(data) < 8:
        raise Unusable("The file is shorter than the head of a .safetensors file.")
    size = int.from_bytes(data[:8], "little")
    if size > _HEADER_LIMIT:
        raise Unusable("The file is no .safetensors file, or its header is too large.")
    if 8 + size > len(data):
        raise Unusable("The file ends within its header; it was cut off.")
    try:
        text = data[8 : 8 + size].decode()
    except UnicodeDecodeError:
        raise Unusable("The file's header is not text, so it is no .safetensors file.") from None
    header = _json(text, "header")
    if not isinstance(header, dict):
        raise Unusable("The file's header is not a JSON object.")
    return header, 8 + size


def _json(text: str, what: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise Unusable(f"The {what} names something twice.")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise Unusable(f"The {what} is nested too deeply.") from None
    except Unusable:
        raise
    except ValueError:
        raise Unusable(f"The {what} is not JSON.") from None


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise Unusable("The file's metadata are not text.")
    found = metadata.get("samenet_recording")
    if found is None:
        raise Unusable("The file is not a recording: its metadata do not say samenet_recording.")
    if found != VERSION:
        raise Unusable(f"The recording has version {_shown(found)}; version {VERSION} is read.")


def _span(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """(format, shape, first byte, byte after the last) of one entry of the header."""
    if len(name) > _NAME_LIMIT or not name.isprintable():
        raise Unusable(f"A tensor's name is too long or not printable: {_shown(name)}.")
    if not isinstance(entry, dict) or {*entry} != {"dtype", "shape", "data_offsets"}:
        raise Unusable(f"{_shown(name)}: its entry needs dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in FORMATS:
        raise Unusable(f"{_shown(name)}: the number format {_shown(dtype)} is not known.")
    if not _naturals(shape) or len(shape) > 8:
        raise Unusable(f"{_shown(name)}: its shape is not a list of at most eight sizes.")
    if not _naturals(offsets) or len(offsets) != 2:
        raise Unusable(f"{_shown(name)}: its data_offsets are not two numbers.")
    wanted = _count(shape) * np.dtype(FORMATS[dtype]).itemsize
    if offsets[1] - offsets[0] != wanted or max(shape, default=0) > 2**40:
        raise Unusable(f"{_shown(name)}: its shape and its data_offsets do not agree.")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _check_spans(spans: Mapping[str, tuple[str, tuple[int, ...], int, int]], size: int) -> None:
    """Each tensor must begin where another ends, and the last must end where the file does."""
    at = 0
    for name, (_, _, first, last) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if first != at:
            raise Unusable(f"{_shown(name)}: the tensors overlap or leave a gap.")
        at = last
    if at != size:
        raise Unusable(f"The tensors take {at} bytes, but the file has {size} for them.")


def _check_kind(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    kind = name.split("/")[2] if name.startswith("step/") else ""
    if kind in ("params", "grads", "outputs", "outputs_grad", "loss") and dtype not in _FLOATS:
        raise Unusable(f"{_shown(name)}: it should hold floating-point numbers, not {dtype}.")
    if _ONE_VALUE.fullmatch(name) and _count(shape) != 1:
        raise Unusable(f"{_shown(name)}: it should be one number, not {_count(shape)}.")


def _known(name: str, steps: int) -> bool:
    found = _NAMED.fullmatch(name) or _SINGLE.fullmatch(name)
    if found is None:
        return _EVAL.fullmatch(name) is not None
    last = steps if found[2] in ("params", "state") else steps - 1
    return int(found[1]) <= last and found[1] == str(int(found[1]))


def _steps(metadata: Mapping[str, str]) -> int:
    text = metadata.get("steps", "")
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) > _STEP_LIMIT:
        raise Unusable(f"The recording's number of steps is {_shown(text)}.")
    return int(text)


def _object(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    value = _json(metadata.get(key, "{}"), f"entry {key}")
    if not isinstance(value, dict):
        raise Unusable(f"The entry {key} is not a JSON object.")
    return value


def _text(metadata: Mapping[str, str], key: str, otherwise: str) -> str:
    text = metadata.get(key, "")[:_NAME_LIMIT]
    return "".join(c for c in text if c.isprintable()) or otherwise


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _count(shape: Any) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _shown(value: Any) -> str:
    """A value from a file, made harmless and short."""
    text = ascii(value)
    return text if len(text) < 80 else text[:76] + "...'"
