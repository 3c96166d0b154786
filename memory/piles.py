"""Which segment ages next, and to which rung.

By age: the oldest that has passed one.  For room: what stands highest, of that the oldest, so
that everything is int8 before anything is 4 bit.  What is kept does not count, and what could not
be read is left alone until only its picture is to stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longtake.memory.catalog import Row
from longtake.memory.folder import MemoryFolder
from longtake.memory.ladder import GONE, PICTURE, RUNGS, Ladder, Rung, base_of, level_of
from longtake.memory.marks import Span


@dataclass(frozen=True, slots=True)
class Pile:
    """What of a closed segment may age."""

    segment: int
    level: int  # of what stands highest
    end_s: float  # of its newest chunk


class Piles:
    """The piles of one memory, looked up when something has changed.

    Args:
        folder: of the memory.
        ladder: the rungs.
    """

    def __init__(self, folder: MemoryFolder, ladder: Ladder) -> None:
        self._folder, self._ladder = folder, ladder
        self._piles: list[Pile] | None = None  # oldest first
        self._stuck: set[int] = set()  # segments with what cannot be read; until it is reopened

    def changed(self) -> None:
        """Segments, kept spans or chunks are others now."""
        self._piles = None

    def leave(self, segment: int) -> None:
        """What is in there cannot be written anew."""
        self._stuck.add(segment)
        self.changed()

    def next(self, now_s: float, *, need: bool) -> tuple[Pile, Rung] | None:
        """What ages next.

        Args:
            now_s: session time of the newest chunk.
            need: room is needed, whatever the ages say.
        """
        if not self._ladder.rungs or not (need or self._ladder.has_ages):
            return None
        piles = self._find()
        for pile in piles:
            rung = self._ladder.due(pile.level, now_s - pile.end_s)
            if rung is not None and self._may_go(pile, rung):
                return pile, rung
        if not need:
            return None
        candidates = [
            (pile.level, place, pile, rung)
            for place, pile in enumerate(piles)
            if (rung := self._below(pile)) is not None
        ]
        if not candidates:
            return None
        _, _, pile, rung = min(candidates, key=lambda one: one[:2])
        return pile, rung

    def _below(self, pile: Pile) -> Rung | None:
        below = self._ladder.below(pile.level)
        return next((rung for rung in below if self._may_go(pile, rung)), None)

    def _may_go(self, pile: Pile, rung: Rung) -> bool:
        return pile.segment not in self._stuck or rung.name in (PICTURE, GONE)

    def _find(self) -> list[Pile]:
        if self._piles is not None:
            return self._piles
        catalog, growing = self._folder.catalog, self._folder.segments.current
        spans = catalog.marks.kept()
        touched = {segment for span in spans for segment in catalog.touched(span)}
        found: dict[int, list[tuple[int, float]]] = {}
        for held in catalog.held():
            if held.segment != growing and held.segment not in touched:
                if base_of(held.codec) in RUNGS:  # a newer longtake's stays as it is
                    found.setdefault(held.segment, []).append((level_of(held.codec), held.end_s))
        for segment in touched - {growing}:
            rows = [row for row in catalog.in_segment(segment) if not is_kept(row, spans)]
            levels = [row for row in rows if base_of(row.codec) in RUNGS]
            if levels:
                found[segment] = [(level_of(row.codec), row.info.end_s) for row in levels]
        piles = (
            Pile(n, min(p[0] for p in parts), max(p[1] for p in parts))
            for n, parts in found.items()
        )
        self._piles = sorted(piles, key=lambda pile: pile.end_s)
        return self._piles


def is_kept(row: Row, spans: Sequence[Span]) -> bool:
    """True if a chunk touches one of these."""
    return any(span.touches(row.info.start_s, row.info.end_s) for span in spans)
