"""The size of a folder from which something is removed meanwhile."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.disk import size_of


def test_only_files_of_the_ending_count_at_any_depth(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "one.gz").write_bytes(b"123")
    (tmp_path / "a" / "b" / "two.gz").write_bytes(b"4567")
    (tmp_path / "a" / "other").write_bytes(b"89")
    assert size_of(tmp_path, ".gz") == 7
    assert size_of(tmp_path) == 9
    assert size_of(tmp_path / "nowhere") == 0


def test_a_folder_that_vanishes_after_it_was_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stays.gz").write_bytes(b"123")
    vanishing = tmp_path / "vanishing.gz.tmp.1"
    vanishing.mkdir()
    (vanishing / "train.gz").write_bytes(b"4567")
    list_folder = os.scandir

    def scandir(path: Any) -> Any:
        if str(path) == str(vanishing):
            shutil.rmtree(vanishing)
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert size_of(tmp_path, ".gz") == 3
    assert not vanishing.exists()


def test_a_file_that_vanishes_after_it_was_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stays.gz").write_bytes(b"123")
    (tmp_path / "vanishing.gz").write_bytes(b"4567")
    ask = os.stat

    def stat(path: Any, **how: Any) -> Any:
        if Path(path).name == "vanishing.gz":
            Path(path).unlink()
        return ask(path, **how)

    monkeypatch.setattr(os, "stat", stat)
    assert size_of(tmp_path, ".gz") == 3
