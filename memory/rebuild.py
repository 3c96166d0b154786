"""Make a memory's catalog again, from its segments alone.

Every record says which chunk it holds; of several records of one chunk the newest whole one counts.
What only the old catalog knows is taken from it as far as it can be read: notes, kept spans, gaps,
chunks of which only the picture is left, and which chunks were forgotten.  The old file stays,
under another name.  Until the new catalog is whole and durable nothing is changed.
"""

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from longtake.memory import events, files
from longtake.memory.album import Album
from longtake.memory.catalog import Catalog, Row
from longtake.memory.chunk import ChunkInfo
from longtake.memory.database import connect
from longtake.memory.files import MemoryDamaged, WriterLock
from longtake.memory.old_catalog import NEXT, OldCatalog, Signature, read_old
from longtake.memory.record import ChunkCorrupt, Header, identity_of
from longtake.memory.salvage import salvaged
from longtake.memory.scan import Found, scan_segment
from longtake.memory.segments import Place, read_head, segment_numbers, segment_path, segment_size
from longtake.memory.signature import WrongModel
from longtake.memory.survey import ALBUM, CATALOG, OWN_NOTES, SEGMENTS
from longtake.memory.verify import Damaged, Progress, nobody, require_memory, state_of

_NEW = f"{CATALOG}.new"
_NEW_ALBUM = f"{ALBUM}.new"
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(slots=True)
class Rebuilt:
    """What became of it."""

    path: Path
    chunks: int = 0  # in the new catalog
    pictures: int = 0  # of these, with nothing but a picture
    notes: int = 0  # taken over from the old one
    old: Path | None = None  # where the old catalog lies now
    nbytes: int = 0  # of segments, that were read
    left_out: list[Damaged] = field(default_factory=list)  # what is in no row


def rebuild(
    folder: Path, progress: Progress = nobody, signature: Signature | None = None
) -> Rebuilt:
    """Make the catalog again, under the writer's lock.

    Args:
        signature: of the model, where neither catalog nor segments name it.

    Raises:
        MemoryInUse: if a writer has it open.
        MemoryMissing: if there is no memory.
        MemoryDamaged: if nothing says which model made it.
        MemoryFromFuture: if a newer longtake wrote any of it.
        WrongModel: if the records belong to none of the models that are named.
        MemoryFull: if the disk has no room; nothing is changed.
    """
    require_memory(folder)
    files.require_own(folder)
    with WriterLock(folder):
        _remove_new(folder)
        finds = _look(folder, progress)
        result = Rebuilt(folder, nbytes=finds.nbytes, left_out=finds.damaged)
        old = read_old(folder / CATALOG)
        signed = _signed(folder, finds, old, signature)
        rows: dict[int, Row] = {}
        if signed is not None:
            rows = _choose(folder, finds, identity_of(signed.fingerprint), old, result)
            try:
                _write(folder, signed, rows, old, result)
            except BaseException:
                _remove_new(folder)
                raise
            result.old = _put_in_place(folder, CATALOG, _NEW)
        _erase(folder, finds, old)
        _clear(folder, rows, {one.segment for one in result.left_out if one.kind == "corrupt"})
        _mend_album(folder)
    return result


# ------------------------------------------------------------------ what the segments hold


@dataclass(frozen=True, slots=True)
class _Record:
    """A whole record, without what its tensors need."""

    info: ChunkInfo
    identity: bytes
    geometry: tuple[int, int, int]
    codec: str
    place: Place


@dataclass(slots=True)
class _Finds:
    records: list[_Record] = field(default_factory=list)  # in the order of the log
    damaged: list[Damaged] = field(default_factory=list)
    nbytes: int = 0


def _look(folder: Path, progress: Progress) -> _Finds:
    finds, segments = _Finds(), folder / SEGMENTS
    numbers = sorted(segment_numbers(segments))
    total = sum(segment_size(segments, number) or 0 for number in numbers)
    for number in numbers:
        path = segment_path(segments, number)
        for found in scan_segment(path):
            finds.nbytes += found.nbytes
            progress(finds.nbytes, max(total, finds.nbytes))
            if found.damage is None and found.header is not None:
                finds.records.append(_record(found, found.header, number))
            else:
                finds.damaged.append(_left_out(found, path, number == numbers[-1]))
    return finds


def _record(found: Found, header: Header, segment: int) -> _Record:
    geometry = (header.layers, header.heads, header.dim)
    place = Place(segment, found.offset, header.record_nbytes)
    return _Record(header.info, header.identity, geometry, header.codec, place)


def _left_out(found: Found, path: Path, is_last: bool) -> Damaged:
    info = None if found.header is None else found.header.info
    return Damaged(
        "torn" if found.is_cut and is_last else "corrupt",
        None if info is None else info.number,
        None if info is None else info.start_s,
        None if info is None else info.end_s,
        path.name,
        found.offset,
        found.damage or "",
    )


# ------------------------------------------------------------------ whose memory it is


def _signed(
    folder: Path, finds: _Finds, old: OldCatalog, given: Signature | None
) -> Signature | None:
    """The model that made most of the records, of those that are named anywhere; None where there
    is neither a record nor a name."""
    named = list(dict.fromkeys(_named(folder, old, given)))
    if not named and not finds.records:
        return None
    if not named:
        what = "neither catalog nor segments name the model that made it"
        raise MemoryDamaged(f"{folder}: {what}; name it: --model NAME")
    if not finds.records:
        return named[0]
    made = Counter(record.identity for record in finds.records)
    best = max(named, key=lambda one: made[identity_of(one.fingerprint)])
    if not made[identity_of(best.fingerprint)]:
        known = ", ".join(f"{one.model} (fingerprint {one.fingerprint[:12]})" for one in named)
        raise WrongModel(f"{folder}: its records were not made by {known}; name the --model")
    return best


def _named(folder: Path, old: OldCatalog, given: Signature | None) -> Iterator[Signature]:
    if given is not None:
        yield given
    if old.signature is not None:
        yield old.signature
    for number in sorted(segment_numbers(folder / SEGMENTS)):
        try:
            head = read_head(segment_path(folder / SEGMENTS, number))
        except ChunkCorrupt:
            continue
        if head is not None:
            yield Signature(head.model, head.fingerprint)


# ------------------------------------------------------------------ the new catalog


def _choose(
    folder: Path, finds: _Finds, identity: bytes, old: OldCatalog, result: Rebuilt
) -> dict[int, Row]:
    """The rows, by number; what has none is told in the result."""
    rows = {number: row for number, row in old.pictures.items() if not old.is_removed(number)}
    foreign: list[Damaged] = []
    for record in finds.records:  # a later one of the same number counts
        info, place = record.info, record.place
        if old.is_removed(info.number):
            continue
        if record.identity == identity:
            rows[info.number] = Row(info, record.geometry, place, record.codec)
            continue
        name, span = segment_path(folder, place.segment).name, (info.start_s, info.end_s)
        why = "the record belongs to another model's memory"
        foreign.append(Damaged("corrupt", info.number, *span, name, place.offset, why))
    result.left_out = [one for one in finds.damaged if one.number not in rows] + foreign
    result.chunks = len(rows)
    result.pictures = sum(row.place is None for row in rows.values())
    return rows


def _write(
    folder: Path, signed: Signature, rows: dict[int, Row], old: OldCatalog, result: Rebuilt
) -> None:
    path = folder / _NEW
    catalog = Catalog(path, model=signed.model, fingerprint=signed.fingerprint)
    with closing(catalog):
        for number in sorted(rows):
            catalog.add(rows[number])
        for gap in old.gaps:
            catalog.miss(gap)
        for key, text in old.notes.items():
            catalog.note(key, text)
        catalog.commit()
        noted = int(old.notes.get(NEXT, "0"))
        catalog.note(NEXT, str(max(noted, catalog.next_number)))
        catalog.commit()
        for span in old.kept:
            catalog.marks.keep(span)
        # segments that were to go are looked at anew: a newer one may be the only copy by now
        catalog.intend(replace(old.intent, remove=()).as_json())
        catalog.checkpoint()
    result.notes = len(old.notes.keys() - OWN_NOTES)
    _settle(path)


def _settle(path: Path) -> None:
    """A database that is closed: all of it in one file, on the device."""
    for end in _BESIDE:
        path.with_name(path.name + end).unlink(missing_ok=True)
    fd = files.open_to_append(path)
    try:
        files.sync_data(fd)
    finally:
        os.close(fd)


def _put_in_place(folder: Path, name: str, new: str) -> Path | None:
    """The new file takes the name, the old one gets another; a crash leaves one of both there."""
    path = folder / name
    is_there, kept = path.exists(), _free(path)
    if is_there:
        _empty_log(path)
        _keep(path, kept)
    for end in _BESIDE:  # an old log would be taken for the new file's
        beside = path.with_name(path.name + end)
        if end == "-wal" and beside.exists():
            os.replace(beside, kept.with_name(kept.name + end))
        else:
            beside.unlink(missing_ok=True)
    files.sync_folder(folder)
    files.rename(folder / new, path)
    return kept if is_there else None


def _keep(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        shutil.copy2(path, kept)


def _empty_log(path: Path) -> None:
    """What can still be read of the log belongs to the old file."""
    try:
        with closing(connect(path, read_only=False, synchronous="FULL")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except (OSError, sqlite3.Error):
        return  # no database any more


def _remove_new(folder: Path) -> None:
    """What an earlier attempt left."""
    for name in (_NEW, _NEW_ALBUM):
        for end in ("", *_BESIDE):
            (folder / f"{name}{end}").unlink(missing_ok=True)


# ------------------------------------------------------------------ afterwards


def _erase(folder: Path, finds: _Finds, old: OldCatalog) -> None:
    """What was removed does not come back; a crash may have come before its bytes were gone."""
    for record in finds.records:
        if old.is_removed(record.info.number):
            place = record.place
            fd = files.open_to_append(segment_path(folder / SEGMENTS, place.segment))
            try:
                files.erase(fd, place.offset, place.nbytes)
            finally:
                os.close(fd)


def _clear(folder: Path, rows: dict[int, Row], damaged: set[str]) -> None:
    """Segments that no row names: gone where newer ones hold all that they held, else set aside."""
    segments = folder / SEGMENTS
    named = {row.place.segment for row in rows.values() if row.place is not None}
    for number in sorted(segment_numbers(segments) - named):
        path = segment_path(segments, number)
        if path.name in damaged:
            files.rename(path, _free(path))
        else:
            files.unlink(path)


def _free(path: Path) -> Path:
    """A name beside it that is not taken: ``catalog.sqlite.damaged-1``."""
    names = (path.with_name(f"{path.name}.damaged-{n}") for n in range(1, 1 << 30))
    return next(name for name in names if not name.exists())


def _mend_album(folder: Path) -> None:
    """Pictures, captions and events that can be read, in a new file; one that is whole stays."""
    path = folder / ALBUM
    state = state_of(path)
    if state == "missing":
        Album(path, thumbnail_px=1).close()
    if state != "damaged":
        return
    new = Album(folder / _NEW_ALBUM, thumbnail_px=1)
    with closing(new):
        for number, jpeg in salvaged(path, "thumbnails", ("number", "jpeg")):
            if isinstance(number, int) and isinstance(jpeg, bytes):
                new.put_jpeg(number, jpeg)
        columns = ("start_s", "end_s", "text", "camera")
        for start_s, end_s, text, camera in salvaged(path, "captions", columns):
            if isinstance(start_s, float) and isinstance(end_s, float) and isinstance(text, str):
                new.add_caption(start_s, end_s, text, str(camera or ""))
        for fields in salvaged(path, "events", events.COLUMNS):
            with suppress(TypeError, ValueError):  # a row that makes no sense
                new.events.log(events.Event(*fields))  # type: ignore[arg-type]
        new.commit()
    _settle(folder / _NEW_ALBUM)
    _put_in_place(folder, ALBUM, _NEW_ALBUM)
