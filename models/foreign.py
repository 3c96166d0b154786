"""What other libraries say as a checkpoint is read: errors in a line, and no reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_MOST_WORDS = 300  # characters of a foreign error


def first_line(error: Exception) -> str:
    """Of an error's text, which may be long; its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:_MOST_WORDS] if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """No report of transformers: what it tells becomes an error of ours.  Its bars stay off."""
    import transformers

    theirs: Any = transformers.utils.logging
    theirs.disable_progress_bar()
    level = theirs.get_verbosity()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(level)
