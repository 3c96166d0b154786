"""Which frames are worth seeing, decided by their times alone."""

from __future__ import annotations

import math

# Containers round time stamps to milliseconds; a frame this little before its tick is on it.
ROUNDING_S = 0.002


class FixedRate:
    """Keep the first frame at or after each tick; ticks count from the first frame, `fps` a second.

    By time, never by frame number, so that a variable rate comes out right.  Where nothing comes
    for a while the ticks pass and nothing makes up for them; a stream slower than `fps` keeps
    every frame.

    Raises:
        ValueError: if `fps` is not a positive finite number.
    """

    def __init__(self, fps: float) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps={fps}: needs a positive number of frames a second")
        self.fps = float(fps)
        self._tolerance = min(0.1, ROUNDING_S * self.fps)  # in ticks
        self._first_s: float | None = None
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

    def __repr__(self) -> str:
        return f"FixedRate(fps={self.fps:g})"
