"""Which frames are worth seeing, decided by their times alone."""

from __future__ import annotations

import math

# Containers round time stamps to milliseconds; a frame this little before its tick is on it.
ROUNDING_S = 0.002


class FixedRate:
    """Keep the first frame at or after each tick; ticks are `fps` a second.

    They count from the first frame, or from `first_s`.

    By time, never by frame number, so that a variable rate comes out right.  Where nothing comes
    for a while the ticks pass and nothing makes up for them; a stream slower than `fps` keeps
    every frame.

    Raises:
        ValueError: if `fps` is not a positive finite number.
    """

    def __init__(self, fps: float, first_s: float | None = None) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps={fps}: needs a positive number of frames a second")
        self.fps = float(fps)
        self._tolerance = min(0.1, ROUNDING_S * self.fps)  # in ticks
        self._first_s = first_s
        self._next_tick = 0

    def wants(self, pts_s: float) -> bool:
        """Whether the frame at `pts_s` is kept; asks for times in order and moves on with each."""
        if self._first_s is None:
            self._first_s = pts_s
        ticks = (pts_s - self._first_s) * self.fps + self._tolerance
        if ticks < self._next_tick:
            return False
        self._next_tick = math.floor(ticks) + 1
        return True

    def next_s(self, kept_s: float) -> float:
        """The earliest time that may be kept after `kept_s` was."""
        assert self._first_s is not None
        ticks = math.floor((kept_s - self._first_s) * self.fps + self._tolerance) + 1
        return self._first_s + (ticks - self._tolerance) / self.fps

    def __repr__(self) -> str:
        return f"FixedRate(fps={self.fps:g})"
