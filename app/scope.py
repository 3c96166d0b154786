"""Which part of the past a question may know: all of it, up to a time, or between two.

Times become chunk numbers, since chunks are numbered in time order.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from longtake.memory.chunk import ChunkInfo
from longtake.memory.window import WindowShape, fit


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
    """Chunks ``[first, last)`` may be recalled; those of ``window`` are in the context."""

    first: int
    last: int
    window: tuple[ChunkInfo, ...]
    as_of_s: float
    past: Sequence[ChunkInfo] = ()  # all that was known then, by number

    def info(self, number: int) -> ChunkInfo:
        return self.past[number - self.past[0].number]


def settle(when: When, past: Sequence[ChunkInfo], live: int, shape: WindowShape) -> Scope:
    """Turn times into chunk numbers.

    Args:
        past: all chunks, numbered from 0 in time order.
        live: how many of the newest are in the window now.
    """
    known = len(past)
    if when.at_s is not None:
        ends = [info.end_s for info in past]
        known = bisect_right(ends, when.at_s)
    if known == len(past):
        window = list(past[known - live : known]) if live else []
    else:
        window = fit(past[:known], shape)
    last = known - len(window)
    first = 0
    if when.between_s is not None:
        begin, end = when.between_s
        ends = [info.end_s for info in past]
        starts = [info.start_s for info in past]
        first = min(bisect_left(ends, begin), last)
        last = max(first, min(last, bisect_right(starts, end)))
        window = [info for info in window if info.end_s >= begin and info.start_s <= end]
    as_of_s = past[known - 1].end_s if known else 0.0
    return Scope(first, last, tuple(window), as_of_s, past if known == len(past) else past[:known])
