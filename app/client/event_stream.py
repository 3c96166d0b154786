"""Server-sent events as they come over one connection, which any thread may end.

What they tell, and what is done when the connection is lost, is not known here.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

MOST_EVENT_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One of a stream; one without a kind is a sign of life."""

    kind: str
    data: Any = None
    number: str = ""  # its id, to go on behind it


class EventStream:
    """A context manager; `end` may be called from any thread, the rest from the reader's.

    Args:
        answer: whose body has not been read.
        told: translates what goes wrong on the way.
    """

    def __init__(
        self, answer: httpx.Response, told: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._answer, self._told = answer, told

    def __iter__(self) -> Iterator[ServerEvent]:
        """Ends with the stream.  Raises ConnectionError or TimeoutError where it breaks."""
        with self._told():
            yield from events_of(self._answer.iter_bytes())

    def end(self) -> None:
        """Whoever reads sees that it has broken off."""
        stream = self._answer.extensions.get("network_stream")
        line = None if stream is None else stream.get_extra_info("socket")
        if line is not None:
            with suppress(OSError):  # it has ended already
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def close(self) -> None:
        self._answer.close()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def events_of(pieces: Iterable[bytes]) -> Iterator[ServerEvent]:
    """Events of a body; comments between them are signs of life.  What is cut off is left out."""
    said: list[str] = []
    kind, number = "message", ""
    for line in _lines(pieces):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if said:
                yield ServerEvent(kind, _data("\n".join(said)), number)
            kind, number, said = "message", "", []
        elif not name:
            yield ServerEvent("")
        elif name == "event":
            kind = value
        elif name == "id":
            number = value
        elif name == "data":
            said.append(value)


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_EVENT_BYTES:
            raise ConnectionError(f"an event of more than {MOST_EVENT_BYTES} bytes: not read")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def _data(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
