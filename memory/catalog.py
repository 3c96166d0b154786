"""Which chunks there are, where each one lies, and whose memory this is.

A row is visible to its writer at once and durable after `commit`, together with the notes
of that time: all of them or none.  The caller makes the chunks' bytes durable before it
commits their rows.  What the bytes are is not known here.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.memory.chunk import ChunkInfo
from longtake.memory.database import connect, size_on_disk, transaction, translated
from longtake.memory.files import MemoryMissing
from longtake.memory.record import FORMAT, MemoryFromFuture
from longtake.memory.segments import Place

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS take (
        id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER, model TEXT, fingerprint TEXT)""",
    """CREATE TABLE IF NOT EXISTS chunks (
        number INTEGER PRIMARY KEY, start_s REAL, end_s REAL, camera TEXT, wall_s REAL,
        tokens INTEGER, layers INTEGER, heads INTEGER, dim INTEGER,
        segment INTEGER, offset INTEGER, nbytes INTEGER)""",
    "CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT)",
)
_COLUMNS = (
    "number, start_s, end_s, camera, wall_s, tokens, layers, heads, dim, segment, offset, nbytes"
)


class WrongModel(ValueError):
    """The memory was written by another model: its keys mean nothing to this one."""


@dataclass(frozen=True, slots=True)
class Row:
    """A chunk as the catalog knows it."""

    info: ChunkInfo
    geometry: tuple[int, int, int]  # layers, key/value heads, head dimension
    place: Place


class Catalog:
    """The catalog of one memory, `catalog.sqlite`: one thread at a time.

    Args:
        path: the file.
        model: name of the model whose keys these are.
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
        model: str,
        fingerprint: str,
        read_only: bool = False,
        durable: bool = True,
    ) -> None:
        self._path = path
        self._read_only = read_only
        self._rows: dict[int, Row] = {}  # not durable yet; bounded by what comes between commits
        self._notes: dict[str, str] = {}
        self._db = connect(path, read_only=read_only, synchronous="FULL" if durable else "OFF")
        try:
            with translated(path):
                self._open(model, fingerprint)
                self._count = self._count_rows()
        except BaseException:
            self._db.close()
            raise

    @property
    def durable(self) -> int:
        """How many rows survive a crash now."""
        if self._read_only:
            with translated(self._path):
                return self._count_rows()
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the database on disk."""
        return size_on_disk(self._path)

    @property
    def has_pending(self) -> bool:
        """True if there is something to commit."""
        return bool(self._rows or self._notes)

    def __len__(self) -> int:
        return self.durable + len(self._rows)

    def row(self, number: int) -> Row | None:
        """What is known about a chunk; None if there is none of that number."""
        if number in self._rows:
            return self._rows[number]
        return next(self._select("WHERE number = ?", number), None)

    def rows(self, first: int = 0, last: int | None = None) -> Iterator[Row]:
        """Chunks with first <= number < last, oldest first.  Not to be changed meanwhile."""
        end = 1 << 62 if last is None else last
        yield from self._select("WHERE number >= ? AND number < ? ORDER BY number", first, end)
        yield from (row for number, row in self._rows.items() if first <= number < end)

    def last(self) -> Row | None:
        """The newest chunk."""
        if self._rows:
            return next(reversed(self._rows.values()))
        return next(self._select("ORDER BY number DESC LIMIT 1"), None)

    def span(self, start_s: float, end_s: float) -> tuple[int, int]:
        """Numbers [first, last) of the chunks that touch this time; (0, 0) if none does."""
        with translated(self._path):
            low, high = self._db.execute(
                "SELECT MIN(number), MAX(number) FROM chunks WHERE end_s >= ? AND start_s <= ?",
                (start_s, end_s),
            ).fetchone()
        found = [] if low is None else [low, high]
        for number, row in self._rows.items():
            if row.info.end_s >= start_s and row.info.start_s <= end_s:
                found.append(number)
        return (min(found), max(found) + 1) if found else (0, 0)

    def add(self, row: Row) -> None:
        """Take a chunk in, newer than any before; durable after `commit`."""
        self._rows[row.info.number] = row

    def withdraw(self, number: int) -> None:
        """Take back an `add` that was not committed."""
        del self._rows[number]

    def drop_beyond(self, segment: int, end: int) -> int:
        """Forget the chunks of a segment that reach beyond `end`; how many there were."""
        with translated(self._path):
            dropped = self._db.execute(
                "DELETE FROM chunks WHERE segment = ? AND offset + nbytes > ?", (segment, end)
            ).rowcount
        self._count -= dropped
        return dropped

    def note(self, key: str, value: object) -> None:
        """Keep a value under a name; durable after `commit`.  Raises TypeError if it is no JSON."""
        self._notes[key] = json.dumps(value)

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        text = self._notes.get(key)
        if text is None:
            with translated(self._path):
                found = self._db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
            if found is None:
                return default
            text = found[0]
        return json.loads(text)

    def commit(self) -> None:
        """Make rows and notes durable, all or none.

        Raises:
            MemoryFull: if the disk is full.  They stay visible here and can be committed later.
        """
        with translated(self._path), transaction(self._db):
            self._db.executemany(
                f"INSERT INTO chunks ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                [_fields(row) for row in self._rows.values()],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO notes VALUES (?, ?)", list(self._notes.items())
            )
        self._count += len(self._rows)
        self._rows.clear()
        self._notes.clear()

    def close(self) -> None:
        """Close the file.  Commits nothing.  Calling it again does nothing."""
        self._db.close()

    def _select(self, where: str, *values: int) -> Iterator[Row]:
        with translated(self._path):
            for fields in self._db.execute(f"SELECT {_COLUMNS} FROM chunks {where}", values):
                yield _row(*fields)

    def _count_rows(self) -> int:
        count: int = self._db.execute("SELECT COUNT(*) FROM chunks").fetchone()[0]
        return count

    def _open(self, model: str, fingerprint: str) -> None:
        if self._read_only:
            tables = self._db.execute("SELECT name FROM sqlite_master WHERE name = 'take'")
            if tables.fetchone() is None or not self._is_signed(model, fingerprint):
                raise MemoryMissing(f"{self._path.parent}: no memory here yet")
            return
        with transaction(self._db):  # a refusal leaves the file as it was
            for statement in _SCHEMA:
                self._db.execute(statement)
            if not self._is_signed(model, fingerprint):
                signature = (FORMAT, model, fingerprint)
                self._db.execute("INSERT INTO take VALUES (1, ?, ?, ?)", signature)

    def _is_signed(self, model: str, fingerprint: str) -> bool:
        """False for a new catalog.  Raises if another model or a newer format signed it."""
        found = self._db.execute("SELECT format, model, fingerprint FROM take").fetchone()
        if found is None:
            return False
        version, its_model, its_fingerprint = found
        folder = self._path.parent
        if version > FORMAT:
            raise MemoryFromFuture(
                f"{folder} has format {version}, this longtake reads up to {FORMAT}; "
                "upgrade longtake, or choose another folder"
            )
        if its_fingerprint != fingerprint:  # the same weights may go by several names
            was = f"by model {its_model!r}, this is {model!r}"
            if its_model == model:
                was = f"by other weights or settings of model {model!r}"
            raise WrongModel(
                f"{folder} was written {was} (fingerprint {its_fingerprint[:12]}, this is "
                f"{fingerprint[:12]}); choose another memory folder, or the --model {its_model} "
                "that it was made with"
            )
        return True


def _fields(row: Row) -> tuple[int | float | str | None, ...]:
    info, place = row.info, row.place
    return (
        info.number,
        info.start_s,
        info.end_s,
        info.camera,
        info.wall_s,
        info.tokens,
        *row.geometry,
        place.segment,
        place.offset,
        place.nbytes,
    )


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
    segment: int,
    offset: int,
    nbytes: int,
) -> Row:
    return Row(
        ChunkInfo(number, start_s, end_s, sys.intern(camera), wall_s, tokens=tokens),
        (layers, heads, dim),
        Place(segment, offset, nbytes),
    )
