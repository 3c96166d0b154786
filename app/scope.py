"""Which part of the past a question may know: all of it, up to a time, or between two.

Times become chunk numbers, since chunks are numbered in the order in which they end.  Numbers have
gaps where chunks were dropped, forgotten or aged away, so a number says nothing about a place.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from longtake.memory.chunk import ChunkInfo
from longtake.memory.window import WindowShape, fit

# Chunks end in the order of time.  They begin so too, but for those of cameras that come a little
# late: so many chunks of others may stand before one that begins before them.
MOST_BETWEEN = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class When:
    """As the person who asks says it; session seconds."""

    at_s: float | None = None  # as if nothing later had been seen
    between_s: tuple[float, float] | None = None  # recall only from here

    def __post_init__(self) -> None:
        if self.at_s is not None and not (math.isfinite(self.at_s) and self.at_s >= 0):
            raise ValueError(f"at={self.at_s}: must be 0 s or more")
        if self.between_s is not None:
            first, last = self.between_s
            if not (math.isfinite(first) and math.isfinite(last) and 0 <= first <= last):
                raise ValueError(
                    f"between={first:g} and {last:g}: must be two times in order, 0 s or more"
                )


@dataclass(frozen=True, slots=True)
class Scope:
    """Chunks with ``first <= number < last`` may be recalled; those of ``window`` are in the
    context."""

    first: int
    last: int
    window: tuple[ChunkInfo, ...]
    as_of_s: float
    past: Sequence[ChunkInfo] = ()  # all that was known then, by number

    def info(self, number: int) -> ChunkInfo:
        """Raises LookupError if no chunk of that number was known."""
        return find(self.past, number)


def place_of(past: Sequence[ChunkInfo], number: int) -> int | None:
    """Where a chunk stands in a list that rises by number; None if it does not."""
    place = bisect_left(past, number, key=_number)
    return place if place < len(past) and past[place].number == number else None


def find(past: Sequence[ChunkInfo], number: int) -> ChunkInfo:
    """A chunk of a list that rises by number.  Raises LookupError."""
    place = place_of(past, number)
    if place is None:
        raise LookupError(f"no chunk {number} among {len(past)}")
    return past[place]


def touching(past: Sequence[ChunkInfo], start_s: float, end_s: float) -> slice:
    """Places of the chunks, in time order, that touch a span; its ends belong to it."""
    low = bisect_left(past, start_s, key=_end_s)
    high = max(low, bisect_right(past, end_s, key=_end_s))
    for place in range(high, min(len(past), high + MOST_BETWEEN)):
        if past[place].start_s <= end_s:
            high = place + 1
    return slice(low, high)


def settle(when: When, past: Sequence[ChunkInfo], live: int, shape: WindowShape) -> Scope:
    """Turn times into chunk numbers.

    Args:
        past: all chunks that can be attended to, in time order.
        live: how many of the newest are in the window now.
    """
    known = len(past)
    if when.at_s is not None:
        known = bisect_right(past, when.at_s, key=_end_s)
    if known == len(past):
        window = list(past[known - live : known]) if live else []
    else:
        window = fit(past[:known], shape)
    behind = known - len(window)  # place of the first that may not be recalled
    place = 0
    if when.between_s is not None:
        begin, end = when.between_s
        recalled = touching(past, begin, end)
        place = min(recalled.start, behind)
        behind = max(place, min(behind, recalled.stop))
        window = [info for info in window if info.end_s >= begin and info.start_s <= end]
    as_of_s = past[known - 1].end_s if known else 0.0
    return Scope(
        _number_at(past, place),
        _number_at(past, behind),
        tuple(window),
        as_of_s,
        past if known == len(past) else past[:known],
    )


def _number_at(past: Sequence[ChunkInfo], place: int) -> int:
    """The number there, or behind the last one: a bound that holds whatever is missing."""
    if place < len(past):
        return past[place].number
    return past[-1].number + 1 if past else 0


def _number(info: ChunkInfo) -> int:
    return info.number


def _end_s(info: ChunkInfo) -> float:
    return info.end_s
