"""Where the rows of a sweep are kept: in memory, or in a folder that outlives a crash.

A folder holds `plan.json`, which also says what the figures were computed with, and Parquet files
of whole batches. Each file is written under a temporary name and then renamed, so that a file that
exists is whole. A process that is killed loses only the rows of the last second, which are computed
again. The process that writes locks plan.json; the system unlocks it when that process ends, in
whatever way.
"""

import json
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from core.disk import size_of
from core.study.sweep.plan import VERSION, Plan, from_json, to_json
from core.study.sweep.table import RunRow, computed_with, joined, made_by, measured_in, table

try:
    import fcntl
except ImportError:  # on Windows there is no lock
    fcntl = None  # type: ignore[assignment]

EVERY = 1.0  # seconds between two files
ROOM = 200_000_000  # bytes that a server's sweeps may take together
FILES = 256  # batch files, before they are joined
PLAN, WHOLE = "plan.json", "table.parquet"
BATCH, TEMPORARY = "batch-{}.parquet", ".part"


class Store(Protocol):
    """Where a sweep keeps its rows."""

    def done(self) -> dict[int, RunRow]:
        """The rows kept so far: cell -> row."""

    def add(self, measured: dict[int, RunRow]) -> None:
        """Keep these rows, at once or a second later."""

    def close(self) -> None:
        """Keep the rows that are not kept yet."""


class Memory:
    """Rows that live as long as this object."""

    def __init__(self) -> None:
        self.kept: dict[int, RunRow] = {}

    def done(self) -> dict[int, RunRow]:
        """The rows that were added."""
        return dict(self.kept)

    def add(self, measured: dict[int, RunRow]) -> None:
        """Keep these rows."""
        self.kept |= measured

    def close(self) -> None:
        """Do nothing."""


class Folder:
    """Rows in the files of a folder, which is created if needed, and locked until `close`.

    Raises:
      ValueError: the folder holds another sweep, one of another version, or something else, or
        another sweep is writing to it; the folder is left as it is.
      OSError: the folder cannot be written to; the message names it.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, plan
        self.waiting: dict[int, RunRow] = {}
        self.written = time.monotonic()
        self._claim()
        self._let_go = self._hold()

    def done(self) -> dict[int, RunRow]:
        """The rows in the files.

        Raises:
          ValueError: a file is of another sweep or version.
        """
        measured: dict[int, RunRow] = {}
        for file in self._files():
            measured = {**measured_in(self._read(file)), **measured}
        return measured

    def add(self, measured: dict[int, RunRow]) -> None:
        """Keep these rows; a file is written once a second."""
        self.waiting |= measured
        if time.monotonic() - self.written > EVERY:
            self._flush()

    def close(self) -> None:
        """Write what still waits and unlock the folder; a complete sweep becomes one file."""
        try:
            self._flush()
            if len(self.done()) == self.plan.size:
                self._join()
        finally:
            self._let_go()

    def bytes(self) -> int:
        """The size of the folder's files in bytes."""
        return size_of(self.path)

    def _claim(self) -> None:
        mark = self.path / PLAN
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not mark.exists():
                if any(self.path.iterdir()):
                    raise ValueError(f"{self.path} is not the folder of a sweep, and not empty")
                claim = {"computed with": computed_with(), "plan": json.loads(to_json(self.plan))}
                self._write(mark, json.dumps(claim, indent=1).encode())
            self._check(mark)
            probe = self.path / f"probe{TEMPORARY}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise OSError(f"{self.path} cannot be written to: {error.strerror or error}") from error

    def _hold(self) -> Callable[[], object]:
        """Lock the folder until the function returned is called, or this object is deleted."""
        mark = os.open(self.path / PLAN, os.O_RDWR)
        let_go = weakref.finalize(self, os.close, mark)
        try:
            if fcntl is not None:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            let_go()
            raise ValueError(
                f"Another sweep is writing to {self.path}: let it end, or name another folder"
            ) from error
        except OSError:  # some network file systems have no locks
            pass
        return let_go

    def _check(self, mark: Path) -> None:
        try:
            claim = json.loads(mark.read_text())
            plan = from_json(json.dumps(claim["plan"]))
        except (KeyError, TypeError, json.JSONDecodeError, ValueError) as error:
            raise ValueError(f"{mark} cannot be used, and was left as it is: {error}") from error
        if plan != self.plan:
            raise ValueError(f"{self.path} holds another sweep: name another folder")
        if claim["computed with"] != computed_with():
            was, now = (
                ", ".join(map(" ".join, d.items()))
                for d in (claim["computed with"], computed_with())
            )
            raise ValueError(
                f"{self.path} was computed with {was}, and this is {now}: their figures do not "
                "belong in one table. Name another folder"
            )

    def _files(self) -> list[Path]:
        return sorted(self.path.glob("*.parquet"))

    def _read(self, file: Path) -> pa.Table:
        rows = pq.read_table(file)
        if (rows.schema.metadata or {}).get(b"samenet") != made_by(self.plan)[b"samenet"]:
            raise ValueError(f"{file} is of another sweep, or of another version than {VERSION}")
        return rows

    def _flush(self) -> None:
        if not self.waiting:
            return
        file = self.path / BATCH.format(f"{min(self.waiting):07d}-{time.time_ns()}")
        self._write_table(file, table(self.plan, self.waiting))
        self.waiting, self.written = {}, time.monotonic()
        if len(self._files()) > FILES:
            self._join()

    def _join(self) -> None:
        """Join all files; a crash in between leaves some cells in two files, which does no harm."""
        files = self._files()
        if files == [self.path / WHOLE]:
            return
        self._write_table(self.path / WHOLE, joined(self.plan, map(self._read, files)))
        for file in files:
            if file.name != WHOLE:
                file.unlink()

    def _write_table(self, file: Path, rows: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink)
        self._write(file, sink.getvalue())

    def _write(self, file: Path, content: Any) -> None:
        part = file.with_name(file.name + TEMPORARY)
        try:
            with part.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            part.replace(file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OSError(
                f"{self.path} cannot be written to: {error.strerror or error}. What it holds is "
                "whole: make room and start again"
            ) from error


def kept_in(root: Path, plan: Plan) -> Folder:
    """The plan's own folder below `root`, where many sweeps are kept.

    Raises:
      ValueError: the sweeps take more than ROOM bytes, or as `Folder` does.
      OSError: as `Folder` does.
    """
    if (taken := taken_in(root)) > ROOM:
        raise ValueError(
            f"The sweeps in {root} take {taken / 1e6:.0f} MB of {ROOM / 1e6:.0f}: delete some"
        )
    return Folder(root / plan.key, plan)


def taken_in(root: Path) -> int:
    """Bytes of the sweeps that are kept below `root`."""
    return size_of(root)


def forget(root: Path, plan: Plan) -> None:
    """Delete what is kept of a plan below `root`, and nothing else."""
    folder = root / plan.key
    for pattern in ("*.parquet", PLAN, f"*{TEMPORARY}"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)  # another visitor may forget the same sweep
    with suppress(FileNotFoundError):
        folder.rmdir()
