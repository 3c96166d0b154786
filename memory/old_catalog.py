"""What only a catalog knows, read from one that may be damaged: for the catalog that replaces it.

Rows that make no sense are left out.  Where the chunks' records lie is not taken from it.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from longtake.memory.catalog import Row
from longtake.memory.chunk import ChunkInfo
from longtake.memory.intent import Intent
from longtake.memory.ladder import PICTURE
from longtake.memory.marks import FIELDS, LOST, REASONS, Missing, Span
from longtake.memory.record import MemoryFromFuture
from longtake.memory.salvage import Value, salvaged
from longtake.memory.signature import FORMAT

INTENT, NEXT = "intent", "next_number"  # notes of the catalog's own

Of = TypeVar("Of")


@dataclass(frozen=True, slots=True)
class Signature:
    """Whose memory it is."""

    model: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class OldCatalog:
    """What could be read."""

    signature: Signature | None
    notes: dict[str, str]  # JSON
    kept: list[Span]
    gaps: list[Missing]
    pictures: dict[int, Row]  # chunks that have no record
    intent: Intent  # what was under way
    _removed: list[tuple[int, int]]  # first and last number, in order
    _numbers: frozenset[int]

    def is_removed(self, number: int) -> bool:
        """True if a chunk was taken out on purpose; its bytes may still be there after a crash."""
        at = bisect_right(self._removed, (number, 1 << 63)) - 1
        return number in self._numbers or (at >= 0 and number <= self._removed[at][1])


def read_old(path: Path) -> OldCatalog:
    """What can be read of a catalog; nothing where there is none.

    Raises:
        MemoryFromFuture: if a newer longtake wrote it.
    """
    rows = ((*row, camera or "") for *row, camera in salvaged(path, "gaps", FIELDS))
    gaps = [gap for gap in _made(Missing, rows) if gap.reason in REASONS and gap.first <= gap.last]
    notes = dict(_notes(path))
    intent = _intent(notes.pop(INTENT, "{}"))
    return OldCatalog(
        signature=_signature(path),
        notes=notes,
        kept=list(_made(Span, salvaged(path, "kept", ("start_s", "end_s")))),
        gaps=gaps,
        pictures={row.info.number: row for row in _pictures(path)},
        intent=intent,
        _removed=sorted(
            (gap.first, gap.last)
            for gap in gaps
            if gap.reason != LOST and gap.chunks == gap.last - gap.first + 1
        ),  # others were joined: chunks between them may be held
        _numbers=frozenset(intent.forget.numbers if intent.forget else ()),
    )


def _signature(path: Path) -> Signature | None:
    found = None
    for version, model, fingerprint in salvaged(path, "take", ("format", "model", "fingerprint")):
        if isinstance(version, int) and version > FORMAT:
            raise MemoryFromFuture(
                f"{path.parent} has format {version}, this longtake reads up to {FORMAT}; "
                "upgrade longtake"
            )
        if isinstance(model, str) and isinstance(fingerprint, str):
            found = Signature(model, fingerprint)
    return found


def _notes(path: Path) -> Iterator[tuple[str, str]]:
    """Those whose text is still JSON."""
    for key, text in salvaged(path, "notes", ("key", "value")):
        if not (isinstance(key, str) and isinstance(text, str)):
            continue
        try:
            value = json.loads(text)
        except ValueError:
            continue
        if key != NEXT or isinstance(value, int):
            yield key, text


def _intent(text: str) -> Intent:
    try:
        return Intent.parse(json.loads(text))
    except (TypeError, ValueError, AttributeError, KeyError):
        return Intent()


def _made(kind: type[Of], rows: Iterable[tuple[Value, ...]]) -> Iterator[Of]:
    for values in rows:
        try:
            if None not in values:
                yield kind(*values)
        except (TypeError, ValueError):
            continue


def _pictures(path: Path) -> Iterator[Row]:
    about = ("number", "start_s", "end_s", "camera", "wall_s", "tokens")
    columns = (*about, "layers", "heads", "dim", "segment", "codec")
    for values in salvaged(path, "chunks", columns):
        *of_chunk, tokens, layers, heads, dim, segment, codec = values
        if segment is not None or codec != PICTURE:
            continue
        try:
            info = ChunkInfo(*of_chunk, tokens=tokens)  # type: ignore[arg-type]
            yield Row(info, (layers, heads, dim), None, PICTURE)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
