"""Chunks go for good: from the catalog, from the log, from the album, and from what SQLite and
the file system would keep of them.

Source of the order: said, then done (`intent`); a crash in between is finished at the next
opening.  Copies outside the folder (backups, snapshots of the file system) are not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from longtake.memory.catalog import Row
from longtake.memory.chunk import ChunkInfo
from longtake.memory.files import MemoryFull
from longtake.memory.folder import MemoryFolder
from longtake.memory.intent import Forgetting, Intent
from longtake.memory.marks import Span, missing_of


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went."""

    chunks: int
    numbers: tuple[int, ...]
    nbytes: int  # of their records


def forget(
    folder: MemoryFolder,
    span: Span,
    camera: str | None,
    unstored: Sequence[ChunkInfo],
    moved: Callable[[Sequence[int]], None],
) -> Forgotten:
    """Remove durable chunks that touch a span, with all that shows them.

    On the thread that writes; everything is durable, and no ageing under way.

    Args:
        camera: of this one alone; None: of all.
        unstored: chunks of that time that were seen and never put.
        moved: is told of the chunks before their bytes go.

    Raises:
        OSError: if a step fails; the rest follows with the next call, or the next opening.
            MemoryFull where a disk takes nothing: the records' bytes are gone nevertheless.
    """
    try:
        folder.trim()  # where a disk is full this is room to say what is to be done
        folder.finish()
    except MemoryFull:  # not even for that
        erase_first(folder, span, camera)
        with suppress(MemoryFull):
            folder.trim()
        folder.finish()
    catalog = folder.catalog
    rows = _meant(folder, span, camera)
    places = [row.place for row in rows if row.place is not None]
    emptied = _emptied(folder, rows)
    gone = sorted([*(row.info for row in rows), *unstored], key=lambda info: info.number)
    numbers = tuple(info.number for info in gone)
    intent = Intent(
        remove=emptied,
        erase=tuple(places),
        forget=Forgetting(numbers, span.start_s, span.end_s, camera),
    )
    if gone:
        missing = missing_of(gone, "forgotten")
        try:
            catalog.remove(numbers, missing, intent.as_json())
        except MemoryFull:
            erase_first(folder, span, camera)
            catalog.remove(numbers, missing, intent.as_json())
        moved(numbers)
    else:
        catalog.intend(intent.as_json())  # captions may lie there nevertheless
    folder.carry_out(intent)
    return Forgotten(len(gone), numbers, sum(place.nbytes for place in places))


def erase_first(folder: MemoryFolder, span: Span, camera: str | None) -> None:
    """Overwrite the records that `forget` would remove, where a disk has no room to say so.

    That makes room, and whatever becomes of the rest, their bytes are gone.  Until `forget` has
    returned the catalog still names them: to read one raises `ChunkCorrupt`.  Twice is harmless.
    """
    for row in _meant(folder, span, camera):
        if row.place is not None and folder.segments.path(row.place.segment).exists():
            folder.segments.erase(row.place)


def _meant(folder: MemoryFolder, span: Span, camera: str | None) -> list[Row]:
    """Chunks that touch a span, those that are not durable yet too."""
    touching = folder.catalog.touching(span.start_s, span.end_s)
    return [row for row in touching if camera in (None, row.info.camera)]


def _emptied(folder: MemoryFolder, rows: Sequence[Row]) -> tuple[int, ...]:
    """Segments of which nothing will be left; one that grows is closed."""
    going = Counter(row.place.segment for row in rows if row.place is not None)
    emptied = tuple(
        segment
        for segment, count in going.items()
        if len(folder.catalog.in_segment(segment)) == count
    )
    if folder.segments.current in emptied:
        folder.segments.roll()
    return emptied
