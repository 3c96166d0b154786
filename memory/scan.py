"""Find the records in a segment by itself, without a catalog, and check every byte of them.

Records begin at multiples of 64 bytes with a magic word; each says how long it is, and holds a
checksum of every part of it.  Zeros, which purging and alignment leave, are stepped over; bytes
that are neither zeros nor a whole record are told as damage.  A segment is read in pieces: memory
is bounded however large it is.  Which of the records count is not known here.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import xxhash

from longtake.memory import files
from longtake.memory.record import (
    ALIGNMENT,
    MAGIC,
    PEEK,
    ChunkCorrupt,
    Header,
    Part,
    header_nbytes_of,
    parse_header,
)
from longtake.memory.segment_head import head_nbytes_of, parse_head

_WINDOW = 1 << 20  # bytes that are looked at together
_MOST_HEADER = 64 << 20  # a length beyond this is damage
_ENVELOPE_NBYTES = 16  # magic, format, header length: the same in every version


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at one place of a segment."""

    offset: int
    nbytes: int  # to its end, or as far as it is there
    header: Header | None  # None: it cannot be read, or there is none
    damage: str | None  # what is wrong, in words; None: it is whole
    is_cut: bool = False  # the file ends within it


class SegmentFile:
    """A segment that is read and never written; it may grow meanwhile, what came later is not seen.

    Raises:
        OSError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = files.open_to_read(path)
        self.nbytes = files.size_of(self._fd)

    def record(self, offset: int) -> Found:
        """The record at a place, every part of it checked.

        Raises:
            MemoryFromFuture: if a newer longtake wrote it.
        """
        header: Header | None = None
        room = self.nbytes - offset
        try:
            start = self._start(offset)
            header = parse_header(start)
            damage = self._damage(header, offset)
        except ChunkCorrupt as error:
            damage = str(error)
        except EOFError:
            return Found(offset, room, header, f"the file ends {self._short(header, room)}", True)
        except OSError as error:
            damage = _unreadable(error)
        nbytes = ALIGNMENT if header is None else header.record_nbytes
        return Found(offset, min(nbytes, room), header, damage)

    def read(self, offset: int, nbytes: int) -> bytearray:
        """Some bytes, fewer at the end of the file."""
        try:
            return files.read_all(self._fd, max(0, min(nbytes, self.nbytes - offset)), offset)
        except EOFError:  # its writer has cut it meanwhile
            self.nbytes = files.size_of(self._fd)
            return files.read_all(self._fd, max(0, min(nbytes, self.nbytes - offset)), offset)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, offset: int) -> bytearray:
        """At least the header.  Raises EOFError where the file ends within it."""
        start = self.read(offset, PEEK)
        if len(start) < _ENVELOPE_NBYTES and start[: len(MAGIC)] == MAGIC[: len(start)]:
            raise EOFError
        nbytes = header_nbytes_of(start)
        if nbytes <= len(start):
            return start
        if nbytes > _MOST_HEADER:
            raise ChunkCorrupt(f"its header claims {nbytes} bytes")
        if offset + nbytes > self.nbytes:
            raise EOFError
        return self.read(offset, nbytes)

    def _damage(self, header: Header, offset: int) -> str | None:
        """What is wrong with the parts.  Raises EOFError where the file ends before them."""
        if offset + header.record_nbytes > self.nbytes:
            raise EOFError
        small = (("positions", header.positions), ("weights", header.weights))
        layers = ((f"layer {i}", part) for i, part in enumerate(header.payloads))
        for name, part in (*small, ("search vectors", header.vectors), *layers):
            if part is not None and self._checksum(offset, part) != part.checksum:
                return f"{name}: its bytes are not those that were written"
        return None

    def _checksum(self, offset: int, part: Part) -> int:
        digest = xxhash.xxh3_64()
        end = offset + part.offset + part.nbytes
        for at in range(offset + part.offset, end, _WINDOW):
            digest.update(self.read(at, min(_WINDOW, end - at)))
        return digest.intdigest()

    @staticmethod
    def _short(header: Header | None, room: int) -> str:
        if header is None:
            return "within its header"
        return f"{header.record_nbytes - room} bytes before its end"


def scan_segment(path: Path, start: int | None = None) -> Iterator[Found]:
    """Everything in a segment but zeros and a whole head, in the order of the file.

    Within a record whose parts are damaged only whole records are looked for.

    Args:
        start: where to begin; None: with the head.

    Raises:
        MemoryFromFuture: if a newer longtake wrote a record.
        OSError: if the file cannot be opened.
    """
    with SegmentFile(path) as segment:
        if start is None:
            start, damage = _behind_head(segment)
            if damage is not None:
                yield damage
        at, claimed = start, 0  # up to there a damaged record says that the bytes are its own
        while (at := _next_byte(segment, at)) < segment.nbytes:
            found = segment.record(at)
            if found.damage is None:
                yield found
                at += max(found.nbytes, ALIGNMENT)
                continue
            behind = _next_magic(segment, at + ALIGNMENT)
            if at >= claimed:
                if found.header is None and not found.is_cut:
                    found = Found(at, behind - at, None, found.damage)
                claimed = at + found.nbytes
                yield found
            at = behind


def head_damage(segment: SegmentFile) -> str | None:
    """What is wrong with a segment's head, in words; None if it is whole, or there is none."""
    _, found = _behind_head(segment)
    return None if found is None else found.damage


def _behind_head(segment: SegmentFile) -> tuple[int, Found | None]:
    """Where the first record may begin, and what is wrong with the head.

    Raises:
        MemoryFromFuture: if a newer longtake wrote it.
    """
    nbytes = 0
    try:
        start = bytes(segment.read(0, PEEK))
        nbytes = head_nbytes_of(start)
        if nbytes:
            parse_head(segment.read(0, nbytes))
            return nbytes, None
        if start[: len(MAGIC)] == MAGIC[: len(start)] or not any(start[:ALIGNMENT]):
            return 0, None  # of the first longtake, or empty, or its first record was erased
        damage = "the head of the segment is changed"
    except ChunkCorrupt as error:
        damage = str(error)
    except OSError as error:
        damage = _unreadable(error)
    behind = _next_magic(segment, ALIGNMENT)
    is_cut = behind == segment.nbytes < max(nbytes, ALIGNMENT)
    return behind, Found(0, behind, None, damage, is_cut)


def _unreadable(error: OSError) -> str:
    return f"it cannot be read ({error.strerror or error})"


def _next_byte(segment: SegmentFile, at: int) -> int:
    """The first place from `at` where a record may begin: its bytes are not all zero."""
    at, nbytes = -(-at // ALIGNMENT) * ALIGNMENT, ALIGNMENT  # most often one begins here
    while at < segment.nbytes:
        data = _looked_at(segment, at, nbytes)
        if data is None:
            return at  # cannot be read: `record` says why
        if data.count(0) < len(data):
            return at + (len(data) - len(data.lstrip(b"\0"))) // ALIGNMENT * ALIGNMENT
        at, nbytes = at + len(data), _WINDOW
    return segment.nbytes


def _next_magic(segment: SegmentFile, at: int) -> int:
    """The first place from `at` that a record's magic word stands at; else the end."""
    while at < segment.nbytes:
        data = _looked_at(segment, at, _WINDOW)
        if data is None:
            at += PEEK
            continue
        found = data.find(MAGIC)
        while found >= 0 and found % ALIGNMENT:
            found = data.find(MAGIC, found + 1)
        if found >= 0:
            return at + found
        at += len(data) // ALIGNMENT * ALIGNMENT or ALIGNMENT
    return segment.nbytes


def _looked_at(segment: SegmentFile, at: int, most: int) -> bytearray | None:
    """The bytes from `at`, fewer where more cannot be read; None where none can."""
    for nbytes in (most, PEEK):
        try:
            return segment.read(at, min(nbytes, most))
        except OSError:
            continue
    return None
