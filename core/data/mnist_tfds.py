"""Full MNIST through tensorflow-datasets, without TensorFlow.

The builder that comes with tensorflow-datasets needs TensorFlow to prepare MNIST; the one here
does not. It keeps the original order, and stores 1,000 images a record: with one image a record,
preparing takes 2.6 s instead of 0.5 and reading 2.0 s instead of 0.1.

tensorflow-datasets takes 0.6-0.9 s to import, so only the functions that need it import it.
"""

import gzip
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from core.disk import size_of

URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"  # where tfds registers the files
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
VERSION = "1.0.0"  # of the prepared records; a new layout needs a new one
BLOCK = 1_000  # images a record
IMAGES = 70_000
DOWNLOAD_SHARE = 0.8  # of the progress bar
PROBE_SECONDS = 3.0
STALL_SECONDS = 30.0
LEFTOVER_SECONDS = 3_600.0  # no preparation takes this long: anything older is left over

Progress = Callable[[float, str], None]  # fraction done in 0..1, what is being done


class DataUnavailable(Exception):
    """The full data cannot be had: which file, what is wrong with it, what to do."""


def manual_folder() -> Path:
    """Where a visitor may put the four official files."""
    return _folder("SAMENET_MNIST_DIR", "~/.cache/samenet/mnist")


def data_folder() -> Path:
    """Where the prepared records go."""
    return _folder("SAMENET_DATA_DIR", "~/.cache/samenet/tfds")


def _folder(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or default).expanduser()


def prepared_folder() -> Path:
    """Where the prepared records of this version are."""
    return data_folder() / "mnist_blocks" / VERSION


def is_prepared() -> bool:
    """Whether the records are there; tfds renames their folder into place once it is complete."""
    return (prepared_folder() / "dataset_info.json").is_file()


def prepare(progress: Progress) -> None:
    """Write the records from the files in the manual folder, downloading those that are missing.

    `progress` is called in the caller's thread about every 0.1 s; if it raises, the preparation is
    abandoned. Several threads or processes may prepare at once.

    Raises DataUnavailable.
    """
    missing = [name for name in FILES if not (manual_folder() / name).is_file()]
    if missing:
        progress(0.0, f"Asking {urlsplit(URL).hostname} for MNIST")
        if not _answers(URL + missing[0]):
            raise DataUnavailable(
                f"Full MNIST is not on this machine: {manual_folder()} has no "
                f"{', '.join(missing)}, and {urlsplit(URL).hostname} does not answer (asked for at "
                f"most {PROBE_SECONDS:g} s). {_how_to_supply()}"
            )
    progress(0.0, "Loading tensorflow-datasets")
    try:
        import tensorflow_datasets as tfds

        data_folder().mkdir(parents=True, exist_ok=True)
        _remove_leftovers()
        # A new folder, removed at the end, because tfds does not check the hashes of files that
        # it finds already downloaded.
        with TemporaryDirectory(
            prefix="downloading.", dir=data_folder(), ignore_cleanup_errors=True
        ) as downloads:
            builder = _builder(data_folder())
            builder.progress = progress
            builder.download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(
                    manual_dir=manual_folder(),
                    force_checksums_validation=True,
                    try_download_gcs=False,
                ),
            )
    except ImportError as error:
        raise DataUnavailable(
            f"Full MNIST needs the Python package {error.name}, which is not installed here. "
            "The sample works without it."
        ) from error
    except OSError as error:
        if not is_prepared():  # if so, another process was faster, and its records serve as well
            raise DataUnavailable(
                f"Full MNIST cannot be prepared in {data_folder()}: {error}. Make room there, or "
                "name another folder in SAMENET_DATA_DIR. The sample works without it."
            ) from error


@lru_cache(maxsize=1)
def read(folder: Path) -> dict[str, np.ndarray]:
    """The prepared arrays, read-only: train_images uint8 [60000, 784], train_labels uint8 [60000],
    test_images [10000, 784] and test_labels [10000], all in the original order.

    `folder` is prepared_folder(). Raises DataUnavailable if the records are damaged (each carries a
    hash).
    """
    builder = _builder(folder.parents[1])
    try:
        return {
            f"{split}_{field}": _joined([record[field] for record in builder.as_data_source(split)])
            for split in ("train", "test")
            for field in ("images", "labels")
        }
    except Exception as error:  # what tfds raises depends on which of its files is damaged
        raise DataUnavailable(
            f"The prepared MNIST in {folder} is damaged: {error}. Delete that folder, and it is "
            "prepared again. The sample works without it."
        ) from error


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    array = np.concatenate(blocks)
    array.flags.writeable = False
    return array


def _builder(folder: Path) -> Any:
    return _builder_class()(data_dir=folder, file_format="array_record")


@cache
def _builder_class() -> Any:
    """The tfds builder: a class made here because its base takes so long to import."""
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()

    class MnistBlocks(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg, misc]
        """MNIST (LeCun, Cortes and Burges), 1,000 images a record."""

        VERSION = tfds.core.Version(VERSION)
        progress: Progress  # set before preparing

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "images": tfds.features.Tensor(
                            shape=(BLOCK, 784), dtype=np.uint8, encoding="bytes"
                        ),
                        "labels": tfds.features.Tensor(
                            shape=(BLOCK,), dtype=np.uint8, encoding="bytes"
                        ),
                    }
                ),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            images, labels, test_images, test_labels = _fetch(dl_manager, self.progress)
            return {
                "train": self._generate_examples(images, labels, done=0),
                "test": self._generate_examples(test_images, test_labels, done=60_000),
            }

        def _generate_examples(
            self, images_path: Path, labels_path: Path, done: int
        ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
            images = _pixels(images_path)
            labels = _labels(labels_path)
            for start in range(0, len(labels), BLOCK):
                count = done + start
                self.progress(
                    DOWNLOAD_SHARE + (1 - DOWNLOAD_SHARE) * count / IMAGES,
                    f"Preparing MNIST: {count:,} of {IMAGES:,} images",
                )
                block = slice(start, start + BLOCK)
                yield start, {"images": images[block], "labels": labels[block]}

        # tfds prints these two on stdout, which `--json` needs for its answer alone.
        def _log_download_bytes(self) -> None:
            pass

        def _log_download_done(self) -> None:
            pass

    return MnistBlocks


def _pixels(path: Path) -> np.ndarray:
    """uint8 [n, 784] from an IDX file: 16 bytes of header, then the pixels row by row."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 784)


def _labels(path: Path) -> np.ndarray:
    """uint8 [n] from an IDX file: 8 bytes of header, then a byte a label."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=8)


def _fetch(downloads: Any, progress: Progress) -> list[Path]:
    """Return the paths of FILES, from the manual folder or downloaded, all checked by tfds.

    tfds does not report its progress and waits for ever on a dead connection, so it works in a
    thread of its own while this one watches the files grow.
    """
    from requests import RequestException
    from tensorflow_datasets.core.download import DownloadError
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    pool = ThreadPoolExecutor(1)
    paths = pool.submit(downloads.download, [URL + name for name in FILES])
    pool.shutdown(wait=False)
    try:
        _watch(paths, downloads.download_dir, progress)
        return [Path(path) for path in paths.result()]
    except NonMatchingChecksumError as error:
        raise DataUnavailable(
            _what_is_wrong() or f"What was downloaded is not MNIST: {error}\n{_how_to_supply()}"
        ) from error
    except (DownloadError, RequestException) as error:
        raise DataUnavailable(
            f"MNIST could not be downloaded: {error}. {_how_to_supply()}"
        ) from error


def _watch(paths: Future[Any], folder: Path, progress: Progress) -> None:
    """Report how the files in `folder` grow until `paths` is done."""
    total = sum(
        info.size for name, info in _registered().items() if not (manual_folder() / name).is_file()
    )
    size, grown = 0, time.monotonic()
    while not wait([paths], timeout=0.1).done:
        if (now := size_of(folder, ".gz")) > size:
            size, grown = now, time.monotonic()
        if time.monotonic() - grown > STALL_SECONDS:
            raise DataUnavailable(
                f"The download of MNIST came to a halt after {size:,} of {total:,} bytes. "
                f"{_how_to_supply()}"
            )
        if total:
            progress(
                DOWNLOAD_SHARE * min(1.0, size / total),
                f"Downloading MNIST: {size / 1e6:.1f} of {total / 1e6:.1f} MB",
            )
        else:
            progress(0.0, f"Checking the files in {manual_folder()}")


def _registered() -> dict[str, Any]:
    """file name -> the `size` and SHA-256 (`checksum`) that tfds registers for it."""
    from tensorflow_datasets.core.download import checksums

    known = checksums.get_all_url_infos()
    return {name: known[URL + name] for name in FILES}


def _what_is_wrong() -> str:
    """Say which files in the manual folder are not the official ones, and what to do about it."""
    from tensorflow_datasets.core.download import checksums

    sentences = []
    for name, expected in _registered().items():
        path = manual_folder() / name
        if path.is_file() and (info := checksums.compute_url_info(path)) != expected:
            sentences.append(
                f"{path} is not the official file: it has {int(info.size):,} bytes and SHA-256 "
                f"{info.checksum}, where {int(expected.size):,} bytes and {expected.checksum} are "
                "expected. Replace it, or remove it to have it downloaded. "
            )
    return "".join(sentences) + "The sample works without it." if sentences else ""


def _how_to_supply() -> str:
    return (
        f"Put {', '.join(FILES)} into {manual_folder()} (SAMENET_MNIST_DIR names another folder) "
        "and try again. The sample works without them."
    )


def _answers(url: str) -> bool:
    """Whether a HEAD request gets 200 within PROBE_SECONDS.

    It is sent from a thread, because looking up a host name ignores the timeout.
    """
    statuses: list[int] = []
    thread = Thread(target=_append_status, args=(url, statuses), daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return statuses == [200]


def _append_status(url: str, statuses: list[int]) -> None:
    import requests

    with suppress(requests.RequestException):
        statuses.append(requests.head(url, timeout=PROBE_SECONDS).status_code)


def _remove_leftovers() -> None:
    """Remove what preparations that were killed left behind."""
    for pattern in ("downloading.*", f"{prepared_folder().parent.name}/incomplete.*"):
        for folder in data_folder().glob(pattern):
            with suppress(FileNotFoundError):  # another process has just removed it
                if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
