"""Old chunks take less room: a segment at a time, record by record, between other work.

A segment is written anew one rung lower beside the old one, made durable, and put in its place in
one commit; a crash at any moment leaves the one or the other.  What goes first is what has passed
a rung's age; for room, what stands highest, of that the oldest: everything is int8 before
anything is 4 bit.  Kept moments move along and stay as they are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from longtake.memory.archive import Archive
from longtake.memory.catalog import Catalog, Row
from longtake.memory.encoding import Encoder
from longtake.memory.folder import MemoryFolder
from longtake.memory.intent import Forgetting, Intent
from longtake.memory.ladder import GONE, PICTURE, Ladder, Rung, level_of
from longtake.memory.marks import Missing, Span
from longtake.memory.record import ChunkCorrupt
from longtake.memory.segments import Place, SegmentWriter

_log = logging.getLogger(__name__)
PICTURES_AT_ONCE = 1000  # chunks without keys that go together
ROOM = 0.88  # of `disk_bytes`: from here on old chunks make room for those to come
TIGHT = 0.93  # from here on a new chunk waits for that: a segment is written anew beside itself


@dataclass(frozen=True, slots=True)
class Pile:
    """A segment that may age."""

    segment: int
    level: int  # of what stands highest in it
    end_s: float  # of its newest chunk
    nbytes: int


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
        self._piles: list[Pile] | None = None  # oldest first; None: to be looked up
        self._task: Generator[None] | None = None
        self._written: list[SegmentWriter] = []  # of the task
        self._unreadable: list[Row] = []  # of the task
        self._stuck: set[int] = set()  # segments of what cannot be read
        self.aged = 0  # chunks taken down a rung

    @property
    def _catalog(self) -> Catalog:
        return self._folder.catalog

    def is_wanted(self, now_s: float) -> bool:
        """True if there is something to do: a task under way, an age passed, room to be made."""
        return self._task is not None or self._next(now_s, need=self._needs_room(0)) is not None

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

    def settled(self) -> None:
        """Segments, kept spans or chunks have changed: look at them anew."""
        self._piles = None

    def abandon(self, *, erase: bool = False) -> None:
        """Take the segment under way back.

        Args:
            erase: what was written of it is overwritten too.
        """
        if self._task is not None:
            self._task.close()
            self._task = None
        for writer in self._written:
            writer.close()
            self._folder.segments.settle(writer)
            if erase:
                self._folder.segments.erase(writer.whole)
            self._folder.segments.remove(writer.number)
        if self._written:
            self._catalog.intend({})
        self._written = []

    # ---------------------------------------------------------------- what is next

    def _needs_room(self, nbytes: int, share: float = ROOM) -> bool:
        limit = self._limit_bytes
        return limit is not None and self._folder.nbytes + nbytes > share * limit

    def _trim(self) -> None:
        if self._limit_bytes is not None:
            self._folder.trim()

    def _step(self, now_s: float, *, need: bool) -> bool:
        if self._task is None:
            found = self._next(now_s, need=need)
            if found is None:
                return self._drop_pictures(now_s, need=need)
            self._task = self._age(*found)
        try:
            next(self._task)
        except StopIteration:
            self._task = None
            self._piles = None
            self._trim()  # what the change took in the databases' logs is no reason to age more
        except BaseException:
            self.abandon()
            raise
        return True

    def _next(self, now_s: float, *, need: bool) -> tuple[Pile, Rung] | None:
        """What passed an age, lowest rung first; else, where room is needed, the highest pile."""
        if not self._ladder.rungs or not (need or self._ladder.has_ages):
            return None
        piles = self._find_piles()
        for pile in piles:
            rung = self._ladder.due(pile.level, now_s - pile.end_s)
            if rung is not None and self._may_go(pile, rung):
                return pile, rung
        if not need:
            return None
        candidates = [
            (pile.level, pile.segment, pile, rung)
            for pile in piles
            if (rung := self._ladder.next_below(pile.level)) is not None
            and self._may_go(pile, rung)
        ]
        if not candidates:
            return None
        _, _, pile, rung = min(candidates, key=lambda one: one[:2])
        return pile, rung

    def _may_go(self, pile: Pile, rung: Rung) -> bool:
        return pile.segment not in self._stuck or rung.name in (PICTURE, GONE)

    def _find_piles(self) -> list[Pile]:
        """Closed segments with something that is not kept, oldest first."""
        if self._piles is None:
            catalog, growing = self._catalog, self._folder.segments.current
            kept: dict[int, int] = {}
            for span in catalog.marks.kept():
                for segment, count in catalog.touching_by_segment(span).items():
                    kept[segment] = kept.get(segment, 0) + count
            by_segment: dict[int, list[tuple[int, float, int, int]]] = {}
            for held in catalog.held():
                if held.segment != growing:
                    one = (level_of(held.codec), held.end_s, held.nbytes, held.chunks)
                    by_segment.setdefault(held.segment, []).append(one)
            self._piles = [
                Pile(segment, min(levels), max(ends), sum(nbytes))
                for segment, parts in by_segment.items()
                for levels, ends, nbytes, chunks in [zip(*parts, strict=True)]
                if kept.get(segment, 0) < sum(chunks)
            ]
            self._piles.sort(key=lambda pile: pile.end_s)
        return self._piles

    # ---------------------------------------------------------------- one segment

    def _age(self, pile: Pile, rung: Rung) -> Generator[None]:
        """Write a segment anew, one rung lower; kept chunks to another one, as they are."""
        self._folder.finish()
        spans = self._catalog.marks.kept()
        rows = self._catalog.in_segment(pile.segment)
        target = level_of(rung.name)
        old = [row for row in rows if not _is_kept(row, spans) and level_of(row.codec) < target]
        going = {row.info.number for row in old}
        same = [row for row in rows if row.info.number not in going]
        moved: list[Row] = []
        if same:
            moved += yield from self._copy(same, None)
        if rung.name in (PICTURE, GONE):
            moved += [replace(row, place=None, codec=PICTURE) for row in old]
        else:
            self._unreadable = []
            moved += yield from self._copy(old, rung.name)
            if self._unreadable:  # as they are, where they are not tried again
                stuck = self._unreadable
                moved += yield from self._copy(stuck, None)
                self._stuck.add(self._written[-1].number)
                _log.warning("%d damaged chunks are moved as they are", len(stuck))
        for writer in self._written:
            if not self._folder.is_temporary:
                writer.sync()
            self._folder.segments.settle(writer)
        intent = Intent(remove=(pile.segment,))
        self._catalog.move(moved, intent.as_json())
        self._written = []
        self._moved(sorted(going))
        self._folder.carry_out(intent)
        self.aged += len(old)
        _log.debug("segment %d: %d chunks to %s", pile.segment, len(old), rung.name)
        if rung.name == GONE:
            self._drop([row for row in moved if row.codec == PICTURE])

    def _copy(self, rows: Sequence[Row], codec: str | None) -> Generator[None, None, list[Row]]:
        """Records to a new segment, in a codec or as they are; their new rows."""
        writer = self._folder.segments.begin(self._announce)
        self._written.append(writer)
        moved = []
        for row in rows:
            assert row.place is not None
            if codec is None:
                record, name = self._read_as_it_is(row.place), row.codec
            else:
                lowered = self._lower(row, codec)
                if lowered is None:
                    continue
                record, name = lowered, self._encoder.name(codec)
            moved.append(replace(row, place=writer.append(record), codec=name))
            yield
        return moved

    def _announce(self, number: int) -> None:
        """Until its rows are committed a new segment is one that a crash leaves behind."""
        going = [writer.number for writer in self._written]
        self._catalog.intend(Intent(remove=(*going, number)).as_json())

    def _lower(self, row: Row, codec: str) -> bytearray | None:
        """A chunk's record in fewer bits; None if it cannot be read."""
        try:
            opened = self._archive.open(row)
            return self._encoder.encode(opened.chunk(), opened.vectors(), codec)
        except ChunkCorrupt:
            self._unreadable.append(row)
            return None

    def _read_as_it_is(self, place: Place) -> bytearray:
        """A record's bytes, damaged or not; zeros where the file has lost them."""
        try:
            return self._folder.segments.read(place)
        except ChunkCorrupt:
            return bytearray(place.nbytes)

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
        rows = self._catalog.pictures(before_s, PICTURES_AT_ONCE)
        spans = self._catalog.marks.kept()
        rows = [row for row in rows if not _is_kept(row, spans)]
        self._drop(rows)
        self._trim()
        return bool(rows)

    def _drop(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        first, last = rows[0].info, rows[-1].info
        numbers = tuple(row.info.number for row in rows)
        missing = Missing(first.number, last.number, first.start_s, last.end_s, len(rows), "aged")
        intent = Intent(forget=Forgetting(numbers, first.start_s, last.end_s, is_traceless=False))
        self._catalog.remove(numbers, missing, intent.as_json())
        self._moved(numbers)
        self._folder.carry_out(intent)


def _is_kept(row: Row, spans: Sequence[Span]) -> bool:
    return any(span.touches(row.info.start_s, row.info.end_s) for span in spans)
