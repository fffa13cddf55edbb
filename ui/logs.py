"""A log in which no visitor's text passes for a line of it, or for a command to a terminal."""

import logging
import traceback
from typing import Any

LONGEST = 2000  # characters of a message
CHAIN = 4  # errors that led to an error


def harmless(text: str) -> str:
    """Escape what cannot be printed, indent every line after the first, and keep it short."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + " …"
    shown = "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in text)
    return shown.replace("\n", "\n    ")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def told(error: BaseException, depth: int = CHAIN) -> str:
    """Return the traceback as Python writes it, with the messages made harmless."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines = ""
    if before is not None and depth > 1:
        why = "The above exception was the direct cause of the following exception"
        if error.__cause__ is None:
            why = "During handling of the above exception, another exception occurred"
        lines = f"{told(before, depth - 1)}\n\n{why}:\n\n"
    frames = "".join(traceback.format_tb(error.__traceback__))
    head = "Traceback (most recent call last):\n" if frames else ""
    return f"{lines}{head}{frames}{type(error).__qualname__}: {harmless(str(error))}"


class Record(logging.LogRecord):
    """A record whose message and traceback are harmless, whoever formats it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[1] is not None:
            self.exc_text = told(self.exc_info[1])

    def getMessage(self) -> str:
        """Return the message with its arguments."""
        return harmless(super().getMessage())


def guard() -> None:
    """Have all logs of this process written so, Streamlit's and uvicorn's among them."""
    logging.setLogRecordFactory(Record)
