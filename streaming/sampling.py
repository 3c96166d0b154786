"""Which frames of a camera are worth seeing: by rate, by stillness, by change of scene.

    tick of the rate?  no, but another scene than the frame before -> kept
                       yes, but like the frame kept last           -> dropped, "still"

Differences are those of small gray pictures, ``[90, 160]`` uint8: their mean absolute difference
as a share of 255.  How such a picture is made, and who takes the frames, is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longtake.streaming.sampler import ROUNDING_S

SLOWER = 0.7  # at a tick whose last frame still waits; halving would leave a quarter unused
FASTER = 1.05  # at any other tick
STILL_AT_MOST_S = 60.0  # the memory should see that nothing happened, not a gap
SCENES_PER_TICK = 5  # flicker must not become a rate of its own


class Rate(Protocol):
    """Ticks by time; `FixedRate` is one."""

    @property
    def fps(self) -> float:
        """Ticks a second, now."""
        ...

    def wants(self, pts_s: float) -> bool:
        """Whether the frame at `pts_s` is the first at or after a tick; asked in time order."""
        ...


class AdaptiveRate:
    """At most `fps` ticks a second, and no more than the model sustains.

    Where the last frame that was kept still waits at the next tick the rate falls by a factor;
    at every other tick it rises a little, up to `fps`.

    Args:
        fps: the rate where the model keeps up.
        is_waiting: whether the mailbox still holds the last frame kept of this camera; called at
            each tick.
        least_fps: the rate never falls below this (nor below `fps`, where that is less).

    Raises:
        ValueError: if a rate is not a positive finite number.
    """

    def __init__(self, fps: float, is_waiting: Callable[[], bool], least_fps: float = 0.1) -> None:
        for name, rate in (("fps", fps), ("least_fps", least_fps)):
            if not (math.isfinite(rate) and rate > 0):
                raise ValueError(f"{name}={rate}: needs a positive number of frames a second")
        self._most_fps = float(fps)
        self._least_fps = min(float(least_fps), self._most_fps)
        self._fps = self._most_fps
        self._is_waiting = is_waiting
        self._next_s: float | None = None

    @property
    def fps(self) -> float:
        """Ticks a second, now."""
        return self._fps

    def wants(self, pts_s: float) -> bool:
        """Whether the frame at `pts_s` is kept; asked in time order, moves on with each."""
        if self._next_s is None:
            self._next_s = pts_s + 1 / self._fps
            return True
        if pts_s < self._next_s - min(ROUNDING_S, 0.1 / self._fps):
            return False
        wanted = self._fps * (SLOWER if self._is_waiting() else FASTER)
        self._fps = min(max(wanted, self._least_fps), self._most_fps)
        next_s = self._next_s + 1 / self._fps
        # Ticks that passed in a silence are not made up for.
        self._next_s = next_s if next_s > pts_s else pts_s + 1 / self._fps
        return True

    def __repr__(self) -> str:
        return f"AdaptiveRate({self._fps:.2f} of {self._most_fps:g})"


class Sampling:
    """Rate, stillness and scene change of one camera; used by one thread at a time.

    Args:
        rate: says when a frame is due.
        still: 0 to 1; a frame that is due and differs less than this from the last one kept is
            dropped, unless that was `STILL_AT_MOST_S` ago.  0: never.
        scene: 0 to 1; a frame that differs more than this from the one before is kept between
            two ticks, `SCENES_PER_TICK` times the rate at most.  0: never.

    Raises:
        ValueError: if a share is outside 0 to 1.
    """

    def __init__(self, rate: Rate, still: float = 0.0, scene: float = 0.0) -> None:
        for name, share in (("still", still), ("scene", scene)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name}={share}: needs a share of the full difference, 0 to 1")
        self.rate = rate
        self._still = still
        self._scene = scene
        self._seen: NDArray[np.uint8] | None = None
        self._seen_s = -math.inf
        self._kept: NDArray[np.uint8] | None = None
        self._kept_s = -math.inf

    def reason_to_drop(self, pts_s: float, gray: Callable[[], NDArray[np.uint8]]) -> str | None:
        """Why the frame at `pts_s` is not worth seeing: "not sampled" or "still"; None: keep it.

        Asked once for every frame, in time order; moves on with each.

        Args:
            gray: makes its small gray picture, ``[90, 160]`` uint8; called at most once, and
                only where stillness or change of scene need it.
        """
        is_due = self.rate.wants(pts_s)
        if not (self._scene or (self._still and is_due)):
            return self._judged(pts_s, None, None if is_due else "not sampled")
        picture = gray()
        is_new_scene = self._is_new_scene(pts_s, picture)
        self._seen, self._seen_s = picture, pts_s
        if is_new_scene:
            return self._judged(pts_s, picture, None)
        if not is_due:
            return "not sampled"
        return self._judged(pts_s, picture, "still" if self._is_still(pts_s, picture) else None)

    def forget(self, start_s: float, end_s: float) -> None:
        """Let go of the pictures of a stretch, both ends included: the next frame that is due is
        compared with nothing.  The rate goes on as it was."""
        if start_s <= self._seen_s <= end_s:
            self._seen = None
        if start_s <= self._kept_s <= end_s:
            self._kept = None

    def _judged(
        self, pts_s: float, picture: NDArray[np.uint8] | None, reason: str | None
    ) -> str | None:
        if reason is None:
            self._kept, self._kept_s = picture, pts_s
        return reason

    def _is_new_scene(self, pts_s: float, picture: NDArray[np.uint8]) -> bool:
        if not self._scene or self._seen is None:
            return False
        if pts_s - self._kept_s < 1 / (SCENES_PER_TICK * self.rate.fps):
            return False
        return difference(picture, self._seen) > self._scene

    def _is_still(self, pts_s: float, picture: NDArray[np.uint8]) -> bool:
        if not self._still or self._kept is None or pts_s - self._kept_s >= STILL_AT_MOST_S:
            return False
        return difference(picture, self._kept) < self._still


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """How far two gray pictures of one shape are apart: 0 the same, 1 black and white."""
    return float(np.abs(a.astype(np.int16) - b).mean()) / 255
