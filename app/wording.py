"""What an error says to a person.  What it means for the run is not known here."""

from __future__ import annotations

from longtake.out_of_memory import explain, ran_out
from longtake.streaming.errors import redact


def one_line(error: BaseException) -> str:
    """What an error says, on one line and without credentials."""
    text = explain(error) if ran_out(error) else str(error)
    if isinstance(error, OSError) and error.strerror is not None:  # without its number
        where = "" if error.filename is None else f"{error.filename}: "
        text = f"{where}{error.strerror}"
    return redact(" ".join(text.split()) or type(error).__name__)
