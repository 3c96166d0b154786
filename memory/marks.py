"""What is said of stretches of time: kept for good, or missing and why.

Both lie in the catalog's file, in tables of their own.  Session seconds.
"""

import math
import sqlite3
from dataclasses import dataclass

from longtake.memory.database import Database

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS kept (start_s REAL, end_s REAL)",
    """CREATE TABLE IF NOT EXISTS gaps (
        first INTEGER, last INTEGER, start_s REAL, end_s REAL, chunks INTEGER, reason TEXT)""",
)
# By back-pressure; by a person; by the ladder; with the end of a file.
REASONS = ("dropped", "forgotten", "aged", "lost")
MOST_GAPS = 10_000  # older ones of one reason are joined


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
    """Chunks of this stretch were seen and are not held."""

    start_s: float
    end_s: float
    chunks: int
    reason: str  # one of REASONS


@dataclass(frozen=True, slots=True)
class Missing:
    """Neighbouring chunk numbers that are gone, for a gap."""

    first: int
    last: int  # included
    start_s: float
    end_s: float
    chunks: int
    reason: str


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

    def gaps(self) -> list[Gap]:
        """What is missing, in time order."""
        if not self._is_there:
            return []
        rows = self._db.select("SELECT start_s, end_s, chunks, reason FROM gaps ORDER BY first")
        return [Gap(*row) for row in rows]

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


def add_gap(change: sqlite3.Connection, missing: Missing) -> None:
    """Within a change: record what is gone, joined with a neighbour of the same reason."""
    first, last, start_s, end_s, chunks = (
        missing.first,
        missing.last,
        missing.start_s,
        missing.end_s,
        missing.chunks,
    )
    beside = "SELECT rowid, first, last, start_s, end_s, chunks FROM gaps WHERE reason = ?"
    neighbours = change.execute(
        f"{beside} AND last >= ? AND first <= ?", (missing.reason, first - 1, last + 1)
    ).fetchall()
    for rowid, its_first, its_last, its_start_s, its_end_s, its_chunks in neighbours:
        first, last = min(first, its_first), max(last, its_last)
        start_s, end_s = min(start_s, its_start_s), max(end_s, its_end_s)
        chunks += its_chunks
        change.execute("DELETE FROM gaps WHERE rowid = ?", (rowid,))
    change.execute(
        "INSERT INTO gaps VALUES (?,?,?,?,?,?)",
        (first, last, start_s, end_s, chunks, missing.reason),
    )
    _join_oldest(change, missing.reason)


def close_gaps(change: sqlite3.Connection, number: int, start_s: float) -> None:
    """Within a change: a chunk begins where, or before, something was missing.

    Time only goes forward among chunks, so what lies behind its start is seen again.
    """
    change.execute("DELETE FROM gaps WHERE last < ? AND start_s >= ?", (number, start_s))


def _join_oldest(change: sqlite3.Connection, reason: str) -> None:
    """Keep the table bounded: beyond MOST_GAPS the oldest two of a reason become one."""
    (count,) = change.execute("SELECT COUNT(*) FROM gaps WHERE reason = ?", (reason,)).fetchone()
    if count <= MOST_GAPS:
        return
    two = change.execute(
        "SELECT rowid, first, last, start_s, end_s, chunks FROM gaps WHERE reason = ? "
        "ORDER BY first LIMIT 2",
        (reason,),
    ).fetchall()
    change.executemany("DELETE FROM gaps WHERE rowid = ?", [(row[0],) for row in two])
    change.execute(
        "INSERT INTO gaps VALUES (?,?,?,?,?,?)",
        (two[0][1], two[1][2], two[0][3], two[1][4], two[0][5] + two[1][5], reason),
    )
