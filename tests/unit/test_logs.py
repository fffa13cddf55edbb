"""No visitor's text passes for a line of the log."""

import logging
from io import StringIO

import pytest

from ui import logs


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> tuple[logging.Logger, StringIO]:
    """A log as another library sets it up, and what it has written."""
    factory = logging.getLogRecordFactory()
    monkeypatch.setattr(logging, "_logRecordFactory", factory)  # put back after the test
    logs.guard()
    told, log = StringIO(), logging.Logger("other")
    handler = logging.StreamHandler(told)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    return log, told


def test_a_text_cannot_begin_a_line_or_colour_it(
    written: tuple[logging.Logger, StringIO],
) -> None:
    log, told = written
    log.warning("asked for %s", "a\nINFO run started\x1b[31m\r\u202e\u2028é")
    assert (
        told.getvalue() == "WARNING asked for a\n    INFO run started\\x1b[31m\\r\\u202e\\u2028é\n"
    )


def test_a_long_text_is_cut(written: tuple[logging.Logger, StringIO]) -> None:
    log, told = written
    log.warning("a" * 10**6)
    assert len(told.getvalue()) < 1.1 * logs.LONGEST


def test_a_traceback_keeps_its_frames_and_escapes_its_messages(
    written: tuple[logging.Logger, StringIO],
) -> None:
    log, told = written
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("no\nTraceback of mine\x1b[0m") from error
    except ValueError:
        log.exception("failed")
    lines = told.getvalue().splitlines()
    assert lines[:2] == ["ERROR failed", "Traceback (most recent call last):"]
    assert "KeyError: 'first'" in lines
    assert lines[-2:] == ["ValueError: no", "    Traceback of mine\\x1b[0m"]
    assert sum(line.lstrip().startswith('File "') for line in lines) == 2
    assert "direct cause" in told.getvalue()


def test_errors_that_led_to_each_other_in_a_ring_end() -> None:
    error = ValueError("a")
    error.__cause__ = KeyError("b")
    error.__cause__.__cause__ = error
    assert logs.told(error).count("ValueError") == logs.CHAIN / 2
