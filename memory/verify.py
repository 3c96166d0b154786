"""Read every checksum of a memory and tell what is not as it was written.

The catalog says which chunks there ought to be, and each is looked up where it lies; without a
catalog, or with one that cannot be read, the segments alone are searched.  Nothing is written, and
a writer may go on meanwhile: what it has not called durable yet is not looked at.  Models are not
known here, nor are chunks decoded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from longtake.memory.files import MemoryDamaged, MemoryMissing, writer_of
from longtake.memory.record import Header, identity_of
from longtake.memory.scan import Found, SegmentFile, head_damage, scan_segment
from longtake.memory.segments import segment_numbers, segment_path, segment_size
from longtake.memory.survey import ALBUM, CATALOG, SEGMENTS, reading, signature

State = Literal["whole", "missing", "damaged"]
Kind = Literal["corrupt", "torn", "missing"]
Progress = Callable[[int, int], None]  # bytes so far, bytes in all


@dataclass(frozen=True, slots=True)
class Damaged:
    """Something that is not as it was written.  What is not known of it is None."""

    kind: Kind  # changed; cut off by a crash; its file is gone
    number: int | None
    start_s: float | None
    end_s: float | None
    segment: str  # name of its file
    offset: int
    why: str


@dataclass(slots=True)
class Verified:
    """What was found."""

    path: Path
    catalog: State = "whole"
    album: State = "whole"
    writer: str | None = None  # process that had it open
    chunks: int = 0  # in the catalog; without one, in the segments
    nbytes: int = 0  # of segments, that were read
    damaged: list[Damaged] = field(default_factory=list)

    def count(self, kind: Kind) -> int:
        """How many there are of a kind."""
        return sum(one.kind == kind for one in self.damaged)

    @property
    def is_sound(self) -> bool:
        """Nothing that was durable has changed or is gone; a torn tail is what a crash leaves."""
        lost = self.count("corrupt") + self.count("missing")
        return not lost and "damaged" not in (self.catalog, self.album)


def nobody(done: int, total: int) -> None:
    """Nobody waits."""


def verify(folder: Path, progress: Progress = nobody) -> Verified:
    """Check a memory, on which another process may be writing.

    Raises:
        MemoryMissing: if there is none.
        MemoryFromFuture: if a newer longtake wrote any of it.
        OSError: if the folder cannot be read.
    """
    require_memory(folder)
    found = Verified(folder, writer=writer_of(folder))
    found.album = state_of(folder / ALBUM)
    found.catalog = state_of(folder / CATALOG)
    segments = folder / SEGMENTS
    total = sum(segment_size(segments, number) or 0 for number in segment_numbers(segments))
    told = _Told(progress, total)
    if found.catalog == "whole":
        _verify_rows(found, told)
    else:
        _verify_segments(found, told)
    found.nbytes = told.nbytes
    return found


def require_memory(folder: Path) -> None:
    """Raises MemoryMissing where there is nothing of a memory; one that was only begun will do."""
    if not folder.is_dir():
        what = "this is a file, not a folder" if folder.exists() else "no such folder"
        raise MemoryMissing(f"{folder}: {what}; see what there is: longtake memory ls FOLDER")
    begun = (folder / name for name in (CATALOG, ALBUM, "writer.lock"))
    if not any(path.is_file() for path in begun) and not segment_numbers(folder / SEGMENTS):
        raise MemoryMissing(
            f"{folder}: no memory here (there is no {CATALOG}); see which there are: "
            "longtake memory ls FOLDER"
        )


class _Told:
    """How far it is, for whoever waits."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self.nbytes = 0

    def add(self, nbytes: int) -> None:
        self.nbytes += nbytes
        self._progress(self.nbytes, max(self._total, self.nbytes))


def state_of(path: Path) -> State:
    """Of a database: SQLite has no checksums, but knows how its pages hang together."""
    if not path.is_file():
        return "missing"
    try:
        with reading(path) as database:
            problems = database.execute("PRAGMA integrity_check(1)").fetchall()
    except MemoryDamaged:
        return "damaged"
    return "whole" if problems in ([], [("ok",)]) else "damaged"


# ------------------------------------------------------------------ with a catalog


@dataclass(frozen=True, slots=True)
class _Row:
    """A chunk that ought to be there."""

    number: int
    start_s: float
    end_s: float
    segment: int
    offset: int
    nbytes: int

    @property
    def end(self) -> int:
        return self.offset + self.nbytes


class _Rows:
    """The catalog's rows; each question sees what is durable then."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CATALOG
        with reading(self._path) as database:
            _, _, fingerprint = signature(folder, database)
        self.identity = None if fingerprint is None else identity_of(fingerprint)
        made = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'chunks'"
        self._is_made = bool(self._all(made))

    def count(self) -> int:
        return int(self._all("SELECT COUNT(*) FROM chunks")[0][0]) if self._is_made else 0

    def growing(self) -> set[int]:
        """Segments that a crash may have cut off: that of the newest chunk, and the last one."""
        newest = self.of("ORDER BY number DESC LIMIT 1"), self.of("ORDER BY segment DESC LIMIT 1")
        return {row.segment for rows in newest for row in rows}

    def end(self, segment: int) -> int | None:
        """Where the last record of a segment ends; None if no row names it."""
        found = self.of("AND segment = ? ORDER BY offset DESC LIMIT 1", segment)
        return found[0].end if found else None

    def segments(self) -> Iterator[int]:
        """In order, with those that come meanwhile."""
        last = -1
        while rows := self.of("AND segment > ? ORDER BY segment LIMIT 1", last):
            last = rows[0].segment
            yield last

    def of(self, condition: str, *values: int) -> list[_Row]:
        """Rows that have a place."""
        if not self._is_made:
            return []
        query = (
            "SELECT number, start_s, end_s, segment, offset, nbytes FROM chunks "
            f"WHERE segment IS NOT NULL {condition}"
        )
        return [_Row(*fields) for fields in self._all(query, *values)]

    def _all(self, query: str, *values: int) -> list[tuple[int, ...]]:
        with reading(self._path) as database:
            return database.execute(query, values).fetchall()


def _verify_rows(found: Verified, told: _Told) -> None:
    rows, segments = _Rows(found.path), found.path / SEGMENTS
    found.chunks = rows.count()
    growing = rows.growing()
    for segment in rows.segments():
        path = segment_path(segments, segment)
        wanted = rows.of("AND segment = ? ORDER BY offset", segment)
        suspects = _check(path, wanted, rows.identity, segment in growing, told)
        found.damaged += _confirmed(suspects, rows, path)
    if found.writer is None:
        for segment in sorted(segment_numbers(segments)):
            if writer_of(found.path) is not None:
                break  # what it is writing now has no rows yet
            found.damaged += _behind(segment_path(segments, segment), rows.end(segment))


def _check(
    path: Path, rows: Sequence[_Row], identity: bytes | None, may_be_cut: bool, told: _Told
) -> list[tuple[_Row | None, Damaged]]:
    """What of a segment is not as it ought to be, by row; without one where it is the head."""
    try:
        segment = SegmentFile(path)
    except FileNotFoundError:
        return [(row, _damaged(row, "missing", path, f"{path.name} is missing")) for row in rows]
    except OSError as error:
        why = f"{path.name} cannot be opened ({error.strerror})"
        return [(row, _damaged(row, "corrupt", path, why)) for row in rows]
    wrong: list[tuple[_Row | None, Damaged]] = []
    with segment:
        changed = head_damage(segment)
        if changed is not None:
            wrong.append((None, Damaged("corrupt", None, None, None, path.name, 0, changed)))
        for row in rows:
            if row.end > segment.nbytes:
                kind: Kind = "torn" if may_be_cut else "corrupt"
                wrong.append((row, _damaged(row, kind, path, "the file ends before it does")))
            elif (changed := _wrong(segment.record(row.offset), row, identity)) is not None:
                wrong.append((row, _damaged(row, "corrupt", path, changed)))
            told.add(row.nbytes)
    return wrong


def _wrong(found: Found, row: _Row, identity: bytes | None) -> str | None:
    """A record may be whole and yet not the one that ought to be there."""
    header = found.header
    if found.damage is not None or header is None:
        return found.damage
    if identity is not None and header.identity != identity:
        return "the record there belongs to another model's memory"
    info = header.info
    if (info.number, info.start_s, info.end_s) != (row.number, row.start_s, row.end_s):
        return f"the record there is chunk {info.number}"
    if header.record_nbytes != row.nbytes:
        return f"the record there has {header.record_nbytes} bytes, {row.nbytes} were written"
    return None


def _confirmed(
    suspects: Sequence[tuple[_Row | None, Damaged]], rows: _Rows, path: Path
) -> Iterator[Damaged]:
    """Without those that a writer has moved or forgotten meanwhile; what moved is checked anew."""
    for row, damaged in suspects:
        now = [] if row is None else rows.of("AND number = ?", row.number)
        if row is None:
            if path.exists():  # the whole segment may be gone by now
                yield damaged
        elif now == [row]:
            yield damaged
        elif now:
            moved, quiet = segment_path(path.parent, now[0].segment), _Told(nobody, 0)
            yield from (one for _, one in _check(moved, now, rows.identity, False, quiet))


def _behind(path: Path, end: int | None) -> Iterator[Damaged]:
    """What lies behind the last record that counts: a crash came before its row, or in the midst
    of moving it elsewhere."""
    for found in scan_segment(path, end):
        yield _torn(found, path, found.damage or "no row names it")


# ------------------------------------------------------------------ without one


def _verify_segments(found: Verified, told: _Told) -> None:
    """What the segments say of themselves."""
    numbers: set[int] = set()
    segments = found.path / SEGMENTS
    order = sorted(segment_numbers(segments))
    identity: bytes | None = None
    for segment in order:
        path, tail = segment_path(segments, segment), list[Found]()
        for one in scan_segment(path):
            told.add(one.nbytes)
            header = one.header
            if header is not None:
                numbers.add(header.info.number)
                identity = identity or header.identity
            if one.damage is not None:
                tail.append(one)
                continue
            found.damaged += [_corrupt(it, path) for it in tail]
            tail.clear()
            if header is not None and header.identity != identity:
                found.damaged.append(_foreign(one, header, path))
        for it in tail:
            is_torn = it.is_cut and segment == order[-1]
            found.damaged.append(
                _torn(it, path, it.damage or "") if is_torn else _corrupt(it, path)
            )
    found.chunks = len(numbers)


def _damaged(row: _Row, kind: Kind, path: Path, why: str) -> Damaged:
    return Damaged(kind, row.number, row.start_s, row.end_s, path.name, row.offset, why)


def _corrupt(found: Found, path: Path) -> Damaged:
    return _of_found("corrupt", found, path, found.damage or "")


def _torn(found: Found, path: Path, why: str) -> Damaged:
    return _of_found("torn", found, path, why)


def _foreign(found: Found, header: Header, path: Path) -> Damaged:
    return _of_found("corrupt", found, path, "the record belongs to another model's memory")


def _of_found(kind: Kind, found: Found, path: Path, why: str) -> Damaged:
    info = None if found.header is None else found.header.info
    if info is None:
        return Damaged(kind, None, None, None, path.name, found.offset, why)
    return Damaged(kind, info.number, info.start_s, info.end_s, path.name, found.offset, why)
