"""A recording is read whole, or refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.study.compare.recording import Array, Unusable, read
from core.study.compare.walk import compare, look
from tests.kit import more
from tests.kit.recorder import Program, recorded, written

GOOD = recorded(Program(steps=2, batch=8, widths=(6, 5, 3)))


def split(data: bytes) -> tuple[dict[str, object], bytes]:
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def joined(header: object, rest: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def test_a_recording_is_read_whole() -> None:
    r = read(GOOD)
    assert (r.framework, r.steps) == ("keras", 2)
    assert list(r.params(0)) == ["dense/bias", "dense/kernel", "dense_1/bias", "dense_1/kernel"]
    assert {*r.params(2)} == {*r.params(0)} and not r.grads(2)
    inputs, outputs = r.inputs(1), r.one(1, "outputs")
    assert inputs is not None and inputs.shape == (8, 6)
    assert outputs is not None and outputs.dtype == np.float32
    assert r.loss(0) is not None and {*r.metrics()} == {"accuracy"}


def test_an_unknown_key_is_ignored_and_named() -> None:
    data = written({"step/0/loss": np.float32(1), "step/0/else": np.float32(1),
                    "step/7/loss": np.float32(1)}, 1)  # fmt: skip
    assert read(data).ignored == ("step/0/else", "step/7/loss")


def changed(**entry: object) -> bytes:
    header, rest = split(GOOD)
    header["step/0/loss"] = {**header["step/0/loss"], **entry}  # type: ignore[dict-item]
    return joined(header, rest)


def told(**metadata: object) -> bytes:
    header, rest = split(GOOD)
    header["__metadata__"] = {**header["__metadata__"], **metadata}  # type: ignore[dict-item]
    return joined(header, rest)


BOMB = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "shorter"),
        (b"PK\x03\x04" + bytes(100), "header"),
        (GOOD[:200], "cut off"),
        (GOOD[:-1], "bytes"),
        (GOOD + b"x", "bytes"),
        (joined(b"\xff\xfe", b""), "not text"),
        (joined(b"{", b""), "not JSON"),
        (joined(BOMB, b""), "nested"),
        (joined(b'{"a": ' + b"9" * 5000 + b"}", b""), "not JSON"),
        (joined([], b""), "object"),
        (joined({}, b""), "not a recording"),
        (joined(b'{"a": 1, "a": 2}', b""), "twice"),
        (changed(shape=[2]), "do not agree"),
        (changed(shape=[2**62, 2**62]), "do not agree"),
        (changed(shape=[-1]), "shape"),
        (changed(shape=[True]), "shape"),
        (changed(dtype="F8_E4M3"), "format"),
        (changed(dtype="I32"), "floating"),
        (changed(data_offsets=[0, 4]), "overlap"),
        (changed(more=1), "needs"),
        (told(samenet_recording="2"), "version"),
        (told(steps="1e9"), "steps"),
        (told(settings="[1]"), "object"),
        (told(settings=BOMB.decode()), "nested"),
        (told(other=3), "not text"),
        (written({"step/0/loss": np.ones(2, np.float32)}, 1), "one number"),
        (written({"else": np.ones(2, np.float32)}, 1), "no tensor"),
        (written({"step/0/params/a\nb": np.ones(2, np.float32)}, 1), "not printable"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(Unusable, match=words) as caught:
        read(data)
    assert len(str(caught.value)) < 300 and str(caught.value).isprintable()


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(GOOD)
    assert read(path, len(GOOD)).steps == 2
    for data in (path, GOOD):
        with pytest.raises(Unusable, match="allowed"):
            read(data, len(GOOD) - 1)
    with pytest.raises(Unusable, match="no such file"):
        read(tmp_path / "none")
    with pytest.raises(Unusable, match="no such file"):
        read(tmp_path)


def test_two_thousand_mutated_files_end_in_words_or_in_a_recording() -> None:
    rng = np.random.default_rng(0)
    size = 8 + int.from_bytes(GOOD[:8], "little")
    good = read(GOOD)
    survived, refused = [], []
    for i in range(2000):
        data = bytearray(GOOD)
        for _ in range(rng.integers(1, 4)):
            at = rng.integers(0, size if rng.random() < 0.8 else len(data))
            kind = rng.integers(0, 3)
            if kind == 0:
                data[at] = rng.integers(0, 256)
            elif kind == 1:
                del data[at : at + rng.integers(1, 40)]
            else:
                data[at:at] = data[at : at + rng.integers(1, 40)]
        try:
            survived.append((i, read(bytes(data))))
        except Unusable as error:
            refused.append(str(error))
    assert all(words.isprintable() and len(words) < 300 for words in refused)
    assert len(survived) > 20
    for _, recording in survived[::5]:
        assert compare(good, recording).markdown()


def test_a_recording_of_nan_is_read_and_compared() -> None:
    recording = read(GOOD)
    tensors = {k: np.full_like(v, np.nan) if v.dtype.kind == "f" else v
               for k, v in recording.tensors.items()}  # fmt: skip
    nothing = read(written(tensors, 2))
    assert compare(nothing, nothing).same
    assert not compare(recording, nothing).same


def spoilt(rng: np.random.Generator, tensors: dict[str, Array]) -> bytes:
    """A recording of a few arrays that are missing, turned, empty, doubled, huge or NaN."""
    whole = [name for name in tensors if "loss" not in name and "metrics" not in name]
    changed = dict(tensors)
    for name in rng.choice(whole, 3, replace=False):
        v = tensors[name]
        new: list[Array | None] = [
            None, v.reshape(-1), v.T, np.zeros((0, *v.shape[1:]), v.dtype), np.concatenate([v, v]),
            v[..., None], np.zeros_like(v),
        ]  # fmt: skip
        if v.dtype.kind == "f":
            new += [np.full_like(v, np.nan), np.full_like(v, 1e38), np.full_like(v, -np.inf)]
        other = new[rng.integers(len(new))]
        changed[str(name)] = other if other is not None else v
        if other is None:
            del changed[str(name)]
    return written(changed, 2)


@pytest.mark.parametrize("kind", [more({}), {"norm": True}, more({"keep": 0.5})], ids=str)
def test_arrays_that_do_not_belong_together_are_compared_as_far_as_they_go(
    kind: dict[str, Any],
) -> None:
    rng = np.random.default_rng(1)
    good = read(recorded(Program(steps=2, batch=12, widths=(6, 5, 3), **kind)))
    for _ in range(3):
        bad = read(spoilt(rng, dict(good.tensors)))
        assert compare(good, bad).json() and compare(bad, good).markdown()
        assert look(bad).markdown()
