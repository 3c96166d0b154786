"""Old chunks take less room: a segment at a time, record by record, between other work.

A segment is written anew one rung lower beside the old one, made durable, and put in its place in
one commit; a crash at any moment leaves the one or the other.  Kept chunks move along and stay as
they are.  A record that cannot be read stays where it is.  What is next, `piles` says.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from torch import Tensor

from longtake.memory.archive import Archive
from longtake.memory.catalog import Catalog, Row
from longtake.memory.chunk import Chunk
from longtake.memory.encoding import Encoder
from longtake.memory.folder import MemoryFolder
from longtake.memory.intent import Forgetting, Intent
from longtake.memory.ladder import GONE, PICTURE, Ladder, Rung, level_of
from longtake.memory.marks import missing_of
from longtake.memory.piles import Pile, Piles, is_kept
from longtake.memory.record import MemoryFromFuture
from longtake.memory.segment_head import encode_head
from longtake.memory.segments import SegmentWriter

_log = logging.getLogger(__name__)
PICTURES_AT_ONCE = 1000  # chunks without keys that go together, when they are too old
PICTURES_FOR_ROOM = 8  # and when room is needed
ALBUM_SHARE = 0.25  # of `disk_bytes`; with more in pictures, old ones go before any more keys do
ROOM = 0.88  # of `disk_bytes`: from here on old chunks make room for those to come
TIGHT = 0.93  # from here on a new chunk waits for that: a segment is written anew beside itself


class Ager:
    """Takes chunks down the ladder.  All of it runs on the thread that writes.

    Args:
        folder: of the memory.
        archive: reads its records.
        encoder: writes them.
        ladder: the rungs.
        limit_bytes: of the whole folder; None: ages alone decide.
        moved: is told of chunks that lie elsewhere now, or have no keys any more.
    """

    def __init__(
        self,
        folder: MemoryFolder,
        archive: Archive,
        encoder: Encoder,
        ladder: Ladder,
        limit_bytes: int | None,
        moved: Callable[[Sequence[int]], None],
    ) -> None:
        self._folder, self._archive, self._encoder = folder, archive, encoder
        self._ladder, self._limit_bytes, self._moved = ladder, limit_bytes, moved
        self._piles = Piles(folder, ladder)
        self._pile: Pile | None = None  # that is written anew
        self._task: Generator[None] | None = None
        self._written: list[SegmentWriter] = []  # by the task
        self.aged = 0  # chunks taken down a rung

    @property
    def _catalog(self) -> Catalog:
        return self._folder.catalog

    def step(self, now_s: float) -> bool:
        """A record's worth of work; True if there is more.

        Args:
            now_s: session time of the newest chunk.

        Raises:
            OSError: if the disk refuses; everything is as it was before the segment was begun.
        """
        return self._step(now_s, need=self._needs_room(0))

    def make_room(self, nbytes: int, now_s: float) -> bool:
        """Age until so many bytes fit below the limit; False if that cannot be done."""
        if self._needs_room(nbytes, TIGHT):
            self._trim()
        while self._needs_room(nbytes, TIGHT):
            if not self._step(now_s, need=True):
                break
        return not self._needs_room(nbytes, 1.0)

    def changed(self) -> None:
        """Segments, kept spans or chunks are others now."""
        self._piles.changed()

    def leave(self) -> None:
        """Something is wrong with the segment that is, or was, under way: not again."""
        if self._pile is not None:
            self._piles.leave(self._pile.segment)

    def abandon(self, *, erase: bool = False) -> None:
        """Take the segment under way back.

        Args:
            erase: what was written of it is overwritten too.
        """
        if self._task is not None:
            self._task.close()
            self._task = None
        self._take_back(erase=erase)

    def _take_back(self, *, erase: bool = False) -> None:
        written, self._written = self._written, []
        for writer in written:
            self._folder.segments.settle(writer)
        for writer in written:
            if erase:
                self._folder.segments.erase(writer.whole)
            self._folder.segments.remove(writer.number)
        if written:
            self._catalog.intend({})

    # ---------------------------------------------------------------- what is next

    def _needs_room(self, nbytes: int, share: float = ROOM) -> bool:
        limit = self._limit_bytes
        return limit is not None and self._folder.nbytes + nbytes > share * limit

    @property
    def _is_album_large(self) -> bool:
        limit = self._limit_bytes
        return limit is not None and self._folder.album.nbytes > ALBUM_SHARE * limit

    def _trim(self) -> None:
        if self._limit_bytes is not None:
            self._folder.trim()

    def _step(self, now_s: float, *, need: bool) -> bool:
        if self._task is None:
            if need and self._is_album_large and self._drop_pictures(now_s, need=True):
                return True
            found = self._piles.next(now_s, need=need)
            if found is None:
                return self._drop_pictures(now_s, need=need)
            self._pile = found[0]
            self._task = self._age(*found)
        try:
            next(self._task)
        except StopIteration:
            self._task = None
            self._piles.changed()
            self._trim()  # what the change took in the databases' logs is no reason to age more
        except BaseException:
            self.abandon()
            raise
        return True

    # ---------------------------------------------------------------- one segment

    def _age(self, pile: Pile, rung: Rung) -> Generator[None]:
        """Write a segment anew, one rung lower; kept chunks to another one, as they are."""
        self._folder.finish()
        spans = self._catalog.marks.kept()
        rows = self._catalog.in_segment(pile.segment)
        target = level_of(rung.name)
        old = [row for row in rows if not is_kept(row, spans) and level_of(row.codec) < target]
        going = {row.info.number for row in old}
        moved = yield from self._copy([row for row in rows if row.info.number not in going])
        if rung.name in (PICTURE, GONE):
            lowered = [replace(row, place=None, codec=PICTURE) for row in old]
        else:
            lowered = yield from self._lower(old, rung.name)
        moved += lowered
        left = len(rows) - len(moved)
        if left:  # the others' bytes go, theirs stay
            self._piles.leave(pile.segment)
            _log.warning("%d chunks cannot be read: they stay as they are", left)
        if not lowered:
            self._take_back()
            self._piles.leave(pile.segment)
            return
        for writer in self._written:
            if not self._folder.is_temporary:
                writer.sync()
            self._folder.segments.settle(writer)
        intent = Intent(remove=(pile.segment,))
        if left:
            names = {row.info.number for row in moved}
            places = (row.place for row in rows if row.info.number in names)
            intent = Intent(erase=tuple(place for place in places if place is not None))
        self._catalog.move(moved, intent.as_json())
        self._written = []
        self._moved([row.info.number for row in lowered])
        self._folder.carry_out(intent)
        self.aged += len(lowered)
        _log.debug("segment %d: %d chunks to %s", pile.segment, len(lowered), rung.name)
        if rung.name == GONE:
            self._drop(lowered)

    def _lower(self, rows: Sequence[Row], codec: str) -> Generator[None, None, list[Row]]:
        """Chunks to a new segment in fewer bits; rows of those that could be read."""
        writer, moved = self._begin(None), []
        for row in rows:
            read = self._read(row)
            if read is not None:
                record = self._encoder.encode(*read, codec)
                name = self._encoder.name(codec)
                moved.append(replace(row, place=writer.append(record), codec=name))
            yield
        return moved

    def _copy(self, rows: Sequence[Row]) -> Generator[None, None, list[Row]]:
        """Records to a new segment as they are, with the head that they were written under."""
        if not rows:
            return []
        assert rows[0].place is not None
        try:
            head = self._folder.segments.head(rows[0].place.segment)
        except (OSError, MemoryFromFuture):
            return []
        same = None if head is None else encode_head(head.model, head.fingerprint, head.key_bias)
        writer, moved = self._begin(same), []
        for row in rows:
            assert row.place is not None
            try:
                record = self._folder.segments.read(row.place)
            except OSError:
                continue
            moved.append(replace(row, place=writer.append(record)))
            yield
        return moved

    def _begin(self, head: bytes | None) -> SegmentWriter:
        writer = self._folder.segments.begin(self._announce, head)
        self._written.append(writer)
        return writer

    def _announce(self, number: int) -> None:
        """Until its rows are committed a new segment is one that a crash leaves behind."""
        going = [writer.number for writer in self._written]
        self._catalog.intend(Intent(remove=(*going, number)).as_json())

    def _read(self, row: Row) -> tuple[Chunk, Tensor] | None:
        """A chunk with its search vectors; None if it cannot be read."""
        try:
            opened = self._archive.open(row)
            return opened.chunk(), opened.vectors()
        except (OSError, MemoryFromFuture):
            return None

    # ---------------------------------------------------------------- the last rung

    def _drop_pictures(self, now_s: float, *, need: bool) -> bool:
        """Chunks of which only the picture is left go too; True if some went."""
        last = next((rung for rung in self._ladder.rungs if rung.name == GONE), None)
        if last is None:
            return False
        before_s = math.inf if need else now_s - last.after_s
        if before_s == -math.inf:
            return False
        self._folder.finish()
        rows = self._catalog.pictures(before_s, PICTURES_FOR_ROOM if need else PICTURES_AT_ONCE)
        self._drop(rows)
        self._trim()
        return bool(rows)

    def _drop(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        infos = sorted((row.info for row in rows), key=lambda info: info.number)
        numbers = tuple(info.number for info in infos)
        missing = missing_of(infos, "aged")
        forget = Forgetting(numbers, missing.start_s, missing.end_s, is_traceless=False)
        intent = Intent(forget=forget)
        self._catalog.remove(numbers, missing, intent.as_json())
        self._moved(numbers)
        self._folder.carry_out(intent)
