"""Logits and labels are read whole, or refused in one sentence."""

import io
import json
import pickle
import zipfile
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save

from core.study.compare.examples import PAIRS
from core.study.compare.recording import Unusable
from core.study.logits import table as csv_tables
from core.study.logits.report import about, notes
from core.study.logits.samples import NUMBERS, SAMPLES, Samples, load, samples

RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(size=(12, 4)).astype(np.float32) * 5
Y = RANDOM.integers(0, 4, 12)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def table(z: Any, y: Any, head: str = "", delimiter: str = ",") -> bytes:
    rows = np.column_stack([z, y]).tolist()
    lines = [delimiter.join([*map(repr, row[:-1]), str(int(row[-1]))]) for row in rows]
    return "\n".join([head] * bool(head) + lines).encode()


GOOD = {
    "a.npz": npz(logits=Z, labels=Y),
    "a.safetensors": save({"logits": Z, "labels": Y}),
    "a.csv": table(Z, Y, "a,b,c,d,label"),
}


def same(found: Samples, z: Any = Z, y: Any = Y) -> bool:
    equal = np.array_equal(found.logits, z) and np.array_equal(found.labels, y)
    return equal and np.array_equal(found.rows, np.arange(len(y)))


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_file_is_read(name: str) -> None:
    assert same(load(name, GOOD[name]))
    with pytest.raises(Unusable, match="allowed"):
        load(name, GOOD[name], len(GOOD[name]) - 1)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", table(Z, Y)),
        ("a.CSV", b"\xef\xbb\xbf" + table(Z, Y, "a;b;c;d;y", ";").replace(b"\n", b"\r\n\r\n")),
        ("a.csv", b"label,a,b,c,d\n" + b"\n".join(
            b",".join([line.rpartition(b",")[2], line.rpartition(b",")[0]])
            for line in table(Z, Y).split(b"\n"))),
        ("a.csv", b"," + b"\n".join([b"a,b,c,d,label", *(
            b"%d,%s" % (i, line) for i, line in enumerate(table(Z, Y).split(b"\n")))])),
        ("a.npz", npz(arr_0=Z, arr_1=Y)),
        ("a.npz", npz(outputs=np.asfortranarray(Z), targets=Y[:, None].astype(np.uint8))),
        ("a.npz", npz(**{"net/Logits": Z, "y": np.eye(4)[Y], "other": np.zeros(3)})),
        ("a.npz", npz(logits=Z.reshape(3, 4, 4), labels=Y.reshape(3, 4))),
        ("a.safetensors", save({"step/0/outputs": Z, "step/0/labels": Y.astype(np.float32),
                                "step/1/outputs": Z, "step/1/labels": Y})),
    ],
)  # fmt: skip
def test_every_way_to_write_them_is_the_same(name: str, data: bytes) -> None:
    assert same(load(name, data))


def test_two_classes_have_one_logit() -> None:
    z, y = Z[:, 0], Y % 2
    for logits, labels in ((z, y), (z[:, None], y), (z, y[:, None] == 1), (z[:, None], y[:, None])):
        found = samples(logits, labels)
        assert same(found, z, y) and found.form == "binary" and found.classes == 2
    np.testing.assert_array_equal(samples(z, y).margins, np.where(y, z, -z))


def test_margins_are_the_logits_of_the_labels_probabilities() -> None:
    found = samples(Z, Y)
    p = np.exp(Z.astype(float)) / np.exp(Z.astype(float)).sum(axis=1, keepdims=True)
    own = p[np.arange(len(Y)), Y]
    np.testing.assert_allclose(1 / (1 + np.exp(-found.margins)), own, rtol=1e-12)
    np.testing.assert_array_equal(found.wrong, Z.argmax(axis=1) != Y)


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    z = Z.astype(ml_dtypes.bfloat16)
    z[3, 1], z[5, 0], z[5, 1], z[7, 2] = np.nan, np.inf, np.nan, -np.inf
    found = load("a.safetensors", save({"logits": z, "labels": Y}))
    assert (found.total, found.nan, found.infinite) == (12, 2, 1)
    assert found.rows.tolist() == [0, 1, 2, 4, 6, 8, 9, 10, 11]


def test_probabilities_are_found_and_turned_back() -> None:
    p = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    found = samples(p, Y)
    assert found.probabilities and not found.rounded and not samples(Z, Y).probabilities
    np.testing.assert_allclose(found.margins, samples(Z, Y).margins, rtol=1e-4)
    one = samples(1 / (1 + np.exp(-Z[:, 0])), Y % 2)
    np.testing.assert_allclose(one.logits, Z[:, 0], rtol=1e-4)
    gone = samples(np.array([0, 1, 0.5], np.float32), np.array([1, 1, 0]))
    assert gone.rounded == 2 and np.isfinite(gone.logits).all()
    assert np.float32(1 / (1 + np.exp(np.float32(-gone.logits[1])))) == 1
    assert not samples(p * 0.9, Y).probabilities


def test_of_many_samples_a_part_is_examined() -> None:
    n = SAMPLES + 100
    found = samples(np.linspace(-5, 5, n), np.arange(n) % 2)
    assert len({*found.rows.tolist()}) == SAMPLES and found.total == n
    np.testing.assert_array_equal(found.labels, found.rows % 2)
    wide = samples(np.zeros((6, NUMBERS // 4)), np.arange(6))
    assert len(wide.rows) == 4 and wide.total == 6


def test_what_is_odd_about_samples_is_told() -> None:
    assert notes(samples(Z, Y)) == [] and about(samples(Z, Y)).startswith(
        "12 samples of 4 classes."
    )
    z = Z.copy()
    z[0, 0], z[1, 0], z[2, 0] = np.nan, np.inf, np.inf
    nan, infinite = notes(samples(z, Y))
    assert "In 1 of 12 samples a logit is NaN" in nan and "In 2 of 12 samples" in infinite
    assert "examined" not in about(samples(z, Y))
    one, rounded = notes(samples(np.array([0, 0.5]), Y[:2] % 2))
    assert "log(1 - p)" in one and "In 1 of 2 samples" in rounded
    (several,) = notes(samples(np.full((3, 4), 0.25), Y[:3]))
    assert "each row adds up to 1" in several
    n = SAMPLES + 1
    assert f"of which {SAMPLES:,}, drawn by chance" in about(samples(np.ones(n) * 3, np.ones(n)))


def test_a_table_has_so_many_numbers_and_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, words in (("_NUMBERS", "more than 59 numbers"), ("_LINES", "more than 12 lines")):
        with monkeypatch.context() as patch:
            patch.setattr(csv_tables, limit, 60 if limit == "_NUMBERS" else 13)
            assert same(load("a.csv", GOOD["a.csv"]))
            patch.setattr(csv_tables, limit, 59 if limit == "_NUMBERS" else 12)
            with pytest.raises(Unusable, match=words):
                load("a.csv", GOOD["a.csv"])


def test_a_recordings_first_step_is_taken() -> None:
    found = load("a.safetensors", PAIRS["question"].paths[0].read_bytes())
    assert found.probabilities and found.total == 48 and "step/0/outputs" in found.notes[0]
    data = save({"step/0/outputs": Z, "step/0/labels": Y},
                {"sampled": json.dumps({"step/0/outputs": {}})})  # fmt: skip
    with pytest.raises(Unusable, match="part"):
        load("a.safetensors", data)


# Faults


def zipped(*entries: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return stream.getvalue()


def npy(header: str) -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)


HUGE = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }")
NEGATIVE = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-8, -1), }")
NESTED = npy("(" * 4000)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.txt", b"", "no .safetensors, .npz or .csv"),
        ("a", b"", "no .safetensors, .npz or .csv"),
        ("a.npy", b"", "one array"),
        ("a.pt", b"", "code"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"\n \n", "empty"),
        ("a.csv", b"a,label\n", "no line"),
        ("a.csv", b"1\n2\n", "one column"),
        ("a.csv", b"1,0\n2\n", "Line 2 has 1"),
        ("a.csv", b"1,0\n2,\n", "Line 2, column 2 is empty"),
        ("a.csv", b"a,label\n1,cat\n", "column 'label' is 'cat'"),
        ("a.csv", b"a;label\n1,5;0\n", "decimals with a point"),
        ("a.csv", b"a,y,label\n1,0,0\n", "Several columns"),
        ("a.csv", b"\xff\xfe\x00", "UTF-8"),
        ("a.csv", b"1,0\n\x00,1\n", "no number|no table"),
        ("a.csv", b"a,label\n" + b"9" * 200_000 + b",0\n", "no table"),
        ("a.csv", b"1," * 300_000, "columns"),
        ("a.csv", b"1,0.5\n", "A label is 0.5"),
        ("a.csv", b"1,nan\n", "A label is NaN"),
        ("a.csv", b"nan,1\ninf,0\n", "all finite"),
        ("a.npz", b"", "no .npz"),
        ("a.npz", b"PK\x03\x04", "cut off"),
        ("a.npz", GOOD["a.npz"][:-30], "cut off"),
        ("a.npz", zipped(), "no array of numbers"),
        ("a.npz", npz(a=Z, b=Y), r"called logits. It holds 'a' \(12, 4\), 'b' \(12,\)"),
        ("a.npz", npz(logits=Z, b=Y), "called labels"),
        ("a.npz", npz(logits=Z, z=Z, labels=Y), "Several arrays may be the logits"),
        ("a.npz", zipped(("logits.npy", HUGE)), "no array"),
        ("a.npz", zipped(("logits.npy", NEGATIVE)), "no array"),
        ("a.npz", zipped(("logits.npy", NESTED)), "no array"),
        ("a.npz", zipped(("logits.npy", pickle.dumps(print))), "no array"),
        ("a.npz", npz(logits=np.array([print, 1], object), labels=Y), "not numbers"),
        ("a.npz", npz(logits=Z.astype(ml_dtypes.bfloat16), labels=Y), "bfloat16 as float32"),
        ("a.npz", npz(logits=Z.astype(complex), labels=Y), "not numbers"),
        ("a.safetensors", GOOD["a.npz"], "no .safetensors"),
        ("a.safetensors", GOOD["a.safetensors"][:-1], "no .safetensors"),
        ("a.safetensors", (100_000).to_bytes(8, "little") + b"[" * 100_000, "no .safetensors"),
        ("a.safetensors", save({"logits": Z[:0], "labels": Y[:0]}), "no sample"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_words(name: str, data: bytes, words: str) -> None:
    with pytest.raises(Unusable, match=words) as caught:
        load(name, data)
    assert len(str(caught.value)) < 300 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("logits", "labels", "words"),
    [
        (Z, Y + 1, "count from 1: subtract|labels run from 1"),
        (Z, Y - 100, "ignores"),
        (Z[:, 0], np.where(Y % 2, 1, -1), "Write -1 as 0"),
        (Z, Y[:5], "Needed are"),
        (Z.T[:, :12], Y, "transpose"),
        (Z, np.full((12, 4), 0.25), "not one-hot"),
        (np.zeros((12, 0)), Y, "no sample"),
        (Z > 0, Y, "true and false"),
        (np.eye(4, dtype=int)[Y], Y, "answers or labels"),
        (np.float32(3), Y[:1], "Needed are"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    logits: Any, labels: Any, words: str
) -> None:
    with pytest.raises(Unusable, match=words) as caught:
        samples(np.asarray(logits), np.asarray(labels))
    assert len(str(caught.value)) < 300


def test_a_zip_bomb_is_not_unpacked() -> None:
    bomb = zipped(("logits.npy", bytes(2**24)))
    assert len(bomb) < 2**16
    with pytest.raises(Unusable, match="Unpacked"):
        load("a.npz", bomb, 2**20)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, kind = rng.integers(0, len(changed)), rng.integers(0, 3)
        if kind == 0:
            changed[at] = rng.integers(0, 256)
        elif kind == 1:
            del changed[at : at + rng.integers(1, 40)]
        else:
            changed[at:at] = changed[at : at + rng.integers(1, 40)]
    return bytes(changed)


@pytest.mark.parametrize("count", [1000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutated_files_end_in_words_or_in_samples(count: int) -> None:
    rng = np.random.default_rng(count)
    stored = io.BytesIO()
    np.savez(stored, logits=Z, labels=Y)
    survived, refused = 0, list[str]()
    for _ in range(count):
        for name, data in (*GOOD.items(), ("b.npz", stored.getvalue())):
            try:
                found = load(name, mutated(data, rng))
            except Unusable as error:
                refused.append(str(error))
            else:
                assert np.isfinite(found.logits).all() and len(found.rows) <= found.total
                survived += 1
    assert all(words.isprintable() and len(words) < 300 for words in refused)
    assert survived > count / 10 and len(refused) > count
