"""An append-only log of records in files of bounded size.

``segments/000000.kvseg``, ``000001.kvseg`` ...: each begins with a head, only one of them grows,
and a number is never used twice.  A record never spans two files, and never changes; it may be
erased.  What a record says is `record`'s business; which records count is the catalog's: bytes
behind the last one that it knows are a torn tail, and cut.
"""

import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from longtake.memory import files
from longtake.memory.descriptors import Descriptors
from longtake.memory.files import MemoryDamaged, MemoryFull
from longtake.memory.record import MAGIC as RECORD_MAGIC
from longtake.memory.record import ChunkCorrupt, alignment_of
from longtake.memory.segment_head import Head, head_nbytes_of, parse_head

_OPEN_FILES = 16  # descriptors kept for reading
_PEEK = 4096
_AT_ONCE = 4 << 20  # bytes looked through together


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    segment: int
    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


class SegmentWriter:
    """One segment that grows: one thread at a time.

    Args:
        path: its file; made with its head, durably named, where `end` is None.
        head: the first bytes of a new file.
        end: of the records that count in a file that is there; what lies behind is cut.
    """

    def __init__(self, path: Path, number: int, head: bytes, end: int | None = None) -> None:
        self.path, self.number = path, number
        self._fd = files.open_to_append(path)
        try:
            if end is None:
                files.truncate(self._fd, 0)
                files.write_all(self._fd, head, 0)
                files.sync_folder(path.parent)
                end = len(head)
            else:
                files.truncate(self._fd, end)
        except OSError:
            os.close(self._fd)
            if end is None:
                path.unlink(missing_ok=True)
            raise
        self.end = end

    @property
    def whole(self) -> Place:
        """All of the file."""
        return Place(self.number, 0, self.end)

    def append(self, record: bytearray) -> Place:
        """Write a record at the end.  It is durable after the next `sync`.

        Raises:
            MemoryFull: if the disk is full; the file is as it was before.
            OSError: if the disk fails otherwise; the file is as it was before.
        """
        alignment = alignment_of(record)
        place = Place(self.number, -(-self.end // alignment) * alignment, len(record))
        try:
            files.write_all(self._fd, record, place.offset)
        except OSError as error:
            files.truncate(self._fd, self.end)
            if files.is_full(error):
                raise MemoryFull(
                    error.errno,
                    f"no room for {len(record)} more bytes ({error.strerror}); earlier chunks "
                    "are kept. Free some space, or choose a memory folder on a larger disk",
                    str(self.path),
                ) from error
            raise
        self.end = place.end
        return place

    def cut(self, end: int) -> None:
        """Forget what lies at or after `end`."""
        files.truncate(self._fd, end)
        self.end = end

    def sync(self) -> None:
        """Return when every record appended is on the device.  A failure is final."""
        files.sync_data(self._fd)

    def close(self) -> None:
        """Give the descriptor back.  Syncs nothing.  Calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SegmentLog:
    """The segments of one memory: one thread writes, any thread reads.

    Args:
        folder: where the files lie.
        segment_bytes: a record that would take a file beyond this size begins the next one.
        head: the first bytes of each new file.
        known: segments that the catalog names; others are what a crash left, and removed.
        after: the last record that counts in the segment that goes on; None: a new one begins.
        read_only: nothing is made, cut or written.

    Raises:
        MemoryDamaged: if there is more than a crash leaves there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        head: bytes = b"",
        known: Collection[int] = (),
        after: Place | None = None,
        read_only: bool = False,
    ) -> None:
        self._folder, self._head = folder, head
        self._segment_bytes = segment_bytes
        self._read_only = read_only
        self._descriptors = Descriptors(_OPEN_FILES)
        self._heads: dict[int, Head | None] = {}
        self._lock = threading.Lock()  # of `_sizes`
        self._sizes: dict[int, int] = {}  # bytes on disk of the files that do not grow
        self._next = 0
        self._growing: list[SegmentWriter] = []
        self._current: SegmentWriter | None = None  # the one of them that `append` writes to
        if not read_only:
            files.make_folder(folder)
            self._resume(known, after)

    @property
    def nbytes(self) -> int:
        """Bytes in all segments."""
        if self._read_only:
            return sum(_on_disk(self.path(number)) for number in segment_numbers(self._folder))
        with self._lock:
            growing = sum(writer.end for writer in self._growing)
            return sum(self._sizes.values()) + growing

    @property
    def current(self) -> int | None:
        """The segment that grows."""
        return None if self._current is None else self._current.number

    def has_room(self, nbytes: int) -> bool:
        """True if a record of this size may be appended without `roll`."""
        current = self._current
        if current is None:
            return True
        used = current.end - len(self._head)
        return used <= 0 or used + nbytes <= self._segment_bytes

    def append(self, record: bytearray) -> Place:
        """Write a record at the end.  It is durable after the next `sync`.

        Raises:
            MemoryFull: if the disk is full; the log is as it was before.
            OSError: if the disk fails otherwise; the log is as it was before.
        """
        if self._current is None:
            self._current = self.begin()
        return self._current.append(record)

    def cut(self, end: int) -> None:
        """Forget what lies at or after `end` in the segment that grows."""
        assert self._current is not None
        self._current.cut(end)

    def sync(self) -> None:
        """Return when every record appended is on the device.

        A failure is final for this file: call `roll`, and append again what was not synced.
        """
        if self._current is not None:
            self._current.sync()

    def roll(self) -> None:
        """Close the segment that grows; the next record begins another one."""
        writer, self._current = self._current, None
        if writer is not None:
            self.settle(writer)
            if writer.end <= len(self._head):  # nothing came
                self.remove(writer.number)

    def give_up(self, end: int) -> None:
        """Write no more to the segment that grows: what lies at or after `end` does not count."""
        writer, self._current = self._current, None
        assert writer is not None
        try:
            writer.cut(end)
        except OSError:  # cut at the next opening
            writer.end = end
        self.settle(writer)
        if end <= len(self._head):
            try:
                self.remove(writer.number)
            except OSError:  # removed at the next opening
                pass

    def begin(
        self,
        announce: Callable[[int], None] = lambda number: None,
        head: bytes | None = None,
    ) -> SegmentWriter:
        """A new segment beside the one that grows; `settle` it, or `remove` it.

        Args:
            announce: is told its number before its file is made.
            head: its first bytes, where they are not those of all new segments.
        """
        number = self._next
        announce(number)
        self._next += 1
        writer = SegmentWriter(self.path(number), number, head or self._head)
        with self._lock:
            self._growing.append(writer)
        return writer

    def settle(self, writer: SegmentWriter) -> None:
        """A segment grows no more.  The caller has synced it."""
        writer.close()
        with self._lock:
            if writer in self._growing:
                self._growing.remove(writer)
            self._sizes[writer.number] = _on_disk(writer.path)

    def remove(self, number: int) -> None:
        """Delete a segment that no record counts in, durably."""
        path = self.path(number)
        self._descriptors.forget(path)
        files.unlink(path)
        with self._lock:
            self._sizes.pop(number, None)

    def erase(self, place: Place) -> None:
        """Overwrite a record with zeros, durably, and give its room back to the disk."""
        fd = files.open_to_append(self.path(place.segment))
        try:
            files.erase(fd, place.offset, place.nbytes)
        finally:
            os.close(fd)
        with self._lock:
            if place.segment in self._sizes:
                self._sizes[place.segment] = _on_disk(self.path(place.segment))

    def read(self, place: Place, start: int = 0, nbytes: int | None = None) -> bytearray:
        """Bytes of a record, from `start` within it; to its end by default.

        Raises:
            ChunkCorrupt: if the file is missing or ends before.
        """
        count = place.nbytes - start if nbytes is None else min(nbytes, place.nbytes - start)
        data = bytearray(count)
        self.read_into(place, start, memoryview(data))
        return data

    def read_into(self, place: Place, start: int, buffer: memoryview) -> None:
        """Fill a buffer with bytes of a record, from `start` within it.  Raises like `read`."""
        path = self.path(place.segment)
        try:
            with self._descriptors.borrow(path) as fd:
                files.read_into(fd, buffer, place.offset + start)
        except FileNotFoundError as error:
            raise ChunkCorrupt(f"{path} is missing") from error
        except EOFError as error:
            raise ChunkCorrupt(f"{path} is too short: {error}") from error

    def head(self, number: int) -> Head | None:
        """What a segment says of itself; None for one of the first longtake.

        Raises:
            ChunkCorrupt, MemoryFromFuture: see `segment_head.parse_head`.
        """
        if number not in self._heads:
            self._heads[number] = read_head(self.path(number))
        return self._heads[number]

    def path(self, segment: int) -> Path:
        """A segment's file."""
        return segment_path(self._folder, segment)

    def close(self) -> None:
        """Give back every descriptor.  Syncs nothing.  Calling it again does nothing."""
        self._descriptors.close()
        for writer in self._growing:
            writer.close()
        self._growing.clear()
        self._current = None

    def _resume(self, known: Collection[int], after: Place | None) -> None:
        """Go on behind the last record that counts.  A missing file stays a gap."""
        found = segment_numbers(self._folder)
        self._next = max([-1, *found, *known]) + 1
        unknown = sorted(found - set(known))
        filled = [n for n in unknown if _may_hold_records(self.path(n))]
        if len(filled) > 1:
            raise MemoryDamaged(
                f"{self._folder}: {len(filled)} segments are not in the catalog, a crash leaves "
                "one at most. Is the catalog an old copy? Nothing was changed; "
                f"longtake memory verify --rebuild {self._folder.parent} makes it again from the "
                "segments"
            )
        for number in unknown:
            files.unlink(self.path(number))
        self._sizes = {n: _on_disk(self.path(n)) for n in found & set(known)}
        if after is not None and after.segment in self._sizes:
            del self._sizes[after.segment]
            path = self.path(after.segment)
            self._current = SegmentWriter(path, after.segment, self._head, after.end)
            self._growing.append(self._current)


def segment_path(folder: Path, segment: int) -> Path:
    """The file of a segment."""
    return folder / f"{segment:06d}.kvseg"


def segment_numbers(folder: Path) -> set[int]:
    """Of the segments that lie there."""
    return {int(path.stem) for path in folder.glob("*.kvseg") if path.stem.isdigit()}


def segment_size(folder: Path, segment: int) -> int | None:
    """Bytes of a segment's file; None if there is none."""
    return files.size_at(segment_path(folder, segment))


def read_head(path: Path) -> Head | None:
    """What a segment says of itself; None for one of the first longtake, and an empty one.

    Raises:
        ChunkCorrupt, MemoryFromFuture: see `segment_head.parse_head`.
        FileNotFoundError: if there is no such file.
    """
    fd = files.open_to_read(path)
    try:
        size = files.size_of(fd)
        start = files.read_all(fd, min(_PEEK, size), 0)
        nbytes = head_nbytes_of(start)
        if not nbytes:
            return None
        if nbytes > len(start):
            start = files.read_all(fd, min(nbytes, size), 0)
        return parse_head(start)
    finally:
        os.close(fd)


def _may_hold_records(path: Path) -> bool:
    """True where something looks like a record: not in a file that was only begun, or erased."""
    fd = files.open_to_read(path)
    try:
        size, rest = files.size_of(fd), b""
        at = head_nbytes_of(files.read_all(fd, min(_PEEK, size), 0))
        while at < size:
            data = rest + bytes(files.read_all(fd, min(_AT_ONCE, size - at), at))
            if RECORD_MAGIC in data:
                return True
            at, rest = at + len(data) - len(rest), data[-len(RECORD_MAGIC) :]
        return False
    finally:
        os.close(fd)


def _on_disk(path: Path) -> int:
    """Bytes that a file takes, without the holes in it; 0 if it is gone."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0
    return min(found.st_size, found.st_blocks * 512) if found.st_blocks else found.st_size
