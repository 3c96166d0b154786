"""What is said of stretches of time: kept for good, or missing and why.

Both lie in the catalog's file, in tables of their own.  Session seconds.  Most gaps are chunks
that were seen and are not held.  A gap of `UNSEEN` tells that there was nothing to see: it has a
camera and no chunks, and stays when its time is forgotten, for nothing seen is told by it.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from longtake.memory.database import Database

if TYPE_CHECKING:  # to look at a memory needs no torch
    from longtake.memory.chunk import ChunkInfo

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS kept (start_s REAL, end_s REAL)",
    """CREATE TABLE IF NOT EXISTS gaps (
        first INTEGER, last INTEGER, start_s REAL, end_s REAL, chunks INTEGER, reason TEXT)""",
)
CAMERA = "ALTER TABLE gaps ADD COLUMN camera TEXT DEFAULT ''"  # earlier gaps have none
OFFLINE = "offline"
LOST = "lost"
UNSEEN = (OFFLINE,)  # a camera that was not connected
# By back-pressure; by a person; by the ladder; with the end of a file.
REASONS = ("dropped", "forgotten", "aged", LOST, *UNSEEN)
_IS_UNSEEN = "reason IN ({})".format(", ".join(f"'{reason}'" for reason in UNSEEN))
MOST_GAPS = 10_000  # older ones of one reason are joined
COLUMNS_OF = "SELECT name FROM pragma_table_info('gaps')"
FIELDS = ("first", "last", "start_s", "end_s", "chunks", "reason", "camera")
_ROWS = f"SELECT rowid, {', '.join(FIELDS)} FROM gaps WHERE reason = ? AND camera = ?"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, both ends included."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s)):
            raise ValueError(f"from {self.start_s} to {self.end_s} s: both must be finite")
        if self.start_s < 0:
            raise ValueError(f"from {self.start_s:g} s: session time counts from 0 s")
        if self.end_s < self.start_s:
            raise ValueError(
                f"from {self.start_s:g} to {self.end_s:g} s: the end must not be before the start"
            )

    def touches(self, start_s: float, end_s: float) -> bool:
        return self.start_s <= end_s and start_s <= self.end_s


@dataclass(frozen=True, slots=True)
class Gap:
    """Chunks of this stretch were seen and are not held; or, of `UNSEEN`, nothing was seen."""

    start_s: float
    end_s: float
    chunks: int  # 0 where nothing was seen
    reason: str  # one of REASONS
    camera: str = ""  # "": not told


@dataclass(frozen=True, slots=True)
class Missing:
    """Neighbouring chunk numbers that are gone, for a gap."""

    first: int  # -1 where nothing was seen
    last: int  # included
    start_s: float
    end_s: float
    chunks: int
    reason: str
    camera: str = ""

    @property
    def gap(self) -> Gap:
        """As it is told."""
        return Gap(self.start_s, self.end_s, self.chunks, self.reason, self.camera)

    def is_beside(self, other: Missing) -> bool:
        """True if the two are one gap."""
        if (self.reason, self.camera) != (other.reason, other.camera):
            return False
        if self.reason in UNSEEN:
            return self.start_s <= other.end_s and other.start_s <= self.end_s
        return self.last >= other.first - 1 and self.first <= other.last + 1

    def lies_in(self, other: Missing) -> bool:
        """True if the other, of the same reason and camera, tells of all this time."""
        is_alike = (self.reason, self.camera) == (other.reason, other.camera)
        return is_alike and other.start_s <= self.start_s and self.end_s <= other.end_s

    def joined(self, other: Missing) -> Missing:
        """Both, as one."""
        return replace(
            self,
            first=min(self.first, other.first),
            last=max(self.last, other.last),
            start_s=min(self.start_s, other.start_s),
            end_s=max(self.end_s, other.end_s),
            chunks=self.chunks + other.chunks,
        )


def missing_of(infos: Sequence[ChunkInfo], reason: str) -> Missing:
    """Chunks that are gone, as one gap.

    Args:
        infos: at least one, numbers rising.  Of several cameras their times may cross.
    """
    start_s, end_s = min(i.start_s for i in infos), max(i.end_s for i in infos)
    return Missing(infos[0].number, infos[-1].number, start_s, end_s, len(infos), reason)


def unseen(start_s: float, end_s: float, camera: str, reason: str) -> Missing:
    """A stretch in which a camera showed nothing.

    Raises:
        ValueError: if the times are not in order, or the reason is none of `UNSEEN`.
    """
    span = Span(start_s, end_s)
    if reason not in UNSEEN:
        raise ValueError(f"reason={reason!r}: without chunks it may be {', '.join(UNSEEN)}")
    return Missing(-1, -1, span.start_s, span.end_s, 0, reason, camera)


class Marks:
    """Kept spans and gaps of one memory.

    Args:
        database: the catalog's; its tables are there, or none of them (an old memory, read-only).
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        found = database.select("SELECT 1 FROM sqlite_master WHERE name = 'gaps'")
        self._is_there = bool(found)

    def kept(self) -> list[Span]:
        """What never ages, in time order, joined where it overlaps."""
        if not self._is_there:
            return []
        rows = self._db.select("SELECT start_s, end_s FROM kept ORDER BY start_s")
        return [Span(*row) for row in rows]

    def gaps(self) -> list[Missing]:
        """What is missing, in time order."""
        if not self._is_there:
            return []
        there = {name for (name,) in self._db.select(COLUMNS_OF)}
        return [Missing(*row) for row in self._db.select(select_gaps(there))]

    def keep(self, span: Span) -> None:
        """From now on nothing of it ages."""
        joined = [span]
        for other in self.kept():
            last = joined[-1]
            if last.touches(other.start_s, other.end_s):
                joined[-1] = Span(min(last.start_s, other.start_s), max(last.end_s, other.end_s))
            else:
                joined.insert(-1, other)
        self._write_kept(joined)

    def release(self, span: Span) -> None:
        """From now on all of it may age."""
        left: list[Span] = []
        for other in self.kept():
            if not other.touches(span.start_s, span.end_s):
                left.append(other)
                continue
            if other.start_s < span.start_s:
                left.append(Span(other.start_s, math.nextafter(span.start_s, 0.0)))
            if other.end_s > span.end_s:
                left.append(Span(math.nextafter(span.end_s, math.inf), other.end_s))
        self._write_kept(left)

    def _write_kept(self, spans: list[Span]) -> None:
        with self._db.change() as change:
            change.execute("DELETE FROM kept")
            rows = [(span.start_s, span.end_s) for span in spans]
            change.executemany("INSERT INTO kept VALUES (?, ?)", rows)


def select_gaps(there: Collection[str]) -> str:
    """The query for `FIELDS` of all gaps, in time order.

    Args:
        there: columns that the table has, as `COLUMNS_OF` finds them; an earlier version's
            have no camera.
    """
    asked = (name if name in there else f"'' AS {name}" for name in FIELDS)
    return f"SELECT {', '.join(asked)} FROM gaps ORDER BY start_s, first"


def add_gap(change: sqlite3.Connection, missing: Missing) -> None:
    """Within a change: record what is missing, joined with neighbours of the same reason and
    camera."""
    where = "last >= ? AND first <= ?"
    ends: tuple[float, float] = (missing.first - 1, missing.last + 1)
    if missing.reason in UNSEEN:
        where, ends = "end_s >= ? AND start_s <= ?", (missing.start_s, missing.end_s)
    beside = change.execute(f"{_ROWS} AND {where}", (missing.reason, missing.camera, *ends))
    _replace(change, missing, beside.fetchall())
    _join_oldest(change, missing.reason)


def close_gaps(change: sqlite3.Connection, come: Sequence[ChunkInfo], *, are_first: bool) -> None:
    """Within a change: chunks come that begin where, or before, something was missing.

    Chunks end in the order of time.  So one that comes later and ends before the end of a gap
    shows that the stream went back, and what lies behind its start is seen again.  To begin before
    a gap is not enough: another camera's may begin before a chunk that was dropped, and end behind
    it.  The first chunks after an opening may go back to any time, and may come in other lengths.
    What was `LOST` was so before the opening, and may come back under its numbers: it is closed
    by whatever begins where it does.

    A stretch in which a camera showed nothing is another matter: chunks of other cameras come from
    it, and its own begin where it ends.  It is cut where one of its own begins within it: a crash
    may have put the stream back.

    Args:
        come: the chunks, at least one, numbers rising.
        are_first: none was committed since the memory was opened.
    """
    begin_s = min(info.start_s for info in come)
    for rowid, gap in _gaps(change, f"start_s >= ? AND NOT {_IS_UNSEEN}", begin_s):
        if any(_is_again(info, gap, are_first) for info in come):
            change.execute("DELETE FROM gaps WHERE rowid = ?", (rowid,))
    for rowid, gap in _gaps(change, f"end_s > ? AND {_IS_UNSEEN}", begin_s):
        its = (info.start_s for info in come if info.camera == gap.camera)
        cut_s = min((at_s for at_s in its if gap.start_s < at_s < gap.end_s), default=None)
        if cut_s is not None:
            change.execute("UPDATE gaps SET end_s = ? WHERE rowid = ?", (cut_s, rowid))


def _gaps(change: sqlite3.Connection, where: str, *values: float) -> list[tuple[int, Missing]]:
    query = f"SELECT rowid, {', '.join(FIELDS)} FROM gaps WHERE {where}"
    return [(rowid, Missing(*fields)) for rowid, *fields in change.execute(query, values)]


def _is_again(info: ChunkInfo, gap: Missing, is_first: bool) -> bool:
    """True if a chunk that comes tells that the time of a gap is seen again from its start."""
    if info.start_s > gap.start_s:
        return False
    return gap.reason == LOST or (info.number > gap.last and (is_first or info.end_s < gap.end_s))


def with_waiting(gaps: Sequence[Missing], waiting: Iterable[Missing]) -> list[Gap]:
    """What is recorded, and what is on its way; what has just been recorded counts once.

    In time order.
    """
    more = [new for new in waiting if not any(new.lies_in(gap) for gap in gaps)]
    return [each.gap for each in sorted([*gaps, *more], key=lambda gap: gap.start_s)]


def _replace(change: sqlite3.Connection, missing: Missing, rows: Sequence[tuple[Any, ...]]) -> None:
    """One gap in place of these."""
    for rowid, *fields in rows:
        missing = missing.joined(Missing(*fields))
        change.execute("DELETE FROM gaps WHERE rowid = ?", (rowid,))
    change.execute(
        f"INSERT INTO gaps ({', '.join(FIELDS)}) VALUES (?,?,?,?,?,?,?)",
        tuple(getattr(missing, name) for name in FIELDS),
    )


def _join_oldest(change: sqlite3.Connection, reason: str) -> None:
    """Keep the table bounded: beyond MOST_GAPS the oldest two of a reason become one, those of
    the camera that has most."""
    (count,) = change.execute("SELECT COUNT(*) FROM gaps WHERE reason = ?", (reason,)).fetchone()
    if count <= MOST_GAPS:
        return
    most = "SELECT camera FROM gaps WHERE reason = ? GROUP BY camera ORDER BY COUNT(*) DESC LIMIT 1"
    (camera,) = change.execute(most, (reason,)).fetchone()
    oldest = change.execute(f"{_ROWS} ORDER BY start_s, first LIMIT 2", (reason, camera))
    first, *rest = oldest.fetchall()
    change.execute("DELETE FROM gaps WHERE rowid = ?", (first[0],))
    if rest:  # otherwise each has one: the oldest goes
        _replace(change, Missing(*first[1:]), rest)
