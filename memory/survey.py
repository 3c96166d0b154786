"""A look at a memory's folder: what it holds and what it takes, without opening it.

Rows are counted by SQLite and files by their sizes, while a writer goes on or not; nothing is
made, cut or written.  Models and tensors are not known here, nor are the chunks' bytes checked.
It comes without torch, for which reason a few names of `folder` and `catalog` stand here again; a
test keeps them equal.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from longtake.memory.database import connect, translated
from longtake.memory.files import MemoryDamaged, MemoryMissing, writer_of
from longtake.memory.marks import COLUMNS_OF, Gap, Missing, Span, select_gaps

CATALOG, ALBUM, SEGMENTS = "catalog.sqlite", "album.sqlite", "segments"
FORMAT = 2
PICTURE = "picture"
OWN_NOTES = frozenset({"next_number", "generation", "intent"})  # of the catalog itself
_LOOKS = 3  # at most, where a writer moves things meanwhile
PARTS = ("segments", "catalog", "album", "other")


@dataclass(frozen=True, slots=True)
class Hour:
    """Chunks that began within one hour of the stream."""

    hour: int  # 0, 1, 2 ...
    chunks: int
    nbytes: int  # in the segments


@dataclass(frozen=True, slots=True)
class Rung:
    """Chunks that are written in one codec, or of which only the picture is left."""

    codec: str  # its name, or PICTURE
    chunks: int
    nbytes: int  # in the segments


@dataclass(frozen=True, slots=True)
class Survey:
    """A memory at one moment.  What is not there yet is None."""

    path: Path
    model: str | None
    fingerprint: str | None
    format: int | None  # of the catalog
    start_s: float | None  # of the first chunk, session time
    end_s: float | None  # of the last one
    chunks: int
    tokens: int
    cameras: tuple[str, ...]
    hours: tuple[Hour, ...]
    rungs: tuple[Rung, ...]  # most chunks first
    spans: tuple[Span, ...]  # that are held, without the gaps between them
    gaps: tuple[Gap, ...]
    kept: tuple[Span, ...]  # that never age
    lost: int  # chunks that have a row, and whose bytes are gone
    causes: tuple[str, ...]  # a missing file, or one too short, each in words
    events: int  # in the log
    thumbnails: int
    writer: str | None  # process that has it open
    nbytes: dict[str, int]  # by part
    changed_wall_s: float  # Unix seconds of the last change to a file
    notes: dict[str, Any]

    @property
    def length_s(self) -> float:
        """From the first chunk to the last."""
        if self.start_s is None or self.end_s is None:
            return 0.0
        return self.end_s - self.start_s

    @property
    def total_nbytes(self) -> int:
        return sum(self.nbytes.values())

    @property
    def damage(self) -> str | None:
        """What is wrong with the files, in words."""
        if not self.lost:
            return None
        causes = ", ".join(self.causes)
        return f"the bytes of {self.lost} of {self.chunks} chunks are gone ({causes})"

    def noted(self, key: str, default: Any = None) -> Any:
        """What was noted under a name."""
        return self.notes.get(key, default)

    def note(self, key: str, value: Any) -> None:
        """A survey is read-only.  Raises TypeError."""
        raise TypeError(f"cannot note {key!r}: this is a look at {self.path}")


def is_memory(folder: Path) -> bool:
    """True where a catalog lies, or segments that have lost theirs."""
    return (folder / CATALOG).is_file() or any((folder / SEGMENTS).glob("*.kvseg"))


def survey(folder: Path) -> Survey:
    """Look at a memory, on which another process may be writing.

    Raises:
        MemoryMissing: if there is none.
        MemoryDamaged: if its catalog is gone or cannot be read.
        MemoryFromFuture: if a newer longtake wrote it.
        OSError: if the folder cannot be read.
    """
    _require(folder)
    for _ in range(_LOOKS):
        seen = _look(folder)
        if not seen.lost or seen.writer is None:
            break  # beside a writer, what is gone may have been moved since its rows were read
    return seen


def _look(folder: Path) -> Survey:
    writer = writer_of(folder)
    with reading(folder / CATALOG) as catalog:
        version, model, fingerprint = signature(folder, catalog)
        held = _one(catalog, _HELD, "chunks")
        start_s, end_s, chunks, tokens = held or (None, None, 0, 0)
        lost = _lost(folder / SEGMENTS, catalog)
        cameras = _all(catalog, "SELECT DISTINCT camera FROM chunks ORDER BY 1", "chunks")
        hours = _all(catalog, _BY_HOUR, "chunks")
        by_codec = _BY_CODEC if version is not None and version > 1 else _ALL_RAW
        rungs = [row for row in _all(catalog, by_codec, "chunks") if row[1]]
        gaps = gaps_of(catalog)
        has_islands = any(gap.chunks for gap in gaps)
        spans = _all(catalog, _ISLANDS if has_islands else _WHOLE, "chunks") if chunks else []
        kept = _all(catalog, "SELECT start_s, end_s FROM kept ORDER BY start_s", "kept")
        notes = _all(catalog, "SELECT key, value FROM notes", "notes")
    nbytes, changed_wall_s = _files(folder)
    return Survey(
        path=folder,
        model=model,
        fingerprint=fingerprint,
        format=version,
        start_s=start_s,
        end_s=end_s,
        chunks=chunks,
        tokens=int(tokens),
        cameras=tuple(camera for (camera,) in cameras),
        hours=tuple(Hour(*hour) for hour in hours),
        rungs=tuple(Rung(*rung) for rung in rungs),
        spans=tuple(Span(*span) for span in spans),
        gaps=tuple(gap.gap for gap in gaps),
        kept=tuple(Span(*span) for span in kept),
        lost=sum(lost.values()),
        causes=tuple(lost),
        thumbnails=_count(folder / ALBUM, "thumbnails"),
        events=_count(folder / ALBUM, "events"),
        writer=writer,
        nbytes=nbytes,
        changed_wall_s=changed_wall_s,
        notes={key: _parsed(folder, key, value) for key, value in notes},
    )


_HELD = "SELECT MIN(start_s), MAX(end_s), COUNT(*), TOTAL(tokens) FROM chunks"
_BY_HOUR = (
    "SELECT CAST(start_s / 3600 AS INTEGER) AS hour, COUNT(*), SUM(nbytes) FROM chunks "
    "GROUP BY hour ORDER BY hour"
)
_BY_CODEC = "SELECT codec, COUNT(*), SUM(nbytes) FROM chunks GROUP BY codec ORDER BY 2 DESC, 1"
_ALL_RAW = "SELECT 'raw', COUNT(*), SUM(nbytes) FROM chunks"
_WHOLE = "SELECT MIN(start_s), MAX(end_s) FROM chunks"
_ISLANDS = (
    "SELECT MIN(start_s), MAX(end_s) FROM "
    "(SELECT start_s, end_s, number - ROW_NUMBER() OVER (ORDER BY number) AS island FROM chunks) "
    "GROUP BY island ORDER BY island"
)


def _require(folder: Path) -> None:
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "no such folder"
        raise MemoryMissing(f"{folder}: {what}; see what there is: longtake memory ls FOLDER")
    if (folder / CATALOG).is_file():
        return
    if is_memory(folder):
        raise MemoryDamaged(
            f"{folder}: there are segments but no {CATALOG}; put it back, or make it again: "
            f"longtake memory verify {folder} --rebuild"
        )
    raise MemoryMissing(
        f"{folder}: no memory here (there is no {CATALOG}); see which there are: "
        "longtake memory ls FOLDER"
    )


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One moment of a database, whatever its writer does meanwhile."""
    log = path.with_name(f"{path.name}-wal")
    is_still = writer_of(path.parent) is None and not (log.exists() and log.stat().st_size)
    database = connect(path, read_only=True, synchronous="OFF", is_still=is_still)
    with closing(database), translated(path):
        database.execute("BEGIN")
        yield database


def _all(database: sqlite3.Connection, query: str, table: str) -> list[tuple[Any, ...]]:
    """Nothing where the table is not made yet."""
    made = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    if database.execute(made, (table,)).fetchone() is None:
        return []
    return database.execute(query).fetchall()


def _one(database: sqlite3.Connection, query: str, table: str) -> tuple[Any, ...] | None:
    return next(iter(_all(database, query, table)), None)


def signature(
    folder: Path, catalog: sqlite3.Connection
) -> tuple[int | None, str | None, str | None]:
    """Format, model and fingerprint; None for a memory that was begun and not signed yet.

    Raises:
        MemoryFromFuture: if a newer longtake wrote it.
    """
    signed = _one(catalog, "SELECT format, model, fingerprint FROM take", "take")
    if signed is None:
        return None, None, None
    version, model, fingerprint = signed
    if version > FORMAT:
        from longtake.memory.record import MemoryFromFuture

        raise MemoryFromFuture(
            f"{folder} has format {version}, this longtake reads up to {FORMAT}; upgrade longtake"
        )
    return version, model, fingerprint


def _lost(segments: Path, catalog: sqlite3.Connection) -> dict[str, int]:
    """How many chunks have lost their bytes, by cause.

    The rows were read first, and bytes come before their rows.
    """
    lost = {}
    ends = (
        "SELECT segment, MAX(offset + nbytes), COUNT(*) FROM chunks "
        "WHERE segment IS NOT NULL GROUP BY segment"
    )
    beyond = "SELECT COUNT(*) FROM chunks WHERE segment = ? AND offset + nbytes > ?"
    for segment, end, count in _all(catalog, ends, "chunks"):
        path = segments / f"{segment:06d}.kvseg"
        name = f"{SEGMENTS}/{path.name}"
        if not path.is_file():
            lost[f"{name} is missing"] = count
        elif (size := path.stat().st_size) < end:
            lost[f"{name} is too short"] = catalog.execute(beyond, (segment, size)).fetchone()[0]
    return lost


def gaps_of(catalog: sqlite3.Connection) -> list[Missing]:
    """All that is missing, in time order."""
    there = {name for (name,) in catalog.execute(COLUMNS_OF)}
    return [Missing(*row) for row in _all(catalog, select_gaps(there), "gaps")]


def _count(album: Path, table: str) -> int:
    if not album.is_file():
        return 0
    with reading(album) as database:
        count: int = (_one(database, f"SELECT COUNT(*) FROM {table}", table) or (0,))[0]
    return count


def _parsed(folder: Path, key: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise MemoryDamaged(f"{folder / CATALOG}: the note {key!r} cannot be read") from error


def _files(folder: Path) -> tuple[dict[str, int], float]:
    """Bytes by part, and when the newest file was changed."""
    nbytes, changed_wall_s = dict.fromkeys(PARTS, 0), 0.0
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except FileNotFoundError:  # a log that its writer has just removed
            continue
        if path.is_dir() and not path.is_symlink():
            continue
        nbytes[_part(path.relative_to(folder))] += status.st_size
        if not path.name.endswith("-shm"):  # a reader touches it
            changed_wall_s = max(changed_wall_s, status.st_mtime)
    return nbytes, changed_wall_s


def _part(path: Path) -> str:
    """`album.sqlite-wal` -> ``album``."""
    if path.parts[0] == SEGMENTS:
        return "segments"
    for name, part in ((CATALOG, "catalog"), (ALBUM, "album")):
        if path.parts[0].startswith(name):
            return part
    return "other"
