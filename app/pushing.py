"""Frames that are pushed: when they were taken, and their pixels on the way into the inbox.

Pixels are copied, or decoded, only for a frame that is taken in.  What becomes of one there is
known to `inbox`, what time it is to `session_time`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from longtake.inbox import Inbox, Pushed
from longtake.seeing import Seeing
from longtake.session import Session
from longtake.session_time import SessionTime
from longtake.streaming.encoded import decode, size_of
from longtake.streaming.frame import Frame
from longtake.streaming.masks import Mask, black_out
from longtake.watch import Watch

BESIDE_FILE = "beside a file"  # why a frame was dropped

Image = NDArray[Any] | bytes | bytearray | memoryview


class Pushing:
    """Of one take; any thread may call, and none waits.

    Args:
        masks: those in force, asked for each frame.
    """

    def __init__(
        self,
        session: Session,
        inbox: Inbox,
        seeing: Seeing,
        session_time: SessionTime,
        masks: Callable[[], Sequence[Mask]],
    ) -> None:
        self._session, self._inbox, self._seeing = session, inbox, seeing
        self._time, self._masks = session_time, masks

    def push(
        self, image: Image, pts_s: float | None, age_s: float, camera: str, wall_s: float | None
    ) -> Pushed:
        """As `Take.push` says."""
        _check_times(pts_s, age_s)
        if isinstance(image, bytes | bytearray | memoryview):
            size_of(image)  # what is wrong with it is said, whether or not it is wanted
        policy, is_timed = self._session.config.capture.policy, pts_s is not None
        if pts_s is None:
            reading = [w.address for w in self._seeing.watches if isinstance(w, Watch)]
            if reading:
                why = f"{reading[0]} is being read, which has a time of its own: give pts_s"
                return Pushed(False, self._inbox.refuse(BESIDE_FILE, why), 0.0)
            pts_s = self._time.run_for_push(age_s)
            wall_s = time.time() - age_s if wall_s is None else wall_s
        taken_s = pts_s

        def own() -> Frame:
            frame = Frame(taken_s, _pixels(image), camera, wall_s)
            masked = black_out(frame.image, self._masks(), camera)
            return frame if masked is frame.image else Frame(taken_s, masked, camera, wall_s)

        lag_s = max(0.0, pts_s - self._session.newest_s)
        newest_s, ahead_s = self._time.newest_read_s, self._time.ahead_s
        sampled = policy == "newest" or (policy == "auto" and not is_timed)
        reason = self._inbox.push(camera, pts_s, newest_s, own, ahead_s, sampled=sampled)
        return Pushed(not reason, reason, 0.0 if pts_s > ahead_s else lag_s)


def _check_times(pts_s: float | None, age_s: float) -> None:
    if not (math.isfinite(age_s) and age_s >= 0):
        raise ValueError(f"age_s={age_s}: must be 0 s or more")
    if pts_s is None:
        return
    if pts_s < 0:
        raise ValueError(f"pts_s={pts_s}: session time counts from 0 s")
    if age_s:
        raise ValueError(
            f"pts_s={pts_s}, age_s={age_s}: give one: when the frame was taken, or how long ago"
        )


def _pixels(image: Image) -> Any:
    """A copy that is ours; `Frame` says what is no picture."""
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(image)
    return image.copy() if hasattr(image, "copy") else image
