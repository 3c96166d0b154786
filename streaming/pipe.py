"""Bytes that come once and in order: standard input, or a named pipe.

They are handed on as they come, without waiting for a full block, and whoever waits for them can
be interrupted from another thread.  What the bytes mean is not known here.
"""

from __future__ import annotations

import io
import os
import select
import sys
from pathlib import Path
from typing import BinaryIO, Literal

from longtake.streaming.errors import SourceError, SourceNotSupported, redact

STDIN = "-"
HEAD_BYTES = 4096  # kept, to say what it is where it is no video
LOOK_BYTES = 1 << 16  # how far ahead may be looked
INTERRUPT_CHECK_S = 0.05  # how often a waiting `read` looks whether it was interrupted


class Pipe:
    """What PyAV reads from instead of a path.

    Where the bytes lie in a file (``longtake ask - < clip.mp4``) going back works as in a file.

    Args:
        stream: where the bytes come from.
        address: as it was asked for; `shown` is what messages call it.
        kind: what a source over it is called.
        is_ours: close `stream` at the end; standard input is everybody's.
    """

    def __init__(
        self,
        stream: BinaryIO,
        address: str,
        kind: Literal["stdin", "pipe"],
        *,
        is_ours: bool = False,
    ) -> None:
        self.address = redact(address)
        self.shown = "standard input" if kind == "stdin" else self.address
        self.kind: Literal["stdin", "pipe"] = kind
        self.head = b""
        self.failure: BaseException | None = None  # what ended the bytes before their end
        self.was_interrupted = False
        self._stream = stream
        self._is_ours = is_ours
        self._ahead = b""
        self._read_some = getattr(stream, "read1", stream.read)
        self._poll = None if self.seekable() else _poll_of(stream)

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; nothing at the end, or where it cannot go on.

        Never raises: PyAV would ask again for ever after a KeyboardInterrupt.  What happened is
        in `failure`.
        """
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        try:
            return self._fresh(size)
        except BaseException as error:  # kept for whoever reads the container
            self.failure = error
            return b""

    def look(self, at: int, count: int) -> bytes:
        """Up to `count` bytes from `at` on, without taking them; only before the first `read`."""
        end = min(at + count, LOOK_BYTES)
        while len(self._ahead) < end:
            ahead = self._ahead
            self._ahead = b""
            more = self.read(LOOK_BYTES - len(ahead))
            self._ahead = ahead + more
            if not more:
                break
        return self._ahead[at:end]

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def interrupt(self) -> None:
        """Let a `read` that waits end as if nothing more came; from any thread."""
        self.was_interrupted = True

    def let_go(self) -> None:
        """Close what is ours; may be called twice."""
        if self._is_ours:
            self._stream.close()

    def _fresh(self, size: int) -> bytes:
        data: bytes | None = None
        while data is None:  # a pipe may wake us for nothing
            if self.failure is not None or not self._wait():
                return b""
            data = self._read_some(size)
        self.head += data[: HEAD_BYTES - len(self.head)]
        return data

    def _wait(self) -> bool:
        """Until there is something to read, or the end; False if interrupted."""
        while not self.was_interrupted:
            if self._poll is None or self._poll.poll(INTERRUPT_CHECK_S * 1000):
                return True
        return False

    def __repr__(self) -> str:
        return f"Pipe({self.shown})"


def is_stdin(address: str | os.PathLike[str]) -> bool:
    """Whether this address means standard input; a file of that name is ``./-``."""
    return os.fspath(address) == STDIN


def standard_input(stream: BinaryIO | None = None) -> Pipe:
    """Standard input, or what stands in for it.

    Raises:
        SourceError: if it is closed.
        SourceNotSupported: if it is a terminal.
    """
    if stream is None:
        if sys.stdin is None or sys.stdin.closed:
            raise SourceError("standard input: is closed; pipe a video into it, or name a file")
        stream = sys.stdin.buffer
    if stream.isatty():
        raise SourceNotSupported(
            "standard input: is a terminal; pipe a video into it "
            "(`... | longtake ask - QUESTION`), or name a file"
        )
    return Pipe(stream, STDIN, "stdin")


def named_pipe(path: Path) -> Pipe:
    """A FIFO as a source; its first bytes are waited for when it is read, not here.

    Raises:
        SourceError: if it may not be read.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(f"{redact(str(path))}: cannot be read ({error.strerror})") from error
    return Pipe(io.FileIO(number), str(path), "pipe", is_ours=True)


def _poll_of(stream: BinaryIO) -> select.poll | None:
    """What tells when bytes have come; None where the stream is no file of the system's."""
    try:
        number = stream.fileno()
    except (OSError, AttributeError):
        return None
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return poll
