"""Which chunks there are, where each one lies, and whose memory this is.

A row is visible to its writer at once and durable after `commit`, together with the notes and
gaps of that time: all of them or none.  The caller makes the chunks' bytes durable before it
commits their rows.  What the bytes are is not known here.
"""

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.memory.chunk import ChunkInfo
from longtake.memory.database import Database
from longtake.memory.ladder import PICTURE
from longtake.memory.marks import LOST, Marks, Missing, Span, add_gap, close_gaps, missing_of
from longtake.memory.places import PlaceBook, Places
from longtake.memory.segments import Place
from longtake.memory.signature import read_signature, sign

_COLUMNS = (
    "number, start_s, end_s, camera, wall_s, tokens, layers, heads, dim, segment, offset, nbytes"
)
_AT_ONCE = 1000  # rows read together
_NEXT, _GENERATION = "next_number", "generation"  # notes of the catalog's own
_INTENT = "intent"


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk as the catalog knows it."""

    info: ChunkInfo
    geometry: tuple[int, int, int]  # layers, key/value heads, head dimension
    place: Place | None  # None: only its picture is left
    codec: str = "raw"  # name of its record's, or PICTURE


@dataclass(frozen=True, slots=True)
class Held:
    """Durable chunks of one segment in one codec."""

    segment: int
    codec: str
    chunks: int
    nbytes: int
    start_s: float
    end_s: float


class Catalog:
    """The catalog of one memory, `catalog.sqlite`: one thread changes it, any thread reads.

    Args:
        path: the file.
        model: name of the model whose keys these are; None: whatever model it is.
        fingerprint: tells this model's weights and settings from others of the same name.
        read_only: look on while another process writes.
        durable: False for a folder that is deleted at the end anyway.

    Raises:
        WrongModel: if another model wrote it.
        MemoryFromFuture: if a newer longtake wrote it in a form that this one does not know.
        MemoryDamaged: if it is no database.
        MemoryMissing: if it is to be read and nobody has signed it yet.
    """

    def __init__(
        self,
        path: Path,
        *,
        model: str | None,
        fingerprint: str | None,
        read_only: bool = False,
        durable: bool = True,
    ) -> None:
        self._path = path
        self._read_only = read_only
        self._lock = threading.RLock()  # of what is not durable yet, and of the count
        self._rows: dict[int, Row] = {}  # bounded by what comes between commits
        self._notes: dict[str, str] = {}
        self._missing: list[Missing] = []
        self._rungs: dict[str, int] | None = None  # of durable rows; None: to be counted
        self._next = 0
        self._is_new = True  # no chunk was committed since it was opened
        self._columns = f"{_COLUMNS}, codec"
        self._db = Database(path, read_only=read_only, synchronous="FULL" if durable else "OFF")
        try:
            signed = read_signature(self._db, model, fingerprint) if read_only else None
            signed = signed or sign(self._db, model, fingerprint)
            self.model, self.fingerprint = signed.model, signed.fingerprint
            self._has_codec = signed.has_codec
            if not self._has_codec:
                self._columns = f"{_COLUMNS}, 'raw'"
            self.marks = Marks(self._db)
            codec = "codec" if self._has_codec else "'raw'"
            self._book = PlaceBook(self._db.select, codec, is_told=not read_only)
            self._count = self._count_rows()
            self._next = max(self._noted_next(), self._last_number() + 1)
        except BaseException:
            self._db.close()
            raise

    @property
    def durable(self) -> int:
        """How many rows survive a crash now."""
        return self._count_rows() if self._read_only else self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the database on disk."""
        return self._db.nbytes

    @property
    def has_pending(self) -> bool:
        """True if there is something to commit."""
        return bool(self._rows or self._notes or self._missing)

    @property
    def next_number(self) -> int:
        """What the next new chunk may be called: no number is used twice."""
        if self._read_only:
            return max(self._noted_next(), self._last_number() + 1)
        return self._next

    @property
    def generation(self) -> int:
        """Changes when chunks have been removed, or have lost their keys."""
        return int(self.noted(_GENERATION, 0))

    def __len__(self) -> int:
        with self._lock:
            return self.durable + len(self._rows)

    def row(self, number: int) -> Row | None:
        """What is known about a chunk; None if there is none of that number."""
        with self._lock:
            if number in self._rows:
                return self._rows[number]
        return next(iter(self._select("WHERE number = ?", number)), None)

    def rows(self, first: int = 0, last: int | None = None) -> Iterator[Row]:
        """Chunks with first <= number < last, oldest first."""
        end = 1 << 62 if last is None else last
        with self._lock:
            pending = [row for number, row in self._rows.items() if first <= number < end]
        before = min(end, pending[0].info.number) if pending else end
        while first < before:
            found = self._select(
                f"WHERE number >= ? AND number < ? ORDER BY number LIMIT {_AT_ONCE}", first, before
            )
            yield from found
            if len(found) < _AT_ONCE:
                break
            first = found[-1].info.number + 1
        yield from pending

    def last(self) -> Row | None:
        """The newest chunk."""
        with self._lock:
            if self._rows:
                return next(reversed(self._rows.values()))
        return next(iter(self._select("ORDER BY number DESC LIMIT 1")), None)

    def touching(self, start_s: float, end_s: float) -> list[Row]:
        """Chunks that touch this time, oldest first."""
        found = self._select("WHERE end_s >= ? AND start_s <= ? ORDER BY number", start_s, end_s)
        with self._lock:
            pending = list(self._rows.values())
        return found + [
            row for row in pending if row.info.end_s >= start_s and row.info.start_s <= end_s
        ]

    def in_segment(self, segment: int) -> list[Row]:
        """Durable chunks whose records lie there, in the order of the records."""
        return self._select("WHERE segment = ? ORDER BY offset", segment)

    def segments(self) -> set[int]:
        """Segments that a durable row names: as many looks at the index as there are."""
        found: set[int] = set()
        newest: int | None = -1
        while True:
            query = "SELECT MIN(segment) FROM chunks WHERE segment > ?"
            newest = self._db.select(query, newest)[0][0]
            if newest is None:
                return found
            found.add(newest)

    def last_of(self, segment: int) -> Row | None:
        """The durable chunk whose record ends last there."""
        found = self._select("WHERE segment = ? ORDER BY offset DESC LIMIT 1", segment)
        return next(iter(found), None)

    def first_of(self, segment: int) -> Row | None:
        """The durable chunk whose record comes first there."""
        found = self._select("WHERE segment = ? ORDER BY offset LIMIT 1", segment)
        return next(iter(found), None)

    def held(self) -> list[Held]:
        """What lies in each segment, by codec."""
        found = self._db.select(
            "SELECT segment, codec, COUNT(*), SUM(nbytes), MIN(start_s), MAX(end_s) FROM chunks "
            "WHERE segment IS NOT NULL GROUP BY segment, codec"
        )
        return [Held(*fields) for fields in found]

    def touched(self, span: Span) -> set[int]:
        """Segments with durable chunks that touch a stretch of time."""
        found = self._db.select(
            "SELECT DISTINCT segment FROM chunks WHERE segment IS NOT NULL AND end_s >= ? "
            "AND start_s <= ?",
            *(span.start_s, span.end_s),
        )
        return {segment for (segment,) in found}

    def pictures(self, before_s: float, most: int) -> list[Row]:
        """The oldest chunks of which only the picture is left, ended by that time and not kept."""
        where = (
            "WHERE codec = ? AND end_s < ? AND NOT EXISTS (SELECT 1 FROM kept "
            "WHERE kept.start_s <= chunks.end_s AND kept.end_s >= chunks.start_s) "
            "ORDER BY number LIMIT ?"
        )
        return self._select(where, PICTURE, before_s, most)

    def places(self) -> Places:
        """Where the durable chunks lie, all of them."""
        return self._book.places(self.generation)

    def rungs(self) -> dict[str, int]:
        """Chunks by the codec they are written in, or PICTURE."""
        with self._lock:
            counts = None if self._rungs is None else dict(self._rungs)
            pending = list(self._rows.values())
        if counts is None:
            counts = self._count_rungs()
            if not self._read_only:
                with self._lock:
                    self._rungs = dict(counts)
        for row in pending:
            counts[row.codec] = counts.get(row.codec, 0) + 1
        return counts

    def _count_rungs(self) -> dict[str, int]:
        if self._has_codec:
            return dict(self._db.select("SELECT codec, COUNT(*) FROM chunks GROUP BY codec"))
        return {"raw": self.durable} if self.durable else {}

    def add(self, row: Row) -> None:
        """Take a chunk in, newer than any before; durable after `commit`."""
        with self._lock:
            self._rows[row.info.number] = row
            self._next = max(self._next, row.info.number + 1)

    def withdraw(self, number: int) -> None:
        """Take back an `add` that was not committed."""
        with self._lock:
            del self._rows[number]
            if self._next == number + 1:
                self._next = number

    def take_back(self) -> None:
        """All that was added, noted and missed since the last commit: it did not happen."""
        with self._lock:
            self._rows.clear()
            self._notes.clear()
            self._missing.clear()
            self._next = max(self._noted_next(), self._last_number() + 1)

    def take_back_note(self, key: str) -> None:
        """A note that was not committed."""
        with self._lock:
            self._notes.pop(key, None)

    def take_back_gap(self, missing: Missing) -> None:
        """A gap that was not committed."""
        with self._lock:
            self._missing = [one for one in self._missing if one is not missing]

    def miss(self, missing: Missing) -> None:
        """Chunks that came and are not held, or nothing came; durable after `commit`."""
        with self._lock:
            self._missing.append(missing)
            self._next = max(self._next, missing.last + 1)

    def drop_beyond(self, segment: int, end: int) -> int:
        """Forget the chunks of a segment that reach beyond `end`; how many there were."""
        beyond = "WHERE segment = ? AND offset + nbytes > ?"
        rows = self._select(f"{beyond} ORDER BY number", segment, end)
        with self._db.change() as change:
            dropped = change.execute(f"DELETE FROM chunks {beyond}", (segment, end)).rowcount
            if rows:
                add_gap(change, missing_of([row.info for row in rows], LOST))
        self._count -= dropped
        self._rungs = None
        self._book.clear()
        self._next = max(self._noted_next(), self._last_number() + 1)
        return dropped

    def note(self, key: str, text: str) -> None:
        """Keep a JSON text under a name; durable after `commit`."""
        with self._lock:
            self._notes[key] = text

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        with self._lock:
            text = self._notes.get(key)
        if text is None:
            found = self._db.select("SELECT value FROM notes WHERE key = ?", key)
            if not found:
                return default
            text = found[0][0]
        return json.loads(text)

    def commit(self) -> None:
        """Make rows, gaps and notes durable, all or none.

        Raises:
            MemoryFull: if the disk is full.  They stay visible here and can be committed later.
        """
        with self._lock:
            rows, notes = list(self._rows.values()), dict(self._notes)
            missing = list(self._missing)
        with self._db.change() as change:
            change.executemany(_INSERT, [fields_of(row) for row in rows])
            if rows:
                close_gaps(change, [row.info for row in rows], are_first=self._is_new)
            for gap in missing:
                add_gap(change, gap)
            notes_too = notes | ({_NEXT: json.dumps(self._next)} if missing else {})
            change.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", notes_too.items())
        with self._lock:
            self._count += len(rows)
            self._is_new = self._is_new and not rows
            for row in rows:
                del self._rows[row.info.number]
            self._rungs = None
            for key, text in notes.items():
                if self._notes.get(key) == text:
                    del self._notes[key]
            del self._missing[: len(missing)]

    # ---------------------------------------------------------------- changes of what is durable

    def move(self, rows: Sequence[Row], intent: Mapping[str, Any]) -> None:
        """Durable chunks lie elsewhere now, or in another codec.

        Args:
            intent: what is to be done about where they lay, see `intend`.
        """
        with self._db.change() as change:
            change.executemany(
                "UPDATE chunks SET segment = ?, offset = ?, nbytes = ?, codec = ? WHERE number = ?",
                [(*_place_fields(row.place), row.codec, row.info.number) for row in rows],
            )
            self._changed(change, intent, by=int(any(row.place is None for row in rows)))
        self._book.moved(rows)
        with self._lock:
            self._rungs = None

    def remove(
        self, numbers: Sequence[int], missing: Missing, intent: Mapping[str, Any] | None = None
    ) -> None:
        """Durable chunks are gone; their numbers are not used again.

        Args:
            missing: the gap that they leave.
            intent: what is still to be done about their bytes, see `intend`.
        """
        with self._db.change() as change:
            change.executemany("DELETE FROM chunks WHERE number = ?", [(n,) for n in numbers])
            add_gap(change, missing)
            self._next = max(self._next, missing.last + 1)
            self._changed(change, intent or {}, by=1)
        self._book.removed(numbers)
        with self._lock:
            self._count, self._rungs = self._count_rows(), None

    def intend(self, intent: Mapping[str, Any]) -> None:
        """Durably, what is going to happen to files: a crash between two steps is finished, or
        taken back, at the next opening.  {}: it is done."""
        with self._db.change() as change:
            change.execute(
                "INSERT OR REPLACE INTO notes VALUES (?, ?)", (_INTENT, json.dumps(dict(intent)))
            )

    @property
    def intent(self) -> dict[str, Any]:
        """What was under way when the catalog was last written."""
        return dict(self.noted(_INTENT, {}))

    def checkpoint(self) -> None:
        """Nothing that was removed stays in the log.

        Raises:
            OSError: if a reader in another process keeps it in use.
        """
        if not self._db.checkpoint(wait=True):
            raise OSError(
                f"{self._path}: a reader keeps its log in use, so what was forgotten still lies "
                "in it; close the reader, then forget again"
            )

    def trim(self) -> None:
        """Give free pages back and cut the log, where no reader keeps it in use."""
        self._db.shrink()

    def vacuum(self) -> None:
        """Give free pages back to the disk."""
        self._db.vacuum()

    def close(self) -> None:
        """Close the file.  Commits nothing.  Calling it again does nothing."""
        self._db.close()

    def _changed(self, change: sqlite3.Connection, intent: Mapping[str, Any], by: int) -> None:
        notes = {_GENERATION: self.generation + by, _NEXT: self._next, _INTENT: dict(intent)}
        change.executemany(
            "INSERT OR REPLACE INTO notes VALUES (?, ?)",
            [(key, json.dumps(value)) for key, value in notes.items()],
        )

    def _select(self, where: str, *values: float | str) -> list[Row]:
        found = self._db.select(f"SELECT {self._columns} FROM chunks {where}", *values)
        return [_row(*fields) for fields in found]

    def _count_rows(self) -> int:
        return int(self._db.select("SELECT COUNT(*) FROM chunks")[0][0])

    def _last_number(self) -> int:
        found = self._db.select("SELECT MAX(number) FROM chunks")[0][0]
        return -1 if found is None else int(found)

    def _noted_next(self) -> int:
        return int(self.noted(_NEXT, 0))


_INSERT = f"INSERT INTO chunks ({_COLUMNS}, codec) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"


def fields_of(row: Row) -> tuple[int | float | str | None, ...]:
    """A row as the table has it."""
    info = row.info
    return (
        info.number,
        info.start_s,
        info.end_s,
        info.camera,
        info.wall_s,
        info.tokens,
        *row.geometry,
        *_place_fields(row.place),
        row.codec,
    )


def _place_fields(place: Place | None) -> tuple[int | None, int, int]:
    return (None, 0, 0) if place is None else (place.segment, place.offset, place.nbytes)


def _row(
    number: int,
    start_s: float,
    end_s: float,
    camera: str,
    wall_s: float | None,
    tokens: int,
    layers: int,
    heads: int,
    dim: int,
    segment: int | None,
    offset: int,
    nbytes: int,
    codec: str,
) -> Row:
    return Row(
        ChunkInfo(number, start_s, end_s, sys.intern(camera), wall_s, tokens=tokens),
        (layers, heads, dim),
        None if segment is None else Place(segment, offset, nbytes),
        sys.intern(codec),
    )
