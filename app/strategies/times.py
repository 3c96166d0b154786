"""Chunks at the times that a question names: "what happened between 2:00 and 3:30?".

How times are read is in `phrases`; here they meet the chunks.  A time on the wall's clock
(``2 pm``) is looked for where chunks carry the wall time of their first frame, on the newest day
that has any chunk there.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from longtake.memory.chunk import ChunkInfo
from longtake.strategies.base import Offered, check_count
from longtake.strategies.phrases import Span, spans
from longtake.strategies.uniform import spread
from longtake.strategies.union import take_turns

Extent = tuple[float, float]  # [start, end) in seconds
_MOST_WALL_S = 2e11  # beyond, no calendar goes


@dataclass(frozen=True, slots=True)
class Times:
    """At most `count` candidates that overlap a named time, those nearest to its middle first.

    Where more overlap they are evenly spread over it.  Several times take turns.
    """

    count: int | None = None  # None: the question's top_k
    zone: tzinfo | None = None  # of the wall's clock; None: this machine's

    def __post_init__(self) -> None:
        check_count(self.count)

    @property
    def name(self) -> str:
        return "times"

    def rank(self, offered: Offered) -> Sequence[int]:
        most, named = offered.most(self.count), spans(offered.question, offered.as_of_s)
        if not named:
            return []
        infos = list(offered.infos)
        seen = extents(infos)
        ranked = [
            self._on_the_clock(span, infos, seen, most)
            if span.of_day
            else _nearest(span, dict(enumerate(seen)), most)
            for span in named
        ]
        return [infos[place].number for place in take_turns(ranked)][:most]

    def _on_the_clock(
        self, span: Span, infos: Sequence[ChunkInfo], seen: Sequence[Extent], most: int
    ) -> list[int]:
        """Places of chunks at a time of the newest day that has some."""
        on_wall = {
            place: (info.wall_s, info.wall_s + end_s - start_s)
            for place, (info, (start_s, end_s)) in enumerate(zip(infos, seen, strict=True))
            if info.wall_s is not None and 0 <= info.wall_s < _MOST_WALL_S
        }
        days = {datetime.fromtimestamp(wall_s, self.zone).date() for wall_s, _ in on_wall.values()}
        days |= {day - timedelta(days=1) for day in days}  # a span may go over midnight
        for day in sorted(days, reverse=True):
            there = Span(self._unix_s(day, span.start_s), self._unix_s(day, span.end_s))
            if found := _nearest(there, on_wall, most):
                return found
        return []

    def _unix_s(self, day: date, of_day_s: float) -> float:
        shown = datetime.combine(day, time()) + timedelta(seconds=of_day_s)
        return shown.replace(tzinfo=self.zone).timestamp()


def extents(infos: Sequence[ChunkInfo]) -> list[Extent]:
    """From when to when each chunk tells of the stream.

    Its frames stand for the time until its camera's next chunk begins, but for no longer than
    is usual between two chunks: a camera that was off saw nothing.
    """
    following: dict[str, float] = {}
    gaps: list[float | None] = []
    for info in reversed(infos):
        next_s = following.get(info.camera)
        gaps.append(None if next_s is None else max(0.0, next_s - info.end_s))
        following[info.camera] = info.start_s
    known = [gap for gap in gaps if gap is not None]
    usual_s = statistics.median(known) if known else 0.0
    return [
        (info.start_s, info.end_s + (usual_s if gap is None else min(gap, usual_s)))
        for info, gap in zip(infos, reversed(gaps), strict=True)
    ]


def _nearest(span: Span, seen: dict[int, Extent], most: int) -> list[int]:
    """Places that overlap a span, nearest to its middle first, of equal ones the oldest."""
    found = [place for place, extent in seen.items() if _overlaps(span, extent)]
    found.sort(key=lambda place: _distance(span, seen[place]))
    if len(found) > most > 1:
        in_time = sorted(found)
        kept = {in_time[i] for i in spread(len(in_time), most)}
        found = [place for place in found if place in kept]
    return found[:most]


def _overlaps(span: Span, extent: Extent) -> bool:
    start_s, end_s = extent
    return start_s < span.end_s and (end_s > span.start_s or start_s >= span.start_s)


def _distance(span: Span, extent: Extent) -> float:
    return abs(sum(extent) / 2 - span.middle_s)
