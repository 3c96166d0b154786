"""What the writing thread of a memory does: records, commits, ageing, forgetting.

Nothing here takes the store's lock while a disk is waited for; what became of an entry is told
through `settle` and `moved`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from longtake.memory.ageing import Ager
from longtake.memory.archive import Archive
from longtake.memory.chunk import ChunkInfo
from longtake.memory.config import MemoryConfig
from longtake.memory.encoding import Encoder
from longtake.memory.files import MemoryFull
from longtake.memory.folder import MemoryFolder
from longtake.memory.forgetting import Forgotten, erase_first, forget
from longtake.memory.ladder import Ladder
from longtake.memory.marks import Missing, Span
from longtake.memory.queued import Queued, QueuedChunk, QueuedGap, QueuedNote

_log = logging.getLogger(__name__)
UNSYNCED_BYTES = 64 << 20  # written and not durable: from here on a commit does not wait
_LEAST_SPAN_S = 5.0  # of a segment, however soon chunks age

T = TypeVar("T")


class Desk:
    """The work of one writing thread; see `writer.Duties`.

    Args:
        folder: of the memory.
        archive, encoder: read and write its records.
        config: budgets and habits.
        clock: seconds; decides when a commit is due.
        settle: is told of entries that are durable now, or were withdrawn (no place).
        moved: is told of chunks that lie elsewhere, lost bits, or are gone.
    """

    def __init__(
        self,
        folder: MemoryFolder,
        archive: Archive,
        encoder: Encoder,
        config: MemoryConfig,
        clock: Callable[[], float],
        settle: Callable[[Sequence[Queued]], None],
        moved: Callable[[Sequence[int]], None],
    ) -> None:
        self._folder, self._encoder, self._config = folder, encoder, config
        self._clock, self._settle, self._moved = clock, settle, moved
        self._committed_s = clock()
        self._written: list[Queued] = []  # not durable yet, in order
        self._retreat: Callable[[list[Queued], Exception], None] | None = None
        ladder = Ladder.parse(config.ladder)
        self._most_span_s = max(_LEAST_SPAN_S, ladder.first_age_s / 4)
        self._begun_s: float | None = None  # first chunk of the segment that grows, where known
        self.ager = Ager(folder, archive, encoder, ladder, config.disk_bytes, moved)
        self._newest_s: float | None = None
        self._is_failing = False  # told already

    # ---------------------------------------------------------------- entries

    def write(self, entry: Queued) -> None:
        """Write an entry; durable after `commit`.

        Raises:
            MemoryFull: if there is no room.
            OSError: if the disk fails.
        """
        catalog = self._folder.catalog
        if isinstance(entry, QueuedNote):
            catalog.note(entry.key, entry.text)
        elif isinstance(entry, QueuedGap):
            catalog.miss(entry.missing)
        elif isinstance(entry, QueuedChunk):
            record = entry.record(self._encoder)
            self._close_in_time(entry.info)
            self._make_room(len(record), entry.info.end_s)
            entry.place = self._folder.segments.append(record)
            catalog.add(entry.row)
            self._newest_s = entry.info.end_s
        self._written.append(entry)

    def withdraw(self, entry: Queued) -> None:
        """An entry that could not be made durable at once is not kept."""
        if entry in self._written:
            self._written.remove(entry)
            if isinstance(entry, QueuedNote):
                self._folder.catalog.take_back_note(entry.key)
            elif isinstance(entry, QueuedGap):
                self._folder.catalog.take_back_gap(entry.missing)
            elif isinstance(entry, QueuedChunk) and entry.place is not None:
                self._folder.catalog.withdraw(entry.info.number)
                self._folder.segments.cut(entry.place.offset)
                entry.place = None
        self._settle([entry])

    def spoil(self, entry: Queued, error: Exception) -> None:
        """An entry that cannot be written: it is a gap, and that is said."""
        _log.error("%s: %s cannot be kept: %s", self._folder.path, entry, error)
        if isinstance(entry, QueuedChunk):
            info = entry.info
            gap = Missing(info.number, info.number, info.start_s, info.end_s, 1, "dropped")
            self._folder.catalog.miss(gap)
            self._written.append(QueuedGap(gap))
        self._settle([entry])

    # ---------------------------------------------------------------- commits

    def is_commit_due(self) -> bool:
        if not self._written:
            return False
        since_s = self._clock() - self._committed_s
        unsynced = sum(entry.nbytes for entry in self._written)
        return not 0 <= since_s < self._config.commit_s or unsynced > UNSYNCED_BYTES

    def until_commit_s(self) -> float | None:
        if not self._written:
            return None
        return max(0.0, self._committed_s + self._config.commit_s - self._clock())

    def commit(self) -> None:
        """Payload first, then the rows that speak of it.

        Raises:
            MemoryFull: if there is no room for the rows; they stay, and the next call tries again.
            OSError: if the disk failed; what was not durable waits again, for another segment.
        """
        if any(isinstance(entry, QueuedChunk) for entry in self._written):
            try:
                self._folder.sync_payload()
            except OSError as error:
                raise self._retreat_from(error) from error
        self._folder.commit_rows()
        self._is_failing = False
        done, self._written = self._written, []
        self._committed_s = self._clock()
        self._settle(done)

    def on_retreat(self, take_back: Callable[[list[Queued], Exception], None]) -> None:
        """Who gets back what was written and will never be durable where it was written."""
        self._retreat = take_back

    def _retreat_from(self, error: OSError) -> OSError:
        """A descriptor whose sync failed is never synced again: its tail goes to another file.

        Returns:
            What to say.
        """
        lost, self._written = self._written, []
        chunks = [entry for entry in lost if isinstance(entry, QueuedChunk)]
        first = chunks[0].place
        assert first is not None
        self._folder.catalog.take_back()  # notes and gaps too: they belong behind the chunks
        for entry in chunks:
            entry.place = None
        self._folder.segments.give_up(first.offset)
        self.ager.changed()
        failure = OSError(
            error.errno,
            f"the disk did not take the newest {len(chunks)} chunks ({error.strerror}), the first "
            f"{self._folder.catalog.durable} are safe. Check the disk; while the memory is open "
            "they can be read, and are written again with what comes next",
            str(self._folder.path),
        )
        if not self._is_failing:
            _log.warning("%s: %s", self._folder.path, failure.strerror)
        self._is_failing = True
        if self._retreat is not None:
            self._retreat(lost, failure)
        return failure

    # ---------------------------------------------------------------- what can wait

    def tend(self) -> bool:
        """A little ageing; True if there is more.  Where the disk refuses it waits for the next
        segment."""
        try:
            now_s = self._now_s()
            return now_s is not None and self.ager.step(now_s)
        except Exception as error:  # whatever it is, writing goes on
            if not isinstance(error, OSError):  # it would go wrong again
                self.ager.leave()
            _log.warning("%s: old chunks stay as they are for now: %s", self._folder.path, error)
            return False

    def mark(self, change: Callable[[], T]) -> T:
        """Change what is kept, while nothing ages."""
        self.ager.abandon()
        try:
            return change()
        finally:
            self.ager.changed()

    def forget(
        self,
        span: Span,
        camera: str | None,
        unstored: Sequence[ChunkInfo],
        take_out: Callable[[Callable[[Queued], bool]], list[Queued]],
    ) -> Forgotten:
        """Remove chunks for good, those that wait too; see `forgetting.forget`.

        Args:
            take_out: takes entries that are meant out of the queue.
        """

        def is_meant(entry: Queued) -> bool:
            if not isinstance(entry, QueuedChunk) or camera not in (None, entry.info.camera):
                return False
            return span.touches(entry.info.start_s, entry.info.end_s)

        waiting = take_out(is_meant)
        self._settle(waiting)
        infos = [entry.info for entry in waiting if isinstance(entry, QueuedChunk)]
        unstored = [*infos, *unstored]
        try:
            with suppress(MemoryFull):  # its bytes are gone by then; `forget` finishes
                self.ager.abandon(erase=True)
            self._commit_or_erase(span, camera)
            found = forget(self._folder, span, camera, unstored, self._moved)
            if camera is None:  # there is nothing of it to be kept
                self._folder.catalog.marks.release(span)
            return found
        finally:
            self.ager.changed()

    def _commit_or_erase(self, span: Span, camera: str | None) -> None:
        """Commit; where there is no room, what is to be forgotten makes it."""
        try:
            self.commit()
        except MemoryFull:
            erase_first(self._folder, span, camera)
            self.commit()

    def compact(self) -> None:
        """Give free room in the databases back to the disk."""
        self.commit()
        self._folder.catalog.vacuum()
        self._folder.album.vacuum()

    # ---------------------------------------------------------------- the end

    def end(self, left: Sequence[Queued]) -> None:
        """Commit, now that the thread has ended; on a full disk the newest chunks make room for
        the rows of the others.

        Args:
            left: what could not be written any more.

        Raises:
            OSError: if it came to that; says how many chunks it cost.
        """
        again: list[Queued] = []
        self._retreat = lambda entries, error: again.extend(entries)
        try:
            given_up = self._commit_what_fits()
        except OSError:
            if not again:
                raise
            given_up = self._write_again(again)
        given_up += sum(isinstance(entry, QueuedChunk) for entry in left)
        try:
            self.ager.abandon()
        except OSError as error:  # finished at the next opening
            _log.warning("%s: %s", self._folder.path, error)
        if given_up:
            raise MemoryFull(
                f"{self._folder.path}: there is no room; the newest {given_up} chunks could not "
                f"be kept, the first {self._folder.catalog.durable} are. Free some space (or raise "
                "--disk-bytes), or choose a memory folder on a larger disk"
            )

    def _write_again(self, entries: Sequence[Queued]) -> int:
        """To another file, once, as far as it goes; how many chunks had to be given up."""
        given_up = 0
        for i, entry in enumerate(entries):
            try:
                self.write(entry)
            except OSError:
                given_up = sum(isinstance(rest, QueuedChunk) for rest in entries[i:])
                break
        return given_up + self._commit_what_fits()

    def _commit_what_fits(self) -> int:
        """How many of the newest chunks had to be given up."""
        given_up = 0
        while True:
            try:
                self.commit()
                return given_up
            except MemoryFull:
                chunks = [entry for entry in self._written if isinstance(entry, QueuedChunk)]
                if not chunks:
                    raise
                self.withdraw(chunks[-1])
                given_up += 1

    def _now_s(self) -> float | None:
        """Session time of the newest chunk."""
        if self._newest_s is None:
            newest = self._folder.catalog.last()
            self._newest_s = None if newest is None else newest.info.end_s
        return self._newest_s

    def close_segment(self) -> None:
        """What the segment that grows holds may age too."""
        self.commit()  # only the segment that grows ever holds what is not durable
        self._folder.segments.roll()
        self._begun_s = None
        self.ager.changed()

    def _close_in_time(self, info: ChunkInfo) -> None:
        """Chunks age by segments: one that spans too long would keep its oldest ones."""
        segments = self._folder.segments
        if self._begun_s is None:
            growing = segments.current
            first = None if growing is None else self._folder.catalog.first_of(growing)
            self._begun_s = info.start_s if first is None else first.info.start_s
        if info.start_s - self._begun_s > self._most_span_s:
            self.close_segment()
            self._begun_s = info.start_s

    def _make_room(self, nbytes: int, now_s: float) -> None:
        """A new segment where the last one is full; old chunks give way at `disk_bytes`.

        Raises:
            MemoryFull: if they cannot.
        """
        segments = self._folder.segments
        if not segments.has_room(nbytes):
            self.close_segment()
        if self.ager.make_room(nbytes, now_s):
            return
        if segments.current is not None:  # all there is may lie in what grows
            self.close_segment()
            if self.ager.make_room(nbytes, now_s):
                return
        limit, used = self._config.disk_bytes, self._folder.nbytes
        rows = self._folder.catalog.nbytes + self._folder.album.nbytes
        raise MemoryFull(
            f"{self._folder.path}: {used} bytes ({rows} of them rows and pictures), no room for "
            f"{nbytes} more within disk_bytes={limit}; raise it (--disk-bytes; less than some 30 "
            "chunks makes no sense), or go on in another folder. Earlier chunks are kept"
        )
