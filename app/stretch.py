"""A stretch of the stream that somebody wants forgotten, and those whose frames are still to come.

A frame that was received and not yet seen when its time was forgotten must not be seen later
either: not from the mailbox, and not when its file is read again after a crash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from longtake.memory.chunk import ChunkInfo
from longtake.streaming.frame import Frame

LATEST_S = 10.0  # no frame comes this far behind what was seen
SEEN = "seen_s"  # a note: a source goes on behind this time, whatever was forgotten


@dataclass(frozen=True, slots=True)
class Stretch:
    """Session seconds, both ends included.

    Raises:
        ValueError: if they are not two times in order.
    """

    start_s: float
    end_s: float
    camera: str | None = None  # None: of all cameras

    def __post_init__(self) -> None:
        ends = self.start_s, self.end_s
        if not all(map(math.isfinite, ends)) or not 0 <= self.start_s <= self.end_s:
            raise ValueError(
                f"from {self.start_s:g} to {self.end_s:g} s: must be two times in order, 0 s or "
                "more"
            )

    def touches(self, info: ChunkInfo) -> bool:
        in_time = info.start_s <= self.end_s and info.end_s >= self.start_s
        return in_time and self.camera in (None, info.camera)

    def has(self, frame: Frame) -> bool:
        in_time = self.start_s <= frame.pts_s <= self.end_s
        return in_time and self.camera in (None, frame.camera)


class Hidden:
    """Stretches of one take whose frames are not to be seen, should they come again.

    Args:
        noted: what `to_note` gave in an earlier run.
    """

    def __init__(self, noted: Iterable[tuple[float, float, str | None]] = ()) -> None:
        self._stretches = [Stretch(*fields) for fields in noted]

    def has(self, frame: Frame) -> bool:
        return any(stretch.has(frame) for stretch in self._stretches)

    def add(self, stretch: Stretch, seen_s: float) -> None:
        """Hide one more.  What ends long before `seen_s` never comes again and is left out."""
        self._stretches = [s for s in self._stretches if s.end_s > seen_s - LATEST_S]
        self._stretches.append(stretch)

    def to_note(self) -> list[tuple[float, float, str | None]]:
        """As JSON can hold it."""
        return [astuple(stretch) for stretch in self._stretches]
