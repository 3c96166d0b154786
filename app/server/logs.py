"""What uvicorn says, on our log: its requests not at all, the rest without anybody's secrets.

Its lines for requests hold queries, and those of WebSockets do so even where its access log is off.
"""

from __future__ import annotations

import logging
import re

from longtake.streaming.errors import redact

_QUERY = re.compile(r"(?P<path>/[^\s?\"']*)\?[^\s\"']*")
_CREDENTIAL = re.compile(
    r"(?P<name>\b(?:bearer|basic)\s+|\b(?:authorization|cookie|token|password)\b[\"']?\s*[:=]\s*)"
    r"(?:(?:bearer|basic)\s+)?[^\s\"',;]+",
    re.IGNORECASE,
)
# Said of every WebSocket that was refused with an answer of ours, which was sent.
_NOT_TRUE = "ASGI callable returned without completing handshake."


def hide_secrets(text: str) -> str:
    """Logins and queries of addresses and paths, tokens and cookies: as ``***``."""
    text = _QUERY.sub(r"\g<path>?***", redact(text))
    return _CREDENTIAL.sub(r"\g<name>***", text)


class Hiding(logging.Formatter):
    """Hides secrets in messages and in the errors that come with them."""

    def format(self, record: logging.LogRecord) -> str:
        return hide_secrets(super().format(record))


def quiet_uvicorn(level: int = logging.WARNING) -> None:
    """Have uvicorn's log go to stderr through `Hiding`; may be called again."""
    handler = logging.StreamHandler()
    handler.setFormatter(Hiding("longtake: %(message)s"))
    logger = logging.getLogger("uvicorn")
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(level)
    requests = logging.getLogger("uvicorn.access")
    requests.handlers[:], requests.propagate, requests.disabled = [], False, True
    errors = logging.getLogger("uvicorn.error")
    errors.handlers[:], errors.propagate = [], True
    if _is_true not in errors.filters:
        errors.addFilter(_is_true)


def _is_true(record: logging.LogRecord) -> bool:
    return record.getMessage() != _NOT_TRUE
