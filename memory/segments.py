"""An append-only log of records in files of bounded size.

``segments/000000.kvseg``, ``000001.kvseg`` ...: only the last one grows.  A record never
spans two files, and never changes.  What a record says is `record`'s business; which
records count is the catalog's: bytes after the last one it knows are a torn tail, and cut.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from longtake.memory import files
from longtake.memory.files import MemoryDamaged, MemoryFull
from longtake.memory.record import ChunkCorrupt, alignment_of

_OPEN_FILES = 16  # descriptors kept for reading old segments


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies."""

    segment: int
    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


class SegmentLog:
    """The segments of one memory: one thread at a time.

    Args:
        folder: where the files lie.
        segment_bytes: a record that would take a file beyond this size begins the next one.
        after: the last record that counts; what lies behind it is cut.  None: no record counts.
        read_only: nothing is made, cut or written.

    Raises:
        MemoryDamaged: if there is more behind `after` than a crash leaves there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        after: Place | None = None,
        read_only: bool = False,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._reading: OrderedDict[int, int] = OrderedDict()
        self._fd = -1
        self._segment = 0
        self._end = 0
        self._closed_nbytes = 0
        if not read_only:
            files.make_folder(folder)
            self._resume(after)

    @property
    def nbytes(self) -> int:
        """Bytes in all segments."""
        return self._size_on_disk() if self._fd < 0 else self._closed_nbytes + self._end

    def has_room(self, nbytes: int) -> bool:
        """True if a record of this size may be appended without `roll`."""
        return self._end == 0 or self._end + nbytes <= self._segment_bytes

    def append(self, record: bytearray) -> Place:
        """Write a record at the end.  It is durable after the next `sync`.

        Raises:
            MemoryFull: if the disk is full; the log is as it was before.
            OSError: if the disk fails otherwise; the log is as it was before.
        """
        alignment = alignment_of(record)
        place = Place(self._segment, -(-self._end // alignment) * alignment, len(record))
        try:
            files.write_all(self._fd, record, place.offset)
        except OSError as error:
            files.truncate(self._fd, self._end)
            if files.is_full(error):
                raise MemoryFull(
                    error.errno,
                    f"no room for {len(record)} more bytes ({error.strerror}); earlier chunks "
                    "are kept. Free some space, or choose a memory folder on a larger disk",
                    str(self.path(self._segment)),
                ) from error
            raise
        self._end = place.end
        return place

    def cut(self, end: int) -> None:
        """Forget what lies at or after `end` in the last segment."""
        files.truncate(self._fd, end)
        self._end = end

    def roll(self) -> None:
        """Begin the next segment.  The caller has synced the one that ends."""
        old_fd, old_end = self._fd, self._end
        self._begin(self._segment + 1)
        self._closed_nbytes += old_end
        os.close(old_fd)

    def sync(self) -> None:
        """Return when every record appended is on the device.  A failure is final."""
        files.sync_data(self._fd)

    def read(self, place: Place, start: int = 0, nbytes: int | None = None) -> bytearray:
        """Bytes of a record, from `start` within it; to its end by default.

        Raises:
            ChunkCorrupt: if the file is missing or ends before.
        """
        count = place.nbytes - start if nbytes is None else min(nbytes, place.nbytes - start)
        try:
            return files.read_all(self._descriptor(place.segment), count, place.offset + start)
        except FileNotFoundError as error:
            raise ChunkCorrupt(f"{self.path(place.segment)} is missing") from error
        except EOFError as error:
            raise ChunkCorrupt(f"{self.path(place.segment)} is too short: {error}") from error

    def path(self, segment: int) -> Path:
        """A segment's file."""
        return segment_path(self._folder, segment)

    def close(self) -> None:
        """Give back every descriptor.  Syncs nothing.  Calling it again does nothing."""
        for fd in self._reading.values():
            os.close(fd)
        self._reading.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _resume(self, after: Place | None) -> None:
        """Go on behind the last record that counts.  A missing file stays a gap."""
        segment, end = (0, 0) if after is None else (after.segment, after.end)
        unknown = [
            n
            for n in self._numbers()
            if n > segment or (after is None and segment_size(self._folder, n))
        ]
        if len(unknown) > 1:
            raise MemoryDamaged(
                f"{self._folder}: {len(unknown)} segments are not in the catalog, a crash leaves "
                "one at most. Is the catalog an old copy? Nothing was changed"
            )
        for number in unknown:
            self.path(number).unlink()
        if after is not None and segment_size(self._folder, segment) is None:
            segment, end = segment + 1, 0
        self._begin(segment)
        self.cut(end)
        self._closed_nbytes = self._size_on_disk() - end

    def _begin(self, segment: int) -> None:
        is_new = not self.path(segment).exists()
        self._fd = files.open_to_append(self.path(segment))
        if is_new:
            files.sync_folder(self._folder)
        self._segment, self._end = segment, files.size_of(self._fd)

    def _descriptor(self, segment: int) -> int:
        if self._fd >= 0 and segment == self._segment:
            return self._fd
        if segment not in self._reading:
            self._reading[segment] = files.open_to_read(self.path(segment))
            if len(self._reading) > _OPEN_FILES:
                _, oldest = self._reading.popitem(last=False)
                os.close(oldest)
        self._reading.move_to_end(segment)
        return self._reading[segment]

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self._folder.glob("*.kvseg") if path.stem.isdigit()]

    def _size_on_disk(self) -> int:
        return sum(segment_size(self._folder, number) or 0 for number in self._numbers())


def segment_path(folder: Path, segment: int) -> Path:
    """The file of a segment."""
    return folder / f"{segment:06d}.kvseg"


def segment_size(folder: Path, segment: int) -> int | None:
    """Bytes of a segment's file; None if there is none."""
    try:
        return segment_path(folder, segment).stat().st_size
    except FileNotFoundError:
        return None
