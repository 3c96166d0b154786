"""How a command ends: its exit code, and one line for what went wrong.

An unknown error is our own mistake and ends with 1.
"""

from __future__ import annotations

import os

USAGE, CONFIGURATION, SOURCE, MODEL, NOTHING_FOUND, PARTIAL = 2, 3, 4, 5, 6, 7
INTERRUPTED = 130


def exit_code(error: BaseException) -> int:
    """By where an error comes from."""
    from longtake.config import ConfigError
    from longtake.memory.catalog import WrongModel
    from longtake.memory.record import MemoryFromFuture
    from longtake.models.base import ModelError
    from longtake.streaming.errors import SourceError

    for kind, code in (
        (ConfigError, CONFIGURATION),
        (SourceError, SOURCE),
        (WrongModel, MODEL),
        (ModelError, MODEL),
        (MemoryFromFuture, CONFIGURATION),
        (ValueError, USAGE),
        (OSError, CONFIGURATION),
    ):
        if isinstance(error, kind):
            return code
    return 1


def one_line(error: BaseException) -> str:
    """What an error says, on one line and without credentials."""
    from longtake.streaming.errors import redact

    text = str(error)
    if isinstance(error, OSError) and error.strerror is not None:  # without its number
        where = "" if error.filename is None else f"{os.fspath(error.filename)}: "
        text = f"{where}{error.strerror}"
    return redact(" ".join(text.split()) or type(error).__name__)
