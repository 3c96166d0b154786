"""Names of files as text: they may hold bytes that are no UTF-8, or line breaks."""

from __future__ import annotations

import os

from longtake.streaming.errors import printable


def as_text(name: str | os.PathLike[str]) -> str:
    """For JSON: bytes that are no UTF-8 are escaped, as in ``caf\\xe9.mp4``."""
    return printable(os.fspath(name))


def times(count: int, what: str) -> str:
    """``1 event``, ``2 events``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def shown(name: str | os.PathLike[str]) -> str:
    """For a terminal, on one line: what cannot be printed is escaped."""
    text = as_text(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
