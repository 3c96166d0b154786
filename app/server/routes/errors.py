"""What an error is to whoever asked over HTTP: a status, a kind, and words without credentials.

One mapping for routes and streams.  Bodies have OpenAI's shape, so that its clients raise their
own classes: ``{"error": {"message", "type", "param", "code"}}``.  What caused an error that stands
in no row of it is told to the log alone, with a number that the answer has too.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longtake.alerts.alerts import TooManyAlerts
from longtake.busy import Busy
from longtake.memory.files import MemoryFull, MemoryInUse
from longtake.memory.known import ChunkMissing
from longtake.models.base import ModelError
from longtake.server.error_kinds import kind_of
from longtake.server.own_places import without_places
from longtake.server.takes.refusals import (
    Ending,
    NoSuchAlert,
    NoSuchSource,
    NoSuchTake,
    NothingSeen,
    SourceInTheWay,
    TakeExists,
    TooMany,
)
from longtake.server.takes.uploads import TooLarge
from longtake.streaming.errors import (
    SourceError,
    SourceLost,
    SourceRefused,
    SourceTimeout,
    StaleFrame,
    redact,
)
from longtake.wording import one_line

RETRY_S = 2  # said with 429 and 503 where nothing better is known
MOST_WORDS = 2000  # letters of a message
CLOSED = ("this take is closed", "this engine is closed")  # as `Take` and `Engine` say it
MEMORY_CLOSED = ": this memory is closed"  # as a `Store` says it, behind its folder

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Problem(Exception):
    """What is told of an error."""

    status: int
    code: str  # a word that programs may compare
    message: str
    param: str | None = None  # field that is wrong
    retry_after_s: int | None = None

    @property
    def kind(self) -> str:
        """OpenAI's word for this status."""
        return kind_of(self.status)

    def as_json(self) -> dict[str, Any]:
        """Of the body."""
        said = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": said}

    def headers(self) -> dict[str, str]:
        after = self.retry_after_s
        return {"Cache-Control": "no-store"} | (
            {} if after is None else {"Retry-After": str(after)}
        )

    def response(self) -> JSONResponse:
        return JSONResponse(self.as_json(), self.status, self.headers())


# The first row that an error is an instance of; classes before their bases.
_ROWS: tuple[tuple[type[BaseException], int, str], ...] = (
    (NoSuchTake, 404, "no_such_take"),
    (NoSuchSource, 404, "no_such_source"),
    (NoSuchAlert, 404, "no_such_alert"),
    (TakeExists, 409, "take_exists"),
    (SourceInTheWay, 409, "source_in_the_way"),
    (NothingSeen, 409, "nothing_seen"),
    (TooMany, 429, "too_many"),
    (TooManyAlerts, 429, "too_many"),
    (Busy, 429, "busy"),
    (Ending, 503, "ending"),
    (TooLarge, 413, "too_large"),
    (SourceRefused, 403, "source_refused"),
    (StaleFrame, 404, "no_frame"),
    (SourceTimeout, 400, "source_unreachable"),
    (SourceLost, 400, "source_lost"),
    (SourceError, 400, "source_error"),
    (MemoryFull, 507, "memory_full"),
    (MemoryInUse, 409, "memory_in_use"),
    (ModelError, 503, "model_unusable"),
    (ChunkMissing, 404, "no_such_frame"),
    (ValueError, 400, "invalid_value"),
)


def problem_of(error: BaseException) -> Problem:
    """What is told of any error; of one that is not expected a number, and the log has the rest."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _of_schema(error)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, _CODES.get(error.status_code, "error"), str(error.detail))
    if is_closed(error):
        return Problem(404, "take_closed", "this take was closed; /v1/takes lists those there are")
    if isinstance(error, OSError) and error.errno in _FULL:
        return Problem(507, "disk_full", "the disk of this server is full")
    for kind, status, code in _ROWS:
        if isinstance(error, kind):
            if type(error) is ValueError:  # perhaps a mistake of ours that looks like one of theirs
                _log.debug("refused, as a value: %s at %s", _named(error), _place(error))
            after = getattr(error, "retry_after_s", RETRY_S) if status in (429, 503) else None
            return Problem(status, code, _words(error), None, after and math.ceil(after))
    number = secrets.token_hex(4)
    # The trace is not printed: what failed may hold addresses with logins in its arguments.
    _log.error("request failed, number %s: %s at %s", number, _named(error), _place(error))
    said = f"something failed inside the server; its log says what, under number {number}"
    return Problem(500, "internal_error", said)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_CODES = {404: "no_such_path", 405: "method_not_allowed", 413: "too_large", 401: "not_let_in"}


def is_closed(error: BaseException) -> bool:
    """Whether a verb was refused because its take, or the engine, was closed."""
    if type(error) is ValueError and str(error).endswith(MEMORY_CLOSED):
        return True  # in the middle of a verb
    return type(error) is RuntimeError and str(error) in CLOSED


def refused(error: RuntimeError) -> BaseException:
    """What a verb of a take raised that refuses in its own words as things stand.  Only for verbs
    that compute nothing: libraries raise the same class for mistakes of ours."""
    if type(error) is not RuntimeError or is_closed(error):
        return error
    return Problem(409, "not_possible_now", _words(error))


def _words(error: BaseException) -> str:
    return without_places(one_line(error))[:MOST_WORDS]


def _named(error: BaseException) -> str:
    return redact(f"{type(error).__name__}: {one_line(error)}")


def _place(error: BaseException) -> str:
    """``file.py:12 < file.py:40``: where it was raised, innermost first; code alone, no values."""
    places, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " < ".join(reversed(places[-8:])) or "unknown"


def _of_schema(error: RequestValidationError) -> Problem:
    first: Mapping[str, Any] = next(iter(error.errors()), {})
    where = [str(part) for part in first.get("loc", ())]
    if first.get("type") == "json_invalid":
        said = str(first.get("ctx", {}).get("error", "it ends too early"))
        return Problem(400, "invalid_json", f"the body is no JSON: {said}")
    param = ".".join(where[1:]) or (where[0] if where else "body")
    more = len(error.errors()) - 1
    also = f"; {more} more like this" if more > 0 else ""
    said = printable_words(f"{param}: {first.get('msg', 'is not as it must be')}{also}")
    return Problem(422, "invalid_field", said, printable_words(param))


def printable_words(text: str) -> str:
    """Fit for a message, whatever a visitor sent."""
    return redact(text)[:MOST_WORDS]


def _of_body(request: Request) -> Problem:
    """Of a body that nothing could be read from: FastAPI tells of it without a kind."""
    if "json" in request.headers.get("content-type", "json"):
        said = "the body is no JSON that can be read here: too deep, or a number of it too long"
        return Problem(400, "invalid_json", said)
    return Problem(400, "invalid_form", "the form is cut off, or is none, or has too many parts")


async def _answer(request: Request, error: Exception) -> JSONResponse:
    is_of_body = isinstance(error, HTTPException) and error.status_code == 400
    found = _of_body(request) if is_of_body else problem_of(error)
    response = found.response()
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    return response


def add_handlers(app: FastAPI) -> None:
    """Whatever a route raises is answered in this shape, and logged without its inner words."""
    for kind in (HTTPException, RequestValidationError, Problem):
        app.add_exception_handler(kind, _answer)
    app.add_middleware(Unexpected)


class Unexpected:
    """Answers what no handler took.  Where an answer has begun its connection ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            # By the server that ends, once its time of grace is over; it would log a trace of it.
            if not has_begun:
                ending = Problem(503, "ending", "this server is ending", None, RETRY_S)
                await ending.response()(scope, receive, send)
        except Exception as error:
            found = problem_of(error)
            if has_begun:
                raise Interrupted("an answer could not be sent to its end") from None
            await found.response()(scope, receive, send)


class Interrupted(RuntimeError):
    """An answer broke off; what was wrong stands in the log."""
