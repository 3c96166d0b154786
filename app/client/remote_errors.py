"""What a server refused, as the classes that a take on this machine raises.

    ValueError and those under it        a value makes no sense
    LookupError and those under it       no such take, source, alert
    SourceError and those under it       a source cannot be watched
    Busy, TooMany, Ending                a bound is reached; later perhaps
    RuntimeError("this take is closed")
    RemoteError                          everything else: a status and words

Each has a `RemoteError` as its cause, with the status and the server's word for it.  Connections
that cannot be made, and answers that do not come, are told by `wire`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from longtake.busy import Busy
from longtake.memory.files import MemoryFull, MemoryInUse
from longtake.server.takes.refusals import (
    Ending,
    NoSuchAlert,
    NoSuchSource,
    NoSuchTake,
    SourceInTheWay,
    TakeExists,
    TooMany,
)
from longtake.streaming.errors import (
    SourceError,
    SourceLost,
    SourceRefused,
    SourceTimeout,
    StaleFrame,
    redact,
)

MOST_WORDS = 2000  # letters of a message
NOT_LET_IN = 401
RETRY_S = 2.0  # where a server that is busy does not say when to come again


class RemoteError(RuntimeError):
    """A server refused, or failed, for a reason that has no class of its own here.

    Args:
        status: of HTTP; 0 where there is none.
        code: the server's word for it; empty where it has none.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code

    def __reduce__(self) -> tuple[type[RemoteError], tuple[int, str, str]]:
        return type(self), (self.status, self.message, self.code)


def _busy(message: str, after_s: float) -> Busy:
    error = Busy(message)
    error.retry_after_s = after_s
    return error


_CLASSES: dict[str, Callable[[str], Exception]] = {
    "busy": lambda said: _busy(said, RETRY_S),
    "no_such_take": NoSuchTake,
    "no_such_source": NoSuchSource,
    "no_such_alert": NoSuchAlert,
    "take_exists": TakeExists,
    "source_in_the_way": SourceInTheWay,
    "too_many": TooMany,
    "ending": Ending,
    "source_refused": SourceRefused,
    "source_unreachable": SourceTimeout,
    "source_lost": SourceLost,
    "source_error": SourceError,
    "no_frame": StaleFrame,
    "memory_full": MemoryFull,
    "memory_in_use": MemoryInUse,
    "too_large": ValueError,
    "invalid_value": ValueError,
    "invalid_field": ValueError,
    "invalid_json": ValueError,
    "invalid_form": ValueError,
    "take_closed": lambda _: RuntimeError("this take is closed"),
    "not_possible_now": RuntimeError,
}


def error_of(status: int, body: bytes | str, headers: Mapping[str, str] | None = None) -> Exception:
    """What is to be raised for an answer that is an error.

    Args:
        body: with an error in OpenAI's shape, where the server is one of ours.
        headers: of the answer, by names in lower case or of any case.
    """
    message, code = _said(status, body)
    if status == NOT_LET_IN:
        message = f"{message}; a program names one of its tokens: Client(url, token=...)"
    cause = RemoteError(status, message, code)
    make = _CLASSES.get(code)
    error = cause if make is None else make(message)
    if isinstance(error, Busy | TooMany):
        error.retry_after_s = _after_s(headers or {}, error.retry_after_s)
    if error is not cause:
        error.__cause__ = cause
    return error


def error_of_told(told: object) -> Exception:
    """The same, of an error that is told in the middle of an answer."""
    return error_of(0, json.dumps(told))


def _said(status: int, body: bytes | str) -> tuple[str, str]:
    try:
        told = json.loads(body)["error"]
        message, code = str(told["message"]), str(told.get("code") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"status {status}, without the words of a longtake server: is it one?", ""
    return redact(message)[:MOST_WORDS], code


def _after_s(headers: Mapping[str, str], usual_s: float) -> float:
    try:
        after_s = float(headers.get("retry-after", usual_s))
    except ValueError:  # a date
        return usual_s
    return after_s if math.isfinite(after_s) and after_s >= 0 else usual_s
