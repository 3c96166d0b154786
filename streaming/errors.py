"""What can be wrong with a source, drawn once; and how an address is shown without its secrets.

    SourceError(OSError)
        SourceNotFound(FileNotFoundError)   nothing is there
        SourceNotSupported                  an address of a kind that is not read yet
        NeedsSeeking                        comes through a pipe and cannot be read in one go
        NotAVideo                           empty, text, noise, cut off before its index
        NoVideoStream                       sound or subtitles only
        EmptyFolder                         neither pictures nor clips in it
        BeyondEnd                           asked to begin after the last frame
        SourceRefused                       wants a login, or another one; forbidden
            SourceForbidden                 the operator of this server does not allow it
        SourceTimeout                       did not answer, or sent no frame, in time
        SourceLost                          was there, and ended or broke
    StaleFrame(TimeoutError)                no frame that is new enough

A message names the address, what is wrong, and the way out.
"""

from __future__ import annotations

import re


class SourceError(OSError):
    """A source cannot be read."""


class SourceNotFound(SourceError, FileNotFoundError):
    """Nothing lies at this address."""


class SourceNotSupported(SourceError):
    """An address of a kind that is not read yet."""


class NeedsSeeking(SourceError):
    """A file that must be read back and forth comes through a pipe."""


class NotAVideo(SourceError):
    """There is a file, but no picture comes out of it."""


class NoVideoStream(SourceError):
    """A media file that holds no pictures."""


class EmptyFolder(SourceError):
    """A folder with neither pictures nor clips."""


class BeyondEnd(SourceError):
    """Asked to begin after the last frame; `end_s` is where the source ends, in session time."""

    def __init__(self, address: str, start_s: float, end_s: float) -> None:
        super().__init__(f"{address}: asked to begin at {start_s:g} s, but it ends at {end_s:g} s")
        self.end_s = end_s


class SourceRefused(SourceError):
    """Whoever is there refuses: the login, or the request."""


class SourceForbidden(SourceRefused):
    """Somebody may name addresses here, and not this one; the operator can allow it."""


class SourceTimeout(SourceError, TimeoutError):
    """Nothing came in the time that it was given."""


class SourceLost(SourceError):
    """A live source that was connected and is no more."""


class StaleFrame(TimeoutError):
    """The newest frame is older than was asked for, or none came in time."""


# Up to the last @ before the path begins; and a password with an unescaped / ? or #, which no
# address should hold but people type: a colon that no port number follows, then anything up to @.
_LOGIN = re.compile(
    r"""(?P<scheme>[a-z][a-z0-9+.-]*://)
        (?: [^/?\#\s]*@
          | [^/?\#\s:@]*:(?!\d+(?:[/?\#\s'",]|$))[^\s@]*@ )""",
    re.IGNORECASE | re.VERBOSE,
)
# Up to where a sentence goes on: with a mark and a blank, as a blank ends every address.
_QUERY = re.compile(
    r"""(?P<address>[a-z][a-z0-9+.-]*://[^\s?'"]*)\?(?P<query>(?:(?!\)?[:,;)]\s)[^\s'"])*)""",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Hide logins and query values of every address in `text`: fit for messages and logs.

    ``rtsp://user:secret@cam/main?token=abc`` becomes ``rtsp://***@cam/main?token=***``.
    All query values go, as tokens have many names.  Paths without a scheme stay as they are, but
    for bytes in a file's name that are no text (`printable`).
    """
    text = printable(text)
    text = _LOGIN.sub(r"\g<scheme>***@", text)
    return _QUERY.sub(_hide_values, text)


def printable(text: str) -> str:
    """Text that any file or JSON can hold: bytes that are no UTF-8 as ``\\xe9``."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character that stands for no byte
        data = text.encode("utf-8", "backslashreplace")
    return data.decode("utf-8", "backslashreplace")


def _hide_values(match: re.Match[str]) -> str:
    parts = (part.partition("=") for part in match["query"].split("&"))
    hidden = "&".join(f"{name}=***" if equals else "***" for name, equals, _ in parts)
    return f"{match['address']}?{hidden}"
